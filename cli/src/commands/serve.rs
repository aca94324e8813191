//! `bindwright serve`: bindings for programs in any language, over HTTP and gRPC.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use bindwright::Client;
use bindwright_server::{Ending, Options, Server, open_client};
use clap::Args;

use crate::Failure;
use crate::log_lines::LogLines;
use crate::signals::Stop;
use crate::terminal::Terminal;

/// How long somebody who pressed Ctrl-C, or a program that ended, waits at most to be noticed.
const LOOK: Duration = Duration::from_millis(50);
/// How long `--wait` waits.
const WAIT: Duration = Duration::from_mins(1);

/// Serves bindings to programs in any language, through Dapr's HTTP and gRPC API
///
/// Programs written for Dapr's bindings run against it unchanged. It ends on Ctrl-C, SIGTERM and `POST /v1.0/shutdown`;
/// log lines go to the standard error. Tokens come from the environment: DAPR_API_TOKEN, which callers must show, and
/// APP_API_TOKEN, which the application is shown. More is in docs/serve.md.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // a help text
#[command(args_override_self = true)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,
    /// Wait until the server on `--dapr-http-port` can be called, at most a minute, and start none
    #[arg(long)]
    wait: bool,
    /// Print the version, and start nothing
    #[arg(long)]
    version: bool,
}

impl Serve {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        if self.version {
            return super::version::Version.run(terminal);
        }
        if self.wait {
            return wait(self.options.http_port());
        }
        bindwright::process::set_worker_threads(cores());
        let stop = Stop::listen()?;
        let options = &self.options;
        let _lines = LogLines::begin(&options.log_level, options.log_as_json, options.app_id.as_deref());
        let Some((client, server)) = start(options, &stop)? else { return Ok(()) };
        match until_ended(&client, server, || stop.is_asked()) {
            Some(Ending::Asked) => Ok(()),
            _ => Err(Failure::Told),
        }
    }
}

/// Starts a server; none when somebody asked for the end meanwhile.
pub(super) fn start(options: &Options, stop: &Stop) -> Result<Option<(Client, Server)>, Failure> {
    let client = open_client(options)?;
    let started = client.block_on(Server::start(client.clone(), options.clone()), || stop.is_asked());
    Ok(started.transpose()?.map(|server| (client, server)))
}

/// Serves until somebody asks for the end, by the API or because `is_over` says so.
pub(super) fn until_ended(
    client: &Client,
    server: Server,
    mut is_over: impl FnMut() -> bool,
) -> Option<Ending> {
    let ender = server.ender();
    let serving = async {
        let mut run = std::pin::pin!(server.run());
        loop {
            match tokio::time::timeout(LOOK, run.as_mut()).await {
                Ok(ending) => return ending,
                Err(_) if is_over() => ender.end(),
                Err(_) => {}
            }
        }
    };
    client.block_on(serving, || false)
}

/// As many threads do the work as there are processors: here they have nothing else to do.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Asks until somebody says that calls can be made.
fn wait(port: u16) -> Result<(), Failure> {
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        if is_callable(port).unwrap_or(false) {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(Failure::Failed(format!("nobody can be called on port {port} after {WAIT:?}")))
}

fn is_callable(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream
        .write_all(b"GET /v1.0/healthz/outbound HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(status.ends_with(b" 204"))
}
