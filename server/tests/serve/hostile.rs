//! Clients that mean harm, or are merely broken: the server answers or hangs up, and goes on serving.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fixture::{Fixture, PATIENCE, Running};

async fn raw(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// What comes until the server hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server hangs up");
    // A reset is a way to hang up as well.
    let _ = read;
    String::from_utf8_lossy(&all).into_owned()
}

async fn still_serves(server: &Running) {
    assert_eq!(server.invoke("echo", r#"{"operation":"list"}"#).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_refused() {
    let server = Fixture::new().start().await;
    for bytes in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /v1.0/bindings/echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1.0/bindings/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        for address in [&server.base, &server.grpc] {
            let answer = rest(&mut raw(address, bytes).await).await;
            assert!(answer.is_empty() || answer.contains(" 400 "), "{answer}");
        }
    }
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_too_large_are_refused() {
    let server = Fixture::new().start().await;
    let large = "x".repeat(9000);
    let answer = rest(
        &mut raw(
            &server.base,
            format!("GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\nx: {large}\r\n\r\n").as_bytes(),
        )
        .await,
    )
    .await;
    assert!(answer.contains(" 431 "), "{answer}");
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_hung_up_on() {
    let server = Fixture::new().flags(&["--slow-client-timeout", "300ms"]).start().await;
    for bytes in
        [&b""[..], b"GET /v1.0/healthz HTTP/1.1\r\nHost:", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        // The last one said all that HTTP/2 wants to hear at first; it is pinged later.
        if bytes.len() == 24 {
            drop(raw(&server.base, bytes).await);
            continue;
        }
        for address in [&server.base, &server.grpc] {
            rest(&mut raw(address, bytes).await).await;
        }
    }
    let half = b"POST /v1.0/bindings/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"operation\"";
    let answer = rest(&mut raw(&server.base, half).await).await;
    assert!(answer.contains(" 408 "), "{answer}");
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_headers_drop_by_drop_is_hung_up_on() {
    let server = Fixture::new().flags(&["--slow-client-timeout", "400ms"]).start().await;
    let mut stream = raw(&server.base, b"GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\n").await;
    let drops = async {
        // Never silent for long, and never done.
        while stream.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drops).await.expect("the server hangs up");
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_are_refused_until_there_is_room() {
    let server = Fixture::new().flags(&["--max-connections", "20"]).start().await;
    let mut idle = Vec::new();
    for _ in 0..19 {
        idle.push(raw(&server.base, b"GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\n\r\n").await);
    }
    for stream in &mut idle {
        // Each is served, so it counts.
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 204");
    }
    still_serves(&server).await;
    let answer = rest(&mut raw(&server.base, b"").await).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1"), "{answer}");
    drop(idle);
    super::fixture::until("room", async || {
        let mut stream =
            raw(&server.base, b"GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        rest(&mut stream).await.starts_with("HTTP/1.1 204")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_requests_hold_together_is_bounded() {
    let server = Fixture::new().flags(&["--max-request-memory", "10Ki"]).start().await;
    let body = format!(r#"{{"operation":"create","data":"{}"}}"#, "x".repeat(20_000));
    for _ in 0..3 {
        let answer = server.invoke("echo", body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")));
        still_serves(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_kind_are_answered() {
    let server = Fixture::new().start().await;
    let deep = format!(r#"{{"operation":"create","data":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!(r#"{{"operation":"create","metadata":{{{}"k":"v"}}}}"#, r#""k":"v","#.repeat(50_000));
    for body in [deep.as_bytes(), b"{\"operation\":\"create\",\"data\":\"\xff\xfe\"}", &[0; 5000][..]] {
        assert_eq!(server.invoke("echo", body.to_vec()).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(server.invoke("echo", wide).await.status, StatusCode::OK);
    let entries: Vec<String> = (0..40_000).map(|number| format!(r#""k{number}":"v""#)).collect();
    let many = format!(r#"{{"operation":"list","metadata":{{{}}}}}"#, entries.join(","));
    assert_eq!(server.invoke("echo", many).await.status, StatusCode::NO_CONTENT);
    let headers = [("content-type", "text/html"), ("content-encoding", "gzip")];
    let answer = server.call(Method::POST, "/v1.0/bindings/echo", &headers, r#"{"operation":"list"}"#).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_do_no_harm() {
    let server = Fixture::new().start().await;
    let mut idle = Vec::new();
    for _ in 0..800 {
        idle.push(raw(&server.base, b"GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\n\r\n").await);
        idle.push(raw(&server.grpc, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await);
    }
    still_serves(&server).await;
    drop(idle);
    tokio::time::timeout(Duration::from_secs(20), server.end())
        .await
        .expect("the end does not wait for them");
}
