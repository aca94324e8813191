//! What a component is to the rest of core: something that sends, something that receives, or both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::body::Body;
use crate::dispatch::Intake;
use crate::error::Result;
use crate::health::Health;
use crate::metadata::Metadata;
use crate::policy::Backoff;

/// What is sent by one invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The data.
    pub body: Body,
    /// Names and values for the component, as its documentation lists them.
    pub metadata: Metadata,
    /// What the bytes of the body are to a way that cannot carry any bytes.
    pub encoding: Encoding,
}

/// What the bytes of a body are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// To arrive as they are.
    #[default]
    Verbatim,
    /// A value, written as JSON: a sidecar over HTTP may write it anew, with blanks, order of members and form of
    /// numbers of its own.
    Json,
}

impl Request {
    /// A request without metadata.
    pub fn new(body: impl Into<Body>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A request whose body is a value, written as JSON.
    pub fn json(text: impl Into<Body>) -> Self {
        Self { body: text.into(), encoding: Encoding::Json, ..Self::default() }
    }

    /// Adds an entry of metadata.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.add(name.into(), value.into());
        self
    }
}

/// What an output binding answered.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The data; [`Body::None`] where the operation has none.
    pub body: Body,
    /// Names and values from the component, for example the offset of a record.
    pub metadata: Metadata,
}

/// The circumstances of one invocation.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked: `create`, `get`, …
    pub operation: Arc<str>,
    /// When the caller stops waiting. The binding keeps it: only the binding knows what became of the data.
    pub deadline: Instant,
}

/// Sends data to an outside system.
///
/// Shared between threads. Cancel safe: dropping the future of [`invoke`](Self::invoke) recalls what was not yet
/// handed to the backend; what was handed over may still take effect. Futures may be polled on a thread that must not
/// be held up, such as an event loop's: work that takes long belongs on a task or thread of the binding's own, and no
/// lock is held while a waker is called.
#[async_trait]
pub trait OutputBinding: Send + Sync + 'static {
    /// The operations this instance knows, in the order shown to users.
    fn operations(&self) -> &[&'static str];

    /// Whether calls of this operation are passed on; the others are refused before anything is sent.
    fn knows(&self, operation: &str) -> bool {
        self.operations().contains(&operation)
    }

    /// Runs one operation and returns after the backend confirmed it, at the latest at `call.deadline`.
    ///
    /// # Errors
    /// Past the deadline `TIMEOUT` or `UNAVAILABLE` where nothing was sent, `OUTCOME_UNKNOWN` where the data was
    /// already handed over; otherwise the code that the backend's answer maps to.
    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply>;

    /// Runs one operation for many requests; one result for each, in their order.
    async fn invoke_many(&self, call: &Call, requests: Vec<Request>) -> Vec<Result<Reply>> {
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            results.push(self.invoke(call, request).await);
        }
        results
    }

    /// A way to bring this binding's results home on the thread of a blocking caller, if it has one.
    fn driver(&self) -> Option<&dyn Driver> {
        None
    }

    /// How the connection is. Asked now and then by those who watch; must not wait. A binding that connects in the
    /// background starts to do so when it is opened, so that somebody who waits for it to be ready sees it.
    fn health(&self) -> Health {
        Health::READY
    }

    /// Whether running the operation twice does no more than running it once, as for `get` or `delete`. Then a call
    /// whose outcome is unknown may be repeated.
    fn is_repeatable(&self, operation: &str) -> bool {
        let _ = operation;
        false
    }

    /// Accepts nothing more and flushes what was accepted, at the latest by `deadline`.
    async fn close(&self, deadline: Instant) -> Result<()>;
}

/// Serves a client library's completions on a thread that would only wait otherwise.
pub trait Driver: Send + Sync {
    /// Takes the part of serving; `false` when another thread has it.
    fn begin(&self) -> bool;
    /// Serves what is there, or waits for something to serve, for at most this long.
    fn drive(&self, at_most: Duration);
    /// Gives the part back.
    fn end(&self);
}

/// Receives events from an outside system.
#[async_trait]
pub trait InputBinding: Send + Sync + 'static {
    /// Starts to read into `intake`. Does not wait for the backend: a backend that is down is read later.
    ///
    /// # Errors
    /// Only what no later attempt could mend, such as a missing setting.
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>>;

    /// The pauses between deliveries of an event that failed, and their number, as the component's own settings ask.
    /// Dispatch keeps to it; a policy stands for it, and `maxDeliveryCount` limits it.
    fn redelivery(&self) -> Backoff {
        Backoff::default()
    }
}

/// An input binding at work.
#[async_trait]
pub trait Reading: Send + Sync + 'static {
    /// Takes no more events in, waits until `deadline` for those in handlers, records what was settled and leaves.
    ///
    /// # Errors
    /// When something settled could not be recorded: it will be delivered again.
    async fn stop(&mut self, deadline: Instant) -> Result<()>;

    /// How the connection is. Asked now and then by those who watch; must not wait.
    fn health(&self) -> Health;
}
