//! `bindwright serve` as a process of its own, which has the components of these tests beside its own ones.

use std::ffi::OsString;
use std::future::ready;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use super::super::fixture::until;
use super::components;

/// Makes the test below a server: the arguments of the command, one on each line.
const ARGUMENTS: &str = "BINDWRIGHT_TEST_ARGUMENTS";

/// The program of the tests, started a second time: it alone has the components of the tests.
#[test]
fn a_process_of_its_own() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    components::register_all();
    std::process::exit(bindwright_cli::run(arguments.lines().map(OsString::from)));
}

/// A server; killed when dropped.
pub struct Served {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Reads until its standard error ends.
    reader: Option<JoinHandle<()>>,
}

impl Served {
    /// `bindwright serve` with these flags, on free ports.
    pub fn start(flags: &[String], environment: &[(String, String)]) -> Self {
        let mut arguments = vec!["serve".to_owned()];
        for flag in ["--dapr-http-port", "--dapr-grpc-port", "--metrics-port"] {
            arguments.extend([flag.to_owned(), "0".to_owned()]);
        }
        arguments.extend(flags.iter().cloned());
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([&format!("{module}::a_process_of_its_own"), "--exact", "--nocapture", "--quiet"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env(ARGUMENTS, arguments.join("\n"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let (stream, noted) = (process.stderr.take().unwrap(), lines.clone());
        let reader = Some(thread::spawn(move || note(stream, &noted)));
        Self { process, lines, reader }
    }

    /// What `/proc` says about its memory: `VmRSS` for now, `VmHWM` for the most that there was.
    #[cfg(target_os = "linux")]
    pub fn memory_mib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Where the HTTP API and the gRPC API listen.
    pub async fn ports(&mut self) -> (SocketAddr, SocketAddr) {
        (self.port("serving HTTP on ").await, self.port("serving gRPC on ").await)
    }

    async fn port(&mut self, before: &str) -> SocketAddr {
        let find = |lines: &[String]| -> Option<SocketAddr> {
            let (_, after) = lines.iter().find_map(|line| line.split_once(before))?;
            after.split_whitespace().next()?.parse().ok()
        };
        let lines = self.lines.clone();
        until(before, || {
            let found = find(&lines.lock()).is_some();
            let ended = self.process.try_wait().unwrap();
            assert!(found || ended.is_none(), "ended with {ended:?}:\n{}", lines.lock().join("\n"));
            ready(found)
        })
        .await;
        find(&self.lines.lock()).unwrap()
    }

    /// Waits for its end; the exit status.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        until("its end", || {
            status = self.process.try_wait().unwrap();
            ready(status.is_some())
        })
        .await;
        // Its last lines may be on their way.
        if let Some(reader) = self.reader.take() {
            tokio::task::spawn_blocking(move || reader.join()).await.unwrap().unwrap();
        }
        status.unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn note(stream: impl Read, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        lines.lock().push(line);
    }
}
