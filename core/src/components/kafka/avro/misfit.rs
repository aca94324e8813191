//! Why a value and a schema do not go together, and where in the value.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// The most characters of a value that are shown.
const MOST_SHOWN: usize = 40;

/// What is wrong at which place: `$.lines[2].price: expected long, got "x"`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::components::kafka) struct Misfit {
    /// From the value outwards.
    path: Vec<Step>,
    what: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

impl Misfit {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { path: Vec::new(), what: what.into() }
    }

    pub(super) fn expected(expected: &str, got: &Value) -> Self {
        Self::new(format!("expected {expected}, got {}", shown(got)))
    }

    /// The place is inside of this field, or under this key of a map.
    pub(super) fn inside(mut self, name: &str) -> Self {
        self.path.push(Step::Name(name.to_owned()));
        self
    }

    /// The place is inside of this item of an array.
    pub(super) fn at(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_char('$')?;
        for step in self.path.iter().rev() {
            match step {
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Name(name)
                    if name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
                        && !name.is_empty() =>
                {
                    write!(formatter, ".{name}")?;
                }
                Step::Name(name) => write!(formatter, "[{name:?}]")?,
            }
        }
        write!(formatter, ": {}", self.what)
    }
}

/// A value as JSON, cut off where it is long.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) if text.chars().nth(MOST_SHOWN).is_some() => {
            let some: String = text.chars().take(MOST_SHOWN).collect();
            format!("{some:?}…")
        }
        value => value.to_string(),
    }
}
