//! One invocation, whichever API it came by: what is checked, in Dapr's order and with Dapr's words.

use std::time::{Duration, Instant};

use bindwright::{Error, ErrorCode, Metadata, Reply, Request, Status};
use bindwright_wire::headers;
use bytes::Bytes;

use crate::sidecar::Sidecar;

/// The code of every invocation that failed.
pub(crate) const REASON: &str = "ERR_INVOKE_OUTPUT_BINDING";

/// How many entries of a reply become headers: many clients take a hundred and no more.
pub(crate) const MOST_HEADERS: usize = 64;

/// What somebody asks for.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) data: Bytes,
    pub(crate) metadata: Metadata,
    /// When the caller stops waiting, where it says so.
    pub(crate) deadline: Option<Instant>,
}

/// Why nothing came of it.
pub(crate) struct Refused {
    pub(crate) text: String,
    /// Where it got as far as a component, or as looking for one.
    pub(crate) cause: Option<Error>,
}

pub(crate) async fn run(sidecar: &Sidecar, asked: Asked<'_>) -> Result<Reply, Refused> {
    let began = Instant::now();
    let Asked { name, operation, data, metadata, deadline } = asked;
    let result = if operation.is_empty() {
        Err(Refused { text: "operation field is missing from request".to_owned(), cause: None })
    } else {
        let request = Request { metadata, ..Request::new(data) };
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let invoked = sidecar.client.invoke_binding(name, operation, request, timeout).await;
        invoked.map_err(|error| refused(sidecar, name, operation, error))
    };
    sidecar.metrics.invoked(name, operation, result.is_ok(), began.elapsed());
    result
}

fn refused(sidecar: &Sidecar, name: &str, operation: &str, error: Error) -> Refused {
    let text = match error.code() {
        ErrorCode::ComponentNotFound | ErrorCode::UnsupportedDirection => {
            format!("couldn't find output binding {name}")
        }
        ErrorCode::UnsupportedOperation => {
            let known = sidecar.client.operations(name).unwrap_or_default().join(" ");
            format!("binding {name} does not support operation {operation}. supported operations:{known}")
        }
        _ => told(&error),
    };
    Refused { text, cause: Some(error) }
}

/// The message that stands around the cause.
pub(crate) fn message(name: &str, cause: &str) -> String {
    format!("error invoking output binding {name}: {cause}")
}

/// An error without the names that stand around it already.
pub(crate) fn told(error: &Error) -> String {
    let backend = error.backend_text().map(|text| format!(": {text}")).unwrap_or_default();
    format!("{}{backend} [{}]; {}", error.message(), error.code(), error.what_to_do())
}

/// What the text of an error says for programs. The status of a backend has the name that Dapr's component for HTTP
/// gives it.
pub(crate) fn explanations(error: &Error) -> Vec<(&'static str, String)> {
    let mut all = vec![(headers::ERROR_CODE, error.code().as_str().to_owned())];
    if let Some(retriable) = error.retriable() {
        all.push((headers::RETRIABLE, retriable.to_string()));
    }
    match error.backend_status() {
        Some(Status::Http(code)) => all.push(("metadata.statusCode", code.to_string())),
        Some(Status::Grpc(code)) => all.push(("bindwright-grpc-status", code.to_string())),
        _ => {}
    }
    all
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_hours(count),
        "M" => Duration::from_mins(count),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_of_grpc_are_read_and_nonsense_is_not() {
        assert_eq!(grpc_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        for text in ["", "S", "5", "5s", "-5S", "123456789S", "5é", "+5S"] {
            assert_eq!(grpc_timeout(text), None, "{text}");
        }
    }
}
