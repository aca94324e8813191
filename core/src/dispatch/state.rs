//! A subscription's state: the lanes behind their lock, and the signals around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::lane::{Effects, LaneState};
use super::lanes::Lanes;
use super::listener::Message;
use super::rules::{OrderBy, Rules};
use super::settling::Job;
use super::{Ending, HandOut, Settler, Witness};
use crate::error::{Error, ErrorCode};
use crate::event::{Cause, Event, NewEvent, Outcome, SettleToken, StoredEvent};

/// The moment that handlers' beginnings are counted from.
static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) struct SubscriptionState {
    pub(super) binding: Arc<str>,
    lanes: Mutex<Lanes>,
    /// A lane became ready, or the subscription ended.
    pub(super) signal: Notify,
    ended: AtomicBool,
    /// How long handlers may take, in nanoseconds; 0 where nobody counts.
    timeout: AtomicU64,
    /// Why dead letters do not leave, while they do not; by lane and sequence.
    undeliverable: Mutex<BTreeMap<(u64, u64), Error>>,
}

impl SubscriptionState {
    pub(super) fn new(binding: Arc<str>, hand_out: HandOut, rules: Rules) -> Arc<Self> {
        let timeout = AtomicU64::new(nanos(rules.timeout));
        Arc::new(Self {
            binding,
            lanes: Mutex::new(Lanes::new(Arc::new(rules), hand_out)),
            signal: Notify::new(),
            ended: AtomicBool::new(false),
            timeout,
            undeliverable: Mutex::default(),
        })
    }

    /// Changes the rules; nothing that came under the old ones is left by then.
    pub(super) fn set_rules(&self, rules: Rules) {
        self.timeout.store(nanos(rules.timeout), Ordering::Relaxed);
        self.lanes.lock().set_rules(Arc::new(rules));
    }

    pub(super) fn order_by(&self) -> OrderBy {
        self.lanes.lock().rules.order_by
    }

    pub(super) fn open_source(&self, settler: Arc<dyn Settler>, witness: Option<Arc<dyn Witness>>) -> u64 {
        self.lanes.lock().open_source(self.binding.clone(), settler, witness)
    }

    pub(super) fn push(&self, source: u64, events: Vec<NewEvent>) {
        if self.lanes.lock().push(source, events) {
            self.signal.notify_one();
        }
    }

    pub(super) fn close_source(&self, source: u64) {
        self.lanes.lock().close(source);
    }

    pub(super) fn remove_source(&self, source: u64) {
        let mut lanes = self.lanes.lock();
        let full = lanes.is_full();
        lanes.remove(source);
        let room = full && lanes.has_ready();
        drop(lanes);
        if room {
            self.signal.notify_one();
        }
    }

    pub(super) fn busy(&self, source: u64) -> usize {
        self.lanes.lock().busy(source)
    }

    pub(super) fn is_blocked(&self, source: u64) -> bool {
        self.lanes.lock().is_blocked(source)
    }

    /// Takes up to `max` events, and says when a resting lane will be ready.
    pub(super) fn take(&self, max: usize) -> (Vec<Event>, Option<Instant>) {
        let mut batch = Vec::new();
        let mut lanes = self.lanes.lock();
        lanes.wake();
        lanes.take(max, &mut batch);
        let (more, next) = (lanes.has_ready(), lanes.next_wake());
        drop(lanes);
        if more || (next.is_some() && !batch.is_empty()) {
            // One signal can stand for several lanes, and somebody has to keep the time: pass it on.
            self.signal.notify_one();
        }
        (batch, next)
    }

    /// Whether there is something to take, or nothing will ever be; else when a resting lane will be ready.
    pub(super) fn look(&self) -> Result<(), Option<Instant>> {
        let mut lanes = self.lanes.lock();
        lanes.wake();
        if !lanes.has_ready() && !self.has_ended() {
            return Err(lanes.next_wake());
        }
        drop(lanes);
        // Whoever looked may never take: the signal stays for the others.
        self.signal.notify_one();
        Ok(())
    }

    pub(super) fn lanes_waiting(&self) -> usize {
        self.lanes.lock().waiting()
    }

    /// Notes that a handler begins, where its time counts.
    pub(super) fn begin(&self, event: &Event) {
        if self.timeout.load(Ordering::Relaxed) != 0 {
            event.stored.begun.store(clock().max(1), Ordering::Release);
        }
    }

