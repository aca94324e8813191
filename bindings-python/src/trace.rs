//! The trace that calls go along with. Tests: `tests/test_trace.py`.
//!
//! In a handler it is the event's. For handlers in threads of ours a thread-local says so, because that is cheap enough
//! for every event. Before it counts a `contextvars.ContextVar`, of which every task has its own value: a tuple of
//! `traceparent` and `tracestate` (or `None`), as `python/bindwright/_tracing.py` sets it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use bindwright::{Metadata, TraceContext};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

thread_local! {
    static HANDLED: RefCell<Option<TraceContext>> = const { RefCell::new(None) };
}

/// The variable, and its methods, bound once: reading stands in the way of every call.
struct Variable {
    itself: Py<PyAny>,
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
}

static CURRENT: PyOnceLock<Variable> = PyOnceLock::new();

/// Whether the variable was ever set: programs without tasks and spans need not look at it at every call.
static USED: AtomicBool = AtomicBool::new(false);

fn current(py: Python<'_>) -> PyResult<&Variable> {
    CURRENT.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item("default", py.None())?;
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        let variable = class.call(("bindwright_trace",), Some(&options))?;
        let method = |name| variable.getattr(name).map(Bound::unbind);
        Ok(Variable {
            get: method("get")?,
            set: method("set")?,
            reset: method("reset")?,
            itself: variable.clone().unbind(),
        })
    })
}

/// The variable itself, for the Python part.
pub(crate) fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    Ok(current(py)?.itself.bind(py))
}

/// The calling thread handles an event of this trace until the value is dropped.
pub(crate) struct Entered(Option<TraceContext>);

impl Entered {
    pub(crate) fn new(trace: Option<TraceContext>) -> Self {
        Self(HANDLED.replace(trace))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        HANDLED.set(self.0.take());
    }
}

/// Let the calls of this thread or task go along with a trace; returns what `reset_trace` takes.
#[pyfunction]
#[pyo3(signature = (traceparent, tracestate, /))]
pub(crate) fn set_trace<'py>(
    py: Python<'py>,
    traceparent: &str,
    tracestate: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    // Whoever finds the value in a context got that context from here, and so this, too.
    USED.store(true, Ordering::Release);
    current(py)?.set.bind(py).call1(((traceparent, tracestate),))
}

/// Undo `set_trace`.
///
/// Raises:
///     ValueError: It was called in another context.
#[pyfunction]
#[pyo3(signature = (token, /))]
pub(crate) fn reset_trace(py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<()> {
    current(py)?.reset.bind(py).call1((token,)).map(drop)
}

/// Adds the current trace to the metadata of a call that has none of its own.
pub(crate) fn add_to(py: Python<'_>, metadata: &mut Metadata) -> PyResult<()> {
    if USED.load(Ordering::Acquire) {
        let value = current(py)?.get.bind(py).call0()?;
        if !value.is_none() {
            let (traceparent, tracestate) = value.cast::<PyTuple>()?.extract::<(String, Option<String>)>()?;
            if let Some(trace) = TraceContext::parse(&traceparent, tracestate.as_deref()) {
                trace.add_to(metadata);
            }
            return Ok(());
        }
    }
    HANDLED.with_borrow(|handled| {
        if let Some(trace) = handled {
            trace.add_to(metadata);
        }
    });
    Ok(())
}
