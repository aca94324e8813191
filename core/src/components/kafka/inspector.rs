//! What Kafka components tell of themselves to tools.

use std::sync::Arc;
use std::time::Duration;

use super::doctor;
use super::journal::KafkaJournal;
use super::output::KafkaOutput;
use crate::binding::OutputBinding;
use crate::error::Result;
use crate::inspect::{Examination, Feed, Inspector, Journal};
use crate::manifest::Component;

pub(super) struct KafkaInspector;

impl Inspector for KafkaInspector {
    fn examine(&self, component: &Component, examination: &mut Examination<'_>) {
        doctor::examine(component, examination);
    }

    fn journal(
        &self,
        component: &Component,
        feed: Feed,
        patience: Duration,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Journal>> {
        Ok(Box::new(KafkaJournal::open(component, feed, patience, interrupted)?))
    }

    fn output_to(&self, component: &Component, topic: &str) -> Result<Arc<dyn OutputBinding>> {
        Ok(Arc::new(KafkaOutput::verbatim(component, topic)?))
    }
}
