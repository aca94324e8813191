//! Requests over HTTP to what stands beside a backend: token servers, schema registries, the clouds.

use std::fmt::Write as _;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::error::{Error, ErrorCode, Result};
use crate::tls::{self, Tls};

/// The most that an answer may have. Tokens and schemas are far smaller.
const LONGEST_ANSWER: usize = 4 << 20;

/// A client for `http` and `https` addresses that keeps its connections. It follows no redirects and uses no proxy.
#[derive(Clone)]
pub(crate) struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl HttpClient {
    /// # Errors
    /// `INVALID_SETTINGS` when the certificates or the key cannot be read.
    pub(crate) fn new(tls: &Tls) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let mut connector = HttpsConnector::with_connector(tcp, tls.connector()?).map_err(|error| {
            Error::new(ErrorCode::InvalidSettings, "TLS cannot be set up").backend(error.to_string())
        })?;
        if tls.skip_verify {
            connector.set_callback(|connection, _| {
                connection.set_verify_hostname(false);
                Ok(())
            });
        }
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// The answer, whatever its status. Must be polled inside the runtime.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is no connection, `UNTRUSTED_CERTIFICATE`, `EXPIRED_CERTIFICATE` or `TLS_FAILED`,
    /// `TIMEOUT`, `BACKEND_ERROR` for an answer that breaks off or is longer than 4 MiB. The texts name scheme, host
    /// and port, never the path or the query.
    pub(crate) async fn send(&self, request: Request<Bytes>, deadline: Instant) -> Result<Response<Bytes>> {
        let target = target(&request);
        let answer = async {
            let answer =
                self.0.request(request.map(Full::new)).await.map_err(|error| failed(&error, &target))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| {
                let message = format!("the answer of {target} cannot be read");
                Error::new(ErrorCode::Backend, message).backend(error.to_string())
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorCode::Timeout, format!("{target} did not answer in time"))),
        }
    }
}

/// The value of `Authorization` that names a user and a password (HTTP Basic). It is marked as a secret.
pub(crate) fn basic(user: &str, password: &str) -> HeaderValue {
    let pair = openssl::base64::encode_block(format!("{user}:{password}").as_bytes());
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

/// A text as it may stand in a path, a query or a form: everything but letters, digits and `-._~` as `%XX`.
pub(crate) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn target(request: &Request<Bytes>) -> String {
    let uri = request.uri();
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", uri.scheme_str().unwrap_or("http"))
}

fn failed(error: &hyper_util::client::legacy::Error, target: &str) -> Error {
    // The error itself says only that there was one.
    let text = std::error::Error::source(error).map(tls::chain).unwrap_or_default();
    match tls::code_of(&text) {
        Some(code) => Error::new(code, format!("no encrypted connection to {target}")).backend(text),
        None if error.is_connect() => {
            Error::new(ErrorCode::Unavailable, format!("no connection to {target}")).backend(text)
        }
        None => Error::new(ErrorCode::Unavailable, format!("the connection to {target} broke")).backend(text),
    }
}

#[cfg(test)]
mod tests {
    use super::{basic, percent};

    #[test]
    fn a_text_is_safe_in_a_query() {
        assert_eq!(percent("a-Z.9_~ +/=&\u{e4}"), "a-Z.9_~%20%2B%2F%3D%26%C3%A4");
    }

    #[test]
    fn a_password_is_not_shown() {
        let value = basic("Aladdin", "open sesame");
        assert_eq!(value.as_bytes(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
