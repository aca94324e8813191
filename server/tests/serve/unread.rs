//! Clients that do not take their replies: what lies is charged, and nobody may let it lie for ever.

use std::time::Duration;

use bindwright_wire::messages::dapr_client::DaprClient;
use bindwright_wire::messages::{GetMetadataRequest, InvokeBindingRequest};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use super::fixture::{Fixture, PATIENCE, Running, fetch, until};

/// More than sockets take, and than HTTP/2 may send unasked.
const LARGE: usize = 24 << 20;

/// Room for one large reply.
fn fixture(patience: &str) -> Fixture {
    let memory = (LARGE + (1 << 20)).to_string();
    let flags =
        ["--max-request-memory", &memory, "--max-body-size", "32Mi", "--slow-client-timeout", patience];
    Fixture::new().flags(&flags)
}

/// A client that asked for so much over HTTP/1, and got the first words of the answer.
async fn asked(server: &Running, size: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).await.unwrap();
    let body = fetch(size);
    let head = "POST /v1.0/bindings/echo HTTP/1.1\r\nHost: a\r\nContent-Length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    stream
}

/// That there is no room beside what lies, until its client is hung up on.
async fn is_given_up(server: &Running) {
    let refused = server.invoke("echo", fetch(LARGE)).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    assert!(refused.text().contains("is done"), "{refused:?}");
    assert_eq!(server.invoke("echo", r#"{"operation":"list"}"#).await.status, StatusCode::NO_CONTENT);
    until("room", async || server.invoke("echo", fetch(LARGE)).await.body.len() == LARGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_hung_up_on() {
    let server = fixture("3s").start().await;
    let mut stream = asked(&server, LARGE).await;
    is_given_up(&server).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it hung up");
    assert!(rest.len() < LARGE, "it got all");
}

/// A request for so many bytes, as it stands in the body of a call.
fn message(size: usize) -> Vec<u8> {
    let message = asked_by_grpc(size).encode_to_vec();
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
}

fn asked_by_grpc(size: usize) -> InvokeBindingRequest {
    InvokeBindingRequest {
        name: "echo".to_owned(),
        operation: "fetch".to_owned(),
        metadata: [("size".to_owned(), size.to_string())].into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lets_a_reply_lie_beside_others_is_hung_up_on() {
    let server = fixture("3s").start().await;
    let over_http = (&server.base, "/v1.0/bindings/echo", "application/json");
    let over_grpc = (&server.grpc, "/dapr.proto.runtime.v1.Dapr/InvokeBinding", "application/grpc");
    for (base, path, content_type) in [over_http, over_grpc] {
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
        let ask = async |size: usize| {
            let body = if content_type.ends_with("grpc") { message(size) } else { fetch(size).into() };
            let request = Request::post(format!("{base}{path}")).header("content-type", content_type);
            client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap()
        };
        let lies = ask(LARGE).await;
        assert!(lies.status() == StatusCode::OK && !lies.headers().contains_key("grpc-status"), "{lies:?}");
        // The connection lives.
        assert!(ask(10_000).await.into_body().collect().await.unwrap().to_bytes().len() >= 10_000);
        is_given_up(&server).await;
        assert!(lies.into_body().collect().await.is_err(), "it got all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_slowly_gets_all() {
    let server = fixture("1s").start().await;
    let mut stream = asked(&server, LARGE).await;
    let (mut length, began) = (0, tokio::time::Instant::now());
    let mut some = vec![0; 512 << 10];
    while length < LARGE {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut some)).await.unwrap().unwrap();
        assert!(read > 0, "hung up on after {length} bytes");
        length += read;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?} is no test", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn small_replies_pass_and_large_ones_are_refused_where_there_is_no_room() {
    let server = Fixture::new().flags(&["--max-request-memory", "10Ki"]).start().await;
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let mut client = DaprClient::new(channel);
    for (size, fits) in [(60_000, true), (70_000, false), (60_000, true)] {
        let answer = server.invoke("echo", fetch(size)).await;
        assert_eq!(answer.status.as_u16(), if fits { 200 } else { 503 }, "{size}");
        match client.invoke_binding(asked_by_grpc(size)).await {
            Ok(answer) => assert!(fits && answer.into_inner().data.len() == size, "{size}"),
            Err(status) => {
                assert_eq!((status.code(), fits), (Code::ResourceExhausted, false), "{status:?}");
                assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_large_is_charged() {
    let server = Fixture::new().flags(&["--max-request-memory", "70000"]).start().await;
    for key in ["a", "b"] {
        let path = format!("/v1.0/metadata/{key}");
        let put = server.call(http::Method::PUT, &path, &[], vec![b'x'; 60_000]).await;
        assert_eq!(put.status, StatusCode::NO_CONTENT);
    }
    let all = server.get("/v1.0/metadata").await;
    assert_eq!((all.status.as_u16(), all.header("retry-after")), (503, Some("1")));
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let all = DaprClient::new(channel).get_metadata(GetMetadataRequest {}).await;
    assert_eq!(all.unwrap_err().code(), Code::ResourceExhausted);
}
