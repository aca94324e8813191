//! The application of a case, over HTTP or gRPC, and what it saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bindwright_wire::messages::BindingEventResponse;
use http::Method;
use serde_json::Value;
use tonic::Status;

use super::super::test_app::{Reply, TestApp};
use super::super::test_grpc_app::{Script, TestGrpcApp};

/// Either kind.
pub enum App {
    Http { app: TestApp, is_well: Arc<AtomicBool> },
    Grpc(TestGrpcApp),
}

/// An event as it came, the names of its metadata in small letters.
#[derive(Debug)]
pub struct Seen {
    pub data: Vec<u8>,
    pub metadata: Vec<(String, String)>,
    /// What stood beside it: the headers of the call.
    pub headers: Vec<(String, String)>,
}

/// How it behaves, as the key `app` of a case says; see `tests/spec/serve/README.md`.
#[derive(Clone)]
struct Behaviour {
    probe: u16,
    probe_pause: Duration,
    lists: Vec<String>,
    answers: Vec<u16>,
    pause: Duration,
    answer: String,
}

impl Behaviour {
    fn of(case: &Value) -> Self {
        let number = |value: &Value| u16::try_from(value.as_u64().unwrap()).unwrap();
        let millis = |name: &str| Duration::from_millis(case[name].as_u64().unwrap_or(0));
        let list = |name: &str| case[name].as_array().cloned().unwrap_or_default();
        let mut answers: Vec<u16> = list("answers").iter().map(number).collect();
        if answers.is_empty() {
            answers.push(200);
        }
        Self {
            probe: case.get("probe").map_or(200, number),
            probe_pause: millis("probePause"),
            lists: list("lists").iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
            answers,
            pause: millis("pause"),
            answer: case["answer"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// The status of the answer to an event, knowing how many came before.
    fn status(&self, before: usize) -> u16 {
        self.answers[before.min(self.answers.len() - 1)]
    }
}

impl App {
    pub async fn start(case: &Value, is_grpc: bool) -> Self {
        let behaviour = Behaviour::of(case);
        let is_well = case["healthy"] != Value::Bool(false);
        if is_grpc {
            let listing = behaviour.clone();
            let list = move |_| {
                let is_wanted = matches!(listing.probe, 200..=299 | 405);
                let told = match listing.probe {
                    500.. => Err(Status::internal("no list")),
                    _ => Ok(if is_wanted { listing.lists.clone() } else { Vec::new() }),
                };
                (listing.probe_pause, told)
            };
            let answer = move |_: &_, before| {
                let told = match behaviour.status(before) {
                    200..=299 => {
                        let data = behaviour.answer.clone().into_bytes().into();
                        Ok(BindingEventResponse { data, ..BindingEventResponse::default() })
                    }
                    status => Err(Status::internal(format!("status {status}"))),
                };
                (behaviour.pause, told)
            };
            let app = TestGrpcApp::start(Script { list: Box::new(list), answer: Box::new(answer) }).await;
            app.set_well(is_well);
            return Self::Grpc(app);
        }
        let well = Arc::new(AtomicBool::new(is_well));
        let asked = well.clone();
        let app = TestApp::start(move |seen, before| -> Reply {
            match seen.method {
                Method::OPTIONS => (behaviour.probe_pause, behaviour.probe, String::new()),
                Method::GET => {
                    let status = if asked.load(Ordering::SeqCst) { 200 } else { 500 };
                    (Duration::ZERO, status, String::new())
                }
                _ => (behaviour.pause, behaviour.status(before), behaviour.answer.clone()),
            }
        })
        .await;
        Self::Http { app, is_well: well }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Http { app, .. } => app.port,
            Self::Grpc(app) => app.port,
        }
    }

    pub fn set_well(&self, well: bool) {
        match self {
            Self::Http { is_well, .. } => is_well.store(well, Ordering::SeqCst),
            Self::Grpc(app) => app.set_well(well),
        }
    }

    /// The events of a binding, or of a path.
    pub fn events(&self, name: &str) -> Vec<Seen> {
        match self {
            Self::Http { app, .. } => {
                let path = if name.starts_with('/') { name.to_owned() } else { format!("/{name}") };
                let seen = app.posts(&path).into_iter().map(|one| {
                    let text =
                        |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                    let headers: Vec<_> =
                        one.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
                    Seen { data: one.body.to_vec(), metadata: headers.clone(), headers }
                });
                seen.collect()
            }
            Self::Grpc(app) => {
                let of_binding = app.all_events().into_iter().filter(|(_, event)| event.name == name);
                let seen = of_binding.map(|(sent, event)| Seen {
                    data: event.data.to_vec(),
                    metadata: event
                        .metadata
                        .iter()
                        .map(|(name, value)| (name.to_lowercase(), value.clone()))
                        .collect(),
                    headers: sent
                        .clone()
                        .into_headers()
                        .iter()
                        .map(|(name, value)| {
                            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                        })
                        .collect(),
                });
                seen.collect()
            }
        }
    }

    /// How often it was asked whether it wants the events of a binding; over gRPC, of all of them.
    pub fn probes(&self, name: &str) -> usize {
        match self {
            Self::Http { app, .. } => {
                let path = format!("/{name}");
                app.seen().iter().filter(|one| one.method == Method::OPTIONS && one.path == path).count()
            }
            Self::Grpc(app) => app.lists().len(),
        }
    }
}
