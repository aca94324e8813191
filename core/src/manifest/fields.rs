//! The fields of a document: texts, flags, mappings and lists by their names. Tests are in `tests/`.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::json;
use super::scalar::{Meaning, meaning};
use super::yaml::{Content, Flaw, Node};
use crate::error::Place;

/// The text of a field that holds one; a plain scalar that YAML gives a meaning to becomes the text of that meaning.
pub(super) fn text_of(node: &Node) -> Result<String, Flaw> {
    let Content::Scalar { text, form } = &node.content else {
        return Err(
            node.flaw("expected a scalar, got a list or a mapping: put it in quotes to have its text")
        );
    };
    meaning(text, *form).map(Meaning::into_text).map(Cow::into_owned).map_err(|expected| node.flaw(expected))
}

/// The text of a property's value, which can be anything: what is no text is written as JSON.
pub(super) fn value_of(node: &Node) -> Result<String, Flaw> {
    let Content::Scalar { text, form } = &node.content else { return json::of(node) };
    match meaning(text, *form).map_err(|expected| node.flaw(expected))? {
        Meaning::Null => Ok(String::new()),
        Meaning::Text(text) => Ok(text.to_owned()),
        other => other.json().ok_or_else(|| node.flaw(json::NO_NUMBER)),
    }
}

pub(super) fn text_field(node: &Node, name: &str) -> Result<String, Flaw> {
    let text = node.field(name).map(|node| text_of(node)).transpose();
    text.map(Option::unwrap_or_default)
        .map_err(|flaw| Flaw { message: format!("{name}: {}", flaw.message).into(), ..flaw })
}

pub(super) fn bool_field(node: &Node, name: &str) -> Result<bool, Flaw> {
    let Some(node) = node.field(name) else { return Ok(false) };
    let text = text_of(node)?;
    if text.is_empty() {
        return Ok(false);
    }
    truth(&text).ok_or_else(|| node.flaw(format!("{name}: expected true or false")))
}

/// What a text says that is meant as yes or no.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

pub(super) fn mapping_field<'a>(node: &'a Node, name: &str) -> Result<Option<&'a Node>, Flaw> {
    match node.field(name) {
        Some(node) if node.is_null() => Ok(None),
        Some(node) if matches!(node.content, Content::Mapping(_)) => Ok(Some(node)),
        Some(node) => Err(node.flaw(format!("{name}: expected a mapping of fields"))),
        None => Ok(None),
    }
}

pub(super) fn list_field<'a>(node: &'a Node, name: &str) -> Result<&'a [Rc<Node>], Flaw> {
    match node.field(name).map(|node| (node, &node.content)) {
        Some((_, Content::Sequence(items))) => Ok(items),
        Some((node, _)) if !node.is_null() => Err(node.flaw(format!("{name}: expected a list"))),
        _ => Ok(&[]),
    }
}

pub(super) fn place_of(node: &Node, file: &Arc<str>) -> Place {
    Place { file: Arc::clone(file), line: node.line, column: node.column }
}
