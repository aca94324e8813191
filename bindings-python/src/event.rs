//! The classes `bindwright.Event` and `bindwright.Outcome`. Tests: `tests/test_handlers.py`, `tests/test_events.py`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::convert;
use crate::subscription::Shared;

/// One delivery of one message that an input binding received.
///
/// In a handler, what the handler returns settles the event; `ack()`, `retry()` and `drop()` settle it
/// earlier. From `client.events(…)` the three methods are the only way. The first settlement counts. An event
/// that is never settled comes again when the program starts again.
#[pyclass(frozen, module = "bindwright")]
pub(crate) struct Event {
    delivery: bindwright::Event,
    origin: Arc<Shared>,
    /// Whether somebody must be told when it goes away unsettled.
    pulled: bool,
    settled: AtomicBool,
    data: PyOnceLock<Py<PyAny>>,
    dict: PyOnceLock<Py<PyDict>>,
}

impl Event {
    pub(crate) fn new(delivery: bindwright::Event, origin: Arc<Shared>, pulled: bool) -> Self {
        let (data, dict) = (PyOnceLock::new(), PyOnceLock::new());
        Self { delivery, origin, pulled, settled: AtomicBool::new(false), data, dict }
    }

    fn settle(&self, outcome: bindwright::Outcome) -> bool {
        !self.settled.swap(true, Ordering::AcqRel)
            && self.origin.subscription.settle(&[(self.delivery.token(), outcome)]) > 0
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.pulled && !self.settled.load(Ordering::Acquire) {
            self.origin.abandoned.lock().push(self.delivery.token());
        }
    }
}

#[pymethods]
impl Event {
    /// The name of the component that received it.
    #[getter]
    fn binding(&self) -> &str {
        self.delivery.binding()
    }

    /// The data as `bytes`; `None` for a message without a value, such as a tombstone on Kafka.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyAny> {
        self.data.get_or_init(py, || convert::data(py, self.delivery.body())).clone_ref(py)
    }

    /// Names and values (`dict[str, str]`), as the component's documentation lists them.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let dict = self
            .dict
            .get_or_try_init(py, || convert::dict(py, self.delivery.metadata()).map(Bound::unbind))?;
        Ok(dict.clone_ref(py))
    }

    /// How often it has been delivered in this process, this delivery included: 1 the first time.
    #[getter]
    fn attempt(&self) -> u32 {
        self.delivery.attempt()
    }

    /// The W3C `traceparent` of its sender, when it carries a valid one, else `None`.
    #[getter]
    fn traceparent(&self) -> Option<String> {
        self.delivery.trace_context().map(|trace| trace.traceparent().to_owned())
    }

    /// The W3C `tracestate` beside a valid `traceparent`, else `None`.
    #[getter]
    fn tracestate(&self) -> Option<String> {
        self.delivery.trace_context().and_then(|trace| trace.tracestate().map(str::to_owned))
    }

    /// The data as text; "" where there is none.
    ///
    /// Raises:
    ///     UnicodeDecodeError: The data is not UTF-8.
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        convert::text(py, self.delivery.body())
    }

    /// The value that the data describes in JSON; `None` where there is no data.
    ///
    /// Raises:
    ///     ValueError: The data is not JSON (`json.JSONDecodeError`) or not UTF-8.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::value(py, self.delivery.body())
    }

    /// Settle it as handled: it does not come again.
    ///
    /// Returns whether this delivery still counted: `False` when it was settled before, or was taken back
    /// because an earlier event of its partition failed or the partition went to another consumer.
    fn ack(&self) -> bool {
        self.settle(bindwright::Outcome::Ack)
    }

    /// Settle it as not handled: it comes again, in its place, and before everything after it.
    ///
    /// `after` is the pause in seconds or a `timedelta`; without one the component's back-off decides. Returns
    /// whether this delivery still counted.
    #[pyo3(signature = (after=None))]
    fn retry(&self, py: Python<'_>, after: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let after = after.unwrap_or_else(|| py.None().into_bound(py));
        let after = convert::duration("after", &after)
            .map_err(|fault| fault.into_exception(py, self.delivery.binding(), "retry"))?;
        Ok(self.settle(bindwright::Outcome::Retry { after, cause: None }))
    }

    /// Settle it as given up on purpose: it does not come again. Returns whether this delivery still counted.
    fn drop(&self) -> bool {
        self.settle(bindwright::Outcome::Drop)
    }

    fn __repr__(&self) -> String {
        let size = self
            .delivery
            .body()
            .as_bytes()
            .map_or("no data".to_owned(), |bytes| format!("{} bytes", bytes.len()));
        format!("<Event of {:?}, attempt {}, {size}>", self.delivery.binding(), self.delivery.attempt())
    }
}

/// What a handler may return to settle its event otherwise than by ack.
///
/// `Outcome.ACK` (also what any other value means), `Outcome.retry(after)`, `Outcome.RETRY`, `Outcome.DROP`.
#[pyclass(frozen, eq, module = "bindwright")]
#[derive(PartialEq)]
pub(crate) struct Outcome(pub(crate) bindwright::Outcome);

#[pymethods]
impl Outcome {
    /// Handled: it does not come again.
    #[classattr]
    const ACK: Self = Self(bindwright::Outcome::Ack);
    /// Not handled: it comes again, after the component's own back-off.
    #[classattr]
    const RETRY: Self = Self(bindwright::Outcome::RETRY);
    /// Given up on purpose: it does not come again.
    #[classattr]
    const DROP: Self = Self(bindwright::Outcome::Drop);

    /// Not handled: it comes again after this pause, in seconds or as a `timedelta`; without one the
    /// component's back-off decides.
    #[staticmethod]
    #[pyo3(signature = (after=None))]
    fn retry(py: Python<'_>, after: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let after = after.unwrap_or_else(|| py.None().into_bound(py));
        let after = convert::duration("after", &after)
            .map_err(|fault| fault.into_exception(py, "Outcome", "retry"))?;
        Ok(Self(bindwright::Outcome::Retry { after, cause: None }))
    }

    fn __hash__(&self) -> u64 {
        match &self.0 {
            bindwright::Outcome::Ack => 0,
            bindwright::Outcome::Drop => 1,
            bindwright::Outcome::Retry { after, .. } => {
                after.map_or(2, |after| after.as_secs() ^ u64::from(after.subsec_nanos()))
            }
            _ => u64::MAX,
        }
    }

    fn __repr__(&self) -> String {
        match &self.0 {
            bindwright::Outcome::Ack => "Outcome.ACK".to_owned(),
            bindwright::Outcome::Drop => "Outcome.DROP".to_owned(),
            bindwright::Outcome::Retry { after: Some(after), .. } => {
                format!("Outcome.retry({})", after.as_secs_f64())
            }
            _ => "Outcome.RETRY".to_owned(),
        }
    }
}
