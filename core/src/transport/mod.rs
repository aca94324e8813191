//! How a client reaches its bindings: one trait, three ways.
//!
//! `embedded.rs` with `view.rs` is the way inside this process. `sidecar.rs` is the way to a process beside it:
//! `settings.rs` and `endpoint.rs` say where it is, `connect.rs` connects, `tasks.rs` runs the connections, `attempt.rs`
//! decides what is made again, `grpc.rs` and `http.rs` speak, `answer.rs` reads errors, and `app_channel/` receives.

mod answer;
mod app_channel;
mod attempt;
mod connect;
mod embedded;
mod endpoint;
mod grpc;
mod http;
mod settings;
mod sidecar;
mod tasks;
mod view;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::binding::OutputBinding;
use crate::dispatch::{HandOut, Subscription};
use crate::engine::Reload;
use crate::error::{Error, ErrorCode, Result};
use crate::health::State;
use crate::policy::{Ledger, PolicyReport};

pub(crate) use embedded::{Embedded, Guarded};
pub(crate) use settings::Settings;
pub use settings::SidecarOptions;
pub(crate) use sidecar::Sidecar;

/// The way to the bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportKind {
    /// Inside this process.
    Embedded,
    /// A sidecar beside it, over gRPC: bytes arrive as they are.
    SidecarGrpc,
    /// A sidecar beside it, over HTTP, which carries JSON.
    SidecarHttp,
}

impl TransportKind {
    /// Reads the spelling of `BINDWRIGHT_TRANSPORT`.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for anything else than `embedded`, `sidecar-grpc` and `sidecar-http`.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "embedded" => Ok(Self::Embedded),
            "sidecar-grpc" => Ok(Self::SidecarGrpc),
            "sidecar-http" => Ok(Self::SidecarHttp),
            other => Err(Error::new(
                ErrorCode::InvalidOptions,
                format!(
                    "transport: expected \"embedded\", \"sidecar-grpc\" or \"sidecar-http\", got {other:?}"
                ),
            )),
        }
    }

    /// The spelling of `BINDWRIGHT_TRANSPORT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::SidecarGrpc => "sidecar-grpc",
            Self::SidecarHttp => "sidecar-http",
        }
    }
}

/// What a component can do, and how it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // facts that have nothing to do with each other
pub struct ComponentInfo {
    /// The name that calls use.
    pub name: String,
    /// `spec.type`, in lower case.
    pub component_type: String,
    /// `spec.version`, in lower case.
    pub version: String,
    /// Whether it can be subscribed to.
    pub input: bool,
    /// Whether it can be invoked.
    pub output: bool,
    /// Whether its `direction` names the input: an application that is asked what it wants to receive is then not asked.
    pub explicit_input: bool,
    /// The path of an HTTP application that its events go to, where its document names one.
    pub route: Option<String>,
    /// Whether a start goes on without it when it fails.
    pub ignore_errors: bool,
    /// How often an event of it is delivered at most, and how long that takes; `None` for what does not receive.
    pub redelivery: Option<Ledger>,
    /// How often a call of it is attempted at most, and how long that takes, within the caller's deadline; `None` for
    /// what does not send.
    pub retries: Option<Ledger>,
    /// Which live object it is: a component that is loaded anew has another number.
    pub number: u64,
    /// How it is: the worse of its output and of what is subscribed to it.
    pub state: State,
    /// Why it cannot be used, or the last error of its connection.
    pub error: Option<Error>,
}

/// What every way can do.
#[async_trait]
pub(crate) trait Transport: Send + Sync + 'static {
    /// The binding behind a name, for one or more calls. Looked up at each call, so that it can be swapped.
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>>;

    /// Attaches to the input binding behind a name.
    async fn subscribe(&self, name: &str, hand_out: HandOut) -> Result<Subscription>;

    /// All components and how they are.
    async fn components(&self, deadline: Instant) -> Result<Vec<ComponentInfo>>;

    /// What policies did.
    fn policies(&self) -> PolicyReport;

    /// Documents that were left out, and settings that look wrong.
    fn faults(&self) -> Vec<Error>;

    /// Adds components that only this client sees.
    fn add_component(&self, text: &str) -> Result<Vec<String>>;

    /// Removes a component, for this client only.
    fn remove_component(&self, name: &str) -> Result<()>;

    /// Looks at the resource files now.
    async fn reload(&self) -> Result<Reload>;

    /// Opens what can send and waits until it is ready.
    async fn ready(&self, deadline: Instant) -> Result<()>;

    /// Closes what is this client's own and gives the rest back; what other clients of the process use stays open.
    async fn close(&self, deadline: Instant);
}
