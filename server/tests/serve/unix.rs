//! The API on Unix sockets.

use std::path::Path;

use bindwright_server::{Ending, Server, open_client};
use bindwright_wire::messages::GetMetadataRequest;
use bindwright_wire::messages::dapr_client::DaprClient;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use tower::service_fn;

use super::fixture::Fixture;

async fn asked(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = b"POST /v1.0/bindings/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 33\r\n\r\n{\"operation\":\"create\",\"data\":123}";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn both_apis_listen_in_the_folder_under_the_name_of_the_app() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new().flags(&["--unix-domain-socket", folder.path().to_str().unwrap()]);
    let http = folder.path().join("dapr-shop-http.socket");
    // Left behind by a server that was killed.
    drop(std::os::unix::net::UnixListener::bind(&http).unwrap());
    let start = async || {
        let options = fixture.options();
        let client = open_client(&options).unwrap();
        Server::start(client, options).await
    };
    let server = start().await.unwrap();
    assert!(server.http_addresses().is_empty() && server.grpc_addresses().is_empty());
    assert!(start().await.is_err(), "a socket that somebody listens on is not taken");
    let ender = server.ender();
    let run = tokio::spawn(server.run());
    let answer = asked(&http).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n123"), "{answer}");
    let grpc = folder.path().join("dapr-shop-grpc.socket");
    let connect = service_fn(move |_| {
        let grpc = grpc.clone();
        async move { UnixStream::connect(grpc).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap();
    let about = DaprClient::new(channel).get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(about.id, "shop");
    ender.end();
    assert_eq!(run.await.unwrap(), Ending::Asked);
    assert!(!http.exists(), "the sockets go with the server");
}
