//! What a client can be told, and what it takes from the environment instead.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::manifest::{Manifest, References};
use crate::transport::{Settings, SidecarOptions, TransportKind};

/// Where a client finds its components, and who it is. What is left out comes from the environment.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Folders or files with component documents. Left out: `BINDWRIGHT_RESOURCES` (a list separated as in `PATH`),
    /// else `./components`, else `./resources`. Given, they also choose the embedded transport.
    pub resources: Option<Vec<PathBuf>>,
    /// The name that `scopes` of documents are compared with. Left out: `APP_ID`.
    pub app_id: Option<String>,
    /// The way to the bindings. Left out: embedded where `resources` are given; else `BINDWRIGHT_TRANSPORT`; else a
    /// sidecar over gRPC where `sidecar.endpoint`, `DAPR_GRPC_ENDPOINT` or `DAPR_GRPC_PORT` names one, over HTTP where
    /// only `DAPR_HTTP_ENDPOINT` or `DAPR_HTTP_PORT` does; else embedded.
    pub transport: Option<TransportKind>,
    /// Where the sidecar is; does not count for the embedded transport.
    pub sidecar: SidecarOptions,
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
        self.transport_by(&variable)
    }

    fn transport_by(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<TransportKind> {
        if let Some(kind) = self.transport {
            return Ok(kind);
        }
        if self.resources.is_some() {
            return Ok(TransportKind::Embedded);
        }
        if let Some(text) = variable("BINDWRIGHT_TRANSPORT") {
            return TransportKind::parse(&text);
        }
        let names = |names: [&str; 2]| names.into_iter().any(|name| variable(name).is_some());
        Ok(if self.sidecar.endpoint.is_some() || names(["DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT"]) {
            TransportKind::SidecarGrpc
        } else if names(["DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT"]) {
            TransportKind::SidecarHttp
        } else {
            TransportKind::Embedded
        })
    }

    pub(super) fn sidecar_settings(self, kind: TransportKind) -> Result<Settings> {
        Settings::new(kind, self.sidecar, variable)
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

    #[test]
    fn the_transport_is_what_is_said_first() {
        use TransportKind::{Embedded, SidecarGrpc, SidecarHttp};
        let given = |resources: bool, transport, endpoint: Option<&str>| ClientOptions {
            resources: resources.then(Vec::new),
            transport,
            sidecar: SidecarOptions { endpoint: endpoint.map(str::to_owned), ..SidecarOptions::default() },
            ..ClientOptions::default()
        };
        for (options, variables, expected) in [
            (given(false, None, None), &[][..], Embedded),
            (given(false, None, None), &["DAPR_HTTP_PORT"], SidecarHttp),
            (given(false, None, None), &["DAPR_HTTP_ENDPOINT", "DAPR_GRPC_PORT"], SidecarGrpc),
            (given(false, None, None), &["DAPR_GRPC_ENDPOINT"], SidecarGrpc),
            (given(false, None, None), &["DAPR_GRPC_PORT", "BINDWRIGHT_TRANSPORT"], SidecarHttp),
            (given(false, None, Some("there")), &[], SidecarGrpc),
            (given(true, None, None), &["DAPR_GRPC_PORT", "BINDWRIGHT_TRANSPORT"], Embedded),
            (given(true, Some(SidecarGrpc), None), &["BINDWRIGHT_TRANSPORT"], SidecarGrpc),
        ] {
            let variable = |name: &str| {
                let value = if name == "BINDWRIGHT_TRANSPORT" { "sidecar-http" } else { "1" };
                variables.contains(&name).then(|| value.to_owned())
            };
            assert_eq!(options.transport_by(&variable).unwrap(), expected, "{options:?} {variables:?}");
        }
    }
}
