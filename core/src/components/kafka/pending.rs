//! Records that wait for the broker's confirmation, seen from the caller who waits.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::message::OwnedHeaders;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::serving::Attending;
use crate::error::{Error, Result};

/// Records and bytes that a call may keep in the component's queue.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// In our queue: can be recalled.
const QUEUED: u8 = 0;
/// With librdkafka: cannot be recalled any more.
const HANDED_OVER: u8 = 1;
/// Taken back by a caller who gave up; skipped when its turn comes.
const RECALLED: u8 = 2;
/// Its result is there.
const SETTLED: u8 = 3;

/// Where the broker wrote a record; the offset is missing when nobody confirmed it (`producerRequiredAcks: none`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
}

/// The records of one call.
struct Pending {
    slots: Box<[Slot]>,
    open: AtomicUsize,
    finished: Notify,
    /// The room these records take in the component's queue, given back when the last of them is settled or
    /// recalled; also when nobody waits for it any more, because it takes memory until then.
    room: Mutex<Option<Room>>,
}

#[derive(Default)]
struct Slot {
    state: AtomicU8,
    result: OnceLock<Result<Written>>,
}

/// What became of a record until the deadline.
pub(super) enum Fate {
    Settled(Result<Written>),
    /// Taken back before it was handed over.
    NotSent,
    /// Handed over, and nobody knows.
    Unknown,
}

impl Pending {
    fn finish(&self, slot: usize, result: Result<Written>) {
        let slot = &self.slots[slot];
        let settle = |state| (state != RECALLED).then_some(SETTLED);
        // What was recalled has been counted then.
        if slot.result.set(result).is_ok()
            && slot.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, settle).is_ok()
        {
            self.close_one();
        }
    }

    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.room.lock().take();
            self.finished.notify_one();
        }
    }

    fn recall(&self) {
        if self.open.load(Ordering::Acquire) > 0 {
            for slot in &self.slots {
                if slot.state.compare_exchange(QUEUED, RECALLED, Ordering::AcqRel, Ordering::Acquire).is_ok()
                {
                    self.close_one();
                }
            }
        }
    }
}

/// The caller's hold on its records. Letting go of it recalls what is still queued, be it at the deadline or because
/// the caller's future was dropped.
pub(super) struct Waiting(Arc<Pending>);

impl Waiting {
    pub(super) fn new(records: usize, room: Room) -> Self {
        Self(Arc::new(Pending {
            slots: std::iter::repeat_with(Slot::default).take(records).collect(),
            open: AtomicUsize::new(records),
            finished: Notify::new(),
            room: Mutex::new(Some(room)),
        }))
    }

    /// Waits until every record is settled or until the deadline; tells what became of each. Whoever attends serves
    /// reports meanwhile.
    pub(super) async fn fates(self, deadline: Instant, attending: Option<Attending>) -> Vec<Fate> {
        if self.0.open.load(Ordering::Acquire) > 0 {
            let mut finished = pin!(self.0.finished.notified());
            let finished = poll_fn(|context| {
                if let Some(attending) = &attending {
                    attending.serve(context.waker());
                }
                finished.as_mut().poll(context)
            });
            // Ignored on purpose: what the time-out means is looked up record by record.
            let _ = tokio::time::timeout_at(deadline.into(), finished).await;
        }
        drop(attending);
        self.0.recall();
        let fate = |slot: &Slot| match slot.result.get() {
            Some(result) => Fate::Settled(result.clone()),
            None if slot.state.load(Ordering::Acquire) == RECALLED => Fate::NotSent,
            None => Fate::Unknown,
        };
        self.0.slots.iter().map(fate).collect()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.recall();
    }
}

/// One record on its way to the broker.
pub(super) struct Record {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) receipt: Receipt,
}

impl Record {
    pub(super) fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// The duty to tell the caller what became of a record.
pub(super) struct Receipt {
    pending: Arc<Pending>,
    slot: usize,
}

impl Receipt {
    pub(super) fn new(waiting: &Waiting, slot: usize) -> Self {
        Self { pending: waiting.0.clone(), slot }
    }

    /// Marks the record as handed over; `false` when it was recalled.
    pub(super) fn hand_over(&self) -> bool {
        let state = &self.pending.slots[self.slot].state;
        state.compare_exchange(QUEUED, HANDED_OVER, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the caller has given up.
    pub(super) fn is_recalled(&self) -> bool {
        self.pending.slots[self.slot].state.load(Ordering::Acquire) == RECALLED
    }

    pub(super) fn finish(&self, result: Result<Written>) {
        self.pending.finish(self.slot, result);
    }

    pub(super) fn fail(&self, error: Error) {
        self.finish(Err(error));
    }
}
