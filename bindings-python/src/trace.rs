//! The trace that the calling thread's handler is in. Tests: `tests/test_trace.py`.

use std::cell::RefCell;

use bindwright::{Metadata, TraceContext};

thread_local! {
    static CURRENT: RefCell<Option<TraceContext>> = const { RefCell::new(None) };
}

/// The calling thread handles an event of this trace until the value is dropped.
pub(crate) struct Entered(Option<TraceContext>);

impl Entered {
    pub(crate) fn new(trace: Option<TraceContext>) -> Self {
        Self(CURRENT.replace(trace))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Adds the trace of the thread's handler to the metadata of a call that has none of its own.
pub(crate) fn add_to(metadata: &mut Metadata) {
    CURRENT.with_borrow(|current| {
        if let Some(trace) = current {
            trace.add_to(metadata);
        }
    });
}
