//! W3C trace context and baggage at the edge: what callers send, what components and the application get.
//!
//! Every call and every event is a span of the trace that it came with, or begins a trace of its own; a part of these,
//! one in ten thousand unless a Configuration says otherwise, is marked as sampled. A Configuration can also say that
//! there are no spans. Tests are below.

use std::fmt::Write as _;

use bindwright::{Metadata, TraceContext};
use http::HeaderMap;

pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";
pub(crate) const BAGGAGE: &str = "baggage";

/// Whether calls and events are spans, and how many new traces are sampled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tracing {
    /// From 0 to 1; `None` where there are no spans.
    sampled: Option<f64>,
}

impl Tracing {
    pub(crate) const fn new(sampled: Option<f64>) -> Self {
        Self { sampled }
    }

    /// A span below the one that the caller is in; text that names none begins a trace.
    pub(crate) fn below(self, traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Span> {
        let sampled = self.sampled?;
        Some(Span::below(traceparent, tracestate, || fastrand::f64() < sampled))
    }

    /// The span of a call with these headers.
    pub(crate) fn of_request(self, headers: &HeaderMap) -> Option<Span> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        self.below(text(TRACEPARENT), text(TRACESTATE))
    }

    pub(crate) const fn is_on(self) -> bool {
        self.sampled.is_some()
    }
}

/// The span of one call or event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) traceparent: String,
    pub(crate) tracestate: Option<String>,
}

impl Span {
    fn below(traceparent: Option<&str>, tracestate: Option<&str>, is_sampled: impl FnOnce() -> bool) -> Self {
        let parent = traceparent.and_then(|text| TraceContext::parse(text, tracestate));
        let span = fastrand::u64(1..);
        let mut text = String::with_capacity(55);
        let Some(parent) = parent else {
            let trace = fastrand::u128(1..);
            let flags = u8::from(is_sampled());
            let _ = write!(text, "00-{trace:032x}-{span:016x}-{flags:02x}");
            return Self { traceparent: text, tracestate: None };
        };
        // Always 55 characters of ASCII at least, or it would be no context.
        let _ =
            write!(text, "00-{}-{span:016x}-{}", &parent.traceparent()[3..35], &parent.traceparent()[53..55]);
        Self {
            traceparent: text,
            tracestate: parent.tracestate().filter(|state| !state.is_empty()).map(str::to_owned),
        }
    }

    /// Stands for what the metadata says.
    pub(crate) fn put_into(&self, metadata: Metadata) -> Metadata {
        let mut all = without(metadata, &[TRACEPARENT, TRACESTATE]);
        all.add(TRACEPARENT, self.traceparent.clone());
        if let Some(state) = &self.tracestate {
            all.add(TRACESTATE, state.clone());
        }
        all
    }

    /// The form that gRPC has for it: version, trace, span and flags, each behind its number.
    pub(crate) fn binary(&self) -> [u8; 29] {
        let mut binary = [0; 29];
        (binary[18], binary[27]) = (1, 2);
        let digit = |at: usize| {
            let digits = self.traceparent.get(at..at + 2).unwrap_or("00");
            u8::from_str_radix(digits, 16).unwrap_or_default()
        };
        for index in 0..16 {
            binary[2 + index] = digit(3 + 2 * index);
        }
        for index in 0..8 {
            binary[19 + index] = digit(36 + 2 * index);
        }
        binary[28] = digit(53);
        binary
    }
}

/// Metadata without the entries of these names.
pub(crate) fn without(metadata: Metadata, names: &[&str]) -> Metadata {
    if metadata.iter().all(|(name, _)| !names.contains(&name)) {
        return metadata;
    }
    let left = metadata.iter().filter(|(name, _)| !names.contains(name));
    left.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// The baggage of a request, all headers of the name together; `Err` where it is none.
pub(crate) fn baggage(headers: &HeaderMap) -> Result<Option<String>, String> {
    let mut all = String::new();
    for value in headers.get_all(BAGGAGE) {
        let text = value.to_str().map_err(|_| "invalid baggage header: not visible ASCII".to_owned())?;
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(text);
    }
    if all.is_empty() {
        return Ok(None);
    }
    match all.split(',').find(|member| !is_member(member)) {
        None => Ok(Some(all)),
        Some(member) => Err(format!("invalid baggage header: {:?} is not name=value", member.trim())),
    }
}

/// `name=value;property;name=value`, blanks around each part.
fn is_member(member: &str) -> bool {
    let mut parts = member.split(';');
    let is_pair = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| is_name(name.trim()) && is_value(value.trim()))
    };
    parts.next().is_some_and(is_pair) && parts.all(|part| is_pair(part) || is_name(part.trim()))
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(traceparent: Option<&str>, tracestate: Option<&str>) -> Span {
        Tracing::new(Some(0.5)).below(traceparent, tracestate).unwrap()
    }

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_span_stays_in_the_trace_of_its_caller() {
        let span = below(Some(PARENT), Some("vendor=1"));
        assert_eq!(span.traceparent[..36], PARENT[..36]);
        assert_eq!(span.traceparent[52..], PARENT[52..]);
        assert_ne!(span.traceparent, PARENT);
        assert_eq!(span.tracestate.as_deref(), Some("vendor=1"));
    }

    #[test]
    fn without_a_trace_one_begins() {
        for text in [None, Some("garbage"), Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01")] {
            let span = below(text, Some("lost"));
            assert!(TraceContext::parse(&span.traceparent, None).is_some(), "{span:?}");
            assert_eq!(span.tracestate, None);
        }
        assert_ne!(below(None, None), below(None, None));
    }

    #[test]
    fn new_traces_are_sampled_as_the_configuration_says() {
        let flags =
            |sampled| Tracing::new(sampled).below(None, None).map(|span| span.traceparent[53..].to_owned());
        assert_eq!(flags(Some(1.0)).as_deref(), Some("01"));
        assert_eq!(flags(Some(0.0)).as_deref(), Some("00"));
        assert_eq!(flags(None), None);
        let parent = Tracing::new(Some(0.0)).below(Some(PARENT), None).unwrap();
        assert_eq!(&parent.traceparent[53..], "01", "the caller decided");
    }

    #[test]
    fn a_span_stands_for_what_the_metadata_says() {
        let metadata: Metadata =
            [("traceparent", "mine"), ("key", "k"), ("tracestate", "x")].into_iter().collect();
        let span = below(Some(PARENT), None);
        let metadata = span.put_into(metadata);
        assert_eq!(metadata.get("traceparent").as_deref(), Some(span.traceparent.as_str()));
        assert_eq!(metadata.get("key").as_deref(), Some("k"));
        assert_eq!(metadata.len(), 2);
    }

    #[test]
    fn the_binary_form_holds_trace_span_and_flags() {
        let span = Span { traceparent: PARENT.to_owned(), tracestate: None };
        let binary = span.binary();
        assert_eq!(binary[..4], [0, 0, 0x4b, 0xf9]);
        assert_eq!(binary[17..21], [0x36, 1, 0x00, 0xf0]);
        assert_eq!(binary[26..], [0xb7, 2, 1]);
    }

    #[test]
    fn baggage_is_checked_and_kept_as_it_is() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(BAGGAGE, value.parse().unwrap());
            }
            baggage(&headers)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["key1=value1,key2=value2"]), Ok(Some("key1=value1,key2=value2".to_owned())));
        assert_eq!(of(&["a=1;p;q=2", " b = 2"]), Ok(Some("a=1;p;q=2, b = 2".to_owned())));
        for bad in ["x", "=1", "a=1,", "a b=1", "a=\"1\""] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }
}
