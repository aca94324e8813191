//! Handlers: pull a batch, call the handler for each event, settle. Tests: `tests/test_handlers.py`.
//!
//! Outcomes are collected and settled together, because one lock and one wake-up for many is cheaper; they wait
//! [`SETTLE_INTERVAL`] at most while events keep coming, and the program's loop calls `flush` for the case that
//! the next event takes long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bindwright::{Client, Outcome, SettleToken};
use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::errors::guarded;
use crate::event;
use crate::trace;

/// How long an outcome waits for others while the handler is quick.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

static LOG_FAILURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What handlers, iterators and events of one subscription share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) subscription: bindwright::Subscription,
    /// Outcomes that are not told yet.
    pending: Mutex<Vec<(SettleToken, Outcome)>>,
    /// Pulled by an iterator and not yet given to the program.
    pub(crate) prefetched: Mutex<VecDeque<bindwright::Event>>,
    /// Given to the program, which dropped them without a word: nobody will settle them.
    pub(crate) abandoned: Mutex<Vec<SettleToken>>,
    /// No more events are begun.
    stopping: AtomicBool,
    handled: AtomicU64,
    busy_nanos: AtomicU64,
}

impl Shared {
    pub(crate) fn new(client: Client, subscription: bindwright::Subscription) -> Arc<Self> {
        Arc::new(Self {
            client,
            subscription,
            pending: Mutex::default(),
            prefetched: Mutex::default(),
            abandoned: Mutex::default(),
            stopping: AtomicBool::new(false),
            handled: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
        })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Begins no more events, and gives back those that nobody will settle, so that closing does not wait for them.
    pub(crate) fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
        let prefetched = std::mem::take(&mut *self.prefetched.lock());
        let tokens: Vec<_> = prefetched.iter().map(bindwright::Event::token).collect();
        self.subscription.release(&tokens);
        self.subscription.release(&std::mem::take(&mut *self.abandoned.lock()));
        self.flush();
    }

    pub(crate) fn take_prefetched(&self) -> Option<bindwright::Event> {
        self.prefetched.lock().pop_front()
    }

    /// Tells the outcomes collected so far.
    fn flush(&self) {
        let outcomes = std::mem::take(&mut *self.pending.lock());
        if !outcomes.is_empty() {
            self.subscription.settle(&outcomes);
        }
    }

    fn note(&self, token: SettleToken, outcome: Outcome) {
        let wait = outcome == Outcome::Ack;
        self.pending.lock().push((token, outcome));
        if !wait {
            // Its followers must stop counting before the next one is begun.
            self.flush();
        }
    }

    fn handle(self: &Arc<Self>, handler: &Bound<'_, PyAny>, batch: Vec<bindwright::Event>) -> PyResult<()> {
        let mut events = batch.into_iter();
        let mut settled = Instant::now();
        let mut now = settled;
        while let Some(event) = events.next() {
            if self.is_stopping() {
                let tokens: Vec<_> =
                    std::iter::once(event).chain(events).map(|event| event.token()).collect();
                self.subscription.release(&tokens);
                return Ok(());
            }
            if !self.subscription.begin(&event) {
                continue;
            }
            let token = event.token();
            match self.handle_one(handler, event) {
                Ok(outcome) => self.note(token, outcome),
                Err(error) => {
                    self.note(token, Outcome::RETRY);
                    let tokens: Vec<_> = events.map(|event| event.token()).collect();
                    self.subscription.release(&tokens);
                    return Err(error);
                }
            }
            let began = std::mem::replace(&mut now, Instant::now());
            let nanos = u64::try_from((now - began).as_nanos()).unwrap_or(u64::MAX);
            self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
            self.handled.fetch_add(1, Ordering::Relaxed);
            if now - settled >= SETTLE_INTERVAL {
                self.flush();
                settled = now;
            }
        }
        Ok(())
    }

    /// Calls the handler; only what is no `Exception` comes back as an error.
    fn handle_one(
        self: &Arc<Self>,
        handler: &Bound<'_, PyAny>,
        event: bindwright::Event,
    ) -> PyResult<Outcome> {
        let py = handler.py();
        let attempt = event.attempt();
        let _trace = event.trace_context().map(|trace| trace::Entered::new(Some(trace)));
        let argument = Bound::new(py, event::Event::new(event, self.clone(), false))?;
        match handler.call1((argument,)).and_then(|answer| outcome_of(&answer)) {
            Ok(outcome) => Ok(outcome),
            Err(error) if error.is_instance_of::<PyException>(py) => {
                self.log_failure(py, attempt, &error);
                Ok(Outcome::RETRY)
            }
            Err(error) => Err(error),
        }
    }

    fn log_failure(&self, py: Python<'_>, attempt: u32, error: &PyErr) {
        let logged = LOG_FAILURE
            .get_or_try_init(py, || {
                Ok::<_, PyErr>(py.import("bindwright._handlers")?.getattr("log_failure")?.unbind())
            })
            .and_then(|log| {
                let error = error.clone_ref(py).into_value(py);
                log.bind(py).call1((self.subscription.binding(), attempt, error))
            });
        if let Err(failure) = logged {
            failure.write_unraisable(py, None);
        }
    }
}

/// `None` and anything unknown means ack.
fn outcome_of(answer: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    if answer.is_none() {
        return Ok(Outcome::Ack);
    }
    if let Ok(outcome) = answer.cast::<event::Outcome>() {
        return Ok(outcome.get().0.clone());
    }
    let py = answer.py();
    if answer.hasattr(intern!(py, "__await__"))? {
        if let Ok(close) = answer.getattr(intern!(py, "close")) {
            close.call0()?;
        }
        return Err(PyTypeError::new_err(
            "the handler returned an awaitable, which this client cannot run: \
             async handlers need the asyncio client, which comes with bindwright.aio",
        ));
    }
    Ok(Outcome::Ack)
}

/// One attached input binding whose events go to a handler.
#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct Subscription(pub(crate) Arc<Shared>);

#[pymethods]
impl Subscription {
    /// Wait for up to `most` events and call the handler for each; `False` when there will be no more.
    #[pyo3(signature = (handler, most, /))]
    fn run_batch(&self, py: Python<'_>, handler: &Bound<'_, PyAny>, most: usize) -> PyResult<bool> {
        guarded(py, || {
            let shared = &self.0;
            let batch = py.detach(|| {
                let pull = shared.subscription.next_batch(most, None);
                shared.client.block_on(pull, || shared.is_stopping()).flatten()
            });
            let Some(batch) = batch else { return Ok(false) };
            let flush = Flush(shared);
            let result = shared.handle(handler, batch);
            drop(flush);
            result.map(|()| true)
        })
    }

    /// Tell the outcomes collected so far.
    fn flush(&self) {
        self.0.flush();
    }

    /// Partitions that wait for one more worker.
    fn lanes_waiting(&self) -> usize {
        self.0.subscription.lanes_waiting()
    }

    /// Events handled so far, and the seconds that handlers took for them.
    fn load(&self) -> (u64, f64) {
        let busy = Duration::from_nanos(self.0.busy_nanos.load(Ordering::Relaxed));
        (self.0.handled.load(Ordering::Relaxed), busy.as_secs_f64())
    }

    /// Begin no more events.
    fn stop(&self) {
        self.0.begin_stopping();
    }
}

/// Tells outcomes also when a handler ends the loop, or a panic does.
struct Flush<'a>(&'a Shared);

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
}
