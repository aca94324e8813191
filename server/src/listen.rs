//! Ports, connections, and what they are bounded by.
//!
//! A port is one of TCP or a Unix socket. A connection costs some kilobytes, so there is a most of them for each port;
//! beyond it HTTP is told 503 and gRPC is hung up on. A connection has to say something within `--slow-client-timeout`,
//! and so has every request; a reply has to be taken. Tests are in `server/tests/serve/hostile.rs` and `unread.rs`.

mod addresses;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::addresses::bind;
use crate::replies::{Outgoing, Replies};

/// How every connection with HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HTTP/1 reads into a buffer of at least this.
const LEAST_BUFFER: usize = 8192;
/// How many requests one connection may have under way.
const MOST_STREAMS: u32 = 1000;
/// A connection with HTTP/2 that is silent is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at a connection that stopped in the middle of its first word.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long a port rests when the operating system gives no more connections.
const REST: Duration = Duration::from_millis(100);

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1, and HTTP/2 where it may.
    Http { h2c: bool },
    /// HTTP/2 only.
    Grpc,
}

/// How a port treats its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) headers: usize,
    pub(crate) patience: Duration,
}

/// What answers the requests of a port.
pub(crate) trait Serves:
    Service<Request<Incoming>, Response = Response<Self::Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
}

impl<S, B> Serves for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    type Body = B;
}

/// A router as what answers a port.
pub(crate) fn routed(router: Router) -> impl Serves {
    let boxed = |request: Request<Incoming>| request.map(Body::new);
    TowerToHyperService::new(tower::util::MapRequest::new(router, boxed))
}

/// Where connections come from.
pub(crate) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A connection.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Door {
    /// Listens on a Unix socket. A file that a server left behind which is gone is replaced.
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let stale = || std::os::unix::net::UnixStream::connect(path).is_err();
        if path.exists() && stale() {
            std::fs::remove_file(path)?;
        }
        Ok(Self::Unix(UnixListener::bind(path)?, path.to_owned()))
    }

    /// Its address, where it has one of the network.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Socket::Tcp(stream)),
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Socket {
    /// Whether the client has closed its side.
    async fn is_at_end(&self) -> io::Result<bool> {
        let ready = match self {
            Self::Tcp(stream) => stream.ready(Interest::READABLE).await?,
            Self::Unix(stream) => stream.ready(Interest::READABLE).await?,
        };
        Ok(ready.is_read_closed())
    }

    /// Reads without taking.
    async fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(into).await,
            Self::Unix(stream) => {
                let look = || Ok(rustix::net::recv(stream, &mut *into, RecvFlags::PEEK)?.0);
                stream.async_io(Interest::READABLE, look).await
            }
        }
    }
}

/// Serves connections until `closing`, and then what they have under way.
pub(crate) async fn serve(
    door: Door,
    service: impl Serves,
    speaks: Speaks,
    limits: Limits,
    mut closing: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let socket = match accepted {
            Ok(socket) => socket,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(target: "bindwright", "no connection can be taken: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Ok(permit) = free.clone().try_acquire_owned() else {
            refuse(socket, speaks).await;
            continue;
        };
        let (service, closing) = (service.clone(), closing.clone());
        tokio::spawn(async move {
            attend(socket, service, speaks, limits, closing).await;
            drop(permit);
        });
    }
    drop(door);
    // Each connection gives its permit back when it has ended.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = free.acquire_many(all).await;
}

/// Faults of one connection, which say nothing about the next.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn refuse(socket: Socket, speaks: Speaks) {
    if speaks != Speaks::Grpc {
        match socket {
            Socket::Tcp(stream) => tell_busy(stream).await,
            Socket::Unix(stream) => tell_busy(stream).await,
        }
    }
}

/// It fits into the socket's buffer, so this does not wait.
async fn tell_busy(mut stream: impl AsyncWrite + Unpin) {
    let _ = stream.write_all(BUSY).await;
    let _ = stream.shutdown().await;
}

async fn attend(
    socket: Socket,
    service: impl Serves,
    speaks: Speaks,
    limits: Limits,
    mut closing: watch::Receiver<bool>,
) {
    let began = tokio::select! {
        began = tokio::time::timeout(limits.patience, begins_as_http2(&socket)) => began,
        // Nothing is under way.
        _ = closing.wait_for(|closing| *closing) => return,
    };
    let Ok(Ok(is_http2)) = began else { return };
    let allowed = match speaks {
        Speaks::Grpc => is_http2,
        Speaks::Http { h2c } => h2c || !is_http2,
    };
    if !allowed {
        return;
    }
    match socket {
        Socket::Tcp(stream) => {
            // Small answers must not wait for each other.
            let _ = stream.set_nodelay(true);
            converse(stream, service, is_http2, limits, closing).await;
        }
        Socket::Unix(stream) => converse(stream, service, is_http2, limits, closing).await,
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: impl Serves,
    is_http2: bool,
    limits: Limits,
    closing: watch::Receiver<bool>,
) {
    let io = TokioIo::new(stream);
    let replies = Arc::new(Replies::default());
    let service = watched(service, &replies);
    let stall = replies.stall(limits.patience);
    if is_http2 {
        carry(http2_builder(limits).serve_connection(io, service), stall, closing).await;
    } else {
        carry(http1_builder(limits).serve_connection(io, service), stall, closing).await;
    }
}

/// Drives a connection to its end, which is its client's affair; or until its client takes no more of a reply.
async fn carry(
    connection: impl GracefulConnection,
    stall: impl Future<Output = ()>,
    mut closing: watch::Receiver<bool>,
) {
    let mut connection = std::pin::pin!(connection);
    let mut stall = std::pin::pin!(stall);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stall.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = stall => {}
    }
}

/// What answers, with an eye on its replies.
fn watched<S: Serves>(service: S, replies: &Arc<Replies>) -> impl Serves<Body = Outgoing<S::Body>> + use<S> {
    let replies = replies.clone();
    service_fn(move |request| {
        let (answering, replies) = (service.call(request), replies.clone());
        async move { answering.await.map(|response| replies.watch(response)) }
    })
}

fn http1_builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_buf_size(limits.headers.max(LEAST_BUFFER))
        // `Metadata.key`, as Go writes it.
        .title_case_headers(true);
    builder
}

fn http2_builder(limits: Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MOST_STREAMS)
        // What is beyond what is asked for gets an answer; what is far beyond is not even held.
        .max_header_list_size(u32::try_from(limits.headers.saturating_mul(4)).unwrap_or(u32::MAX));
    builder
}

/// Looks at what the client sends first, without taking it.
async fn begins_as_http2(socket: &Socket) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let mut last = 0;
    let mut pause = Duration::from_millis(1);
    loop {
        let length = socket.peek(&mut seen).await?;
        if length == 0 || !PREFACE.starts_with(&seen[..length]) {
            return if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        if length == last {
            // What is there does not wake anybody again, and behind it the end is not seen.
            if socket.is_at_end().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        last = length;
    }
}
