//! A sidecar over HTTP, which carries JSON: data is a value there, and the sidecar writes it anew.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Instant;

use bindwright_wire::{headers, json};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answer::Answer;
use super::attempt::{self, Failed, Handed, Watched};
use super::connect::{self, HttpClient};
use super::settings::Settings;
use super::sidecar::{Known, TOKEN, answer_too_large, too_large, unfit_token};
use crate::binding::{Encoding, Reply, Request};
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result, Status};
use crate::http::percent;
use crate::metadata::Metadata;
use crate::telemetry;

pub(super) struct Http {
    client: HttpClient<Full<Bytes>>,
    origin: String,
    place: Box<str>,
    token: Option<HeaderValue>,
    most: usize,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let endpoint = &settings.endpoint;
        let origin = connect::origin(endpoint)?.to_string().trim_end_matches('/').to_owned();
        let token = settings.token.as_ref().map(|token| HeaderValue::from_str(token.expose()));
        let token = token.transpose().map_err(|_| unfit_token())?;
        Ok(Self {
            client: connect::client(endpoint, &settings.tls()?, false)?,
            origin,
            place: endpoint.to_string().into(),
            token: token.map(|mut token| {
                token.set_sensitive(true);
                token
            }),
            most: settings.max_message_size,
        })
    }

    /// The body of a call; made once, however often it is sent.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for data that would not arrive as it is.
    pub(super) fn envelope(operation: &str, request: &Request) -> Result<Bytes> {
        let data = data(request)?;
        let mut text = String::with_capacity(data.map_or(0, <[u8]>::len) + 64);
        let _ = write!(text, "{{\"operation\":{}", quoted(operation));
        if let Some(data) = data {
            let data = std::str::from_utf8(data).map_err(|_| unfit("it is not UTF-8"))?;
            let _ = write!(text, ",\"data\":{data}");
        }
        if !request.metadata.is_empty() {
            text.push_str(",\"metadata\":{");
            for (index, (name, value)) in request.metadata.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(text, "{comma}{}:{}", quoted(name), quoted(&value.text()));
            }
            text.push('}');
        }
        text.push('}');
        Ok(text.into())
    }

    pub(super) async fn invoke(
        &self,
        name: &str,
        envelope: Bytes,
        metadata: &Metadata,
        deadline: Instant,
        handed: Handed,
    ) -> Result<Reply, Failed> {
        if envelope.len() > self.most {
            return Err(Failed::Answered(too_large(envelope.len(), self.most)));
        }
        let path = format!("/v1.0/bindings/{}", percent(name));
        let mut request = self.request(Method::POST, &path, envelope)?;
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        request.headers_mut().insert(headers::TIMEOUT_MS, left.into());
        for name in telemetry::CONTEXT {
            if let Some(value) = metadata.get(name).and_then(|value| HeaderValue::from_str(&value).ok()) {
                request.headers_mut().insert(name, value);
            }
        }
        let answer = self.send(request, handed).await?;
        let metadata = told(answer.headers());
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(Reply { body: Body::None, metadata }),
            status if status.is_success() => Ok(Reply { body: Body::Bytes(answer.into_body()), metadata }),
            _ => Err(Failed::Answered(refused(&answer, name, metadata))),
        }
    }

    /// What the sidecar has.
    pub(super) async fn components(&self, handed: Handed) -> Result<Vec<Known>, Failed> {
        let answer = self.send(self.request(Method::GET, "/v1.0/metadata", Bytes::new())?, handed).await?;
        if answer.status() != StatusCode::OK {
            return Err(Failed::Answered(refused(&answer, "", Metadata::new())));
        }
        let about: About = serde_json::from_slice(answer.body()).map_err(|error| {
            let message = "the sidecar's metadata cannot be read";
            Failed::Answered(Error::new(ErrorCode::Backend, message).backend(error.to_string()))
        })?;
        Ok(about.components)
    }

    /// Waits until components are loaded.
    pub(super) async fn outbound(&self, handed: Handed) -> Result<(), Failed> {
        let request = self.request(Method::GET, "/v1.0/healthz/outbound", Bytes::new())?;
        let answer = self.send(request, handed).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let message = format!("the sidecar at {} is not ready", self.place);
        Err(Failed::Lost(Error::new(ErrorCode::Unavailable, message).backend(text)))
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<http::Request<Bytes>, Failed> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .map_err(|error| {
                let message = format!("the sidecar at {} cannot be asked for {path:?}", self.place);
                Failed::Answered(Error::new(ErrorCode::InvalidRequest, message).backend(error.to_string()))
            })?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        Ok(request)
    }

    async fn send(&self, request: http::Request<Bytes>, handed: Handed) -> Result<Response<Bytes>, Failed> {
        let request = request.map(|body| Watched::new(Full::new(body), handed));
        let answer = self.client.request(request).await.map_err(|error| {
            let cause = error.source().unwrap_or(&error);
            attempt::lost(&self.place, cause)
        })?;
        let (head, body) = answer.into_parts();
        match Limited::new(body, self.most).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            // What it says does not fit; that it failed is told by the head.
            Err(error) if error.is::<LengthLimitError>() && !head.status.is_success() => {
                Ok(Response::from_parts(head, Bytes::new()))
            }
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Failed::Answered(answer_too_large(self.most)))
            }
            Err(error) => Err(attempt::lost(&self.place, &*error)),
        }
    }
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    components: Vec<Known>,
}

