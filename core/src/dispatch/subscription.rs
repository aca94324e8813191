//! A handler's side: pull a batch, report outcomes, stop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::lane::LaneState;
use super::{Backoff, Intake, Settler};
use crate::binding::{InputBinding, Reading};
use crate::error::{Error, ErrorCode, Result};
use crate::event::{Event, LaneFace, NewEvent, Outcome, SettleToken};

/// Lanes are numbered through the whole process: a number is never used twice, so no token outlives its lane.
static NEXT_LANE: AtomicU64 = AtomicU64::new(0);

/// How events leave their lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOut {
    /// One lane a batch, and nothing more of it until the batch is settled. For handlers.
    LaneAtATime,
    /// As many as there are, from every lane. For programs that pull, collect and settle in their own time; order
    /// is what they make of it.
    Freely,
}

pub(crate) struct SubscriptionState {
    binding: Arc<str>,
    hand_out: HandOut,
    lanes: Mutex<Lanes>,
    /// A lane became ready, or the subscription ended.
    signal: Notify,
    ended: AtomicBool,
}

#[derive(Default)]
struct Lanes {
    by_id: HashMap<u64, LaneState>,
    /// Lanes that can be handed out, in the order in which they became so.
    ready: VecDeque<u64>,
    /// Lanes that rest after a failed delivery: few, so a list is enough.
    resting: Vec<(Instant, u64)>,
    /// A cheap source of chance for pauses.
    seed: u64,
}

impl Lanes {
    /// Puts a lane into the queue if something of it can be handed out.
    fn enqueue(&mut self, id: u64, hand_out: HandOut) -> bool {
        let alone = hand_out == HandOut::LaneAtATime;
        match self.by_id.get_mut(&id) {
            Some(lane) if !lane.queued && lane.is_ready(alone) => {
                lane.queued = true;
                self.ready.push_back(id);
                true
            }
            _ => false,
        }
    }

    /// Wakes lanes whose pause is over; says when the next one will be.
    fn wake_resting(&mut self, now: Instant, hand_out: HandOut) -> Option<Instant> {
        let due: Vec<u64> =
            self.resting.iter().filter(|(until, _)| *until <= now).map(|(_, id)| *id).collect();
        self.resting.retain(|(until, _)| *until > now);
        for id in due {
            if let Some(lane) = self.by_id.get_mut(&id) {
                lane.rests_until = None;
            }
            self.enqueue(id, hand_out);
        }
        self.resting.iter().map(|(until, _)| *until).min()
    }

    /// Not random enough for secrets, random enough to spread retries.
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.seed >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}

impl SubscriptionState {
    pub(super) fn open_lane(&self, settler: Arc<dyn Settler>, backoff: Backoff) -> u64 {
        let id = NEXT_LANE.fetch_add(1, Ordering::Relaxed);
        let face = LaneFace { id, binding: self.binding.clone(), closed: AtomicBool::new(false) };
        self.lanes.lock().by_id.insert(id, LaneState::new(Arc::new(face), settler, backoff));
        id
    }

    pub(super) fn push(&self, id: u64, events: Vec<NewEvent>) {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.by_id.get_mut(&id) {
            lane.push(events);
        }
        if lanes.enqueue(id, self.hand_out) {
            drop(lanes);
            self.signal.notify_one();
        }
    }

    pub(super) fn close_lane(&self, id: u64) {
        if let Some(lane) = self.lanes.lock().by_id.get_mut(&id) {
            lane.close();
        }
    }

    pub(super) fn outstanding(&self, id: u64) -> usize {
        self.lanes.lock().by_id.get(&id).map_or(0, LaneState::outstanding)
    }

    pub(super) fn is_blocked(&self, id: u64) -> bool {
        self.lanes.lock().by_id.get(&id).is_some_and(|lane| lane.blocked)
    }

    pub(super) fn remove_lane(&self, id: u64) {
        let mut lanes = self.lanes.lock();
        if let Some(mut lane) = lanes.by_id.remove(&id) {
            lane.close();
        }
        lanes.ready.retain(|ready| *ready != id);
        lanes.resting.retain(|(_, resting)| *resting != id);
    }

    /// Takes up to `max` events, and says when a resting lane will be ready.
    fn take(&self, max: usize) -> (Vec<Event>, Option<Instant>) {
        let mut batch = Vec::new();
        let mut lanes = self.lanes.lock();
        let next = lanes.wake_resting(Instant::now(), self.hand_out);
        while batch.len() < max
            && let Some(id) = lanes.ready.pop_front()
        {
            if let Some(lane) = lanes.by_id.get_mut(&id) {
                lane.queued = false;
                lane.take(max - batch.len(), &mut batch);
            }
            lanes.enqueue(id, self.hand_out);
            if self.hand_out == HandOut::LaneAtATime && !batch.is_empty() {
                break;
            }
        }
        let more = !lanes.ready.is_empty();
        drop(lanes);
        if more {
            // One signal can stand for several lanes: pass it on.
            self.signal.notify_one();
        }
        (batch, next)
    }

