//! Settings of a component: from the texts of its document to a typed struct.
//!
//! A component derives `serde::Deserialize` for its settings and calls [`decode`]. How names are matched is
//! in `decode.rs`, the value types are in `values.rs`, the texts of numbers, durations and sizes in
//! `number.rs`; tests are in `tests.rs`.

mod decode;
mod number;
#[cfg(test)]
mod tests;
mod values;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use decode::decode;
pub(crate) use decode::nearest;
pub(crate) use number::{parse_duration, parse_go_duration, parse_integer};
pub use values::{ByteSize, CommaList, Flag, Millis, Seconds, Secret, StrictFlag};

use crate::dispatch::OrderBy;
use crate::error::Result;
use crate::manifest::Component;

/// Settings that the runtime reads itself, of any component. A component's own settings need not name them.
const RUNTIME_NAMES: [&str; 8] = [
    "direction",
    "route",
    "deadLetterBinding",
    "deadLetterOperation",
    "maxDeliveryCount",
    "maxInFlight",
    "maxUncommitted",
    "orderBy",
];

/// The settings of any input component, next to the ones of its type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RuntimeSettings {
    /// How many received events of one partition may wait for their commit: the most that a killed process
    /// can make happen twice. At least 1; default 1000.
    #[serde(default = "default_max_uncommitted", deserialize_with = "at_least_one")]
    pub max_uncommitted: u32,
    /// How many handlers of one subscription may have work at once; with a handler of batches, how many events. At
    /// least 1; no limit by default.
    #[serde(default, deserialize_with = "at_least_one_if_given")]
    pub max_in_flight: Option<u32>,
    /// What stays in order: `partition` (default), `key` or `none`.
    #[serde(default)]
    pub order_by: OrderBy,
    /// How often an event is delivered before it becomes a dead letter, or holds its place where there is no
    /// `deadLetterBinding`. At least 1; no limit by default.
    #[serde(default, deserialize_with = "at_least_one_if_given")]
    pub max_delivery_count: Option<u32>,
    /// The output binding that carries dead letters.
    #[serde(default)]
    pub dead_letter_binding: Option<String>,
    /// What that binding is asked to do. Default `create`.
    #[serde(default)]
    pub dead_letter_operation: Option<String>,
}

impl RuntimeSettings {
    /// Reads them from a component, whatever its own settings are.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidSettings`](crate::error::ErrorCode::InvalidSettings) with the place of a bad
    /// value.
    pub fn of(component: &Component) -> Result<Self> {
        // The warnings are about the component's own settings, which are not known here.
        decode(component).map(|(settings, _)| settings)
    }
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            max_uncommitted: default_max_uncommitted(),
            max_in_flight: None,
            order_by: OrderBy::default(),
            max_delivery_count: None,
            dead_letter_binding: None,
            dead_letter_operation: None,
        }
    }
}

const fn default_max_uncommitted() -> u32 {
    1000
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("expected a whole number of at least 1")),
        number => Ok(number),
    }
}

fn at_least_one_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    at_least_one(deserializer).map(Some)
}
