//! The boundary between core and Node, as a smoke test; not yet a product.
//!
//! How calls come home is in `promise.rs`. Tests: `bindings-node/test/`.
#![allow(clippy::needless_pass_by_value, reason = "what comes from JavaScript is owned")]
#![allow(clippy::missing_errors_doc, reason = "core's documentation lists the codes")]

mod error;
mod promise;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bindwright::{
    Body, Client, ClientOptions, DEFAULT_DRAIN, Event, HandOut, Metadata, Outcome, Subscription,
};
use napi::Env;
use napi::bindgen_prelude::{BufferSlice, PromiseRaw, Uint8ArraySlice};
use napi_derive::napi;

use crate::error::thrown;
use crate::promise::promise;

/// Core's client.
#[napi]
pub struct NativeClient(Client);

#[napi]
impl NativeClient {
    /// Reads the component documents of a folder.
    #[napi(factory, catch_unwind)]
    pub fn open(env: Env, resources: String) -> napi::Result<Self> {
        let resources = Some(vec![PathBuf::from(resources)]);
        thrown(env, Client::open(ClientOptions { resources, ..ClientOptions::default() })).map(Self)
    }

    /// Runs one operation. The data is copied before this returns: the caller may change its buffer then.
    #[napi(catch_unwind)]
    pub fn invoke<'env>(
        &self,
        env: &'env Env,
        name: String,
        operation: String,
        data: Option<Uint8ArraySlice>,
        metadata: Option<HashMap<String, String>>,
    ) -> napi::Result<PromiseRaw<'env, NativeReply>> {
        let body = Body::from(data.map(|data| data.to_vec()));
        let metadata = metadata.unwrap_or_default().into_iter().collect();
        let client = self.0.clone();
        promise(env, async move {
            let request = bindwright::Request { body, metadata };
            let reply = client.invoke_binding(&name, &operation, request, None).await?;
            let data = reply.body.as_bytes().map(|data| data.to_vec().into());
            Ok(NativeReply { data, metadata: texts(&reply.metadata) })
        })
    }

    /// Attaches to an input binding.
    #[napi(catch_unwind)]
    pub fn subscribe<'env>(
        &self,
        env: &'env Env,
        name: String,
    ) -> napi::Result<PromiseRaw<'env, NativeSubscription>> {
        let client = self.0.clone();
        promise(
            env,
            async move { client.subscribe(&name, HandOut::LaneAtATime).await.map(NativeSubscription) },
        )
    }

    /// Ends subscriptions, waits for handlers and records what was settled.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let client = self.0.clone();
        promise(env, async move { client.close(DEFAULT_DRAIN).await })
    }
}

/// What an operation answered.
#[napi(object, object_from_js = false)]
pub struct NativeReply {
    /// Null where the operation answers nothing.
    pub data: Option<napi::bindgen_prelude::Buffer>,
    /// Names and values from the component.
    pub metadata: HashMap<String, String>,
}

/// Events to be pulled.
#[napi]
pub struct NativeSubscription(Subscription);

#[napi]
impl NativeSubscription {
    /// Waits until a batch can be taken or the client is closed; false when `wait_ms` is over first.
    #[napi(catch_unwind)]
    pub fn ready<'env>(&self, env: &'env Env, wait_ms: Option<u32>) -> napi::Result<PromiseRaw<'env, bool>> {
        let subscription = self.0.clone();
        let wait = wait_ms.map(|wait_ms| Duration::from_millis(wait_ms.into()));
        promise(env, async move { Ok(subscription.ready(wait).await) })
    }

    /// Takes up to `max` events, at once; null when the client is closed.
    #[napi(catch_unwind)]
    pub fn take_batch(&self, max: u32) -> Option<NativeBatch> {
        let events = self.0.take_batch(max as usize)?;
        Some(NativeBatch { subscription: self.0.clone(), events })
    }
}

