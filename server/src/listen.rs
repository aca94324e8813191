//! Ports, connections, and what they are bounded by.
//!
//! A connection costs some kilobytes, so there is a most of them for each port; beyond it HTTP is told 503 and gRPC is
//! hung up on. A connection has to say something within `--slow-client-timeout`, and so has every request. Tests are in
//! `server/tests/hostile.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::{Semaphore, watch};

/// How every connection with HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// HTTP/1 reads into a buffer of at least this.
const LEAST_BUFFER: usize = 8192;
/// How many requests one connection may have under way.
const MOST_STREAMS: u32 = 1000;
/// A connection with HTTP/2 that is silent is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_mins(1);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
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

/// Listens on all of these addresses; without any on loopback, and of IPv6 only where there is such a thing.
pub(crate) async fn bind(addresses: &[String], port: u16) -> io::Result<Vec<TcpListener>> {
    if addresses.is_empty() {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = first.local_addr()?.port();
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await;
        return Ok(std::iter::once(first).chain(second).collect());
    }
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
    for address in addresses {
        // A port that is taken freely is the same for all addresses.
        let port = match listeners.first() {
            Some(first) => first.local_addr()?.port(),
            None => port,
        };
        listeners.push(TcpListener::bind(resolve(address.trim(), port).await?).await?);
    }
    Ok(listeners)
}

async fn resolve(address: &str, port: u16) -> io::Result<SocketAddr> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok((address, port).into());
    }
    let found = lookup_host((bare, port)).await?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address")))
}

/// Serves connections until `closing`, and then what they have under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    speaks: Speaks,
    limits: Limits,
    mut closing: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(target: "bindwright", "no connection can be taken: {error}");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Ok(permit) = free.clone().try_acquire_owned() else {
            refuse(stream, speaks).await;
            continue;
        };
        let (router, closing) = (router.clone(), closing.clone());
        tokio::spawn(async move {
            // Small answers must not wait for each other.
            let _ = stream.set_nodelay(true);
            attend(stream, router, speaks, limits, closing).await;
            drop(permit);
        });
    }
    drop(listener);
    // Each connection gives its permit back when it has ended.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = free.acquire_many(all).await;
}

/// Faults of one connection, which say nothing about the next.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn refuse(mut stream: TcpStream, speaks: Speaks) {
    if speaks != Speaks::Grpc {
        // It fits into the socket's buffer, so this does not wait.
        let _ = stream.write_all(BUSY).await;
        let _ = stream.shutdown().await;
    }
}

async fn attend(
    stream: TcpStream,
    router: Router,
    speaks: Speaks,
    limits: Limits,
    mut closing: watch::Receiver<bool>,
) {
    let began = tokio::select! {
        began = tokio::time::timeout(limits.patience, begins_as_http2(&stream)) => began,
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
    let service = TowerToHyperService::new(tower::util::MapRequest::new(
        router,
        |request: http::Request<hyper::body::Incoming>| request.map(Body::new),
    ));
    let io = TokioIo::new(stream);
    // How a connection ends is its client's affair.
    if is_http2 {
        let connection = http2_builder(limits).serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    } else {
        let connection = http1_builder(limits).serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
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
async fn begins_as_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let mut last = 0;
    loop {
        let length = stream.peek(&mut seen).await?;
        if length == 0 || !PREFACE.starts_with(&seen[..length]) {
            return if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(false) };
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        if length == last {
            // What is there does not wake anybody again.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        last = length;
    }
}
