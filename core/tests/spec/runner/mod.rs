//! Runs the cases of a file in `tests/spec`; `tests/spec/README.md` describes the format.
//!
//! What a server needs stays with the test that has one: it prepares each case and says what its placeholders stand
//! for. A new kind of step is a line in [`STEPS`] and an arm in [`Run::step`].

mod file;
mod way;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bindwright::{
    Cause, Client, Emission, Encoding, Error, Event, HandOut, Metadata, Outcome, Request, SettleToken,
    Subscription,
};
use serde_json::{Value, json};

use file::data;
pub use way::{Beside, Way, embedded};

/// Long enough for a rebalance on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long closing waits for what a case left unsettled, and for commits.
const DRAIN: Duration = Duration::from_secs(2);
/// How long nothing may come to count as quiet.
const QUIET: Duration = Duration::from_secs(1);
/// What steps begin with.
const STEPS: [&str; 7] = ["invoke", "event", "subscribe", "quiet", "faults", "component", "reopen"];

/// Texts such as `{queue}`, and what they stand for in one case.
pub type Placeholders = Vec<(&'static str, String)>;

/// Runs every case of `tests/spec/FILE` that does not differ over this transport; how many there were. `prepare` gets
/// the case and makes what it needs.
pub async fn every_case_holds<O>(
    way: Way<O>,
    file: &str,
    prepare: impl AsyncFn(Value) -> Placeholders + Copy + 'static,
) -> usize
where
    O: AsyncFn(PathBuf) -> (Client, Beside) + Copy + 'static,
{
    let (mut count, mut failed) = (0, Vec::new());
    for case in file::cases(file) {
        let name = case["case"].as_str().expect("a name").to_owned();
        if way.leaves_out(&case, &name) {
            continue;
        }
        count += 1;
        // A task of its own, so that a case that fails does not hide the next one.
        let local = tokio::task::LocalSet::new();
        let run = async move {
            let placeholders = prepare(case.clone()).await;
            Run::new(way, &case, placeholders).await.all(&case).await;
        };
        if local.run_until(async { tokio::task::spawn_local(run).await }).await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{}: {failed:#?}", way.transport);
    count
}

/// One case: its folder, its client, its subscriptions.
struct Run<O> {
    way: Way<O>,
    folder: tempfile::TempDir,
    placeholders: Placeholders,
    client: Client,
    beside: Beside,
    /// All that the case receives from.
    inputs: Vec<String>,
    subscriptions: HashMap<String, Subscription>,
    /// What is being done, for messages.
    place: String,
}

impl<O: AsyncFn(PathBuf) -> (Client, Beside)> Run<O> {
    async fn new(way: Way<O>, case: &Value, placeholders: Placeholders) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let components = fill(&placeholders, case["components"].as_str().expect("documents"));
        std::fs::write(folder.path().join("components.yaml"), components).expect("written");
        for (name, text) in case["files"].as_object().into_iter().flatten() {
            std::fs::write(folder.path().join(name), text.as_str().expect("a text")).expect("written");
        }
        let (client, beside) = way.open(folder.path()).await;
        let steps = case["steps"].as_array().expect("steps");
        let receives = |step: &Value| {
            step.get("event").or_else(|| step.get("quiet")).and_then(Value::as_str).map(str::to_owned)
        };
        let mut inputs: Vec<String> = steps.iter().filter_map(receives).collect();
        inputs.sort_unstable();
        inputs.dedup();
        let (subscriptions, place) = (HashMap::new(), String::new());
        Self { way, folder, placeholders, client, beside, inputs, subscriptions, place }
    }

    async fn all(mut self, case: &Value) {
        for (index, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
            self.place = format!("{}, step {} over {}", case["case"], index + 1, self.way.transport);
            if !self.way.leaves_out(step, &self.place) {
                self.step(step).await;
            }
        }
        self.close().await;
    }

    async fn step(&mut self, step: &Value) {
        let kind = STEPS.into_iter().find(|kind| step.get(kind).is_some());
        let kind = kind.unwrap_or_else(|| panic!("{}: not a step", self.place));
        let name = step[kind].as_str().unwrap_or_default();
        match kind {
            "invoke" => self.invoke(name, step).await,
            "event" => self.event(name, step).await,
            "subscribe" => {
                let error = self.client.subscribe(name, HandOut::Freely).await.expect_err(&self.place);
                self.check_error(&error, &step["error"]);
            }
            "quiet" => {
                let batch = self.subscription(name).await.next_batch(1, Some(QUIET)).await;
                assert!(batch.is_none_or(|batch| batch.is_empty()), "{}: an event came", self.place);
            }
            "faults" => self.faults(step["faults"].as_array().expect("a list")),
            "component" => self.component(name, step).await,
            "reopen" => {
                self.close().await;
                (self.client, self.beside) = self.way.open(self.folder.path()).await;
            }
            other => panic!("{}: {other} is in STEPS and not here", self.place),
        }
    }

    async fn invoke(&self, name: &str, step: &Value) {
        let request = self.request(step);
        let operation = step["operation"].as_str().unwrap_or("create");
        let timeout = step["timeout"].as_f64().map(Duration::from_secs_f64);
        let result = self.client.invoke_binding(name, operation, request, timeout).await;
        match (result, step.get("error")) {
            (Ok(reply), None) => {
                self.check_metadata(&reply.metadata, &step["reply"]);
                if let Some(expected) = step.get("replyData") {
                    assert_eq!(reply.body, data(expected), "{}", self.place);
                }
            }
            (Err(error), Some(expected)) => self.check_error(&error, expected),
            (result, expected) => panic!("{}: got {result:?}, expected {expected:?}", self.place),
        }
    }

    async fn event(&mut self, name: &str, step: &Value) {
        let subscription = self.subscription(name).await.clone();
        let batch = subscription.next_batch(1, Some(PATIENCE)).await.expect("not ended");
        let event: Event =
            batch.into_iter().next().unwrap_or_else(|| panic!("{}: no event came", self.place));
        if let Some(expected) = step.get("data") {
            assert_eq!(*event.body(), data(expected), "{}", self.place);
        }
        if let Some(attempt) = step["attempt"].as_u64() {
            assert_eq!(u64::from(event.attempt()), attempt, "{}", self.place);
        }
        self.check_metadata(event.metadata(), &step["metadata"]);
        if let Some(outcome) = step.get("settle") {
            self.settle(&subscription, event.token(), outcome);
        }
    }

    fn settle(&self, subscription: &Subscription, token: SettleToken, outcome: &Value) {
        let with = outcome.as_object().and_then(|outcome| outcome.iter().next());
        let outcome = match (outcome.as_str(), with.map(|(name, with)| (name.as_str(), with))) {
            (Some("ack"), _) => Outcome::Ack,
            (Some("retry"), _) => Outcome::RETRY,
            (Some("drop"), _) => Outcome::Drop,
            (Some("dead_letter"), _) => Outcome::DeadLetter { cause: None },
            (_, Some(("retry", pause))) => {
                Outcome::retry_after(Duration::from_secs_f64(pause.as_f64().expect("seconds")))
            }
            (_, Some(("dead_letter", text))) => {
                let cause = Cause::rejected(text.as_str().expect("a text"));
                Outcome::DeadLetter { cause: Some(Box::new(cause)) }
            }
            (_, Some(("emit", emissions))) => {
                let emissions = emissions.as_array().expect("a list");
                Outcome::Emit(emissions.iter().map(|emission| self.emission(emission)).collect())
            }
            _ => panic!("{}: no outcome {outcome}", self.place),
        };
        assert_eq!(subscription.settle(&[(token, outcome)]), 1, "{}", self.place);
    }

    fn emission(&self, emission: &Value) -> Emission {
        Emission {
            binding: emission["binding"].as_str().expect("a binding").to_owned(),
            operation: emission["operation"].as_str().unwrap_or("create").to_owned(),
            request: self.request(emission),
        }
    }

    fn request(&self, step: &Value) -> Request {
        let mut request = Request::new(data(&step["data"]));
        if step["data"].get("json").is_some() {
            request.encoding = Encoding::Json;
        }
        for (name, value) in step["metadata"].as_object().into_iter().flatten() {
            request = request.with(name, self.fill(value.as_str().expect("metadata is text")));
        }
        request
    }

    fn faults(&self, expected: &[Value]) {
        let faults = self.client.faults();
        assert_eq!(faults.len(), expected.len(), "{}: {faults:?}", self.place);
        for expected in expected {
            let part = expected["text"].as_str().unwrap_or_default();
            let found = faults.iter().find(|fault| fault.to_string().contains(part));
            self.check_error(found.unwrap_or_else(|| panic!("{}: {faults:?}", self.place)), expected);
        }
    }

    /// Waits until the component's state is the expected one, and compares its error.
    async fn component(&self, name: &str, step: &Value) {
        let deadline = Instant::now() + PATIENCE;
        let found = loop {
            let found = self
                .client
                .components()
                .await
                .expect("components")
                .into_iter()
                .find(|component| component.name == name);
            let found = found.unwrap_or_else(|| panic!("{}: no component {name}", self.place));
            if found.state.as_str() == step["state"] {
                break found;
            }
            assert!(Instant::now() < deadline, "{}: {found:?}", self.place);
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        if let Some(expected) = step.get("error") {
            self.check_error(found.error.as_ref().expect(&self.place), expected);
        }
    }

    /// The case's subscription to a binding, made when it is first asked for; through a sidecar, which asks once what
    /// is wanted, together with all others of the case.
    async fn subscription(&mut self, name: &str) -> &Subscription {
        if !self.subscriptions.contains_key(name) {
            let names = if self.way.is_sidecar() { self.inputs.clone() } else { vec![name.to_owned()] };
            for name in names {
                let subscription = self.client.subscribe(&name, HandOut::Freely).await.expect(&self.place);
                self.subscriptions.insert(name, subscription);
            }
        }
        &self.subscriptions[name]
    }

    async fn close(&mut self) {
        self.subscriptions.clear();
        self.client.close(DRAIN).await.expect("closed");
        self.beside.as_mut().await;
    }

    fn check_metadata(&self, metadata: &Metadata, expected: &Value) {
        for (name, expected) in expected.as_object().into_iter().flatten() {
            let found = metadata.get(&self.way.written(name));
            match expected {
                Value::Null => assert_eq!(found, None, "{}: {name}", self.place),
                Value::Bool(true) => assert!(found.is_some(), "{}: no {name}", self.place),
                Value::String(text) => {
                    assert_eq!(found.as_deref(), Some(&*self.fill(text)), "{}: {name}", self.place);
                }
                other => panic!("{}: {name}: {other} is no expectation", self.place),
            }
        }
    }

    fn check_error(&self, error: &Error, expected: &Value) {
        let found = json!({
            "code": error.code().as_str(),
            "component": error.component_name(),
            "operation": error.operation_name(),
            "retriable": error.retriable(),
        });
        for (name, expected) in expected.as_object().expect("an error") {
            if name == "text" {
                let part = expected.as_str().expect("text");
                assert!(error.to_string().contains(part), "{}: no {part:?} in {error}", self.place);
            } else {
                assert_eq!(found[name], *expected, "{}: {name} of {error}", self.place);
            }
        }
    }

    fn fill(&self, text: &str) -> String {
        fill(&self.placeholders, text)
    }
}

fn fill(placeholders: &Placeholders, text: &str) -> String {
    placeholders.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}
