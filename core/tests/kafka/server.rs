//! A real Kafka for the tests, started by `tests/servers/kafka.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::MappedMutexGuard;

/// A cluster of this test's own, which it may kill and restart.
pub struct Cluster {
    process: Child,
    control: Arc<Mutex<(ChildStdin, BufReader<ChildStdout>)>>,
    bootstrap: String,
    broker_port: u16,
    /// Where further listeners are, by name.
    listeners: serde_json::Value,
    /// How to undo what was done to brokers.
    harm: Mutex<Vec<String>>,
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
        Ok(Self {
            process,
            bootstrap: bootstrap.to_owned(),
            broker_port: ready["brokers"][0]["port"].as_u64().expect("a port") as u16,
            listeners: ready["listeners"].clone(),
            control: Arc::new(Mutex::new((stdin, stdout))),
            harm: Mutex::default(),
        })
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// What clients of a further listener connect to.
    pub fn listener(&self, name: &str) -> &str {
        self.listeners[name].as_str().expect("a listener of this name")
    }

    /// Makes a topic, and returns when its partitions have leaders.
    #[allow(dead_code)] // for tests that have no client of their own, as those of sidecars
    pub async fn create_topic(&self, topic: &str, partitions: u64) {
        self.command(format!("create {topic} {partitions}")).await;
    }

    /// Makes a SCRAM user, or gives one another password.
    pub async fn set_password(&self, user: &str, password: &str) {
        self.command(format!("password {user} {password}")).await;
    }

    /// Lets a user do an operation: `allow("alice", "read", "topic", "orders")`.
    pub async fn allow(&self, user: &str, operation: &str, resource: &str, name: &str) {
        self.command(format!("allow User:{user} {operation} {resource} {name}")).await;
    }

    /// Where the first broker listens; differs from the bootstrap address behind a proxy.
    pub fn broker_port(&self) -> u16 {
        self.broker_port
    }

    /// SIGKILL.
    pub async fn kill(&self, broker: usize) {
        self.harm.lock().push(format!("start {broker}"));
        self.command(format!("kill {broker}")).await;
    }

    /// Starts a killed broker again; returns when it serves.
    pub async fn start_again(&self, broker: usize) {
        self.undo(format!("start {broker}")).await;
    }

    /// SIGSTOP: connections stay open and nobody answers.
    pub async fn pause(&self, broker: usize) {
        self.harm.lock().push(format!("resume {broker}"));
        self.command(format!("pause {broker}")).await;
    }

    /// SIGCONT.
    pub async fn resume(&self, broker: usize) {
        self.undo(format!("resume {broker}")).await;
    }

    async fn undo(&self, command: String) {
        self.harm.lock().retain(|harm| *harm != command);
        self.command(command).await;
    }

    /// Undoes what a test before this one did and, as it failed, left behind.
    async fn heal(&self) {
        let harm = std::mem::take(&mut *self.harm.lock());
        for command in harm {
            self.command(command).await;
        }
    }

    async fn command(&self, command: String) {
        let control = self.control.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut control = control.lock();
            writeln!(control.0, "{command}").expect("the script listens");
            let mut line = String::new();
            control.1.read_line(&mut line).expect("the script answers");
            let answer: serde_json::Value = serde_json::from_str(&line).expect("the script speaks JSON");
            assert!(answer["ok"] == true, "{command}: {line}");
        });
        answer.await.expect("obeyed");
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
    let shared = SHARED.get_or_init(|| own(&["--fast-start"]));
    if shared.is_none() {
        skipped();
    }
    shared.as_ref().map(Cluster::bootstrap)
}

/// A cluster of one broker that a test may harm; whole when a test gets it, and one test has it at a time. Topics are
/// not made on first use there.
pub async fn fragile() -> Option<MappedMutexGuard<'static, Cluster>> {
    static FRAGILE: tokio::sync::Mutex<OnceLock<Option<Cluster>>> =
        tokio::sync::Mutex::const_new(OnceLock::new());
    let fragile = FRAGILE.lock().await;
    fragile.get_or_init(|| own(&["--fast-start", "--property", "auto.create.topics.enable=false"]));
    let cluster = tokio::sync::MutexGuard::try_map(fragile, |cluster| cluster.get_mut()?.as_mut());
    let Ok(cluster) = cluster else {
        skipped();
        return None;
    };
    cluster.heal().await;
    Some(cluster)
}

/// A cluster of the test's own; `None` is a visible skip, and never happens in CI.
pub fn own(arguments: &[&str]) -> Option<Cluster> {
    match Cluster::start(arguments) {
        Ok(cluster) => Some(cluster),
        Err(Missing(what)) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs every server: {what}");
            say(&format!("no Kafka: {what}"));
            None
        }
    }
}

fn skipped() {
    say(&format!("SKIPPED: {}: no Kafka", std::thread::current().name().unwrap_or("a test")));
}

/// Prints past the test harness, which keeps the output of tests that pass to itself.
pub fn say(line: &str) {
    // One write, so that lines of tests that run at once do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A name that no other test and no other run uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
