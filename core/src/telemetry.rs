//! `tracing` spans, and W3C trace context: out of events, into records.
//!
//! Nothing here carries data: spans name the binding, the operation and the trace, never a body or other metadata.

use tracing::Span;
use tracing::field::{Empty, display};

use crate::metadata::Metadata;

/// The span of one invocation; `traceparent` is filled in where the request carries one.
pub(crate) fn invocation(binding: &str, operation: &str, metadata: Option<&Metadata>) -> Span {
    let span = tracing::info_span!(target: "bindwright", "invoke", binding, operation, traceparent = Empty);
    record_trace(&span, metadata);
    span
}

/// The span in which a handler runs.
pub(crate) fn handling(binding: &str, attempt: u32, metadata: &Metadata) -> Span {
    let span = tracing::info_span!(target: "bindwright", "event", binding, attempt, traceparent = Empty);
    record_trace(&span, Some(metadata));
    span
}

fn record_trace(span: &Span, metadata: Option<&Metadata>) {
    // Looked up only when somebody listens: most programs have no subscriber.
    if !span.is_disabled()
        && let Some(traceparent) = metadata.and_then(|metadata| metadata.get(TRACEPARENT))
    {
        span.record("traceparent", display(traceparent));
    }
}

/// The metadata name that carries the trace, as in the W3C recommendation.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The metadata name of the vendors' part of the trace.
pub(crate) const TRACESTATE: &str = "tracestate";
/// The metadata name of what travels beside the trace, as in the W3C recommendation.
pub(crate) const BAGGAGE: &str = "baggage";
/// What stands in an event's and a request's metadata, and travels as headers beside them.
pub(crate) const CONTEXT: [&str; 3] = [TRACEPARENT, TRACESTATE, BAGGAGE];

/// A valid `traceparent` with the `tracestate` beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// Reads `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`; anything else, also ids of zeros, is no context.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may append fields; version 00 has exactly four, and ff is forbidden.
        let known = version != "ff" && (version != "00" || parts.next().is_none());
        let hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let non_zero = |text: &str| text.bytes().any(|byte| byte != b'0');
        let valid = known
            && hex(version, 2)
            && hex(trace, 32)
            && non_zero(trace)
            && hex(span, 16)
            && non_zero(span)
            && hex(flags, 2);
        valid.then(|| Self { traceparent: traceparent.to_owned(), tracestate: tracestate.map(str::to_owned) })
    }

    /// Whether metadata carries a context, valid or not.
    pub(crate) fn is_in(metadata: &Metadata) -> bool {
        metadata.value(TRACEPARENT).is_some()
    }

    /// The context that metadata carries.
    pub fn from_metadata(metadata: &Metadata) -> Option<Self> {
        let traceparent = metadata.get(TRACEPARENT)?;
        Self::parse(&traceparent, metadata.get(TRACESTATE).as_deref())
    }

    /// Adds the context to metadata that has none of its own.
    pub fn add_to(&self, metadata: &mut Metadata) {
        if metadata.value(TRACEPARENT).is_none() {
            metadata.add(TRACEPARENT, self.traceparent.clone());
            if let Some(state) = &self.tracestate {
                metadata.add(TRACESTATE, state.clone());
            }
        }
    }

    /// The `traceparent` text.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The `tracestate` text.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_context_survives_the_way_through_metadata() {
        let context = TraceContext::parse(VALID, Some("vendor=1")).expect("valid");
        let mut metadata = Metadata::new();
        context.add_to(&mut metadata);
        assert_eq!(TraceContext::from_metadata(&metadata), Some(context));
    }

    #[test]
    fn what_the_recommendation_forbids_is_no_context() {
        for text in [
            "",
            "garbage",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(text, None), None, "{text}");
        }
    }

    #[test]
    fn the_callers_own_traceparent_is_left_alone() {
        let mut metadata: Metadata = [(TRACEPARENT, "mine")].into_iter().collect();
        TraceContext::parse(VALID, None).expect("valid").add_to(&mut metadata);
        assert_eq!(metadata.len(), 1);
    }
}
