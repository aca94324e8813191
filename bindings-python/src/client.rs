//! The native client that `bindwright.Client` wraps. Tests: `tests/test_invoke.py`, `tests/test_client.py`.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bindwright::component::Secret;
use bindwright::{
    Client, ClientOptions, ComponentInfo, Error, ErrorCode, HandOut, Ledger, Result, SidecarOptions,
    TransportKind,
};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::convert;
use crate::errors::{exception, guarded, to_py};
use crate::events::Events;
use crate::reply::Reply;
use crate::requests::{Many, request};
use crate::subscription::{Shared, Subscription};
use crate::waiting::Interrupts;

/// One component, as a tuple: name, type, version, input, output, state, error, redelivery, retries.
pub(crate) type Component<'py> = (
    String,
    String,
    String,
    bool,
    bool,
    &'static str,
    Option<Bound<'py, PyAny>>,
    Option<LedgerParts>,
    Option<LedgerParts>,
);
/// Attempts, longest seconds, seconds of pauses.
type LedgerParts = (Option<u32>, Option<f64>, Option<f64>);
/// What a look at the files changed: added, changed, removed, faults.
pub(crate) type Reload<'py> = (Vec<String>, Vec<String>, Vec<String>, Vec<Bound<'py, PyAny>>);

#[pyclass(frozen, module = "bindwright._native")]
pub(crate) struct NativeClient {
    pub(crate) client: Client,
    subscriptions: Mutex<Vec<Weak<Shared>>>,
}

impl NativeClient {
    fn attach(&self, py: Python<'_>, name: &str, hand_out: HandOut) -> PyResult<Arc<Shared>> {
        let mut interrupts = Interrupts::default();
        let attached =
            py.detach(|| self.client.block_on(self.client.subscribe(name, hand_out), || interrupts.look()));
        interrupts.check()?;
        let subscription = attached.unwrap_or_else(|| Err(cancelled())).map_err(|error| to_py(py, &error))?;
        Ok(self.share(subscription))
    }

    /// Notes a subscription, so that closing can begin with it.
    pub(crate) fn share(&self, subscription: bindwright::Subscription) -> Arc<Shared> {
        let shared = Shared::new(self.client.clone(), subscription);
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.retain(|known| known.strong_count() > 0);
        subscriptions.push(Arc::downgrade(&shared));
        shared
    }

    /// Begins no more events.
    pub(crate) fn begin_stopping(&self) {
        let subscriptions = std::mem::take(&mut *self.subscriptions.lock());
        for shared in subscriptions.iter().filter_map(Weak::upgrade) {
            shared.begin_stopping();
        }
    }

    /// Begins no more events and closes; after Ctrl-C closing goes on without anybody who waits for it.
    fn drain_and_close(&self, drain: Duration, interrupts: &mut Interrupts) -> Result<()> {
        self.begin_stopping();
        let closed = self.client.block_on(self.client.close(drain), || interrupts.look());
        closed.unwrap_or(Ok(()))
    }
}

