//! YAML documents of other kinds, for programs around this crate: values that know their names and their places.
//!
//! They are read by the same rules as component documents, and cost no more than these. Tests are in
//! `tests/plain.rs`.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::fields;
use super::yaml::{self, Content, Node};
use crate::error::{Error, ErrorCode, Result};

/// A value of a YAML document.
#[derive(Clone)]
pub struct Yaml {
    node: Rc<Node>,
    file: Arc<str>,
    /// The names that lead to it, with dots between; empty for a document.
    path: String,
}

impl Yaml {
    /// The documents of a text, empty ones left out; `file` is what places show.
    ///
    /// # Errors
    /// `INVALID_MANIFEST` with its place for what is not YAML.
    pub fn documents(text: &[u8], file: &str) -> Result<Vec<Self>> {
        let file: Arc<str> = file.into();
        let mut documents = Vec::new();
        for part in yaml::split(text) {
            let document = yaml::compose(&part).map_err(|flaw| flaw.into_error(&file))?;
            if let Some(unread) = document.unread {
                return Err(unread.into_error(&file));
            }
            if let Some(node) = document.root.filter(|node| !node.is_null()) {
                documents.push(Self { node, file: file.clone(), path: String::new() });
            }
        }
        Ok(documents)
    }

    /// The names that lead to this value, such as `spec.metric.enabled`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The field of a mapping, by its name in any case; none where it is missing or `null`.
    pub fn field(&self, name: &str) -> Option<Self> {
        let node = self.node.field(name).filter(|node| !node.is_null())?;
        Some(self.below(node, name))
    }

    /// All fields of a mapping by their names as written.
    ///
    /// # Errors
    /// `INVALID_MANIFEST` for anything else.
    pub fn fields(&self) -> Result<Vec<(String, Self)>> {
        if !matches!(self.node.content, Content::Mapping(_)) {
            return Err(self.error("expected a mapping of fields"));
        }
        let named = |(key, value): &(Rc<Node>, Rc<Node>)| {
            let name = fields::text_of(key).map_err(|flaw| flaw.into_error(&self.file))?;
            let value = self.below(value, &name);
            Ok((name, value))
        };
        self.node.own_entries().iter().map(named).collect()
    }

    /// The items of a list.
    ///
    /// # Errors
    /// `INVALID_MANIFEST` for anything else.
    pub fn items(&self) -> Result<Vec<Self>> {
        let Content::Sequence(items) = &self.node.content else { return Err(self.error("expected a list")) };
        let named = |(index, item): (usize, &Rc<Node>)| Self {
            node: item.clone(),
            file: self.file.clone(),
            path: format!("{}[{index}]", self.path),
        };
        Ok(items.iter().enumerate().map(named).collect())
    }

    /// The text of a scalar; a number is its digits, a boolean `true` or `false`.
    ///
    /// # Errors
    /// `INVALID_MANIFEST` for a list or a mapping.
    pub fn text(&self) -> Result<String> {
        fields::text_of(&self.node).map_err(|flaw| self.error(&flaw.message))
    }

    /// Whether it says yes: `true`, `yes`, `on` and their opposites, also as text.
    ///
    /// # Errors
    /// `INVALID_MANIFEST` for anything else.
    pub fn flag(&self) -> Result<bool> {
        let text = self.text()?;
        let told = || self.error(&format!("expected true or false, got {:?}", text.to_lowercase()));
        fields::truth(&text).ok_or_else(told)
    }

    /// An error about this value, with its names and its place.
    pub fn error(&self, message: &str) -> Error {
        let named =
            if self.path.is_empty() { message.to_owned() } else { format!("{}: {message}", self.path) };
        Error::new(ErrorCode::InvalidManifest, named).place(fields::place_of(&self.node, &self.file))
    }

    fn below(&self, node: &Rc<Node>, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node: node.clone(), file: self.file.clone(), path }
    }
}

impl fmt::Debug for Yaml {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", fields::place_of(&self.node, &self.file))
    }
}
