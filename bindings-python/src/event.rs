//! The class `bindwright.Event`. Tests: `tests/test_handlers.py`, `tests/test_events.py`.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::convert;
use crate::emission::Emission;
use crate::outcome::{cause_of, pause};
use crate::subscription::Shared;

/// One delivery of one message that an input binding received.
///
/// In a handler, what the handler returns settles the event; `ack()`, `retry()`, `drop()`, `dead_letter()` and
/// `emit()` settle it earlier. From `client.events(…)` these methods are the only way. The first settlement counts.
/// An event that is never settled comes again when the program starts again.
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

    pub(crate) fn delivery(&self) -> &bindwright::Event {
        &self.delivery
    }

    /// Whether the program settled it itself.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    fn settle(&self, py: Python<'_>, outcome: bindwright::Outcome) -> PyResult<bool> {
        let counted = !self.settled.swap(true, Ordering::AcqRel)
            && self.origin.subscription.settle(&[(self.delivery.token(), outcome)]) > 0;
        if !counted {
            // Core settles nothing in a forked child; only then is it worth asking why.
            self.origin.check_process(py)?;
        }
        Ok(counted)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.pulled && !self.is_settled() && !self.origin.is_inherited() {
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

    /// The data as `bytes`; `None` for a message without a value, such as a tombstone on Kafka. A copy is made when it
    /// is first asked for: `memoryview(event)` reads large data without one.
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
    ///
    /// Raises:
    ///     ForkedError: The event belongs to the parent process.
    fn ack(&self, py: Python<'_>) -> PyResult<bool> {
        self.settle(py, bindwright::Outcome::Ack)
    }

    /// Settle it as not handled: it comes again, in its place, and before everything after it.
    ///
    /// `after` is the pause in seconds or a `timedelta`; without one the component's back-off decides. After
    /// `maxDeliveryCount` deliveries it becomes a dead letter instead, or holds its place where the component has no
    /// `deadLetterBinding`. Returns whether this delivery still counted.
    ///
    /// Raises:
    ///     InvalidRequestError: `after` is no pause.
    ///     ForkedError: The event belongs to the parent process.
    #[pyo3(signature = (after=None))]
    fn retry(&self, py: Python<'_>, after: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let after = pause(py, after, self.delivery.binding())?;
        self.settle(py, bindwright::Outcome::Retry { after, cause: None })
    }

    /// Settle it as given up on purpose: it does not come again. Returns whether this delivery still counted.
    ///
    /// Raises:
    ///     ForkedError: The event belongs to the parent process.
    fn drop(&self, py: Python<'_>) -> PyResult<bool> {
        self.settle(py, bindwright::Outcome::Drop)
    }

    /// Settle it as given up on purpose and sent to the component's `deadLetterBinding`; see `Outcome.dead_letter`.
    ///
    /// Does not wait: the event is settled when that binding confirmed the dead letter. Returns whether this
    /// delivery still counted.
    ///
    /// Raises:
    ///     InvalidRequestError: `cause` is neither an exception nor a text.
    ///     ForkedError: The event belongs to the parent process.
    #[pyo3(signature = (cause=None))]
    fn dead_letter(&self, py: Python<'_>, cause: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let cause = cause_of(py, cause, self.delivery.binding())?;
        self.settle(py, bindwright::Outcome::DeadLetter { cause })
    }

    /// Settle it as handled once these invocations (`Emission`) were confirmed; see `Outcome.emit`.
    ///
    /// Does not wait. Where one fails, this delivery failed: the event comes again. Returns whether this delivery
    /// still counted.
    ///
    /// Raises:
    ///     InvalidRequestError: One of them is no `Emission`.
    ///     ForkedError: The event belongs to the parent process.
    #[pyo3(signature = (*emissions))]
    fn emit(&self, py: Python<'_>, emissions: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let emissions = Emission::all(emissions)?;
        self.settle(py, bindwright::Outcome::Emit(emissions))
    }

    /// # Safety
    /// Python calls it with a view to fill.
    unsafe fn __getbuffer__(this: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: a frozen object keeps its body for as long as it lives.
        unsafe { convert::view(this, this.get().delivery.body(), view, flags) }
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
