//! From options to a running server, and to its end.
//!
//! The order is Dapr's: components, then the ports, then the application; `healthz` is well when the application was
//! asked what it wants. At the end events stop first, then calls. Tests are in `server/tests/`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bindwright::{Client, ClientOptions, Error, ErrorCode, Result, State, TransportKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app;
use crate::http::Offers;
use crate::listen::{self, Door, Limits, Serves, Speaks};
use crate::options::Options;
use crate::sidecar::{Ending, Sidecar};
use crate::{grpc, http};

/// Where metrics are told when nobody says otherwise.
const METRICS_PORT: u16 = 9090;
/// The longest that a start waits for components: each has its `initTimeout`.
const LONGEST_START: Duration = Duration::from_hours(24);
/// The pause between two looks at components that are still connecting.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a forced end leaves for the answer to whoever asked.
const FORCED: Duration = Duration::from_millis(100);

/// A running server.
pub struct Server {
    sidecar: Arc<Sidecar>,
    http: Vec<SocketAddr>,
    grpc: Vec<SocketAddr>,
    metrics: Vec<SocketAddr>,
    ports: Ports,
    inputs: app::Inputs,
}

/// All ports, and their end.
struct Ports {
    addresses: Vec<String>,
    limits: Limits,
    serving: JoinSet<()>,
    closing: watch::Sender<bool>,
}

impl Server {
    /// Opens the components that `client` has, then the ports. Returns when calls can be made; the application may still
    /// be missing. Must be called on a runtime.
    ///
    /// # Errors
    /// The error of the first component that cannot be opened within its `initTimeout`, unless its document says
    /// `ignoreErrors`; `INVALID_OPTIONS` for options that contradict each other or a port that is taken.
    pub async fn start(client: Client, options: Options) -> Result<Self> {
        if let Some(fault) = options.fault() {
            return Err(Error::new(ErrorCode::InvalidOptions, fault));
        }
        open_components(&client).await?;
        let sidecar = Arc::new(Sidecar::new(client, options));
        warn(&sidecar);
        sidecar.metrics.look(&sidecar.components().await);
        let options = &sidecar.options;
        let services =
            grpc::services(&sidecar).await.map_err(|fault| Error::new(ErrorCode::Internal, fault))?;
        let h2c = !std::env::var("DAPR_HTTP_DISABLE_H2C").is_ok_and(|text| http::is_true(text.as_bytes()));
        let over_http = Speaks::Http { h2c };
        let mut ports = Ports::new(&sidecar);
        let api = http::service(&sidecar, Offers::Everything);
        let services = listen::routed(services);
        let (http_addresses, grpc_addresses) = match &options.unix_domain_socket {
            None => (
                ports.open("HTTP", options.http_port(), &api, over_http).await?,
                ports.open("gRPC", options.grpc_port(), &services, Speaks::Grpc).await?,
            ),
            Some(folder) => {
                let path = |what| folder.join(format!("dapr-{}-{what}.socket", sidecar.app_id()));
                ports.open_unix(&path("http"), &api, over_http)?;
                ports.open_unix(&path("grpc"), &services, Speaks::Grpc)?;
                (Vec::new(), Vec::new())
            }
        };
        if let Some(port) = options.dapr_public_port {
            ports.open("public", port, &http::service(&sidecar, Offers::Public), over_http).await?;
        }
        let metrics = ports.open_metrics(&sidecar).await?;
        match &options.unix_domain_socket {
            None => {
                tracing::info!(target: "bindwright", "serving HTTP on {}", shown(&http_addresses));
                tracing::info!(target: "bindwright", "serving gRPC on {}", shown(&grpc_addresses));
            }
            Some(folder) => tracing::info!(target: "bindwright", "serving in {}", folder.display()),
        }
        let inputs = app::Inputs::start(&sidecar)
            .map_err(|fault| Error::new(ErrorCode::InvalidOptions, format!("the application: {fault}")))?;
        Ok(Self { sidecar, http: http_addresses, grpc: grpc_addresses, metrics, ports, inputs })
    }

