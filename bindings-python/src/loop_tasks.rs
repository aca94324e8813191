//! Calls that wait on an asyncio loop. Tests: `tests/test_aio_*.py`.
//!
//! A call is polled on the loop's thread: when it is made, and when something woke it. What is woken elsewhere writes
//! to a file descriptor that the loop watches, once for many. See [`bindwright::event_loop`].

use std::future::Future;
use std::io::Write;
#[cfg(unix)]
use std::{
    fs::File as Wire,
    os::fd::{FromRawFd, RawFd as RawWire},
};
#[cfg(windows)]
use std::{
    net::TcpStream as Wire,
    os::windows::io::{FromRawSocket, RawSocket as RawWire},
};

use bindwright::event_loop::{Bell, Tasks, caught};
use bindwright::{Error, ErrorCode, HandOut, Result, process};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;

use crate::client::{NativeClient, component_parts, reload_parts};
use crate::convert;
use crate::errors::{guarded, to_py};
use crate::reply::Reply;
use crate::requests::{Many, request};
use crate::subscription::Subscription;

/// What a call yields; the rest needs the interpreter.
enum Done {
    Reply(Result<bindwright::Reply>),
    Other(Finish),
}

type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// With the asyncio future that waits for it, whose address is the number of the task.
type Call = dyn Future<Output = (Py<PyAny>, Done)> + Send;

/// Writes to what the loop watches.
struct Ring(Mutex<Wire>);

impl Bell for Ring {
    fn ring(&self) {
        // Eight bytes are one count to an eventfd, and any eight bytes to a socket. A full one rings already.
        let _ = self.0.lock().write(&1_u64.to_ne_bytes());
    }
}

/// The calls that wait on one asyncio loop. All methods are for the loop's own thread, and what takes `event_loop`
/// answers with a future of it.
#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct LoopTasks {
    tasks: Tasks<Call>,
    process: u32,
}

impl LoopTasks {
    fn begin<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        call: impl Future<Output = Done> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        if self.process != process::id() {
            let text = "the event loop belongs to the parent process";
            return Err(to_py(py, &Error::new(ErrorCode::Forked, text)));
        }
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        let waits = future.clone().unbind();
        let call = Box::pin(async move { (waits, call.await) });
        if let Some((_, done)) = self.tasks.start(address(&future), call) {
            resolve(&future, done)?;
        }
        Ok(future)
    }

    /// Begins what is no invocation; `value` makes the result.
    fn begin_other<'py, T: Send + 'static>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        call: impl Future<Output = Result<T>> + Send + 'static,
        value: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.begin(event_loop, async move {
            let result = caught(call).await;
            Done::Other(Box::new(move |py| value(py, result.map_err(|error| to_py(py, &error))?)))
        })
    }
}

fn address(future: &Bound<'_, PyAny>) -> u64 {
    future.as_ptr() as u64
}

/// Tells a future what became of its call, unless nobody waits for it any more.
fn resolve(future: &Bound<'_, PyAny>, done: Done) -> PyResult<()> {
    let py = future.py();
    let result = match done {
        Done::Reply(Ok(reply)) => Py::new(py, Reply::from(reply)).map(Py::into_any),
        Done::Reply(Err(error)) => Err(to_py(py, &error)),
        Done::Other(value) => value(py),
    };
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match result {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,))?,
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?,
    };
    Ok(())
}

#[pymethods]
impl LoopTasks {
    /// `wire`, a descriptor that belongs to this object from now on, is written to when something is done.
    #[new]
    #[pyo3(signature = (wire, /))]
    fn new(wire: RawWire) -> Self {
        // SAFETY: the package's own Python code made the descriptor and gives it away here.
        #[cfg(unix)]
        let wire = unsafe { Wire::from_raw_fd(wire) };
        // SAFETY: as above, with a socket.
        #[cfg(windows)]
        let wire = unsafe { Wire::from_raw_socket(wire) };
        Self { tasks: Tasks::new(Ring(Mutex::new(wire))), process: process::id() }
    }

