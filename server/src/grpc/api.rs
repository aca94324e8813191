//! The service `dapr.proto.runtime.v1.Dapr`, as far as bindings need it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bindwright::{Error, ErrorCode, Metadata};
use bindwright_wire::headers;
use http::HeaderMap;
use parking_lot::Mutex;
use prost::Message as _;
use tonic::metadata::{AsciiMetadataKey, BinaryMetadataValue, MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::DOMAIN;
use crate::envelope::ENTRY;
use crate::invoke::{self, Asked, Refused};
use crate::limits::{self, Charge};
use crate::replies;
use crate::sidecar::{App, Ending, Sidecar};
use crate::trace::{self, Span};
use bindwright_wire::messages::dapr_server::Dapr;
use bindwright_wire::messages::{
    AppConnectionHealthProperties, AppConnectionProperties, GetMetadataRequest, GetMetadataResponse,
    InvokeBindingRequest, InvokeBindingResponse, RegisteredComponents, SetMetadataRequest, ShutdownRequest,
};

pub(super) struct Api(pub(super) Arc<Sidecar>);

impl Api {
    /// A reply, if there is room for it.
    fn charged<M: prost::Message>(&self, answer: M) -> Result<Response<M>, Status> {
        let bytes = answer.encoded_len();
        let mut response = Response::new(answer);
        let fits = replies::charge(&self.0.budget, response.extensions_mut(), bytes);
        if fits { Ok(response) } else { Err(done(super::overloaded(limits::no_room(bytes)))) }
    }
}

/// Only the reply is missing: asking again does the work again.
fn done(mut status: Status) -> Status {
    put(status.metadata_mut(), headers::ERROR_CODE, ErrorCode::PayloadTooLarge.as_str());
    put(status.metadata_mut(), headers::RETRIABLE, "false");
    status
}

#[tonic::async_trait]
impl Dapr for Api {
    async fn invoke_binding(
        &self,
        request: Request<InvokeBindingRequest>,
    ) -> Result<Response<InvokeBindingResponse>, Status> {
        let (sent, extensions, asked) = request.into_parts();
        // Small entries take much more than their bytes, which were charged.
        let entries = asked.metadata.len() * ENTRY;
        if extensions.get::<Arc<Mutex<Charge>>>().is_some_and(|charge| !charge.lock().add(entries)) {
            return Err(super::overloaded(super::TOO_MUCH));
        }
        let sent = sent.into_headers();
        let began = Instant::now();
        let tracing = self.0.tracing;
        let code = if tracing.is_on() { Code::InvalidArgument } else { Code::Unknown };
        let baggage = trace::baggage(&sent).map_err(|text| Status::new(code, text))?;
        let span = tracing.of_request(&sent);
        let span = span.as_ref();
        let InvokeBindingRequest { name, data, metadata, operation } = asked;
        let asked = Asked {
            name: &name,
            operation: &operation,
            data,
            metadata: with_context(metadata, &sent, span, baggage),
            deadline: deadline(&sent, began),
        };
        match invoke::run(&self.0, asked).await {
            Ok(reply) => {
                let data = reply.body.as_bytes().cloned().unwrap_or_default();
                let texts = |(name, value): (&str, &bindwright::MetadataValue)| {
                    (name.to_owned(), value.text().into_owned())
                };
                let metadata: HashMap<_, _> = reply.metadata.iter().map(texts).collect();
                let answer = InvokeBindingResponse { data, metadata };
                let most = self.0.options.body_limit().unwrap_or(usize::MAX);
                if answer.encoded_len() > most {
                    let bytes = answer.encoded_len();
                    let text =
                        format!("the answer has {bytes} bytes, more than {most}; what was asked for is done");
                    return Err(done(Status::resource_exhausted(text)));
                }
                let mut response = self.charged(answer)?;
                put_all(response.metadata_mut(), &reply.metadata);
                put_span(response.metadata_mut(), span);
                Ok(response)
            }
            Err(refused) => {
                self.0.metrics.failed(invoke::REASON);
                Err(failed(&name, &refused, span))
            }
        }
    }

    async fn get_metadata(
        &self,
        _: Request<GetMetadataRequest>,
    ) -> Result<Response<GetMetadataResponse>, Status> {
        let about = self.0.about().await;
        let components = about.components.into_iter().map(|one| RegisteredComponents {
            name: one.name,
            r#type: one.component_type,
            version: one.version,
            capabilities: one.capabilities.into_iter().map(str::to_owned).collect(),
        });
        self.charged(GetMetadataResponse {
            id: about.id,
            registered_components: components.collect(),
            extended_metadata: about.extended.into_iter().collect(),
            app_connection_properties: about.app.map(app),
            runtime_version: about.version.to_owned(),
            enabled_features: Vec::new(),
        })
    }

    async fn set_metadata(&self, request: Request<SetMetadataRequest>) -> Result<Response<()>, Status> {
        let SetMetadataRequest { key, value } = request.into_inner();
        self.0.set_extended(key, value).map_err(Status::invalid_argument)?;
        Ok(Response::new(()))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<()>, Status> {
        self.0.end(Ending::Asked);
        Ok(Response::new(()))
    }
}

/// What the caller put into the request, and the context of the call: a `traceparent` of the call's own metadata wins,
/// as does one that the request names over none.
fn with_context(
    asked: HashMap<String, String>,
    headers: &HeaderMap,
    span: Option<&Span>,
    baggage: Option<String>,
) -> Metadata {
    let names_trace = asked.contains_key(trace::TRACEPARENT);
    let mut metadata: Metadata = asked.into_iter().collect();
    if let Some(span) = span.filter(|_| headers.contains_key(trace::TRACEPARENT) || !names_trace) {
        metadata = span.put_into(metadata);
    }
    if let Some(baggage) = baggage.filter(|_| metadata.value(trace::BAGGAGE).is_none()) {
        metadata.add(trace::BAGGAGE, baggage);
    }
    metadata
}

fn deadline(headers: &HeaderMap, began: Instant) -> Option<Instant> {
    let timeout = headers.get("grpc-timeout")?.to_str().ok().and_then(invoke::grpc_timeout)?;
    began.checked_add(timeout)
}

fn failed(name: &str, refused: &Refused, span: Option<&Span>) -> Status {
    let explained = refused.cause.as_ref().map(invoke::explanations).unwrap_or_default();
    let info: HashMap<_, _> =
        explained.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let details = ErrorDetails::with_error_info(invoke::REASON, DOMAIN, info);
    let message = invoke::message(name, &refused.text);
    let mut status = Status::with_error_details(Code::Internal, message, details);
    if let Some(metadata) = refused.cause.as_ref().and_then(Error::reply_metadata) {
        put_all(status.metadata_mut(), metadata);
    }
    for (name, value) in &explained {
        put(status.metadata_mut(), name, value);
    }
    put_span(status.metadata_mut(), span);
    status
}

/// The metadata of a reply.
fn put_all(metadata: &mut MetadataMap, reply: &Metadata) {
    for (name, value) in reply.iter().take(invoke::MOST_HEADERS) {
        put(metadata, &format!("metadata.{name}"), &value.text());
    }
}

/// Names and values that cannot be metadata of gRPC are left out.
fn put(metadata: &mut MetadataMap, name: &str, value: &str) {
    let name = AsciiMetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes());
    if let (Ok(name), Ok(value)) = (name, MetadataValue::try_from(value)) {
        metadata.insert(name, value);
    }
}

fn put_span(metadata: &mut MetadataMap, span: Option<&Span>) {
    if let Some(span) = span {
        metadata.insert_bin("grpc-trace-bin", BinaryMetadataValue::from_bytes(&span.binary()));
    }
}

fn app(app: App) -> AppConnectionProperties {
    AppConnectionProperties {
        port: app.port.into(),
        protocol: app.protocol.to_owned(),
        channel_address: app.address,
        max_concurrency: i32::try_from(app.concurrency.max(0)).unwrap_or(i32::MAX),
        health: app.health.map(|health| AppConnectionHealthProperties {
            health_check_path: health.path,
            health_probe_interval: health.interval,
            health_probe_timeout: health.timeout,
            health_threshold: i32::try_from(health.threshold).unwrap_or(i32::MAX),
        }),
    }
}
