//! `GET /v1.0/metadata` and `PUT /v1.0/metadata/{key}`.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Shared, error, path, plain, status, unread};
use crate::limits;
use crate::sidecar::Health;

pub(super) async fn get(State(sidecar): Shared) -> Response {
    let about = sidecar.about();
    let mut whole = Map::new();
    whole.insert("id".to_owned(), about.id.into());
    whole.insert("runtimeVersion".to_owned(), about.version.into());
    if !about.components.is_empty() {
        let components = about.components.into_iter().map(|one| {
            json!({ "name": one.name, "type": one.component_type, "version": one.version,
                "capabilities": one.capabilities })
        });
        whole.insert("components".to_owned(), components.collect());
    }
    whole.insert("extended".to_owned(), json!(about.extended));
    if let Some(app) = about.app {
        let mut properties = Map::new();
        properties.insert("port".to_owned(), app.port.into());
        properties.insert("protocol".to_owned(), app.protocol.into());
        properties.insert("channelAddress".to_owned(), app.address.into());
        if app.concurrency > 0 {
            properties.insert("maxConcurrency".to_owned(), app.concurrency.into());
        }
        if let Some(health) = &app.health {
            properties.insert("health".to_owned(), for_programs(health));
        }
        whole.insert("appConnectionProperties".to_owned(), properties.into());
    }
    super::json(StatusCode::OK, Value::from(whole).to_string())
}

fn for_programs(health: &Health) -> Value {
    json!({ "healthCheckPath": health.path, "healthProbeInterval": health.interval,
        "healthProbeTimeout": health.timeout, "healthThreshold": health.threshold })
}

pub(super) async fn put(State(sidecar): Shared, request: Request) -> Response {
    let key = match path::last_segment(request.uri().path()) {
        Ok(key) => key,
        Err(text) => return plain(StatusCode::BAD_REQUEST, Body::from(text)),
    };
    let options = &sidecar.options;
    let charge = sidecar.budget.charge();
    let read =
        limits::read(request.into_body(), options.max_body_size.0, charge, options.slow_client_timeout);
    let body = match read.await {
        Ok((body, _)) => body,
        Err(cause) => return unread(cause, "failed reading the HTTP body"),
    };
    match sidecar.set_extended(key, String::from_utf8_lossy(&body).into_owned()) {
        Ok(()) => status(StatusCode::NO_CONTENT),
        Err(text) => error(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", text),
    }
}
