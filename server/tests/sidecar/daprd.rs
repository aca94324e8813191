//! A sidecar that answers as Dapr's does, where `bindwright serve` does otherwise on purpose: one status for all
//! errors and nothing but a text, metadata that leaks, a question for events that is asked once, and no redelivery.
//!
//! Its components: `orders` gives back what it gets, `quiet` answers nothing, `broken` fails, and `web` fails with the
//! metadata of a reply. What it delivers a test tells it with [`Daprd::deliver`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use bindwright_wire::messages::app_callback_client::AppCallbackClient;
use bindwright_wire::messages::dapr_server::{Dapr, DaprServer};
use bindwright_wire::messages::{
    BindingEventRequest, GetMetadataRequest, GetMetadataResponse, InvokeBindingRequest,
    InvokeBindingResponse, RegisteredComponents, SetMetadataRequest, ShutdownRequest,
};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::Service as _;

const TOKEN: &str = "dapr-api-token";
const MOST: usize = 4 << 20;
/// How long an application may take to say whether it wants events.
pub const PROBE: Duration = Duration::from_secs(3);

pub struct Daprd {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Drop for Daprd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Api(Option<&'static str>);

/// What a component made of a call.
struct Done {
    result: Result<Option<Bytes>, String>,
    metadata: HashMap<String, String>,
}

fn invoked(name: &str, operation: &str, data: Bytes, metadata: HashMap<String, String>) -> Done {
    let result = if operation.is_empty() {
        Err("operation field is missing from request".to_owned())
    } else if !["orders", "quiet", "broken", "web"].contains(&name) {
        Err(format!("couldn't find output binding {name}"))
    } else if operation != "create" && operation != "list" {
        Err(format!(
            "binding {name} does not support operation {operation}. supported operations:create list"
        ))
    } else {
        match name {
            "orders" => Ok(Some(data)),
            "quiet" => Ok(None),
            "broken" => Err("kafka: client has run out of available brokers to talk to".to_owned()),
            _ => {
                let metadata = HashMap::from([("statusCode".to_owned(), "404".to_owned())]);
                return Done { result: Err("received status code 404".to_owned()), metadata };
            }
        }
    };
    let result = result.map_err(|cause| format!("error invoking output binding {name}: {cause}"));
    Done { result, metadata }
}

impl Daprd {
    pub async fn start(token: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let api = Api(token);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let api = api.clone();
                let service = service_fn(move |request| api.clone().answer(request));
                connections.spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, task }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Api {
    async fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<tonic::body::Body>, Infallible> {
        let kind = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            return DaprServer::new(self).max_decoding_message_size(usize::MAX).call(request).await;
        }
        Ok(self.http(request).await.map(tonic::body::Body::new))
    }

    fn knows(&self, shown: Option<&[u8]>) -> bool {
        self.0.is_none_or(|token| shown == Some(token.as_bytes()))
    }

    async fn http(self, request: http::Request<Incoming>) -> http::Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let is_health = head.method == Method::GET && path.starts_with("/v1.0/healthz");
        if !is_health && !self.knows(head.headers.get(TOKEN).map(http::HeaderValue::as_bytes)) {
            return plain(StatusCode::UNAUTHORIZED, "invalid api token\n");
        }
        if is_health {
            return plain(StatusCode::NO_CONTENT, "");
        }
        if path == "/v1.0/metadata" {
            let components: Vec<_> = components()
                .into_iter()
                .map(|one| json!({"name": one.name, "type": one.r#type, "version": one.version, "capabilities": one.capabilities}))
                .collect();
            return told(
                StatusCode::OK,
                &HashMap::new(),
                json!({"id": "shop", "components": components}).to_string(),
            );
        }
        let Some(name) = path.strip_prefix("/v1.0/bindings/") else {
            return failed(
                StatusCode::NOT_FOUND,
                &HashMap::new(),
                "ERR_DIRECT_INVOKE",
                "failed getting app id",
            );
        };
        let malformed = |why: &str| {
            let text = format!("failed deserializing HTTP body: {why}");
            failed(StatusCode::BAD_REQUEST, &HashMap::new(), "ERR_MALFORMED_REQUEST", &text)
        };
        let body = body.collect().await.unwrap().to_bytes();
        if body.len() > MOST {
            return malformed("stream too large");
        }
        let Ok(Value::Object(mut asked)) = serde_json::from_slice::<Value>(&body) else {
            return malformed("invalid character");
        };
        let operation = asked.get("operation").and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata =
            asked.remove("metadata").map(|value| serde_json::from_value(value).unwrap()).unwrap_or_default();
        // A map of this library is in the order of its names, as Dapr writes it; nothing is `null`.
        let data = asked.remove("data").unwrap_or_default().to_string();
        let Done { result, metadata } = invoked(name, &operation, data.into(), metadata);
        match result {
            Ok(Some(data)) => told(StatusCode::OK, &metadata, data),
            Ok(None) => {
                let mut answer = told(StatusCode::NO_CONTENT, &metadata, "");
                answer.headers_mut().remove(CONTENT_TYPE);
                answer
            }
            Err(text) => {
                failed(StatusCode::INTERNAL_SERVER_ERROR, &metadata, "ERR_INVOKE_OUTPUT_BINDING", &text)
            }
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> http::Response<Full<Bytes>> {
    http::Response::builder().status(status).body(text.into()).unwrap()
}

fn told(
    status: StatusCode,
    metadata: &HashMap<String, String>,
    body: impl Into<Bytes>,
) -> http::Response<Full<Bytes>> {
    let mut answer = http::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    for (name, value) in metadata {
        answer = answer.header(format!("metadata.{name}"), value);
    }
    answer.body(Full::new(body.into())).unwrap()
}

fn failed(
    status: StatusCode,
    metadata: &HashMap<String, String>,
    code: &str,
    message: &str,
) -> http::Response<Full<Bytes>> {
    told(status, metadata, json!({"errorCode": code, "message": message}).to_string())
}

fn components() -> Vec<RegisteredComponents> {
    let of = |name: &str, of_type: &str, capabilities: &[&str]| RegisteredComponents {
        name: name.to_owned(),
        r#type: of_type.to_owned(),
        version: "v1".to_owned(),
        capabilities: capabilities.iter().map(|one| (*one).to_owned()).collect(),
    };
    vec![
        of("orders", "bindings.kafka", &["INPUT_BINDING", "OUTPUT_BINDING"]),
        of("state", "state.redis", &["ETAG"]),
        of("web", "bindings.http", &["OUTPUT_BINDING"]),
    ]
}

#[tonic::async_trait]
impl Dapr for Api {
    async fn invoke_binding(
        &self,
        request: Request<InvokeBindingRequest>,
    ) -> Result<Response<InvokeBindingResponse>, Status> {
        self.check(request.metadata())?;
        let (sent, _, asked) = request.into_parts();
        let size = prost::Message::encoded_len(&asked);
        if size > MOST {
            let text = format!("grpc: received message larger than max ({size} vs. {MOST})");
            return Err(Status::resource_exhausted(text));
        }
        let mut metadata = asked.metadata;
        // Whatever came with the call; the token only where it is not asked for.
        for entry in sent.iter() {
            let KeyAndValueRef::Ascii(name, value) = entry else { continue };
            let name = name.as_str();
            if name == TOKEN && self.0.is_some() {
                continue;
            }
            let name = if name.starts_with("grpc-") { format!("dapr-{name}") } else { name.to_owned() };
            metadata.entry(name).or_insert_with(|| value.to_str().unwrap().to_owned());
        }
        metadata
            .entry("traceparent".to_owned())
            .or_insert_with(|| format!("00-{}-{}-00", "0".repeat(32), "0".repeat(16)));
        let Done { result, metadata } = invoked(&asked.name, &asked.operation, asked.data, metadata);
        let mut headers = HeaderMap::new();
        for (name, value) in &metadata {
            let name = format!("metadata.{}", name.to_lowercase()).parse::<http::HeaderName>().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        match result {
            Ok(data) => {
                let told = InvokeBindingResponse { data: data.unwrap_or_default(), metadata };
                let mut answer = Response::new(told);
                *answer.metadata_mut() = MetadataMap::from_headers(headers);
                Ok(answer)
            }
            Err(text) => {
                let details =
                    ErrorDetails::with_error_info("ERR_INVOKE_OUTPUT_BINDING", "dapr.io", HashMap::new());
                let mut status = Status::with_error_details(Code::Internal, text, details);
                status.metadata_mut().as_mut().extend(headers);
                Err(status)
            }
        }
    }

    async fn get_metadata(
        &self,
        request: Request<GetMetadataRequest>,
    ) -> Result<Response<GetMetadataResponse>, Status> {
        self.check(request.metadata())?;
        let registered_components = components();
        Ok(Response::new(GetMetadataResponse { registered_components, ..GetMetadataResponse::default() }))
    }

    async fn set_metadata(&self, _: Request<SetMetadataRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

impl Api {
    fn check(&self, sent: &MetadataMap) -> Result<(), Status> {
        if self.knows(sent.get(TOKEN).map(tonic::metadata::MetadataValue::as_encoded_bytes)) {
            return Ok(());
        }
        let metadata = HashMap::from([("http.code".to_owned(), "401".to_owned())]);
        let details = ErrorDetails::with_error_info("UNAUTHORIZED", "dapr.io", metadata);
        Err(Status::with_error_details(Code::Unauthenticated, "Unauthorized", details))
    }
}

/// Its way to an application, begun anew as when it starts.
pub enum App {
    Http { base: String, http: Client<HttpConnector, Full<Bytes>>, wanted: Vec<String> },
    Grpc { callback: AppCallbackClient<Channel>, wanted: Vec<String> },
}

impl App {
    /// Waits for the port and asks what is wanted of these, in this order.
    pub async fn reached(protocol: &str, port: u16, inputs: &[&str]) -> Self {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let base = format!("http://127.0.0.1:{port}");
        if protocol == "grpc" {
            let channel = Endpoint::from_shared(base).unwrap().connect().await.unwrap();
            let mut callback = AppCallbackClient::new(channel);
            // Without a token, and once for the life of the process.
            let asked = tokio::time::timeout(PROBE, callback.list_input_bindings(())).await;
            let wanted = asked.ok().and_then(Result::ok).map(|told| told.into_inner().bindings);
            let mut wanted = wanted.unwrap_or_default();
            wanted.retain(|name| inputs.contains(&name.as_str()));
            return Self::Grpc { callback, wanted };
        }
        let http = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let ask = |method: Method, path: String| {
            let request = http::Request::builder().method(method).uri(format!("{base}{path}"));
            http.request(request.header(CONTENT_TYPE, "application/json").body(Full::default()).unwrap())
        };
        let config = ask(Method::GET, "/dapr/config".to_owned()).await.unwrap();
        assert!(config.status() == StatusCode::OK || config.status() == StatusCode::NOT_FOUND);
        let mut wanted = Vec::new();
        for input in inputs {
            match tokio::time::timeout(PROBE, ask(Method::OPTIONS, format!("/{input}"))).await {
                Ok(Ok(answer))
                    if answer.status().is_success() || answer.status() == StatusCode::METHOD_NOT_ALLOWED =>
                {
                    wanted.push((*input).to_owned());
                }
                Ok(Ok(_)) => {}
                // No answer in time: the others are not asked any more.
                _ => break,
            }
        }
        Self::Http { base, http, wanted }
    }

    /// What it delivers from now on.
    pub fn wanted(&self) -> Vec<&str> {
        let (Self::Http { wanted, .. } | Self::Grpc { wanted, .. }) = self;
        let mut names: Vec<_> = wanted.iter().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Delivers one event once; whether it is acknowledged, and with what. What is not acknowledged does not come again.
    pub async fn deliver(
        &mut self,
        name: &str,
        data: &'static [u8],
        metadata: &[(&str, &str)],
        token: Option<&str>,
    ) -> Result<Bytes, String> {
        assert!(self.wanted().contains(&name), "not wanted: {name}");
        match self {
            Self::Http { base, http, .. } => {
                let mut request = http::Request::post(format!("{base}/{name}"));
                for (name, value) in metadata.iter().copied().chain(token.map(|token| (TOKEN, token))) {
                    request = request.header(name, value);
                }
                let request =
                    request.header(CONTENT_TYPE, "application/json").body(Full::new(data.into())).unwrap();
                let answer = http.request(request).await.map_err(|error| error.to_string())?;
                let status = answer.status();
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                if status.is_success() {
                    Ok(body)
                } else {
                    Err(format!("status code: {status} body: {body:?}"))
                }
            }
            Self::Grpc { callback, .. } => {
                let metadata =
                    metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                let mut request =
                    Request::new(BindingEventRequest { name: name.to_owned(), data: data.into(), metadata });
                if let Some(token) = token {
                    request.metadata_mut().insert(TOKEN, token.parse().unwrap());
                }
                let answer = callback.on_binding_event(request).await.map_err(|status| status.to_string())?;
                Ok(answer.into_inner().data)
            }
        }
    }
}
