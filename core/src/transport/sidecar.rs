//! Bindings in a process beside this one: Dapr's sidecar, or `bindwright serve`.
//!
//! Nothing is connected when a client is opened. A call waits for a sidecar that is still starting, until its
//! deadline; events come to a port of this program, which is opened when somebody subscribes.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tracing::Instrument as _;

use super::app_channel::AppChannel;
use super::attempt::{Repeats, until_answered};
use super::grpc::Grpc;
use super::http::Http;
use super::settings::Settings;
use super::tasks::Calls;
use super::{ComponentInfo, Transport, TransportKind};
use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::dispatch::{HandOut, Outputs, Rules, Subscription};
use crate::engine::Reload;
use crate::error::{Error, ErrorCode, Result, Status};
use crate::health::State;
use crate::policy::PolicyReport;
use crate::telemetry;

/// The header that carries a token, in both directions.
pub(super) const TOKEN: &str = "dapr-api-token";
/// How many of the requests of one call are with the sidecar at once.
const AT_ONCE: usize = 64;
/// And of the emissions of an event, whose order counts.
const IN_ORDER: usize = 1;

/// A client's way to its sidecar.
pub(crate) struct Sidecar {
    reached: Reached,
    app: Arc<AppChannel>,
}

/// The sidecar, as calls and emissions use it.
#[derive(Clone)]
struct Reached {
    way: Arc<Way>,
    place: Arc<str>,
    repeats: Repeats,
    calls: Calls,
}

enum Way {
    Grpc(Grpc),
    Http(Http),
}

/// A component as a sidecar tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) component_type: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
}

impl Sidecar {
    /// A way over gRPC. Connects to nothing.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for an address, a file or a token that cannot be used.
    pub(crate) fn over_grpc(settings: &Settings) -> Result<Self> {
        Ok(Self::reached_by(Way::Grpc(Grpc::new(settings)?), TransportKind::SidecarGrpc, settings))
    }

    /// The same over HTTP.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn over_http(settings: &Settings) -> Result<Self> {
        Ok(Self::reached_by(Way::Http(Http::new(settings)?), TransportKind::SidecarHttp, settings))
    }

    fn reached_by(way: Way, kind: TransportKind, settings: &Settings) -> Self {
        let endpoint = &settings.endpoint;
        let place = endpoint.to_string().into();
        tracing::info!(target: "bindwright", transport = kind.as_str(), %endpoint, "client opened");
        let reached =
            Reached { way: Arc::new(way), place, repeats: settings.repeats, calls: Calls::default() };
        Self { reached, app: AppChannel::new(settings) }
    }
}

impl Reached {
    fn remote(&self, name: &str, at_once: usize) -> Arc<dyn OutputBinding> {
        Arc::new(Remote { reached: self.clone(), name: name.into(), at_once })
    }

    async fn invoke(&self, name: &str, call: &Call, request: Request) -> Result<Reply> {
        let (place, deadline) = (&*self.place, call.deadline);
        match &*self.way {
            Way::Grpc(grpc) => {
                let request = &request;
                until_answered(place, deadline, self.repeats, |handed| {
                    grpc.invoke(name, call, request, handed)
                })
                .await
            }
            Way::Http(http) => {
                let envelope = Http::envelope(&call.operation, &request)?;
                let metadata = &request.metadata;
                until_answered(place, deadline, self.repeats, |handed| {
                    http.invoke(name, envelope.clone(), metadata, deadline, handed)
                })
                .await
            }
        }
    }

    async fn components(&self, deadline: Instant) -> Result<Vec<Known>> {
        let place = &*self.place;
        match &*self.way {
            Way::Grpc(grpc) => {
                until_answered(place, deadline, Repeats::QUESTION, |handed| grpc.components(deadline, handed))
                    .await
            }
            Way::Http(http) => {
                until_answered(place, deadline, Repeats::QUESTION, |handed| http.components(handed)).await
            }
        }
    }

    async fn ready(&self, deadline: Instant) -> Result<()> {
        match &*self.way {
            // There is no question about health in Dapr's gRPC API; before components are loaded the port is closed.
            Way::Grpc(_) => match self.components(deadline).await {
                // Its Configuration does not allow this question; who answers so is there.
                Err(error) if error.backend_status() == Some(Status::Grpc(12)) => Ok(()),
                answered => answered.map(drop),
            },
            Way::Http(http) => {
                until_answered(&self.place, deadline, Repeats::QUESTION, |handed| http.outbound(handed)).await
            }
        }
    }
}

