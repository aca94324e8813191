//! What clients that mean harm can make a server hold. It is a process of its own here, so that its memory can be told.

use std::fmt::Write as _;
use std::sync::Arc;

use bindwright_wire::messages::InvokeBindingRequest;
use bindwright_wire::messages::dapr_client::DaprClient;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Endpoint;

use super::fixture::{Caller, fetch, until};
use super::vectors::Served;

/// What a request may have.
const LARGEST: usize = 4 << 20;
/// Requests at once.
const AT_ONCE: usize = 24;
/// What all of them may hold, by the flag.
const BUDGET_MIB: u64 = 64;
/// What may come on top: what the server needs anyway, what reading two large bodies takes, sockets, and pages that are
/// used in part.
const BESIDE_MIB: u64 = 256;

fn server(folder: &tempfile::TempDir) -> Served {
    for (name, of_type) in [("orders", "bindings.memory"), ("echo", "bindings.test.echo")] {
        let document = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec: {{type: \
             {of_type}, version: v1}}\n"
        );
        std::fs::write(folder.path().join(format!("{name}.yaml")), document).unwrap();
    }
    let flags = ["--app-id", "shop", "--resources-path", folder.path().to_str().unwrap()];
    let budget = format!("{BUDGET_MIB}Mi");
    let flags = flags.into_iter().chain(["--max-request-memory", &budget]).map(str::to_owned);
    Served::start(&flags.collect::<Vec<_>>(), &[])
}

