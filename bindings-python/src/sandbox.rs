//! The native part of `bindwright.testing`. Tests: `tests/test_testing.py`.

use bindwright::testing::{
    Answer, Ending, Invocation, Progress, PushedEvent, Sandbox, SandboxOptions, block_on,
};
use bindwright::{Error, ErrorCode, Reply, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert;
use crate::errors::{Fault, guarded, to_py};
use crate::waiting::Interrupts;

/// Binding, operation, data, metadata, code of the error.
type InvocationParts<'py> = (String, String, Py<PyAny>, Bound<'py, PyDict>, Option<&'static str>);
/// Deliveries, ending, code and text of the cause.
type ProgressParts = (u32, Option<&'static str>, Option<(String, String)>);
/// For which operation, how often, and how late an answer is given.
type Conditions<'py> = (Option<String>, Option<u32>, Bound<'py, PyAny>);

fn parts<'py>(py: Python<'py>, invocation: &Invocation) -> PyResult<InvocationParts<'py>> {
    Ok((
        invocation.binding.to_string(),
        invocation.operation.to_string(),
        convert::data(py, &invocation.request.body),
        convert::dict(py, &invocation.request.metadata)?,
        invocation.error.map(ErrorCode::as_str),
    ))
}

fn progress_parts(progress: Progress) -> ProgressParts {
    let cause = progress.cause.map(|cause| (cause.code, cause.text));
    (progress.deliveries, progress.ending.map(Ending::as_str), cause)
}

fn code(name: &str) -> Result<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.as_str() == name).ok_or_else(|| {
        let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        let message = format!("code: expected one of {}, got {name:?}", codes.join(", "));
        Error::new(ErrorCode::InvalidOptions, message)
    })
}

/// An argument that cannot be used.
fn refused(py: Python<'_>, fault: Fault) -> PyErr {
    fault.into_option_error(py)
}

fn with_conditions(mut answer: Answer, conditions: Conditions<'_>) -> PyResult<Answer> {
    let (operation, times, delay) = conditions;
    if let Some(operation) = operation {
        answer = answer.operation(&operation);
    }
    if let Some(times) = times {
        answer = answer.times(times);
    }
    Ok(answer.delay(convert::option("delay", &delay)?.unwrap_or_default()))
}

fn reply(py: Python<'_>, data: &Bound<'_, PyAny>, metadata: &Bound<'_, PyAny>) -> PyResult<Reply> {
    let reply = || Ok(Reply { body: convert::body(data)?, metadata: convert::metadata(metadata)? });
    reply().map_err(|fault| refused(py, fault))
}

/// What a function of the test answers; it returns data and metadata, or raises.
fn call(function: &Py<PyAny>, invocation: &Invocation) -> Result<Reply> {
    Python::attach(|py| {
        let answered = || {
            let answer = function.bind(py).call1((parts(py, invocation)?,))?;
            let (data, metadata): (Bound<'_, PyAny>, Bound<'_, PyAny>) = answer.extract()?;
            reply(py, &data, &metadata)
        };
        answered().map_err(|raised: PyErr| error_of(py, &raised))
    })
}

/// The error of an exception: its own code where it is one of ours.
fn error_of(py: Python<'_>, raised: &PyErr) -> Error {
    let value = raised.value(py);
    let text = |name: &str| value.getattr(name).and_then(|text| text.extract::<String>()).ok();
    match text("code").and_then(|name| code(&name).ok()).zip(text("message")) {
        Some((code, message)) => Error::new(code, message),
        None => Error::new(ErrorCode::Internal, format!("the function that replies raised {raised}"))
            .advice("Correct the function that the test gave to `reply`."),
    }
}

#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct NativeSandbox(Sandbox);

#[pymethods]
impl NativeSandbox {
    #[new]
    #[pyo3(signature = (longest_pause, /))]
    fn new(py: Python<'_>, longest_pause: &Bound<'_, PyAny>) -> PyResult<Self> {
        guarded(py, || {
            let mut options = SandboxOptions::default();
            if let Some(pause) = convert::option("longest_pause", longest_pause)? {
                options.longest_pause = pause;
            }
            Sandbox::with(options).map(Self).map_err(|error| to_py(py, &error))
        })
    }

