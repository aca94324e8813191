//! The queues of the process by name, each for as long as somebody has it open or it holds messages.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::process;
use crate::queue::Queue;

/// A child of `fork` has queues of its own: who reads in its parent does not read there.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    process: u32,
    name: Arc<str>,
}

struct Entry {
    queue: Arc<Queue>,
    holds: usize,
}

static QUEUES: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

/// The use of a queue. With the last one an empty queue vanishes.
pub(super) struct Hold {
    key: Key,
    queue: Arc<Queue>,
}

impl Hold {
    /// The queue of this name, made if there is none. It gets partitions if it has fewer, and never loses one.
    pub(super) fn of(name: &Arc<str>, partitions: usize) -> Self {
        let key = Key { process: process::id(), name: name.clone() };
        let mut queues = QUEUES.lock();
        let entry = queues
            .entry(key.clone())
            .or_insert_with(|| Entry { queue: Arc::new(Queue::default()), holds: 0 });
        entry.holds += 1;
        entry.queue.grow(partitions);
        Self { key, queue: entry.queue.clone() }
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.key.name
    }

    #[cfg(test)]
    pub(super) fn exists(name: &str) -> bool {
        QUEUES.lock().keys().any(|key| &*key.name == name)
    }
}

impl Deref for Hold {
    type Target = Arc<Queue>;

    fn deref(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut queues = QUEUES.lock();
        if let Some(entry) = queues.get_mut(&self.key) {
            entry.holds -= 1;
            if entry.holds == 0 && entry.queue.len() == 0 {
                queues.remove(&self.key);
            }
        }
    }
}
