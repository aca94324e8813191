//! From Python's values to core's, and back. Tests: `tests/test_invoke.py`.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use bindwright::{Body, Metadata, Request};
use bytes::Bytes;
use pyo3::exceptions::{PyBufferError, PyRecursionError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyMapping, PyString, PyTuple};

use crate::errors::Fault;

/// Below this many bytes a copy is cheaper than keeping Python's object alive.
const SMALL: usize = 2048;

static JSON_ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static JSON_LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A request of bytes verbatim and shared, text as UTF-8, `None` as no data at all, anything else as compact JSON.
pub(crate) fn content(data: &Bound<'_, PyAny>) -> Result<Request, Fault> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Request::new(share_bytes(bytes)));
    }
    if let Ok(text) = data.cast::<PyString>() {
        return share_text(text).map(Request::new).map_err(|error| refuse(data, "UTF-8", error));
    }
    if data.is_none() {
        return Ok(Request::new(Body::None));
    }
    if has_buffer(data) {
        let copy = copy_buffer(data).map_err(|error| refuse(data, "bytes", error))?;
        return Ok(Request::new(share_bytes(&copy)));
    }
    json(data).map(Request::json).map_err(|error| refuse(data, "JSON", error))
}

/// The data alone, where nobody asks what it was.
pub(crate) fn body(data: &Bound<'_, PyAny>) -> Result<Body, Fault> {
    content(data).map(|request| request.body)
}

/// Python's `bytes` never change, so they are sent from where they are.
fn share_bytes(bytes: &Bound<'_, PyBytes>) -> Bytes {
    let slice = bytes.as_bytes();
    if slice.len() < SMALL {
        Bytes::copy_from_slice(slice)
    } else {
        Bytes::from_owner(PyBackedBytes::from(bytes.clone()))
    }
}

fn share_text(text: &Bound<'_, PyString>) -> PyResult<Bytes> {
    let slice = text.to_str()?;
    if slice.len() < SMALL {
        Ok(Bytes::copy_from_slice(slice.as_bytes()))
    } else {
        Ok(Bytes::from_owner(PyBackedStr::try_from(text.clone())?))
    }
}

fn has_buffer(data: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `data` is a live object and we are attached to the interpreter.
    unsafe { ffi::PyObject_CheckBuffer(data.as_ptr()) != 0 }
}

/// What `bytes(data)` gives for an object with the buffer protocol: a copy, as its owner may change it.
fn copy_buffer<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: `data` is a live object and we are attached; the call returns a new `bytes` or raises.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(data.py(), ffi::PyBytes_FromObject(data.as_ptr()))? };
    Ok(bytes.cast_into::<PyBytes>()?)
}

fn json(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let py = data.py();
    // One encoder for all: `json.dumps` makes one for each call that asks for compact text.
    let encode = JSON_ENCODE.get_or_try_init(py, || {
        let options = PyDict::new(py);
        options.set_item("separators", (",", ":"))?;
        options.set_item("ensure_ascii", false)?;
        options.set_item("allow_nan", false)?;
        let encoder = py.import("json")?.getattr("JSONEncoder")?.call((), Some(&options))?;
        Ok::<_, PyErr>(encoder.getattr("encode")?.unbind())
    })?;
    let text = encode.bind(py).call1((data,))?;
    share_text(text.cast::<PyString>()?)
}

fn refuse(data: &Bound<'_, PyAny>, form: &str, cause: PyErr) -> Fault {
    let py = data.py();
    let expected = cause.is_instance_of::<PyTypeError>(py)
        || cause.is_instance_of::<PyValueError>(py)
        || cause.is_instance_of::<PyRecursionError>(py);
    if !expected {
        return Fault::Raised(cause);
    }
    let text =
        format!("data: a value of type {} cannot be sent as {form}: {}", type_name(data), cause.value(py));
    match Fault::refused(text) {
        Fault::Refused(error, _) => Fault::Refused(error, Some(cause)),
        raised @ Fault::Raised(_) => raised,
    }
}

/// The name of a value's type, for error texts.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().qualname().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// `None`, or a mapping of `str` to `str`.
pub(crate) fn metadata(value: &Bound<'_, PyAny>) -> Result<Metadata, Fault> {
    if value.is_none() {
        return Ok(Metadata::new());
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let mut metadata = Metadata::with_capacity(dict.len());
        for (name, value) in dict.iter() {
            add(&mut metadata, &name, &value)?;
        }
        return Ok(metadata);
    }
    let Ok(mapping) = value.cast::<PyMapping>() else {
        return Err(Fault::refused(format!(
            "metadata: expected a mapping of str to str, got {}",
            type_name(value)
        )));
    };
    let mut metadata = Metadata::new();
    for item in mapping.items()?.iter() {
        let item = item.cast::<PyTuple>().map_err(PyErr::from)?;
        add(&mut metadata, &item.get_item(0)?, &item.get_item(1)?)?;
    }
    Ok(metadata)
}

