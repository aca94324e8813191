//! A sidecar over gRPC: bytes arrive as they are.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bindwright_wire::messages::dapr_client::DaprClient;
use bindwright_wire::messages::{GetMetadataRequest, InvokeBindingRequest};
use http::Uri;
use hyper::body::Incoming;
use parking_lot::Mutex;
use prost::Message as _;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, body::Body as TonicBody};
use tower_service::Service;

use super::answer::Answer;
use super::attempt::{self, Failed, Handed, Watched};
use super::connect::{self, HttpClient};
use super::settings::Settings;
use super::sidecar::{Known, TOKEN, answer_too_large, too_large, unfit_token};
use crate::binding::{Call, Reply, Request};
use crate::body::Body;
use crate::error::{Result, Status};
use crate::telemetry;

pub(super) struct Grpc {
    client: HttpClient<TonicBody>,
    origin: Uri,
    place: Arc<str>,
    token: Option<AsciiMetadataValue>,
    most: usize,
}

impl Grpc {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let endpoint = &settings.endpoint;
        let origin = connect::origin(endpoint)?;
        let token = settings.token.as_ref().map(|token| token.expose().parse::<AsciiMetadataValue>());
        let token = token.transpose().map_err(|_| unfit_token())?;
        Ok(Self {
            client: connect::client(endpoint, &settings.tls()?, true)?,
            origin,
            place: endpoint.to_string().into(),
            token: token.map(|mut token| {
                token.set_sensitive(true);
                token
            }),
            most: settings.max_message_size,
        })
    }

    pub(super) async fn invoke(
        &self,
        name: &str,
        call: &Call,
        request: &Request,
        handed: Handed,
    ) -> Result<Reply, Failed> {
        let texts = request.metadata.iter().map(|(name, value)| (name.to_owned(), value.text().into_owned()));
        let message = InvokeBindingRequest {
            name: name.to_owned(),
            operation: call.operation.to_string(),
            data: request.body.as_bytes().cloned().unwrap_or_default(),
            metadata: texts.collect(),
        };
        let size = message.encoded_len();
        if size > self.most {
            return Err(Failed::Answered(too_large(size, self.most)));
        }
        let mut asked = self.request(message, call.deadline);
        for name in telemetry::CONTEXT {
            if let Some(value) = request.metadata.get(name).and_then(|value| value.parse().ok()) {
                asked.metadata_mut().insert(name, value);
            }
        }
        let way = Way::new(self, handed);
        let failure = way.failure.clone();
        let answer = self.api(way).invoke_binding(asked).await;
        let answer = answer.map_err(|status| self.failed(&status, &failure, name))?.into_inner();
        let body = if answer.data.is_empty() { Body::None } else { Body::Bytes(answer.data) };
        Ok(Reply { body, metadata: answer.metadata.into_iter().collect() })
    }

    /// What the sidecar has.
    pub(super) async fn components(&self, deadline: Instant, handed: Handed) -> Result<Vec<Known>, Failed> {
        let way = Way::new(self, handed);
        let failure = way.failure.clone();
        let answer = self.api(way).get_metadata(self.request(GetMetadataRequest {}, deadline)).await;
        let answer = answer.map_err(|status| self.failed(&status, &failure, ""))?.into_inner();
        let known = answer.registered_components.into_iter().map(|one| Known {
            name: one.name,
            component_type: one.r#type,
            version: one.version,
            capabilities: one.capabilities,
        });
        Ok(known.collect())
    }

    fn api<'a>(&'a self, way: Way<'a>) -> DaprClient<Way<'a>> {
        DaprClient::with_origin(way, self.origin.clone())
            .max_decoding_message_size(self.most)
            .max_encoding_message_size(self.most)
    }

    fn request<T>(&self, message: T, deadline: Instant) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        request
    }

    fn failed(&self, status: &tonic::Status, failure: &Mutex<Option<Failed>>, name: &str) -> Failed {
        if let Some(failed) = failure.lock().take() {
            return failed;
        }
        // Made on this side: the connection broke while the answer came.
        if let Some(source) = status.source() {
            return attempt::lost(&self.place, source);
        }
        if status.code() == Code::OutOfRange && status.message().contains("decoded message length") {
            return Failed::Answered(answer_too_large(self.most).backend(status.message()));
        }
        let header = |name: &'static str| status.metadata().get(name).and_then(|value| value.to_str().ok());
        let code = Status::Grpc(u8::try_from(i32::from(status.code())).unwrap_or(2));
        let mut error = Answer::new(code, status.message(), header).error(name);
        let told = status.metadata().iter().filter_map(|entry| match entry {
            tonic::metadata::KeyAndValueRef::Ascii(name, value) => {
                Some((name.as_str().strip_prefix("metadata.")?.to_owned(), value.to_str().ok()?.to_owned()))
            }
            tonic::metadata::KeyAndValueRef::Binary(..) => None,
        });
        let told: HashMap<_, _> = told.collect();
        if !told.is_empty() {
            error = error.metadata(told.into_iter().collect());
        }
        Failed::Answered(error)
    }
}

/// The connection as one call uses it: it notes when the data leaves and why it did not.
struct Way<'a> {
    grpc: &'a Grpc,
    handed: Handed,
    failure: Arc<Mutex<Option<Failed>>>,
}

impl<'a> Way<'a> {
    fn new(grpc: &'a Grpc, handed: Handed) -> Self {
        Self { grpc, handed, failure: Arc::default() }
    }
}

/// Told beside it, in `failure`.
#[derive(Debug)]
struct Noted;

impl std::fmt::Display for Noted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no connection")
    }
}

impl StdError for Noted {}

impl Service<http::Request<TonicBody>> for Way<'_> {
    type Response = http::Response<Incoming>;
    type Error = Noted;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Noted>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Noted>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<TonicBody>) -> Self::Future {
        let request = request.map(|body| Watched::new(body, self.handed.clone()));
        let answer = self.grpc.client.request(request);
        let (failure, place) = (self.failure.clone(), self.grpc.place.clone());
        Box::pin(async move {
            answer.await.map_err(|error| {
                let cause = error.source().unwrap_or(&error);
                *failure.lock() = Some(attempt::lost(&place, cause));
                Noted
            })
        })
    }
}
