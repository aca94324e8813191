//! Calling handlers: what a handler is given, and what its answer means. Tests: `tests/test_handlers.py`,
//! `tests/test_batches.py`.

use std::sync::Arc;
use std::time::Instant;

use bindwright::{Cause, SettleToken};
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PySequence, PyString, PyTuple};

use crate::convert;
use crate::event::Event;
use crate::outcome::{Outcome, cause_of_failure};
use crate::subscription::{SETTLE_INTERVAL, Shared};
use crate::trace;

static LOG_FAILURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LOG_BATCH_FAILURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

impl Shared {
    /// Calls the handler for each event; only what is no `Exception` comes back as an error.
    pub(crate) fn handle(
        self: &Arc<Self>,
        handler: &Bound<'_, PyAny>,
        batch: Vec<bindwright::Event>,
    ) -> PyResult<()> {
        let mut events = batch.into_iter();
        let mut settled = Instant::now();
        let mut now = settled;
        while let Some(event) = events.next() {
            if self.is_stopping() {
                self.give_back(std::iter::once(event).chain(events).map(|event| event.token()));
                return Ok(());
            }
            if !self.subscription.begin(&event) {
                continue;
            }
            let token = event.token();
            match self.handle_one(handler, event) {
                Ok(outcome) => self.note(token, outcome),
                Err(error) => {
                    // The program wants to end. Nobody says that the event is to blame: this is no failed delivery.
                    self.begin_stopping();
                    self.give_back(std::iter::once(token).chain(events.map(|event| event.token())));
                    return Err(error);
                }
            }
            let began = std::mem::replace(&mut now, Instant::now());
            self.count(now - began);
            if now - settled >= SETTLE_INTERVAL {
                self.flush();
                settled = now;
            }
        }
        Ok(())
    }

    fn handle_one(
        self: &Arc<Self>,
        handler: &Bound<'_, PyAny>,
        event: bindwright::Event,
    ) -> PyResult<bindwright::Outcome> {
        let py = handler.py();
        let _trace = event.trace_context().map(|trace| trace::Entered::new(Some(trace)));
        let argument = Bound::new(py, Event::new(event, self.clone(), false))?;
        match handler.call1((&argument,)).and_then(|answer| outcome_of(&answer)) {
            Ok(outcome) => Ok(outcome),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                Ok(self.logged_failure(argument.get(), error.into_value(py).bind(py)))
            }
            Err(error) => Err(error),
        }
    }

    /// The outcome of an event whose handler raised, which is logged.
    fn logged_failure(&self, event: &Event, error: &Bound<'_, PyAny>) -> bindwright::Outcome {
        log(error.py(), &LOG_FAILURE, "log_failure", |log| {
            log.call1((self.subscription.binding(), event.delivery().attempt(), event.is_settled(), error))
        });
        failed(cause_of_failure(error))
    }

    /// The outcomes of a batch whose handler raised, which is logged.
    fn logged_failures(&self, count: usize, error: &Bound<'_, PyAny>) -> Vec<bindwright::Outcome> {
        log(error.py(), &LOG_BATCH_FAILURE, "log_batch_failure", |log| {
            log.call1((self.subscription.binding(), count, error))
        });
        vec![failed(cause_of_failure(error)); count]
    }

    /// Settles what a handler on an asyncio loop answered; an answer that means nothing is a failure.
    pub(crate) fn settle_as_answered(&self, event: &Event, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = answer.py();
        let outcome = match outcome_of(answer) {
            Ok(outcome) => outcome,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                self.logged_failure(event, error.into_value(py).bind(py))
            }
            Err(error) => return Err(error),
        };
        self.note(event.delivery().token(), outcome);
        Ok(())
    }

    pub(crate) fn settle_as_failed(&self, event: &Event, error: &Bound<'_, PyAny>) {
        self.note(event.delivery().token(), self.logged_failure(event, error));
    }

    /// Settles what a handler of batches on an asyncio loop answered.
    pub(crate) fn settle_together_as_answered(
        &self,
        events: &[PyRef<'_, Event>],
        answer: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = answer.py();
        match outcomes_of(answer, events.len()) {
            Ok(outcomes) => self.tell_together(events, outcomes),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                self.settle_together_as_failed(events, error.into_value(py).bind(py));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(crate) fn settle_together_as_failed(&self, events: &[PyRef<'_, Event>], error: &Bound<'_, PyAny>) {
        self.tell_together(events, self.logged_failures(events.len(), error));
    }

    /// Told together: an event that failed must not take back those after it that were handled with it.
    fn tell_together(&self, events: &[PyRef<'_, Event>], outcomes: Vec<bindwright::Outcome>) {
        let tokens = events.iter().map(|event| event.delivery().token());
        self.subscription.settle(&tokens.zip(outcomes).collect::<Vec<_>>());
    }

    /// Calls the handler once for all events; only what is no `Exception` comes back as an error.
    pub(crate) fn handle_together(
        self: &Arc<Self>,
        handler: &Bound<'_, PyAny>,
        batch: Vec<bindwright::Event>,
    ) -> PyResult<()> {
        let py = handler.py();
        if self.is_stopping() {
            self.give_back(batch.iter().map(bindwright::Event::token));
            return Ok(());
        }
        let batch: Vec<_> = batch.into_iter().filter(|event| self.subscription.begin(event)).collect();
        let tokens: Vec<_> = batch.iter().map(bindwright::Event::token).collect();
        if tokens.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let events = batch.into_iter().map(|event| Bound::new(py, Event::new(event, self.clone(), false)));
        // The handler may change the list that it is given.
        let argument = PyList::new(py, events.collect::<PyResult<Vec<_>>>()?)?;
        let outcomes = match handler.call1((argument,)).and_then(|answer| outcomes_of(&answer, tokens.len()))
        {
            Ok(outcomes) => outcomes,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                self.logged_failures(tokens.len(), error.into_value(py).bind(py))
            }
            Err(error) => {
                self.begin_stopping();
                self.give_back(tokens.into_iter());
                return Err(error);
            }
        };
        self.count(began.elapsed());
        // Told together: an event that failed must not take back those after it that were handled with it.
        let outcomes: Vec<_> = tokens.into_iter().zip(outcomes).collect();
        self.subscription.settle(&outcomes);
        Ok(())
    }

    pub(crate) fn give_back(&self, tokens: impl Iterator<Item = SettleToken>) {
        self.flush();
        self.subscription.release(&tokens.collect::<Vec<_>>());
    }
}

fn failed(cause: Cause) -> bindwright::Outcome {
    bindwright::Outcome::Retry { after: None, cause: Some(Box::new(cause)) }
}

/// Calls one of the package's functions that log; a failure of its own ends nothing.
fn log<'py>(
    py: Python<'py>,
    function: &PyOnceLock<Py<PyAny>>,
    name: &str,
    call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) {
    let logged = function
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("bindwright._handlers")?.getattr(name)?.unbind()))
        .and_then(|log| call(log.bind(py)));
    if let Err(failure) = logged {
        failure.write_unraisable(py, None);
    }
}

