//! One queue: its partitions, what is not settled, and what of it is in the sources of the subscription that reads.
//! The memory component has queues of names, the test kit one for each binding that receives.
//!
//! Messages stay here until they are settled, so a subscription that ends leaves them for the next one. Wakers are
//! called and messages dropped outside the lock, because both may run code of a package. `reading.rs` is
//! the subscription's side. Tests are those of the memory component.

mod reading;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::body::Body;
use crate::dispatch::{Intake, Settler, Source, Witness};
use crate::event::NewEvent;
use crate::metadata::Metadata;

pub(crate) use reading::QueueReading;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Messages came, or some were settled or given back: the subscription that reads looks again.
    bell: Notify,
    /// Messages left: who waits for room looks again.
    room: Notify,
    /// Held by the subscription that reads; the others wait in line.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    partitions: Vec<Partition>,
    /// Messages that are not settled, of all partitions.
    length: usize,
    /// The partition of the next message without a key.
    next_keyless: usize,
}

#[derive(Default)]
struct Partition {
    /// Not settled, ascending by position.
    messages: VecDeque<Message>,
    /// So many of them, from the front, were pushed into the source.
    taken: usize,
    source: Option<Arc<Source>>,
    next_position: i64,
}

struct Message {
    position: i64,
    key_hash: Option<u64>,
    body: Body,
    metadata: Metadata,
}

/// A message on its way in.
pub(crate) struct Draft {
    /// What chooses the partition; without one they take turns.
    pub(crate) key_hash: Option<u64>,
    pub(crate) body: Body,
    pub(crate) metadata: Metadata,
}

/// Where a message was put.
pub(crate) struct Placed {
    pub(crate) partition: usize,
    pub(crate) position: i64,
}

/// What the subscription that reads asks for.
pub(crate) struct Wanted {
    pub(crate) intake: Intake,
    /// The most messages of a partition that are in its source.
    pub(crate) max_uncommitted: usize,
    /// Sees what becomes of the messages, where somebody wants to know.
    pub(crate) witness: Option<Arc<dyn Witness>>,
}

impl Queue {
    pub(crate) fn grow(&self, partitions: usize) {
        let mut state = self.state.lock();
        if state.partitions.len() < partitions {
            state.partitions.resize_with(partitions, Partition::default);
        }
    }

    /// Messages that are not settled.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().length
    }

    /// Puts a message as soon as there are fewer than `limit`; gives up at the deadline.
    pub(crate) async fn put(&self, mut draft: Draft, limit: usize, deadline: Instant) -> Option<Placed> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // From here on no wake-up is missed.
            room.as_mut().enable();
            match self.try_put(draft, limit) {
                Ok(placed) => return Some(placed),
                Err(refused) => draft = refused,
            }
            tokio::time::timeout_at(deadline.into(), room).await.ok()?;
        }
    }

    /// Puts a message if there are fewer than `limit`; else gives it back.
    pub(crate) fn try_put(&self, draft: Draft, limit: usize) -> Result<Placed, Draft> {
        let placed = self.place(draft, limit)?;
        self.bell.notify_one();
        Ok(placed)
    }

    fn place(&self, draft: Draft, limit: usize) -> Result<Placed, Draft> {
        let mut state = self.state.lock();
        if state.length >= limit {
            return Err(draft);
        }
        let partitions = state.partitions.len();
        let index = match draft.key_hash {
            Some(hash) => usize::try_from(hash % partitions as u64).unwrap_or_default(),
            None => state.next_keyless % partitions,
        };
        if draft.key_hash.is_none() {
            state.next_keyless = index + 1;
        }
        state.length += 1;
        let partition = &mut state.partitions[index];
        let position = partition.next_position;
        partition.next_position += 1;
        partition.messages.push_back(Message {
            position,
            key_hash: draft.key_hash,
            body: draft.body,
            metadata: draft.metadata,
        });
        Ok(Placed { partition: index, position })
    }

    /// Removes every message, also those with handlers, whose outcomes do not count any more; says how many.
    pub(crate) fn purge(&self) -> usize {
        let mut removed = Vec::new();
        let sources = {
            let mut state = self.state.lock();
            state.length = 0;
            removed.extend(state.partitions.iter_mut().map(|one| std::mem::take(&mut one.messages)));
            state.take_sources()
        };
        // Whoever is about to push into one of them still holds it: closed, it takes nothing.
        for source in &sources {
            source.close();
        }
        self.bell.notify_one();
        self.room.notify_waiters();
        removed.iter().map(VecDeque::len).sum()
    }

    /// Takes what may go into sources now. The caller pushes it, in this order.
    fn take_due(self: &Arc<Self>, wanted: &Wanted) -> Vec<(Arc<Source>, Vec<NewEvent>)> {
        let mut due = Vec::new();
        for (index, partition) in self.state.lock().partitions.iter_mut().enumerate() {
            let until = partition.messages.len().min(wanted.max_uncommitted);
            if until <= partition.taken {
                continue;
            }
            let events = partition.messages.range(partition.taken..until).map(Message::event).collect();
            partition.taken = until;
            let source = partition.source.get_or_insert_with(|| {
                let settler = PartitionSettler { queue: Arc::downgrade(self), partition: index };
                Arc::new(wanted.intake.open_witnessed(Arc::new(settler), wanted.witness.clone()))
            });
            due.push((source.clone(), events));
        }
        due
    }

    /// Hands out nothing more; handlers that run may settle.
    fn close_sources(&self) {
        let sources: Vec<_> =
            self.state.lock().partitions.iter().filter_map(|one| one.source.clone()).collect();
        for source in &sources {
            source.close();
        }
    }

    /// How many events are with handlers.
    fn outstanding(&self) -> usize {
        let state = self.state.lock();
        state
            .partitions
            .iter()
            .filter_map(|partition| partition.source.as_ref())
            .map(|source| source.outstanding())
            .sum()
    }

    /// Ends the sources; what is not settled is there for the next subscription.
    fn leave(&self) {
        let sources = self.state.lock().take_sources();
        drop(sources);
    }

    fn settled(&self, partition: usize, positions: &[i64]) {
        let mut removed = Vec::with_capacity(positions.len());
        {
            let mut state = self.state.lock();
            let partition = &mut state.partitions[partition];
            for position in positions {
                // A message that was purged, or settled under an earlier subscription, is gone already.
                let found = partition.messages.binary_search_by_key(position, |message| message.position);
                if let Ok(index) = found {
                    removed.extend(partition.messages.remove(index));
                    partition.taken -= usize::from(index < partition.taken);
                }
            }
            state.length -= removed.len();
        }
        self.bell.notify_one();
        if !removed.is_empty() {
            self.room.notify_waiters();
        }
    }
}

impl State {
    fn take_sources(&mut self) -> Vec<Arc<Source>> {
        let take = |partition: &mut Partition| {
            partition.taken = 0;
            partition.source.take()
        };
        self.partitions.iter_mut().filter_map(take).collect()
    }
}

impl Message {
    fn event(&self) -> NewEvent {
        let mut event = NewEvent::new(self.position, self.body.clone(), self.metadata.clone());
        event.key = self.key_hash;
        event
    }
}

/// Does not keep the queue: dispatch keeps it, and the queue keeps the source in dispatch.
struct PartitionSettler {
    queue: Weak<Queue>,
    partition: usize,
}

impl Settler for PartitionSettler {
    fn settled(&self, positions: &[i64]) {
        if let Some(queue) = self.queue.upgrade() {
            queue.settled(self.partition, positions);
        }
    }
}