    /// Where the HTTP API listens.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where the gRPC API listens.
    pub fn grpc_addresses(&self) -> &[SocketAddr] {
        &self.grpc
    }

    /// Where metrics are told; nowhere if their usual port was taken.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// What asks for the end from outside.
    pub fn ender(&self) -> Ender {
        Ender(self.sidecar.clone())
    }

    /// Waits until somebody asks for the end, and ends: inputs first, then, after `--dapr-block-shutdown-duration`, the
    /// ports, all that within `--dapr-graceful-shutdown-seconds`.
    pub async fn run(mut self) -> Ending {
        let mut ending = self.sidecar.watch_ending();
        let how = ending.wait_for(Option::is_some).await.ok().and_then(|how| *how).unwrap_or(Ending::Forced);
        if how == Ending::Asked {
            tokio::select! {
                () = self.finish() => return Ending::Asked,
                _ = ending.wait_for(|how| *how == Some(Ending::Forced)) => {}
            }
        }
        tokio::time::sleep(FORCED).await;
        Ending::Forced
    }

    async fn finish(&mut self) {
        let options = &self.sidecar.options;
        let patience = Duration::from_secs(options.dapr_graceful_shutdown_seconds.into());
        tracing::info!(target: "bindwright", "ending");
        if let Some(block) = options.dapr_block_shutdown_duration {
            self.inputs.stop(patience).await;
            tokio::select! {
                () = tokio::time::sleep(block) => {}
                () = self.inputs.unhealthy() => {}
            }
        }
        // One deadline for all of it. Applications may call while they end their events, so the ports close later.
        let deadline = Instant::now() + patience;
        self.inputs.stop(patience).await;
        if tokio::time::timeout_at(deadline.into(), self.ports.close()).await.is_err() {
            tracing::warn!(target: "bindwright", "something was still under way at the end");
        }
        if let Err(error) =
            self.sidecar.client.close(deadline.saturating_duration_since(Instant::now())).await
        {
            tracing::warn!(target: "bindwright", "closing: {error}");
        }
    }
}

/// Asks a server to end.
#[derive(Clone)]
pub struct Ender(Arc<Sidecar>);

impl Ender {
    /// Asks; what runs may finish.
    pub fn end(&self) {
        self.0.end(Ending::Asked);
    }
}

/// A client for the components that the options name; none where no folder is named and none of the usual ones is there.
///
/// # Errors
/// As [`Client::open`].
pub fn open_client(options: &Options) -> Result<Client> {
    let configuration = options.configuration();
    let mut of_client = ClientOptions {
        resources: options.resources().cloned(),
        app_id: options.app_id.clone(),
        hot_reload: configuration.hot_reload(),
        denied: configuration.denied(),
        transport: Some(TransportKind::Embedded),
        ..ClientOptions::default()
    };
    if of_client.resources.is_none() && of_client.resource_paths().is_err() {
        of_client.resources = Some(Vec::new());
    }
    Client::open(of_client)
}

/// Tells what was asked for and is not honoured.
fn warn(sidecar: &Sidecar) {
    for warning in sidecar.configuration.warnings() {
        tracing::warn!(target: "bindwright", "{warning}");
    }
    let flags = sidecar.options.elsewhere.given();
    if !flags.is_empty() {
        let flags = flags.join(", ");
        tracing::warn!(target: "bindwright", "not honoured, because it is about what is not here: {flags}");
    }
    let exporter = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let names = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    if let Some(name) = names.into_iter().find(exporter) {
        tracing::warn!(target: "bindwright", "{name} is not honoured: spans are not exported from here");
    }
}

