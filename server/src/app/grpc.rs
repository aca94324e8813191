//! Speaking gRPC to the application: the service `AppCallback`.
//!
//! Unlike Dapr, the token goes along with every call, also with the question for bindings, and that is asked again when
//! it failed.

use std::error::Error as _;
use std::time::Duration;

use bindwright::{Cause, Event};
use bytes::Bytes;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Request, Status};

use super::channel::UNFIT_TOKEN;
use super::input::Input;
use super::outcome::{Answer, NotHandled, Outputs, UNREACHABLE, Unanswered, is_released};
use super::tls;
use crate::http::TOKEN;
use crate::options::{AppProtocol, Options};
use crate::trace::{self, Tracing};
use bindwright_wire::headers;
use bindwright_wire::messages::BindingEventRequest;
use bindwright_wire::messages::app_callback_client::AppCallbackClient;
use bindwright_wire::messages::app_callback_health_check_client::AppCallbackHealthCheckClient;
use bindwright_wire::messages::binding_event_response::BindingEventConcurrency;

/// The cause of an event that was not handled comes in headers.
const LARGEST_HEADERS: u32 = 1 << 20;
/// How long the application may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(20);

pub(super) struct GrpcApp {
    channel: Channel,
    token: Option<AsciiMetadataValue>,
    longest_answer: usize,
    tracing: Tracing,
}

impl GrpcApp {
    pub(super) fn new(options: &Options, port: u16, tracing: Tracing) -> Result<Self, String> {
        let is_secure = options.protocol() == AppProtocol::Grpcs;
        let scheme = if is_secure { "https" } else { "http" };
        let base = format!("{scheme}://{}:{port}", super::http::host(&options.app_channel_address));
        let endpoint = Endpoint::from_shared(base.clone()).map_err(|error| format!("{base}: {error}"))?;
        let endpoint =
            endpoint.connect_timeout(CONNECT).tcp_nodelay(true).http2_max_header_list_size(LARGEST_HEADERS);
        let channel = if is_secure {
            endpoint.connect_with_connector_lazy(tls::connector(b"\x02h2", CONNECT)?)
        } else {
            endpoint.connect_lazy()
        };
        let token = options.app_token.as_ref().map(|token| token.expose().parse());
        let token = token.transpose().map_err(|_| UNFIT_TOKEN)?;
        Ok(Self { channel, token, longest_answer: options.body_limit().unwrap_or(usize::MAX), tracing })
    }

    pub(super) async fn wants(&self, input: &Input) -> Result<bool, String> {
        let mut client = AppCallbackClient::new(self.channel.clone());
        match client.list_input_bindings(self.request(())).await {
            Ok(answer) => Ok(answer.into_inner().bindings.contains(&input.name)),
            // It has no such list, and will have none later.
            Err(status) if status.code() == Code::Unimplemented => Ok(false),
            Err(status) => Err(status.to_string()),
        }
    }

    pub(super) async fn is_well(&self) -> bool {
        let mut client = AppCallbackHealthCheckClient::new(self.channel.clone());
        client.health_check(self.request(())).await.is_ok()
    }

    pub(super) async fn deliver(&self, event: &Event) -> Result<Answer, Unanswered> {
        let metadata = event.metadata();
        let texts = metadata.iter().map(|(name, value)| (name.to_owned(), value.text().into_owned()));
        let mut request = self.request(BindingEventRequest {
            name: event.binding().to_owned(),
            // No data at all arrives as Dapr sends it.
            data: event.body().as_bytes().cloned().unwrap_or(Bytes::from_static(b"null")),
            metadata: texts.collect(),
        });
        if event.attempt() > 1 {
            request.metadata_mut().insert(headers::ATTEMPT, event.attempt().into());
        }
        let text = |name| metadata.get(name);
        let (parent, state) = (text(trace::TRACEPARENT), text(trace::TRACESTATE));
        if let Some(span) = self.tracing.below(parent.as_deref(), state.as_deref()) {
            let binary = BinaryMetadataValue::from_bytes(&span.binary());
            request.metadata_mut().insert_bin("grpc-trace-bin", binary);
            if let Ok(value) = span.traceparent.parse() {
                request.metadata_mut().insert(trace::TRACEPARENT, value);
            }
        }
        let mut client =
            AppCallbackClient::new(self.channel.clone()).max_decoding_message_size(self.longest_answer);
        match client.on_binding_event(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let in_parallel = answer.concurrency() == BindingEventConcurrency::Parallel;
                Ok(Answer::Handled {
                    has_state: !answer.states.is_empty(),
                    outputs: Outputs { to: answer.to, data: answer.data, in_parallel },
                })
            }
            Err(status) => {
                let header =
                    |name: &'static str| status.metadata().get(name).and_then(|value| value.to_str().ok());
                let text = || format!("error invoking app: {:?}: {}", status.code(), status.message());
                let unnamed = || Cause::new(UNREACHABLE, text());
                if is_released(header) || is_of_connecting(&status) {
                    return Err(Unanswered::NotTaken(text()));
                }
                let told = NotHandled::read(header, status.message(), unnamed);
                told.map(Answer::NotHandled).ok_or_else(|| Unanswered::Failed(text()))
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        request
    }
}

/// Whether the call came to nothing because there is no connection.
fn is_of_connecting(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
