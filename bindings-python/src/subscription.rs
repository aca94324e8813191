//! Handlers: pull a batch, call the handler, settle; `handling.rs` has the calls. Tests: `tests/test_handlers.py`.
//!
//! Outcomes are collected and settled together, because one lock and one wake-up for many is cheaper; they wait
//! [`SETTLE_INTERVAL`] at most while events keep coming, and the program's loop calls `flush` for the case that
//! the next event takes long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bindwright::{Client, Error, ErrorCode, Outcome, SettleToken, process};
use parking_lot::Mutex;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;

use crate::errors::{guarded, to_py};
use crate::event::Event;
use crate::events::PREFETCH;

/// How long an outcome waits for others while the handler is quick.
pub(crate) const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

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
    /// The process that subscribed; in a child of a fork nothing here may be touched.
    process: u32,
    /// Calls of the handler.
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
            process: process::id(),
            handled: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
        })
    }

    /// Whether this is a forked child's copy: its locks may be held by threads that do not exist here.
    pub(crate) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    /// Raises `ForkedError` in a forked child.
    pub(crate) fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_inherited() {
            return Ok(());
        }
        let error = Error::new(ErrorCode::Forked, "the subscription belongs to the parent process");
        Err(to_py(py, &error.component(self.subscription.binding())))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Begins no more events, and gives back those that nobody will settle, so that closing does not wait for them.
    pub(crate) fn begin_stopping(&self) {
        if self.is_inherited() {
            return;
        }
        self.stopping.store(true, Ordering::Release);
        let prefetched = std::mem::take(&mut *self.prefetched.lock());
        let tokens: Vec<_> = prefetched.iter().map(bindwright::Event::token).collect();
        self.subscription.release(&tokens);
        self.subscription.release(&std::mem::take(&mut *self.abandoned.lock()));
        self.flush();
    }

    /// The next event that was pulled before, for a program that settles it itself.
    pub(crate) fn next_prefetched(self: &Arc<Self>) -> Option<Event> {
        loop {
            // A statement of its own: the lock must be free when an event is given back.
            let event = self.prefetched.lock().pop_front();
            let event = event?;
            // An earlier event of its partition was sent back meanwhile: it comes again after that one.
            if self.subscription.begin(&event) {
                return Some(Event::new(event, self.clone(), true));
            }
        }
    }

    /// Tells the outcomes collected so far.
    pub(crate) fn flush(&self) {
        let outcomes = std::mem::take(&mut *self.pending.lock());
        if !outcomes.is_empty() {
            self.subscription.settle(&outcomes);
        }
    }

    pub(crate) fn note(&self, token: SettleToken, outcome: Outcome) {
        // Where the time of handlers counts, it ends when the outcome is told.
        let wait = matches!(outcome, Outcome::Ack) && self.subscription.handler_timeout().is_none();
        self.pending.lock().push((token, outcome));
        if !wait {
            // Its followers must stop counting before the next one is begun.
            self.flush();
        }
    }

    /// Counts a call of the handler and the time that it took.
    pub(crate) fn count(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
    }
}

/// One attached input binding: its events go to handlers that this class calls (`run_batch`), or to those of an
/// asyncio program, which takes events and tells outcomes itself.
#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct Subscription {
    pub(crate) shared: Arc<Shared>,
    /// The handler gets many events at once.
    together: bool,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, together: bool) -> Self {
        Self { shared, together }
    }
}

#[pymethods]
impl Subscription {
    /// Wait for up to `most` events and call the handler: for each, or once for all. `False` when there will be no
    /// more.
    #[pyo3(signature = (handler, most, /))]
    fn run_batch(&self, py: Python<'_>, handler: &Bound<'_, PyAny>, most: usize) -> PyResult<bool> {
        guarded(py, || {
            let shared = &self.shared;
            if shared.is_stopping() {
                return Ok(false);
            }
            let batch = py.detach(|| {
                let pull = shared.subscription.next_batch(most, None);
                shared.client.block_on(pull, || shared.is_stopping()).flatten()
            });
            let Some(batch) = batch else { return Ok(false) };
            if self.together {
                return shared.handle_together(handler, batch).map(|()| true);
            }
            let flush = Flush(shared);
            let result = shared.handle(handler, batch);
            drop(flush);
            result.map(|()| true)
        })
    }

