//! From a received event to a settled one: order, concurrency, redelivery, dead letters.
//!
//! An input binding opens a *source* (for Kafka: one assignment of one partition) and pushes events into it; they are
//! sorted into *lanes*, which are what stays in order: one for the source, one for each key, or one for each event, as
//! `orderBy` says. Packages pull events and report outcomes by token; dispatch never calls into a language. The rules,
//! in one place for all components:
//!
//! * Events of a lane are handed out in order. Handlers get a lane alone: the next events of the lane are not
//!   handed out while earlier ones are with a handler. Lanes run in parallel, as many as `maxInFlight` allows.
//! * An event that is sent back takes every later unsettled event of its lane back with it, so order is kept.
//! * An event that ran out of deliveries leaves through the dead letter binding. Where there is none, or while it does
//!   not accept, the event holds its lane: visible in the component's state, never lost.
//! * What a handler emits, and a dead letter, is confirmed before the event is settled.
//! * A settled position goes back to the component, which records the contiguous prefix and nothing beyond.
//! * Closing a source makes everything handed out from it stale: it will be delivered again to whoever is next.
//!
//! `state.rs` has the lock and the signals, `lanes.rs` all lanes, `lane.rs` one of them, `settling.rs` what becomes of
//! an event before it is settled, `listener.rs` what a component has yet to hear, `witness.rs` what becomes
//! of single events for whoever asks, `rules.rs` what settings and policies say, `attachment.rs` what is read from,
//! `subscription.rs` the handlers' side, `batch.rs` events for languages that can lose them.

mod attachment;
mod batch;
mod lane;
mod lanes;
mod listener;
mod prefix;
mod rules;
mod settling;
mod state;
mod subscription;
#[cfg(test)]
mod tests;
mod witness;

use std::sync::Arc;

use crate::body::Body;
use crate::event::NewEvent;

pub(crate) use attachment::ReadFrom;
pub use batch::Batch;
pub use prefix::SettledPrefix;
pub use rules::OrderBy;
pub(crate) use rules::Rules;
pub(crate) use settling::Outputs;
pub(crate) use state::SubscriptionState;
pub(crate) use subscription::WeakSubscription;
pub use subscription::{HandOut, Subscription};
pub use witness::Ending;
pub(crate) use witness::{Sighting, Witness};

/// Told by dispatch what became of a source's events.
pub trait Settler: Send + Sync + 'static {
    /// The events at these positions need no more delivery: acked, dropped, or confirmed as what they became. Called
    /// without positions when events came back unsettled, so that whoever waits for a source to be quiet looks again.
    fn settled(&self, positions: &[i64]);

    /// What the handler of the event at this position answered, told before the position is settled. For backends that
    /// wait for an answer; others need not listen.
    fn replied(&self, position: i64, reply: Body) {
        let _ = (position, reply);
    }
}

/// Where an input binding puts the events it reads.
#[derive(Clone)]
pub struct Intake {
    state: Arc<SubscriptionState>,
    /// Known from the beginning: other rules come with another intake.
    wants_keys: bool,
}

impl Intake {
    pub(crate) fn new(state: Arc<SubscriptionState>) -> Self {
        let wants_keys = state.order_by() == OrderBy::Key;
        Self { state, wants_keys }
    }

    /// Opens a source of events. `settler` hears what becomes of them.
    pub fn open_source(&self, settler: Arc<dyn Settler>) -> Source {
        self.open_witnessed(settler, None)
    }

    /// Opens a source whose events somebody else wants to know about as well.
    pub(crate) fn open_witnessed(
        &self,
        settler: Arc<dyn Settler>,
        witness: Option<Arc<dyn Witness>>,
    ) -> Source {
        Source { id: self.state.open_source(settler, witness), state: self.state.clone() }
    }

    /// Whether events are kept in order by their keys, so that computing them is worth the time.
    pub fn wants_keys(&self) -> bool {
        self.wants_keys
    }
}

/// Events that one settler hears of; their positions ascend. Dropping it closes it.
pub struct Source {
    id: u64,
    state: Arc<SubscriptionState>,
}

impl Source {
    /// Adds events at the end. Never waits: the component bounds what it pushes by what was settled.
    pub fn push(&self, events: Vec<NewEvent>) {
        self.state.push(self.id, events);
    }

    /// Hands out nothing more and makes what was handed out stale, except for handlers that already run: what
    /// they settle while the source is closed still counts until the source is dropped.
    pub fn close(&self) {
        self.state.close_source(self.id);
    }

    /// How many events are with handlers, on their way to become something else, or settled without the settler having
    /// been told. When none is left of a closed source, its settler is called once more.
    pub fn outstanding(&self) -> usize {
        self.state.busy(self.id)
    }

    /// Whether an event ran out of deliveries and holds its lane.
    pub fn is_blocked(&self) -> bool {
        self.state.is_blocked(self.id)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.state.remove_source(self.id);
    }
}
