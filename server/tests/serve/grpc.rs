//! The gRPC API.

use std::collections::HashMap;

use bindwright_server::Ending;
use bindwright_wire::messages::dapr_client::DaprClient;
use bindwright_wire::messages::{
    GetMetadataRequest, InvokeBindingRequest, SetMetadataRequest, ShutdownRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use super::fixture::{Fixture, PATIENCE, Running};

async fn client(server: &Running) -> DaprClient<Channel> {
    DaprClient::new(Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap())
}

fn asked(
    name: &str,
    operation: &str,
    data: &'static [u8],
    metadata: &[(&str, &str)],
) -> InvokeBindingRequest {
    InvokeBindingRequest {
        name: name.to_owned(),
        operation: operation.to_owned(),
        data: data.into(),
        metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_passed_as_it_is_and_metadata_comes_back_twice() {
    let server = Fixture::new().start().await;
    let mut client = client(&server).await;
    for data in [&b""[..], b"hi", b"\x00\xff{"] {
        let answer = client.invoke_binding(asked("echo", "create", data, &[("Key", "v")])).await.unwrap();
        assert_eq!(answer.metadata().get("metadata.key").unwrap(), "v");
        assert_eq!(answer.metadata().get_bin("grpc-trace-bin").unwrap().to_bytes().unwrap().len(), 29);
        let answer = answer.into_inner();
        assert_eq!(answer.data, data);
        assert_eq!(answer.metadata["Key"], "v");
    }
    let nothing = client.invoke_binding(asked("echo", "list", b"x", &[])).await.unwrap().into_inner();
    assert!(nothing.data.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_calls_own_metadata_only_trace_and_baggage_reach_the_component() {
    let server = Fixture::new().start().await;
    let mut client = client(&server).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut request =
        Request::new(asked("echo", "list", b"", &[("userMetadata", "val1"), ("traceparent", "mine")]));
    for (name, value) in [
        ("traceparent", parent),
        ("usermetadata", "x"),
        ("additional", "val2"),
        ("dapr-api-token", "t"),
        ("baggage", "a=b"),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    let given = client.invoke_binding(request).await.unwrap().into_inner().metadata;
    let mut names: Vec<&str> = given.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["baggage", "traceparent", "userMetadata"]);
    assert_eq!((given["userMetadata"].as_str(), given["baggage"].as_str()), ("val1", "a=b"));
    assert!(given["traceparent"].starts_with(&parent[..36]) && given["traceparent"] != parent);
    // Without one of the call, the one of the request stays.
    let given = client
        .invoke_binding(asked("echo", "list", b"", &[("traceparent", "mine")]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(given.metadata["traceparent"], "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_internal_and_says_why() {
    let server = Fixture::new().start().await;
    let mut client = client(&server).await;
    let known = "create list fail status fetch";
    for (name, operation, cause) in [
        ("nothing", "", "operation field is missing from request".to_owned()),
        ("nothing", "create", "couldn't find output binding nothing".to_owned()),
        ("echo", "get", format!("binding echo does not support operation get. supported operations:{known}")),
    ] {
        let status = client.invoke_binding(asked(name, operation, b"", &[])).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), format!("error invoking output binding {name}: {cause}"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("ERR_INVOKE_OUTPUT_BINDING", "dapr.io"));
    }
    let status = client.invoke_binding(asked("echo", "fail", b"", &[])).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().metadata["bindwright-error-code"], "UNAVAILABLE");
    let status = client.invoke_binding(asked("echo", "status", b"", &[])).await.unwrap_err();
    assert_eq!(
        (status.code(), status.metadata().get("metadata.statuscode").unwrap().to_str().unwrap()),
        (Code::Internal, "404")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_answered() {
    let server = Fixture::new().api_token("right").start().await;
    let mut client = client(&server).await;
    for token in [None, Some("wrong")] {
        let mut request = Request::new(asked("echo", "list", b"", &[]));
        if let Some(token) = token {
            request.metadata_mut().insert("dapr-api-token", token.parse().unwrap());
        }
        let status = client.invoke_binding(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "Unauthorized"));
        assert_eq!(status.get_details_error_info().unwrap().metadata["http.code"], "401");
    }
    let mut request = Request::new(asked("echo", "list", b"", &[]));
    request.metadata_mut().insert("dapr-api-token", "right".parse().unwrap());
    client.invoke_binding(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_above_the_limit_are_refused() {
    let server = Fixture::new().flags(&["--max-body-size", "1Ki"]).start().await;
    let mut client = client(&server).await;
    let status = client.invoke_binding(asked("echo", "create", &[b'x'; 2000], &[])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    client.invoke_binding(asked("echo", "create", &[b'x'; 500], &[])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_above_the_limit_are_refused() {
    let server = Fixture::new().flags(&["--max-body-size", "1Ki"]).start().await;
    let mut client = client(&server).await;
    // What is encoded has a head as well.
    for (size, fits) in [("1000", true), ("1024", false), ("3000000", false), ("1000", true)] {
        let answer = client.invoke_binding(asked("echo", "fetch", b"", &[("size", size)])).await;
        match answer {
            Ok(_) => assert!(fits, "{size}"),
            Err(status) => assert_eq!((status.code(), fits), (Code::ResourceExhausted, false), "{status:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_calls_hold_together_is_bounded_with_a_hint_to_come_again() {
    let server = Fixture::new().flags(&["--max-request-memory", "1Ki"]).start().await;
    let mut client = client(&server).await;
    for _ in 0..3 {
        let status = client.invoke_binding(asked("echo", "create", &[b'x'; 2000], &[])).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
        client.invoke_binding(asked("echo", "create", &[b'x'; 500], &[])).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_got_and_set() {
    let fixture = Fixture::new();
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    let mut client = client(&server).await;
    let set = SetMetadataRequest { key: "a".to_owned(), value: "b".to_owned() };
    client.set_metadata(set).await.unwrap();
    let all = client.get_metadata(GetMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((all.id.as_str(), all.extended_metadata["a"].as_str()), ("shop", "b"));
    let known: HashMap<_, _> =
        all.registered_components.into_iter().map(|one| (one.name.clone(), one)).collect();
    assert_eq!(known["orders"].capabilities, ["INPUT_BINDING", "OUTPUT_BINDING"]);
    assert_eq!((known["echo"].r#type.as_str(), known["echo"].version.as_str()), ("bindings.test.echo", "v1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_can_end_the_server() {
    let server = Fixture::new().start().await;
    let mut client = client(&server).await;
    client.shutdown(ShutdownRequest {}).await.unwrap();
    drop(client);
    assert_eq!(tokio::time::timeout(PATIENCE, server.run).await.unwrap().unwrap(), Ending::Asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_offered() {
    let server = Fixture::new().start().await;
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let asked = tonic_health::pb::HealthCheckRequest { service: "dapr.proto.runtime.v1.Dapr".to_owned() };
    let status = health.check(asked).await.unwrap().into_inner().status;
    assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving as i32);
    let mut reflection = ServerReflectionClient::new(channel);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let once = tonic::Request::new(Once(Some(request)));
    let mut answers = reflection.server_reflection_info(once).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!()
    };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    assert!(names.iter().any(|name| name == "dapr.proto.runtime.v1.Dapr"), "{names:?}");
}

/// A stream of one message.
struct Once<T>(Option<T>);

impl<T: Unpin> tonic::codegen::tokio_stream::Stream for Once<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        std::task::Poll::Ready(self.0.take())
    }
}
