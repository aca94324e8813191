//! Which connections go on after an answer to a request whose body nobody read to its end. One that does not must say
//! so: its client would send the next call into it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fixture::{Fixture, PATIENCE, Running};

const HEALTH: &str = "GET /v1.0/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// More than is read only to be thrown away.
const MUCH: usize = 1 << 20;

fn post(path: &str, headers: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n")
}

/// What the server says to a request, whose body is sent when the head was read, and to one more behind it.
async fn answers(server: &Running, head: &str, body: usize) -> String {
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let conversation = async {
        let (mut reading, mut writing) = stream.split();
        let mut told = Vec::new();
        let send = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let rest = [&vec![b'x'; body][..], HEALTH.as_bytes()].concat();
            // It may have hung up in between.
            let _ = writing.write_all(&rest).await;
        };
        let ((), _) = tokio::join!(send, reading.read_to_end(&mut told));
        String::from_utf8_lossy(&told).into_owned()
    };
    tokio::time::timeout(PATIENCE, conversation).await.expect("the server hangs up")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_where_little_is_left_of_a_refused_body() {
    let server = Fixture::new().flags(&["--max-body-size", "1Ki"]).start().await;
    for (path, status) in [("/v1.0/bindings/echo", 400), ("/v1.0/nothing", 404), ("/v1.0/healthz", 404)] {
        let told = answers(&server, &post(path, "", 20_000), 20_000).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {told}");
        assert!(told.contains("HTTP/1.1 204 "), "{path}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_body_is_not_read_ends_and_the_answer_says_so() {
    let server = Fixture::new().flags(&["--max-body-size", "1Ki"]).start().await;
    for path in ["/v1.0/bindings/echo", "/v1.0/nothing"] {
        let told = answers(&server, &post(path, "", MUCH), MUCH).await.to_lowercase();
        assert!(told.starts_with("http/1.1 4") && told.contains("connection: close"), "{path}: {told}");
        assert!(!told.contains("http/1.1 204 "), "{path}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_body_is_broken_ends_and_the_answer_says_so() {
    let server = Fixture::new().start().await;
    let head = "POST /v1.0/bindings/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let told = answers(&server, head, 0).await.to_lowercase();
    assert!(told.starts_with("http/1.1 400 ") && told.contains("connection: close"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_held_back_is_asked_for_only_where_it_is_read() {
    let server = Fixture::new().start().await;
    let expecting = |path| post(path, "Expect: 100-continue\r\n", 20);
    let told = answers(&server, &expecting("/v1.0/nothing"), 0).await.to_lowercase();
    assert!(told.starts_with("http/1.1 404 ") && told.contains("connection: close"), "{told}");
    let told = answers(&server, &expecting("/v1.0/bindings/echo"), 20).await;
    assert!(told.starts_with("HTTP/1.1 100 ") && told.contains("HTTP/1.1 400 "), "{told}");
    assert!(told.contains("HTTP/1.1 204 "), "{told}");
}
