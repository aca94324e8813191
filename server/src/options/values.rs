//! How the values of flags are read. Tests are in `tests.rs`.

use std::time::Duration;

use bindwright::component::{ByteSize, Seconds};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// The most that a request may hold; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxBodySize(pub Option<usize>);

impl MaxBodySize {
    /// What counts where nothing is said: 4 MiB.
    pub const DEFAULT: Self = Self(Some(4 << 20));
}

fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    let text: StrDeserializer<'de, ValueError> = text.into_deserializer();
    T::deserialize(text).map_err(|error| error.to_string())
}

pub(super) fn time_span(text: &str) -> Result<Duration, String> {
    read::<Seconds>(text).map(|seconds| seconds.0)
}

/// Nothing and less mean the default.
pub(super) fn options_timeout(text: &str) -> Result<Duration, String> {
    let negative = text.trim_start().starts_with('-');
    let given = if negative { Duration::ZERO } else { time_span(text)? };
    Ok(if given.is_zero() { Duration::from_secs(3) } else { given })
}

pub(super) fn byte_size(text: &str) -> Result<usize, String> {
    let size = read::<ByteSize>(text)?.0;
    usize::try_from(size).map_err(|_| format!("{size} bytes are more than this machine counts"))
}

pub(super) fn max_body_size(text: &str) -> Result<MaxBodySize, String> {
    match text.trim() {
        "-1" => Ok(MaxBodySize::DEFAULT),
        other => byte_size(other).map(|size| MaxBodySize((size > 0).then_some(size))),
    }
}
