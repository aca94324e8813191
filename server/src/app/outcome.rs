//! What the application's answer makes of an event.
//!
//! 2xx settles it, everything else delivers it again. An answer may name output bindings that something is to be sent
//! to: `{"to": ["a", "b"], "data": …, "concurrency": "parallel"}`; then the event is settled after all of them took it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bindwright::{Body, Cause, Emission, Event, Outcome, Request, Status};
use bindwright_wire::{headers, json};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::sidecar::Sidecar;

/// What is asked of the outputs.
const CREATE: &str = "create";
/// How much of an answer that refuses an event is told.
const SHOWN: usize = 500;

/// An answer of the application.
#[derive(Debug)]
pub(super) enum Answer {
    /// Over HTTP, where the body may ask for more.
    Http {
        status: u16,
        /// When it wants to be asked again, where it says so.
        retry_after: Option<Duration>,
        body: Bytes,
    },
    /// The event was not handled, and headers tell more of it than a status can.
    NotHandled(NotHandled),
    /// Over gRPC, where it says so itself.
    Handled { outputs: Outputs, has_state: bool },
}

/// Why there is no answer to an event.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// No handler had it: nobody is there, or the application is ending. The delivery does not count.
    NotTaken(String),
    /// What became of it nobody knows.
    Failed(String),
}

impl Unanswered {
    pub(super) fn into_text(self) -> String {
        let (Self::NotTaken(text) | Self::Failed(text)) = self;
        text
    }
}

/// What headers of an answer tell of an event that was not handled. A client of ours says by them the same as if it
/// had received the event itself.
#[derive(Debug)]
pub(super) struct NotHandled {
    is_given_up: bool,
    cause: Option<Box<Cause>>,
    after: Option<Duration>,
}

/// Whether an answer that failed says that no handler had the event.
pub(super) fn is_released<'a>(header: impl Fn(&'static str) -> Option<&'a str>) -> bool {
    header(headers::OUTCOME) == Some(headers::RELEASED)
}

impl NotHandled {
    /// Reads an answer that failed: `header` finds what one of its headers says, and `unnamed` is the cause where none
    /// of them tells its code. `None` where there are no such headers.
    pub(super) fn read<'a>(
        header: impl Fn(&'static str) -> Option<&'a str>,
        text: &str,
        unnamed: impl FnOnce() -> Cause,
    ) -> Option<Self> {
        let code = header(headers::CAUSE).map(|code| percent_decode_str(code).decode_utf8_lossy());
        let is_given_up = header(headers::OUTCOME) == Some(headers::DEAD_LETTER);
        let millis = header(headers::RETRY_AFTER_MS).and_then(|text| text.parse().ok());
        if code.is_none() && !is_given_up && millis.is_none() {
            return None;
        }
        let seconds = || header(RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs);
        let after = millis.map(Duration::from_millis).or_else(seconds);
        let cause = match code {
            None => Some(unnamed()),
            Some(code) if code.is_empty() => None,
            Some(code) => Some(Cause::new(code, text.chars().take(SHOWN).collect::<String>())),
        };
        Some(Self { is_given_up, cause: cause.map(Box::new), after })
    }

    fn outcome(self) -> Outcome {
        if self.is_given_up {
            return Outcome::DeadLetter { cause: self.cause };
        }
        Outcome::Retry { after: self.after, cause: self.cause }
    }
}

/// What is sent where; without names it is an answer to whoever sent the event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) to: Vec<String>,
    pub(super) data: Bytes,
    pub(super) in_parallel: bool,
}

pub(super) async fn of(sidecar: &Sidecar, event: &Event, answer: Answer) -> Outcome {
    let (outputs, has_state) = match answer {
        Answer::Http { status, retry_after, body } if !(200..300).contains(&status) => {
            return refused(status, retry_after, &body);
        }
        Answer::NotHandled(told) => return told.outcome(),
        Answer::Http { body, .. } => match read(body) {
            Ok(read) => read,
            Err(text) => return Outcome::failed("INVALID_REPLY", text),
        },
        Answer::Handled { outputs, has_state } => (outputs, has_state),
    };
    if has_state {
        tracing::warn!(target: "bindwright", binding = event.binding(), "the application's answer has state, which is \
            not saved: there is no state store here, and Dapr does not save it either");
    }
    if outputs.to.is_empty() {
        // For whoever sent the event, where its backend takes answers.
        return if outputs.data.is_empty() { Outcome::Ack } else { Outcome::Reply(Body::from(outputs.data)) };
    }
    if outputs.in_parallel {
        return send_together(sidecar, event, outputs).await;
    }
    let emission = |binding| Emission {
        binding,
        operation: CREATE.to_owned(),
        request: Request::new(outputs.data.clone()),
    };
    Outcome::Emit(outputs.to.into_iter().map(emission).collect())
}