#[async_trait]
impl Transport for Sidecar {
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        Ok(self.reached.remote(name, AT_ONCE))
    }

    async fn subscribe(&self, name: &str, hand_out: HandOut) -> Result<Subscription> {
        let input = self.app.input(name);
        let outputs = Arc::new(self.reached.clone());
        Subscription::attach(name.into(), input, hand_out, Rules::once(), outputs)
            .await
            .map_err(|error| error.component(name))
    }

    async fn components(&self, deadline: Instant) -> Result<Vec<ComponentInfo>> {
        let known = self.reached.components(deadline).await?;
        let bindings = known.into_iter().filter(|one| one.component_type.starts_with("bindings."));
        let mut infos: Vec<_> = bindings.zip(0..).map(|(one, number)| one.info(number)).collect();
        infos.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(infos)
    }

    fn policies(&self) -> PolicyReport {
        PolicyReport::default()
    }

    fn faults(&self) -> Vec<Error> {
        Vec::new()
    }

    fn add_component(&self, _: &str) -> Result<Vec<String>> {
        Err(has_no_documents("components cannot be added"))
    }

    fn remove_component(&self, name: &str) -> Result<()> {
        Err(has_no_documents("components cannot be removed").component(name))
    }

    async fn reload(&self) -> Result<Reload> {
        Err(has_no_documents("there is nothing to reload"))
    }

    async fn ready(&self, deadline: Instant) -> Result<()> {
        self.reached.ready(deadline).await
    }

    async fn close(&self, _: Instant) {
        self.app.close().await;
    }
}

impl Outputs for Reached {
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        Ok(self.remote(name, IN_ORDER))
    }
}

/// A binding of the sidecar. Whether it is there only the sidecar knows.
struct Remote {
    reached: Reached,
    name: Arc<str>,
    at_once: usize,
}

impl Remote {
    async fn ask(&self, call: &Call, request: Request) -> Result<Reply> {
        let span = telemetry::invocation(&self.name, &call.operation, Some(&request.metadata));
        let asked =
            self.reached.calls.run(self.reached.invoke(&self.name, call, request)).instrument(span).await;
        asked.map_err(|error| error.component(self.name.clone()).operation(&call.operation))
    }
}

#[async_trait]
impl OutputBinding for Remote {
    fn operations(&self) -> &[&'static str] {
        &[]
    }

    fn knows(&self, _: &str) -> bool {
        true
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        self.ask(call, request).await
    }

    async fn invoke_many(&self, call: &Call, requests: Vec<Request>) -> Vec<Result<Reply>> {
        stream::iter(requests).map(|request| self.ask(call, request)).buffered(self.at_once).collect().await
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

impl Known {
    fn info(self, number: u64) -> ComponentInfo {
        let has = |capability: &str| self.capabilities.iter().any(|one| one == capability);
        ComponentInfo {
            input: has("INPUT_BINDING"),
            output: has("OUTPUT_BINDING"),
            name: self.name,
            component_type: self.component_type.to_lowercase(),
            version: self.version.to_lowercase(),
            explicit_input: false,
            route: None,
            ignore_errors: false,
            redelivery: None,
            retries: None,
            number,
            // A sidecar lists what it has loaded, and tells no more.
            state: State::Ready,
            error: None,
        }
    }
}

pub(super) fn too_large(size: usize, most: usize) -> Error {
    Error::new(ErrorCode::PayloadTooLarge, format!("the call has {size} bytes, more than {most}"))
        .advice("Send less, or raise `max_message_size` or BINDWRIGHT_MAX_MESSAGE_SIZE, and the sidecar's --max-body-size.")
}

pub(super) fn answer_too_large(most: usize) -> Error {
    Error::new(ErrorCode::PayloadTooLarge, format!("the answer of the sidecar is larger than {most} bytes"))
        .advice("Raise `max_message_size` or BINDWRIGHT_MAX_MESSAGE_SIZE; the call itself succeeded.")
}

pub(super) fn unfit_token() -> Error {
    let message = "the sidecar's token has characters that a header cannot have";
    Error::new(ErrorCode::InvalidOptions, message).advice("Correct `sidecar_token` or DAPR_API_TOKEN.")
}

fn has_no_documents(what: &str) -> Error {
    let message = format!("{what}: the components are the sidecar's");
    Error::new(ErrorCode::InvalidOptions, message)
        .advice("Change the sidecar's resources, or use the transport embedded.")
}
