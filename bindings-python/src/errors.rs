//! From core's errors, and from panics, to the exception classes of `bindwright.errors`.
//!
//! Tests: `tests/test_errors.py`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bindwright::{Error, ErrorCode};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The classes in the order of [`ErrorCode::ALL`].
static CLASSES: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();

/// The exception that tells what the error tells; not raised.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let classes = CLASSES.get_or_try_init(py, || {
        let by_code = py.import("bindwright.errors")?.getattr("BY_CODE")?;
        ErrorCode::ALL
            .iter()
            .map(|code| Ok(by_code.get_item(code.as_str())?.unbind()))
            .collect::<PyResult<_>>()
    })?;
    let parts = PyDict::new(py);
    parts.set_item("message", error.message())?;
    parts.set_item("component", error.component_name())?;
    parts.set_item("operation", error.operation_name())?;
    parts.set_item("retriable", error.retriable())?;
    parts.set_item("backend", error.backend_text())?;
    parts.set_item("what_to_do", error.what_to_do())?;
    parts.set_item("place", error.place_in_file().map(ToString::to_string))?;
    classes[error.code() as usize].bind(py).call((error.to_string(),), Some(&parts))
}

/// The exception of an error, to be raised.
pub(crate) fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failure| failure, PyErr::from_value)
}

/// Runs an entry point; a panic becomes `INTERNAL` instead of an exception that no `except Exception` catches.
pub(crate) fn guarded<T>(py: Python<'_>, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no text".to_owned());
        Err(to_py(py, &Error::new(ErrorCode::Internal, format!("the native part panicked: {text}"))))
    })
}

/// Why an argument was not taken.
pub(crate) enum Fault {
    /// It cannot be sent; the exception that said so becomes the cause.
    Refused(Error, Option<PyErr>),
    /// Something unrelated was raised on the way, such as `KeyboardInterrupt`.
    Raised(PyErr),
}

impl Fault {
    /// The argument cannot be sent.
    pub(crate) fn refused(message: String) -> Self {
        Self::Refused(Error::new(ErrorCode::InvalidRequest, message), None)
    }

    /// The exception for an argument that is not about one call.
    pub(crate) fn into_option_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Raised(error) => error,
            Self::Refused(error, _) => {
                to_py(py, &Error::new(ErrorCode::InvalidOptions, error.message().to_owned()))
            }
        }
    }

    /// The exception, naming the call.
    pub(crate) fn into_exception(self, py: Python<'_>, name: &str, operation: &str) -> PyErr {
        match self {
            Self::Raised(error) => error,
            Self::Refused(error, cause) => {
                let raised = to_py(py, &error.component(name).operation(operation));
                raised.set_cause(py, cause);
                raised
            }
        }
    }
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}
