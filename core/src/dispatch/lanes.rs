//! All lanes of a subscription: which can be handed out, which rest, and what becomes of their events.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::lane::{Effects, LaneState};
use super::listener::{Listener, Message};
use super::rules::{OrderBy, Rules};
use super::settling::Job;
use super::{HandOut, Settler, Witness};
use crate::error::{Error, ErrorCode};
use crate::event::{Event, NewEvent, SourceFace, StoredEvent};
use crate::policy::{BreakerState, Permit, Refusal};

static NEXT_SOURCE: AtomicU64 = AtomicU64::new(0);

/// What an input binding opened: the lanes that its events are sorted into.
struct SourceState {
    face: Arc<SourceFace>,
    listener: Arc<Listener>,
    lanes: HashSet<u64>,
    /// Under `orderBy: partition` the only lane.
    only: Option<u64>,
    /// Under `orderBy: key` the lanes of keys that have events.
    by_key: HashMap<u64, u64>,
}

/// A breaker's refusal.
#[derive(Clone, Copy)]
struct Refused {
    ask_again: Instant,
    /// Whether a settled event may change it: the breaker lets a few out to see.
    is_half_open: bool,
}

/// How soon a half-open breaker is asked again: its trial may be another subscription's.
const TRIAL_LOOK: Duration = Duration::from_millis(50);

/// Everything under the subscription's one lock.
pub(super) struct Lanes {
    pub(super) rules: Arc<Rules>,
    pub(super) hand_out: HandOut,
    sources: HashMap<u64, SourceState>,
    by_id: HashMap<u64, LaneState>,
    /// Lanes that can be handed out, in the order in which they became so.
    ready: VecDeque<u64>,
    /// Lanes that rest after a failed delivery, the first to wake on top; an entry that a lane no longer stands by is
    /// ignored.
    resting: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Handlers that have work: lanes, or events where a handler may have several lanes at once.
    in_flight: usize,
    /// The breaker refused to let events out, and is asked again then.
    refused: Option<Refused>,
    /// Lanes held by an event that ran out of deliveries, and the first of these events.
    blocked: HashMap<u64, Error>,
}

impl Lanes {
    pub(super) fn new(rules: Arc<Rules>, hand_out: HandOut) -> Self {
        Self {
            rules,
            hand_out,
            sources: HashMap::new(),
            by_id: HashMap::new(),
            ready: VecDeque::new(),
            resting: BinaryHeap::new(),
            in_flight: 0,
            refused: None,
            blocked: HashMap::new(),
        }
    }

