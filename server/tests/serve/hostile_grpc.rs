//! Callers of gRPC that mean harm, or are merely broken: each gets a status, and the server goes on.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fixture::{Fixture, PATIENCE, Running};

const INVOKE: &str = "/dapr.proto.runtime.v1.Dapr/InvokeBinding";
const GRPC: &str = "application/grpc";

/// A message as it stands in a body: whether it is compressed, how long it says it is, and what there is of it.
fn frame(compressed: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[compressed][..], &length, message].concat()
}

/// The status that a call ends with: `grpc-status`, or the status of HTTP where it is none of gRPC.
async fn status(server: &Running, path: &str, content_type: &str, body: Vec<u8>) -> String {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let request = Request::post(format!("{}{path}", server.grpc))
        .header("content-type", content_type)
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
    let (head, body) = answer.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let found = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
    found.map_or_else(|| format!("HTTP {}", head.status.as_u16()), |code| code.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none_are_refused() {
    let server = Fixture::new().start().await;
    // name: echo, operation: list
    let good = b"\x0a\x04echo\x22\x04list";
    let whole = frame(0, good.len(), good);
    assert_eq!(status(&server, INVOKE, GRPC, whole.clone()).await, "0");
    let not_utf8 = b"\x0a\x04\xff\xfe\xfd\xfc\x22\x04list";
    let bodies = [
        ("nothing", Vec::new()),
        ("half a head", whole[..3].to_vec()),
        ("half a message", whole[..9].to_vec()),
        ("no protobuf", frame(0, 6, b"\xff\xff\xff\xff\xff\xff")),
        ("a name that is not UTF-8", frame(0, not_utf8.len(), not_utf8)),
        ("a field that is longer than the message", frame(0, 4, b"\x0a\x7fab")),
        ("a length of 4 GiB", frame(0, u32::MAX as usize, good)),
        ("compressed, and nobody said how", frame(1, good.len(), good)),
        ("neither compressed nor not", frame(7, good.len(), good)),
    ];
    for (what, body) in bodies {
        let found = status(&server, INVOKE, GRPC, body).await;
        assert!(!["0", "HTTP 200"].contains(&found.as_str()), "{what}: {found}");
        assert_eq!(status(&server, INVOKE, GRPC, whole.clone()).await, "0", "after {what}");
    }
    let deep = (0..5000).fold(Vec::new(), |inner: Vec<u8>, _| {
        // Groups inside of each other, which no field is.
        [&b"\x0b"[..], &inner, b"\x0c"].concat()
    });
    assert_ne!(status(&server, INVOKE, GRPC, frame(0, deep.len(), &deep)).await, "0");
    assert_eq!(status(&server, INVOKE, GRPC, whole.clone()).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_nothing_and_with_wrong_content_types_are_refused() {
    let server = Fixture::new().start().await;
    let body = || frame(0, 0, b"");
    for path in ["/", "/x", "/dapr.proto.runtime.v1.Dapr/Nothing", "/dapr.proto.runtime.v1.Dapr/"] {
        let found = status(&server, path, GRPC, body()).await;
        assert!(["12", "HTTP 404"].contains(&found.as_str()), "{path}: {found}");
    }
    for content_type in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
        let found = status(&server, INVOKE, content_type, body()).await;
        assert!(!["0", "HTTP 200"].contains(&found.as_str()), "{content_type}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_http2_that_make_no_sense_end_their_connection_alone() {
    let server = Fixture::new().start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let odd: [&[u8]; 5] = [
        // Data on a stream that nobody opened.
        b"\x00\x00\x01\x00\x01\x00\x00\x00\x05x",
        // Headers that cannot be decoded.
        b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",
        // A frame of 16 MiB.
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        // A window that grows by nothing.
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        // Settings on a stream.
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x07",
    ];
    for frame in odd {
        for address in [&server.base, &server.grpc] {
            let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
            stream.write_all(&[&preface[..], frame].concat()).await.unwrap();
            let mut rest = Vec::new();
            // It says why, and hangs up.
            let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            assert!(read.is_ok(), "{frame:?}");
        }
        let answer = server.invoke("echo", r#"{"operation":"list"}"#).await;
        assert_eq!(answer.status.as_u16(), 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_reset_again_and_again_end_their_connection() {
    let server = Fixture::new().start().await;
    let mut stream = TcpStream::connect(server.grpc.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let open_and_reset = async {
        for number in 0..200_000_u32 {
            let id = (number * 2 + 1).to_be_bytes();
            // :method POST, :scheme http, :path /; then RST_STREAM.
            let headers = [&b"\x00\x00\x03\x01\x04"[..], &id, b"\x83\x86\x84"].concat();
            let reset = [&b"\x00\x00\x04\x03\x00"[..], &id, b"\x00\x00\x00\x08"].concat();
            if writer.write_all(&[headers, reset].concat()).await.is_err() {
                return true;
            }
        }
        false
    };
    let hangs_up = async {
        let mut rest = Vec::new();
        let _ = reader.read_to_end(&mut rest).await;
        true
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! { ended = open_and_reset => ended, ended = hangs_up => ended }
    });
    assert!(ended.await.expect("in time"), "the server went along with it");
    assert_eq!(server.invoke("echo", r#"{"operation":"list"}"#).await.status.as_u16(), 204);
}
