//! What stands beside the client: the command and the broker for development.

use std::ffi::OsString;

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::errors::{guarded, to_py};

/// Run the command `bindwright` with these arguments (without the program's name); returns the exit status.
#[pyfunction]
#[pyo3(signature = (arguments, /))]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<i32> {
    guarded(py, || Ok(py.detach(|| bindwright_cli::run(arguments))))
}

/// A Kafka broker inside this process, for tests: in memory, on 127.0.0.1.
#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct DevBroker {
    bootstrap: String,
    broker: Mutex<Option<bindwright::dev::DevBroker>>,
}

#[pymethods]
impl DevBroker {
    #[new]
    #[pyo3(signature = (port=0))]
    fn new(py: Python<'_>, port: u16) -> PyResult<Self> {
        guarded(py, || {
            let broker =
                py.detach(|| bindwright::dev::DevBroker::start(port)).map_err(|error| to_py(py, &error))?;
            Ok(Self { bootstrap: broker.bootstrap(), broker: Mutex::new(Some(broker)) })
        })
    }

    /// `host:port`, as in the setting `brokers`.
    #[getter]
    fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// End it, with everything in it.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.broker.lock().take()));
    }
}
