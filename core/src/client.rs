//! The client: the one object an application holds.

mod calls;
mod components;
mod handlers;
mod options;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::dispatch::{HandOut, Subscription, WeakSubscription};
use crate::error::{Error, ErrorCode, Result};
use crate::event::{Event, Outcome};
use crate::process;
use crate::runtime;
use crate::transport::{Embedded, Sidecar, Transport, TransportKind};

use calls::{CallsUnderWay, UnderWay};
pub use options::ClientOptions;

/// How long a call waits when nobody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long closing waits for handlers when nobody says otherwise.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// Calls bindings and receives events.
///
/// Shared between threads; a clone is the same client. Every call has a deadline. Opening is cheap, also for every
/// message: clients of the same resources and app id share their connections.
///
/// ```no_run
/// # async fn example() -> bindwright::Result<()> {
/// use bindwright::{Client, ClientOptions, Request};
///
/// let client = Client::open(ClientOptions::default())?;
/// let request = Request::new(r#"{"orderId":1}"#).with("partitionKey", "1");
/// let reply = client.invoke_binding("checkout", "create", request, None).await?;
/// println!("written to offset {:?}", reply.metadata.get("offset"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    process: u32,
    kind: TransportKind,
    transport: Box<dyn Transport>,
    runtime: tokio::runtime::Handle,
    timeout: Duration,
    /// Dropping a subscription ends it; closing waits for those that are left.
    subscriptions: Mutex<Vec<WeakSubscription>>,
    /// No new subscriptions. Handlers that still run may call until they are done.
    closing: AtomicBool,
    /// Ends with the time for new calls.
    calls: CallsUnderWay,
    stopped: tokio::sync::OnceCell<Result<()>>,
}

impl Client {
    /// Reads the component documents, or finds out where the sidecar is. Connects to nothing: a component is opened
    /// when it is first used, a sidecar is waited for by the first call.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for a missing folder or a variable that cannot be used, `INVALID_MANIFEST` for two
    /// components of one name. A fault in one document does not keep the others from being used: see
    /// [`faults`](Self::faults).
    pub fn open(options: ClientOptions) -> Result<Self> {
        let kind = options.transport_kind()?;
        let timeout = options.timeout;
        let transport: Box<dyn Transport> = match kind {
            TransportKind::Embedded => Self::embedded(options)?,
            TransportKind::SidecarGrpc => Box::new(Sidecar::over_grpc(&options.sidecar_settings(kind)?)?),
            TransportKind::SidecarHttp => Box::new(Sidecar::over_http(&options.sidecar_settings(kind)?)?),
        };
        Ok(Self(Arc::new(Shared {
            process: process::id(),
            kind,
            transport,
            runtime: runtime::handle()?,
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            subscriptions: Mutex::default(),
            closing: AtomicBool::new(false),
            calls: CallsUnderWay::default(),
            stopped: tokio::sync::OnceCell::new(),
        })))
    }

    fn embedded(options: ClientOptions) -> Result<Box<dyn Transport>> {
        let (app_id, hot_reload, denied) = (options.app_id(), options.hot_reload()?, options.denied.clone());
        let resources = options.into_resources()?;
        let transport = Embedded::open(&resources, app_id.as_deref(), hot_reload, denied)?;
        tracing::info!(target: "bindwright", transport = "embedded", ?resources, app_id, "client opened");
        Ok(Box::new(transport))
    }

    /// The way that was chosen.
    pub fn transport(&self) -> TransportKind {
        self.0.kind
    }

    /// Runs one operation of the binding `name`; returns after the backend confirmed it.
    ///
    /// `timeout` bounds the whole call, connecting included; without one the client's default counts.
    ///
    /// # Errors
    /// `COMPONENT_NOT_FOUND`, `UNSUPPORTED_DIRECTION`, `UNSUPPORTED_OPERATION`, `INVALID_REQUEST` before anything is
    /// sent; `TIMEOUT`, `UNAVAILABLE` or `QUEUE_FULL` when the deadline passed and nothing was sent,
    /// `OUTCOME_UNKNOWN` when it passed afterwards; else what the backend's answer maps to.
    ///
    /// # Cancel safety
    /// Dropping the future recalls what was not yet handed to the backend.
    pub async fn invoke_binding(
        &self,
        name: &str,
        operation: &str,
        request: Request,
        timeout: Option<Duration>,
    ) -> Result<Reply> {
        let (_under_way, output) = self.output(name)?;
        // Boxed by the trait already; polled inside the runtime, whose timers it uses.
        self.on_runtime(output.invoke(&self.call(operation, timeout), request)).await
    }

