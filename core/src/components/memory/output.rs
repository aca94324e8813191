//! Sending into a queue, asking how long it is, emptying it; and failing when the settings say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;

use super::registered::Hold;
use super::settings::MemorySettings;
use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::event::hash_key;
use crate::health::{Health, State};
use crate::manifest::Component;
use crate::metadata::Metadata;
use crate::queue::{Draft, Placed};

pub(super) const OPERATIONS: &[&str] = &["create", "size", "purge"];

/// The metadata that chooses the partition, as in Kafka's component.
const PARTITION_KEY: &str = "partitionKey";

/// The sending side of a memory component.
pub(super) struct MemoryOutput {
    settings: MemorySettings,
    queue: Hold,
    opened: Instant,
    /// Calls that began; chooses how the next one ends.
    calls: AtomicU64,
    closed: AtomicBool,
}

impl MemoryOutput {
    pub(super) fn open(component: &Component) -> Result<Arc<dyn OutputBinding>> {
        let (settings, _) = MemorySettings::decode(component)?;
        Ok(Arc::new(Self {
            queue: Hold::of(&settings.queue, settings.partitions),
            opened: Instant::now(),
            calls: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            settings,
        }))
    }

    async fn wait(&self, deadline: Instant) -> Result<()> {
        if self.settings.delay.is_zero() {
            return Ok(());
        }
        let waited = tokio::time::timeout_at(deadline.into(), tokio::time::sleep(self.settings.delay)).await;
        waited.map_err(|_| {
            Error::new(ErrorCode::Timeout, "the call takes longer (delay) than its deadline allows")
        })
    }

    async fn work(&self, call: &Call, request: Request) -> Result<Reply> {
        match &*call.operation {
            "create" => self.create(request, call.deadline).await,
            "size" => Ok(self.number(self.queue.len())),
            "purge" => Ok(self.number(self.queue.purge())),
            other => Err(Error::new(ErrorCode::UnsupportedOperation, format!("unknown operation {other:?}"))),
        }
    }

    async fn create(&self, request: Request, deadline: Instant) -> Result<Reply> {
        let most = self.settings.max_queued;
        let Some(Placed { partition, position }) = self.queue.put(draft(request), most, deadline).await
        else {
            let message = format!("the queue held {most} messages until the deadline (maxQueuedMessages)");
            return Err(Error::new(ErrorCode::QueueFull, message));
        };
        let mut metadata = Metadata::with_capacity(3);
        metadata.add("queue", self.queue.name().clone());
        metadata.add("partition", i64::try_from(partition).unwrap_or_default());
        metadata.add("position", position);
        Ok(Reply { body: Body::None, metadata })
    }

    /// A number as JSON.
    fn number(&self, number: usize) -> Reply {
        let metadata = [("queue", self.queue.name().clone())].into_iter().collect();
        Reply { body: Body::from(number.to_string()), metadata }
    }
}

/// From a request to a message: its key becomes the event's `key`, everything else stays as it is.
fn draft(request: Request) -> Draft {
    let key = request.metadata.value(PARTITION_KEY).cloned();
    let mut metadata = Metadata::with_capacity(request.metadata.len());
    for (name, value) in request.metadata.iter().filter(|(name, _)| *name != PARTITION_KEY) {
        metadata.add(name.to_owned(), value.clone());
    }
    let key_hash = key.as_ref().map(|key| hash_key(&key.bytes()));
    if let Some(key) = key {
        // Last, because the last entry of a name counts.
        metadata.add("key", key);
    }
    Draft { key_hash, body: request.body, metadata }
}

#[async_trait]
impl OutputBinding for MemoryOutput {
    fn operations(&self) -> &[&'static str] {
        OPERATIONS
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the component is closed"));
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.wait(call.deadline).await?;
        match self.settings.failures.of_call(number) {
            None => self.work(call, request).await,
            Some(ErrorCode::OutcomeUnknown) => {
                self.work(call, request).await?;
                Err(Error::new(
                    ErrorCode::OutcomeUnknown,
                    "the setting failures asks for it; the call took effect",
                ))
            }
            Some(code) => Err(Error::new(code, "the setting failures asks for it; the call had no effect")),
        }
    }

    fn health(&self) -> Health {
        health(&self.settings, self.opened)
    }

    /// Emptying the queue twice may take messages that came in between.
    fn is_repeatable(&self, operation: &str) -> bool {
        operation == "size"
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

/// Connecting for as long as the setting `ready` says, then ready.
pub(super) fn health(settings: &MemorySettings, opened: Instant) -> Health {
    Health::of(if opened.elapsed() < settings.ready { State::Connecting } else { State::Ready })
}
