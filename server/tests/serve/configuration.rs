//! What a Configuration changes.

use bindwright_wire::messages::dapr_client::DaprClient;
use bindwright_wire::messages::{GetMetadataRequest, InvokeBindingRequest};
use http::{Method, StatusCode};
use tonic::Code;
use tonic::transport::Endpoint;

use super::fixture::{Fixture, until};
use super::test_app::{TestApp, ok};

const LIST: &str = r#"{"operation":"list"}"#;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_api_that_is_denied_is_not_there_over_that_protocol() {
    let rules = "{api: {denied: [{name: bindings, version: v1.0, protocol: http}, {name: metadata, version: v1, \
                 protocol: grpc}]}}";
    let server = Fixture::new().configuration(rules).start().await;
    let (status, code, _) = server.invoke("echo", LIST).await.error();
    assert_eq!((status, code.as_str()), (404, "ERR_DIRECT_INVOKE"));
    assert_eq!(server.get("/v1.0/healthz/outbound").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get("/v1.0/metadata").await.status, StatusCode::OK);
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let mut client = DaprClient::new(channel);
    let refused = client.get_metadata(GetMetadataRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let asked = InvokeBindingRequest { name: "echo".into(), operation: "list".into(), ..Default::default() };
    client.invoke_binding(asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_type_of_component_is_left_out() {
    let fixture = Fixture::new().configuration("{components: {deny: [bindings.memory/v1]}}");
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    let (status, _, message) = server.invoke("orders", LIST).await.error();
    assert_eq!(status, 500);
    assert!(message.ends_with("couldn't find output binding orders"), "{message}");
    assert_eq!(server.invoke("echo", LIST).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_50_files_that_change_are_not_followed_where_that_is_switched_off() {
    let fixture = Fixture::new();
    let follows = fixture.start().await;
    let fixture = fixture.configuration("{features: [{name: HotReload, enabled: false}]}");
    let stays = fixture.start().await;
    fixture.queue("later", &[]);
    until("followed", async || follows.invoke("later", r#"{"operation":"size"}"#).await.status == 200).await;
    assert_eq!(stays.invoke("later", r#"{"operation":"size"}"#).await.status, 500);
    assert_eq!(stays.invoke("echo", LIST).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampling_rate_decides_about_new_traces_only() {
    let server = Fixture::new().configuration("{tracing: {samplingRate: '1'}}").start().await;
    let answer = server.invoke("echo", LIST).await;
    assert!(answer.header("traceparent").unwrap().ends_with("-01"));
    let unsampled = PARENT.replace("-01", "-00");
    let call = |headers| server.call(Method::POST, "/v1.0/bindings/echo", headers, LIST);
    let answer = call(&[("traceparent", unsampled.as_str())]).await;
    assert!(answer.header("traceparent").unwrap().ends_with("-00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_spans_no_context_is_made_passed_on_or_answered() {
    let server = Fixture::new().configuration("{tracing: {samplingRate: '0'}}").start().await;
    let call = |headers, body| server.call(Method::POST, "/v1.0/bindings/echo", headers, body);
    let answer = call(&[("traceparent", PARENT), ("baggage", "a=b")], LIST).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    for name in ["traceparent", "metadata.traceparent"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("metadata.baggage"), Some("a=b"));
    let (status, code, message) = call(&[("baggage", "x")], LIST).await.error();
    assert_eq!((status, code.as_str()), (400, "ERR_MALFORMED_REQUEST"));
    assert!(message.starts_with("invalid baggage header"), "{message}");
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let asked = InvokeBindingRequest { name: "echo".into(), operation: "list".into(), ..Default::default() };
    let mut request = tonic::Request::new(asked);
    request.metadata_mut().insert("traceparent", PARENT.parse().unwrap());
    let answer = DaprClient::new(channel).invoke_binding(request).await.unwrap();
    assert!(answer.metadata().get_bin("grpc-trace-bin").is_none());
    assert!(answer.into_inner().metadata.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_spans_an_event_keeps_the_context_of_its_sender() {
    let app = TestApp::start(|_, _| ok()).await;
    let fixture = Fixture::new().flags(&["--app-port", &app.port.to_string()]);
    let fixture = fixture.configuration("{tracing: {samplingRate: '0'}}");
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    for context in [PARENT, "garbage"] {
        let body = format!(r#"{{"operation":"create","data":1,"metadata":{{"traceparent":"{context}"}}}}"#);
        assert_eq!(server.invoke("orders", body).await.status, StatusCode::NO_CONTENT);
    }
    until("delivered", async || app.posts("/orders").len() == 2).await;
    let mut contexts: Vec<_> = app
        .posts("/orders")
        .iter()
        .map(|one| one.headers["traceparent"].to_str().unwrap().to_owned())
        .collect();
    contexts.sort_unstable();
    assert_eq!(contexts, [PARENT, "garbage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_switched_off_refined_and_count_failures() {
    let server = Fixture::new().configuration("{metrics: {enabled: false}}").start().await;
    assert!(!server.tells_metrics());
    let server = Fixture::new().flags(&["--enable-metrics=false"]).start().await;
    assert!(!server.tells_metrics());
    let spec = "{metric: {recordErrorCodes: true, latencyDistributionBuckets: [7, 9000], http: \
                {increasedCardinality: false}}}";
    let server = Fixture::new().configuration(spec).start().await;
    server.invoke("echo", r#"{"operation":"fail"}"#).await;
    server.invoke("echo", "{").await;
    server.get("/v1.0/nothing").await;
    let shown = server.scrape().await;
    for line in [
        r#"dapr_error_code_total{app_id="shop",category="binding",error_code="ERR_INVOKE_OUTPUT_BINDING"} 1"#,
        r#"dapr_error_code_total{app_id="shop",category="common",error_code="ERR_MALFORMED_REQUEST"} 1"#,
        r#"dapr_error_code_total{app_id="shop",category="service-invocation",error_code="ERR_DIRECT_INVOKE"} 1"#,
        r#"dapr_http_server_request_count{app_id="shop",method="POST",status="500"} 1"#,
        r#"dapr_http_server_latency_bucket{app_id="shop",method="POST",status="500",le="9000"} 1"#,
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(!shown.contains(r#"le="8""#), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_components_are_counted_by_daprs_names() {
    let fixture = Fixture::new();
    fixture.queue("orders", &[]);
    fixture.component("odd", "bindings.nothing", &[], "  ignoreErrors: true\n");
    let server = fixture.start().await;
    server.invoke("echo", LIST).await;
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    DaprClient::new(channel).invoke_binding(InvokeBindingRequest::default()).await.unwrap_err();
    let shown = server.scrape().await;
    for line in [
        r#"dapr_runtime_component_loaded{app_id="shop"} 2"#,
        r#"dapr_runtime_component_init_total{app_id="shop",component="bindings.memory"} 2"#,
        r#"dapr_runtime_component_init_total{app_id="shop",component="bindings.test.echo"} 1"#,
        r#"dapr_runtime_component_init_fail_total{app_id="shop",component="bindings.nothing",componentName="odd",reason="creation"} 1"#,
        r#"dapr_http_server_request_count{app_id="shop",method="POST",path="/v1.0/bindings/echo",status="204"} 1"#,
        r#"dapr_http_server_response_count{app_id="shop",method="POST",path="/v1.0/bindings/echo",status="204"} 1"#,
        r#"dapr_http_server_request_bytes_sum{app_id="shop"} 20"#,
        r#"dapr_grpc_io_server_completed_rpcs{app_id="shop",grpc_server_method="/dapr.proto.runtime.v1.Dapr/InvokeBinding",grpc_server_status="Internal"} 1"#,
        r#"dapr_grpc_io_server_server_latency_count{app_id="shop",grpc_server_method="/dapr.proto.runtime.v1.Dapr/InvokeBinding"} 1"#,
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("dapr_resiliency") && !shown.contains("dapr_error_code"), "{shown}");
    fixture.component("odd", "bindings.memory", &[("direction", "output")], "");
    until("mended", async || {
        let shown = server.scrape().await;
        shown.contains(r#"init_total{app_id="shop",component="bindings.memory"} 3"#)
    })
    .await;
}
