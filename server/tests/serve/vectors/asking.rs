//! Calls of the API that a case is about, and what they must answer.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bindwright::Body;
use bindwright_wire::messages::dapr_client::DaprClient;
use bindwright_wire::messages::{GetMetadataRequest, InvokeBindingRequest, ShutdownRequest};
use http::Method;
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use super::super::fixture::Caller;
use super::{Api, file};

const REASON: &str = "ERR_INVOKE_OUTPUT_BINDING";

/// A client of both APIs.
pub struct Asking {
    api: Api,
    pub caller: Caller,
    grpc: DaprClient<Channel>,
}

/// What came of an invocation, whichever API it went by.
struct Outcome {
    /// The data, or the message of the error.
    result: Result<Vec<u8>, String>,
    /// HTTP: that there was a body at all.
    has_body: bool,
    /// The headers; of gRPC those of the answer, errors included.
    headers: Vec<(String, String)>,
}

/// Whether a text is as a case expects it: this text; `true` for any, null for none, or the way it
/// `starts`, `ends` or a `part` of it.
pub fn matches(found: Option<&str>, expected: &Value) -> bool {
    match (found, expected) {
        (found, Value::Null) => found.is_none(),
        (found, Value::Bool(is_there)) => found.is_some() == *is_there,
        (Some(found), Value::String(text)) => found == text,
        (Some(found), Value::Object(ways)) => ways.iter().all(|(way, text)| {
            let text = text.as_str().unwrap();
            match way.as_str() {
                "starts" => found.starts_with(text),
                "ends" => found.ends_with(text),
                "part" => found.contains(text),
                other => panic!("{other} is no expectation"),
            }
        }),
        _ => false,
    }
}

impl Asking {
    pub fn new(api: Api, http: SocketAddr, grpc: SocketAddr) -> Self {
        let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
        Self { api, caller: Caller::new(http), grpc: DaprClient::new(channel) }
    }

