//! The body of an invocation over HTTP, and the bytes that a component gets from it.
//!
//! Dapr reads `data` into generic values and writes them again, which components see: `bindwright_wire::json`. Tests
//! are in `tests.rs` and in `server/tests/`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use bindwright::Metadata;
use bindwright_wire::json::Rewritten;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tokio::sync::Semaphore;

/// Bodies above this wait for a turn.
const LARGE: usize = 256 << 10;
/// How many of these are read at once: reading takes several times their room.
static TURNS: Semaphore = Semaphore::const_new(2);
/// What an entry of metadata holds beside its texts.
pub(crate) const ENTRY: usize = 96;

/// What a caller asks for.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) operation: String,
    pub(crate) metadata: Metadata,
    /// As the component gets it.
    pub(crate) data: Vec<u8>,
}

impl Envelope {
    /// Reads a body when there is room for it.
    pub(crate) async fn read_in_turn(body: &[u8]) -> Result<Self, String> {
        let _turn = if body.len() > LARGE { TURNS.acquire().await.ok() } else { None };
        Self::read(body)
    }

    /// About how many bytes it holds.
    pub(crate) fn size(&self) -> usize {
        let entry =
            |(name, value): (&str, &bindwright::MetadataValue)| ENTRY + name.len() + value.text().len();
        self.data.len() + self.metadata.iter().map(entry).sum::<usize>()
    }

    /// Reads the first JSON value; what comes after it does not count.
    fn read(body: &[u8]) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        Self::deserialize(&mut reader).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Envelope;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with operation, data and metadata")
    }

    /// As an object without any of them.
    fn visit_unit<E>(self) -> Result<Envelope, E> {
        Ok(Envelope { data: b"null".to_vec(), ..Envelope::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        let mut data = String::from("null");
        while let Some(Name(name)) = map.next_key()? {
            if name.eq_ignore_ascii_case("operation") {
                envelope.operation = map.next_value::<Option<String>>()?.unwrap_or_default();
            } else if name.eq_ignore_ascii_case("metadata") {
                envelope.metadata = map.next_value::<Option<Entries>>()?.unwrap_or_default().0;
            } else if name.eq_ignore_ascii_case("data") {
                data.clear();
                map.next_value_seed(Rewritten(&mut data))?;
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        envelope.data = data.into_bytes();
        Ok(envelope)
    }
}

/// The name of a member, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default)]
struct Entries(Metadata);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("metadata as an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut metadata = Vec::<(String, String)>::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = map.next_value::<Option<String>>()?.unwrap_or_default();
                    metadata.push((name, value));
                }
                // The last one of a name counts; metadata of a record would have all.
                let mut known = HashSet::with_capacity(metadata.len());
                let mut last: Vec<bool> = metadata.iter().rev().map(|(name, _)| known.insert(name)).collect();
                metadata.retain(|_| last.pop().unwrap_or(true));
                Ok(Entries(metadata.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

#[cfg(test)]
mod tests;
