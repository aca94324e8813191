//! The iterator behind `client.events(…)`. Tests: `tests/test_events.py`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use crate::convert;
use crate::errors::{guarded, to_py};
use crate::event::Event;
use crate::subscription::Shared;
use crate::waiting::Interrupts;

/// Events pulled at once; little, as they stay with this iterator until it is closed.
pub(crate) const PREFETCH: usize = 64;

/// The events of one binding, to be settled by the program.
///
/// Iterating waits for the next event, and ends when the client or this iterator is closed. It can be shared
/// between threads: each event goes to one of them. In a child of a fork it raises `ForkedError`.
#[pyclass(frozen, module = "bindwright")]
pub(crate) struct Events(pub(crate) Arc<Shared>);

impl Events {
    fn next(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        let shared = &self.0;
        shared.check_process(py)?;
        loop {
            if let Some(event) = shared.next_prefetched() {
                return Ok(Some(event));
            }
            if shared.is_stopping() {
                return Ok(None);
            }
            let mut interrupts = Interrupts::default();
            let batch = py.detach(|| {
                let pull = shared.subscription.next_batch(PREFETCH, None);
                // Another thread may have taken events that this one could have.
                let look =
                    || shared.is_stopping() || !shared.prefetched.lock().is_empty() || interrupts.look();
                shared.client.block_on(pull, look)
            });
            let ended = matches!(batch, Some(None));
            shared.prefetched.lock().extend(batch.flatten().into_iter().flatten());
            if shared.is_stopping() {
                shared.begin_stopping();
            }
            interrupts.check()?;
            if ended {
                return Ok(None);
            }
        }
    }

    fn end(&self, drain: Duration) -> bindwright::Result<()> {
        if self.0.is_inherited() {
            return Ok(());
        }
        self.0.begin_stopping();
        self.0.client.block_on(self.0.subscription.close(drain), || false).unwrap_or(Ok(()))
    }
}

#[pymethods]
impl Events {
    /// Stop receiving: give back what was not iterated over, wait up to `drain` seconds until events that the
    /// program still has are settled, and leave. What is not settled comes again. Closing twice is fine. In a child
    /// of a fork it does nothing.
    #[pyo3(signature = (drain=None))]
    fn close(&self, py: Python<'_>, drain: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        guarded(py, || {
            let drain = drain.map_or(Ok(None), |drain| convert::duration("drain", &drain));
            let drain =
                drain.map_err(|fault| fault.into_exception(py, self.0.subscription.binding(), "close"))?;
            py.detach(|| self.end(drain.unwrap_or_default())).map_err(|error| to_py(py, &error))
        })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        guarded(py, || self.next(py))
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py, None)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.0.is_stopping() && !self.0.is_inherited() {
            // Leaving a group takes a round trip; whoever collects garbage should not wait for it.
            let events = Self(self.0.clone());
            events.0.begin_stopping();
            let _ = std::thread::Builder::new()
                .name("bindwright-leave".to_owned())
                .spawn(move || events.end(Duration::ZERO));
        }
    }
}
