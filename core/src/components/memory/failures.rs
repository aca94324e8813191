//! Failures on demand: which call of a component ends how. Tests are in `tests/`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::error::ErrorCode;

/// What the setting `failures` says: `ok`, or an error code such as `UNAVAILABLE`, each with `xN` for N times in a
/// row, separated by commas. After the list all calls succeed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failures(Vec<Run>);

/// Calls in a row that end alike.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// The number of the first call after it, from 0.
    end: u64,
    /// `None` is `ok`.
    code: Option<ErrorCode>,
}

impl Failures {
    /// How the call of this number ends, from 0; `None` is success.
    pub(super) fn of_call(&self, number: u64) -> Option<ErrorCode> {
        let index = self.0.partition_point(|run| run.end <= number);
        self.0.get(index).and_then(|run| run.code)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut runs = Vec::new();
        let mut end = 0_u64;
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (code, times) = run(item).ok_or_else(|| {
                let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
                format!(
                    "{item:?} is not ok or an error code, with or without xN for N times; the codes: {}",
                    codes.join(", ")
                )
            })?;
            end = end.saturating_add(u64::from(times));
            runs.push(Run { end, code });
        }
        Ok(Self(runs))
    }
}

/// Reads `ok`, `CODE`, `okxN` or `CODExN`, in any case.
fn run(item: &str) -> Option<(Option<ErrorCode>, u32)> {
    let digits = item.len() - item.trim_end_matches(|end: char| end.is_ascii_digit()).len();
    let (before, number) = item.split_at(item.len() - digits);
    let (name, times) = match before.strip_suffix(['x', 'X']) {
        Some(name) if digits > 0 => (name, number.parse().ok().filter(|times| *times > 0)?),
        _ => (item, 1),
    };
    if name.eq_ignore_ascii_case("ok") {
        return Some((None, times));
    }
    let code = ErrorCode::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(name))?;
    Some((Some(*code), times))
}

impl<'de> Deserialize<'de> for Failures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
