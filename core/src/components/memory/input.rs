//! Receiving from a queue: one task per subscription, which waits for its turn and then fills the sources.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;

use super::output;
use super::queue::{Queue, Wanted};
use super::registered::Hold;
use super::settings::MemorySettings;
use crate::binding::{InputBinding, Reading};
use crate::dispatch::Intake;
use crate::error::{Error, ErrorCode, Result};
use crate::health::Health;
use crate::manifest::Component;
use crate::policy::Backoff;
use crate::runtime;

/// The receiving side of a memory component.
pub(super) struct MemoryInput(Arc<MemorySettings>);

impl MemoryInput {
    pub(super) fn open(component: &Component) -> Result<Arc<dyn InputBinding>> {
        let (settings, _) = MemorySettings::decode(component)?;
        Ok(Arc::new(Self(Arc::new(settings))))
    }
}

#[async_trait]
impl InputBinding for MemoryInput {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let settings = self.0.clone();
        let queue = Hold::of(&settings.queue, settings.partitions);
        let wanted = Wanted { intake, max_uncommitted: settings.max_uncommitted };
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
        let task = runtime::handle()?.spawn(read(queue, wanted, turn, stopped));
        Ok(Box::new(MemoryReading { settings, opened: Instant::now(), at_work: Some((stop, task)) }))
    }

    fn redelivery(&self) -> Backoff {
        self.0.backoff
    }
}

/// Dropped without being stopped, it stops at once: the task sees that nobody holds the other end.
struct MemoryReading {
    settings: Arc<MemorySettings>,
    opened: Instant,
    at_work: Option<(oneshot::Sender<Instant>, JoinHandle<()>)>,
}

#[async_trait]
impl Reading for MemoryReading {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        let Some((stop, task)) = self.at_work.take() else { return Ok(()) };
        let _ = stop.send(deadline);
        task.await.map_err(|error| Error::new(ErrorCode::Internal, format!("the reader panicked: {error}")))
    }

    fn health(&self) -> Health {
        output::health(&self.settings, self.opened)
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
    queue: Hold,
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
