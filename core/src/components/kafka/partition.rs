//! Records gather per partition: while batches of a partition are out, what comes next waits here and leaves
//! together. A lone record leaves at once.
//!
//! librdkafka puts one partition into a request, and with no linger it sends a request for every few records. One
//! bound for all partitions would gather on a fast network but starve many partitions on a slow one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::connection::Connection;
use super::pending::Record;
use crate::error::{Error, ErrorCode};

/// Largest batch handed over at once; a larger crowd becomes several.
const BATCH_RECORDS: usize = 10_000;
const BATCH_BYTES: usize = 8 << 20;
/// So few waiting records are not worth a look for recalled ones.
const SWEEP: usize = 256;

/// The queue of one partition of the topic.
pub(super) struct Partition {
    pub(super) number: i32,
    /// Batches that may be out at once; see [`batches_at_once`].
    at_once: usize,
    queue: Mutex<Queue>,
}

/// How many batches of one partition may be out.
///
/// Two keep the broker busy: one on its way, one at its door. An idempotent producer gets one: librdkafka sends no
/// second request for a partition that has five or more *records* out, and while some wait for that it polls without
/// pause, which costs more than it could gain.
pub(super) const fn batches_at_once(idempotent: bool) -> usize {
    if idempotent { 1 } else { 2 }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Record>,
    /// Look for recalled records when so many wait.
    sweep_at: usize,
    batches_out: usize,
    /// The producer that the batches are with. Changes only when none is out, so order is kept.
    connection: Option<Arc<Connection>>,
    closed: bool,
}

/// Records that were handed over together.
pub(super) struct Batch {
    pub(super) partition: Arc<Partition>,
    pub(super) connection: Arc<Connection>,
    open: AtomicUsize,
    began: Instant,
}

impl Batch {
    /// One of its records is settled; `true` for the last.
    pub(super) fn settle_one(&self) -> bool {
        self.open.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// How long it has been out.
    pub(super) fn age(&self) -> std::time::Duration {
        self.began.elapsed()
    }
}

impl Partition {
    pub(super) fn new(number: i32, at_once: usize) -> Arc<Self> {
        Arc::new(Self { number, at_once, queue: Mutex::default() })
    }

    /// Queues records behind those that wait.
    pub(super) fn push(&self, records: impl IntoIterator<Item = Record>) {
        let mut queue = self.queue.lock();
        if queue.closed {
            for record in records {
                record.receipt.fail(Error::new(ErrorCode::Closed, "the component is closed"));
            }
            return;
        }
        // Callers who gave up leave their records behind; a backend that is away must not fill the queue with them.
        // Twice what was left last time: a sweep costs each record a little, however many wait.
        if queue.waiting.len() >= queue.sweep_at.max(SWEEP) {
            queue.waiting.retain(|record| !record.receipt.is_recalled());
            queue.sweep_at = queue.waiting.len() * 2;
        }
        queue.waiting.extend(records);
    }

    /// Hands over what waits, as far as the bound on batches allows. `choose` names the producer for a partition
    /// that has nothing out. Returns how many records were handed over.
    pub(super) fn pump(self: &Arc<Self>, topic: &str, choose: impl Fn() -> Option<Arc<Connection>>) -> usize {
        let mut queue = self.queue.lock();
        let mut handed_over = 0;
        while queue.batches_out < self.at_once && !queue.waiting.is_empty() {
            if queue.batches_out == 0 {
                queue.connection = choose();
            }
            let Some(connection) = queue.connection.clone() else { break };
            handed_over += self.hand_over(&mut queue, topic, &connection);
        }
        handed_over
    }

    fn hand_over(self: &Arc<Self>, queue: &mut Queue, topic: &str, connection: &Arc<Connection>) -> usize {
        let batch = Arc::new(Batch {
            partition: self.clone(),
            connection: connection.clone(),
            // One more than there are records, so that early reports cannot end the batch while it is filled.
            open: AtomicUsize::new(1),
            began: Instant::now(),
        });
        queue.batches_out += 1;
        connection.batch_begins();
        let (mut records, mut bytes) = (0, 0);
        while records < BATCH_RECORDS
            && bytes < BATCH_BYTES
            && let Some(record) = queue.waiting.pop_front()
        {
            if !record.receipt.hand_over() {
                continue;
            }
            bytes += record.size();
            batch.open.fetch_add(1, Ordering::AcqRel);
            match connection.send(topic, self.number, record, &batch) {
                Ok(()) => records += 1,
                Err((error, receipt)) => {
                    batch.open.fetch_sub(1, Ordering::AcqRel);
                    receipt.fail(error);
                }
            }
        }
        if batch.settle_one() {
            // Nothing was sent, or all of it is reported already.
            queue.batches_out -= 1;
            connection.batch_is_void();
        }
        records
    }

    /// A batch of this partition ended.
    pub(super) fn batch_ended(&self) {
        let mut queue = self.queue.lock();
        queue.batches_out = queue.batches_out.saturating_sub(1);
    }

    /// Fails what waits and was not handed over.
    pub(super) fn give_back(&self, error: &Error) {
        let waiting = std::mem::take(&mut self.queue.lock().waiting);
        for record in waiting {
            record.receipt.fail(error.clone());
        }
    }

    /// Accepts nothing more and fails what waits.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        for record in queue.waiting.drain(..) {
            record
                .receipt
                .fail(Error::new(ErrorCode::Closed, "the component was closed before the record was sent"));
        }
    }
}
