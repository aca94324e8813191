//! The body of an invocation over HTTP, and the bytes that a component gets from it.
//!
//! Dapr reads `data` into generic values and writes them again, so clients see keys in order, numbers as 64-bit
//! floating point and `<`, `>` and `&` escaped. That happens here, at the edge, and nowhere else. Unlike Dapr, text
//! that is not UTF-8 or has half a surrogate pair is refused instead of being replaced, and so is what is nested more
//! than 127 deep.
//!
//! Nothing is held as a tree of values: one takes forty times the room of a text that is made for it. Tests are below and
//! in `tests/`.

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
const ENTRY: usize = 96;

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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn data(body: &str) -> String {
        String::from_utf8(Envelope::read(body.as_bytes()).unwrap().data).unwrap()
    }

    #[test]
    fn data_is_written_as_dapr_writes_it() {
        for (given, expected) in [
            (r#"{"operation":"create"}"#, "null"),
            (r#"{"data":null}"#, "null"),
            (r#"{"data":"hello"}"#, r#""hello""#),
            (r#"{"data":"aGk="}"#, r#""aGk=""#),
            (r#"{"data":{"b":1,"a":"<x>"}}"#, r#"{"a":"\u003cx\u003e","b":1}"#),
            (r#"{"data":{"b":1,"a":2.0}}"#, r#"{"a":2,"b":1}"#),
            (r#"{"data":1.0}"#, "1"),
            (r#"{"data":9007199254740993}"#, "9007199254740992"),
            (r#"{"data":1e21}"#, "1e+21"),
            (r#"{"data":123456789012345678901234567890}"#, "1.2345678901234568e+29"),
            (r#"{"data":0.000001}"#, "0.000001"),
            (r#"{"data":0.0000001}"#, "1e-7"),
            (r#"{"data":-0.0}"#, "-0"),
            (r#"{"data":5.5}"#, "5.5"),
            (r#"{"data":[1, 2]}"#, "[1,2]"),
            (r#"{"data":true}"#, "true"),
            ("{\"data\":\"\\u0001\\u2028&\\/\\b\"}", "\"\\u0001\\u2028\\u0026/\\b\""),
            (r#"{"DATA":1,"data":2}"#, "2"),
        ] {
            assert_eq!(data(given), expected, "{given}");
        }
    }

    #[test]
    fn names_match_in_any_case_and_what_follows_the_value_is_ignored() {
        let envelope =
            Envelope::read(br#"{"Operation":"get","METADATA":{"k":"v","K":null,"k":"w"},"x":[{}]} {"#)
                .unwrap();
        assert_eq!(envelope.operation, "get");
        assert_eq!(envelope.metadata.get("k").as_deref(), Some("w"));
        assert_eq!(envelope.metadata.get("K").as_deref(), Some(""));
        assert_eq!(envelope.metadata.len(), 2);
        assert_eq!(Envelope::read(b"null").unwrap().operation, "");
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let deep = format!("{{\"data\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for body in [
            "",
            " ",
            "[]",
            "5",
            r#""{\"operation\":\"create\"}""#,
            r#"{"operation":5}"#,
            r#"{"metadata":{"k":1}}"#,
            r#"{"metadata":{"k":true}}"#,
            r#"{"metadata":{"k":{}}}"#,
            r#"{"metadata":[]}"#,
            r#"{"data":1e400}"#,
            r#"{"data":"\ud800"}"#,
            r#"{"data":nan}"#,
            "{",
            &deep,
        ] {
            assert!(Envelope::read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Envelope::read(b"{\"data\":\"\xff\"}").is_err());
    }

    #[test]
    fn random_bodies_are_read_or_refused_and_what_was_read_reads_the_same_again() {
        let parts = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"data\"",
            "\"operation\"",
            "\"metadata\"",
            "\"\\u00",
            "\"a\"",
            "null",
            "true",
            "-",
            "1",
            "e",
            "9",
            ".5",
            "E+",
            "\\",
            " ",
            "\n",
            "\u{2028}",
            "\"<&>\"",
            "{\"data\":",
            "{\"operation\":\"create\",\"data\":",
            "ä",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut read = 0;
        for _ in 0..50_000 {
            let mut body = String::new();
            for _ in 0..random.usize(1..12) {
                body.push_str(parts[random.usize(..parts.len())]);
            }
            let mut body = body.into_bytes();
            if random.u8(..) == 0 {
                let at = random.usize(..body.len());
                body[at] = random.u8(..);
            }
            if let Ok(envelope) = Envelope::read(&body) {
                let value: Value =
                    serde_json::from_slice(&envelope.data).unwrap_or_else(|error| panic!("{seed}: {error}"));
                assert_eq!(canonical(&value).unwrap(), envelope.data, "{seed}");
                read += 1;
            }
        }
        assert!(read > 50, "{seed}: {read} were read");
    }

    /// Any JSON, members of one name included, as text.
    fn any_json() -> impl Strategy<Value = String> {
        let text = proptest::string::string_regex("[a-c<&\u{e4}\u{2028}\\n\"\u{1}]{0,3}").unwrap();
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>()
                .prop_filter("JSON has no others", |number| number.is_finite())
                .prop_map(|number| format!("{number:e}")),
            text.clone().prop_map(|text| Value::from(text).to_string()),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let member = (text.clone(), inner.clone());
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
                proptest::collection::vec(member, 0..6).prop_map(|members| {
                    let members: Vec<String> = members
                        .into_iter()
                        .map(|(name, value)| format!("{}: {value}", Value::from(name)))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    /// The same by a tree of values, whose members are in order and have one name each.
    fn by_a_tree(value: &Value, text: &mut String) {
        match value {
            Value::Null | Value::Bool(_) => text.push_str(&value.to_string()),
            Value::Number(number) => write_number(number.as_f64().unwrap(), text),
            Value::String(content) => write_text(content, text),
            Value::Array(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    by_a_tree(item, text);
                }
                text.push(']');
            }
            Value::Object(members) => {
                let members: BTreeMap<_, _> = members.iter().collect();
                text.push('{');
                for (index, (name, member)) in members.into_iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    write_text(name, text);
                    text.push(':');
                    by_a_tree(member, text);
                }
                text.push('}');
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn any_data_is_written_as_a_tree_of_values_would_be(json in any_json()) {
            let envelope = Envelope::read(format!(r#"{{"operation":"create","data":{json}}}"#).as_bytes()).unwrap();
            let mut expected = String::new();
            by_a_tree(&serde_json::from_str(&json).unwrap(), &mut expected);
            prop_assert_eq!(String::from_utf8(envelope.data.clone()).unwrap(), expected);
            // Written once more it stays.
            let again = canonical(&serde_json::from_slice(&envelope.data).unwrap()).unwrap();
            prop_assert_eq!(again, envelope.data);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Envelope::read(&body);
        }
    }

    #[test]
    fn random_numbers_are_written_so_that_they_read_the_same() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..50_000 {
            let number = f64::from_bits(random.u64(..));
            if number.is_finite() {
                let mut text = String::new();
                write_number(number, &mut text);
                assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{seed}: {text}");
                assert!(serde_json::from_str::<Value>(&text).is_ok(), "{seed}: {text}");
            }
        }
    }
}
