//! One real broker for all tests, started by `tests/servers/kafka.py`, and folders of components that use it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bindwright::{Client, ClientOptions, Request};

pub const PATIENCE: Duration = Duration::from_mins(1);

/// `bootstrap` of the broker; `None` is a visible skip, and never happens in CI.
pub fn shared() -> Option<&'static str> {
    // Never waited for: the broker ends with the process, when its standard input does.
    #[allow(clippy::zombie_processes)]
    static SHARED: OnceLock<Option<(String, Child)>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/kafka.py");
        let arguments = ["--fast-start", "--property", "auto.create.topics.enable=false"];
        let mut process = Command::new("python3")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let Some(bootstrap) = ready["bootstrap"].as_str() else {
            let _ = process.wait();
            assert!(std::env::var_os("CI").is_none(), "CI needs every server: {line}");
            return None;
        };
        Some((bootstrap.to_owned(), process))
    });
    if shared.is_none() {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = std::io::stderr().write_all(format!("SKIPPED: {name}: no Kafka\n").as_bytes());
    }
    shared.as_ref().map(|(bootstrap, _)| bootstrap.as_str())
}

/// Components of a test's own.
pub struct Fixture {
    pub bootstrap: String,
    /// The names of topics and groups begin with it.
    pub prefix: String,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bootstrap = shared()?.to_owned();
        let prefix = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Some(Self { bootstrap, prefix, folder: tempfile::tempdir().unwrap() })
    }

    pub fn path(&self) -> String {
        self.folder.path().display().to_string()
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Makes a topic, with settings such as `cleanup.policy=compact`.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        let admin: AdminClient<rdkafka::client::DefaultClientContext> = config.create().unwrap();
        let topic = self.topic(name);
        let mut new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let client = self.client();
        let options = AdminOptions::new();
        let made = client.block_on(admin.create_topics([&new], &options), || false).unwrap().unwrap();
        for one in made {
            one.unwrap();
        }
        // The answer comes before every broker knows of it.
        let deadline = Instant::now() + PATIENCE;
        let is_there = || {
            let metadata = admin.inner().fetch_metadata(Some(&topic), PATIENCE).unwrap();
            metadata.topics()[0].partitions().len() == usize::try_from(partitions).unwrap()
        };
        while !is_there() {
            assert!(Instant::now() < deadline, "{topic} does not come");
        }
    }

    /// Writes a Kafka component with these settings beside the address of the broker.
    pub fn component(&self, name: &str, settings: &[(&str, &str)]) {
        let mut text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
             type: bindings.kafka\n  version: v1\n  metadata:\n"
        );
        let given = |wanted: &str| settings.iter().any(|(name, _)| *name == wanted);
        let own = [("brokers", self.bootstrap.as_str()), ("authType", "none")];
        for (name, value) in settings.iter().copied().chain(own.into_iter().filter(|(name, _)| !given(name)))
        {
            writeln!(text, "  - {{name: {name}, value: '{value}'}}").unwrap();
        }
        std::fs::write(self.folder.path().join(format!("{name}.yaml")), text).unwrap();
    }

    pub fn client(&self) -> Client {
        let resources = Some(vec![self.folder.path().to_owned()]);
        let options = ClientOptions { resources, hot_reload: Some(false), ..ClientOptions::default() };
        Client::open(options).unwrap()
    }

    /// Sends all of these through a component.
    pub fn send(&self, component: &str, requests: Vec<Request>) {
        let client = self.client();
        let sent =
            client.invoke_many_blocking(component, "create", requests, Some(PATIENCE), || false).unwrap();
        for one in sent {
            one.unwrap();
        }
    }

    /// The command with these resources.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bindwright"));
        command.env("BINDWRIGHT_RESOURCES", self.folder.path()).env_remove("APP_ID").args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that succeeds; gives what it prints.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    /// Runs a command with `--output json`; gives its exit code and what it prints.
    pub fn json(&self, arguments: &[&str]) -> (i32, serde_json::Value) {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        let text = stdout(&output);
        let value = serde_json::from_str(&text);
        (output.status.code().unwrap(), value.unwrap_or_else(|_| panic!("{text}{}", stderr(&output))))
    }

    /// The records of a component's topics as `tail` prints them.
    pub fn records(&self, component: &str) -> Vec<serde_json::Value> {
        let text = self.succeed(&["tail", component, "--from", "oldest", "--no-follow", "--output", "json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits until something is so.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
