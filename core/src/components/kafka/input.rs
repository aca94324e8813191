//! Receiving from Kafka: the binding, and the handle on its reader.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::reader::{Reader, ReaderHandle};
use super::settings::KafkaSettings;
use crate::binding::{InputBinding, Reading};
use crate::dispatch::Intake;
use crate::error::{Error, ErrorCode, Result};
use crate::health::{Health, State};
use crate::manifest::Component;
use crate::policy::Backoff;

/// The receiving side of a Kafka component.
pub(super) struct KafkaInput {
    pub(super) settings: Arc<KafkaSettings>,
    pub(super) group: String,
}

impl KafkaInput {
    pub(super) fn open(component: &Component) -> Result<Arc<dyn InputBinding>> {
        Ok(Arc::new(Self::new(component)?))
    }

    pub(super) fn new(component: &Component) -> Result<Self> {
        let (settings, _) = KafkaSettings::decode(component)?;
        let needed = |setting: &str| {
            Error::new(ErrorCode::InvalidSettings, format!("{setting}: needed to receive, and not set"))
                .component(component.name.clone())
                .place(component.place.clone())
        };
        if settings.topics.is_empty() {
            return Err(needed("topics"));
        }
        let group = settings.consumer_group.clone().ok_or_else(|| needed("consumerGroup"))?;
        Ok(Self { settings: Arc::new(settings), group })
    }
}

#[async_trait]
impl InputBinding for KafkaInput {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let config = self.settings.consumer_config(&self.group);
        let handle = Reader::start(&config, self.settings.clone(), intake)?;
        Ok(Box::new(KafkaReading(Some(handle))))
    }

    fn redelivery(&self) -> Backoff {
        self.settings.backoff
    }
}

pub(super) struct KafkaReading(pub(super) Option<ReaderHandle>);

#[async_trait]
impl Reading for KafkaReading {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        let Some(handle) = self.0.take() else { return Ok(()) };
        tokio::task::spawn_blocking(move || handle.stop(deadline)).await.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, format!("the reader panicked: {error}")))
        })
    }

    fn health(&self) -> Health {
        self.0.as_ref().map_or(Health::of(State::Connecting), ReaderHandle::health)
    }
}
