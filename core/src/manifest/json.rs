//! A list or a mapping as the text of a property: compact JSON, as Dapr makes it. Tests are in `tests/scalars.rs`.
//!
//! Keys are sorted, and `<`, `>`, `&` and the separators U+2028 and U+2029 are escaped, because Go's writer does so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::scalar::{Meaning, meaning};
use super::yaml::{Content, Flaw, Node};

/// A node as JSON.
pub(super) fn of(node: &Node) -> Result<String, Flaw> {
    let mut json = String::new();
    write(node, &mut json)?;
    Ok(json)
}

fn write(node: &Node, json: &mut String) -> Result<(), Flaw> {
    match &node.content {
        Content::Scalar { text, form } => {
            match meaning(text, *form).map_err(|expected| node.flaw(expected))? {
                Meaning::Text(text) => string(text, json),
                other => json.push_str(&other.json().ok_or_else(|| node.flaw(NO_NUMBER))?),
            }
        }
        Content::Sequence(items) => {
            json.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, json);
                write(item, json)?;
            }
            json.push(']');
        }
        Content::Mapping(_) => {
            json.push('{');
            for (index, (key, value)) in fields(node)?.into_iter().enumerate() {
                separate(index, json);
                string(&key, json);
                json.push(':');
                write(value, json)?;
            }
            json.push('}');
        }
    }
    Ok(())
}

pub(super) const NO_NUMBER: &str = "expected a finite number: put it in quotes to have its text";

fn separate(index: usize, json: &mut String) {
    if index > 0 {
        json.push(',');
    }
}

/// A mapping's values by their keys. Of one key twice the last counts; what is merged in with `<<` never takes the
/// place of what is written out.
fn fields(node: &Node) -> Result<BTreeMap<String, &Node>, Flaw> {
    let mut fields = BTreeMap::new();
    let mut merged: &[_] = &[];
    for (key, value) in node.own_entries() {
        let name = key_of(key)?;
        if name == "<<" {
            merged = match &value.content {
                Content::Sequence(sources) => sources,
                _ => std::slice::from_ref(value),
            };
        } else {
            fields.insert(name, &**value);
        }
    }
    for source in merged {
        for (name, value) in self::fields(source)? {
            fields.entry(name).or_insert(value);
        }
    }
    Ok(fields)
}

fn key_of(key: &Node) -> Result<String, Flaw> {
    let Content::Scalar { text, form } = &key.content else {
        return Err(key.flaw("expected a name, got a list or a mapping"));
    };
    match meaning(text, *form).map_err(|expected| key.flaw(expected))? {
        Meaning::Null => Err(key.flaw("expected a name, got nothing: put it in quotes")),
        meaning => Ok(meaning.into_text().into_owned()),
    }
}

fn string(text: &str, json: &mut String) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(json, "\\u{:04x}", u32::from(letter)).expect("writing to a text never fails");
            }
            _ => json.push(letter),
        }
    }
    json.push('"');
}
