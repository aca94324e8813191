//! Runs `tests/spec/kafka.yaml`; `tests/spec/README.md` describes the format.

use std::collections::HashMap;
use std::time::Duration;

use bindwright::{Body, Client, Error, Event, HandOut, Metadata, Outcome, Request, Subscription};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

use crate::fixture::{Fixture, close, is_quiet, open, pull};

#[tokio::test]
async fn every_case_of_the_specification_holds() {
    if crate::server::shared().is_none() {
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/spec/kafka.yaml");
    let text = std::fs::read_to_string(path).expect("read");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let cases = plain(&documents[0]);
    let mut failed = Vec::new();
    for case in cases.as_array().expect("a list of cases") {
        let (case, name) = (case.clone(), case["case"].as_str().expect("a name").to_owned());
        // A task of its own, so that a case that fails does not hide the next one.
        let local = tokio::task::LocalSet::new();
        let ended = local.run_until(async { tokio::task::spawn_local(run(case)).await });
        if ended.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The document in a form that is easier to walk through.
fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            let name = |key: &Yaml<'_>| key.as_str().expect("names are text").to_owned();
            entries
                .iter()
                .map(|(key, value)| (name(key), plain(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        other => panic!("not used in cases: {other:?}"),
    }
}

struct Run {
    fixture: Fixture,
    client: Client,
    subscriptions: HashMap<String, Subscription>,
    /// What is being done, for messages.
    place: String,
}

async fn run(case: Value) {
    let fixture = Fixture::new().expect("a broker");
    fixture.create_topic(case["partitions"].as_i64().unwrap_or(1) as i32).await;
    let mut run =
        Run { client: open(fixture.folder()), subscriptions: HashMap::new(), place: String::new(), fixture };
    let components = run.fill(case["components"].as_str().expect("documents"));
    std::fs::write(run.fixture.folder().join("orders.yaml"), components).expect("written");
    run.client = open(run.fixture.folder());
    for (index, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
        run.place = format!("{}, step {}", case["case"], index + 1);
        run.step(step).await;
    }
    close(&run.client).await;
}

impl Run {
    fn fill(&self, text: &str) -> String {
        let Fixture { bootstrap, topic, group, .. } = &self.fixture;
        text.replace("{brokers}", bootstrap).replace("{topic}", topic).replace("{group}", group)
    }

    async fn step(&mut self, step: &Value) {
        if let Some(name) = step["invoke"].as_str() {
            self.invoke(name, step).await;
        } else if let Some(name) = step["event"].as_str() {
            self.event(name, step).await;
        } else if let Some(name) = step["subscribe"].as_str() {
            let error = self.client.subscribe(name, HandOut::Freely).await.expect_err(&self.place);
            self.check_error(&error, &step["error"]);
        } else if let Some(name) = step["quiet"].as_str() {
            assert!(is_quiet(&self.subscriptions[name]).await, "{}: an event came", self.place);
        } else if let Some(expected) = step["faults"].as_array() {
            let faults = self.client.faults();
            assert_eq!(faults.len(), expected.len(), "{}: {faults:?}", self.place);
            for expected in expected {
                let part = expected["text"].as_str().unwrap_or_default();
                let found = faults.iter().find(|fault| fault.to_string().contains(part));
                self.check_error(found.unwrap_or_else(|| panic!("{}: {faults:?}", self.place)), expected);
            }
        } else if step["reopen"] == true {
            self.subscriptions.clear();
            close(&self.client).await;
            self.client = open(self.fixture.folder());
        } else {
            panic!("{}: not a step", self.place);
        }
    }

    async fn invoke(&self, name: &str, step: &Value) {
        let mut request = Request::new(data(&step["data"]));
        for (name, value) in step["metadata"].as_object().into_iter().flatten() {
            request = request.with(name, self.fill(value.as_str().expect("metadata is text")));
        }
        let operation = step["operation"].as_str().unwrap_or("create");
        let timeout = step["timeout"].as_f64().map(Duration::from_secs_f64);
        let result = self.client.invoke_binding(name, operation, request, timeout).await;
        match (result, step.get("error")) {
            (Ok(reply), None) => self.check_metadata(&reply.metadata, &step["reply"]),
            (Err(error), Some(expected)) => self.check_error(&error, expected),
            (result, expected) => panic!("{}: got {result:?}, expected {expected:?}", self.place),
        }
    }

    async fn event(&mut self, name: &str, step: &Value) {
        if !self.subscriptions.contains_key(name) {
            let subscription = self.client.subscribe(name, HandOut::Freely).await.expect(&self.place);
            self.subscriptions.insert(name.to_owned(), subscription);
        }
        let subscription = &self.subscriptions[name];
        let event: Event = pull(subscription, 1).await.remove(0);
        if step.get("data").is_some() {
            assert_eq!(*event.body(), data(&step["data"]), "{}", self.place);
        }
        if let Some(attempt) = step["attempt"].as_u64() {
            assert_eq!(u64::from(event.attempt()), attempt, "{}", self.place);
        }
        self.check_metadata(event.metadata(), &step["metadata"]);
        let outcome = match step["settle"].as_str() {
            None => return,
            Some("ack") => Outcome::Ack,
            Some("retry") => Outcome::RETRY,
            Some("drop") => Outcome::Drop,
            Some(other) => panic!("{}: no outcome {other:?}", self.place),
        };
        assert_eq!(subscription.settle(&[(event.token(), outcome)]), 1, "{}", self.place);
    }

    fn check_metadata(&self, metadata: &Metadata, expected: &Value) {
        for (name, expected) in expected.as_object().into_iter().flatten() {
            let found = metadata.get(name);
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
}

fn data(data: &Value) -> Body {
    if data.is_null() {
        return Body::empty();
    }
    if data == "none" {
        return Body::None;
    }
    let (kind, value) = data.as_object().and_then(|data| data.iter().next()).expect("data");
    match (kind.as_str(), value) {
        ("text", Value::String(text)) => Body::from(text.clone()),
        ("base64", Value::String(text)) => Body::from(from_base64(text)),
        ("json", value) => Body::from(value.to_string()),
        ("repeat", value) => {
            let times = value["times"].as_u64().expect("a number");
            Body::from(value["text"].as_str().expect("text").repeat(times as usize))
        }
        _ => panic!("not data: {data}"),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).expect("base64");
        bits = bits << 6 | u32::try_from(value).expect("less than 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
