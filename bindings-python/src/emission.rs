//! The class `bindwright.Emission`. Tests: `tests/test_outcomes.py`.

use std::hash::{DefaultHasher, Hash, Hasher};

use bindwright::{Body, Request};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::convert;
use crate::errors::Fault;

/// One invocation that a handler asks for in its outcome: see `Outcome.emit`.
///
/// `binding` is the name of an output binding, `operation` what it is asked to do. `data` is treated as in
/// `Client.invoke_binding`: bytes-like verbatim, text as UTF-8, anything else as compact JSON, `None` as no data at
/// all; left out it is empty. `metadata` are names and values for the component. The event's trace context goes
/// along unless `metadata` has a `traceparent`.
///
/// Raises:
///     InvalidRequestError: `data` or `metadata` cannot be sent.
#[pyclass(frozen, eq, module = "bindwright")]
#[derive(PartialEq, Eq)]
pub(crate) struct Emission(bindwright::Emission);

impl Emission {
    /// What `emit(*emissions)` was given.
    pub(crate) fn all(emissions: &Bound<'_, PyTuple>) -> PyResult<Vec<bindwright::Emission>> {
        let py = emissions.py();
        let one = |emission: Bound<'_, PyAny>| {
            if let Ok(emission) = emission.cast::<Self>() {
                return Ok(emission.get().0.clone());
            }
            let given = convert::type_name(&emission);
            let fault = Fault::refused(format!("emissions: expected an Emission, got {given}"));
            Err(fault.into_exception(py, "Outcome", "emit"))
        };
        emissions.iter().map(one).collect()
    }
}

/// An emission without its data, for a `repr`.
pub(crate) fn describe(emission: &bindwright::Emission) -> String {
    let size = emission
        .request
        .body
        .as_bytes()
        .map_or_else(|| "no data".to_owned(), |bytes| format!("{} bytes", bytes.len()));
    format!("<Emission to {:?}, {}, {size}>", emission.binding, emission.operation)
}

/// Fits the equality of two emissions: what is equal has the same name and operation.
pub(crate) fn hash_into(emission: &bindwright::Emission, hasher: &mut impl Hasher) {
    (&emission.binding, &emission.operation).hash(hasher);
}

/// An argument that may be left out, which is not the same as `None`.
struct Argument<'py>(Option<Bound<'py, PyAny>>);

impl<'py> FromPyObject<'_, 'py> for Argument<'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(value.to_owned())))
    }
}

#[pymethods]
impl Emission {
    #[new]
    #[pyo3(
        signature = (binding, data=Argument(None), operation="create", metadata=None),
        text_signature = "(binding, data=b'', operation='create', metadata=None)"
    )]
    fn new(
        py: Python<'_>,
        binding: &str,
        data: Argument<'_>,
        operation: &str,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let request = || {
            let content =
                data.0.map_or_else(|| Ok(Request::new(Body::empty())), |data| convert::content(&data))?;
            let metadata = metadata.map(convert::metadata).transpose()?.unwrap_or_default();
            Ok(Request { metadata, ..content })
        };
        let request: Result<_, Fault> = request();
        let request = request.map_err(|fault| fault.into_exception(py, binding, operation))?;
        let (binding, operation) = (binding.to_owned(), operation.to_owned());
        Ok(Self(bindwright::Emission { binding, operation, request }))
    }

    /// The name of the output binding.
    #[getter]
    fn binding(&self) -> &str {
        &self.0.binding
    }

    /// What it is asked to do.
    #[getter]
    fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The data as it is sent, as `bytes`; `None` for no data at all.
    #[getter]
    fn data(&self, py: Python<'_>) -> Py<PyAny> {
        convert::data(py, &self.0.request.body)
    }

    /// Names and values for the component (`dict[str, str]`): a copy.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::dict(py, &self.0.request.metadata)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_into(&self.0, &mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        describe(&self.0)
    }
}