#[pymethods]
impl NativeClient {
    #[new]
    #[pyo3(signature = (
        resources, app_id, transport, timeout, hot_reload, /, *, sidecar_endpoint, sidecar_token, sidecar_ca,
        max_message_size, max_retries, app_port, app_token
    ))]
    #[allow(clippy::too_many_arguments, reason = "those of a client")]
    fn new(
        py: Python<'_>,
        resources: Option<Vec<PathBuf>>,
        app_id: Option<String>,
        transport: Option<&str>,
        timeout: &Bound<'_, PyAny>,
        hot_reload: Option<bool>,
        sidecar_endpoint: Option<String>,
        sidecar_token: Option<String>,
        sidecar_ca: Option<PathBuf>,
        max_message_size: &Bound<'_, PyAny>,
        max_retries: &Bound<'_, PyAny>,
        app_port: &Bound<'_, PyAny>,
        app_token: Option<String>,
    ) -> PyResult<Self> {
        guarded(py, || {
            let timeout = convert::option("timeout", timeout)?;
            let transport =
                transport.map(TransportKind::parse).transpose().map_err(|error| to_py(py, &error))?;
            let sidecar = SidecarOptions {
                endpoint: sidecar_endpoint,
                token: sidecar_token.map(Secret::new),
                ca_file: sidecar_ca,
                max_message_size: convert::number("max_message_size", "at least 1", max_message_size)?,
                max_retries: convert::number("max_retries", "a smaller number", max_retries)?,
                app_port: convert::number("app_port", "1 to 65535", app_port)?,
                app_token: app_token.map(Secret::new),
            };
            let options = ClientOptions {
                resources,
                app_id,
                transport,
                sidecar,
                timeout,
                hot_reload,
                ..ClientOptions::default()
            };
            let client = py.detach(|| Client::open(options)).map_err(|error| to_py(py, &error))?;
            Ok(Self { client, subscriptions: Mutex::default() })
        })
    }

    /// One call: positional arguments only, and nothing done twice, as this is what programs do all day.
    #[pyo3(signature = (name, operation, data, metadata, timeout, /))]
    fn invoke(
        &self,
        py: Python<'_>,
        name: &str,
        operation: &str,
        data: &Bound<'_, PyAny>,
        metadata: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
    ) -> PyResult<Reply> {
        guarded(py, || {
            let request = request(data, metadata);
            let (request, timeout) = request
                .and_then(|request| Ok((request, convert::duration("timeout", timeout)?)))
                .map_err(|fault| fault.into_exception(py, name, operation))?;
            let mut interrupts = Interrupts::default();
            let reply = py.detach(|| {
                self.client.invoke_binding_blocking(name, operation, request, timeout, || interrupts.look())
            });
            interrupts.check()?;
            reply.map(Reply::from).map_err(|error| to_py(py, &error))
        })
    }

    /// Many calls in one crossing; `metadata` is for all of them, or a sequence with an entry for each.
    #[pyo3(signature = (name, operation, payloads, metadata, timeout, /))]
    fn invoke_many<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        operation: &str,
        payloads: &Bound<'py, PyAny>,
        metadata: &Bound<'py, PyAny>,
        timeout: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        guarded(py, || {
            let many = Many::new(payloads, metadata, name, operation);
            let (many, timeout) = many
                .and_then(|many| Ok((many, convert::duration("timeout", timeout)?)))
                .map_err(|fault| fault.into_exception(py, name, operation))?;
            let (requests, mut interrupts) = (many.requests, Interrupts::default());
            let replies = py.detach(|| {
                self.client.invoke_many_blocking(name, operation, requests, timeout, || interrupts.look())
            });
            interrupts.check()?;
            many.places.fill(py, replies.map_err(|error| to_py(py, &error))?)
        })
    }

    /// Attach a handler's workers; `together` when the handler gets many events at once.
    #[pyo3(signature = (name, together, /))]
    fn subscribe(&self, py: Python<'_>, name: &str, together: bool) -> PyResult<Subscription> {
        let hand_out = if together { HandOut::Batches } else { HandOut::LaneAtATime };
        guarded(py, || self.attach(py, name, hand_out).map(|shared| Subscription::new(shared, together)))
    }

    /// Attach a program that pulls.
    #[pyo3(signature = (name, /))]
    fn events(&self, py: Python<'_>, name: &str) -> PyResult<Events> {
        guarded(py, || self.attach(py, name, HandOut::Freely).map(Events))
    }

    /// All components in scope and how they are, by name.
    fn components<'py>(&self, py: Python<'py>) -> PyResult<Vec<Component<'py>>> {
        guarded(py, || {
            let mut interrupts = Interrupts::default();
            let known = py.detach(|| self.client.block_on(self.client.components(), || interrupts.look()));
            interrupts.check()?;
            let components = known.unwrap_or_else(|| Err(cancelled())).map_err(|error| to_py(py, &error))?;
            component_parts(py, components)
        })
    }

    /// Open what can send and wait until it works, for up to `timeout`; without one for as long as a call.
    #[pyo3(signature = (timeout, /))]
    fn ready(&self, py: Python<'_>, timeout: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(py, || {
            let timeout = convert::option("timeout", timeout)?.unwrap_or(bindwright::DEFAULT_TIMEOUT);
            let mut interrupts = Interrupts::default();
            let ready = py.detach(|| self.client.block_on(self.client.ready(timeout), || interrupts.look()));
            interrupts.check()?;
            ready.unwrap_or_else(|| Err(cancelled())).map_err(|error| to_py(py, &error))
        })
    }

    /// Add the components of a text, for this client only; their names.
    #[pyo3(signature = (text, /))]
    fn add_component(&self, py: Python<'_>, text: &str) -> PyResult<Vec<String>> {
        guarded(py, || py.detach(|| self.client.add_component(text)).map_err(|error| to_py(py, &error)))
    }

    /// Remove a component, for this client only.
    #[pyo3(signature = (name, /))]
    fn remove_component(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        guarded(py, || py.detach(|| self.client.remove_component(name)).map_err(|error| to_py(py, &error)))
    }

    /// Look at the resource files now.
    fn reload<'py>(&self, py: Python<'py>) -> PyResult<Reload<'py>> {
        guarded(py, || {
            let mut interrupts = Interrupts::default();
            let reload = py.detach(|| self.client.block_on(self.client.reload(), || interrupts.look()));
            interrupts.check()?;
            let reload = reload.unwrap_or_else(|| Err(cancelled())).map_err(|error| to_py(py, &error))?;
            reload_parts(py, reload)
        })
    }

    /// Documents that were left out and settings that look wrong, as exceptions that nobody raised.
    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        guarded(py, || self.client.faults().iter().map(|error| exception(py, error)).collect())
    }

    /// Begin no more events, wait up to `drain` for those begun, record what was settled, leave.
    #[pyo3(signature = (drain, /))]
    fn close(&self, py: Python<'_>, drain: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(py, || {
            let drain = convert::option("drain", drain)?.unwrap_or(bindwright::DEFAULT_DRAIN);
            let mut interrupts = Interrupts::default();
            let closed = py.detach(|| self.drain_and_close(drain, &mut interrupts));
            interrupts.check()?;
            closed.map_err(|error| to_py(py, &error))
        })
    }

    /// The way that was chosen.
    #[getter]
    fn transport(&self) -> &'static str {
        self.client.transport().as_str()
    }
}

pub(crate) fn component_parts(
    py: Python<'_>,
    components: Vec<ComponentInfo>,
) -> PyResult<Vec<Component<'_>>> {
    let tuple = |info: ComponentInfo| {
        let error = info.error.map(|error| exception(py, &error)).transpose()?;
        Ok((
            info.name,
            info.component_type,
            info.version,
            info.input,
            info.output,
            info.state.as_str(),
            error,
            info.redelivery.map(parts),
            info.retries.map(parts),
        ))
    };
    components.into_iter().map(tuple).collect()
}

pub(crate) fn reload_parts(py: Python<'_>, reload: bindwright::Reload) -> PyResult<Reload<'_>> {
    let faults = reload.faults.iter().map(|error| exception(py, error));
    Ok((reload.added, reload.changed, reload.removed, faults.collect::<PyResult<_>>()?))
}

fn parts(ledger: Ledger) -> LedgerParts {
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    (ledger.attempts, seconds(ledger.longest), seconds(ledger.pauses))
}

fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "the call was interrupted")
}
