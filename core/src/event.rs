//! One message that an input binding received, and the ways to settle it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::body::Body;
use crate::metadata::Metadata;
use crate::telemetry::TraceContext;

/// How an event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Handled: it does not come again.
    Ack,
    /// Not handled: it comes again, in its place, after a pause; without one the component's back-off decides.
    Retry {
        /// The pause before it is delivered again.
        after: Option<Duration>,
    },
    /// Given up on purpose: it does not come again.
    Drop,
    // Dead letters join here, together with the binding that carries them.
}

impl Outcome {
    /// Deliver again after the component's own back-off.
    pub const RETRY: Self = Self::Retry { after: None };
}

/// What an input binding hands to dispatch.
#[derive(Debug)]
pub struct NewEvent {
    /// Where the event stands in its source, ascending within a lane; given back when it is settled.
    pub position: i64,
    /// The data.
    pub body: Body,
    /// Names and values, as the component's documentation lists them.
    pub metadata: Metadata,
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
        &self.stored.lane.binding
    }

    /// The data; [`Body::None`] for a message without a value, such as a tombstone.
    pub fn body(&self) -> &Body {
        &self.stored.body
    }

    /// Names and values, as the component's documentation lists them.
    pub fn metadata(&self) -> &Metadata {
        &self.stored.metadata
    }

    /// How often it has been delivered in this process, this delivery included: 1 the first time.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The trace that the sender was in, when the message carries a valid `traceparent`.
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::from_metadata(&self.stored.metadata)
    }

    /// The right to settle this delivery.
    pub fn token(&self) -> SettleToken {
        self.token
    }

    /// Whether this delivery still counts. It no longer does after an earlier event of its lane was sent back,
    /// or after the partition went to another consumer; its outcome would be ignored.
    pub fn is_current(&self) -> bool {
        !self.stored.lane.closed.load(Ordering::Acquire) && self.stored.is_delivery(self.token)
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
    pub(crate) lane: Arc<LaneFace>,
    pub(crate) sequence: u64,
    pub(crate) position: i64,
    pub(crate) body: Body,
    pub(crate) metadata: Metadata,
    /// Deliveries that failed.
    pub(crate) failures: AtomicU32,
    /// Times it was taken back; older tokens do not count.
    pub(crate) delivery: AtomicU32,
}

impl StoredEvent {
    pub(crate) fn is_delivery(&self, token: SettleToken) -> bool {
        self.delivery.load(Ordering::Acquire) == token.delivery
    }
}

/// What an event can see of its lane without a lock.
#[derive(Debug)]
pub(crate) struct LaneFace {
    pub(crate) id: u64,
    pub(crate) binding: Arc<str>,
    pub(crate) closed: AtomicBool,
}
