//! From a received event to a settled one: order, redelivery, hand-over.
//!
//! An input binding opens a *lane* for everything that must stay in order (for Kafka: one assignment of one
//! partition) and pushes events into it. Packages pull events and report outcomes by token; dispatch never calls
//! into a language. The rules, in one place for all components:
//!
//! * Events of a lane are handed out in order. Handlers get a lane alone: the next events of the lane are not
//!   handed out while earlier ones are with a handler. Lanes run in parallel.
//! * An event that is sent back takes every later unsettled event of its lane back with it, so order is kept.
//! * A settled position goes back to the component, which records the contiguous prefix and nothing beyond.
//! * Closing a lane makes everything handed out from it stale: it will be delivered again to whoever is next.

mod attachment;
mod lane;
mod lanes;
mod prefix;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::event::NewEvent;
use crate::policy::Backoff;

pub(crate) use attachment::Source;
pub(crate) use lanes::SubscriptionState;
pub use prefix::SettledPrefix;
pub(crate) use subscription::WeakSubscription;
pub use subscription::{HandOut, Subscription};

/// Told by dispatch what became of a lane's events.
pub trait Settler: Send + Sync + 'static {
    /// The events at these positions were acked or dropped and need no more delivery. Called without positions
    /// when events came back unsettled, so that whoever waits for a lane to be quiet looks again.
    fn settled(&self, positions: &[i64]);
}

/// Where an input binding puts the events it reads.
#[derive(Clone)]
pub struct Intake(Arc<SubscriptionState>);

impl Intake {
    pub(crate) fn new(state: Arc<SubscriptionState>) -> Self {
        Self(state)
    }

    /// Opens a lane. `settler` hears what becomes of its events.
    pub fn open_lane(&self, settler: Arc<dyn Settler>, backoff: Backoff) -> Lane {
        let id = self.0.open_lane(settler, backoff);
        Lane { id, state: self.0.clone() }
    }
}

/// A sequence of events that stay in order. Dropping it closes it.
pub struct Lane {
    id: u64,
    state: Arc<SubscriptionState>,
}

impl Lane {
    /// Adds events at the end. Never waits: the component bounds what it pushes by what was settled.
    pub fn push(&self, events: Vec<NewEvent>) {
        self.state.push(self.id, events);
    }

    /// Hands out nothing more and makes what was handed out stale, except for handlers that already run: what
    /// they settle while the lane is closed still counts until the lane is dropped.
    pub fn close(&self) {
        self.state.close_lane(self.id);
    }

    /// How many events are with handlers.
    pub fn outstanding(&self) -> usize {
        self.state.outstanding(self.id)
    }

    /// Whether an event ran out of deliveries and holds its lane.
    pub fn is_blocked(&self) -> bool {
        self.state.is_blocked(self.id)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.state.remove_lane(self.id);
    }
}
