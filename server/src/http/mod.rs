//! The HTTP API: what Dapr's clients call with `curl`, `fetch` and the like.
//!
//! What stands before the handlers, in this order: the path is cleaned, headers are measured, the call is noted (and
//! logged where asked for), the token is checked. Paths that do not exist are answered as Dapr does, which takes them
//! for service invocation. Tests are in `server/tests/`.

mod bindings;
mod health;
mod metadata;
mod path;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tower::ServiceExt as _;

use crate::access;
use crate::limits::Unread;
use crate::sidecar::{Ending, Sidecar};

/// The header that shows the token.
pub(crate) const TOKEN: &str = "dapr-api-token";

type Shared = State<Arc<Sidecar>>;

/// The API on the port for applications.
pub(crate) fn api(sidecar: &Arc<Sidecar>) -> Router {
    let routes = Router::new()
        .route("/v1.0/bindings/{name}", post(bindings::invoke).put(bindings::invoke).fallback(no_such_path))
        .route("/v1.0/healthz", get(health::all).fallback(no_such_path))
        .route("/v1.0/healthz/outbound", get(health::outbound).fallback(no_such_path))
        .route("/v1.0/metadata", get(metadata::get).fallback(no_such_path))
        .route("/v1.0/metadata/{key}", axum::routing::put(metadata::put).fallback(no_such_path))
        .route("/v1.0/shutdown", post(shutdown).fallback(no_such_path))
        .fallback(no_such_path)
        .layer(from_fn_with_state(sidecar.clone(), check_token));
    finish(routes, sidecar)
}

/// What the public port has: nothing that needs a token.
pub(crate) fn public(sidecar: &Arc<Sidecar>) -> Router {
    let routes = Router::new()
        .route("/v1.0/healthz", get(health::all).fallback(no_such_path))
        .route("/v1.0/healthz/outbound", get(health::outbound).fallback(no_such_path))
        .route("/v1.0/metadata", get(metadata::get).fallback(no_such_path))
        .fallback(no_such_path);
    finish(routes, sidecar)
}

fn finish(routes: Router<Arc<Sidecar>>, sidecar: &Arc<Sidecar>) -> Router {
    let routes = routes
        .layer(from_fn_with_state(sidecar.clone(), access::note_http))
        .layer(from_fn_with_state(sidecar.clone(), check_headers))
        .with_state(sidecar.clone());
    // Before the router looks at the path.
    Router::new().fallback_service(routes.map_request(path::clean))
}

async fn check_token(State(sidecar): Shared, mut request: Request, next: Next) -> Response {
    let is_open = request.method() == Method::GET
        && matches!(request.uri().path(), "/v1.0/healthz" | "/v1.0/healthz/outbound");
    if let Some(token) = sidecar.options.api_token.as_ref().filter(|_| !is_open) {
        let shown = request.headers().get(TOKEN).map_or(&b""[..], HeaderValue::as_bytes);
        if !token.is(shown) {
            return plain(StatusCode::UNAUTHORIZED, "invalid api token\n");
        }
    }
    request.headers_mut().remove(TOKEN);
    next.run(request).await
}

/// HTTP/1 is measured when it is read; HTTP/2 packs headers, so what they unpack to is measured here.
async fn check_headers(State(sidecar): Shared, request: Request, next: Next) -> Response {
    if size(request.headers()) + request.uri().path().len() > header_limit(&sidecar) {
        return plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large\n");
    }
    next.run(request).await
}

/// What all headers of a request may have: Go, which Dapr is written in, grants 4 KiB beyond what is asked for.
pub(crate) fn header_limit(sidecar: &Sidecar) -> usize {
    sidecar.options.read_buffer_size.saturating_add(4096)
}

pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

async fn shutdown(State(sidecar): Shared, headers: HeaderMap) -> Response {
    let forced = headers.get("dapr-force-shutdown").is_some_and(|value| is_true(value.as_bytes()));
    sidecar.end(if forced { Ending::Forced } else { Ending::Asked });
    status(StatusCode::NO_CONTENT)
}

pub(crate) fn is_true(text: &[u8]) -> bool {
    let text = text.trim_ascii().to_ascii_lowercase();
    [&b"y"[..], b"yes", b"true", b"t", b"on", b"1"].contains(&&*text)
}

/// Dapr takes every other path for the invocation of a service.
async fn no_such_path() -> Response {
    let message = "failed getting app id either from the URL path or the header dapr-app-id";
    error(StatusCode::NOT_FOUND, "ERR_DIRECT_INVOKE", message)
}

/// An error as Dapr writes it: exactly these two members.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "errorCode": code, "message": message }).to_string();
    json(status, Body::from(body))
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = json(status, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A body that was not read.
fn unread(cause: Unread, malformed: &str) -> Response {
    let malformed = |cause: &str| {
        error(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", &format!("{malformed}: {cause}"))
    };
    match cause {
        Unread::TooLarge => malformed("stream too large"),
        Unread::Broken(text) => malformed(&text),
        Unread::Slow => plain(StatusCode::REQUEST_TIMEOUT, "the body did not go on\n"),
        Unread::Overloaded => {
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "too much is under way\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}
