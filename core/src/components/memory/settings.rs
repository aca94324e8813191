//! The settings of a memory component. Tests are in `tests/`.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::failures::Failures;
use crate::error::{Error, Result};
use crate::manifest::Component;
use crate::policy::Backoff;
use crate::settings::{self, Millis, RuntimeSettings};

/// More would only cost memory: every partition is a lane of its own.
const MOST_PARTITIONS: u32 = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    /// The queue. Default: the component's name.
    queue: Option<String>,
    /// From 1 to 1000; default 1. The largest number of any component of the queue counts.
    #[serde(default = "one", deserialize_with = "partitions")]
    #[schemars(range(min = 1, max = 1000), extend("x-default" = "1"))]
    partitions: u32,
    /// The pause before a failed event is delivered again, always the same. Default `100ms`.
    #[schemars(extend("x-default" = "100ms", "x-way" = "input"))]
    retry_pause: Option<Millis>,
    /// `create` waits for room while the queue holds so many messages. Default 100,000.
    #[schemars(extend("x-default" = "100000", "x-way" = "output"))]
    max_queued_messages: Option<u32>,
    /// How the calls of the component end, one after the other. Default: all succeed.
    #[serde(default)]
    #[schemars(with = "String", extend("x-way" = "output"))]
    failures: Failures,
    /// How long each call takes. Default 0.
    #[serde(default)]
    #[schemars(extend("x-default" = "0", "x-way" = "output"))]
    delay: Millis,
    /// How long after it was opened the component is connecting. Default 0.
    #[serde(default)]
    #[schemars(extend("x-default" = "0"))]
    ready: Millis,
}

const fn one() -> u32 {
    1
}

fn partitions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (1..=MOST_PARTITIONS).contains(&number) {
        return Ok(number);
    }
    Err(D::Error::custom(format!("expected a whole number from 1 to {MOST_PARTITIONS}")))
}

/// Checked settings.
#[derive(Debug)]
pub(super) struct MemorySettings {
    pub(super) queue: Arc<str>,
    pub(super) partitions: usize,
    pub(super) backoff: Backoff,
    pub(super) max_uncommitted: usize,
    pub(super) max_queued: usize,
    pub(super) failures: Failures,
    pub(super) delay: Duration,
    pub(super) ready: Duration,
}

impl MemorySettings {
    /// Decodes and checks; returns the warnings beside.
    pub(super) fn decode(component: &Component) -> Result<(Self, Vec<Error>)> {
        let (raw, warnings) = settings::decode::<Raw>(component)?;
        let runtime = RuntimeSettings::of(component)?;
        let named = raw.queue.filter(|name| !name.trim().is_empty());
        let pause = raw.retry_pause.map_or(Duration::from_millis(100), |pause| pause.0);
        let settings = Self {
            queue: named.map_or_else(|| component.name.clone(), Arc::from),
            partitions: raw.partitions as usize,
            backoff: Backoff::constant(pause),
            max_uncommitted: runtime.max_uncommitted as usize,
            max_queued: raw.max_queued_messages.unwrap_or(100_000).max(1) as usize,
            failures: raw.failures,
            delay: raw.delay.0,
            ready: raw.ready.0,
        };
        Ok((settings, warnings))
    }
}
