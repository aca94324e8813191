//! `GET /v1.0/healthz` and `/v1.0/healthz/outbound`.

use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::Response;
use super::answers::{error, status};
use crate::sidecar::Sidecar;

/// Whether everything is up, the application included.
pub(super) fn all(sidecar: &Sidecar, query: Option<&str>) -> Response {
    if !sidecar.is_ready() {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "ERR_HEALTH_NOT_READY", "dapr is not ready: [app]");
    }
    let wanted = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("appid=")));
    let is_other = wanted.is_some_and(|id| percent_decode_str(id).decode_utf8_lossy() != sidecar.app_id());
    if is_other {
        let message = "dapr app-id does not match";
        return error(StatusCode::INTERNAL_SERVER_ERROR, "ERR_HEALTH_APPID_NOT_MATCH", message);
    }
    status(StatusCode::NO_CONTENT)
}

/// Whether outputs can be called: the port opens only when they can, and until the end begins.
pub(super) fn outbound(sidecar: &Sidecar) -> Response {
    if sidecar.is_ending() {
        let message = "dapr outbound is not ready";
        return error(StatusCode::INTERNAL_SERVER_ERROR, "ERR_OUTBOUND_HEALTH_NOT_READY", message);
    }
    status(StatusCode::NO_CONTENT)
}