/// As much JSON as a request may have, made of this piece.
fn data(piece: &str) -> Bytes {
    let (before, after) = (r#"{"operation":"size","data":["#, "0]}");
    let count = (LARGEST - before.len() - after.len()) / piece.len();
    Bytes::from(format!("{before}{}{after}", piece.repeat(count)))
}

/// The same of members with names of their own.
fn members(before: &str, value: &str) -> Bytes {
    let mut text = before.to_owned();
    let mut number = 0_u32;
    while text.len() < LARGEST - 32 {
        // Out of order.
        let _ = write!(text, "\"{:x}\":{value},", number.reverse_bits());
        number += 1;
    }
    Bytes::from(format!("{}}}}}", text.trim_end_matches(',')))
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_made_to_take_room_stay_within_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(&folder);
    let (address, _) = server.ports().await;
    let before = server.memory_mib("VmRSS");
    let bodies = [
        ("lists", data("[0],")),
        ("objects", data(r#"{"":0},"#)),
        ("texts that grow", data(r#""<<<<<<<<<<<<<<<<","#)),
        ("members", members(r#"{"operation":"size","data":{"#, "0")),
        ("metadata", members(r#"{"operation":"size","metadata":{"#, r#""""#)),
    ];
    for (what, body) in bodies {
        assert!(body.len() <= LARGEST, "{what}");
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            let body = body.clone();
            calls.spawn(async move {
                let caller = Caller::new(address);
                caller.invoke("orders", body).await.status.as_u16()
            });
        }
        let statuses = calls.join_all().await;
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{what}: {statuses:?}");
        assert!(statuses.contains(&200), "{what}: nobody was served");
        let most = server.memory_mib("VmHWM");
        eprintln!("{what}: {before} MiB at first, {most} MiB at most");
        assert!(
            most <= before + BUDGET_MIB + BESIDE_MIB,
            "{what}: {before} MiB at first, {most} MiB at most"
        );
    }
    assert_eq!(Caller::new(address).invoke("orders", r#"{"operation":"size"}"#).await.text(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_made_to_take_room_stay_within_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(&folder);
    let (http, grpc) = server.ports().await;
    let before = server.memory_mib("VmRSS");
    let mut asked = InvokeBindingRequest {
        name: "orders".to_owned(),
        operation: "size".to_owned(),
        ..Default::default()
    };
    // Ten bytes for each, and a string and a place in a map of its own.
    asked.metadata = (0..350_000).map(|number: u32| (format!("{number:05x}"), String::new())).collect();
    let asked = Arc::new(asked);
    let mut calls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let asked = asked.clone();
        calls.spawn(async move {
            let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
            let mut client = DaprClient::new(endpoint.connect().await.unwrap());
            client
                .invoke_binding(InvokeBindingRequest::clone(&asked))
                .await
                .map_or_else(|status| status.code(), |_| Code::Ok)
        });
    }
    let codes = calls.join_all().await;
    assert!(codes.iter().all(|code| [Code::Ok, Code::ResourceExhausted].contains(code)), "{codes:?}");
    assert!(codes.contains(&Code::Ok), "nobody was served");
    let most = server.memory_mib("VmHWM");
    eprintln!("messages: {before} MiB at first, {most} MiB at most");
    assert!(most <= before + BUDGET_MIB + BESIDE_MIB, "{before} MiB at first, {most} MiB at most");
    assert_eq!(Caller::new(http).invoke("orders", r#"{"operation":"size"}"#).await.text(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_connections_that_say_nothing_or_half_of_it_cost_little_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(&folder);
    let (http, grpc) = server.ports().await;
    let before = server.memory_mib("VmRSS");
    let half =
        b"POST /v1.0/bindings/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n{\"operation\"";
    let kinds: [(_, &[u8], &[u8]); 4] = [
        (http, b"GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204"),
        (http, b"GET /v1.0/healthz HTTP/1.1\r\nHost: ", b""),
        (http, half, b""),
        (grpc, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"\x00\x00"),
    ];
    let count = connections();
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        let (address, said, expected) = kinds[number % kinds.len()];
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut start = vec![0; expected.len()];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(start, expected);
        held.push(stream);
    }
    let caller = Caller::new(http);
    for _ in 0..100 {
        assert_eq!(caller.invoke("orders", r#"{"operation":"size"}"#).await.text(), "0");
    }
    let grown = server.memory_mib("VmHWM") - before;
    eprintln!("{count} connections: {grown} MiB more");
    // 40 KiB for each, and room for pages that are used in part.
    let bound = count as u64 * 40 / 1024 + 16;
    assert!(grown <= bound, "{count} connections: {grown} MiB more, not at most {bound}");
    drop(held);
    assert_eq!(caller.invoke("orders", r#"{"operation":"size"}"#).await.text(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_nobody_reads_stay_within_a_bound() {
    // More than sockets take, and than streams of HTTP/2 may send unasked.
    const SIZE: usize = 16 << 20;
    const CLIENTS: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(&folder);
    let (address, _) = server.ports().await;
    let before = server.memory_mib("VmRSS");
    let body = fetch(SIZE);
    let head = format!(
        "POST /v1.0/bindings/echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut streams = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        statuses.push(String::from_utf8_lossy(&start[9..]).into_owned());
        streams.push(stream);
    }
    let multiplexed: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let mut bodies = Vec::new();
    for _ in 0..CLIENTS {
        let request = http::Request::post(format!("http://{address}/v1.0/bindings/echo"));
        let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
        let answer = multiplexed.request(request).await.unwrap();
        statuses.push(answer.status().as_u16().to_string());
        bodies.push(answer);
    }
    assert!(statuses.iter().all(|status| ["200", "503"].contains(&status.as_str())), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "200"), "nobody was served: {statuses:?}");
    let caller = Caller::new(address);
    for _ in 0..100 {
        assert_eq!(caller.invoke("orders", r#"{"operation":"size"}"#).await.text(), "0");
    }
    let most = server.memory_mib("VmHWM");
    eprintln!("replies: {before} MiB at first, {most} MiB at most");
    assert!(most <= before + BUDGET_MIB + BESIDE_MIB, "{before} MiB at first, {most} MiB at most");
    drop((streams, bodies, multiplexed));
    until("room", async || caller.invoke("echo", body.clone()).await.body.len() == SIZE).await;
}

/// As many as this machine lets two processes have; other tests want some as well.
fn connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024_usize);
    (soft.saturating_sub(600) / 2).clamp(200, 6000)
}
