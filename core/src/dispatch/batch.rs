//! Events that were taken together, for languages in which whoever has them can get lost.
//!
//! Tokens stay in here: a language names an event by its place. Tests: `core/src/dispatch/tests/batches.rs`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Subscription;
use crate::event::{Event, Outcome};

/// Events that were taken together. What is not settled when the batch is dropped is given back, and comes again as
/// if for the first time: a batch that nobody has any more must not hold its partition.
///
/// Shared between threads.
#[derive(Debug)]
pub struct Batch {
    subscription: Subscription,
    events: Vec<Event>,
    /// By place: settled or given back, so that nothing is left to do for it.
    done: Box<[AtomicBool]>,
}

impl Batch {
    /// Takes up to `max` events without waiting, as [`Subscription::take_batch`] does; `None` when the subscription
    /// has ended.
    pub fn take(subscription: &Subscription, max: usize) -> Option<Self> {
        let events = subscription.take_batch(max)?;
        let done = events.iter().map(|_| AtomicBool::new(false)).collect();
        Some(Self { subscription: subscription.clone(), events, done })
    }

    /// The number of events, settled ones included.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there was nothing to take.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The event at a place, counted from 0; `None` where there is none.
    pub fn event(&self, place: usize) -> Option<&Event> {
        self.events.get(place)
    }

    /// To be asked right before a handler is called, see [`Subscription::begin`]: false also for what is settled or
    /// given back, and where there is no such place.
    pub fn begin(&self, place: usize) -> bool {
        let Some(event) = self.events.get(place) else { return false };
        if self.done[place].load(Ordering::Acquire) {
            return false;
        }
        let begun = self.subscription.begin(event);
        if !begun {
            self.done[place].store(true, Ordering::Release);
        }
        begun
    }

    /// Settles events by their places; returns how many of them still counted. The first outcome of a place counts,
    /// places that do not exist count for nothing. See [`Subscription::settle`].
    pub fn settle(&self, outcomes: impl IntoIterator<Item = (usize, Outcome)>) -> usize {
        let told: Vec<_> = outcomes
            .into_iter()
            .filter_map(|(place, outcome)| Some((self.finish(place)?.token(), outcome)))
            .collect();
        if told.is_empty() { 0 } else { self.subscription.settle(&told) }
    }

    /// Gives back what is not settled from a place on, and comes again as if for the first time.
    pub fn release_from(&self, place: usize) {
        let tokens: Vec<_> =
            (place..self.events.len()).filter_map(|place| Some(self.finish(place)?.token())).collect();
        if !tokens.is_empty() {
            self.subscription.release(&tokens);
        }
    }

    /// The event of a place, for the first who asks.
    fn finish(&self, place: usize) -> Option<&Event> {
        let event = self.events.get(place)?;
        (!self.done[place].swap(true, Ordering::AcqRel)).then_some(event)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.release_from(0);
    }
}