fn refused(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Outcome {
    Outcome::Retry { after: retry_after, cause: Some(Box::new(refusal(status, body))) }
}

/// The cause of an event that an application refused over HTTP.
pub(super) fn refusal(status: u16, body: &[u8]) -> Cause {
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    let text =
        format!("fails to send binding event to http app channel, status code: {status} body: {shown}");
    Cause::new(format!("APP_STATUS_{status}"), text).with_status(Status::Http(status))
}

/// The code of the cause where no answer of the application came, or one over gRPC that is an error.
pub(super) const UNREACHABLE: &str = "APP_UNREACHABLE";

/// The outputs that an answer asks for, and whether it has state. What is no JSON object with a list of names is the
/// application's own affair. What is one must be understood as a whole: to settle the event without sending what it
/// names would lose that.
fn read(body: Bytes) -> Result<(Outputs, bool), String> {
    let whole = |body, has_state| Ok((Outputs { data: body, ..Outputs::default() }, has_state));
    if !body.trim_ascii_start().starts_with(b"{") {
        return whole(body, false);
    }
    let text = String::from_utf8_lossy(&body);
    let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(&text) else {
        return whole(body.clone(), false);
    };
    let has_state = members.get("state").is_some_and(|state| {
        let entries = serde_json::from_str::<Option<Vec<IgnoredAny>>>(state.get());
        entries.map_or(true, |entries| entries.is_some_and(|entries| !entries.is_empty()))
    });
    let to = members.get("to").and_then(|to| serde_json::from_str::<Option<Vec<String>>>(to.get()).ok());
    let to = to.flatten().unwrap_or_default();
    if to.is_empty() {
        return whole(body.clone(), has_state);
    }
    if matches!(text, Cow::Owned(_)) {
        return Err("the answer names bindings, and is not UTF-8".to_owned());
    }
    let unread = |what: &str, error: &serde_json::Error| {
        format!("the answer names bindings, and its {what} cannot be read: {error}")
    };
    let data = members.get("data").map_or("null", |data| data.get());
    let data: Value = serde_json::from_str(data).map_err(|error| unread("data", &error))?;
    let how = members.get("concurrency").map_or("null", |how| how.get());
    let how: Option<String> = serde_json::from_str(how).map_err(|error| unread("concurrency", &error))?;
    let in_parallel = how.is_some_and(|how| how.eq_ignore_ascii_case("parallel"));
    Ok((
        Outputs {
            to,
            data: json::rewritten(&data).map_err(|error| error.to_string())?.into_bytes().into(),
            in_parallel,
        },
        has_state,
    ))
}

/// All at once; the event is settled when all are done and none failed.
async fn send_together(sidecar: &Sidecar, event: &Event, outputs: Outputs) -> Outcome {
    let mut calls = JoinSet::new();
    for binding in outputs.to {
        let mut request = Request::new(outputs.data.clone());
        if let Some(trace) = event.trace_context() {
            trace.add_to(&mut request.metadata);
        }
        let client = sidecar.client.clone();
        calls.spawn(async move { client.invoke_binding(&binding, CREATE, request, None).await });
    }
    let mut outcome = Outcome::Ack;
    while let Some(ended) = calls.join_next().await {
        let failed = match ended {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => Outcome::failed(error.code().as_str(), error.to_string()),
            Err(error) => Outcome::failed("PANIC", error.to_string()),
        };
        outcome = failed;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(body: &str) -> Outputs {
        read(Bytes::copy_from_slice(body.as_bytes())).unwrap().0
    }

    #[test]
    fn an_answer_with_names_asks_for_outputs() {
        let read = outputs(r#" {"to":["a","b"],"data":{"y":1.0,"x":2},"concurrency":"PARALLEL","more":1}"#);
        let to = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(read, Outputs { to, data: r#"{"x":2,"y":1}"#.into(), in_parallel: true });
        let read = outputs(r#"{"to":["a"]}"#);
        assert_eq!(read, Outputs { to: vec!["a".to_owned()], data: "null".into(), in_parallel: false });
    }

    #[test]
    fn other_answers_are_the_applications_own_affair() {
        for body in [
            "",
            "ok",
            "[]",
            "{}",
            r#"{"to":[]}"#,
            r#"{"to":"a"}"#,
            r#"{"to":[1]}"#,
            r#"{"to":["a"]"#,
            "\u{0}",
        ] {
            assert_eq!(outputs(body).to, Vec::<String>::new(), "{body}");
        }
    }

    #[test]
    fn an_answer_that_names_bindings_is_understood_or_refused() {
        let deep = format!(r#"{{"to":["a"],"data":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        for body in [
            br#"{"to":["a"],"data":"\ud83d"}"#.as_slice(),
            br#"{"data":1e999,"to":["a"]}"#,
            br#"{"to":["a"],"concurrency":1}"#,
            b"{\"to\":[\"a\"],\"data\":\"\xff\"}",
            deep.as_bytes(),
        ] {
            let refused = read(Bytes::copy_from_slice(body)).unwrap_err();
            assert!(refused.contains("names bindings"), "{refused}");
        }
        let (outputs, has_state) =
            read(Bytes::from_static(br#"{"to":["x"],"data":1,"to":["a"],"state":{"key":"a"}}"#)).unwrap();
        assert_eq!((outputs.to, has_state), (vec!["a".to_owned()], true));
    }

    #[test]
    fn state_is_noticed() {
        assert!(read(Bytes::from_static(br#"{"state":[{"key":"a"}]}"#)).unwrap().1);
        assert!(!read(Bytes::from_static(br#"{"state":[]}"#)).unwrap().1);
    }

    #[test]
    fn a_refusal_tells_the_status_and_comes_again_when_the_application_says() {
        let Outcome::Retry { after, cause } = refused(503, Some(Duration::from_secs(7)), b"busy") else {
            panic!()
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
        let expected = "fails to send binding event to http app channel, status code: 503 body: busy";
        assert_eq!(cause.unwrap().text, expected);
    }

    #[test]
    fn headers_of_an_answer_tell_more_than_its_status() {
        let read = |sent: &[(&'static str, &'static str)]| {
            let header =
                |name: &'static str| sent.iter().find(|(sent, _)| *sent == name).map(|(_, value)| *value);
            NotHandled::read(header, "why", || Cause::new("UNNAMED", "unnamed")).map(NotHandled::outcome)
        };
        let because = |code: &str, text: &str| Some(Box::new(Cause::new(code, text)));
        let given_up = (headers::OUTCOME, headers::DEAD_LETTER);
        let pause = Duration::from_millis(1_500);
        for (sent, expected) in [
            (&[][..], None),
            (&[(headers::OUTCOME, "retry")], None),
            (&[(headers::RETRY_AFTER_MS, "soon")], None),
            (&[given_up], Some(Outcome::DeadLetter { cause: because("UNNAMED", "unnamed") })),
            (
                &[given_up, (headers::CAUSE, "Gr%C3%B6%C3%9FeError")],
                Some(Outcome::DeadLetter { cause: because("GrößeError", "why") }),
            ),
            (&[(headers::CAUSE, "")], Some(Outcome::Retry { after: None, cause: None })),
            (
                &[(headers::CAUSE, "ValueError"), (headers::RETRY_AFTER_MS, "1500")],
                Some(Outcome::Retry { after: Some(pause), cause: because("ValueError", "why") }),
            ),
            (
                &[(headers::RETRY_AFTER_MS, "1500")],
                Some(Outcome::Retry { after: Some(pause), cause: because("UNNAMED", "unnamed") }),
            ),
        ] {
            assert_eq!(read(sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn random_answers_are_read_without_harm() {
        let parts = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"to\"",
            "\"data\"",
            "\"state\"",
            "\"concurrency\"",
            "\"a\"",
            "null",
            "1e9",
            "{\"to\":[\"a\"]",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut asked = 0;
        for _ in 0..50_000 {
            let body: String = (0..random.usize(1..10)).map(|_| parts[random.usize(..parts.len())]).collect();
            if let Ok((outputs, _)) = read(Bytes::from(body.clone())) {
                // What is sent on is JSON, whatever was answered.
                let is_json = serde_json::from_slice::<Value>(&outputs.data).is_ok();
                assert!(outputs.to.is_empty() || is_json, "{seed}: {body}");
                asked += usize::from(!outputs.to.is_empty());
            }
        }
        assert!(asked > 10, "{seed}: {asked}");
    }
}
