//! What a sidecar answers when a call failed, as an error of ours.
//!
//! `bindwright serve` names the code of the error and whether trying again can help. Dapr tells a text, and the same
//! status for everything: what can be read from it is read, and `retriable` stays unknown where it tells nothing.

use bindwright_wire::headers;

use crate::error::{Error, ErrorCode, Retry, Status};

/// What `bindwright serve` says when it has too much to do.
const BUSY: &str = "too much is under way";
/// What stands before the cause of a call that failed.
const PREFIX: &str = "error invoking output binding ";

/// What the sidecar said, whichever way it came.
pub(super) struct Answer<'a> {
    status: Status,
    text: &'a str,
    /// Of the headers of `bindwright serve`.
    code: Option<&'a str>,
    retriable: Option<&'a str>,
    /// The status that the backend answered with, where the sidecar tells.
    backend: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// `header` finds what a header of the answer says.
    pub(super) fn new(
        status: Status,
        text: &'a str,
        header: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Self {
        Self {
            status,
            text,
            code: header(headers::ERROR_CODE),
            retriable: header(headers::RETRIABLE),
            backend: header("metadata.statuscode"),
        }
    }

    pub(super) fn error(&self, name: &str) -> Error {
        let cause = cause(self.text, name);
        let error = self.named(cause).unwrap_or_else(|| self.guessed(cause));
        let backend = self.backend.and_then(|code| code.parse().ok()).map(Status::Http);
        error.status(backend.unwrap_or(self.status))
    }

    /// As `bindwright serve` tells it.
    fn named(&self, cause: &str) -> Option<Error> {
        let wire = self.code?;
        let code = ErrorCode::ALL.iter().find(|code| code.as_str() == wire)?;
        let retry = match self.retriable {
            Some("true") => Retry::Yes,
            Some("false") => Retry::No,
            _ => Retry::Unknown,
        };
        // Behind the message stand the code and the advice, which the error has itself.
        let (message, advice) = match cause.rsplit_once(&format!(" [{wire}]; ")) {
            Some((message, advice)) => (message, Some(advice.to_owned())),
            None => (cause, None),
        };
        let error = Error::new(*code, message.to_owned()).retry(retry);
        Some(match advice {
            Some(advice) => error.advice(advice),
            None => error,
        })
    }

    /// From what Dapr tells.
    fn guessed(&self, cause: &str) -> Error {
        let told = |code, message: &'static str| Error::new(code, message).backend(cause);
        match self.status {
            Status::Grpc(16) | Status::Http(401) => {
                told(ErrorCode::Unauthenticated, "the sidecar does not accept the token")
                    .advice("Give the token of the sidecar in `sidecar_token` or DAPR_API_TOKEN.")
            }
            Status::Grpc(7) | Status::Http(403) => {
                told(ErrorCode::PermissionDenied, "the sidecar refuses the call")
            }
            _ if is_too_large(self.status, cause) => {
                told(ErrorCode::PayloadTooLarge, "larger than the sidecar accepts")
                    .advice("Send less, or raise the sidecar's --max-body-size and `max_message_size`.")
            }
            // Our own server says so before it does anything.
            Status::Grpc(8) | Status::Http(503) if cause == BUSY => {
                told(ErrorCode::Unavailable, "the sidecar has too much to do").retry(Retry::Yes)
            }
            Status::Grpc(8) | Status::Http(429) => {
                told(ErrorCode::Unavailable, "the sidecar has too much to do").retry(Retry::Unknown)
            }
            // A proxy also says 503 when the sidecar broke off after it had the call.
            Status::Grpc(1 | 14) | Status::Http(502..=504) => {
                told(ErrorCode::OutcomeUnknown, "the sidecar, or what stands before it, broke off")
            }
            Status::Grpc(4) | Status::Http(408) => told(
                ErrorCode::OutcomeUnknown,
                "the sidecar gave up at the deadline; the data may have been sent",
            ),
            Status::Grpc(12) | Status::Http(404) => told(
                ErrorCode::Backend,
                "the sidecar does not offer its API for bindings",
            )
            .retry(Retry::No)
            .advice("Check that the address is that of a sidecar and that its Configuration allows the API."),
            _ => told_by_text(cause),
        }
    }
}

fn told_by_text(cause: &str) -> Error {
    let error = |code, message: &'static str| Error::new(code, message).backend(cause);
    if cause.starts_with("couldn't find output binding") {
        return error(ErrorCode::ComponentNotFound, "the sidecar has no output binding of this name")
            .advice("Check the name, the sidecar's resources and the scopes of the component.");
    }
    if cause.contains(" does not support operation ") {
        return error(ErrorCode::UnsupportedOperation, "unknown operation");
    }
    if cause.contains("operation field is missing")
        || cause.starts_with("failed deserializing HTTP body")
        || cause.contains("invalid baggage header")
    {
        return error(ErrorCode::InvalidRequest, "the sidecar does not accept the call");
    }
    error(ErrorCode::Backend, "the sidecar could not do it").retry(Retry::Unknown)
}

