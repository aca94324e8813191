//! Receiving from a queue, in turn with the other subscriptions of it.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::output;
use super::registered::Hold;
use super::settings::MemorySettings;
use crate::binding::{InputBinding, Reading};
use crate::dispatch::Intake;
use crate::error::Result;
use crate::health::Health;
use crate::manifest::Component;
use crate::policy::Backoff;
use crate::queue::{QueueReading, Wanted};

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
        let wanted = Wanted { intake, max_uncommitted: settings.max_uncommitted, witness: None };
        let reading = QueueReading::start(queue, wanted).await?;
        Ok(Box::new(MemoryReading { settings, opened: Instant::now(), reading }))
    }

    fn redelivery(&self) -> Backoff {
        self.0.backoff
    }
}

struct MemoryReading {
    settings: Arc<MemorySettings>,
    opened: Instant,
    reading: QueueReading,
}

#[async_trait]
impl Reading for MemoryReading {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        self.reading.stop(deadline).await
    }

    fn health(&self) -> Health {
        output::health(&self.settings, self.opened)
    }
}