/// Events that came together. Tokens stay in here: JavaScript names an event by its place in the batch.
#[napi]
pub struct NativeBatch {
    subscription: Subscription,
    events: Vec<Event>,
}

#[napi]
impl NativeBatch {
    /// The number of events.
    #[napi(getter)]
    pub fn length(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    /// The data of an event; null for a message without a value.
    #[napi(catch_unwind)]
    pub fn data<'env>(&self, env: &'env Env, index: u32) -> napi::Result<Option<BufferSlice<'env>>> {
        let data = self.event(index)?.body().as_bytes();
        data.map(|data| BufferSlice::copy_from(env, data)).transpose()
    }

    /// The metadata of an event.
    #[napi(catch_unwind)]
    pub fn metadata(&self, index: u32) -> napi::Result<HashMap<String, String>> {
        Ok(texts(self.event(index)?.metadata()))
    }

    /// How often the event has been delivered, this time included.
    #[napi(catch_unwind)]
    pub fn attempt(&self, index: u32) -> napi::Result<u32> {
        Ok(self.event(index)?.attempt())
    }

    /// Settles events; returns how many of them still counted.
    #[napi(catch_unwind)]
    pub fn settle(&self, outcomes: Vec<NativeOutcome>) -> napi::Result<u32> {
        let mut settled = Vec::with_capacity(outcomes.len());
        for NativeOutcome { index, outcome, after_ms } in outcomes {
            let after = after_ms.map(|after_ms| Duration::from_millis(after_ms.into()));
            let outcome = match outcome {
                NativeOutcomeKind::ack => Outcome::Ack,
                NativeOutcomeKind::retry => Outcome::Retry { after, cause: None },
                NativeOutcomeKind::drop => Outcome::Drop,
            };
            settled.push((self.event(index)?.token(), outcome));
        }
        Ok(u32::try_from(self.subscription.settle(&settled)).unwrap_or(u32::MAX))
    }

    fn event(&self, index: u32) -> napi::Result<&Event> {
        self.events.get(index as usize).ok_or_else(|| napi::Error::from_reason("no such event in this batch"))
    }
}

impl Drop for NativeBatch {
    /// A batch that JavaScript lost would hold its partition for ever: what is not settled is given back.
    fn drop(&mut self) {
        let tokens: Vec<_> = self.events.iter().map(Event::token).collect();
        self.subscription.release(&tokens);
    }
}

/// How one event of a batch ended.
#[napi(object, object_to_js = false)]
pub struct NativeOutcome {
    /// Its place in the batch.
    pub index: u32,
    /// What became of it.
    pub outcome: NativeOutcomeKind,
    /// For `retry`: the pause before the next delivery.
    pub after_ms: Option<u32>,
}

/// What became of an event.
#[napi(string_enum)]
#[allow(non_camel_case_types, reason = "the names are JavaScript's values")]
pub enum NativeOutcomeKind {
    /// Handled.
    ack,
    /// To be delivered again.
    retry,
    /// Given up on purpose.
    drop,
}

/// A Kafka broker inside this process, for the tests.
#[napi]
pub struct DevBroker(Option<bindwright::dev::DevBroker>);

#[napi]
impl DevBroker {
    /// Starts it on a port; 0 takes a free one.
    #[napi(factory, catch_unwind)]
    pub fn start(env: Env, port: u16) -> napi::Result<Self> {
        thrown(env, bindwright::dev::DevBroker::start(port)).map(|broker| Self(Some(broker)))
    }

    /// `host:port`.
    #[napi(getter)]
    pub fn bootstrap(&self) -> Option<String> {
        self.0.as_ref().map(bindwright::dev::DevBroker::bootstrap)
    }

    /// Ends it. A program that never calls this may lose its broker to the garbage collector long before it ends.
    #[napi(catch_unwind)]
    pub fn stop(&mut self) {
        self.0 = None;
    }
}

fn texts(metadata: &Metadata) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.text().into_owned())).collect()
}