fn add(metadata: &mut Metadata, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
    let Ok(name_text) = name.cast::<PyString>() else {
        return Err(Fault::refused(format!("metadata: names are str, got {}", type_name(name))));
    };
    let unsendable = |cause| refuse(name, "UTF-8", cause);
    let name_text = name_text.to_str().map_err(unsendable)?;
    let Ok(text) = value.cast::<PyString>() else {
        return Err(Fault::refused(format!("metadata: {name_text}: expected str, got {}", type_name(value))));
    };
    metadata.add(name_text.to_owned(), text.to_str().map_err(unsendable)?.to_owned());
    Ok(())
}

/// Metadata as a `dict`; where a name stands twice, the last one counts.
pub(crate) fn dict<'py>(py: Python<'py>, metadata: &Metadata) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in metadata.iter() {
        dict.set_item(name, value.text())?;
    }
    Ok(dict)
}

/// Seconds as a number, a `timedelta`, or `None`. Endless is fine, negative is not.
pub(crate) fn duration(what: &str, value: &Bound<'_, PyAny>) -> Result<Option<Duration>, Fault> {
    if value.is_none() {
        return Ok(None);
    }
    let seconds = if let Ok(seconds) = value.extract::<f64>() {
        seconds
    } else if let Ok(total) = value.call_method0(intern!(value.py(), "total_seconds")) {
        total.extract::<f64>()?
    } else {
        return Err(Fault::refused(format!(
            "{what}: expected seconds or a timedelta, got {}",
            type_name(value)
        )));
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Fault::refused(format!("{what}: expected at least 0 seconds, got {seconds}")));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// A time span as seconds.
///
/// Raises:
///     InvalidOptionsError: It is none, or negative.
#[pyfunction]
#[pyo3(signature = (name, value, /))]
pub(crate) fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    Ok(option(name, value)?.unwrap_or_default().as_secs_f64())
}

/// A time span that is not about one call.
pub(crate) fn option(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    duration(name, value).map_err(|fault| fault.into_option_error(value.py()))
}

/// The data as `bytes`, or `None` where there is none.
pub(crate) fn data(py: Python<'_>, body: &Body) -> Py<PyAny> {
    body.as_bytes().map_or_else(|| py.None(), |bytes| PyBytes::new(py, bytes).into_any().unbind())
}

/// A number of an option, `None` where it is left out; `expected` says what fits.
pub(crate) fn number<'py, N: for<'a> FromPyObject<'a, 'py>>(
    name: &str,
    expected: &str,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<N>> {
    if value.is_none() {
        return Ok(None);
    }
    let unfit = || {
        let fault = Fault::refused(format!("{name}: expected {expected}, got {value}"));
        fault.into_option_error(value.py())
    };
    if value.is_instance_of::<PyBool>() || !value.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!("{name}: expected an int, got {}", type_name(value))));
    }
    value.extract().map(Some).map_err(|_| unfit())
}

/// The data for `memoryview(owner)`, which reads it where it is and keeps the owner alive.
///
/// # Safety
/// `view` is to be filled, as Python asks with `flags`, and `owner` keeps `body` for as long as it lives.
pub(crate) unsafe fn view<T>(
    owner: &Bound<'_, T>,
    body: &Body,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    let Some(bytes) = body.as_bytes() else {
        return Err(PyBufferError::new_err("there is no data"));
    };
    let (start, length) = (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len().cast_signed());
    // SAFETY: the bytes do not change and live as long as `owner`, to which the view gets a reference.
    let filled = unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start, length, 1, flags) };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}

/// The data as text.
pub(crate) fn text<'py>(py: Python<'py>, body: &Body) -> PyResult<Bound<'py, PyString>> {
    PyString::from_encoded_object(
        &PyBytes::new(py, body.as_bytes().map_or(&[], |bytes| bytes)),
        Some(c"utf-8"),
        None,
    )
}

/// The data as the value that its JSON describes; `None` where there is no data.
pub(crate) fn value<'py>(py: Python<'py>, body: &Body) -> PyResult<Bound<'py, PyAny>> {
    if body.is_none() {
        return Ok(py.None().into_bound(py));
    }
    let loads =
        JSON_LOADS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("json")?.getattr("loads")?.unbind()))?;
    loads.bind(py).call1((text(py, body)?,))
}
