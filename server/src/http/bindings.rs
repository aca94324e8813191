//! `POST` and `PUT /v1.0/bindings/{name}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bindwright::{Error, Metadata, Reply};
use bindwright_wire::headers;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::answers::{error, json, plain, status, unread};
use super::{Body, Request, Response, path};
use crate::envelope::Envelope;
use crate::invoke::{self, Asked};
use crate::limits;
use crate::sidecar::Sidecar;
use crate::trace::{self, Span};

pub(super) async fn invoke(sidecar: &Arc<Sidecar>, request: &mut Request) -> Response {
    let name = match path::last_segment(request.uri().path()) {
        Ok(name) => name,
        Err(text) => return plain(StatusCode::BAD_REQUEST, text),
    };
    let baggage = match trace::baggage(request.headers()) {
        Ok(baggage) => baggage,
        Err(text) if sidecar.tracing.is_on() => return plain(StatusCode::BAD_REQUEST, text),
        Err(text) => return error(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", &text),
    };
    let span = sidecar.tracing.of_request(request.headers());
    let deadline = deadline(request.headers());
    let body = request.body_mut();
    let mut response = ask(sidecar, name, body, span.as_ref(), baggage.as_deref(), deadline).await;
    let Some(span) = &span else { return response };
    let headers = response.headers_mut();
    let context = [
        (trace::TRACEPARENT, Some(&span.traceparent)),
        (trace::TRACESTATE, span.tracestate.as_ref()),
        (trace::BAGGAGE, baggage.as_ref()),
    ];
    for (name, value) in context {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

async fn ask(
    sidecar: &Arc<Sidecar>,
    name: String,
    body: &mut Body,
    span: Option<&Span>,
    baggage: Option<&str>,
    deadline: Option<Instant>,
) -> Response {
    let options = &sidecar.options;
    let charge = sidecar.budget.charge();
    let read = limits::read(body, options.body_limit(), charge, options.slow_client_timeout).await;
    // The charge lives until the call is over: the data does.
    let (body, mut charge) = match read {
        Ok(read) => read,
        Err(cause) => return unread(cause, "failed deserializing HTTP body"),
    };
    let envelope = match Envelope::read_in_turn(&body).await {
        Ok(envelope) => envelope,
        Err(text) => {
            let message = format!("failed deserializing HTTP body: {text}");
            return error(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", &message);
        }
    };
    drop(body);
    // Written anew it may be larger.
    if !charge.add(envelope.size()) {
        return unread(limits::Unread::Overloaded, "");
    }
    let mut metadata = envelope.metadata;
    if let Some(span) = span {
        metadata = span.put_into(metadata);
    }
    if let Some(baggage) = baggage {
        metadata = trace::without(metadata, &[trace::BAGGAGE]);
        metadata.add(trace::BAGGAGE, baggage.to_owned());
    }
    let asked =
        Asked { name: &name, operation: &envelope.operation, data: envelope.data.into(), metadata, deadline };
    match invoke::run(sidecar, asked).await {
        Ok(reply) => answer(&reply),
        Err(refused) => {
            let message = invoke::message(&name, &refused.text);
            let mut response = error(StatusCode::INTERNAL_SERVER_ERROR, invoke::REASON, &message);
            if let Some(cause) = &refused.cause {
                explain(response.headers_mut(), cause);
            }
            response
        }
    }
}

/// When a client of ours stops waiting.
fn deadline(sent: &HeaderMap) -> Option<Instant> {
    let millis = sent.get(headers::TIMEOUT_MS)?.to_str().ok()?.parse().ok()?;
    Instant::now().checked_add(Duration::from_millis(millis))
}

fn answer(reply: &Reply) -> Response {
    let mut response = match reply.body.as_bytes() {
        None => status(StatusCode::NO_CONTENT),
        Some(bytes) => json(StatusCode::OK, bytes.clone()),
    };
    put_metadata(response.headers_mut(), &reply.metadata);
    response
}

/// One header for each entry; names that cannot be one are left out.
fn put_metadata(headers: &mut HeaderMap, metadata: &Metadata) {
    for (name, value) in metadata.iter().take(invoke::MOST_HEADERS) {
        put(headers, &format!("metadata.{name}"), &value.text());
    }
}

/// What the body cannot say in two members.
fn explain(headers: &mut HeaderMap, error: &Error) {
    if let Some(metadata) = error.reply_metadata() {
        put_metadata(headers, metadata);
    }
    for (name, value) in invoke::explanations(error) {
        put(headers, name, &value);
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::try_from(name);
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
        headers.insert(name, value);
    }
}