/// Waits until every component works, or one that must does not.
async fn open_components(client: &Client) -> Result<()> {
    for fault in client.faults() {
        tracing::warn!(target: "bindwright", "{fault}");
    }
    let Err(error) = client.ready(LONGEST_START).await else { return Ok(()) };
    loop {
        let components = client.components().await?;
        let is_component = |name: &str| components.iter().any(|one| one.name == name);
        if error.component_name().is_some_and(is_component) {
            return Err(error);
        }
        // The fault of a document that was left out; Dapr goes on without it.
        let failed = components.iter().find(|one| one.state == State::Failed && !one.ignore_errors);
        if let Some(cause) = failed.and_then(|one| one.error.clone()) {
            return Err(cause);
        }
        if components.iter().all(|one| one.state != State::Connecting) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Ports {
    fn new(sidecar: &Sidecar) -> Self {
        let options = &sidecar.options;
        let limits = Limits {
            connections: options.max_connections,
            headers: http::header_limit(sidecar),
            patience: options.slow_client_timeout,
        };
        let addresses = options.dapr_listen_addresses.clone();
        Self { addresses, limits, serving: JoinSet::new(), closing: watch::Sender::new(false) }
    }

    /// Opens a port on every address; says which these are.
    async fn open(
        &mut self,
        what: &str,
        port: u16,
        service: &impl Serves,
        speaks: Speaks,
    ) -> Result<Vec<SocketAddr>> {
        let addresses = self.addresses.clone();
        self.open_at(what, &addresses, port, service, speaks).await
    }

    async fn open_at(
        &mut self,
        what: &str,
        addresses: &[String],
        port: u16,
        service: &impl Serves,
        speaks: Speaks,
    ) -> Result<Vec<SocketAddr>> {
        let listeners = listen::bind(addresses, port).await.map_err(|error| {
            Error::new(ErrorCode::InvalidOptions, format!("the {what} port {port} cannot be opened"))
                .backend(error.to_string())
                .advice("Name another port, or end what listens there.")
        })?;
        let doors: Vec<Door> = listeners.into_iter().map(Door::Tcp).collect();
        let addresses = doors.iter().filter_map(Door::address).collect();
        for door in doors {
            self.serve(door, service, speaks);
        }
        Ok(addresses)
    }

    /// Opens the port of the metrics, unless they are switched off.
    async fn open_metrics(&mut self, sidecar: &Arc<Sidecar>) -> Result<Vec<SocketAddr>> {
        let options = &sidecar.options;
        if !(options.enable_metrics && sidecar.configuration.tells_metrics()) {
            return Ok(Vec::new());
        }
        let own: Vec<String> = options.metrics_listen_address.iter().cloned().collect();
        let addresses = if own.is_empty() { self.addresses.clone() } else { own };
        let port = options.metrics_port.unwrap_or(METRICS_PORT);
        let speaks = Speaks::Http { h2c: true };
        match self
            .open_at("metrics", &addresses, port, &http::service(sidecar, Offers::Metrics), speaks)
            .await
        {
            Err(error) if options.metrics_port.is_none() => {
                // Prometheus itself listens there by default.
                tracing::warn!(target: "bindwright", "nothing tells the metrics: {error}");
                Ok(Vec::new())
            }
            opened => opened,
        }
    }

    fn open_unix(&mut self, path: &Path, service: &impl Serves, speaks: Speaks) -> Result<()> {
        let door = Door::unix(path).map_err(|error| {
            Error::new(ErrorCode::InvalidOptions, format!("the socket {} cannot be opened", path.display()))
                .backend(error.to_string())
                .advice("Name another folder, or end what listens there.")
        })?;
        self.serve(door, service, speaks);
        Ok(())
    }

    fn serve(&mut self, door: Door, service: &impl Serves, speaks: Speaks) {
        let (service, closing) = (service.clone(), self.closing.subscribe());
        self.serving.spawn(listen::serve(door, service, speaks, self.limits, closing));
    }

    /// Takes no more connections, and waits for what those that are there have under way.
    async fn close(&mut self) {
        self.closing.send_replace(true);
        while self.serving.join_next().await.is_some() {}
    }
}

fn shown(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
