//! The names that a program can use, as types of its language, so that a type checker finds the misspelt ones. Tests
//! are in `tests/names.rs`, and in `tests/packages/test_types.py` with the type checkers themselves.

use std::path::PathBuf;

use super::{python, typescript};
use crate::error::Result;
use crate::manifest::{Manifest, References};
use crate::registry;

/// What a program can name of one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingNames {
    /// The component's name.
    pub name: String,
    /// What it can be asked; `None` where it does not send, empty where the type does not tell.
    pub operations: Option<Vec<&'static str>>,
    /// Whether it receives.
    pub input: bool,
}

/// A language with types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A module for mypy and pyright.
    Python,
    /// A declaration file.
    TypeScript,
}

/// A file of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedNames {
    /// Its text.
    pub text: String,
    /// How many bindings it names.
    pub bindings: usize,
}

/// The bindings of folders and files, by name. Values that stand elsewhere are not needed, and so not looked up.
///
/// # Errors
/// `INVALID_OPTIONS` for a path that cannot be read, `INVALID_MANIFEST` for two components of one name, and the first
/// fault for which a document was left out: a file without its names would be wrong.
pub fn binding_names(paths: &[PathBuf], app_id: Option<&str>) -> Result<Vec<BindingNames>> {
    let manifest = Manifest::load_with(paths, app_id, References::LeftOut)?;
    if let Some(fault) = manifest.left_out().first() {
        return Err(fault.clone());
    }
    let mut names = Vec::new();
    for component in &manifest.components {
        let category = component.component_type.split('.').next().unwrap_or_default();
        if category != "bindings" {
            continue;
        }
        let component_type = registry::find(component)?;
        let sends = component.direction.output && component_type.can_send();
        let operations = component_type.known_operations().unwrap_or_default().to_vec();
        names.push(BindingNames {
            name: component.name.to_string(),
            operations: sends.then_some(operations),
            input: component.direction.input && component_type.can_receive(),
        });
    }
    names.sort_by(|first, second| first.name.cmp(&second.name));
    Ok(names)
}

/// The same as a file of a language.
///
/// # Errors
/// As [`binding_names`].
pub fn typed_names(paths: &[PathBuf], app_id: Option<&str>, language: Language) -> Result<TypedNames> {
    let names = binding_names(paths, app_id)?;
    let text = match language {
        Language::Python => python::file(&names),
        Language::TypeScript => typescript::file(&names),
    };
    Ok(TypedNames { text, bindings: names.len() })
}

/// Those that send, each with its operations.
pub(super) fn outputs(names: &[BindingNames]) -> impl Iterator<Item = (&str, &[&'static str])> {
    names.iter().filter_map(|one| Some((one.name.as_str(), one.operations.as_deref()?)))
}

/// Those that receive.
pub(super) fn inputs(names: &[BindingNames]) -> impl Iterator<Item = &str> {
    names.iter().filter(|one| one.input).map(|one| one.name.as_str())
}

/// A name in double quotes, as JSON, Python and TypeScript read it alike.
pub(super) fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}
