//! One message that an input binding received, and the ways to settle it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::binding::Request;
use crate::body::Body;
use crate::error::Status;
use crate::metadata::Metadata;
use crate::telemetry::TraceContext;

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled: it does not come again.
    Ack,
    /// Handled, with an answer for whoever sent it, where its backend takes answers: it does not come again.
    Reply(Body),
    /// Not handled: it comes again, in its place, after a pause; without one the component's back-off decides. After
    /// `maxDeliveryCount` deliveries it becomes a dead letter, or holds its place where there is no
    /// `deadLetterBinding`.
    Retry {
        /// The pause before it is delivered again.
        after: Option<Duration>,
        /// What went wrong, for the dead letter that may become of it.
        cause: Option<Box<Cause>>,
    },
    /// Given up on purpose: it does not come again.
    Drop,
    /// Given up on purpose, and sent to the `deadLetterBinding`: settled after that binding confirmed it. Where there
    /// is no such binding the event holds its place, as one does that ran out of deliveries.
    DeadLetter {
        /// What went wrong.
        cause: Option<Box<Cause>>,
    },
    /// Handled, and these invocations follow from it: settled after all of them were confirmed, in their order. Where
    /// one fails the delivery failed; the earlier ones are then made again.
    Emit(Vec<Emission>),
}

impl Outcome {
    /// Deliver again after the component's own back-off.
    pub const RETRY: Self = Self::Retry { after: None, cause: None };

    /// Deliver again after this pause.
    pub const fn retry_after(pause: Duration) -> Self {
        Self::Retry { after: Some(pause), cause: None }
    }

    /// Deliver again after the component's own back-off, for this reason.
    pub fn failed(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Retry { after: None, cause: Some(Box::new(Cause::new(code, text))) }
    }
}

/// Why a delivery failed, as its dead letter will tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// A short name that programs can compare: an error's code or the name of an exception's class.
    pub code: String,
    /// What happened. It travels in the dead letter: it should hold no secret.
    pub text: String,
    /// The status that an application answered with, where it is one; the `matching` of a retry policy goes by it.
    pub status: Option<Status>,
}

impl Cause {
    /// A cause.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into(), status: None }
    }

    /// Adds the status that an application answered with.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// The cause of an event that a program gives up with nothing but a text; its code is `REJECTED`.
    pub fn rejected(text: impl Into<String>) -> Self {
        Self::new("REJECTED", text)
    }
}

impl From<&crate::error::Error> for Cause {
    fn from(error: &crate::error::Error) -> Self {
        Self::new(error.code().as_str(), error.to_string())
    }
}

/// An invocation that a handler asks for in its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// The component's name.
    pub binding: String,
    /// What it is asked to do, such as `create`.
    pub operation: String,
    /// What is sent. The event's trace context goes along unless the metadata has one.
    pub request: Request,
}

/// What an input binding hands to dispatch.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewEvent {
    /// Where the event stands in its source, ascending within a lane; given back when it is settled.
    pub position: i64,
    /// The data.
    pub body: Body,
    /// Names and values, as the component's documentation lists them.
    pub metadata: Metadata,
    /// A hash of the key by which events are kept in order under `orderBy: key`; `None` for an event without a key.
    pub key: Option<u64>,
    /// How often the backend delivered it before, where the backend counts.
    pub earlier_deliveries: u32,
    /// Why the component could not make anything of what it received. No handler gets such an event: it becomes a dead
    /// letter with the data as it came, or holds its lane where there is no `deadLetterBinding`.
    pub unreadable: Option<Box<Cause>>,
}

impl NewEvent {
    /// An event without a key that was not delivered before.
    pub const fn new(position: i64, body: Body, metadata: Metadata) -> Self {
        Self { position, body, metadata, key: None, earlier_deliveries: 0, unreadable: None }
    }

    /// Gives it a key. Only worth the time where [`Intake::wants_keys`](crate::component::Intake::wants_keys).
    #[must_use]
    pub fn with_key(mut self, key: &[u8]) -> Self {
        self.key = Some(hash_key(key));
        self
    }
}

