//! The body of an invocation over HTTP, and the bytes that a component gets from it.
//!
//! Dapr reads `data` into generic values and writes them again, so clients see keys in order, numbers as 64-bit
//! floating point and `<`, `>` and `&` escaped. That happens here, at the edge, and nowhere else. Unlike Dapr, text
//! that is not UTF-8 or has half a surrogate pair is refused instead of being replaced, and so is what is nested more
//! than 127 deep.
//!
//! Nothing is held as a tree of values: one takes forty times the room of a text that is made for it. Tests are in
//! `tests.rs` and in `server/tests/`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::ops::Range;

use bindwright::Metadata;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
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

/// JSON as Go writes it: members by name, no blanks, numbers as floating point.
pub(crate) fn canonical(value: &Value) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    Rewritten(&mut text).deserialize(value).map_err(|error| error.to_string())?;
    Ok(text.into_bytes())
}

/// Appends the value that is read.
struct Rewritten<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Rewritten<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rewritten<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.0.push_str(if flag { "true" } else { "false" });
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)] // so does Dapr
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    #[allow(clippy::cast_precision_loss)] // so does Dapr
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if !number.is_finite() {
            return Err(E::custom("a number is too large for 64-bit floating point"));
        }
        write_number(number, self.0);
        Ok(())
    }

    fn visit_str<E>(self, content: &str) -> Result<(), E> {
        write_text(content, self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let begin = self.0.len();
        self.0.push('[');
        while items.next_element_seed(Rewritten(self.0))?.is_some() {
            self.0.push(',');
        }
        close(self.0, begin, ']');
        Ok(())
    }

    /// Members are written as they come, and put in order afterwards where they did not come in order.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let text = self.0;
        let begin = text.len();
        text.push('{');
        let mut members: Vec<(Cow<'de, str>, Range<usize>)> = Vec::new();
        let mut in_order = true;
        while let Some(Name(name)) = map.next_key()? {
            in_order &= members.last().is_none_or(|(last, _)| *last < name);
            let at = text.len();
            write_text(&name, text);
            text.push(':');
            map.next_value_seed(Rewritten(text))?;
            text.push(',');
            members.push((name, at..text.len()));
        }
        if !in_order {
            // Those of one name stay in their order: the last of them counts.
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            let mut ordered = String::with_capacity(text.len() - begin);
            for (index, (name, place)) in members.iter().enumerate() {
                if members.get(index + 1).is_none_or(|(next, _)| next != name) {
                    ordered.push_str(&text[place.clone()]);
                }
            }
            text.truncate(begin + 1);
            text.push_str(&ordered);
        }
        close(text, begin, '}');
        Ok(())
    }
}

/// Puts the end of what began at `begin` in the place of the last comma.
fn close(text: &mut String, begin: usize, end: char) {
    if text.len() > begin + 1 {
        text.pop();
    }
    text.push(end);
}

/// The shortest digits that read back the same; with an exponent below 1e-6 and from 1e21.
fn write_number(number: f64, text: &mut String) {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let digits = format!("{number:e}");
        match digits.split_once("e-") {
            // Go has `e-07` and makes `e-7` of it; and `e+21`.
            Some(_) => text.push_str(&digits),
            None => text.push_str(&digits.replacen('e', "e+", 1)),
        }
    } else {
        let _ = write!(text, "{number}");
    }
}

fn write_text(content: &str, text: &mut String) {
    text.push('"');
    for character in content.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests;
