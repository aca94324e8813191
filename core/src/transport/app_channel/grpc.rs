//! What a sidecar asks over gRPC: `AppCallback` and its health check.

use std::sync::Arc;

use bindwright_wire::headers;
use bindwright_wire::messages::app_callback_health_check_server::AppCallbackHealthCheck;
use bindwright_wire::messages::app_callback_server::AppCallback;
use bindwright_wire::messages::{
    BindingEventRequest, BindingEventResponse, HealthCheckResponse, ListInputBindingsResponse,
};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::AppChannel;
use super::delivery::{Answer, Failure, deliver};
use crate::http::percent;
use crate::metadata::Metadata;
use crate::telemetry;
use crate::transport::sidecar::TOKEN;

pub(super) struct Callback(pub(super) Arc<AppChannel>);

#[tonic::async_trait]
impl AppCallback for Callback {
    /// Dapr shows no token here.
    async fn list_input_bindings(
        &self,
        _: Request<()>,
    ) -> Result<Response<ListInputBindingsResponse>, Status> {
        Ok(Response::new(ListInputBindingsResponse { bindings: self.0.names().await }))
    }

    async fn on_binding_event(
        &self,
        request: Request<BindingEventRequest>,
    ) -> Result<Response<BindingEventResponse>, Status> {
        let shown = request.metadata().get(TOKEN).map(tonic::metadata::MetadataValue::as_encoded_bytes);
        if !self.0.is_known(shown) {
            tracing::warn!(target: "bindwright", "an event without the right token was refused");
            return Err(Status::unauthenticated("the event does not show the token of this program"));
        }
        let (sent, _, BindingEventRequest { name, data, metadata }) = request.into_parts();
        let mut metadata: Metadata = metadata.into_iter().collect();
        for name in telemetry::CONTEXT {
            if metadata.value(name).is_none()
                && let Some(value) = sent.get(name).and_then(|value| value.to_str().ok())
            {
                metadata.add(name, value.to_owned());
            }
        }
        let attempt = sent.get(headers::ATTEMPT).and_then(|value| value.to_str().ok());
        match deliver(&self.0, &name, super::event(data, metadata, attempt)).await {
            Answer::Settled(reply) => {
                let data = reply.as_bytes().cloned().unwrap_or_default();
                Ok(Response::new(BindingEventResponse { data, ..BindingEventResponse::default() }))
            }
            Answer::Unwanted => {
                Err(released(Status::unimplemented(format!("nothing subscribes to {name:?}"))))
            }
            Answer::Failed(failure) => Err(failed(failure)),
            Answer::Stopping => Err(released(Status::unavailable("the program is ending"))),
        }
    }
}

fn released(mut status: Status) -> Status {
    status.metadata_mut().insert(headers::OUTCOME, MetadataValue::from_static(headers::RELEASED));
    status
}

fn failed(failure: Failure) -> Status {
    let mut status = Status::unknown(failure.text);
    let told = status.metadata_mut();
    if failure.is_given_up {
        told.insert(headers::OUTCOME, MetadataValue::from_static(headers::DEAD_LETTER));
    }
    let code = percent(&failure.code).parse().expect("ASCII");
    told.insert(headers::CAUSE, code);
    if let Some(after) = failure.after {
        told.insert(headers::RETRY_AFTER_MS, after.as_millis().to_string().parse().expect("digits"));
    }
    status
}

#[tonic::async_trait]
impl AppCallbackHealthCheck for Callback {
    async fn health_check(&self, _: Request<()>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {}))
    }
}
