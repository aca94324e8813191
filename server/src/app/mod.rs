//! The application's side: which inputs it wants, and what becomes of their events.
//!
//! `port.rs` waits until it is there, `health.rs` asks it how it is, `http.rs` and `grpc.rs` speak to it, `input.rs` is
//! the life of one input, `outcome.rs` reads its answers. Each input has a task of its own: one that the application is slow to
//! answer about holds up no other. Tests are in `server/tests/serve/app.rs`.

mod channel;
mod grpc;
mod health;
mod http;
mod input;
mod outcome;
mod port;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::sidecar::Sidecar;
use channel::Channel;
use input::Input;

/// How often components are looked at for inputs that came, went or changed.
const LOOK: Duration = Duration::from_secs(1);

/// Everything that is received for the application.
pub(crate) struct Inputs {
    stop: watch::Sender<bool>,
    health: watch::Receiver<bool>,
    /// Goes on while inputs are stopped, so that the end hears how the application is.
    probes: Probes,
    task: Option<JoinHandle<()>>,
}

/// The task that asks the application how it is, once there is one.
#[derive(Clone, Default)]
struct Probes(Arc<OnceLock<AbortHandle>>);

impl Drop for Inputs {
    fn drop(&mut self) {
        if let Some(probes) = self.probes.0.get() {
            probes.abort();
        }
    }
}

/// One input at work.
struct Running {
    input: Input,
    stop: watch::Sender<bool>,
    /// Whether the application was asked about it, or need not be.
    asked: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Inputs {
    /// Begins in the background. Without a port of the application nothing is ever received.
    ///
    /// # Errors
    /// When the address of the application is none.
    pub(crate) fn start(sidecar: &Arc<Sidecar>) -> Result<Self, String> {
        let stop = watch::Sender::new(false);
        let options = &sidecar.options;
        let checked = options.enable_app_health_check;
        let (healthy, health) = watch::channel(!checked);
        let Some(port) = options.app_port.filter(|port| *port != 0) else {
            sidecar.set_ready();
            return Ok(Self { stop, health, probes: Probes::default(), task: None });
        };
        let channel = Arc::new(Channel::new(options, port, sidecar.tracing)?);
        let probes = Probes::default();
        let life =
            live(sidecar.clone(), channel, stop.subscribe(), (healthy, probes.clone()), health.clone());
        Ok(Self { stop, health, probes, task: Some(tokio::spawn(life)) })
    }

    /// Ends all inputs: nothing new is handed out, what the application has may be answered until `patience` is over.
    pub(crate) async fn stop(&mut self, patience: Duration) {
        self.stop.send_replace(true);
        if let Some(task) = &mut self.task {
            if tokio::time::timeout(patience, &mut *task).await.is_err() {
                task.abort();
            }
            self.task = None;
        }
    }

    /// Waits until the application is not well.
    pub(crate) async fn unhealthy(&mut self) {
        if self.health.wait_for(|healthy| !healthy).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn live(
    sidecar: Arc<Sidecar>,
    channel: Arc<Channel>,
    mut stop: watch::Receiver<bool>,
    (healthy, probes): (watch::Sender<bool>, Probes),
    mut health: watch::Receiver<bool>,
) {
    tokio::select! {
        () = port::wait(&sidecar.options.app_channel_address, channel.port()) => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    if sidecar.options.enable_app_health_check {
        let probe = tokio::spawn(health::probe(sidecar.clone(), channel.clone(), healthy));
        let _ = probes.0.set(probe.abort_handle());
    }
    let mut running = HashMap::new();
    while !*stop.borrow() {
        let is_well = *health.borrow_and_update();
        let wanted = if is_well { inputs(&sidecar).await } else { HashMap::new() };
        let leaving = running.extract_if(|name, one: &mut Running| wanted.get(name) != Some(&one.input));
        stop_all(leaving.map(|(_, one)| one).collect()).await;
        for (name, input) in wanted {
            running.entry(name).or_insert_with(|| begin(&sidecar, &channel, input));
        }
        if is_well && !sidecar.is_ready() {
            let asked = async {
                for one in running.values_mut() {
                    let _ = one.asked.wait_for(|asked| *asked).await;
                }
            };
            tokio::select! {
                () = asked => sidecar.set_ready(),
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            // Without health checks nobody tells anything, and this must not end at once for ever.
            Ok(()) = health.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    stop_all(running.into_values().collect()).await;
}

/// What could be received, by name.
async fn inputs(sidecar: &Sidecar) -> HashMap<String, Input> {
    let components = sidecar.components().await.into_iter().filter(|one| one.input);
    components
        .map(|one| {
            let input = Input { name: one.name.clone(), route: one.route, is_explicit: one.explicit_input };
            (one.name, input)
        })
        .collect()
}

fn begin(sidecar: &Arc<Sidecar>, channel: &Arc<Channel>, input: Input) -> Running {
    let stop = watch::Sender::new(false);
    let (told, asked) = watch::channel(false);
    let life = input::live(sidecar.clone(), channel.clone(), input.clone(), stop.subscribe(), told);
    Running { input, stop, asked, task: tokio::spawn(life) }
}

/// All at once: each waits for what the application has of it.
async fn stop_all(leaving: Vec<Running>) {
    for one in &leaving {
        one.stop.send_replace(true);
    }
    for one in leaving {
        let _ = one.task.await;
    }
}
