//! The native client that `Client` in `ts/client.ts` wraps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bindwright::component::Secret;
use bindwright::{Client, ClientOptions, ComponentInfo, HandOut, Ledger, SidecarOptions, TransportKind};
use napi::Env;
use napi::bindgen_prelude::{External, PromiseRaw};
use napi_derive::napi;

use crate::batch::NativeSubscription;
use crate::calls::{Keeps, abort, begin, promise};
use crate::convert::{duration, millis};
use crate::errors::{ErrorParts, thrown};
use crate::invoke::{Target, target};

/// Core's client.
#[napi]
pub struct NativeClient(Client);

/// What a client is told; see `ClientOptions` in core.
#[napi(object, object_to_js = false)]
pub struct NativeOptions {
    /// Folders or files with component documents.
    pub resources: Option<Vec<String>>,
    /// The name that `scopes` are compared with.
    pub app_id: Option<String>,
    /// The way to the bindings.
    pub transport: Option<String>,
    /// Where the sidecar listens.
    pub sidecar_endpoint: Option<String>,
    /// The token that it asks for.
    pub sidecar_token: Option<String>,
    /// A file with the certificates to trust.
    pub sidecar_ca: Option<String>,
    /// Bytes, in both directions.
    pub max_message_size: Option<u32>,
    /// How often a call is made again that may have taken effect.
    pub max_retries: Option<i64>,
    /// Where the sidecar delivers events.
    pub app_port: Option<u16>,
    /// The token that it shows there.
    pub app_token: Option<String>,
    /// How long a call waits when it does not say.
    pub timeout_ms: Option<f64>,
    /// Whether components follow changes of the files.
    pub hot_reload: Option<bool>,
}

#[napi]
impl NativeClient {
    /// Reads the component documents.
    #[napi(factory, catch_unwind)]
    pub fn open(env: Env, options: NativeOptions) -> napi::Result<Self> {
        let transport = options.transport.as_deref().map(TransportKind::parse).transpose();
        let sidecar = SidecarOptions {
            endpoint: options.sidecar_endpoint,
            token: options.sidecar_token.map(Secret::new),
            ca_file: options.sidecar_ca.map(PathBuf::from),
            max_message_size: options.max_message_size.map(|bytes| bytes as usize),
            max_retries: options.max_retries,
            app_port: options.app_port,
            app_token: options.app_token.map(Secret::new),
        };
        let options = ClientOptions {
            resources: options.resources.map(|paths| paths.into_iter().map(PathBuf::from).collect()),
            app_id: options.app_id,
            transport: thrown(env, transport)?,
            sidecar,
            timeout: options.timeout_ms.map(duration),
            hot_reload: options.hot_reload,
            ..ClientOptions::default()
        };
        thrown(env, Client::open(options)).map(Self)
    }

    /// What calls of an operation of a component are about; for `invoke` and `invokeMany`.
    #[napi(catch_unwind)]
    pub fn target(&self, name: String, operation: String) -> External<Arc<Target>> {
        target(&self.0, name, operation)
    }