    /// What was sent, to one binding or to all.
    #[pyo3(signature = (binding, /))]
    fn invocations<'py>(
        &self,
        py: Python<'py>,
        binding: Option<&str>,
    ) -> PyResult<Vec<InvocationParts<'py>>> {
        guarded(py, || {
            let invocations = py.detach(|| self.0.invocations(binding));
            invocations.iter().map(|invocation| parts(py, invocation)).collect()
        })
    }

    /// Forget what was sent.
    fn forget(&self, py: Python<'_>) {
        py.detach(|| self.0.forget());
    }

    /// Wait until so many attempts were answered; with a time-out of 0 only look.
    #[pyo3(signature = (binding, operation, count, timeout, /))]
    fn wait_for<'py>(
        &self,
        py: Python<'py>,
        binding: &str,
        operation: Option<&str>,
        count: usize,
        timeout: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<InvocationParts<'py>>> {
        guarded(py, || {
            let timeout = convert::option("timeout", timeout)?.unwrap_or_default();
            let mut interrupts = Interrupts::default();
            let waiting = || self.0.wait_for(binding, operation, count, timeout);
            let found = py.detach(|| block_on(waiting(), || interrupts.look()));
            interrupts.check()?;
            let found = found.unwrap_or_else(|| Err(cancelled())).map_err(|error| to_py(py, &error))?;
            found.iter().map(|invocation| parts(py, invocation)).collect()
        })
    }

    /// Succeed with this.
    #[pyo3(signature = (binding, data, metadata, conditions, /))]
    fn reply(
        &self,
        py: Python<'_>,
        binding: &str,
        data: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        conditions: Conditions<'_>,
    ) -> PyResult<()> {
        guarded(py, || {
            let answer = Answer::reply(reply(py, data, metadata)?);
            self.0.answer(binding, with_conditions(answer, conditions)?);
            Ok(())
        })
    }

    /// Answer what a function returns, data and metadata, or raises.
    #[pyo3(signature = (binding, function, conditions, /))]
    fn reply_with(
        &self,
        py: Python<'_>,
        binding: &str,
        function: Py<PyAny>,
        conditions: Conditions<'_>,
    ) -> PyResult<()> {
        guarded(py, || {
            let answer = Answer::function(move |invocation| call(&function, invocation));
            self.0.answer(binding, with_conditions(answer, conditions)?);
            Ok(())
        })
    }

    /// Fail with this code.
    #[pyo3(signature = (binding, name, message, conditions, /))]
    fn fail(
        &self,
        py: Python<'_>,
        binding: &str,
        name: &str,
        message: Option<String>,
        conditions: Conditions<'_>,
    ) -> PyResult<()> {
        guarded(py, || {
            let code = code(name).map_err(|error| to_py(py, &error))?;
            let answer = match message {
                Some(message) => Answer::error(Error::new(code, message)),
                None => Answer::error(code),
            };
            self.0.answer(binding, with_conditions(answer, conditions)?);
            Ok(())
        })
    }

    /// Have a binding receive an event.
    #[pyo3(signature = (binding, data, metadata, key, /))]
    fn push(
        &self,
        py: Python<'_>,
        binding: &str,
        data: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        key: Option<&str>,
    ) -> PyResult<NativePushedEvent> {
        guarded(py, || {
            let prepared = convert::body(data).and_then(|body| Ok((body, convert::metadata(metadata)?)));
            let (body, metadata) = prepared.map_err(|fault| refused(py, fault))?;
            let pushed = py.detach(|| self.0.push(binding, body, metadata, key));
            pushed.map(NativePushedEvent).map_err(|error| to_py(py, &error))
        })
    }

    /// End it.
    fn end(&self, py: Python<'_>) {
        py.detach(|| self.0.end());
    }
}

#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct NativePushedEvent(PushedEvent);

#[pymethods]
impl NativePushedEvent {
    /// How far it is.
    fn progress(&self, py: Python<'_>) -> ProgressParts {
        progress_parts(py.detach(|| self.0.progress()))
    }

    /// Wait until it came to its end, or until so many deliveries are over; with a time-out of 0 only look.
    #[pyo3(signature = (deliveries, timeout, /))]
    fn wait(
        &self,
        py: Python<'_>,
        deliveries: Option<u32>,
        timeout: &Bound<'_, PyAny>,
    ) -> PyResult<ProgressParts> {
        guarded(py, || {
            let timeout = convert::option("timeout", timeout)?.unwrap_or_default();
            let mut interrupts = Interrupts::default();
            let waiting = async {
                match deliveries {
                    Some(deliveries) => self.0.delivered(deliveries, timeout).await,
                    None => self.0.ended(timeout).await,
                }
            };
            let progress = py.detach(|| block_on(waiting, || interrupts.look()));
            interrupts.check()?;
            let progress = progress.unwrap_or_else(|| Err(cancelled()));
            progress.map(progress_parts).map_err(|error| to_py(py, &error))
        })
    }
}

fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "waiting was interrupted")
}