    /// Settle the futures of what is done. For the loop, after it read what it watches.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        guarded(py, || {
            self.tasks.poll_woken(|_, (future, done)| {
                if let Err(error) = resolve(future.bind(py), done) {
                    error.write_unraisable(py, Some(future.bind(py)));
                }
            });
            Ok(())
        })
    }

    /// Cancel the call of a future that was cancelled.
    #[pyo3(signature = (future, /))]
    fn cancel(&self, future: &Bound<'_, PyAny>) {
        self.tasks.cancel(address(future));
    }

    /// Cancel all calls, of a loop that is closed.
    fn abandon(&self) {
        self.tasks.cancel_all();
    }

    /// How many calls wait.
    fn waiting(&self) -> usize {
        self.tasks.waiting()
    }

    /// One call.
    #[pyo3(signature = (event_loop, client, name, operation, data, metadata, timeout, /))]
    #[allow(clippy::too_many_arguments, reason = "those of a call")]
    fn invoke<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: &NativeClient,
        name: String,
        operation: String,
        data: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
        timeout: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        guarded(py, || {
            let (request, timeout) = request(data, metadata)
                .and_then(|request| Ok((request, convert::duration("timeout", timeout)?)))
                .map_err(|fault| fault.into_exception(py, &name, &operation))?;
            let client = client.client.clone();
            self.begin(event_loop, async move {
                Done::Reply(caught(client.invoke_binding(&name, &operation, request, timeout)).await)
            })
        })
    }

    /// Many calls in one crossing.
    #[pyo3(signature = (event_loop, client, name, operation, payloads, metadata, timeout, /))]
    #[allow(clippy::too_many_arguments, reason = "those of a call")]
    fn invoke_many<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: &NativeClient,
        name: String,
        operation: String,
        payloads: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
        timeout: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        guarded(py, || {
            let (many, timeout) = Many::new(payloads, metadata, &name, &operation)
                .and_then(|many| Ok((many, convert::duration("timeout", timeout)?)))
                .map_err(|fault| fault.into_exception(py, &name, &operation))?;
            let (client, requests, places) = (client.client.clone(), many.requests, many.places);
            let call = async move { client.invoke_many(&name, &operation, requests, timeout).await };
            self.begin_other(event_loop, call, |py, replies| {
                Ok(places.fill(py, replies)?.into_any().unbind())
            })
        })
    }

    /// Open what can send and wait until it works.
    #[pyo3(signature = (event_loop, client, timeout, /))]
    fn ready<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: &NativeClient,
        timeout: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        guarded(py, || {
            let timeout = convert::option("timeout", timeout)?.unwrap_or(bindwright::DEFAULT_TIMEOUT);
            let client = client.client.clone();
            self.begin_other(event_loop, async move { client.ready(timeout).await }, nothing)
        })
    }

    /// All components in scope and how they are.
    #[pyo3(signature = (event_loop, client, /))]
    fn components<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: &NativeClient,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(event_loop.py(), || {
            let client = client.client.clone();
            self.begin_other(event_loop, async move { client.components().await }, |py, known| {
                Ok(component_parts(py, known)?.into_pyobject(py)?.into_any().unbind())
            })
        })
    }

    /// Look at the resource files now.
    #[pyo3(signature = (event_loop, client, /))]
    fn reload<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: &NativeClient,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(event_loop.py(), || {
            let client = client.client.clone();
            self.begin_other(event_loop, async move { client.reload().await }, |py, reload| {
                Ok(reload_parts(py, reload)?.into_pyobject(py)?.into_any().unbind())
            })
        })
    }

    /// Attach to an input binding: for handlers of single events or of many (`together`), or for a program that pulls.
    #[pyo3(signature = (event_loop, client, name, hand_out, /))]
    fn subscribe<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: Py<NativeClient>,
        name: String,
        hand_out: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let together = hand_out == "batches";
        let hand_out = match hand_out {
            "events" => HandOut::LaneAtATime,
            "batches" => HandOut::Batches,
            _ => HandOut::Freely,
        };
        guarded(event_loop.py(), || {
            let core = client.get().client.clone();
            let call = async move { core.subscribe(&name, hand_out).await };
            self.begin_other(event_loop, call, move |py, subscription| {
                let subscription = Subscription::new(client.get().share(subscription), together);
                Ok(Py::new(py, subscription)?.into_any())
            })
        })
    }

    /// Wait until a subscription has events or has ended.
    #[pyo3(signature = (event_loop, subscription, /))]
    fn wait<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        subscription: &Subscription,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(event_loop.py(), || {
            let core = subscription.shared.subscription.clone();
            let call = async move { Ok(core.ready(None).await) };
            self.begin_other(event_loop, call, |py, _| Ok(py.None()))
        })
    }

    /// Begin no more events of a subscription, wait up to `drain` for those begun, and leave.
    #[pyo3(signature = (event_loop, subscription, drain, /))]
    fn end<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        subscription: &Subscription,
        drain: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        guarded(py, || {
            let drain = convert::option("drain", drain)?.unwrap_or_default();
            subscription.shared.begin_stopping();
            let core = subscription.shared.subscription.clone();
            self.begin_other(event_loop, async move { core.close(drain).await }, nothing)
        })
    }

    /// Begin no more events, wait up to `drain` for those begun, record what was settled, leave.
    #[pyo3(signature = (event_loop, client, drain, /))]
    fn close<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        client: &NativeClient,
        drain: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        guarded(py, || {
            let drain = convert::option("drain", drain)?.unwrap_or(bindwright::DEFAULT_DRAIN);
            client.begin_stopping();
            let client = client.client.clone();
            self.begin_other(event_loop, async move { client.close(drain).await }, nothing)
        })
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as `begin_other` wants it")]
fn nothing(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}