    /// How long handlers may take.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let nanos = self.timeout.load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Settles deliveries; returns how many of the tokens still counted, and what has to be confirmed first.
    pub(super) fn settle(&self, outcomes: &[(SettleToken, Outcome)]) -> (usize, Vec<Job>) {
        let (mut counted, mut jobs) = (0, Vec::new());
        let mut messages = Vec::new();
        let mut lanes = self.lanes.lock();
        let mut wake = Wake::before(&lanes);
        // Outcomes of one lane stand together almost always: look each lane up once a run.
        for run in outcomes.chunk_by(|(first, _), (second, _)| first.lane == second.lane) {
            let id = run[0].0.lane;
            let settle = |lane: &mut LaneState, rules: &Rules, hand_out, effects: &mut Effects| {
                lane.settle(run, rules, hand_out, effects)
            };
            let Some((count, more, message)) = lanes.change(id, settle) else { continue };
            counted += count;
            jobs.extend(more);
            messages.push(message);
            wake.look_at(&mut lanes, id);
        }
        self.tell(wake, lanes, messages);
        (counted, jobs)
    }

    pub(super) fn release(&self, tokens: &[SettleToken]) {
        let mut messages = Vec::new();
        let mut lanes = self.lanes.lock();
        let mut wake = Wake::before(&lanes);
        // The earliest first, which takes the later ones back as well.
        for token in tokens {
            let release = |lane: &mut LaneState, _: &Rules, _: HandOut, _: &mut Effects| lane.release(*token);
            let Some(((), _, message)) = lanes.change(token.lane, release) else { continue };
            messages.push(message);
            wake.look_at(&mut lanes, token.lane);
        }
        wake.needed = true;
        self.tell(wake, lanes, messages);
    }

    /// What an event became was confirmed, refused, or given up because its source closed.
    pub(super) fn end_settling(&self, lane: u64, event: &StoredEvent, end: SettlingEnd) -> Vec<Job> {
        let mut lanes = self.lanes.lock();
        let mut wake = Wake::before(&lanes);
        let change = |lane: &mut LaneState, rules: &Rules, _: HandOut, effects: &mut Effects| match end {
            SettlingEnd::Confirmed(ending) => lane.settled(event, ending, effects),
            SettlingEnd::Refused(cause) => lane.settling_failed(event, cause, rules, effects),
            SettlingEnd::GivenUp => drop(lane.end_settling(event)),
        };
        let Some(((), jobs, message)) = lanes.change(lane, change) else { return Vec::new() };
        wake.look_at(&mut lanes, lane);
        self.tell(wake, lanes, vec![message]);
        jobs
    }

    fn tell(&self, wake: Wake, lanes: MutexGuard<'_, Lanes>, messages: Vec<Message>) {
        let needed = wake.needed || wake.was_full && lanes.has_ready();
        drop(lanes);
        if needed {
            self.signal.notify_one();
        }
        messages.into_iter().for_each(Message::tell);
    }

    /// Deliveries whose handlers have had their time, as failures.
    pub(super) fn expired(&self, timeout: Duration) -> Vec<(SettleToken, Outcome)> {
        let then = clock().saturating_sub(nanos(Some(timeout)));
        let tokens = self.lanes.lock().begun_before(then);
        let text = format!("the handler did not end within {timeout:?}");
        let outcome = Outcome::failed(ErrorCode::Timeout.as_str(), text);
        tokens.into_iter().map(|token| (token, outcome.clone())).collect()
    }

    /// Notes why a dead letter does not leave, or that it is no longer on its way.
    pub(super) fn set_undeliverable(&self, lane: u64, event: &StoredEvent, error: Option<Error>) {
        let mut undeliverable = self.undeliverable.lock();
        match error {
            Some(error) => undeliverable.insert((lane, event.sequence), error),
            None => undeliverable.remove(&(lane, event.sequence)),
        };
    }

    /// What keeps events from being settled, if something does.
    pub(super) fn trouble(&self) -> Option<Error> {
        let trouble = self.lanes.lock().trouble();
        trouble.or_else(|| self.undeliverable.lock().values().next().cloned())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.signal.notify_waiters();
        self.signal.notify_one();
    }
}

/// How the settling of an event ended that became something else.
pub(super) enum SettlingEnd {
    Confirmed(Ending),
    Refused(Cause),
    GivenUp,
}

/// Whether somebody has to be woken after a change.
#[derive(Clone, Copy)]
struct Wake {
    was_full: bool,
    needed: bool,
}

impl Wake {
    fn before(lanes: &Lanes) -> Self {
        Self { was_full: lanes.is_full(), needed: false }
    }

    fn look_at(&mut self, lanes: &mut Lanes, id: u64) {
        self.needed |= lanes.look_at(id) || lanes.rests(id);
    }
}

fn clock() -> u64 {
    u64::try_from(CLOCK.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn nanos(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}