    pub(super) fn set_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
        self.refused = None;
    }

    pub(super) fn open_source(
        &mut self,
        binding: Arc<str>,
        settler: Arc<dyn Settler>,
        witness: Option<Arc<dyn Witness>>,
    ) -> u64 {
        let id = NEXT_SOURCE.fetch_add(1, Ordering::Relaxed);
        let is_witnessed = witness.is_some();
        let face = Arc::new(SourceFace { binding, closed: AtomicBool::new(false), is_witnessed });
        let listener = Listener::new(face.clone(), settler, witness);
        let (lanes, by_key) = (HashSet::new(), HashMap::new());
        self.sources.insert(id, SourceState { face, listener, lanes, only: None, by_key });
        id
    }

    /// Sorts events into lanes; `true` when one of them can be handed out now.
    pub(super) fn push(&mut self, source: u64, events: Vec<NewEvent>) -> bool {
        let Some(state) = self.sources.get_mut(&source).filter(|state| !state.face.is_closed()) else {
            return false;
        };
        if self.rules.order_by == OrderBy::Partition {
            let id = state.only(&mut self.by_id, source);
            if let Some(lane) = self.by_id.get_mut(&id) {
                lane.reserve(events.len());
                for event in events {
                    lane.push(event);
                }
            }
            return self.look_at(id);
        }
        let keys_count = self.rules.order_by == OrderBy::Key;
        let mut woken = false;
        for event in events {
            let key = event.key.filter(|_| keys_count);
            let Some(state) = self.sources.get_mut(&source) else { break };
            let id = state.lane_of(key, &mut self.by_id, source);
            if let Some(lane) = self.by_id.get_mut(&id) {
                lane.push(event);
            }
            woken |= self.look_at(id);
        }
        woken
    }

    /// To be called whenever something about a lane changed: counts it, queues it, has it rest, or forgets it when it
    /// was made for events that are gone. `true` when it can be handed out as of now.
    pub(super) fn look_at(&mut self, id: u64) -> bool {
        let Some(lane) = self.by_id.get_mut(&id) else { return false };
        let counts = match self.hand_out {
            HandOut::LaneAtATime => usize::from(lane.busy() > 0),
            HandOut::Batches | HandOut::Freely => lane.busy(),
        };
        self.in_flight = self.in_flight + counts - lane.counted;
        lane.counted = counts;
        let is_ready = lane.is_ready(self.hand_out);
        if is_ready && !lane.queued {
            lane.queued = true;
            self.ready.push_back(id);
            return true;
        }
        if !is_ready && lane.queued {
            // Handed out freely, it was queued for the events behind one that was sent back since.
            lane.queued = false;
            self.ready.retain(|ready| *ready != id);
        }
        if self.rules.order_by != OrderBy::Partition && lane.is_empty() {
            let (source, key) = (lane.source, lane.key);
            self.by_id.remove(&id);
            self.blocked.remove(&id);
            if let Some(source) = self.sources.get_mut(&source) {
                source.lanes.remove(&id);
                // A lane without a key holds one event, and nobody looks for it.
                key.and_then(|key| source.by_key.remove(&key));
            }
        }
        false
    }

    /// Whether a lane rests, so that somebody has to keep the time for it.
    pub(super) fn rests(&self, id: u64) -> bool {
        self.by_id.get(&id).is_some_and(|lane| lane.rests_until.is_some())
    }

    /// Wakes lanes whose pause is over, and tries a breaker again that was open.
    pub(super) fn wake(&mut self) {
        if self.refused.is_some_and(|refused| refused.ask_again <= Instant::now()) {
            self.refused = None;
        }
        if self.resting.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(Reverse((until, id))) = self.resting.peek().copied()
            && until <= now
        {
            self.resting.pop();
            // A later pause of the same lane has an entry of its own.
            if let Some(lane) = self.by_id.get_mut(&id)
                && lane.rests_until == Some(until)
            {
                lane.rests_until = None;
                self.look_at(id);
            }
        }
    }

    /// When [`wake`](Self::wake) will have something to do.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let rests = self.resting.peek().map(|Reverse((until, _))| *until);
        let asks = self.refused.map(|refused| refused.ask_again);
        [rests, asks].into_iter().flatten().min()
    }

    /// Whether as many handlers have work as may, or the breaker lets them have no more.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= self.rules.max_in_flight || self.refused.is_some()
    }

    /// As many permits as the breaker gives, at most so many; `None` where there is no breaker.
    fn admit(&mut self, most: usize) -> Option<Vec<Permit>> {
        let breaker = self.rules.breaker.as_ref()?;
        let now = Instant::now();
        let mut permits = Vec::new();
        while permits.len() < most {
            match breaker.admit(now) {
                Ok(permit) => permits.push(permit),
                Err(refusal) => {
                    let (ask_again, is_half_open) = match refusal {
                        Refusal::Open { until } => (until, false),
                        Refusal::HalfOpenFull => (now + TRIAL_LOOK, true),
                    };
                    self.refused = Some(Refused { ask_again, is_half_open });
                    break;
                }
            }
        }
        Some(permits)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() && !self.is_full()
    }

    /// Lanes that could be handed out now.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len().min(self.rules.max_in_flight - self.in_flight.min(self.rules.max_in_flight))
    }

    /// Hands out up to `max` events into `batch`.
    pub(super) fn take(&mut self, max: usize, batch: &mut Vec<Event>) {
        while batch.len() < max
            && !self.is_full()
            && let Some(id) = self.ready.pop_front()
        {
            let room = match self.hand_out {
                HandOut::LaneAtATime => usize::MAX,
                HandOut::Batches | HandOut::Freely => self.rules.max_in_flight - self.in_flight,
            };
            let Some(lane) = self.by_id.get_mut(&id) else { continue };
            lane.queued = false;
            let wanted = lane.waiting().min(room).min(max - batch.len());
            let permits = self.admit(wanted);
            let count = permits.as_ref().map_or(wanted, Vec::len);
            if let Some(lane) = self.by_id.get_mut(&id) {
                lane.take(count, permits.unwrap_or_default(), batch);
            }
            self.look_at(id);
            if self.hand_out == HandOut::LaneAtATime && !batch.is_empty() {
                break;
            }
        }
    }

    /// A lane with the rules, for whatever changes it; `None` when it is gone.
    ///
    /// What the change did beside is dealt with here: pauses, held lanes, and what the settler is to be told once the
    /// lock is free.
    pub(super) fn change<T>(
        &mut self,
        id: u64,
        with: impl FnOnce(&mut LaneState, &Rules, HandOut, &mut Effects) -> T,
    ) -> Option<(T, Vec<Job>, Message)> {
        self.trial_may_be_over();
        let lane = self.by_id.get_mut(&id)?;
        let listener = self.sources.get(&lane.source)?.listener.clone();
        let mut effects = Effects::default();
        let rested = lane.rests_until;
        let result = with(lane, &self.rules, self.hand_out, &mut effects);
        let (rests, source) = (lane.rests_until, lane.source);
        // What goes back to where it came from rests for ever: nobody is to be woken for it.
        if rests != rested
            && !self.rules.gives_back
            && let Some(until) = rests
        {
            self.resting.push(Reverse((until, id)));
        }
        let held = effects.blocked.take().map(|event| self.held_by(source, &event));
        if let Some(error) = &held {
            self.blocked.insert(id, error.clone());
        }
        Some((
            result,
            effects.jobs,
            listener.message(effects.positions, effects.replies, effects.sightings, held),
        ))
    }

    /// Perhaps this was the event that everybody waits for.
    fn trial_may_be_over(&mut self) {
        if self.refused.is_some_and(|refused| refused.is_half_open) {
            self.refused = None;
        }
    }

    fn held_by(&self, source: u64, event: &StoredEvent) -> Error {
        let what = match self.rules.order_by {
            OrderBy::Partition => "its partition",
            OrderBy::Key => "its key",
            OrderBy::None => "its place",
        };
        let failures = event.failures.load(Ordering::Relaxed);
        let history = event.history.lock();
        let cause = history.as_ref().and_then(|history| history.cause.as_ref());
        let position = event.position;
        let message = if event.unreadable.is_some() {
            format!("the event at position {position} cannot be read and holds {what}")
        } else {
            format!("the event at position {position} ran out of deliveries ({failures}) and holds {what}")
        };
        let error = Error::new(ErrorCode::EventBlocked, message);
        let error = match cause {
            Some(cause) => error.backend(format!("{}: {}", cause.code, cause.text)),
            None => error,
        };
        match self.sources.get(&source) {
            Some(source) => error.component(source.face.binding.clone()),
            None => error,
        }
    }

    /// The error of an event that holds its lane, or of a breaker that holds them all.
    pub(super) fn trouble(&self) -> Option<Error> {
        let blocked = self.blocked.values().next().cloned();
        blocked.or_else(|| {
            let (breaker, now) = (self.rules.breaker.as_ref()?, Instant::now());
            let BreakerState::Open { until } = breaker.state(now) else { return None };
            Some(breaker.error(Refusal::Open { until }, now))
        })
    }

    pub(super) fn is_blocked(&self, source: u64) -> bool {
        let lanes = self.sources.get(&source).map(|source| &source.lanes);
        lanes.is_some_and(|lanes| lanes.iter().any(|id| self.blocked.contains_key(id)))
    }

    /// Events of a source that are with handlers, being settled, or settled without its settler knowing yet.
    pub(super) fn busy(&self, source: u64) -> usize {
        let Some(source) = self.sources.get(&source) else { return 0 };
        let lanes = source.lanes.iter().filter_map(|id| self.by_id.get(id));
        lanes.map(LaneState::busy).sum::<usize>() + source.listener.untold()
    }

    /// Hands out nothing more of a source.
    pub(super) fn close(&mut self, source: u64) {
        let Some(state) = self.sources.get(&source) else { return };
        state.face.close();
        let ids: Vec<u64> = state.lanes.iter().copied().collect();
        for id in &ids {
            if let Some(lane) = self.by_id.get_mut(id) {
                lane.forget_pending();
                lane.queued = false;
            }
        }
        // Once for all of them: there may be thousands.
        self.ready.retain(|id| self.by_id.get(id).is_some_and(|lane| lane.queued));
        for id in ids {
            self.look_at(id);
        }
    }

    pub(super) fn remove(&mut self, source: u64) {
        self.close(source);
        let Some(state) = self.sources.remove(&source) else { return };
        for id in state.lanes {
            if let Some(lane) = self.by_id.remove(&id) {
                self.in_flight -= lane.counted;
            }
            self.blocked.remove(&id);
        }
        self.trial_may_be_over();
    }

    /// The events whose handlers began before a moment of the clock.
    pub(super) fn begun_before(&self, then: u64) -> Vec<crate::event::SettleToken> {
        self.by_id.values().flat_map(|lane| lane.begun_before(then)).collect()
    }
}

impl SourceState {
    fn only(&mut self, by_id: &mut HashMap<u64, LaneState>, source: u64) -> u64 {
        if let Some(id) = self.only {
            return id;
        }
        let id = self.lane_of(None, by_id, source);
        self.only = Some(id);
        id
    }

    /// The lane of a key, or one of its own for an event without a key.
    fn lane_of(&mut self, key: Option<u64>, by_id: &mut HashMap<u64, LaneState>, source: u64) -> u64 {
        if let Some(id) = key.and_then(|key| self.by_key.get(&key)) {
            return *id;
        }
        let lane = LaneState::new(source, self.face.clone(), key);
        let id = lane.id;
        if let Some(key) = key {
            self.by_key.insert(key, id);
        }
        self.lanes.insert(id);
        by_id.insert(id, lane);
        id
    }
}