    /// Whether there is something to take, or nothing will ever be; else when a resting lane will be ready.
    fn look(&self) -> Result<(), Option<Instant>> {
        let mut lanes = self.lanes.lock();
        let next = lanes.wake_resting(Instant::now(), self.hand_out);
        if lanes.ready.is_empty() && !self.has_ended() {
            return Err(next);
        }
        drop(lanes);
        // Whoever looked may never take: the signal stays for the others.
        self.signal.notify_one();
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn settle(&self, outcomes: &[(SettleToken, Outcome)]) -> usize {
        let mut counted = 0;
        let mut woken = false;
        let mut told: Vec<(Arc<dyn Settler>, Vec<i64>)> = Vec::new();
        let mut lanes = self.lanes.lock();
        // Outcomes of one lane stand together almost always: look each lane up once a run.
        for run in outcomes.chunk_by(|(first, _), (second, _)| first.lane == second.lane) {
            let id = run[0].0.lane;
            let chance = lanes.chance();
            let Some(lane) = lanes.by_id.get_mut(&id) else { continue };
            let mut positions = Vec::with_capacity(run.len());
            for (token, outcome) in run {
                counted += usize::from(lane.settle(*token, outcome, chance, &mut positions));
            }
            let (rests_until, settler) = (lane.rests_until, lane.settler.clone());
            if let Some(until) = rests_until
                && !lanes.resting.iter().any(|(_, resting)| *resting == id)
            {
                lanes.resting.push((until, id));
                woken = true;
            }
            woken |= lanes.enqueue(id, self.hand_out);
            told.push((settler, positions));
        }
        drop(lanes);
        if woken {
            self.signal.notify_one();
        }
        for (settler, positions) in told {
            settler.settled(&positions);
        }
        counted
    }

    fn release(&self, tokens: &[SettleToken]) {
        let mut lanes = self.lanes.lock();
        let mut told: Vec<Arc<dyn Settler>> = Vec::new();
        // The earliest first, which takes the later ones back as well.
        for token in tokens {
            if let Some(lane) = lanes.by_id.get_mut(&token.lane) {
                lane.release(*token);
                told.push(lane.settler.clone());
            }
            lanes.enqueue(token.lane, self.hand_out);
        }
        drop(lanes);
        self.signal.notify_one();
        for settler in told {
            settler.settled(&[]);
        }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.signal.notify_waiters();
        self.signal.notify_one();
    }
}

/// Attached to an input binding: the events it receives, to be pulled and settled.
///
/// Shared between threads; a clone is the same subscription.
#[derive(Clone)]
pub struct Subscription(Arc<Attached>);

struct Attached {
    state: Arc<SubscriptionState>,
    reading: tokio::sync::Mutex<Option<Box<dyn Reading>>>,
    /// Keeps the time for whoever polls: a package's futures need not be polled inside a runtime.
    runtime: Handle,
}

impl Subscription {
    pub(crate) async fn attach(
        binding: Arc<str>,
        input: &dyn InputBinding,
        hand_out: HandOut,
    ) -> Result<Self> {
        let state = Arc::new(SubscriptionState {
            binding,
            hand_out,
            lanes: Mutex::default(),
            signal: Notify::new(),
            ended: AtomicBool::new(false),
        });
        let runtime = crate::runtime::handle()?;
        let reading = input.start(Intake::new(state.clone())).await?;
        Ok(Self(Arc::new(Attached { state, reading: tokio::sync::Mutex::new(Some(reading)), runtime })))
    }

    /// The component's name.
    pub fn binding(&self) -> &str {
        &self.0.state.binding
    }

    /// Waits for events: up to `max` of them as soon as there is one, none when `wait` is over, `None` when the
    /// subscription has ended.
    ///
    /// Any executor can poll it. Cancel safe: events are taken only when they are returned. For a caller who can
    /// lose what was returned, there are [`ready`](Self::ready) and [`take_batch`](Self::take_batch).
    pub async fn next_batch(&self, max: usize, wait: Option<Duration>) -> Option<Vec<Event>> {
        let taken = self.attempt(wait, |state| {
            if state.has_ended() {
                return Ok(None);
            }
            let (batch, next) = state.take(max.max(1));
            if batch.is_empty() { Err(next) } else { Ok(Some(batch)) }
        });
        taken.await.unwrap_or_else(|| Some(Vec::new()))
    }

