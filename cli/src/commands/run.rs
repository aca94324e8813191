//! `bindwright run`: a program and the bindings beside it, started and ended together.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bindwright_server::{Ending, Options, Server};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};

use super::serve;
use crate::Failure;
use crate::log_lines::LogLines;
use crate::signals::Stop;
use crate::terminal::Terminal;

/// How long a program that was told to end waits at most to be noticed.
const LOOK: Duration = Duration::from_millis(50);
/// What stands before the lines of the program.
const PREFIX: &str = "== APP == ";
/// Longer lines are printed in pieces.
const LONGEST_LINE: u64 = 64 << 10;

/// Runs a program with bindings beside it, as `bindwright serve` offers them
///
/// Takes the flags of `serve`; ports that are not given are free ones. The program gets APP_ID, APP_PORT, APP_PROTOCOL,
/// APP_CHANNEL_ADDRESS, DAPR_HTTP_PORT, DAPR_GRPC_PORT and DAPR_METRICS_PORT, by which Dapr's SDKs find the way. Its
/// lines are printed with `== APP ==` before them. When one of the two ends, so does the other; Ctrl-C and SIGTERM end
/// both, the program last. The exit status is 1 when the program failed.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // a help text
#[command(args_override_self = true)]
pub(crate) struct Run {
    #[command(flatten)]
    options: Options,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(&self, _: &Terminal) -> Result<(), Failure> {
        bindwright::process::set_worker_threads(serve::cores());
        let stop = Stop::listen()?;
        let mut options = self.options.clone();
        options.dapr_http_port.get_or_insert(0);
        options.dapr_grpc_port.get_or_insert(0);
        options.metrics_port.get_or_insert(0);
        options.app_id.get_or_insert_with(|| format!("app-{}", std::process::id()));
        let _lines = LogLines::begin(&options.log_level, options.log_as_json, options.app_id.as_deref());
        let Some((client, server)) = serve::start(&options, &stop)? else { return Ok(()) };
        let mut program = Program::start(&self.command, &variables(&options, &server))?;
        let ending = serve::until_ended(&client, server, || stop.is_asked() || program.has_ended());
        // Last: until here it may have had events to finish.
        let patience = Duration::from_secs(options.dapr_graceful_shutdown_seconds.into());
        let (status, was_asked) = program.end(patience)?;
        match (ending, was_asked || status.success()) {
            (Some(Ending::Asked), true) => Ok(()),
            (Some(Ending::Asked), false) => Err(Failure::Failed(format!("the program ended with {status}"))),
            _ => Err(Failure::Told),
        }
    }
}

/// What `dapr run` gives as well.
fn variables(options: &Options, server: &Server) -> Vec<(&'static str, String)> {
    let port =
        |addresses: &[std::net::SocketAddr]| addresses.first().map(|address| address.port().to_string());
    let all = [
        ("APP_ID", options.app_id.clone()),
        ("APP_PORT", options.app_port.map(|port| port.to_string())),
        ("APP_PROTOCOL", Some(options.protocol().as_str().to_owned())),
        ("APP_CHANNEL_ADDRESS", Some(options.app_channel_address.clone())),
        ("DAPR_HTTP_PORT", port(server.http_addresses())),
        ("DAPR_GRPC_PORT", port(server.grpc_addresses())),
        ("DAPR_METRICS_PORT", port(server.metrics_addresses())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The program, in a process group of its own, so that what it starts ends with it and Ctrl-C does not reach it before
/// its events are finished.
struct Program {
    process: Child,
    printers: Vec<JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

impl Program {
    fn start(words: &[OsString], variables: &[(&'static str, String)]) -> Result<Self, Failure> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Failure::Usage("no command to run".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().map_err(|error| {
            Failure::Failed(format!("{} does not start: {error}", program.to_string_lossy()))
        })?;
        let out = process.stdout.take().map(|stream| print_with_prefix(stream, false));
        let err = process.stderr.take().map(|stream| print_with_prefix(stream, true));
        Ok(Self { process, printers: out.into_iter().chain(err).collect(), ended: None })
    }

    fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().ok().flatten();
        }
        self.ended.is_some()
    }

    /// Its status, and whether it ended because it was told to.
    fn end(mut self, patience: Duration) -> Result<(ExitStatus, bool), Failure> {
        let was_asked = !self.has_ended();
        let group = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let tell = |signal| {
            // Whoever is not there any more need not be told.
            let _ = group.map(|group| kill_process_group(group, signal));
        };
        tell(Signal::TERM);
        let deadline = Instant::now() + patience;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        tell(Signal::KILL);
        let status = self.process.wait().map_err(|error| Failure::Failed(format!("the program: {error}")))?;
        for printer in self.printers {
            let _ = printer.join();
        }
        Ok((status, was_asked))
    }
}

fn print_with_prefix(stream: impl Read + Send + 'static, is_error: bool) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        // A line without an end must not fill the memory.
        while lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if !line.ends_with(b"\n") {
                line.push(b'\n');
            }
            let whole = [PREFIX.as_bytes(), &line].concat();
            let written = if is_error {
                std::io::stderr().lock().write_all(&whole)
            } else {
                std::io::stdout().lock().write_all(&whole)
            };
            if written.is_err() {
                return;
            }
            line.clear();
        }
    })
}
