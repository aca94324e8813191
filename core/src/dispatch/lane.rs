//! One lane: what waits, what is with handlers, what is being settled, and when the lane may be handed out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::time::Instant;

use super::rules::Rules;
use super::settling::{Job, Work};
use super::{Ending, HandOut, Sighting};
use crate::body::Body;
use crate::error::{ErrorCode, Status};
use crate::event::{Cause, Event, NewEvent, Outcome, SettleToken, SourceFace, StoredEvent};
use crate::policy::Permit;
use crate::runtime::moment_in;

/// Lanes are numbered through the whole process: a number is never used twice, so no token outlives its lane.
static NEXT_LANE: AtomicU64 = AtomicU64::new(0);

pub(super) struct LaneState {
    pub(super) id: u64,
    pub(super) source: u64,
    face: Arc<SourceFace>,
    /// The key whose events these are, under `orderBy: key`.
    pub(super) key: Option<u64>,
    /// Waiting to be handed out, in order.
    pending: VecDeque<Arc<StoredEvent>>,
    /// With handlers, in order.
    outstanding: VecDeque<Arc<StoredEvent>>,
    /// Handled, and waiting for the confirmation of what they became: dead letters and emissions. Few.
    settling: Vec<Arc<StoredEvent>>,
    /// What the breaker admitted, by sequence: a handler's success or failure is reported to it.
    permits: Vec<(u64, Permit)>,
    next_sequence: u64,
    /// Until then the lane rests after a failed delivery.
    pub(super) rests_until: Option<Instant>,
    /// This event ran out of deliveries: neither it nor one after it is handed out.
    blocked: Option<u64>,
    /// Stands in the queue of lanes that can be handed out.
    pub(super) queued: bool,
    /// What it counts for in the number of busy handlers.
    pub(super) counted: usize,
}

/// What settling did beside.
#[derive(Default)]
pub(super) struct Effects {
    /// Positions that need no more delivery.
    pub(super) positions: Vec<i64>,
    /// What handlers answered, by position.
    pub(super) replies: Vec<(i64, Body)>,
    /// What has to be confirmed first.
    pub(super) jobs: Vec<Job>,
    /// For the witness, where there is one.
    pub(super) sightings: Vec<Sighting>,
    /// An event that holds its lane from now on.
    pub(super) blocked: Option<Arc<StoredEvent>>,
}

impl LaneState {
    pub(super) fn new(source: u64, face: Arc<SourceFace>, key: Option<u64>) -> Self {
        Self {
            id: NEXT_LANE.fetch_add(1, Ordering::Relaxed),
            source,
            face,
            key,
            pending: VecDeque::new(),
            outstanding: VecDeque::new(),
            settling: Vec::new(),
            permits: Vec::new(),
            next_sequence: 0,
            rests_until: None,
            blocked: None,
            queued: false,
            counted: 0,
        }
    }

    pub(super) fn reserve(&mut self, events: usize) {
        self.pending.reserve(events);
    }

    pub(super) fn push(&mut self, event: NewEvent) {
        let stored = StoredEvent::new(self.face.clone(), self.next_sequence, event);
        self.pending.push_back(Arc::new(stored));
        self.next_sequence += 1;
    }

    /// Whether something can be handed out now.
    pub(super) fn is_ready(&self, hand_out: HandOut) -> bool {
        let alone = hand_out != HandOut::Freely;
        self.waiting() > 0
            && self.rests_until.is_none()
            && (!alone || self.busy() == 0)
            && !self.face.is_closed()
    }

    /// Events that are with handlers or being settled.
    pub(super) fn busy(&self) -> usize {
        self.outstanding.len() + self.settling.len()
    }

