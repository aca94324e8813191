//! Types of settings. Each reads from the text of a document, and says what it expected when it cannot.
//! Tests are in `tests.rs`.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use super::number::{parse_byte_size, parse_duration, parse_lenient_bool, parse_strict_bool};

/// By this name the deserializer of settings knows that it must not show a value.
pub(super) const SECRET_NAME: &str = "bindwright::Secret";

/// A boolean as most settings have it: `y yes true t on 1` in any case, blanks around it ignored, are true
/// and everything else is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flag(pub bool);

/// A boolean as a few settings have it: `1 t T TRUE true True` or `0 f F FALSE false False`, else an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StrictFlag(pub bool);

/// A duration: `1h2m3.5s`, `100ms`, or a whole number of seconds. Empty is 0; negative is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seconds(pub Duration);

/// A duration like [`Seconds`], but a whole number means milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub Duration);

/// A number of bytes as a Kubernetes quantity: `4096`, `64Ki`, `10Mi`, `500k`, `1G`, `1e3`. Empty is 0; a
/// fraction of a byte counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

/// Texts separated by commas. As in Dapr nothing is trimmed, so `a, b` holds `a` and ` b`; see
/// [`CommaList::trimmed`]. An empty text is an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommaList(pub Vec<String>);

/// A text that is not shown: `Debug`, `Display` and `Serialize` give `***`, and so do errors about it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl CommaList {
    /// The items without blanks around them, and without empty ones.
    pub fn trimmed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|item| item.trim()).filter(|item| !item.is_empty())
    }
}

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Do not put it into errors, logs or traces.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the text, told in the same time for all guesses of its length.
    pub fn is(&self, guess: &[u8]) -> bool {
        self.0.len() == guess.len() && openssl::memcmp::eq(self.0.as_bytes(), guess)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;

        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
                String::deserialize(deserializer).map(Secret)
            }
        }

        deserializer.deserialize_newtype_struct(SECRET_NAME, SecretVisitor)
    }
}

/// A type that wraps what its text means.
macro_rules! from_text {
    ($($type:ident($inner:ty): $parse:expr;)*) => {
        $(
            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = String::deserialize(deserializer)?;
                    let parse: fn(&str) -> Result<$inner, &'static str> = $parse;
                    parse(&text).map(Self).map_err(D::Error::custom)
                }
            }

            impl Deref for $type {
                type Target = $inner;

                fn deref(&self) -> &$inner {
                    &self.0
                }
            }

            impl From<$type> for $inner {
                fn from(value: $type) -> Self {
                    value.0
                }
            }
        )*
    };
}

from_text! {
    Flag(bool): |text| Ok(parse_lenient_bool(text));
    StrictFlag(bool): |text| parse_strict_bool(text).ok_or("expected true or false");
    Seconds(Duration): |text| parse_duration(text, Duration::from_secs(1));
    Millis(Duration): |text| parse_duration(text, Duration::from_millis(1));
    ByteSize(u64): parse_byte_size;
    CommaList(Vec<String>): |text| Ok(split_at_commas(text));
}

/// What a document may hold for a type that is read from its text: JSON Schema for editors.
macro_rules! schemas {
    ($($type:ident: $schema:tt;)*) => {
        $(
            impl JsonSchema for $type {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($type).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

schemas! {
    Flag: { "type": ["boolean", "string", "integer"], "x-kind": "flag" };
    StrictFlag: { "type": ["boolean", "string", "integer"], "x-kind": "strict-flag" };
    Seconds: { "type": ["string", "integer"], "x-unit": "s" };
    Millis: { "type": ["string", "integer"], "x-unit": "ms" };
    ByteSize: { "type": ["string", "integer"], "x-unit": "bytes" };
    CommaList: { "type": "string", "x-kind": "list" };
    Secret: { "type": "string", "writeOnly": true };
}

fn split_at_commas(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}
