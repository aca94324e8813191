//! All lanes of a subscription: which can be handed out, which rest, and who is told what became of their events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::lane::LaneState;
use super::{HandOut, Settler};
use crate::event::{Event, LaneFace, NewEvent, Outcome, SettleToken};
use crate::policy::Backoff;

/// Lanes are numbered through the whole process: a number is never used twice, so no token outlives its lane.
static NEXT_LANE: AtomicU64 = AtomicU64::new(0);

pub(crate) struct SubscriptionState {
    pub(super) binding: Arc<str>,
    pub(super) hand_out: HandOut,
    lanes: Mutex<Lanes>,
    /// A lane became ready, or the subscription ended.
    pub(super) signal: Notify,
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
    pub(super) fn take(&self, max: usize) -> (Vec<Event>, Option<Instant>) {
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
    pub(super) fn look(&self) -> Result<(), Option<Instant>> {
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

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn settle(&self, outcomes: &[(SettleToken, Outcome)]) -> usize {
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
            if rests_until.is_some() || lane.blocked {
                // Handed out freely it may have been queued for the events behind the one that was sent back.
                lane.queued = false;
                lanes.ready.retain(|ready| *ready != id);
            }
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

    pub(super) fn release(&self, tokens: &[SettleToken]) {
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

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.signal.notify_waiters();
        self.signal.notify_one();
    }
}

impl SubscriptionState {
    pub(super) fn new(binding: Arc<str>, hand_out: HandOut) -> Arc<Self> {
        Arc::new(Self {
            binding,
            hand_out,
            lanes: Mutex::default(),
            signal: Notify::new(),
            ended: AtomicBool::new(false),
        })
    }

    /// Lanes that could be handed out now.
    pub(super) fn lanes_waiting(&self) -> usize {
        self.lanes.lock().ready.len()
    }
}
