//! The HTTP API: what Dapr's clients call with `curl`, `fetch` and the like.
//!
//! The paths are few and every call takes one of them, so they are told apart by hand. What stands before them, in this
//! order: the path is cleaned, headers are measured, the token is checked; afterwards the call is noted. Paths that do
//! not exist are answered as Dapr does, which takes them for service invocation. Tests are in `server/tests/`.

mod answers;
mod bindings;
mod health;
mod metadata;
mod path;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bindwright::ComponentInfo;
use bindwright_wire::unread::{self, Watched};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};

use crate::configuration::{Part, Protocol};
use crate::sidecar::{Ending, Sidecar};
use crate::{access, replies};
use answers::{no_room, no_such_path, plain, status};

/// The header that shows the token.
pub(crate) const TOKEN: &str = "dapr-api-token";

type Body = Watched<Incoming>;
type Request = http::Request<Body>;
type Response = http::Response<Full<Bytes>>;

/// What a port has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offers {
    /// The API for applications.
    Everything,
    /// Metadata and health, which need no token there.
    Public,
    /// The metrics.
    Metrics,
}

/// What answers the requests of a port.
pub(crate) fn service(
    sidecar: &Arc<Sidecar>,
    offers: Offers,
) -> impl Service<http::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let sidecar = sidecar.clone();
    service_fn(move |request: http::Request<Incoming>| {
        let sidecar = sidecar.clone();
        async move {
            let mut request = request.map(Watched::new);
            let mut response = serve(&sidecar, offers, &mut request).await;
            unread::settle(&mut request, &mut response).await;
            Ok(response)
        }
    })
}

async fn serve(sidecar: &Arc<Sidecar>, offers: Offers, request: &mut Request) -> Response {
    if offers == Offers::Metrics {
        let components = sidecar.components().await;
        return charged(sidecar, metrics(sidecar, &components, request));
    }
    let began = Instant::now();
    path::clean(request);
    let is_large = size(request.headers()) + request.uri().path().len() > header_limit(sidecar);
    let noted = access::Noted::of(request);
    let response = if is_large {
        plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large\n")
    } else {
        charged(sidecar, answer(sidecar, offers, request).await)
    };
    noted.answered(sidecar, &response, began.elapsed());
    response
}

/// A reply, if there is room for it.
fn charged(sidecar: &Sidecar, mut response: Response) -> Response {
    let body = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = body.unwrap_or(usize::MAX).saturating_add(size(response.headers()));
    let fits = replies::charge(&sidecar.budget, response.extensions_mut(), bytes);
    if fits { response } else { no_room(bytes) }
}

async fn answer(sidecar: &Arc<Sidecar>, offers: Offers, request: &mut Request) -> Response {
    let path = request.uri().path();
    let (method, is_get) = (request.method(), matches!(*request.method(), Method::GET | Method::HEAD));
    let is_health = matches!(path, "/v1.0/healthz" | "/v1.0/healthz/outbound");
    if offers == Offers::Everything {
        let is_open = is_health && *method == Method::GET;
        if let Some(token) = sidecar.options.api_token.as_ref().filter(|_| !is_open) {
            let shown = request.headers().get(TOKEN).map_or(&b""[..], HeaderValue::as_bytes);
            if !token.is(shown) {
                return plain(StatusCode::UNAUTHORIZED, "invalid api token\n");
            }
        }
    }
    // What a Configuration switches off is a path that does not exist.
    let has = |part| sidecar.configuration.has(part, Protocol::Http);
    let is_all = offers == Offers::Everything;
    let is_put = *method == Method::PUT;
    match path {
        "/v1.0/healthz" if is_get => health::all(sidecar, request.uri().query()),
        "/v1.0/healthz/outbound" if is_get => health::outbound(sidecar),
        "/v1.0/metadata" if is_get && (!is_all || has(Part::Metadata)) => metadata::get(sidecar).await,
        "/v1.0/shutdown" if is_all && *method == Method::POST && has(Part::Shutdown) => {
            shutdown(sidecar, request.headers())
        }
        _ if !is_all => no_such_path(),
        _ if (is_put || *method == Method::POST)
            && is_below(path, "/v1.0/bindings/")
            && has(Part::Bindings) =>
        {
            request.headers_mut().remove(TOKEN);
            // A connection that is idle must not keep room for what a call needs.
            Box::pin(bindings::invoke(sidecar, request)).await
        }
        _ if is_put && is_below(path, "/v1.0/metadata/") && has(Part::Metadata) => {
            Box::pin(metadata::put(sidecar, request)).await
        }
        _ => no_such_path(),
    }
}

/// Whether a path has one more segment.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

fn metrics(sidecar: &Sidecar, components: &[ComponentInfo], request: &Request) -> Response {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_get || !matches!(request.uri().path(), "/" | "/metrics") {
        return status(StatusCode::NOT_FOUND);
    }
    plain(StatusCode::OK, sidecar.metrics.shown(&sidecar.client, components))
}

/// What all headers of a request may have: Go, which Dapr is written in, grants 4 KiB beyond what is asked for. HTTP/1
/// is measured when it is read; HTTP/2 packs headers, so what they unpack to is measured again.
pub(crate) fn header_limit(sidecar: &Sidecar) -> usize {
    sidecar.options.header_limit().saturating_add(4096)
}

pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn shutdown(sidecar: &Sidecar, headers: &HeaderMap) -> Response {
    let forced = headers.get("dapr-force-shutdown").is_some_and(|value| is_true(value.as_bytes()));
    sidecar.end(if forced { Ending::Forced } else { Ending::Asked });
    status(StatusCode::NO_CONTENT)
}

pub(crate) fn is_true(text: &[u8]) -> bool {
    let text = text.trim_ascii().to_ascii_lowercase();
    [&b"y"[..], b"yes", b"true", b"t", b"on", b"1"].contains(&&*text)
}
