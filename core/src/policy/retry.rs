//! Which failures are repeated, and after which pause.

use std::time::Duration;

use super::Backoff;
use crate::error::{Error, ErrorCode, Status};

/// A retry policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retry {
    /// The pauses, and how many there are at most.
    pub(crate) backoff: Backoff,
    /// Which of the backend's answers are repeated.
    pub(crate) matching: Matching,
    /// Also repeat where the first call may have taken effect. Our own addition to Dapr's format.
    pub(crate) repeat_unknown: bool,
}

impl Retry {
    /// What `policy: constant` means: always the same pause.
    pub(crate) const fn constant(pause: Duration, retries: Option<u32>) -> Self {
        let backoff = Backoff { retries, ..Backoff::constant(pause) };
        Self { backoff, matching: Matching::ALL, repeat_unknown: false }
    }

    /// What `policy: exponential` means: half a second, half as long again each time, half of it by chance.
    pub(crate) const fn exponential(maximum: Duration, retries: Option<u32>) -> Self {
        let initial = Duration::from_millis(500);
        let backoff = Backoff { initial, multiplier: 1.5, maximum, randomization: 0.5, retries };
        Self { backoff, matching: Matching::ALL, repeat_unknown: false }
    }

    /// What the policy says, for people.
    pub(crate) fn told(&self) -> String {
        let unknown = if self.repeat_unknown { ", also where the outcome is unknown" } else { "" };
        format!("{}{unknown}", self.backoff.told())
    }

    /// Whether the call that ended with this error is worth another try. `is_repeatable` says that doing the
    /// operation twice does no harm.
    pub(super) fn covers(&self, error: &Error, is_repeatable: bool) -> bool {
        let unknown_allowed = is_repeatable || self.repeat_unknown;
        let worth_it = match (error.code(), error.retriable()) {
            // Nobody waits any more, nobody is there any more, or the breaker has just said no.
            (ErrorCode::Cancelled | ErrorCode::Closed | ErrorCode::CircuitOpen, _) => false,
            (ErrorCode::OutcomeUnknown, _) | (_, None) => unknown_allowed,
            (_, Some(retriable)) => retriable,
        };
        worth_it && self.matching.covers(error.backend_status())
    }
}

/// Which of the backend's answers are repeated: `matching`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matching {
    pub(crate) http: Codes,
    pub(crate) grpc: Codes,
}

impl Matching {
    /// All answers.
    pub(crate) const ALL: Self = Self { http: Codes(None), grpc: Codes(None) };

    /// Errors without a status, such as those of the connection, are not restricted.
    pub(crate) fn covers(&self, status: Option<Status>) -> bool {
        match status {
            None => true,
            Some(Status::Http(code)) => self.http.covers(code),
            Some(Status::Grpc(code)) => self.grpc.covers(code.into()),
        }
    }
}

/// A list of codes and of ranges with both ends; `None` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codes(Option<Vec<(u16, u16)>>);

impl Codes {
    /// Reads `429,500-599`, without blanks; an empty text is all codes. The error says what was expected.
    pub(crate) fn parse(text: &str, minimum: u16, maximum: u16) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let code = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code| digits && (minimum..=maximum).contains(code))
        };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((code(first)?, code(last)?)).filter(|(first, last)| first <= last)
        };
        text.split(',').map(range).collect::<Option<_>>().map(|ranges| Self(Some(ranges))).ok_or_else(|| {
            format!(
                "expected codes and ranges from {minimum} to {maximum}, with commas and without blanks, got {text:?}"
            )
        })
    }

    fn covers(&self, code: u16) -> bool {
        self.0
            .as_ref()
            .is_none_or(|ranges| ranges.iter().any(|(first, last)| (*first..=*last).contains(&code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry::constant(Duration::ZERO, None)
    }

    #[test]
    fn codes_are_single_or_ranges_with_both_ends() {
        let codes = Codes::parse("429,500-502", 100, 599).expect("codes");
        let covered: Vec<u16> = (100..=599).filter(|code| codes.covers(*code)).collect();
        assert_eq!(covered, [429, 500, 501, 502]);
        assert!(Codes::parse("", 100, 599).expect("all").covers(100));
        assert!(Codes::parse("0-16", 0, 16).expect("codes").covers(16));
        let codes = Codes::parse("200,201,202,203,204,300-309,400,500,505-509", 100, 599).expect("codes");
        assert!([200, 204, 300, 400, 500, 509].into_iter().all(|code| codes.covers(code)));
        assert!([310, 205, 504].into_iter().all(|code| !codes.covers(code)));
    }

    #[test]
    fn bad_codes_are_refused() {
        for text in [
            "99",
            "600",
            "500-",
            "-",
            ",",
            "500,",
            "429, 500",
            "502-500",
            "+429",
            "4xx",
            "500-501-502",
            "399-299",
            "1,2",
        ] {
            assert!(Codes::parse(text, 100, 599).is_err(), "{text}");
        }
        assert!(Codes::parse("17", 0, 16).is_err());
    }

    #[test]
    fn what_may_be_repeated_is_what_the_error_says() {
        for code in ErrorCode::ALL {
            let expected = matches!(code, ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::QueueFull);
            assert_eq!(retry().covers(&Error::new(*code, "x"), false), expected, "{code}");
        }
        let busy = Error::new(ErrorCode::Backend, "busy").retry(crate::error::Retry::Yes);
        assert!(retry().covers(&busy, false));
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_that_does_no_harm_or_is_asked_for() {
        let unknown = Error::new(ErrorCode::OutcomeUnknown, "x");
        let foreign = Error::new(ErrorCode::Backend, "x").retry(crate::error::Retry::Unknown);
        for error in [unknown, foreign] {
            assert!(!retry().covers(&error, false));
            assert!(retry().covers(&error, true));
            assert!(Retry { repeat_unknown: true, ..retry() }.covers(&error, false));
        }
        let refused = Error::new(ErrorCode::PermissionDenied, "x");
        assert!(!Retry { repeat_unknown: true, ..retry() }.covers(&refused, true));
    }

    #[test]
    fn matching_restricts_answers_and_not_connections() {
        let http = Codes::parse("500-599", 100, 599).expect("codes");
        let retry = Retry { matching: Matching { http, ..Matching::ALL }, ..retry() };
        let answer =
            |status| Error::new(ErrorCode::Backend, "x").retry(crate::error::Retry::Yes).status(status);
        assert!(retry.covers(&answer(Status::Http(503)), true));
        assert!(!retry.covers(&answer(Status::Http(429)), true));
        assert!(retry.covers(&answer(Status::Grpc(14)), true));
        assert!(retry.covers(&Error::new(ErrorCode::Unavailable, "x"), true));
    }
}
