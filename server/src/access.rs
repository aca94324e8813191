//! The access log: one line of JSON for every call of the API, where `--enable-api-logging` asks for it.
//!
//! It says who was asked for what and how it ended, never a header, a body or a query.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use crate::sidecar::Sidecar;

/// The target by which the log is told from others.
pub const TARGET: &str = "bindwright::access";

pub(crate) async fn note_http(State(sidecar): State<Arc<Sidecar>>, request: Request, next: Next) -> Response {
    note(&sidecar, "http", request, next).await
}

pub(crate) async fn note_grpc(State(sidecar): State<Arc<Sidecar>>, request: Request, next: Next) -> Response {
    note(&sidecar, "grpc", request, next).await
}

async fn note(sidecar: &Sidecar, api: &str, request: Request, next: Next) -> Response {
    if !sidecar.options.enable_api_logging {
        return next.run(request).await;
    }
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    // Failures of gRPC stand in the head where no message was sent.
    let grpc = response.headers().get("grpc-status").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let line = json!({
        "api": api,
        "method": method.as_str(),
        "path": path,
        "status": response.status().as_u16(),
        "grpcStatus": grpc,
        "durationMs": began.elapsed().as_secs_f64() * 1000.0,
    });
    tracing::info!(target: TARGET, "{line}");
    response
}