    /// Waits until a batch can be taken or the subscription has ended; `false` when `wait` is over first.
    ///
    /// Packages wait with this and then call [`take_batch`](Self::take_batch) on the language's own side: a result
    /// on its way from Rust to a language can get lost, for example with a cancelled future, and then it must not
    /// hold events. Any executor can poll it. Cancel safe.
    pub async fn ready(&self, wait: Option<Duration>) -> bool {
        self.attempt(wait, SubscriptionState::look).await.is_some()
    }

    /// Takes up to `max` events without waiting: none when there are none or somebody else was quicker, `None` when
    /// the subscription has ended.
    pub fn take_batch(&self, max: usize) -> Option<Vec<Event>> {
        let state = &self.0.state;
        (!state.has_ended()).then(|| state.take(max.max(1)).0)
    }

    /// Attempts again whenever something changed, and when the attempt said it should; `None` when `wait` is over.
    async fn attempt<T>(
        &self,
        wait: Option<Duration>,
        mut attempt: impl FnMut(&SubscriptionState) -> Result<T, Option<Instant>>,
    ) -> Option<T> {
        let deadline = wait.map(|wait| Instant::now() + wait);
        let state = &self.0.state;
        loop {
            let mut signal = std::pin::pin!(state.signal.notified());
            signal.as_mut().enable();
            let next = match attempt(state) {
                Ok(done) => return Some(done),
                Err(next) => next,
            };
            match [deadline, next].into_iter().flatten().min() {
                None => signal.await,
                Some(until) => {
                    let waiting = {
                        let _entered = self.0.runtime.enter();
                        tokio::time::timeout_at(until.into(), signal)
                    };
                    let waited = waiting.await;
                    if waited.is_err() && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits for one event; `None` when the subscription has ended. Cancel safe.
    pub async fn next(&self) -> Option<Event> {
        loop {
            if let Some(event) = self.next_batch(1, None).await?.pop() {
                return Some(event);
            }
        }
    }

    /// To be asked right before a handler is called: whether this delivery still counts. One that does not, because an
    /// earlier event of its lane was sent back or the partition is being handed over, is given back here, so that a
    /// hand-over does not wait for it.
    pub fn begin(&self, event: &Event) -> bool {
        let current = event.is_current();
        if !current {
            self.release(&[event.token()]);
        }
        current
    }

    /// Settles deliveries; returns how many of the tokens still counted.
    pub fn settle(&self, outcomes: &[(SettleToken, Outcome)]) -> usize {
        self.0.state.settle(outcomes)
    }

    /// Gives back events that were handed out and not touched; they will be delivered again, as if for the first
    /// time. Tokens of one lane stand in the order of their events.
    pub fn release(&self, tokens: &[SettleToken]) {
        self.0.state.release(tokens);
    }

    /// Lanes that could be handed out now: work for one more handler each.
    pub fn lanes_waiting(&self) -> usize {
        self.0.state.lanes.lock().ready.len()
    }

    /// The last error of the connection, until it works again.
    pub fn last_error(&self) -> Option<Error> {
        self.0.reading.try_lock().ok()?.as_ref()?.last_error()
    }

    /// Hands out nothing more, waits until `deadline` for what is with handlers, records what was settled and
    /// leaves. What is not settled by then will be delivered again.
    ///
    /// Any executor can poll it, and once polled it goes on by itself when it is dropped. A second call waits for
    /// the first.
    ///
    /// # Errors
    /// When something settled could not be recorded.
    pub async fn stop(&self, deadline: Instant) -> Result<()> {
        self.0.state.end();
        let attached = self.0.clone();
        let stopping = self.0.runtime.spawn(async move {
            // Held while it stops, so that nobody believes it stopped before it has.
            let mut reading = attached.reading.lock().await;
            let stopped = match reading.as_mut() {
                Some(reading) => reading.stop(deadline).await,
                None => Ok(()),
            };
            *reading = None;
            stopped
        });
        stopping.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, format!("stopping an input panicked: {error}")))
        })
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscription").field("binding", &self.binding()).finish_non_exhaustive()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let reading = self.reading.get_mut().take();
        if let Some(mut reading) = reading
            && let Ok(runtime) = crate::runtime::handle()
        {
            // Nobody is left who could settle anything: leave at once, commit what was settled.
            runtime.spawn(async move { reading.stop(Instant::now()).await });
        }
    }
}