    /// Take up to `most` events without waiting; `None` when there will be no more.
    #[pyo3(signature = (most, /))]
    fn take(&self, py: Python<'_>, most: usize) -> PyResult<Option<Vec<Py<Event>>>> {
        guarded(py, || {
            let shared = &self.shared;
            if shared.is_stopping() {
                return Ok(None);
            }
            let Some(batch) = shared.subscription.take_batch(most) else { return Ok(None) };
            let event = |event| Py::new(py, Event::new(event, shared.clone(), false));
            batch.into_iter().map(event).collect::<PyResult<_>>().map(Some)
        })
    }

    /// Take one event for a program that pulls, without waiting; `StopAsyncIteration` when there will be no more.
    fn take_one(&self, py: Python<'_>) -> PyResult<Option<Event>> {
        guarded(py, || {
            let shared = &self.shared;
            shared.check_process(py)?;
            if let Some(event) = shared.next_prefetched() {
                return Ok(Some(event));
            }
            let batch = if shared.is_stopping() { None } else { shared.subscription.take_batch(PREFETCH) };
            let Some(batch) = batch else { return Err(PyStopAsyncIteration::new_err(())) };
            shared.prefetched.lock().extend(batch);
            Ok(shared.next_prefetched())
        })
    }

    /// Whether an event taken is still to be handled; to be asked right before its handler is called.
    #[pyo3(signature = (event, /))]
    fn begin(&self, event: &Event) -> bool {
        !self.shared.is_stopping() && self.shared.subscription.begin(event.delivery())
    }

    /// Settle an event as its handler's answer says.
    #[pyo3(signature = (event, answer, /))]
    fn settle(&self, event: &Event, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(answer.py(), || self.shared.settle_as_answered(event, answer))
    }

    /// Settle an event whose handler raised, and log that.
    #[pyo3(signature = (event, error, /))]
    fn fail(&self, event: &Event, error: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(error.py(), || {
            self.shared.settle_as_failed(event, error);
            Ok(())
        })
    }

    /// Settle the events of a batch as its handler's answer says.
    #[pyo3(signature = (events, answer, /))]
    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn settle_together(&self, events: Vec<PyRef<'_, Event>>, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(answer.py(), || self.shared.settle_together_as_answered(&events, answer))
    }

    /// Settle the events of a batch whose handler raised, and log that.
    #[pyo3(signature = (events, error, /))]
    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn fail_together(&self, events: Vec<PyRef<'_, Event>>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(error.py(), || {
            self.shared.settle_together_as_failed(&events, error);
            Ok(())
        })
    }

    /// Give events back that no handler had; they come again as if for the first time.
    #[pyo3(signature = (events, /))]
    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn release(&self, events: Vec<PyRef<'_, Event>>) {
        self.shared.give_back(events.iter().map(|event| event.delivery().token()));
    }

    /// Tell the outcomes collected so far.
    fn flush(&self) {
        self.shared.flush();
    }

    /// Partitions that wait for one more worker, as far as `maxInFlight` allows one.
    fn lanes_waiting(&self) -> usize {
        self.shared.subscription.lanes_waiting()
    }

    /// Calls of the handler so far, and the seconds that they took.
    fn load(&self) -> (u64, f64) {
        let busy = Duration::from_nanos(self.shared.busy_nanos.load(Ordering::Relaxed));
        (self.shared.handled.load(Ordering::Relaxed), busy.as_secs_f64())
    }

    /// Begin no more events.
    fn stop(&self) {
        self.shared.begin_stopping();
    }
}

/// Tells outcomes also when a handler ends the loop, or a panic does.
struct Flush<'a>(&'a Shared);

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
}