    /// Whether nothing is left that anybody could ask for.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.busy() == 0
    }

    /// Events that could be handed out.
    pub(super) fn waiting(&self) -> usize {
        match self.blocked {
            None => self.pending.len(),
            Some(blocked) => self.pending.partition_point(|event| event.sequence < blocked),
        }
    }

    /// Hands out up to `max` events into `batch`, with the breaker's permits for them where there is one.
    pub(super) fn take(&mut self, max: usize, permits: Vec<Permit>, batch: &mut Vec<Event>) {
        let count = max.min(self.waiting());
        self.permits.extend(self.pending.iter().map(|event| event.sequence).zip(permits));
        for stored in self.pending.drain(..count) {
            insert(&mut self.outstanding, stored.clone());
            batch.push(Event {
                token: SettleToken {
                    lane: self.id,
                    sequence: stored.sequence,
                    delivery: stored.delivery.load(Ordering::Acquire),
                },
                attempt: stored.failures.load(Ordering::Relaxed).saturating_add(1),
                stored,
            });
        }
    }

    /// Settles deliveries that were reported together; returns how many of their tokens still counted.
    ///
    /// What was handled counts first, so that an event that failed in the middle of a batch does not take back those
    /// after it that were handled as well.
    pub(super) fn settle(
        &mut self,
        run: &[(SettleToken, Outcome)],
        rules: &Rules,
        hand_out: HandOut,
        effects: &mut Effects,
    ) -> usize {
        let mut counted = 0;
        let mut failed = false;
        let mut follow_up = None;
        for (token, outcome) in run {
            match outcome {
                Outcome::Ack | Outcome::Drop | Outcome::Reply(_) => {
                    let Some(index) = self.find(*token) else { continue };
                    self.report(token.sequence, true);
                    // Almost always the first one, where removing is cheap.
                    if let Some(event) = self.outstanding.remove(index) {
                        let is_dropped = matches!(outcome, Outcome::Drop);
                        let ending = if is_dropped { Ending::Drop } else { Ending::Ack };
                        if let Outcome::Reply(body) = outcome {
                            effects.replies.push((event.position, body.clone()));
                        }
                        count(rules, &event);
                        self.sight_end(&event, ending, effects);
                        effects.positions.push(event.position);
                    }
                }
                Outcome::Emit(outputs) => {
                    let Some(index) = self.find(*token) else { continue };
                    self.report(token.sequence, true);
                    count(rules, &self.outstanding[index]);
                    self.begin_settling(index, Work::Emit(outputs.clone()), effects);
                    follow_up.get_or_insert(token.sequence);
                }
                Outcome::DeadLetter { cause } if rules.dead_letters.is_some() => {
                    let Some(index) = self.find(*token) else { continue };
                    // The handler works: it is the event that is at fault.
                    self.report(token.sequence, true);
                    count(rules, &self.outstanding[index]);
                    self.outstanding[index].fail(cause.clone());
                    self.sight_failure(&self.outstanding[index], None, effects);
                    self.exhaust(index, rules, effects);
                    follow_up.get_or_insert(token.sequence);
                }
                Outcome::DeadLetter { .. } | Outcome::Retry { .. } => {
                    failed = true;
                    continue;
                }
            }
            counted += 1;
        }
        if failed {
            // The last one first: taking an event back makes the tokens after it stale.
            for (token, outcome) in run.iter().rev() {
                let Some(index) = self.find(*token) else { continue };
                counted += 1;
                let event = &self.outstanding[index];
                count(rules, event);
                let pause = match outcome {
                    Outcome::Retry { after, cause } => {
                        let failures = event.fail(cause.clone());
                        self.sight_failure(event, *after, effects);
                        self.report(token.sequence, false);
                        let pause = rules.pause_after(failures, *after, status_of(cause.as_deref()));
                        count_failure(rules, cause.as_deref(), pause.is_some());
                        pause
                    }
                    Outcome::DeadLetter { cause } => {
                        event.fail(cause.clone());
                        self.sight_failure(event, None, effects);
                        self.report(token.sequence, true);
                        None
                    }
                    Outcome::Ack | Outcome::Drop | Outcome::Reply(_) | Outcome::Emit(_) => continue,
                };
                if let Some(pause) = pause {
                    self.rests_until = Some(moment_in(pause));
                    self.take_back(index);
                } else {
                    self.exhaust(index, rules, effects);
                    self.take_back(self.first_after(token.sequence));
                }
            }
        }
        // A handler of single events has not begun what comes after: it waits until this one is confirmed.
        if let Some(sequence) = follow_up
            && hand_out == HandOut::LaneAtATime
        {
            self.take_back(self.first_after(sequence));
        }
        counted
    }

    /// An event that gets no more deliveries: it becomes a dead letter, or holds its lane.
    fn exhaust(&mut self, index: usize, rules: &Rules, effects: &mut Effects) {
        if let Some(dead_letters) = &rules.dead_letters {
            self.begin_settling(index, Work::DeadLetter(dead_letters.clone()), effects);
        } else if rules.gives_back {
            self.sight_end(&self.outstanding[index], Ending::Held, effects);
            self.rests_until = Some(moment_in(rules.longest_pause));
            self.take_back(index);
        } else {
            let sequence = self.outstanding[index].sequence;
            self.blocked = Some(self.blocked.map_or(sequence, |first| first.min(sequence)));
            self.sight_end(&self.outstanding[index], Ending::Held, effects);
            effects.blocked = Some(self.outstanding[index].clone());
            self.take_back(index);
        }
    }

    /// Notes that a delivery failed, where somebody wants to know; `after` is the pause that its handler asked for.
    fn sight_failure(&self, event: &StoredEvent, after: Option<Duration>, effects: &mut Effects) {
        self.sight(event, None, after, effects);
    }

    /// Notes how an event ended, where somebody wants to know.
    fn sight_end(&self, event: &StoredEvent, ending: Ending, effects: &mut Effects) {
        self.sight(event, Some(ending), None, effects);
    }

    fn sight(
        &self,
        event: &StoredEvent,
        ending: Option<Ending>,
        after: Option<Duration>,
        effects: &mut Effects,
    ) {
        if self.face.is_witnessed {
            let history = event.history.lock();
            let cause = history.as_ref().and_then(|history| history.cause.clone());
            effects.sightings.push(Sighting { position: event.position, ending, cause, after });
        }
    }

    fn begin_settling(&mut self, index: usize, work: Work, effects: &mut Effects) {
        if let Some(event) = self.outstanding.remove(index) {
            self.settling.push(event.clone());
            effects.jobs.push(Job { lane: self.id, event, work });
        }
    }

    /// What an event became was confirmed.
    pub(super) fn settled(&mut self, event: &StoredEvent, ending: Ending, effects: &mut Effects) {
        if self.end_settling(event).is_some() {
            self.sight_end(event, ending, effects);
            effects.positions.push(event.position);
        }
    }

    /// What an event should have become was refused: the delivery failed.
    pub(super) fn settling_failed(
        &mut self,
        event: &StoredEvent,
        cause: Cause,
        rules: &Rules,
        effects: &mut Effects,
    ) {
        let Some(event) = self.end_settling(event) else { return };
        let failures = event.fail(Some(Box::new(cause)));
        self.sight_failure(&event, None, effects);
        insert(&mut self.outstanding, event.clone());
        let index = self.first_after(event.sequence) - 1;
        match rules.pause_after(failures, None, None) {
            Some(pause) => {
                self.rests_until = Some(moment_in(pause));
                self.take_back(index);
            }
            None => self.exhaust(index, rules, effects),
        }
    }

    /// An event whose settling was given up because its source closed: whoever reads the source next gets it again.
    pub(super) fn end_settling(&mut self, event: &StoredEvent) -> Option<Arc<StoredEvent>> {
        let index = self.settling.iter().position(|settling| settling.sequence == event.sequence)?;
        Some(self.settling.swap_remove(index))
    }

    /// Takes back an event that no handler touched, with everything after it. The delivery does not count.
    pub(super) fn release(&mut self, token: SettleToken) {
        if let Some(index) = self.find(token) {
            self.take_back(index);
        }
    }

    /// The deliveries whose handlers began so long ago, in nanoseconds of the clock.
    pub(super) fn begun_before(&self, then: u64) -> impl Iterator<Item = SettleToken> {
        self.outstanding.iter().filter_map(move |event| {
            let begun = event.begun.load(Ordering::Acquire);
            (begun != 0 && begun <= then).then(|| SettleToken {
                lane: self.id,
                sequence: event.sequence,
                delivery: event.delivery.load(Ordering::Acquire),
            })
        })
    }

    /// Tells the breaker how a handler did.
    fn report(&mut self, sequence: u64, succeeded: bool) {
        if let Some(index) = self.permits.iter().position(|(of, _)| *of == sequence) {
            let (_, permit) = self.permits.swap_remove(index);
            if succeeded {
                permit.success(Instant::now());
            } else {
                permit.failure(Instant::now());
            }
        }
    }

    fn find(&self, token: SettleToken) -> Option<usize> {
        let index = self.outstanding.binary_search_by_key(&token.sequence, |event| event.sequence).ok()?;
        self.outstanding[index].is_delivery(token).then_some(index)
    }

    fn first_after(&self, sequence: u64) -> usize {
        self.outstanding.partition_point(|event| event.sequence <= sequence)
    }

    /// Puts the outstanding events from `index` on back to where they waited; their tokens stop counting, so that no
    /// later event is settled before an earlier one that failed. A closed source only forgets them.
    fn take_back(&mut self, index: usize) {
        let closed = self.face.is_closed();
        for event in self.outstanding.drain(index..).rev() {
            event.delivery.fetch_add(1, Ordering::AcqRel);
            event.begun.store(0, Ordering::Release);
            // What no handler had counts for nothing.
            self.permits.retain(|(of, _)| *of != event.sequence);
            if !closed {
                insert(&mut self.pending, event);
            }
        }
    }

    /// Forgets what waits, once the source is closed.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }
}