    /// Runs one operation for many requests in one crossing; one result for each, in their order.
    ///
    /// # Errors
    /// As [`invoke_binding`](Self::invoke_binding), for what concerns all of them.
    pub async fn invoke_many(
        &self,
        name: &str,
        operation: &str,
        requests: Vec<Request>,
        timeout: Option<Duration>,
    ) -> Result<Vec<Result<Reply>>> {
        let (_under_way, output) = self.output(name)?;
        Ok(self.on_runtime(output.invoke_many(&self.call(operation, timeout), requests)).await)
    }

    /// [`invoke_binding`](Self::invoke_binding) for a thread that has nothing else to do meanwhile: results come
    /// home on the calling thread where the binding allows it.
    ///
    /// `interrupted` is asked about twenty times a second; when it says yes the call ends with `CANCELLED`.
    ///
    /// # Errors
    /// As [`invoke_binding`](Self::invoke_binding), and `CANCELLED`.
    pub fn invoke_binding_blocking(
        &self,
        name: &str,
        operation: &str,
        request: Request,
        timeout: Option<Duration>,
        interrupted: impl FnMut() -> bool,
    ) -> Result<Reply> {
        let (_under_way, output) = self.output(name)?;
        let call = self.call(operation, timeout);
        let invocation = output.invoke(&call, request);
        runtime::block_on(&self.0.runtime, invocation, output.driver(), interrupted)
            .unwrap_or_else(|| Err(cancelled(name, operation)))
    }

    /// [`invoke_many`](Self::invoke_many) for a thread that has nothing else to do meanwhile.
    ///
    /// # Errors
    /// As [`invoke_many`](Self::invoke_many), and `CANCELLED`.
    pub fn invoke_many_blocking(
        &self,
        name: &str,
        operation: &str,
        requests: Vec<Request>,
        timeout: Option<Duration>,
        interrupted: impl FnMut() -> bool,
    ) -> Result<Vec<Result<Reply>>> {
        let (_under_way, output) = self.output(name)?;
        let call = self.call(operation, timeout);
        let invocation = output.invoke_many(&call, requests);
        runtime::block_on(&self.0.runtime, invocation, output.driver(), interrupted)
            .ok_or_else(|| cancelled(name, operation))
    }

    /// Attaches to the input binding `name`; only now is it opened.
    ///
    /// # Errors
    /// `COMPONENT_NOT_FOUND`, `UNSUPPORTED_DIRECTION`, `INVALID_SETTINGS`. A backend that is down is no error: its
    /// events come when it is back.
    pub async fn subscribe(&self, name: &str, hand_out: HandOut) -> Result<Subscription> {
        self.check_open()?;
        let subscription = self.on_runtime(self.0.transport.subscribe(name, hand_out)).await?;
        self.list(&subscription);
        // Closing may have begun meanwhile, and looked at the list before.
        if self.0.closing.load(Ordering::Acquire) {
            self.on_runtime(subscription.stop(Instant::now())).await?;
            return Err(Error::new(ErrorCode::Closed, "the client is being closed"));
        }
        Ok(subscription)
    }

    fn list(&self, subscription: &Subscription) {
        let mut subscriptions = self.0.subscriptions.lock();
        subscriptions.retain(|known| known.upgrade().is_some());
        subscriptions.push(subscription.downgrade());
    }

