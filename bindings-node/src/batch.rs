//! Events on their way to JavaScript: subscriptions, and the batches that are taken from them.

use bindwright::{Batch, Body, Event, Outcome, Subscription};
use napi::Env;
use napi::bindgen_prelude::{BufferSlice, Int32ArraySlice, ObjectFinalize, PromiseRaw};
use napi_derive::napi;

use crate::calls::{Keeps, begin, promise};
use crate::convert::{Data, duration, texts};
use crate::outcomes::NativeOutcome;

/// Bodies of up to so many bytes cross together,
const SMALL_BODY: usize = 2 * 1024;
/// up to so many bytes: who keeps one of them keeps all.
const BODIES_TOGETHER: usize = 16 * 1024;

/// Attached to an input binding.
#[napi]
pub struct NativeSubscription(Subscription);

impl NativeSubscription {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self(subscription)
    }
}

#[napi]
impl NativeSubscription {
    /// Waits until a batch can be taken or there will be no more. `keeps`: the process stays alive meanwhile.
    #[napi(catch_unwind)]
    pub fn ready<'env>(
        &self,
        env: &'env Env,
        key: Option<u32>,
        keeps: bool,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let subscription = self.0.clone();
        let keeps = if keeps { Keeps::Process } else { Keeps::Nothing };
        begin(env, key, keeps, async move { Ok(subscription.ready(None).await) })
    }

    /// Whether the time of handlers counts.
    #[napi(getter, catch_unwind)]
    pub fn is_timed(&self) -> bool {
        self.0.handler_timeout().is_some()
    }

    /// Takes up to `max` events, at once; null when there will be no more.
    #[napi(catch_unwind)]
    pub fn take(&self, env: Env, max: u32) -> Option<NativeBatch> {
        let batch = Batch::take(&self.0, max as usize)?;
        let (mut bytes, mut is_traced) = (0, false);
        for event in (0..batch.len()).filter_map(|place| batch.event(place)) {
            bytes += event.body().len();
            is_traced = is_traced || event.is_traced();
        }
        let batch = NativeBatch { batch, bytes, is_traced };
        batch.tell_size(env, 1);
        Some(batch)
    }

    /// Hands out nothing more, waits for what is with the program, and leaves.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env, drain_ms: f64) -> napi::Result<PromiseRaw<'env, ()>> {
        let subscription = self.0.clone();
        promise(env, async move { subscription.close(duration(drain_ms)).await })
    }
}

/// Events that came together. Tokens stay in here: JavaScript names an event by its place. What is not settled when
/// this is collected is given back.
#[napi(custom_finalize)]
pub struct NativeBatch {
    batch: Batch,
    /// Of all bodies, which V8's heap does not show.
    bytes: usize,
    is_traced: bool,
}

impl NativeBatch {
    /// Tells V8 what this object is worth, so that it is collected in time.
    fn tell_size(&self, env: Env, sign: i64) {
        // It only hints: without an answer nothing is lost.
        let _ = env.adjust_external_memory(sign * i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }

    fn event(&self, place: u32) -> napi::Result<&Event> {
        let event = self.batch.event(place as usize);
        event.ok_or_else(|| napi::Error::from_reason("no such event in this batch"))
    }
}

impl ObjectFinalize for NativeBatch {
    fn finalize(self, env: Env) -> napi::Result<()> {
        self.tell_size(env, -1);
        Ok(())
    }
}

#[napi]
impl NativeBatch {
    /// The number of events.
    #[napi(getter)]
    pub fn length(&self) -> u32 {
        u32::try_from(self.batch.len()).unwrap_or(u32::MAX)
    }

    /// Whether any of the events carries a trace.
    #[napi(getter, catch_unwind)]
    pub fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// The data of an event; null for a message without a value.
    #[napi(catch_unwind)]
    pub fn data(&self, place: u32) -> napi::Result<Data> {
        Ok(Data(self.event(place)?.body().clone()))
    }

    /// The metadata of an event: names and values in turn.
    #[napi(catch_unwind)]
    pub fn metadata(&self, place: u32) -> napi::Result<Vec<String>> {
        Ok(texts(self.event(place)?.metadata()))
    }

    /// How often the event has been delivered, this time included.
    #[napi(catch_unwind)]
    pub fn attempt(&self, place: u32) -> napi::Result<u32> {
        Ok(self.event(place)?.attempt())
    }

    /// The sender's `traceparent` and `tracestate`; null where the event carries none that is valid.
    #[napi(catch_unwind)]
    pub fn trace(&self, place: u32) -> napi::Result<Option<Vec<String>>> {
        let trace = self.event(place)?.trace_context();
        Ok(trace.map(|trace| {
            let state = trace.tracestate().map(str::to_owned);
            std::iter::once(trace.traceparent().to_owned()).chain(state).collect()
        }))
    }

    /// How many events from a place on, up to `most`, are still to be handled; to be asked right before their handlers
    /// are called. 0: not this one.
    #[napi(catch_unwind)]
    pub fn begin(&self, place: u32, most: u32) -> u32 {
        let begun = (place..place.saturating_add(most)).take_while(|place| self.batch.begin(*place as usize));
        u32::try_from(begun.count()).unwrap_or(u32::MAX)
    }

    /// The data of several events from a place on in one buffer, for small ones; null where the first is a large one.
    /// `ends` is filled with where each ends: -1 for a message without a value, -2 behind the last.
    #[napi(catch_unwind)]
    pub fn bodies<'env>(
        &self,
        env: &'env Env,
        place: u32,
        mut ends: Int32ArraySlice,
    ) -> napi::Result<Option<BufferSlice<'env>>> {
        // SAFETY: nothing else of JavaScript runs while this writes.
        let ends = unsafe { ends.as_mut() };
        let (mut together, mut count) = (Vec::new(), 0);
        for (end, place) in ends.iter_mut().zip(place as usize..) {
            *end = -2;
            let Some(body) = self.batch.event(place).map(Event::body) else { break };
            if body.len() > SMALL_BODY || together.len() + body.len() > BODIES_TOGETHER {
                break;
            }
            *end = -1;
            if let Body::Bytes(bytes) = body {
                together.extend_from_slice(bytes);
                *end = i32::try_from(together.len()).unwrap_or(i32::MAX);
            }
            count += 1;
        }
        (count > 0).then(|| BufferSlice::copy_from(env, &together)).transpose()
    }

    /// Acks the events of these places, the last one left out; returns how many of them still counted.
    #[napi(catch_unwind)]
    pub fn ack(&self, from: u32, to: u32) -> u32 {
        let acked = (from as usize..to as usize).map(|place| (place, Outcome::Ack));
        u32::try_from(self.batch.settle(acked)).unwrap_or(u32::MAX)
    }

    /// Settles events; returns how many of them still counted.
    #[napi(catch_unwind)]
    pub fn settle(&self, outcomes: Vec<NativeOutcome>) -> u32 {
        let settled = self.batch.settle(outcomes.into_iter().map(NativeOutcome::told));
        u32::try_from(settled).unwrap_or(u32::MAX)
    }

    /// Gives back what is not settled from a place on; it comes again as if for the first time.
    #[napi(catch_unwind)]
    pub fn release(&self, from: u32) {
        self.batch.release_from(from as usize);
    }
}
