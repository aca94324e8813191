//! What is noted of every call of the API: how it ended, for the metrics, and, where `--enable-api-logging` or a
//! Configuration asks for it, a line of JSON.
//!
//! The line says who was asked for what and how it ended, never a header, a body or a query.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::Full;
use serde_json::json;
use tonic::Code;

use crate::metrics::Answered;
use crate::sidecar::Sidecar;

/// The target by which the log is told from others.
pub const TARGET: &str = "bindwright::access";

/// The code of a failure, where an answer has one; for the metrics.
#[derive(Clone, Copy)]
pub(crate) struct Failed(pub(crate) &'static str);

/// A request over HTTP that is not answered yet.
pub(crate) struct Noted {
    method: Method,
    uri: Uri,
    received: u64,
}

impl Noted {
    pub(crate) fn of<B>(request: &http::Request<B>) -> Self {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { method, uri, received: length(request.headers()) }
    }

    pub(crate) fn answered(&self, sidecar: &Sidecar, response: &http::Response<Full<Bytes>>, took: Duration) {
        let (method, path, status) = (&self.method, self.uri.path(), response.status());
        let sent = response.body().size_hint().exact().unwrap_or_default();
        sidecar.metrics.answered(&Answered { method, path, status, received: self.received, sent, took });
        if let Some(Failed(code)) = response.extensions().get() {
            sidecar.metrics.failed(code);
        }
        if sidecar.logs_calls() {
            log("http", method, path, status, None, took);
        }
    }
}

pub(crate) async fn note_grpc(State(sidecar): State<Arc<Sidecar>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let took = began.elapsed();
    // Failures stand in the head, as no message was sent.
    let status = response.headers().get("grpc-status");
    let code = status.map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()));
    sidecar.metrics.called(uri.path(), code, took);
    if sidecar.logs_calls() {
        log("grpc", &method, uri.path(), response.status(), status, took);
    }
    response
}

/// The size of a body, as its sender says.
fn length(headers: &HeaderMap) -> u64 {
    let text = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn log(
    api: &str,
    method: &Method,
    path: &str,
    status: StatusCode,
    grpc: Option<&HeaderValue>,
    took: Duration,
) {
    let line = json!({
        "api": api,
        "method": method.as_str(),
        "path": path,
        "status": status.as_u16(),
        "grpcStatus": grpc.and_then(|value| value.to_str().ok()),
        "durationMs": took.as_secs_f64() * 1000.0,
    });
    tracing::info!(target: TARGET, "{line}");
}
