//! Where a sidecar delivers events to this program: one port for Dapr's HTTP and gRPC.
//!
//! The port is opened at the first subscription. `serve.rs` has the connections, `http.rs` and `grpc.rs` what is asked
//! on them, `delivery.rs` the way of one event through dispatch and back to the sidecar as an answer.

mod delivery;
mod grpc;
mod http;
mod serve;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::settings::Settings;
use crate::binding::{InputBinding, Reading};
use crate::body::Body;
use crate::dispatch::Intake;
use crate::error::{Error, ErrorCode, Result};
use crate::event::NewEvent;
use crate::health::Health;
use crate::metadata::Metadata;
use crate::settings::Secret;

/// A sidecar asks once which events the program wants, as soon as the port is open. So long after the last
/// subscription nobody else is expected to subscribe, ...
const QUIET: Duration = Duration::from_secs(1);
/// ... and so long after the port was opened nobody is waited for: the question has a time-out, 3 s by default.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The program's side of a sidecar.
pub(super) struct AppChannel {
    port: Option<u16>,
    address: String,
    token: Option<Secret>,
    /// The most bytes of one event.
    most: usize,
    wanted: Mutex<Wanted>,
    /// Told when somebody subscribed.
    subscribed: Notify,
    /// Held while the port is opened.
    opening: tokio::sync::Mutex<()>,
    /// Set when the client closes: connections end.
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Wanted {
    by_name: HashMap<Arc<str>, Vec<Arc<Receiver>>>,
    listener: Option<AbortHandle>,
    opened: Option<Instant>,
    last: Option<Instant>,
}

/// A subscription, as events find it.
struct Receiver {
    intake: Intake,
    /// Takes nothing more.
    stopped: AtomicBool,
    /// Waits no longer for what handlers have.
    abandoned: AtomicBool,
    /// Rings when one of the two is set, and when an event is answered after that.
    bell: Notify,
    under_way: AtomicUsize,
}

impl AppChannel {
    pub(super) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            port: settings.app_port,
            address: settings.app_address.clone(),
            token: settings.app_token.clone(),
            most: settings.max_message_size,
            wanted: Mutex::default(),
            subscribed: Notify::new(),
            opening: tokio::sync::Mutex::default(),
            closed: watch::Sender::new(false),
        })
    }

    /// The binding of a name, as the sidecar will deliver it.
    pub(super) fn input(self: &Arc<Self>, name: &str) -> Arc<dyn InputBinding> {
        Arc::new(AppInput { channel: self.clone(), name: name.into() })
    }

    /// Gives the port back and ends the connections, as soon as the last answers are written.
    pub(super) async fn close(&self) {
        self.end();
        // Every connection holds a receiver, and ends within half of this.
        let _ = tokio::time::timeout(serve::LAST_ANSWERS * 2, self.closed.closed()).await;
    }

    fn end(&self) {
        let mut wanted = self.wanted.lock();
        self.closed.send_replace(true);
        if let Some(listener) = wanted.listener.take() {
            listener.abort();
        }
    }

    /// The subscription that gets the next event of a name; several take turns.
    fn receiver(&self, name: &str) -> Option<Arc<Receiver>> {
        let mut wanted = self.wanted.lock();
        let receivers = wanted.by_name.get_mut(name)?;
        if receivers.len() > 1 {
            receivers.rotate_left(1);
        }
        receivers.first().cloned()
    }

    /// The names that are subscribed to, once nobody else is expected to subscribe.
    async fn names(&self) -> Vec<String> {
        self.settled(|_| false).await;
        self.wanted.lock().by_name.keys().map(ToString::to_string).collect()
    }

    /// Whether somebody subscribes to the name; waits for those who are about to.
    async fn wants(&self, name: &str) -> bool {
        let is_there = |wanted: &Wanted| wanted.by_name.contains_key(name);
        self.settled(is_there).await;
        is_there(&self.wanted.lock())
    }

    async fn settled(&self, is_enough: impl Fn(&Wanted) -> bool) {
        loop {
            let mut subscribed = std::pin::pin!(self.subscribed.notified());
            subscribed.as_mut().enable();
            let until = {
                let wanted = self.wanted.lock();
                let (Some(opened), Some(last)) = (wanted.opened, wanted.last) else { return };
                if is_enough(&wanted) {
                    return;
                }
                (last + QUIET).min(opened + LONGEST_WAIT)
            };
            if until <= Instant::now() || tokio::time::timeout_at(until.into(), subscribed).await.is_err() {
                return;
            }
        }
    }

    /// Whether an event shows the token that is asked for.
    fn is_known(&self, shown: Option<&[u8]>) -> bool {
        self.token.as_ref().is_none_or(|token| token.is(shown.unwrap_or_default()))
    }

    async fn open(self: &Arc<Self>) -> Result<()> {
        let _opening = self.opening.lock().await;
        if self.wanted.lock().listener.is_some() {
            return Ok(());
        }
        let Some(port) = self.port else {
            let message = "a sidecar delivers events to a port of this program, and none is named";
            return Err(Error::new(ErrorCode::InvalidOptions, message)
                .advice("Give the port that the sidecar was told (--app-port) in `app_port` or APP_PORT."));
        };
        let bound = tokio::net::TcpListener::bind((self.address.as_str(), port)).await;
        let listener = bound.map_err(|error| {
            let message = format!("port {port} on {} cannot be opened for the events of the sidecar", self.address);
            let advice = "Each client and program that receives through a sidecar needs a port of its own: correct `app_port` or APP_PORT.";
            Error::new(ErrorCode::InvalidOptions, message).backend(error.to_string()).advice(advice)
        })?;
        tracing::info!(target: "bindwright", address = self.address, port, "waiting for events of the sidecar");
        let mut wanted = self.wanted.lock();
        if *self.closed.borrow() {
            return Err(Error::new(ErrorCode::Closed, "the client is being closed"));
        }
        wanted.opened = Some(Instant::now());
        let serving = tokio::spawn(serve::serve(Arc::downgrade(self), self.closed.subscribe(), listener));
        wanted.listener = Some(serving.abort_handle());
        Ok(())
    }

    fn add(&self, name: &Arc<str>, receiver: Arc<Receiver>) {
        {
            let mut wanted = self.wanted.lock();
            wanted.by_name.entry(name.clone()).or_default().push(receiver);
            wanted.last = Some(Instant::now());
        }
        self.subscribed.notify_waiters();
    }

    fn remove(&self, name: &str, receiver: &Arc<Receiver>) {
        let mut wanted = self.wanted.lock();
        if let Some(receivers) = wanted.by_name.get_mut(name) {
            receivers.retain(|one| !Arc::ptr_eq(one, receiver));
            if receivers.is_empty() {
                wanted.by_name.remove(name);
            }
        }
    }
}

