//! An application that notes what it is asked and answers as a test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// One request.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What it answers: after how long, with which status and body.
pub type Reply = (Duration, u16, String);

pub fn ok() -> Reply {
    (Duration::ZERO, 200, String::new())
}

pub fn status(code: u16) -> Reply {
    (Duration::ZERO, code, String::new())
}

pub fn body(text: impl Into<String>) -> Reply {
    (Duration::ZERO, 200, text.into())
}

pub struct TestApp {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl TestApp {
    /// Listens on a free port; `answer` decides, knowing how many requests it saw of this method before.
    pub async fn start(answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(0, answer).await
    }

    pub async fn on(port: u16, answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let noted = seen.clone();
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (noted, answer) = (noted.clone(), answer.clone());
                let service = service_fn(move |request| attend(request, noted.clone(), answer.clone()));
                connections.spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, seen, task }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The events that came to a path.
    pub fn posts(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|one| one.method == Method::POST && one.path == path).collect()
    }

    pub fn count(&self, method: &Method) -> usize {
        self.seen.lock().iter().filter(|one| one.method == *method).count()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn attend(
    request: Request<Incoming>,
    noted: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<impl Fn(&Seen, usize) -> Reply>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path().to_owned();
    let seen = Seen { method: head.method, path, headers: head.headers, body };
    let (pause, status, text) = {
        let mut noted = noted.lock();
        let before = noted.iter().filter(|one| one.method == seen.method && one.path == seen.path).count();
        noted.push(seen.clone());
        answer(&seen, before)
    };
    tokio::time::sleep(pause).await;
    Ok(Response::builder().status(status).body(Full::new(text.into())).unwrap())
}
