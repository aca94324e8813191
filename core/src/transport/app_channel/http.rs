//! What a sidecar asks over HTTP: which events are wanted (`OPTIONS`), how the program is (`GET`), and to handle one
//! (`POST`).

use bindwright_wire::headers;
use bindwright_wire::unread::{self, Watched};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::AppChannel;
use super::delivery::{Answer, Failure, deliver};
use crate::body::Body;
use crate::http::percent;
use crate::metadata::Metadata;
use crate::transport::sidecar::TOKEN;

/// Headers that say something about the request, not about the event.
const OF_THE_REQUEST: [HeaderName; 10] = [
    http::header::ACCEPT,
    http::header::ACCEPT_ENCODING,
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_TYPE,
    http::header::HOST,
    http::header::TE,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    http::header::USER_AGENT,
];

pub(super) async fn answer(channel: &AppChannel, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut request = request.map(Watched::new);
    let mut response = answer_to(channel, &mut request).await;
    unread::settle(&mut request, &mut response).await;
    response
}

async fn answer_to(channel: &AppChannel, request: &mut Request<Watched<Incoming>>) -> Response<Full<Bytes>> {
    let Some(name) = name(request.uri().path()) else {
        return plain(StatusCode::BAD_REQUEST, "no such path");
    };
    match *request.method() {
        Method::OPTIONS => {
            let wanted = channel.wants(&name).await;
            plain(if wanted { StatusCode::OK } else { StatusCode::NOT_FOUND }, "")
        }
        // Whatever path health is asked at. What else Dapr asks for at the start is answered with nothing.
        Method::GET | Method::HEAD => match name.as_str() {
            "dapr/config" => json("{}"),
            "dapr/subscribe" => json("[]"),
            _ => plain(StatusCode::OK, ""),
        },
        Method::POST | Method::PUT => event(channel, &name, request).await,
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

async fn event(
    channel: &AppChannel,
    name: &str,
    request: &mut Request<Watched<Incoming>>,
) -> Response<Full<Bytes>> {
    if !channel.is_known(request.headers().get(TOKEN).map(HeaderValue::as_bytes)) {
        tracing::warn!(target: "bindwright", binding = name, "an event without the right token was refused");
        return plain(StatusCode::UNAUTHORIZED, "the event does not show the token of this program");
    }
    let body = match Limited::new(request.body_mut(), channel.most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the event is larger than {} bytes", channel.most);
            tracing::error!(target: "bindwright", binding = name, "{text}; raise `max_message_size` or BINDWRIGHT_MAX_MESSAGE_SIZE");
            return plain(StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let event = super::event(body, metadata(request.headers()), text(headers::ATTEMPT));
    match deliver(channel, name, event).await {
        Answer::Settled(reply) => match reply {
            Body::Bytes(reply) => with_outcome(json(reply), headers::REPLY),
            Body::None => plain(StatusCode::OK, ""),
        },
        Answer::Unwanted => {
            let answer = plain(StatusCode::NOT_FOUND, format!("nothing subscribes to {name:?}"));
            with_outcome(answer, headers::RELEASED)
        }
        Answer::Failed(failure) => failed(failure),
        Answer::Stopping => {
            let answer = plain(StatusCode::SERVICE_UNAVAILABLE, "the program is ending");
            with_outcome(answer, headers::RELEASED)
        }
    }
}

fn with_outcome(mut answer: Response<Full<Bytes>>, outcome: &'static str) -> Response<Full<Bytes>> {
    answer.headers_mut().insert(headers::OUTCOME, HeaderValue::from_static(outcome));
    answer
}

fn failed(failure: Failure) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::INTERNAL_SERVER_ERROR, failure.text);
    let told = response.headers_mut();
    if failure.is_given_up {
        told.insert(headers::OUTCOME, HeaderValue::from_static(headers::DEAD_LETTER));
    }
    let code = percent(&failure.code).parse().expect("ASCII");
    told.insert(headers::CAUSE, code);
    if let Some(after) = failure.after {
        told.insert(RETRY_AFTER, after.as_millis().div_ceil(1000).to_string().parse().expect("digits"));
        told.insert(headers::RETRY_AFTER_MS, after.as_millis().to_string().parse().expect("digits"));
    }
    response
}

/// The binding that a path names: what stands behind the first slash, which is the route where the component's
/// document has one.
fn name(path: &str) -> Option<String> {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    percent_encoding::percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Every other header is an entry of the event's metadata. HTTP keeps no case: names arrive as Dapr or a proxy
/// writes them, and are taken in lower case.
fn metadata(all: &HeaderMap) -> Metadata {
    let entries = all
        .iter()
        .filter(|(name, _)| *name != TOKEN && *name != headers::ATTEMPT && !OF_THE_REQUEST.contains(name));
    entries
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

fn json(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_binding_or_its_route() {
        for (path, expected) in [
            ("/orders", Some("orders")),
            ("/in/orders/", Some("in/orders")),
            ("/my%20orders", Some("my orders")),
            ("/%ff", None),
        ] {
            assert_eq!(name(path).as_deref(), expected);
        }
    }

    #[test]
    fn headers_of_the_request_and_the_token_are_no_metadata() {
        let mut headers = HeaderMap::new();
        for name in ["content-type", "host", "user-agent", "dapr-api-token", "__offset", "traceparent"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let metadata = metadata(&headers);
        let mut names: Vec<_> = metadata.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["__offset", "traceparent"]);
    }
}