    /// Attaches to an input binding: for handlers of single `events`, of `batches`, or for a program that pulls.
    #[napi(catch_unwind)]
    pub fn subscribe<'env>(
        &self,
        env: &'env Env,
        name: String,
        hand_out: String,
    ) -> napi::Result<PromiseRaw<'env, NativeSubscription>> {
        let client = self.0.clone();
        let hand_out = match hand_out.as_str() {
            "events" => HandOut::LaneAtATime,
            "batches" => HandOut::Batches,
            _ => HandOut::Freely,
        };
        promise(env, async move { client.subscribe(&name, hand_out).await.map(NativeSubscription::new) })
    }

    /// All components in scope and how they are, by name; a sidecar is asked.
    #[napi(catch_unwind)]
    pub fn components<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Vec<ComponentParts>>> {
        let client = self.0.clone();
        promise(
            env,
            async move { Ok(client.components().await?.into_iter().map(ComponentParts::from).collect()) },
        )
    }

    /// Documents that were left out and settings that look wrong.
    #[napi(catch_unwind)]
    pub fn faults(&self) -> Vec<ErrorParts> {
        self.0.faults().iter().map(ErrorParts::from).collect()
    }

    /// Adds the components of a text, for this client only; their names.
    #[napi(catch_unwind)]
    pub fn add_component(&self, env: Env, text: String) -> napi::Result<Vec<String>> {
        thrown(env, self.0.add_component(&text))
    }

    /// Removes a component, for this client only.
    #[napi(catch_unwind)]
    pub fn remove_component(&self, env: Env, name: String) -> napi::Result<()> {
        thrown(env, self.0.remove_component(&name))
    }

    /// Opens what can send and waits until it works.
    #[napi(catch_unwind)]
    pub fn ready<'env>(
        &self,
        env: &'env Env,
        key: Option<u32>,
        timeout_ms: Option<f64>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let (client, timeout) = (self.0.clone(), timeout_ms.map_or(bindwright::DEFAULT_TIMEOUT, duration));
        begin(env, key, Keeps::Process, async move { client.ready(timeout).await })
    }

    /// Looks at the resource files now.
    #[napi(catch_unwind)]
    pub fn reload<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ReloadParts>> {
        let client = self.0.clone();
        promise(env, async move { client.reload().await.map(ReloadParts::from) })
    }

    /// Ends subscriptions, waits for handlers and records what was settled.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env, drain_ms: Option<f64>) -> napi::Result<PromiseRaw<'env, ()>> {
        let (client, drain) = (self.0.clone(), drain_ms.map_or(bindwright::DEFAULT_DRAIN, duration));
        promise(env, async move { client.close(drain).await })
    }

    /// The way that was chosen.
    #[napi(getter)]
    pub fn transport(&self) -> &'static str {
        self.0.transport().as_str()
    }
}

/// Ends a call of this thread, unless it is done.
#[napi(catch_unwind)]
pub fn abort_call(key: u32) {
    abort(key);
}

/// What a component can do, and how it is.
#[napi(object, object_from_js = false)]
pub struct ComponentParts {
    /// The name that calls use.
    pub name: String,
    /// `spec.type`.
    pub r#type: String,
    /// `spec.version`.
    pub version: String,
    /// Whether it can be subscribed to.
    pub input: bool,
    /// Whether it can be invoked.
    pub output: bool,
    /// How it is.
    pub state: &'static str,
    /// Why it cannot be used, or the last error of its connection.
    pub error: Option<ErrorParts>,
    /// How often an event is delivered, and how long that takes.
    pub redelivery: Option<LedgerParts>,
    /// How often a call is attempted, and how long that takes.
    pub retries: Option<LedgerParts>,
}

impl From<ComponentInfo> for ComponentParts {
    fn from(info: ComponentInfo) -> Self {
        Self {
            name: info.name,
            r#type: info.component_type,
            version: info.version,
            input: info.input,
            output: info.output,
            state: info.state.as_str(),
            error: info.error.as_ref().map(ErrorParts::from),
            redelivery: info.redelivery.map(LedgerParts::from),
            retries: info.retries.map(LedgerParts::from),
        }
    }
}

/// How often something is attempted, and how long that takes; what is left out has no end.
#[napi(object, object_from_js = false)]
pub struct LedgerParts {
    /// Attempts at most.
    pub attempts: Option<u32>,
    /// Milliseconds from the first to the end of the last.
    pub longest_ms: Option<f64>,
    /// Milliseconds of all pauses together.
    pub pauses_ms: Option<f64>,
}

impl From<Ledger> for LedgerParts {
    fn from(ledger: Ledger) -> Self {
        let time = |time: Option<Duration>| time.map(millis);
        Self { attempts: ledger.attempts, longest_ms: time(ledger.longest), pauses_ms: time(ledger.pauses) }
    }
}

/// What a look at the files changed.
#[napi(object, object_from_js = false)]
pub struct ReloadParts {
    /// Names that were added.
    pub added: Vec<String>,
    /// Names whose documents changed.
    pub changed: Vec<String>,
    /// Names that were removed.
    pub removed: Vec<String>,
    /// What is wrong with the files.
    pub faults: Vec<ErrorParts>,
}

impl From<bindwright::Reload> for ReloadParts {
    fn from(reload: bindwright::Reload) -> Self {
        let faults = reload.faults.iter().map(ErrorParts::from).collect();
        Self { added: reload.added, changed: reload.changed, removed: reload.removed, faults }
    }
}
