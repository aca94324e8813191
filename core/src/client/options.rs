//! What a client can be told, and what it takes from the environment instead.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::manifest::{Manifest, References};
use crate::transport::TransportKind;

/// Where a client finds its components, and who it is. What is left out comes from the environment.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Folders or files with component documents. Left out: `BINDWRIGHT_RESOURCES` (a list separated as in `PATH`),
    /// else `./components`, else `./resources`. Given, they also choose the embedded transport.
    pub resources: Option<Vec<PathBuf>>,
    /// The name that `scopes` of documents are compared with. Left out: `APP_ID`.
    pub app_id: Option<String>,
    /// The way to the bindings. Left out: `BINDWRIGHT_TRANSPORT`, else embedded.
    pub transport: Option<TransportKind>,
    /// How long a call waits when it does not say; 30 s when left out.
    pub timeout: Option<Duration>,
    /// Whether components follow changes of the resource files, which are looked at once a second. Left out:
    /// `BINDWRIGHT_HOT_RELOAD` (`true` or `false`), else yes.
    pub hot_reload: Option<bool>,
    /// Types of components that are not to be used, as `bindings.smtp` or with a version as `bindings.kafka/v1`; case
    /// does not matter. Their documents are left out, with a warning.
    pub denied: Vec<String>,
}

impl ClientOptions {
    pub(super) fn transport_kind(&self) -> Result<TransportKind> {
        match (self.transport, &self.resources, variable("BINDWRIGHT_TRANSPORT")) {
            (Some(kind), _, _) => Ok(kind),
            (None, None, Some(text)) => TransportKind::parse(&text),
            (None, _, _) => Ok(TransportKind::Embedded),
        }
    }

    /// The folders and files that a client of these options reads.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` where none are named and there is no folder of the usual names.
    pub fn resource_paths(&self) -> Result<Vec<PathBuf>> {
        self.clone().into_resources()
    }

    /// The app id of a client of these options.
    pub fn effective_app_id(&self) -> Option<String> {
        self.app_id()
    }

    pub(super) fn app_id(&self) -> Option<String> {
        self.app_id.clone().or_else(|| variable("APP_ID"))
    }

    pub(super) fn into_resources(self) -> Result<Vec<PathBuf>> {
        self.resources.map_or_else(default_resources, Ok)
    }

    /// What the documents say; whatever is wrong with them is a fault of the manifest.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for a missing folder or file.
    pub(crate) fn manifest(self) -> Result<Manifest> {
        let app_id = self.app_id();
        Manifest::load_again(&self.into_resources()?, app_id.as_deref(), References::Resolved)
    }

    pub(super) fn hot_reload(&self) -> Result<bool> {
        match (self.hot_reload, variable("BINDWRIGHT_HOT_RELOAD")) {
            (Some(hot_reload), _) => Ok(hot_reload),
            (None, None) => Ok(true),
            (None, Some(text)) => switch(&text).ok_or_else(|| {
                let message = format!("BINDWRIGHT_HOT_RELOAD: expected true or false, got {text:?}");
                Error::new(ErrorCode::InvalidOptions, message)
            }),
        }
    }
}

/// Reads a variable that turns something on or off.
fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A variable of the environment; empty means unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn default_resources() -> Result<Vec<PathBuf>> {
    if let Some(list) = std::env::var_os("BINDWRIGHT_RESOURCES").filter(|list| !list.is_empty()) {
        return Ok(std::env::split_paths(&list).collect());
    }
    let found = ["./components", "./resources"].map(PathBuf::from).into_iter().find(|path| path.is_dir());
    found.map(|path| vec![path]).ok_or_else(|| {
        Error::new(
            ErrorCode::InvalidOptions,
            "no resources: neither ./components nor ./resources is a folder",
        )
        .advice("Name a folder in the `resources` argument or in BINDWRIGHT_RESOURCES.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_reload_is_turned_off_by_the_usual_words_and_by_no_others() {
        for text in ["false", "0", "no", " OFF "] {
            assert_eq!(switch(text), Some(false), "{text}");
        }
        for text in ["true", "1", "Yes", "on"] {
            assert_eq!(switch(text), Some(true), "{text}");
        }
        for text in ["fasle", "2", "-"] {
            assert_eq!(switch(text), None, "{text}");
        }
    }
}
