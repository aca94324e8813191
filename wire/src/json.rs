//! JSON as Dapr's HTTP API rewrites it, which is what a component gets.
//!
//! Dapr reads `data` into generic values and writes them again, so that members stand in order, numbers are 64-bit
//! floating point and `<`, `>` and `&` are escaped. Unlike Dapr, text that is not UTF-8 or has half a surrogate pair is
//! refused instead of being replaced, and so is what is nested more than 127 deep.
//!
//! Nothing is held as a tree of values: one takes forty times the room of a text that is made for it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value that is read, written anew: members by name, no blanks, numbers as floating point.
///
/// # Errors
/// Those of the reader, and numbers that are too large.
pub fn rewritten<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    let mut text = String::new();
    Rewritten(&mut text).deserialize(value)?;
    Ok(text)
}

/// Appends the value that is read, written anew.
pub struct Rewritten<'a>(pub &'a mut String);

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

/// The name of a member, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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