impl Drop for AppChannel {
    fn drop(&mut self) {
        self.end();
    }
}

/// A binding whose events the sidecar delivers.
struct AppInput {
    channel: Arc<AppChannel>,
    name: Arc<str>,
}

/// An event as the sidecar delivers it; `attempt` counts its deliveries where the sidecar tells.
fn event(body: Bytes, metadata: Metadata, attempt: Option<&str>) -> NewEvent {
    let mut event = NewEvent::new(0, Body::Bytes(body), metadata);
    let attempt: u32 = attempt.and_then(|text| text.parse().ok()).unwrap_or(1);
    event.earlier_deliveries = attempt.saturating_sub(1);
    event
}

#[async_trait]
impl InputBinding for AppInput {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let receiver = Arc::new(Receiver {
            intake,
            stopped: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            bell: Notify::new(),
            under_way: AtomicUsize::new(0),
        });
        // First, so that a sidecar which asks at once finds it.
        self.channel.add(&self.name, receiver.clone());
        let reading = AppReading { channel: self.channel.clone(), name: self.name.clone(), receiver };
        self.channel.open().await?;
        Ok(Box::new(reading))
    }
}

struct AppReading {
    channel: Arc<AppChannel>,
    name: Arc<str>,
    receiver: Arc<Receiver>,
}

impl AppReading {
    fn leave(&self) {
        self.channel.remove(&self.name, &self.receiver);
        self.receiver.stopped.store(true, Ordering::SeqCst);
        self.receiver.bell.notify_waiters();
    }
}

#[async_trait]
impl Reading for AppReading {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        self.leave();
        loop {
            let mut bell = std::pin::pin!(self.receiver.bell.notified());
            bell.as_mut().enable();
            if self.receiver.under_way.load(Ordering::SeqCst) == 0 {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline.into(), bell).await.is_err() {
                // The sidecar hears that they were not handled, and delivers them again.
                self.receiver.abandoned.store(true, Ordering::SeqCst);
                self.receiver.bell.notify_waiters();
                return Ok(());
            }
        }
    }

    fn health(&self) -> Health {
        Health::READY
    }
}

impl Drop for AppReading {
    fn drop(&mut self) {
        self.leave();
    }
}