/// gRPC has one status for messages that are too large and for a sidecar that has too much to do.
fn is_too_large(status: Status, cause: &str) -> bool {
    match status {
        Status::Http(413) => true,
        Status::Http(400) => cause.ends_with("stream too large"),
        Status::Grpc(8 | 11) => {
            ["larger than max", "too large", "more than", "exceeds"].iter().any(|part| cause.contains(part))
        }
        Status::Http(_) | Status::Grpc(_) => false,
    }
}

fn cause<'a>(text: &'a str, name: &str) -> &'a str {
    let text = text.trim_end();
    text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(name)?.strip_prefix(": ")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: Status, text: &str) -> Error {
        Answer { status, text, code: None, retriable: None, backend: None }.error("orders")
    }

    #[test]
    fn daprs_texts_tell_what_can_be_told() {
        let internal = Status::Grpc(13);
        for (status, text, code, retriable) in [
            (
                internal,
                "error invoking output binding orders: couldn't find output binding orders",
                "COMPONENT_NOT_FOUND",
                Some(false),
            ),
            (
                internal,
                "error invoking output binding orders: binding orders does not support operation get. supported operations:create list",
                "UNSUPPORTED_OPERATION",
                Some(false),
            ),
            (
                internal,
                "error invoking output binding orders: operation field is missing from request",
                "INVALID_REQUEST",
                Some(false),
            ),
            (
                internal,
                "error invoking output binding orders: kafka: client has run out of brokers",
                "BACKEND_ERROR",
                None,
            ),
            (Status::Http(500), "error invoking output binding orders: boom", "BACKEND_ERROR", None),
            (
                Status::Http(400),
                "failed deserializing HTTP body: stream too large",
                "PAYLOAD_TOO_LARGE",
                Some(false),
            ),
            (Status::Http(400), "failed deserializing HTTP body: EOF", "INVALID_REQUEST", Some(false)),
            (Status::Http(401), "invalid api token\n", "UNAUTHENTICATED", Some(false)),
            (Status::Grpc(16), "Unauthorized", "UNAUTHENTICATED", Some(false)),
            (
                Status::Grpc(8),
                "grpc: received message larger than max (5000000 vs. 4194304)",
                "PAYLOAD_TOO_LARGE",
                Some(false),
            ),
            (Status::Grpc(8), "too much is under way", "UNAVAILABLE", Some(true)),
            (Status::Http(503), "too much is under way\n", "UNAVAILABLE", Some(true)),
            (Status::Grpc(14), "upstream is away", "OUTCOME_UNKNOWN", Some(false)),
            (Status::Http(504), "upstream request timeout", "OUTCOME_UNKNOWN", Some(false)),
            (Status::Http(503), "upstream connect error or reset", "OUTCOME_UNKNOWN", Some(false)),
            (Status::Grpc(4), "context deadline exceeded", "OUTCOME_UNKNOWN", Some(false)),
            (Status::Grpc(12), "unknown service", "BACKEND_ERROR", Some(false)),
        ] {
            let error = of(status, text);
            assert_eq!((error.code().as_str(), error.retriable()), (code, retriable), "{text}");
            assert!(error.backend_text().is_some_and(|told| !told.starts_with(PREFIX)), "{error}");
        }
    }

    #[test]
    fn what_our_own_server_names_is_taken_as_it_is() {
        let error = Answer {
            status: Status::Http(500),
            text: "error invoking output binding orders: the record is larger than 1 MB [PAYLOAD_TOO_LARGE]; Send less.",
            code: Some("PAYLOAD_TOO_LARGE"),
            retriable: Some("false"),
            backend: None,
        }
        .error("orders");
        assert_eq!(
            (error.code(), error.message(), error.what_to_do(), error.retriable()),
            (ErrorCode::PayloadTooLarge, "the record is larger than 1 MB", "Send less.", Some(false))
        );
    }

    #[test]
    fn a_code_that_is_not_known_is_read_from_the_text() {
        let error = Answer {
            status: Status::Grpc(13),
            text: "error invoking output binding orders: boom",
            code: Some("FROM_THE_FUTURE"),
            retriable: Some("true"),
            backend: Some("404"),
        }
        .error("orders");
        assert_eq!((error.code(), error.retriable()), (ErrorCode::Backend, None));
        assert_eq!(error.backend_status(), Some(Status::Http(404)));
    }
}
