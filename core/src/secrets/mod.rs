//! Secret stores: where documents take values from that must not stand in them.
//!
//! A store is a component document of the category `secretstores`. It is opened while documents are read, before any
//! other component, and looked into by `crate::manifest::references`. A new type of store is one file here and one line
//! in the list below. Values go out raw: nothing is unquoted, and no message shows them.

mod environment;
mod json;
mod local_env;
mod local_file;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Component;
use crate::settings::{Setting, nearest};

pub(crate) use environment::{Variables, of_process, read_variable};

/// When there are more stores, messages do not name them: many such messages would be a multiple of the documents.
const MAX_NAMED: usize = 20;

/// Finds secrets.
pub(crate) trait SecretStore: Send + Sync {
    /// The value under `key` of the secret `name`. Stores that have one value for each secret know it under the
    /// secret's own name.
    fn get(&self, name: &str, key: &str) -> Result<String, Unresolved>;
}

/// Why a value cannot be had. Never holds a value.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub(crate) what: String,
    /// Somebody else's words.
    pub(crate) cause: Option<String>,
    pub(crate) advice: Option<Cow<'static, str>>,
}

impl Unresolved {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, advice: None }
    }

    fn advice(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// What became of opening a store.
pub(crate) struct Opening {
    pub(crate) store: Result<Arc<dyn SecretStore>>,
    /// Settings that look wrong and do no harm.
    pub(crate) warnings: Vec<Error>,
    /// Files that were read or looked for: the store must be opened again when one of them changes.
    pub(crate) files: Vec<PathBuf>,
}

impl Opening {
    /// A store that could not be opened.
    pub(crate) fn refused(error: Error) -> Self {
        Self { store: Err(error), warnings: Vec::new(), files: Vec::new() }
    }
}

/// A type of store.
struct StoreType {
    name: &'static str,
    /// What documents of it can say.
    settings: fn() -> Vec<Setting>,
    open: fn(&Component, Variables) -> Opening,
}

macro_rules! stores {
    ($($module:ident;)*) => {
        const TYPES: &[StoreType] = &[$($module::TYPE,)*];
    };
}

stores! {
    local_env;
    local_file;
}

/// Every type of store, with what documents of it can say.
pub(crate) fn described() -> impl Iterator<Item = (&'static str, Vec<Setting>)> {
    TYPES.iter().map(|one| (one.name, (one.settings)()))
}

/// Opens the store that a document describes.
pub(crate) fn open(component: &Component, variables: Variables) -> Opening {
    let unknown = |what: String, advice: String| {
        let error = Error::new(ErrorCode::UnknownType, what).place(component.place.clone()).advice(advice);
        Opening::refused(error)
    };
    let Some(found) = TYPES.iter().find(|one| one.name == component.component_type) else {
        let known: Vec<&str> = TYPES.iter().map(|one| one.name).collect();
        return unknown(
            format!("no secret store type is called {:?}", component.component_type),
            format!("Use one of: {}.", known.join(", ")),
        );
    };
    if !component.has_known_version() {
        return unknown(
            format!("{} has no version {:?}", component.component_type, component.version),
            "Write `version: v1`.".to_owned(),
        );
    }
    (found.open)(component, variables)
}

/// Stores by name, and why those that cannot be used cannot.
#[derive(Clone, Default)]
pub(crate) struct Stores(HashMap<Arc<str>, Result<Arc<dyn SecretStore>>>);

impl Stores {
    pub(crate) fn add(&mut self, name: &Arc<str>, store: Arc<dyn SecretStore>) {
        self.0.insert(Arc::clone(name), Ok(store));
    }

    /// Notes why the store of this name cannot be used.
    pub(crate) fn refuse(&mut self, name: &Arc<str>, error: &Error) {
        self.0.insert(Arc::clone(name), Err(error.clone()));
    }

    /// Whether a document describes a store of this name, be it one that cannot be used.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A value out of the store that is called `store`. `hidden` are the names of components that are not meant for
    /// this app.
    pub(crate) fn get(
        &self,
        store: &str,
        name: &str,
        key: &str,
        hidden: &HashSet<&str>,
    ) -> Result<String, Unresolved> {
        if store.is_empty() {
            return Err(Unresolved::new(format!(
                "`secretKeyRef` names the secret {name:?}, and `auth.secretStore` is missing"
            ))
            .advice("Name the secret store in `auth.secretStore`, beside `spec`."));
        }
        match self.0.get(store) {
            Some(Ok(opened)) => opened.get(name, key).map_err(|why| {
                let what = format!("secret store {store:?}: {}", why.what);
                Unresolved { what, ..why }
            }),
            Some(Err(error)) => Err(Unresolved {
                what: format!("secret {name:?}: the secret store {store:?} cannot be used"),
                cause: Some(match error.place_in_file() {
                    Some(place) => format!("{place}: {}", error.message()),
                    None => error.message().to_owned(),
                }),
                advice: Some("Correct the secret store's document, or what it reads.".into()),
            }),
            None if hidden.contains(store) => Err(Unresolved::new(format!(
                "secret {name:?}: the secret store {store:?} is not meant for this app"
            ))
            .advice("Check the `scopes` and the namespace of the secret store, and the app id.")),
            None => Err(self.unknown(store, name)),
        }
    }

    fn unknown(&self, store: &str, name: &str) -> Unresolved {
        let mut known: Vec<&str> = self.0.keys().map(|name| &**name).take(MAX_NAMED + 1).collect();
        known.sort_unstable();
        let there_is_none = format!("there is no secret store {store:?}");
        let what = match nearest(store, known.iter().copied()) {
            _ if known.is_empty() => format!("{there_is_none}, nor any other"),
            _ if known.len() > MAX_NAMED => there_is_none,
            Some(near) => format!("{there_is_none}; did you mean {near:?}"),
            None => format!("{there_is_none}; stores: {}", known.join(", ")),
        };
        Unresolved::new(format!("secret {name:?}: {what}"))
            .advice("Add a document of the secret store, or correct `auth.secretStore`.")
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// A store with one value for each secret was asked for a key.
fn one_value(name: &str, key: &str) -> Unresolved {
    Unresolved::new(format!("the secret {name:?} has no key {key:?}: it is a single value"))
        .advice("Leave `key` out of `secretKeyRef`, or write the secret's name there.")
}
