//! Answers in Dapr's forms.

use bindwright::ErrorCode;
use bindwright_wire::headers;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use http_body_util::Full;

use super::Response;
use crate::access::Failed;
use crate::limits::{self, Unread};

/// Dapr takes every other path for the invocation of a service.
pub(super) fn no_such_path() -> Response {
    let message = "failed getting app id either from the URL path or the header dapr-app-id";
    error(StatusCode::NOT_FOUND, "ERR_DIRECT_INVOKE", message)
}

/// An error as Dapr writes it: exactly these two members.
pub(super) fn error(status: StatusCode, code: &'static str, message: &str) -> Response {
    let body = serde_json::json!({ "errorCode": code, "message": message }).to_string();
    let mut response = json(status, body);
    response.extensions_mut().insert(Failed(code));
    response
}

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    typed(status, body, HeaderValue::from_static("application/json"))
}

pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    typed(status, text, HeaderValue::from_static("text/plain; charset=utf-8"))
}

pub(super) fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

fn typed(status: StatusCode, body: impl Into<Bytes>, content_type: HeaderValue) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A body that was not read.
pub(super) fn unread(cause: Unread, malformed: &str) -> Response {
    let malformed = |cause: &str| {
        error(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", &format!("{malformed}: {cause}"))
    };
    match cause {
        Unread::TooLarge => malformed("stream too large"),
        Unread::Broken(text) => malformed(&text),
        Unread::Slow => plain(StatusCode::REQUEST_TIMEOUT, "the body did not go on\n"),
        Unread::Overloaded => overloaded("too much is under way\n"),
    }
}

/// A reply that cannot be held. Only the reply is missing: asking again does the work again.
pub(super) fn no_room(bytes: usize) -> Response {
    let mut response = overloaded(format!("{}\n", limits::no_room(bytes)));
    let code = HeaderValue::from_static(ErrorCode::PayloadTooLarge.as_str());
    response.headers_mut().insert(headers::ERROR_CODE, code);
    response.headers_mut().insert(headers::RETRIABLE, HeaderValue::from_static("false"));
    response
}

fn overloaded(text: impl Into<Bytes>) -> Response {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