/// Always the same for a key in one build, unlike the hash of a map.
pub(crate) fn hash_key(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// One delivery of one event.
///
/// It is settled by [`Subscription::settle`](crate::Subscription::settle). An event that is never settled is
/// delivered again when its partition changes hands or the program starts again.
#[derive(Debug, Clone)]
pub struct Event {
    pub(crate) stored: Arc<StoredEvent>,
    pub(crate) token: SettleToken,
    pub(crate) attempt: u32,
}

impl Event {
    /// The component that received it.
    pub fn binding(&self) -> &str {
        &self.stored.source.binding
    }

    /// The data; [`Body::None`] for a message without a value, such as a tombstone.
    pub fn body(&self) -> &Body {
        &self.stored.body
    }

    /// Names and values, as the component's documentation lists them.
    pub fn metadata(&self) -> &Metadata {
        &self.stored.metadata
    }

    /// How often it has been delivered, this delivery included: 1 the first time. What was delivered before a restart
    /// or by another process counts where the backend counts deliveries; Kafka does not.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The trace that the sender was in, when the message carries a valid `traceparent`.
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.is_traced().then(|| TraceContext::from_metadata(&self.stored.metadata)).flatten()
    }

    /// Whether the message carries a trace context; it need not be valid.
    pub fn is_traced(&self) -> bool {
        self.stored.is_traced
    }

    /// The right to settle this delivery.
    pub fn token(&self) -> SettleToken {
        self.token
    }

    /// Whether this delivery still counts. It no longer does after an earlier event of its lane was sent back,
    /// after its time was over, or after the partition went to another consumer; its outcome would be ignored.
    pub fn is_current(&self) -> bool {
        !self.stored.source.is_closed() && self.stored.is_delivery(self.token)
    }
}

/// The right to settle one delivery. A token from before a rebalance, or from before its event was taken back, is
/// ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleToken {
    /// The lane; never used twice, so it is the assignment's epoch as well.
    pub(crate) lane: u64,
    /// The event within its lane.
    pub(crate) sequence: u64,
    /// Which hand-out of the event.
    pub(crate) delivery: u32,
}

/// An event as dispatch keeps it until it is settled.
#[derive(Debug)]
pub(crate) struct StoredEvent {
    pub(crate) source: Arc<SourceFace>,
    pub(crate) sequence: u64,
    pub(crate) position: i64,
    pub(crate) body: Body,
    pub(crate) metadata: Metadata,
    /// Whether the metadata has a trace context. Looked up where the event comes in, while it is at hand.
    pub(crate) is_traced: bool,
    /// Why no handler gets it.
    pub(crate) unreadable: Option<Box<Cause>>,
    /// Deliveries that failed.
    pub(crate) failures: AtomicU32,
    /// Times it was taken back; older tokens do not count.
    pub(crate) delivery: AtomicU32,
    /// When its handler began, in nanoseconds of dispatch's clock; 0 while none has. Kept only where a time-out
    /// counts.
    pub(crate) begun: AtomicU64,
    /// The failed deliveries, once there is one.
    pub(crate) history: Mutex<Option<Box<History>>>,
}

/// The failed deliveries of an event.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) first: SystemTime,
    pub(crate) last: SystemTime,
    pub(crate) cause: Option<Box<Cause>>,
}

impl StoredEvent {
    pub(crate) fn new(source: Arc<SourceFace>, sequence: u64, event: NewEvent) -> Self {
        Self {
            source,
            sequence,
            position: event.position,
            body: event.body,
            is_traced: TraceContext::is_in(&event.metadata),
            metadata: event.metadata,
            unreadable: event.unreadable,
            failures: AtomicU32::new(event.earlier_deliveries),
            delivery: AtomicU32::new(0),
            begun: AtomicU64::new(0),
            history: Mutex::new(None),
        }
    }

    pub(crate) fn is_delivery(&self, token: SettleToken) -> bool {
        self.delivery.load(Ordering::Acquire) == token.delivery
    }

    /// Notes a failed delivery; returns how many failed by now.
    pub(crate) fn fail(&self, cause: Option<Box<Cause>>) -> u32 {
        let now = SystemTime::now();
        let mut history = self.history.lock();
        let first = history.as_ref().map_or(now, |history| history.first);
        *history = Some(Box::new(History { first, last: now, cause }));
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

/// What an event can see of its source without a lock.
#[derive(Debug)]
pub(crate) struct SourceFace {
    pub(crate) binding: Arc<str>,
    pub(crate) closed: AtomicBool,
    /// Somebody wants to know what becomes of its events.
    pub(crate) is_witnessed: bool,
}

impl SourceFace {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}