/// What an application answered instead of handling an event.
fn status_of(cause: Option<&Cause>) -> Option<Status> {
    cause.and_then(|cause| cause.status)
}

/// Counts an event at the end of its first delivery, where a policy concerns it.
fn count(rules: &Rules, event: &StoredEvent) {
    if let Some(counts) = &rules.counts
        && event.failures.load(Ordering::Relaxed) == 0
    {
        counts.executed();
    }
}

fn count_failure(rules: &Rules, cause: Option<&Cause>, comes_again: bool) {
    let Some(counts) = &rules.counts else { return };
    if rules.timeout.is_some() && cause.is_some_and(|cause| cause.code == ErrorCode::Timeout.as_str()) {
        counts.timed_out();
    }
    if comes_again {
        counts.retried();
    }
}

/// Puts an event in its place; almost always an end, where that is cheap.
fn insert(queue: &mut VecDeque<Arc<StoredEvent>>, event: Arc<StoredEvent>) {
    match (queue.front(), queue.back()) {
        (_, Some(last)) if last.sequence < event.sequence => queue.push_back(event),
        (None, _) => queue.push_back(event),
        (Some(first), _) if event.sequence < first.sequence => queue.push_front(event),
        _ => {
            let index = queue.partition_point(|known| known.sequence < event.sequence);
            queue.insert(index, event);
        }
    }
}