/// `None` and anything unknown means ack.
fn outcome_of(answer: &Bound<'_, PyAny>) -> PyResult<bindwright::Outcome> {
    if answer.is_none() {
        return Ok(bindwright::Outcome::Ack);
    }
    if let Ok(outcome) = answer.cast::<Outcome>() {
        return Ok(outcome.get().0.clone());
    }
    refuse_awaitable(answer)?;
    Ok(bindwright::Outcome::Ack)
}

/// The outcomes of `count` events: an answer for all, or one for each. Anything else is refused, because what looks
/// like a list of results and is none would ack what was not handled.
fn outcomes_of(answer: &Bound<'_, PyAny>, count: usize) -> PyResult<Vec<bindwright::Outcome>> {
    if answer.is_none() {
        return Ok(vec![bindwright::Outcome::Ack; count]);
    }
    if let Ok(outcome) = answer.cast::<Outcome>() {
        return match &outcome.get().0 {
            bindwright::Outcome::Emit(_) => Err(PyTypeError::new_err(
                "the handler returned one Outcome.emit for a batch, which would be sent once for each event: \
                 return a list with an entry for each",
            )),
            outcome => Ok(vec![outcome.clone(); count]),
        };
    }
    refuse_awaitable(answer)?;
    let is_text = answer.is_instance_of::<PyString>() || answer.is_instance_of::<PyBytes>();
    let given = convert::type_name(answer);
    let Some(entries) = answer.cast::<PySequence>().ok().filter(|_| !is_text) else {
        return Err(PyTypeError::new_err(format!(
            "a handler of batches returns None, an Outcome, or a sequence of them, got {given}"
        )));
    };
    let entries: Bound<'_, PyTuple> = entries.to_tuple()?;
    if entries.len() != count {
        return Err(PyTypeError::new_err(format!(
            "the handler was given {count} events and returned {} outcomes",
            entries.len()
        )));
    }
    let outcome = |entry: Bound<'_, PyAny>| match entry.cast::<Outcome>() {
        Ok(outcome) => Ok(outcome.get().0.clone()),
        Err(_) if entry.is_none() => Ok(bindwright::Outcome::Ack),
        Err(_) => {
            let given = convert::type_name(&entry);
            Err(PyTypeError::new_err(format!("an entry for an event is an Outcome or None, got {given}")))
        }
    };
    entries.iter().map(outcome).collect()
}

fn refuse_awaitable(answer: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = answer.py();
    if !answer.hasattr(intern!(py, "__await__"))? {
        return Ok(());
    }
    if let Ok(close) = answer.getattr(intern!(py, "close")) {
        close.call0()?;
    }
    Err(PyTypeError::new_err(
        "the handler returned an awaitable, which this client cannot run: \
         async handlers need the asyncio client, bindwright.aio.Client",
    ))
}
