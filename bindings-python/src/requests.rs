//! From a call's arguments to core's requests, and from many results to a list. Tests: `tests/test_invoke.py`.

use std::sync::Arc;

use bindwright::{Error, ErrorCode, Metadata, Request, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::convert;
use crate::errors::{Fault, exception};
use crate::reply::Reply;
use crate::trace;

/// One request.
pub(crate) fn request(data: &Bound<'_, PyAny>, metadata: &Bound<'_, PyAny>) -> Result<Request, Fault> {
    let py = data.py();
    let mut metadata = convert::metadata(metadata)?;
    trace::add_to(py, &mut metadata)?;
    Ok(Request { metadata, ..convert::content(data)? })
}

/// The requests of `invoke_many`. What cannot be sent gets its error in its place; the others are sent.
pub(crate) struct Many {
    pub(crate) requests: Vec<Request>,
    pub(crate) places: Places,
}

/// For each payload, why it was not sent; `None` for those that were.
pub(crate) struct Places(Vec<Option<Py<PyAny>>>);

impl Many {
    pub(crate) fn new(
        payloads: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        name: &str,
        operation: &str,
    ) -> Result<Self, Fault> {
        let py = payloads.py();
        let each = requests(payloads, metadata)?;
        let mut places = Vec::with_capacity(each.len());
        let mut requests = Vec::with_capacity(each.len());
        for request in each {
            match request {
                Ok(request) => {
                    requests.push(request);
                    places.push(None);
                }
                Err(Fault::Raised(error)) => return Err(Fault::Raised(error)),
                Err(fault) => {
                    let refused = fault.into_exception(py, name, operation);
                    places.push(Some(refused.into_value(py).into_any()));
                }
            }
        }
        Ok(Self { requests, places: Places(places) })
    }
}

impl Places {
    /// One result for each payload.
    pub(crate) fn fill(
        self,
        py: Python<'_>,
        replies: Vec<Result<bindwright::Reply>>,
    ) -> PyResult<Bound<'_, PyList>> {
        let mut replies = replies.into_iter();
        let outcomes = PyList::empty(py);
        for refused in self.0 {
            let outcome = match refused {
                Some(error) => error.into_bound(py),
                None => match replies.next().unwrap_or_else(|| Err(no_result())) {
                    Ok(reply) => Bound::new(py, Reply::from(reply))?.into_any(),
                    Err(error) => exception(py, &error)?,
                },
            };
            outcomes.append(outcome)?;
        }
        Ok(outcomes)
    }
}

/// One request, or the reason why there is none, for each payload.
fn requests(
    payloads: &Bound<'_, PyAny>,
    metadata: &Bound<'_, PyAny>,
) -> Result<Vec<Result<Request, Fault>>, Fault> {
    let py = payloads.py();
    let single = payloads.is_instance_of::<PyBytes>()
        || payloads.is_instance_of::<PyString>()
        || payloads.is_instance_of::<PyDict>();
    let payloads = match payloads.try_iter() {
        Ok(payloads) if !single => payloads.collect::<PyResult<Vec<_>>>()?,
        _ => {
            let given = convert::type_name(payloads);
            return Err(Fault::refused(format!("payloads: expected a sequence of payloads, got {given}")));
        }
    };
    let common = metadata.is_none() || metadata.hasattr("keys")?;
    if common {
        let metadata = {
            let mut metadata = convert::metadata(metadata)?;
            trace::add_to(py, &mut metadata)?;
            share(&metadata)
        };
        let request = |data| Ok(Request { metadata: metadata.clone(), ..convert::content(data)? });
        return Ok(payloads.iter().map(request).collect());
    }
    let Ok(each) = metadata.try_iter() else {
        let given = convert::type_name(metadata);
        return Err(Fault::refused(format!(
            "metadata: expected a mapping or a sequence of them, got {given}"
        )));
    };
    let each = each.collect::<PyResult<Vec<_>>>()?;
    if each.len() != payloads.len() {
        return Err(Fault::refused(format!(
            "metadata: expected one entry for each of the {} payloads, got {}",
            payloads.len(),
            each.len()
        )));
    }
    Ok(payloads.iter().zip(&each).map(|(data, metadata)| request(data, metadata)).collect())
}

/// The same metadata with values that many requests can share.
fn share(metadata: &Metadata) -> Metadata {
    metadata.iter().map(|(name, value)| (name.to_owned(), Arc::<str>::from(value.text()))).collect()
}

fn no_result() -> Error {
    Error::new(ErrorCode::Internal, "the binding gave fewer results than it was given requests")
}
