//! The boundary between core and the languages of UniFFI, as a smoke test from Java; not yet a product.
//!
//! There is no `async_runtime` attribute: the foreign executor polls core's futures itself, the first time inside
//! the call. Tests: `bindings-uniffi/java/Smoke.java`.
#![allow(clippy::needless_pass_by_value, reason = "what comes from another language is owned")]
#![allow(clippy::missing_errors_doc, reason = "core's documentation lists the codes")]
#![allow(clippy::result_large_err, reason = "UniFFI writes an error into a buffer and cannot box it")]

mod error;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bindwright::{
    Batch, Body, Client, ClientOptions, DEFAULT_DRAIN, Event, HandOut, Metadata, Outcome, Reply, Request,
    Subscription,
};

pub use error::BindingError;

uniffi::setup_scaffolding!("bindwright");

/// Core's client.
#[derive(uniffi::Object)]
pub struct BindingClient(Client);

#[uniffi::export]
impl BindingClient {
    /// Reads the component documents of a folder.
    #[uniffi::constructor]
    pub fn open(resources: String) -> Result<Arc<Self>, BindingError> {
        let resources = Some(vec![PathBuf::from(resources)]);
        let client = Client::open(ClientOptions { resources, ..ClientOptions::default() })?;
        Ok(Arc::new(Self(client)))
    }

    /// Runs one operation.
    pub async fn invoke(
        &self,
        name: String,
        operation: String,
        data: Option<Vec<u8>>,
        metadata: HashMap<String, String>,
    ) -> Result<BindingReply, BindingError> {
        Ok(self.0.invoke_binding(&name, &operation, request(data, metadata), None).await?.into())
    }

    /// Runs one operation; the result comes home on the calling thread.
    pub fn invoke_blocking(
        &self,
        name: String,
        operation: String,
        data: Option<Vec<u8>>,
        metadata: HashMap<String, String>,
    ) -> Result<BindingReply, BindingError> {
        let request = request(data, metadata);
        Ok(self.0.invoke_binding_blocking(&name, &operation, request, None, || false)?.into())
    }

    /// Attaches to an input binding.
    pub async fn subscribe(&self, name: String) -> Result<Arc<BindingSubscription>, BindingError> {
        Ok(Arc::new(BindingSubscription(self.0.subscribe(&name, HandOut::LaneAtATime).await?)))
    }

    /// Ends subscriptions, waits for handlers and records what was settled. Not named `close`: generators give
    /// every object a `close()` of its own, which lets go of the handle.
    pub async fn shutdown(&self) -> Result<(), BindingError> {
        Ok(self.0.close(DEFAULT_DRAIN).await?)
    }
}

/// What an operation answered.
#[derive(uniffi::Record)]
pub struct BindingReply {
    /// Absent where the operation answers nothing.
    pub data: Option<Vec<u8>>,
    /// Names and values from the component.
    pub metadata: HashMap<String, String>,
}

impl From<Reply> for BindingReply {
    fn from(reply: Reply) -> Self {
        Self { data: bytes(&reply.body), metadata: texts(&reply.metadata) }
    }
}

/// Events to be pulled.
#[derive(uniffi::Object)]
pub struct BindingSubscription(Subscription);

#[uniffi::export]
impl BindingSubscription {
    /// Waits until a batch can be taken or the client is closed; false when `wait_ms` is over first. The future
    /// carries no events: the result of one that is cancelled at the wrong moment is leaked.
    pub async fn ready(&self, wait_ms: Option<u64>) -> bool {
        self.0.ready(wait_ms.map(Duration::from_millis)).await
    }

    /// Takes up to `max` events, at once; nothing when the client is closed.
    pub fn take_batch(&self, max: u32) -> Option<Arc<BindingBatch>> {
        Batch::take(&self.0, max as usize).map(|batch| Arc::new(BindingBatch(batch)))
    }
}

/// Events that came together. Tokens stay in here: the caller names an event by its place in the batch.
#[derive(uniffi::Object)]
pub struct BindingBatch(Batch);

#[uniffi::export]
impl BindingBatch {
    /// All events, copied in one crossing.
    pub fn events(&self) -> Vec<BindingEvent> {
        (0..self.0.len()).filter_map(|place| self.0.event(place)).map(BindingEvent::from).collect()
    }

    /// Settles events by their places, a place twice or out of range counts for nothing; returns how many of
    /// them still counted.
    pub fn settle(&self, outcomes: Vec<BindingOutcome>) -> u64 {
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| (outcome.index as usize, outcome.kind.outcome(outcome.after_ms)));
        self.0.settle(outcomes) as u64
    }
}

/// One delivery of one event.
#[derive(uniffi::Record)]
pub struct BindingEvent {
    /// Absent for a message without a value.
    pub data: Option<Vec<u8>>,
    /// Names and values, as the component's documentation lists them.
    pub metadata: HashMap<String, String>,
    /// How often it has been delivered, this time included.
    pub attempt: u32,
}

impl From<&Event> for BindingEvent {
    fn from(event: &Event) -> Self {
        Self { data: bytes(event.body()), metadata: texts(event.metadata()), attempt: event.attempt() }
    }
}

/// How one event of a batch ended.
#[derive(uniffi::Record)]
pub struct BindingOutcome {
    /// Its place in the batch.
    pub index: u32,
    /// What became of it.
    pub kind: OutcomeKind,
    /// For a retry: the pause before the next delivery.
    pub after_ms: Option<u64>,
}

/// What became of an event.
#[derive(uniffi::Enum)]
pub enum OutcomeKind {
    /// Handled.
    Ack,
    /// To be delivered again.
    Retry,
    /// Given up on purpose.
    Drop,
}

impl OutcomeKind {
    fn outcome(&self, after_ms: Option<u64>) -> Outcome {
        match self {
            Self::Ack => Outcome::Ack,
            Self::Retry => Outcome::Retry { after: after_ms.map(Duration::from_millis), cause: None },
            Self::Drop => Outcome::Drop,
        }
    }
}

/// A Kafka broker inside this process, for the tests.
#[derive(uniffi::Object)]
pub struct DevBroker(bindwright::dev::DevBroker);

#[uniffi::export]
impl DevBroker {
    /// Starts it on a port; 0 takes a free one.
    #[uniffi::constructor]
    pub fn start(port: u16) -> Result<Arc<Self>, BindingError> {
        Ok(Arc::new(Self(bindwright::dev::DevBroker::start(port)?)))
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        self.0.bootstrap()
    }
}

fn request(data: Option<Vec<u8>>, metadata: HashMap<String, String>) -> Request {
    Request { metadata: metadata.into_iter().collect(), ..Request::new(data) }
}

fn bytes(body: &Body) -> Option<Vec<u8>> {
    body.as_bytes().map(|bytes| bytes.to_vec())
}

fn texts(metadata: &Metadata) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.text().into_owned())).collect()
}
