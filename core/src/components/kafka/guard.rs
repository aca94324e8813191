//! What must not leave the client library's callbacks and threads: a panic, most likely of the user's `tracing`
//! subscriber.
//!
//! A panic that unwinds into C ends the process, and one in the middle of delivery reports would leave callers and
//! partitions waiting for ever. Tests: below, in `tests.rs`, and in `core/tests/kafka/crashes.rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorCode};

/// Logs as `bindwright::kafka`. A subscriber that panics loses the line and nothing else.
macro_rules! log {
    ($level:ident, $($what:tt)+) => {
        $crate::components::kafka::guard::quietly(
            || tracing::$level!(target: "bindwright::kafka", $($what)+)
        )
    };
}
pub(super) use log;

/// Runs what may panic and is not worth an error.
pub(super) fn quietly(body: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(body));
}

/// Runs something of ours that must not unwind into its caller. A panic becomes an error, which is also logged.
pub(super) fn caught<T>(what: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let error = Error::new(ErrorCode::Internal, format!("{what} panicked: {}", text(&*panic)));
        log!(error, "{error}");
        error
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

#[cfg(test)]
mod tests {
    use super::caught;
    use crate::error::ErrorCode;

    #[test]
    fn a_panic_becomes_an_error_with_its_text() {
        let error = caught("a callback", || panic!("number {}", 7)).expect_err("it panicked");
        assert_eq!(error.code(), ErrorCode::Internal);
        assert!(error.to_string().contains("a callback panicked: number 7"), "{error}");
        assert_eq!(caught("a callback", || 5).expect("it did not"), 5);
    }
}
