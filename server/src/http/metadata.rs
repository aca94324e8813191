//! `GET /v1.0/metadata` and `PUT /v1.0/metadata/{key}`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answers::{error, json as answer, plain, status, unread};
use super::{Request, Response, path};
use crate::limits;
use crate::sidecar::{Health, Sidecar};

pub(super) async fn get(sidecar: &Sidecar) -> Response {
    let about = sidecar.about().await;
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
    answer(StatusCode::OK, Value::from(whole).to_string())
}

fn for_programs(health: &Health) -> Value {
    json!({ "healthCheckPath": health.path, "healthProbeInterval": health.interval,
        "healthProbeTimeout": health.timeout, "healthThreshold": health.threshold })
}

pub(super) async fn put(sidecar: &Sidecar, request: &mut Request) -> Response {
    let key = match path::last_segment(request.uri().path()) {
        Ok(key) => key,
        Err(text) => return plain(StatusCode::BAD_REQUEST, text),
    };
    let options = &sidecar.options;
    let charge = sidecar.budget.charge();
    let read = limits::read(request.body_mut(), options.body_limit(), charge, options.slow_client_timeout);
    let body = match read.await {
        Ok((body, _)) => body,
        Err(cause) => return unread(cause, "failed reading the HTTP body"),
    };
    match sidecar.set_extended(key, String::from_utf8_lossy(&body).into_owned()) {
        Ok(()) => status(StatusCode::NO_CONTENT),
        Err(text) => error(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", text),
    }
}
