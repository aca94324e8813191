//! Reading a queue: one task for each subscription, which waits for its turn and then fills the sources.

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;

use super::{Queue, Wanted};
use crate::error::{Error, ErrorCode, Result};
use crate::runtime;

/// Dropped without being stopped, it stops at once: the task sees that nobody holds the other end.
pub(crate) struct QueueReading(Option<(oneshot::Sender<Instant>, JoinHandle<()>)>);

impl QueueReading {
    /// Stands in line for the queue, and reads it from its turn on. `queue` is held as long as that lasts.
    pub(crate) async fn start(
        queue: impl Deref<Target = Arc<Queue>> + Send + Sync + 'static,
        wanted: Wanted,
    ) -> Result<Self> {
        let mut line = Box::pin(queue.turn.clone().lock_owned());
        // Stands in line from here on: the first to subscribe is the first to read.
        let first = poll_fn(|context| Poll::Ready(line.as_mut().poll(context))).await;
        let turn = async move {
            match first {
                Poll::Ready(alone) => alone,
                Poll::Pending => line.await,
            }
        };
        let (stop, stopped) = oneshot::channel();
        let task = runtime::handle()?.spawn(async move { read(&queue, wanted, turn, stopped).await });
        Ok(Self(Some((stop, task))))
    }

    /// Takes nothing more, waits until `deadline` for what is with handlers, and lets the next in line read.
    pub(crate) async fn stop(&mut self, deadline: Instant) -> Result<()> {
        let Some((stop, task)) = self.0.take() else { return Ok(()) };
        let _ = stop.send(deadline);
        task.await.map_err(|error| Error::new(ErrorCode::Internal, format!("the reader panicked: {error}")))
    }
}

/// Having the queue alone. Given back however the task ends.
struct Turn {
    queue: Arc<Queue>,
    _alone: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.leave();
    }
}

async fn read(
    queue: &Arc<Queue>,
    wanted: Wanted,
    turn: impl Future<Output = OwnedMutexGuard<()>>,
    mut stopped: oneshot::Receiver<Instant>,
) {
    let turn = tokio::select! {
        alone = turn => Turn { queue: queue.clone(), _alone: alone },
        _ = &mut stopped => return,
    };
    let deadline = loop {
        for (source, events) in queue.take_due(&wanted) {
            source.push(events);
        }
        tokio::select! {
            () = queue.bell.notified() => {}
            deadline = &mut stopped => break deadline.unwrap_or_else(|_| Instant::now()),
        }
    };
    queue.close_sources();
    while queue.outstanding() > 0 {
        // The bell keeps one ring, so none between the question and the wait is missed.
        if tokio::time::timeout_at(deadline.into(), queue.bell.notified()).await.is_err() {
            break;
        }
    }
    drop(turn);
}
