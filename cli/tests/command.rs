//! The command as its users run it: a process with arguments, two streams and an exit code.
#![allow(clippy::unwrap_used)] // a test may stop at the first surprise, also outside its own function

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bindwright::{Client, ClientOptions, Outcome, Request};

const DEADLINE: Duration = Duration::from_secs(20);

fn bindwright(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindwright"));
    command.args(arguments);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `bindwright dev kafka` on a free port; killed when dropped.
struct DevKafka {
    process: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl DevKafka {
    fn start() -> Self {
        let mut process = command(&["dev", "kafka", "--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.split_whitespace().last().unwrap().to_owned();
        Self { process, out, address }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    /// Sends a signal and returns the exit code and the rest of the output.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < DEADLINE, "it does not end after SIG{signal}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }
}

impl Drop for DevKafka {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[test]
fn help_lists_what_there_is_at_every_level() {
    for (arguments, expected) in [
        (&["--help"][..], &["Usage: bindwright [OPTIONS] <COMMAND>", "dev ", "--version"][..]),
        (&["-h"], &["Usage: bindwright [OPTIONS] <COMMAND>"]),
        (&["dev", "--help"], &["Usage: bindwright dev [OPTIONS] <COMMAND>", "kafka "]),
        (
            &["dev", "kafka", "--help"],
            &["Usage: bindwright dev kafka [OPTIONS]", "--port <N>", "9092", "5 MB"],
        ),
    ] {
        let output = bindwright(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        for text in expected {
            assert!(stdout(&output).contains(text), "{arguments:?}: no {text:?} in\n{}", stdout(&output));
        }
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn the_version_is_the_package_version() {
    let output = bindwright(&["--version"]);
    assert_eq!(stdout(&output), format!("bindwright {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_not_understood_is_named_with_a_way_out() {
    for (arguments, expected) in [
        (&[][..], "Usage: bindwright [OPTIONS] <COMMAND>"),
        (&["sing"], "unrecognized subcommand 'sing'"),
        (&["dev", "kafak"], "tip: a similar subcommand exists: 'kafka'"),
        (&["dev", "kafka", "--prot", "1"], "tip: a similar argument exists: '--port'"),
        (&["dev", "kafka", "--port"], "a value is required for '--port <N>'"),
        (
            &["dev", "kafka", "--port", "70000"],
            "invalid value '70000' for '--port <N>': 70000 is not in 0..=65535",
        ),
        (&["dev", "kafka", "now"], "unexpected argument 'now' found"),
    ] {
        let output = bindwright(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn results_for_programs_are_json() {
    let output = bindwright(&["version", "--output", "json"]);
    let version: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["components"].as_array().unwrap().contains(&"bindings.kafka".into()));
}

#[test]
fn a_port_that_is_taken_is_told_with_code_and_advice() {
    let broker = DevKafka::start();
    let output = bindwright(&["dev", "kafka", "--port", broker.port()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.starts_with(&format!("bindwright: port {} cannot be used: ", broker.port())), "{text}");
    assert!(text.contains("[INVALID_OPTIONS]") && text.contains("choose another port"), "{text}");
}

#[test]
fn a_client_sends_and_receives_through_it() {
    let broker = DevKafka::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("checkout.yaml"), component(&broker.address)).unwrap();
    let options =
        ClientOptions { resources: Some(vec![folder.path().to_owned()]), ..ClientOptions::default() };
    let client = Client::open(options).unwrap();

    for number in 0..10 {
        let request = Request::new(format!("{{\"orderId\":{number}}}"));
        client.invoke_binding_blocking("checkout", "create", request, Some(DEADLINE), || false).unwrap();
    }
    let (sender, received) = mpsc::channel();
    let listening = client.on("checkout", move |event| {
        let body = event.body().as_bytes().cloned().unwrap_or_default();
        sender.send(String::from_utf8(body.to_vec()).unwrap()).unwrap();
        async { Outcome::Ack }
    });
    client.block_on(listening, || false).unwrap().unwrap();

    let mut orders: Vec<String> = (0..10).map(|_| received.recv_timeout(DEADLINE).unwrap()).collect();
    orders.sort();
    let expected: Vec<String> = (0..10).map(|number| format!("{{\"orderId\":{number}}}")).collect();
    assert_eq!(orders, expected);
    client.block_on(client.close(DEADLINE), || false).unwrap().unwrap();
}

#[test]
fn a_signal_ends_it_well() {
    for signal in ["TERM", "INT"] {
        let (code, rest) = DevKafka::start().end(signal);
        assert_eq!(code, Some(0), "SIG{signal}");
        assert!(rest.contains("nothing is written to disk") && rest.ends_with("stopped\n"), "{rest}");
    }
}

/// In Python and Node the command may run beside the main thread.
#[test]
fn the_function_works_on_any_thread() {
    let code = std::thread::spawn(|| bindwright_cli::run(["--no-such-option".into()])).join().unwrap();
    assert_eq!(code, bindwright_cli::USAGE);
}

fn component(brokers: &str) -> String {
    format!(
        r#"
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: checkout
spec:
  type: bindings.kafka
  version: v1
  metadata:
  - {{ name: brokers, value: "{brokers}" }}
  - {{ name: topics, value: orders }}
  - {{ name: publishTopic, value: orders }}
  - {{ name: consumerGroup, value: group1 }}
  - {{ name: initialOffset, value: oldest }}
  - {{ name: authRequired, value: "false" }}
"#
    )
}

#[test]
fn serve_takes_a_command_line_of_daprd() {
    let line = "serve -app-id a -app-id b -mode standalone --placement-host-address localhost:50005 --enable-mtls \
                -enable-api-logging=false --app-max-concurrency -1 --scheduler-job-streams 3 --version";
    let output = bindwright(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with(&format!("bindwright {}", env!("CARGO_PKG_VERSION"))));
    for words in
        [&["serve", "--no-such-flag"][..], &["serve", "--mode", "kubernetes"], &["run", "-x", "--", "true"]]
    {
        let output = bindwright(words);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, "kind: Configuration\nspec:\n  metrics:\n    enabled: perhaps\n").unwrap();
    let output = bindwright(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let place = format!("{}:4:14: spec.metrics.enabled: expected true or false", path.display());
    assert!(stderr(&output).contains(&place), "{}", stderr(&output));
}

#[test]
fn serve_waits_for_a_server_that_can_be_called() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::Write as _;
        for status in ["500 Internal Server Error", "204 No Content"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]).unwrap();
            // At once: the command hangs up as soon as it knows the status.
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).unwrap();
        }
    });
    let output = bindwright(&["serve", "--wait", "--dapr-http-port", &port]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    answering.join().unwrap();
}
