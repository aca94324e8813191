//! How many calls of a client are under way: closing waits for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use crate::error::{Error, ErrorCode, Result};

/// Set when there are to be no new calls. Kept in the same word as the count, so that a call pays for one increment
/// and one decrement and nothing slips in between.
const ENDED: usize = 1 << (usize::BITS - 1);

#[derive(Default)]
pub(super) struct CallsUnderWay {
    count: AtomicUsize,
    /// The last call is done.
    done: Notify,
}

/// One call; dropping it ends it.
pub(super) struct UnderWay<'a>(&'a CallsUnderWay);

impl CallsUnderWay {
    pub(super) fn begin(&self) -> Result<UnderWay<'_>> {
        let before = self.count.fetch_add(1, Ordering::AcqRel);
        let under_way = UnderWay(self);
        if before & ENDED == 0 { Ok(under_way) } else { Err(closed()) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.count.load(Ordering::Acquire) & ENDED != 0
    }

    /// Admits no more calls and waits until the last one is done, at the latest until `deadline`.
    pub(super) async fn end(&self, deadline: Instant) {
        self.count.fetch_or(ENDED, Ordering::AcqRel);
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            done.as_mut().enable();
            if self.count.load(Ordering::Acquire) == ENDED
                || tokio::time::timeout_at(deadline.into(), done).await.is_err()
            {
                return;
            }
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == ENDED + 1 {
            self.0.done.notify_waiters();
        }
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the client is closed")
}
