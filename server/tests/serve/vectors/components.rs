//! Components that behave like those that the vectors name: `bindings.test.mock`, `.http`, `.files` and `.cron`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bindwright::component::{
    Call, Component, ComponentType, InputBinding, Intake, NewEvent, OutputBinding, Reading, Settler, Source,
    register,
};
use bindwright::{Body, Error, ErrorCode, Health, Metadata, Reply, Request, Result, Status};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::super::fixture::register_echo;

pub fn register_all() {
    register_echo();
    register(ComponentType::new("bindings.test.mock").output(|component| Ok(Arc::new(Mock::of(component)))));
    register(ComponentType::new("bindings.test.http").output(|component| Ok(Arc::new(Http::of(component)))));
    register(ComponentType::new("bindings.test.files").output(|component| {
        let root_path = setting(component, "rootPath").unwrap_or_default();
        Ok(Arc::new(Files { root_path }))
    }));
    register(ComponentType::new("bindings.test.cron").input(|_| Ok(Arc::new(Cron))));
}

fn setting(component: &Component, name: &str) -> Option<String> {
    let mut found = component.properties.iter().filter(|property| property.name == name);
    found.next_back().map(|property| property.value.clone())
}

/// `create` answers `answer`, or what it got; `list` answers nothing. The first calls fail, so many as `failures` says.
/// `delay` is in milliseconds. The metadata of a reply is that of the request, and `calls`: how many there were.
struct Mock {
    answer: Option<String>,
    failures: u64,
    delay: Duration,
    calls: AtomicU64,
}

impl Mock {
    fn of(component: &Component) -> Self {
        let number = |name| setting(component, name).map_or(0, |text| text.parse().unwrap());
        Self {
            answer: setting(component, "answer"),
            failures: number("failures"),
            delay: Duration::from_millis(number("delay")),
            calls: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl OutputBinding for Mock {
    fn operations(&self) -> &[&'static str] {
        &["create", "list"]
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(self.delay).await;
        if calls <= self.failures {
            return Err(Error::new(ErrorCode::Unavailable, "the backend is away"));
        }
        let mut metadata = request.metadata;
        metadata.add("calls", calls.to_string());
        let body = match (&*call.operation, &self.answer) {
            ("list", _) => Body::None,
            (_, Some(answer)) => Body::from(answer.clone()),
            _ => request.body,
        };
        Ok(Reply { body, metadata })
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

/// Asks `url`, with what concerns the trace of the call.
struct Http {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    fn of(component: &Component) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { url: setting(component, "url").unwrap(), client }
    }
}

#[async_trait]
impl OutputBinding for Http {
    fn operations(&self) -> &[&'static str] {
        &["create", "get"]
    }

    async fn invoke(&self, _: &Call, request: Request) -> Result<Reply> {
        let mut asked = http::Request::builder().method("POST").uri(&self.url);
        for name in ["traceparent", "tracestate", "baggage"] {
            if let Some(value) = request.metadata.get(name) {
                asked = asked.header(name, value.as_ref());
            }
        }
        let answer = self.client.request(asked.body(Full::default()).unwrap()).await;
        let answer = answer.map_err(|error| Error::new(ErrorCode::Unavailable, error.to_string()))?;
        let status = answer.status();
        if !status.is_success() {
            let text = format!("received status code {}", status.as_u16());
            return Err(Error::new(ErrorCode::Backend, text).status(Status::Http(status.as_u16())));
        }
        let mut metadata = Metadata::new();
        metadata.add("statusCode", status.as_u16().to_string());
        Ok(Reply { body: Body::None, metadata })
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

/// `create` writes a file of `rootPath`; of data that is a text of JSON what stands between the quotes.
struct Files {
    root_path: String,
}

#[async_trait]
impl OutputBinding for Files {
    fn operations(&self) -> &[&'static str] {
        &["create"]
    }

    async fn invoke(&self, _: &Call, request: Request) -> Result<Reply> {
        let name = request.metadata.get("fileName").unwrap().into_owned();
        let data = request.body.as_bytes().cloned().unwrap_or_default();
        let text = serde_json::from_slice::<String>(&data).map_or(data, Bytes::from);
        std::fs::write(format!("{}/{name}", self.root_path), text).unwrap();
        let body = Body::from(serde_json::json!({ "fileName": name }).to_string());
        Ok(Reply { body, metadata: Metadata::new() })
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

/// One event without data, at once.
struct Cron;

struct Ticking(Option<Source>);

struct NothingToRecord;

impl Settler for NothingToRecord {
    fn settled(&self, _: &[i64]) {}
}

#[async_trait]
impl InputBinding for Cron {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let source = intake.open_source(Arc::new(NothingToRecord));
        let mut metadata = Metadata::new();
        metadata.add("timezone", "Local");
        source.push(vec![NewEvent::new(0, Body::empty(), metadata)]);
        Ok(Box::new(Ticking(Some(source))))
    }
}

#[async_trait]
impl Reading for Ticking {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        if let Some(source) = &self.0 {
            source.close();
            while source.outstanding() > 0 && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        self.0 = None;
        Ok(())
    }

    fn health(&self) -> Health {
        Health::READY
    }
}
