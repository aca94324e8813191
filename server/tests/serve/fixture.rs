//! A server with components of a test's own, and a component that answers what it is asked.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bindwright::component::{Call, ComponentType, OutputBinding, Secret, register};
use bindwright::{Body, Error, ErrorCode, Metadata, Reply, Request, Result, Status};
use bindwright_server::{Ender, Ending, Options, Server, open_client};
use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::task::JoinHandle;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Answers with what it got; `fetch` with as many bytes as the metadata's `size` says.
struct Echo;

#[async_trait]
impl OutputBinding for Echo {
    fn operations(&self) -> &[&'static str] {
        &["create", "list", "fail", "status", "fetch"]
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        match &*call.operation {
            "create" => Ok(Reply { body: request.body, metadata: request.metadata }),
            "fetch" => {
                let size = request.metadata.get("size").and_then(|size| size.parse().ok()).unwrap();
                Ok(Reply { body: Body::from(vec![b'x'; size]), metadata: Metadata::new() })
            }
            "fail" => Err(Error::new(ErrorCode::Unavailable, "the backend is away")),
            "status" => {
                let error = Error::new(ErrorCode::Backend, "received status code 404");
                Err(error.status(Status::Http(404)).metadata(request.metadata))
            }
            _ => Ok(Reply { body: Body::None, metadata: request.metadata }),
        }
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

pub fn register_echo() {
    register(ComponentType::new("bindings.test.echo").output(|_| Ok(Arc::new(Echo))));
}

/// The body of a request for so many bytes of the component `echo`.
pub fn fetch(size: usize) -> String {
    format!(r#"{{"operation":"fetch","metadata":{{"size":"{size}"}}}}"#)
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A port that nobody listens on at the moment and no other test gets; under the range that outgoing connections have.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..)));
    let mut candidates = std::iter::repeat_with(|| 15_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 17_000);
    candidates.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// What a test's server has.
pub struct Fixture {
    folder: tempfile::TempDir,
    words: Vec<String>,
    tokens: (Option<Secret>, Option<Secret>),
}

impl Fixture {
    /// A server with the component `echo`.
    pub fn new() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(register_echo);
        let fixture = Self { folder: tempfile::tempdir().unwrap(), words: Vec::new(), tokens: (None, None) };
        fixture.component("echo", "bindings.test.echo", &[], "");
        fixture
    }

    /// Writes a component; `more` is further YAML of its `spec`.
    pub fn component(&self, name: &str, of_type: &str, settings: &[(&str, &str)], more: &str) {
        let mut text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: '{name}'}}\nspec:\n  type: {of_type}\n  \
             version: v1\n{more}  metadata:\n"
        );
        for (name, value) in settings {
            writeln!(text, "  - {{name: {name}, value: '{value}'}}").unwrap();
        }
        std::fs::write(self.folder.path().join(format!("{name}.yaml")), text).unwrap();
    }

    /// A queue that sends and receives.
    pub fn queue(&self, name: &str, settings: &[(&str, &str)]) {
        let unique = format!("{}-{name}", self.folder.path().display());
        let settings: Vec<_> =
            settings.iter().copied().chain([("queue", unique.as_str()), ("retryPause", "20ms")]).collect();
        self.component(name, "bindings.memory", &settings, "");
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(format!("{name}.yaml"))).unwrap();
    }

    /// Writes a Configuration and names it in the flags; `spec` is YAML.
    pub fn configuration(self, spec: &str) -> Self {
        let path = self.folder.path().join("configuration.yml");
        std::fs::write(&path, format!("kind: Configuration\nspec: {spec}\n")).unwrap();
        self.flags(&["--config", path.to_str().unwrap()])
    }

    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn flags(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    pub fn api_token(mut self, token: &str) -> Self {
        self.tokens.0 = Some(Secret::new(token));
        self
    }

    pub fn app_token(mut self, token: &str) -> Self {
        self.tokens.1 = Some(Secret::new(token));
        self
    }

    pub fn options(&self) -> Options {
        let mut words =
            vec!["serve".to_owned(), "--resources-path".to_owned(), self.folder.path().display().to_string()];
        let free = [
            ("--app-id", "shop"),
            ("--dapr-http-port", "0"),
            ("--dapr-grpc-port", "0"),
            ("--metrics-port", "0"),
        ];
        for (flag, value) in free.into_iter().filter(|(flag, _)| !self.words.iter().any(|word| word == flag))
        {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
        let mut options = Line::try_parse_from(words.into_iter().chain(self.words.clone())).unwrap().options;
        (options.api_token, options.app_token) = self.tokens.clone();
        options
    }

    pub async fn try_start(&self) -> Result<Running> {
        let options = self.options();
        let client = open_client(&options)?;
        let server = Server::start(client, options).await?;
        let caller = Caller::new(server.http_addresses()[0]);
        let grpc = format!("http://{}", server.grpc_addresses()[0]);
        let (ender, metrics) = (server.ender(), server.metrics_addresses().first().copied());
        Ok(Running { caller, grpc, run: tokio::spawn(server.run()), ender, metrics })
    }

    pub async fn start(&self) -> Running {
        self.try_start().await.unwrap()
    }
}

/// A server at work, and a client of its HTTP API.
pub struct Running {
    caller: Caller,
    pub grpc: String,
    pub run: JoinHandle<Ending>,
    pub ender: Ender,
    metrics: Option<SocketAddr>,
}

impl Deref for Running {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// A client of an HTTP API.
pub struct Caller {
    /// `http://host:port`
    pub base: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// An answer as a whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status, `errorCode` and `message` of an error, which has nothing else.
    pub fn error(&self) -> (u16, String, String) {
        let Value::Object(members) = self.json() else { panic!("{self:?}") };
        assert_eq!(members.len(), 2, "{members:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let text = |name: &str| members[name].as_str().unwrap().to_owned();
        (self.status.as_u16(), text("errorCode"), text("message"))
    }
}

impl Caller {
    pub fn new(address: SocketAddr) -> Self {
        let http = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { base: format!("http://{address}"), http }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.http.request(request)).await.unwrap().unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }

    pub async fn invoke(&self, name: &str, body: impl Into<Bytes>) -> Answer {
        self.post(&format!("/v1.0/bindings/{name}"), body).await
    }

    /// The number of messages of a queue that are not settled.
    pub async fn size(&self, queue: &str) -> u64 {
        self.invoke(queue, r#"{"operation":"size"}"#).await.json().as_u64().unwrap()
    }
}

impl Running {
    pub fn tells_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    /// What Prometheus would read.
    pub async fn scrape(&self) -> String {
        let uri = format!("http://{}/", self.metrics.unwrap()).parse().unwrap();
        let answer = self.http.get(uri).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    pub async fn end(self) -> Ending {
        self.ender.end();
        tokio::time::timeout(PATIENCE, self.run).await.unwrap().unwrap()
    }
}

/// Waits until something is the case.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