/// The data as JSON; `None` where there is none.
fn data(request: &Request) -> Result<Option<&[u8]>> {
    let Some(bytes) = request.body.as_bytes().filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    if request.encoding == Encoding::Json {
        // It stands inside the call: what is no value could say something else there.
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| {
            Error::new(ErrorCode::InvalidRequest, "the data is said to be JSON and is not")
                .backend(error.to_string())
        })?;
    } else {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let written = json::rewritten(&mut reader).and_then(|text| reader.end().map(|()| text));
        match written {
            Ok(written) if written.as_bytes() == &bytes[..] => {}
            Ok(_) => return Err(unfit("it would be written anew")),
            Err(_) => return Err(unfit("it is no JSON")),
        }
    }
    Ok(Some(bytes))
}

fn unfit(why: &str) -> Error {
    let message = format!("bytes and text do not arrive as they are through a sidecar over HTTP: {why}");
    Error::new(ErrorCode::InvalidRequest, message).advice(
        "Use the transport sidecar-grpc, which carries any bytes, or give a value, which is sent as JSON.",
    )
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The metadata of a reply; HTTP keeps no case of names.
fn told(headers: &HeaderMap) -> Metadata {
    let entry = |(name, value): (&http::HeaderName, &HeaderValue)| {
        let name = name.as_str().strip_prefix("metadata.")?.to_owned();
        Some((name, String::from_utf8_lossy(value.as_bytes()).into_owned()))
    };
    headers.iter().filter_map(entry).collect()
}

fn refused(answer: &Response<Bytes>, name: &str, metadata: Metadata) -> Error {
    #[derive(Deserialize)]
    struct Told {
        message: String,
    }
    let text = serde_json::from_slice::<Told>(answer.body())
        .map_or_else(|_| String::from_utf8_lossy(answer.body()).into_owned(), |told| told.message);
    let header = |name: &'static str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let error = Answer::new(Status::Http(answer.status().as_u16()), &text, header).error(name);
    if metadata.is_empty() { error } else { error.metadata(metadata) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(request: &Request) -> Result<String, ErrorCode> {
        let made = Http::envelope("create", request).map_err(|error| error.code())?;
        Ok(String::from_utf8(made.to_vec()).expect("JSON"))
    }

    #[test]
    fn values_are_sent_as_they_are_and_the_sidecar_writes_them_anew() {
        let mut request = Request::new(r#"{"b":1,"a":"<x>"}"#).with("a \"name\"", "line\nbreak");
        request.encoding = Encoding::Json;
        assert_eq!(
            envelope(&request).unwrap(),
            r#"{"operation":"create","data":{"b":1,"a":"<x>"},"metadata":{"a \"name\"":"line\nbreak"}}"#
        );
    }

    #[test]
    fn bytes_are_sent_only_where_they_arrive_as_they_are() {
        for (bytes, fits) in [
            (&b"{\"a\":1,\"b\":\"x\"}"[..], true),
            (b"17", true),
            (b"\"text\"", true),
            (b"{\"b\":1,\"a\":1}", false),
            (b"{\"a\": 1}", false),
            (b"1.0", false),
            (b"\"<x>\"", false),
            (b"text", false),
            (b"\xff", false),
            (b"1 2", false),
        ] {
            let made = envelope(&Request::new(bytes.to_vec()));
            assert_eq!(made.is_ok(), fits, "{bytes:?}: {made:?}");
            assert!(fits || made == Err(ErrorCode::InvalidRequest));
        }
    }

    #[test]
    fn a_value_cannot_say_more_than_itself() {
        let request = Request::json("1,\"operation\":\"delete\"");
        assert_eq!(envelope(&request), Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn nothing_and_no_bytes_are_sent_without_data() {
        for body in [Body::None, Body::empty()] {
            let request = Request { body, ..Request::default() };
            assert_eq!(envelope(&request).unwrap(), r#"{"operation":"create"}"#);
        }
    }
}
