//! How far a partition is handled, and the wake-up of the reader when that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::dispatch::{SettledPrefix, Settler};

/// Wakes the reader's thread.
#[derive(Default)]
pub(super) struct Alarm {
    rung: Mutex<bool>,
    condition: Condvar,
}

impl Alarm {
    pub(super) fn ring(&self) {
        let mut rung = self.rung.lock();
        if !*rung {
            *rung = true;
            self.condition.notify_one();
        }
    }

    pub(super) fn wait(&self, at_most: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.condition.wait_for(&mut rung, at_most);
        }
        *rung = false;
    }
}

/// Shared by the reader, which reads and commits, and dispatch, which settles.
pub(super) struct Progress {
    prefix: Mutex<SettledPrefix>,
    alarm: Arc<Alarm>,
    /// Ring for every settled event: the reader waits for this source to be quiet, or has no room left.
    eager: AtomicBool,
    /// Ring when so many events wait for a commit.
    commit_at: usize,
}

impl Progress {
    pub(super) fn new(alarm: Arc<Alarm>, commit_at: usize) -> Arc<Self> {
        Arc::new(Self {
            prefix: Mutex::default(),
            alarm,
            eager: AtomicBool::new(false),
            commit_at: commit_at.max(1),
        })
    }

    pub(super) fn read(&self, offsets: impl Iterator<Item = i64>) {
        let mut prefix = self.prefix.lock();
        offsets.for_each(|offset| prefix.read(offset));
    }

    /// The offset to commit and how many events that covers.
    pub(super) fn to_commit(&self) -> Option<(i64, usize)> {
        self.prefix.lock().to_commit()
    }

    /// Whether so much is settled that the next commit should not wait for its time.
    pub(super) fn wants_commit(&self) -> bool {
        self.to_commit().is_some_and(|(_, events)| events >= self.commit_at)
    }

    pub(super) fn committed(&self, events: usize) {
        self.prefix.lock().committed(events);
    }

    /// Events that a killed process would see again.
    pub(super) fn at_risk(&self) -> usize {
        self.prefix.lock().at_risk()
    }

    pub(super) fn set_eager(&self, eager: bool) {
        self.eager.store(eager, Ordering::Release);
    }
}

impl Settler for Progress {
    fn settled(&self, positions: &[i64]) {
        let waiting = {
            let mut prefix = self.prefix.lock();
            for position in positions {
                prefix.settled(*position);
            }
            prefix.to_commit().map_or(0, |(_, events)| events)
        };
        if waiting >= self.commit_at || self.eager.load(Ordering::Acquire) {
            self.alarm.ring();
        }
    }
}
