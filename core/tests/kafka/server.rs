//! A real Kafka for the tests, started by `tests/servers/kafka.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// A cluster of this test's own, which it may kill and restart.
pub struct Cluster {
    process: Child,
    control: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    bootstrap: String,
}

/// What the machine lacks. A test that gets this is skipped on a laptop and fails in CI.
#[derive(Debug)]
pub struct Missing(String);

impl Cluster {
    /// Starts a cluster; `arguments` as `tests/servers/kafka.py` takes them.
    pub fn start(arguments: &[&str]) -> Result<Self, Missing> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/kafka.py");
        let mut process = Command::new("python3")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Missing(format!("python3 does not start: {error}")))?;
        let stdin = process.stdin.take().expect("piped");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the script answers");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the script speaks JSON");
        let Some(bootstrap) = ready["bootstrap"].as_str() else {
            assert!(ready["missing"] == true, "Kafka does not start: {line}");
            return Err(Missing(ready["error"].to_string()));
        };
        Ok(Self { process, bootstrap: bootstrap.to_owned(), control: Mutex::new((stdin, stdout)) })
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Sends one command, such as `kill 1`, and waits until it is done.
    pub fn command(&self, command: &str) {
        let mut control = self.control.lock();
        writeln!(control.0, "{command}").expect("the script listens");
        let mut line = String::new();
        control.1.read_line(&mut line).expect("the script answers");
        let answer: serde_json::Value = serde_json::from_str(&line).expect("the script speaks JSON");
        assert!(answer["ok"] == true, "{command}: {line}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = writeln!(self.control.lock().0, "exit");
        let _ = self.process.wait();
    }
}

/// The broker that all tests share which do not harm it.
pub fn shared() -> Option<&'static str> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    static GIVEN: OnceLock<Option<String>> = OnceLock::new();
    let given = GIVEN.get_or_init(|| std::env::var("KAFKA_BROKERS").ok().filter(|text| !text.is_empty()));
    if let Some(given) = given {
        return Some(given);
    }
    SHARED.get_or_init(|| own(&[])).as_ref().map(Cluster::bootstrap)
}

/// A cluster of the test's own; `None` is a visible skip, and never happens in CI.
pub fn own(arguments: &[&str]) -> Option<Cluster> {
    match Cluster::start(arguments) {
        Ok(cluster) => Some(cluster),
        Err(Missing(what)) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs every server: {what}");
            println!("SKIPPED: no Kafka: {what}");
            None
        }
    }
}

/// A name that no other test and no other run uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
