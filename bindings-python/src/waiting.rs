//! Waiting outside the interpreter, and being interrupted by Ctrl-C while at it.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Signals are looked for this often at most: each look needs the interpreter.
const INTERVAL: Duration = Duration::from_millis(45);

/// Looks for signals now and then on behalf of a waiting call, and keeps what a signal handler raised.
#[derive(Default)]
pub(crate) struct Interrupts {
    looked: Option<Instant>,
    raised: Option<PyErr>,
}

impl Interrupts {
    /// Whether the call should end.
    pub(crate) fn look(&mut self) -> bool {
        let now = Instant::now();
        match self.looked {
            None => {
                self.looked = Some(now);
                return false;
            }
            Some(looked) if now.duration_since(looked) < INTERVAL => return false,
            Some(_) => self.looked = Some(now),
        }
        #[allow(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone has too narrow a lifetime"
        )]
        let signals = Python::try_attach(|py| py.check_signals());
        match signals {
            Some(Ok(())) => false,
            Some(Err(error)) => {
                self.raised = Some(error);
                true
            }
            // The interpreter ends; nobody waits for an answer.
            None => true,
        }
    }

    /// Raises what a signal handler raised.
    pub(crate) fn check(&mut self) -> PyResult<()> {
        self.raised.take().map_or(Ok(()), Err)
    }
}
