//! One lane: what waits, what is with handlers, and when the lane may be handed out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::Settler;
use crate::event::{Event, LaneFace, NewEvent, Outcome, SettleToken, StoredEvent};
use crate::policy::Backoff;

pub(super) struct LaneState {
    pub(super) face: Arc<LaneFace>,
    pub(super) settler: Arc<dyn Settler>,
    backoff: Backoff,
    /// Waiting to be handed out, in order.
    pending: VecDeque<Arc<StoredEvent>>,
    /// With handlers, in order.
    outstanding: VecDeque<Arc<StoredEvent>>,
    next_sequence: u64,
    /// Until then the lane rests after a failed delivery.
    pub(super) rests_until: Option<Instant>,
    /// Its first event ran out of deliveries.
    pub(super) blocked: bool,
    /// Stands in the queue of lanes that can be handed out.
    pub(super) queued: bool,
}

impl LaneState {
    pub(super) fn new(face: Arc<LaneFace>, settler: Arc<dyn Settler>, backoff: Backoff) -> Self {
        Self {
            face,
            settler,
            backoff,
            pending: VecDeque::new(),
            outstanding: VecDeque::new(),
            next_sequence: 0,
            rests_until: None,
            blocked: false,
            queued: false,
        }
    }

    pub(super) fn push(&mut self, events: Vec<NewEvent>) {
        if self.is_closed() {
            return;
        }
        self.pending.reserve(events.len());
        for event in events {
            self.pending.push_back(Arc::new(StoredEvent {
                lane: self.face.clone(),
                sequence: self.next_sequence,
                position: event.position,
                body: event.body,
                metadata: event.metadata,
                failures: AtomicU32::new(0),
                delivery: AtomicU32::new(0),
            }));
            self.next_sequence += 1;
        }
    }

    fn is_closed(&self) -> bool {
        self.face.closed.load(Ordering::Acquire)
    }

    /// Whether something can be handed out now; `alone` when the lane must be free of outstanding events.
    pub(super) fn is_ready(&self, alone: bool) -> bool {
        !self.pending.is_empty()
            && !self.blocked
            && self.rests_until.is_none()
            && (!alone || self.outstanding.is_empty())
            && !self.is_closed()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Hands out up to `max` events into `batch`.
    pub(super) fn take(&mut self, max: usize, batch: &mut Vec<Event>) {
        let count = max.min(self.pending.len());
        for stored in self.pending.drain(..count) {
            self.outstanding.push_back(stored.clone());
            batch.push(Event {
                token: SettleToken {
                    lane: self.face.id,
                    sequence: stored.sequence,
                    delivery: stored.delivery.load(Ordering::Acquire),
                },
                attempt: stored.failures.load(Ordering::Relaxed).saturating_add(1),
                stored,
            });
        }
    }

    /// Settles one delivery; `false` when its token does not count any more.
    pub(super) fn settle(
        &mut self,
        token: SettleToken,
        outcome: &Outcome,
        chance: f64,
        positions: &mut Vec<i64>,
    ) -> bool {
        let Some(index) = self.find(token) else { return false };
        match outcome {
            Outcome::Ack | Outcome::Drop => {
                // Almost always the first one, where removing is cheap.
                positions.extend(self.outstanding.remove(index).map(|event| event.position));
            }
            Outcome::Retry { after } => {
                let failures =
                    self.outstanding[index].failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                match self.backoff.pause(failures, chance) {
                    Some(pause) => self.rests_until = Some(Instant::now() + after.unwrap_or(pause)),
                    None => self.blocked = true,
                }
                self.take_back(index);
            }
        }
        true
    }

    /// Takes back an event that no handler touched, with everything after it. The delivery does not count.
    pub(super) fn release(&mut self, token: SettleToken) {
        if let Some(index) = self.find(token) {
            self.take_back(index);
        }
    }

    fn find(&self, token: SettleToken) -> Option<usize> {
        let index = self.outstanding.binary_search_by_key(&token.sequence, |event| event.sequence).ok()?;
        self.outstanding[index].is_delivery(token).then_some(index)
    }

    /// Puts the outstanding events from `index` on back to the front; their tokens stop counting, so that no later
    /// event is settled before an earlier one that failed. A closed lane only forgets them.
    fn take_back(&mut self, index: usize) {
        let closed = self.is_closed();
        for event in self.outstanding.drain(index..).rev() {
            event.delivery.fetch_add(1, Ordering::AcqRel);
            if !closed {
                self.pending.push_front(event);
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.face.closed.store(true, Ordering::Release);
        self.pending.clear();
    }
}
