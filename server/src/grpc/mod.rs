//! The gRPC API: what Dapr's SDKs call.
//!
//! As over HTTP, headers are measured, the call is noted and the token checked before anything else. Only the trace
//! context and baggage of a call's metadata reach a component: Dapr passes all of it on, tokens included. Tests are in
//! `server/tests/`.

mod api;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::configuration::{Part, Protocol};
use crate::limits::Metered;
use crate::sidecar::Sidecar;
use crate::{access, http as http_api};
use bindwright_wire::messages;
use bindwright_wire::messages::dapr_server::DaprServer;

/// Where errors come from, as Dapr tells it.
const DOMAIN: &str = "dapr.io";

/// When somebody who was refused may come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Why a request is refused.
pub(crate) const TOO_MUCH: &str = "too much is under way";

/// All services, with what stands before them.
pub(crate) async fn services(sidecar: &Arc<Sidecar>) -> Result<Router, String> {
    let most = sidecar.options.body_limit().unwrap_or(usize::MAX);
    let api = DaprServer::new(api::Api(sidecar.clone()))
        .max_decoding_message_size(most)
        .max_encoding_message_size(most);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<DaprServer<api::Api>>().await;
    let told = |error: tonic_reflection::server::Error| error.to_string();
    // Older clients ask by the name that the service had first.
    let newer = described().build_v1().map_err(told)?;
    let older = described().build_v1alpha().map_err(told)?;
    let all = Routes::new(api).add_service(health).add_service(newer).add_service(older);
    Ok(all
        .into_axum_router()
        .layer(from_fn_with_state(sidecar.clone(), guard))
        .layer(from_fn_with_state(sidecar.clone(), access::note_grpc)))
}

/// What reflection tells.
fn described() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(messages::DESCRIPTION)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(<DaprServer<api::Api> as NamedService>::NAME)
        .with_service_name("grpc.health.v1.Health")
}

/// Checks headers and token, and meters the body.
async fn guard(State(sidecar): State<Arc<Sidecar>>, mut request: Request, next: Next) -> Response {
    if http_api::size(request.headers()) > http_api::header_limit(&sidecar) {
        return refuse(Status::resource_exhausted("the metadata of the call is too large"));
    }
    if let Some(token) = &sidecar.options.api_token {
        let shown = request.headers().get(http_api::TOKEN).map_or(&b""[..], HeaderValue::as_bytes);
        if !token.is(shown) {
            return refuse(unauthorized());
        }
    }
    request.headers_mut().remove(http_api::TOKEN);
    if part(request.uri().path()).is_some_and(|part| !sidecar.configuration.has(part, Protocol::Grpc)) {
        return refuse(Status::unimplemented("requested endpoint is not available"));
    }
    let charge = Arc::new(Mutex::new(sidecar.budget.charge()));
    request.extensions_mut().insert(charge.clone());
    let patience = sidecar.options.slow_client_timeout;
    let request = request.map(|body| Body::new(Metered::new(body, charge.clone(), patience)));
    let mut response = next.run(request).await;
    // Until here the call holds its data.
    drop(charge);
    let status = response.headers().get("grpc-status").map(HeaderValue::as_bytes);
    if status == Some(b"11") && response.status() == StatusCode::OK {
        // A message that is too large; the library calls that out of range.
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("8"));
    }
    response
}

/// The part of the API that a method is of, where it can be switched off.
fn part(path: &str) -> Option<Part> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    if service != <DaprServer<api::Api> as NamedService>::NAME {
        return None;
    }
    match method {
        "InvokeBinding" => Some(Part::Bindings),
        "GetMetadata" | "SetMetadata" => Some(Part::Metadata),
        "Shutdown" => Some(Part::Shutdown),
        _ => None,
    }
}

fn refuse(status: Status) -> Response {
    status.into_http()
}

fn unauthorized() -> Status {
    let metadata = HashMap::from([("http.code".to_owned(), "401".to_owned())]);
    let details = ErrorDetails::with_error_info("UNAUTHORIZED", DOMAIN, metadata);
    Status::with_error_details(Code::Unauthenticated, "Unauthorized", details)
}

/// Too much is under way.
pub(crate) fn overloaded(text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_retry_info(Some(COME_AGAIN));
    Status::with_error_details(Code::ResourceExhausted, text, details)
}
