//! Settings of a component: from the texts of its document to a typed struct.
//!
//! A component derives `serde::Deserialize` for its settings and calls [`decode`]. How names are matched is
//! in `decode.rs`, the value types are in `values.rs`, the texts of numbers, durations and sizes in
//! `number.rs`; tests are in `tests.rs`.

mod decode;
mod describe;
mod number;
#[cfg(test)]
mod tests;
mod values;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use decode::decode;
pub(crate) use decode::{is_runtime_name, nearest, unknown_setting};
#[cfg(test)]
pub(crate) use describe::field_names::field_names;
pub(crate) use describe::settings_of;
pub use describe::{Kind, Setting, Way};
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RuntimeSettings {
    /// How many received events of one partition may wait for their commit: the most that a killed process
    /// can make happen twice. At least 1; default 1000.
    #[serde(default = "default_max_uncommitted", deserialize_with = "at_least_one")]
    #[schemars(range(min = 1), extend("x-ours" = true, "x-way" = "input", "x-default" = "1000"))]
    pub max_uncommitted: u32,
    /// How many handlers of one subscription may have work at once; with a handler of batches, how many events. At
    /// least 1; no limit by default.
    #[serde(default, deserialize_with = "at_least_one_if_given")]
    #[schemars(range(min = 1), extend("x-ours" = true, "x-way" = "input"))]
    pub max_in_flight: Option<u32>,
    /// What stays in order: `partition` (default), `key` or `none`.
    #[serde(default)]
    #[schemars(extend("x-ours" = true, "x-way" = "input", "x-default" = "partition"))]
    pub order_by: OrderBy,
    /// How often an event is delivered before it becomes a dead letter, or holds its place where there is no
    /// `deadLetterBinding`. At least 1; no limit by default.
    #[serde(default, deserialize_with = "at_least_one_if_given")]
    #[schemars(range(min = 1), extend("x-ours" = true, "x-way" = "input"))]
    pub max_delivery_count: Option<u32>,
    /// The output binding that carries dead letters.
    #[serde(default)]
    #[schemars(extend("x-ours" = true, "x-way" = "input"))]
    pub dead_letter_binding: Option<String>,
    /// What that binding is asked to do. Default `create`.
    #[serde(default)]
    #[schemars(extend("x-ours" = true, "x-way" = "input", "x-default" = "create"))]
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

/// All that the runtime reads of a component, described.
pub(crate) fn runtime_settings() -> Vec<Setting> {
    let mut settings = settings_of::<Everywhere>();
    settings.extend(settings_of::<RuntimeSettings>());
    settings
}

/// Those that the manifest reads itself, for any component.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)] // only its schema is of use
struct Everywhere {
    /// Which ways are used: `input`, `output` or both with a comma between. Default: all that the type has.
    direction: Option<CommaList>,
    /// The path of an HTTP app that events go to; ignored inside of a program.
    #[schemars(extend("x-way" = "input", "x-ignored" = true))]
    route: Option<String>,
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
