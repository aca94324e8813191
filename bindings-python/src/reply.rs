//! The class `bindwright.Reply`.

use std::ffi::c_int;

use bindwright::{Body, Metadata};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::convert;

/// What a binding answered to one invocation.
#[pyclass(frozen, module = "bindwright")]
pub(crate) struct Reply {
    body: Body,
    metadata: Metadata,
    /// Made when they are first asked for: most programs never look.
    data: PyOnceLock<Py<PyAny>>,
    dict: PyOnceLock<Py<PyDict>>,
}

impl From<bindwright::Reply> for Reply {
    fn from(reply: bindwright::Reply) -> Self {
        Self { body: reply.body, metadata: reply.metadata, data: PyOnceLock::new(), dict: PyOnceLock::new() }
    }
}

#[pymethods]
impl Reply {
    /// The data as `bytes`; `None` where the operation answers without data. A copy is made when it is first asked
    /// for: `memoryview(reply)` reads large data without one.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyAny> {
        self.data.get_or_init(py, || convert::data(py, &self.body)).clone_ref(py)
    }

    /// Names and values (`dict[str, str]`) from the component, for example the offset of a record.
    #[getter]
    fn metadata(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let dict = self.dict.get_or_try_init(py, || convert::dict(py, &self.metadata).map(Bound::unbind))?;
        Ok(dict.clone_ref(py))
    }

    /// The data as text; "" where there is none.
    ///
    /// Raises:
    ///     UnicodeDecodeError: The data is not UTF-8.
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        convert::text(py, &self.body)
    }

    /// The value that the data describes in JSON; `None` where there is no data.
    ///
    /// Raises:
    ///     ValueError: The data is not JSON (`json.JSONDecodeError`) or not UTF-8.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::value(py, &self.body)
    }

    /// # Safety
    /// Python calls it with a view to fill.
    unsafe fn __getbuffer__(this: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: a frozen object keeps its body for as long as it lives.
        unsafe { convert::view(this, &this.get().body, view, flags) }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let metadata = self.metadata(py)?;
        Ok(match self.body.as_bytes() {
            None => format!("Reply(data=None, metadata={})", metadata.bind(py).repr()?),
            Some(bytes) => {
                format!("Reply(data=<{} bytes>, metadata={})", bytes.len(), metadata.bind(py).repr()?)
            }
        })
    }
}