    /// Handles every event of the binding `name` with an async function until the client is closed.
    ///
    /// Events of a partition come one after the other, partitions in parallel. The handler's outcome settles the
    /// event; a panic counts as [`Outcome::RETRY`].
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn on<H, F>(&self, name: &str, handler: H) -> Result<()>
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let subscription = self.subscribe(name, HandOut::LaneAtATime).await?;
        let handler = Arc::new(handler);
        self.0.runtime.spawn(async move {
            while let Some(batch) = subscription.next_batch(HANDLER_BATCH, None).await {
                let (subscription, handler) = (subscription.clone(), handler.clone());
                tokio::spawn(handlers::handle_batch(subscription, handler, batch));
            }
        });
        Ok(())
    }

    /// Handles the events of the binding `name` many at a time, up to `most`, with an async function that returns an
    /// outcome for each event, in their order; those it says nothing about are delivered again.
    ///
    /// A batch has the events of several partitions; nothing more of these is handed out until it is settled.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn on_batch<H, F>(&self, name: &str, most: usize, handler: H) -> Result<()>
    where
        H: Fn(Vec<Event>) -> F + Send + Sync + 'static,
        F: Future<Output = Vec<Outcome>> + Send + 'static,
    {
        let subscription = self.subscribe(name, HandOut::Batches).await?;
        let handler = Arc::new(handler);
        self.0.runtime.spawn(async move {
            while let Some(batch) = subscription.next_batch(most, None).await {
                tokio::spawn(handlers::handle_together(subscription.clone(), handler.clone(), batch));
            }
        });
        Ok(())
    }

    /// Closes the client, step by step and all within `drain`: no new subscriptions and no more events; handlers
    /// finish, and may call bindings until they do; what was settled is recorded and brokers' groups are left; then no
    /// new calls, and those under way finish; then what [`add_component`](Self::add_component) added is flushed and
    /// closed. A call that takes longer than `drain` still ends on its own.
    ///
    /// What other clients share stays open, and for ten seconds what was shared with nobody. Closing again waits for
    /// the first time to end. In a child of a fork it does nothing.
    ///
    /// # Errors
    /// When something settled could not be recorded: it will be delivered again.
    pub async fn close(&self, drain: Duration) -> Result<()> {
        if self.check_process().is_err() {
            return Ok(());
        }
        self.0.closing.store(true, Ordering::Release);
        let deadline = runtime::moment_in(drain);
        let client = self.clone();
        // Goes on when nobody waits for it any more, and a second caller waits for the first.
        let closing = self
            .0
            .runtime
            .spawn(async move { client.0.stopped.get_or_init(|| client.close_all(deadline)).await.clone() });
        closing.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, format!("closing the client panicked: {error}")))
        })
    }

    async fn close_all(&self, deadline: Instant) -> Result<()> {
        let stopped = self.stop_all(deadline).await;
        self.on_runtime(self.0.calls.end(deadline)).await;
        self.on_runtime(self.0.transport.close(deadline)).await;
        stopped
    }

    async fn stop_all(&self, deadline: Instant) -> Result<()> {
        let subscriptions = std::mem::take(&mut *self.0.subscriptions.lock());
        let stop = |subscription: Subscription| {
            self.0.runtime.spawn(async move { subscription.stop(deadline).await })
        };
        let stops: Vec<_> = subscriptions.iter().filter_map(WeakSubscription::upgrade).map(stop).collect();
        let mut result = Ok(());
        for stop in stops {
            let stopped = stop.await.unwrap_or_else(|error| {
                Err(Error::new(ErrorCode::Internal, format!("closing an input panicked: {error}")))
            });
            result = result.and(stopped);
        }
        result
    }

    /// Runs a future of this client to its end on the calling thread; `None` when `interrupted` said yes.
    pub fn block_on<F: Future>(&self, future: F, interrupted: impl FnMut() -> bool) -> Option<F::Output> {
        runtime::block_on(&self.0.runtime, future, None, interrupted)
    }

    /// The output of a name, and the note that it is being called: in this order, so that whoever waits for calls to
    /// end finds the output let go.
    fn output(&self, name: &str) -> Result<(UnderWay<'_>, Arc<dyn OutputBinding>)> {
        self.check_process()?;
        let under_way = self.0.calls.begin()?;
        Ok((under_way, self.0.transport.output(name)?))
    }

    fn check_process(&self) -> Result<()> {
        if self.0.process == process::id() {
            return Ok(());
        }
        Err(Error::new(ErrorCode::Forked, "the client belongs to the parent process"))
    }

    /// Refuses what begins something new.
    fn check_open(&self) -> Result<()> {
        self.check_process()?;
        if self.0.calls.has_ended() {
            return Err(calls::closed());
        }
        if self.0.closing.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the client is being closed"));
        }
        Ok(())
    }

    fn call(&self, operation: &str, timeout: Option<Duration>) -> Call {
        let timeout = timeout.unwrap_or(self.0.timeout);
        // A timeout of centuries means "for ever", not an overflow.
        let deadline = runtime::moment_in(timeout);
        Call { operation: operation.into(), deadline }
    }

    /// Polls a future with the runtime's timers at hand, whoever's executor the caller uses.
    async fn on_runtime<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            let _entered = self.0.runtime.enter();
            future.as_mut().poll(context)
        })
        .await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("transport", &self.0.kind).finish_non_exhaustive()
    }
}

/// Enough to make pulling cheap, little enough to report back soon.
const HANDLER_BATCH: usize = 64;

fn cancelled(name: &str, operation: &str) -> Error {
    Error::new(ErrorCode::Cancelled, "the call was interrupted").component(name).operation(operation)
}