    pub async fn invoke(&self, name: &str, step: &Value, place: &str) {
        let operation = step["operation"].as_str().unwrap_or("create");
        let began = Instant::now();
        let outcome = match self.api {
            Api::Http => self.invoke_over_http(name, operation, step, place).await,
            Api::Grpc => self.invoke_over_grpc(name, operation, step, place).await,
        };
        if let Some(most) = step["within"].as_u64() {
            assert!(began.elapsed() < Duration::from_millis(most), "{place}: after {:?}", began.elapsed());
        }
        match (&outcome.result, step.get("refused")) {
            (Err(message), Some(expected)) => {
                let before = format!("error invoking output binding {name}: ");
                let cause = message.strip_prefix(&before);
                assert!(cause.is_some() && matches(cause, expected), "{place}: {message}");
            }
            (Ok(data), None) => {
                let text = String::from_utf8_lossy(data);
                if let Some(expected) = step.get("answer") {
                    assert!(matches(Some(&text), expected), "{place}: {text}");
                }
                if step["distinct"] == true {
                    let words: Vec<&str> = text.split_whitespace().collect();
                    let distinct: HashSet<_> = words.iter().collect();
                    assert!(words.len() > 1 && distinct.len() == words.len(), "{place}: {text}");
                }
                if step["nothing"] == true {
                    assert!(data.is_empty() && !outcome.has_body, "{place}: {text}");
                }
            }
            (result, expected) => panic!("{place}: got {result:?}, expected {expected:?}"),
        }
        let find = |wanted: &str| {
            let found = outcome.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.as_str())
        };
        for (name, expected) in step["answerMetadata"].as_object().into_iter().flatten() {
            let found = find(&format!("metadata.{name}"));
            assert!(matches(found, expected), "{place}: metadata {name} is {found:?}");
        }
    }

    async fn invoke_over_http(&self, name: &str, operation: &str, step: &Value, place: &str) -> Outcome {
        let mut body = json!({ "operation": operation });
        match file::data(step.get("data").unwrap_or(&json!("none"))) {
            Body::None => {}
            data if step["data"].get("json").is_some() => {
                body["data"] = serde_json::from_slice(data.as_bytes().unwrap()).unwrap();
            }
            data => body["data"] = json!(String::from_utf8_lossy(data.as_bytes().unwrap())),
        }
        if let Some(metadata) = step.get("metadata") {
            body["metadata"] = metadata.clone();
        }
        let method = step["method"].as_str().unwrap_or("POST").parse::<Method>().unwrap();
        let headers = pairs(&step["headers"]);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let path = format!("/v1.0/bindings/{name}");
        let answer = self.caller.call(method, &path, &headers, body.to_string()).await;
        let headers = answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let headers = headers.collect();
        let status = answer.status.as_u16();
        let has_body = status != 204;
        let result = match status {
            200 => {
                assert_eq!(answer.header("content-type"), Some("application/json"), "{place}");
                Ok(answer.body.to_vec())
            }
            204 => Ok(Vec::new()),
            _ => {
                let (status, code, message) = answer.error();
                assert_eq!((status, code.as_str()), (500, REASON), "{place}: {message}");
                Err(message)
            }
        };
        Outcome { result, has_body, headers }
    }

    async fn invoke_over_grpc(&self, name: &str, operation: &str, step: &Value, place: &str) -> Outcome {
        let data = file::data(step.get("data").unwrap_or(&json!("none")));
        let mut request = Request::new(InvokeBindingRequest {
            name: name.to_owned(),
            operation: operation.to_owned(),
            data: data.as_bytes().cloned().unwrap_or_default(),
            metadata: pairs(&step["metadata"]).into_iter().collect(),
        });
        for (name, value) in pairs(&step["headers"]) {
            let name = tonic::metadata::MetadataKey::from_bytes(name.as_bytes()).unwrap();
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        match self.grpc.clone().invoke_binding(request).await {
            Ok(answer) => {
                let (headers, answer, _) = answer.into_parts();
                let mut headers = texts(headers);
                // The message itself says it as well, with the case of its names.
                for (name, value) in &answer.metadata {
                    let header = format!("metadata.{}", name.to_lowercase());
                    let beside = headers.iter().find(|(known, _)| *known == header);
                    assert_eq!(beside.map(|(_, value)| value), Some(value), "{place}: {name}");
                }
                headers.extend(
                    answer.metadata.into_iter().map(|(name, value)| (format!("metadata.{name}"), value)),
                );
                Outcome { result: Ok(answer.data.to_vec()), has_body: false, headers }
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Internal, "{place}: {status:?}");
                assert_eq!(status.get_details_error_info().unwrap().reason, REASON, "{place}");
                let headers = texts(status.metadata().clone());
                Outcome { result: Err(status.message().to_owned()), has_body: false, headers }
            }
        }
    }

    /// Any request of HTTP: `METHOD /path`.
    pub async fn http(&self, line: &str, step: &Value, place: &str) {
        let (method, path) = line.split_once(' ').unwrap();
        let body = match step["bodySize"].as_u64() {
            Some(size) => "x".repeat(usize::try_from(size).unwrap()),
            None => step["body"].as_str().unwrap_or_default().to_owned(),
        };
        let headers = pairs(&step["headers"]);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = self.caller.call(method.parse().unwrap(), path, &headers, body).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(Some(u64::from(answer.status.as_u16())), step["status"].as_u64(), "{place}: {text}");
        if let Some(expected) = step.get("answer") {
            assert!(matches(Some(&text), expected), "{place}: {text}");
        }
        if let Some(expected) = step["errorCode"].as_str() {
            assert_eq!(answer.error().1, expected, "{place}");
        }
        for (name, expected) in step["answerHeaders"].as_object().into_iter().flatten() {
            assert!(matches(answer.header(name), expected), "{place}: {name} is {:?}", answer.header(name));
        }
    }

    pub async fn components(&self) -> Vec<(String, Value)> {
        match self.api {
            Api::Http => {
                let all = self.caller.get("/v1.0/metadata").await.json();
                let components = all["components"].as_array().cloned().unwrap_or_default();
                let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
                components.iter().map(|one| (name(one), one["capabilities"].clone())).collect()
            }
            Api::Grpc => {
                let all = self.grpc.clone().get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
                let components = all.registered_components.into_iter();
                components.map(|one| (one.name, json!(one.capabilities))).collect()
            }
        }
    }

    pub async fn shut_down(&self) {
        match self.api {
            Api::Http => assert_eq!(self.caller.post("/v1.0/shutdown", "").await.status.as_u16(), 204),
            Api::Grpc => {
                self.grpc.clone().shutdown(ShutdownRequest {}).await.unwrap();
            }
        }
    }
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn texts(headers: MetadataMap) -> Vec<(String, String)> {
    let headers = headers.into_headers();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
