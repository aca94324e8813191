//! The class `bindwright.Outcome`. Tests: `tests/test_outcomes.py`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::time::Duration;

use bindwright::Cause;
use pyo3::exceptions::PyBaseException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::convert;
use crate::emission::{self, Emission};
use crate::errors::Fault;

/// The most characters of an exception's text that go into a dead letter.
const MAX_CAUSE_CHARS: usize = 1000;

/// What a handler may return to settle its event otherwise than by ack.
///
/// `Outcome.ACK` (also what any other value means), `Outcome.retry(after)`, `Outcome.RETRY`, `Outcome.DROP`,
/// `Outcome.dead_letter(cause)`, `Outcome.DEAD_LETTER`, `Outcome.emit(*emissions)`.
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
    /// Given up on purpose and sent to the component's `deadLetterBinding`, without a cause.
    #[classattr]
    const DEAD_LETTER: Self = Self(bindwright::Outcome::DeadLetter { cause: None });

    /// Not handled: it comes again after this pause, in seconds or as a `timedelta`; without one the
    /// component's back-off decides. After `maxDeliveryCount` deliveries it becomes a dead letter instead, or holds
    /// its place where the component has no `deadLetterBinding`.
    ///
    /// Raises:
    ///     InvalidRequestError: `after` is no pause.
    #[staticmethod]
    #[pyo3(signature = (after=None))]
    fn retry(py: Python<'_>, after: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let after = pause(py, after, "Outcome")?;
        Ok(Self(bindwright::Outcome::Retry { after, cause: None }))
    }

    /// Given up on purpose, and sent to the component's `deadLetterBinding`: settled after that binding confirmed
    /// it. Without such a binding the event holds its partition (its key, with `orderBy: key`) and the component is
    /// degraded: visible, never lost.
    ///
    /// `cause` is an exception or a text, and travels in the dead letter's metadata: `deadLetterCode` is the name of
    /// the exception's class, of a `BindwrightError` its `code`, of a text `REJECTED`; `deadLetterCause` is the text,
    /// of which 1,000 characters count. It should hold no secret.
    ///
    /// Raises:
    ///     InvalidRequestError: `cause` is neither an exception nor a text.
    #[staticmethod]
    #[pyo3(signature = (cause=None))]
    fn dead_letter(py: Python<'_>, cause: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Ok(Self(bindwright::Outcome::DeadLetter { cause: cause_of(py, cause, "Outcome")? }))
    }

    /// Handled, and these invocations follow from it: they are made in their order, and the event is settled after
    /// all of them were confirmed. Where one fails, this delivery failed: the event comes again, and then the earlier
    /// ones are made again.
    ///
    /// Raises:
    ///     InvalidRequestError: One of them is no `Emission`.
    #[staticmethod]
    #[pyo3(signature = (*emissions))]
    fn emit(emissions: &Bound<'_, PyTuple>) -> PyResult<Self> {
        Ok(Self(bindwright::Outcome::Emit(Emission::all(emissions)?)))
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        discriminant(&self.0).hash(&mut hasher);
        match &self.0 {
            bindwright::Outcome::Retry { after, .. } => after.hash(&mut hasher),
            bindwright::Outcome::DeadLetter { cause: Some(cause) } => cause.code.hash(&mut hasher),
            bindwright::Outcome::Emit(emissions) => {
                for emission in emissions {
                    emission::hash_into(emission, &mut hasher);
                }
            }
            _ => {}
        }
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        match &self.0 {
            bindwright::Outcome::Ack => "Outcome.ACK".to_owned(),
            bindwright::Outcome::Drop => "Outcome.DROP".to_owned(),
            bindwright::Outcome::Retry { after: Some(after), .. } => {
                format!("Outcome.retry({})", after.as_secs_f64())
            }
            bindwright::Outcome::DeadLetter { cause: None } => "Outcome.DEAD_LETTER".to_owned(),
            // An exception's text often quotes the data.
            bindwright::Outcome::DeadLetter { cause: Some(cause) } => {
                format!("Outcome.dead_letter(<{}>)", cause.code)
            }
            bindwright::Outcome::Emit(emissions) => {
                let emissions: Vec<_> = emissions.iter().map(emission::describe).collect();
                format!("Outcome.emit({})", emissions.join(", "))
            }
            _ => "Outcome.RETRY".to_owned(),
        }
    }
}

/// The argument `after`.
pub(crate) fn pause(
    py: Python<'_>,
    after: Option<&Bound<'_, PyAny>>,
    name: &str,
) -> PyResult<Option<Duration>> {
    let Some(after) = after else { return Ok(None) };
    convert::duration("after", after).map_err(|fault| fault.into_exception(py, name, "retry"))
}

/// The argument `cause`: an exception, a text, or nothing.
pub(crate) fn cause_of(
    py: Python<'_>,
    cause: Option<&Bound<'_, PyAny>>,
    name: &str,
) -> PyResult<Option<Box<Cause>>> {
    let Some(cause) = cause else { return Ok(None) };
    if let Ok(text) = cause.cast::<PyString>() {
        return Ok(Some(Box::new(Cause::rejected(shortened(text)))));
    }
    if cause.is_instance_of::<PyBaseException>() {
        return Ok(Some(Box::new(cause_of_failure(cause))));
    }
    let given = convert::type_name(cause);
    let fault = Fault::refused(format!("cause: expected an exception or a str, got {given}"));
    Err(fault.into_exception(py, name, "dead_letter"))
}

/// What an exception tells about a delivery that failed.
pub(crate) fn cause_of_failure(error: &Bound<'_, PyAny>) -> Cause {
    // Only Bindwright's own errors have a code that is ours; `SystemExit` has one as well.
    let own = error.py().import(intern!(error.py(), "bindwright.errors"));
    let own = own.and_then(|errors| errors.getattr(intern!(error.py(), "BindwrightError")));
    let is_own = own.is_ok_and(|class| error.is_instance(&class).unwrap_or(false));
    let code = error.getattr(intern!(error.py(), "code")).ok().filter(|_| is_own);
    let code = code.and_then(|code| code.extract::<String>().ok()).filter(|code| !code.is_empty());
    let code = code.or_else(|| error.get_type().name().map(|name| name.to_string_lossy().into_owned()).ok());
    // `str()` runs the program's code, which may fail.
    let text = error.str().map(|text| shortened(&text)).unwrap_or_default();
    Cause::new(code.unwrap_or_default(), text)
}

fn shortened(text: &Bound<'_, PyString>) -> String {
    let text = text.to_string_lossy();
    match text.char_indices().nth(MAX_CAUSE_CHARS) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
