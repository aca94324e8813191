//! The HTTP API: statuses, headers and bodies as Dapr has them.

use bindwright_wire::messages::SetMetadataRequest;
use bindwright_wire::messages::dapr_client::DaprClient;
use http::{Method, StatusCode};
use tonic::Code;
use tonic::transport::Endpoint;

use super::fixture::{Fixture, until};

const INVOKE: &str = "ERR_INVOKE_OUTPUT_BINDING";
const MALFORMED: &str = "ERR_MALFORMED_REQUEST";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_answers_is_answered_and_nothing_is_204() {
    let server = Fixture::new().start().await;
    for method in [Method::POST, Method::PUT] {
        let answer = server.call(method.clone(), "/v1.0/bindings/echo", &[], r#"{"operation":"list"}"#).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::NO_CONTENT, ""));
        let body = r#"{"operation":"create","data":{"b":1,"a":2.0}}"#;
        let answer = server.call(method, "/v1.0/bindings/echo", &[], body).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, r#"{"a":2,"b":1}"#));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_data_as_json_and_nothing_as_null() {
    let server = Fixture::new().start().await;
    for (body, expected) in [
        (r#"{"operation":"create","data":"hi"}"#, r#""hi""#),
        (r#"{"operation":"create"}"#, "null"),
        (r#"{"OPERATION":"create","Data":[1, 2],"other":{}} trailing"#, "[1,2]"),
    ] {
        assert_eq!(server.invoke("echo", body).await.text(), expected, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_request_is_malformed() {
    let server = Fixture::new().start().await;
    for body in
        ["", "{", "[]", r#""{\"operation\":\"create\"}""#, r#"{"operation":"create","metadata":{"k":1}}"#]
    {
        let (status, code, message) = server.invoke("echo", body).await.error();
        assert_eq!((status, code.as_str()), (400, MALFORMED), "{body}");
        assert!(message.starts_with("failed deserializing HTTP body: "), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let server = Fixture::new().flags(&["--max-body-size", "1Ki"]).start().await;
    let body = |size: usize| {
        let frame = r#"{"operation":"create","data":""}"#.len();
        format!(r#"{{"operation":"create","data":"{}"}}"#, "x".repeat(size - frame))
    };
    assert_eq!(server.invoke("echo", body(1024)).await.status, StatusCode::OK);
    let (status, code, message) = server.invoke("echo", body(1025)).await.error();
    assert_eq!((status, code.as_str()), (400, MALFORMED));
    assert!(message.ends_with("stream too large"), "{message}");
    assert_eq!(server.invoke("echo", body(900_000)).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_invoked_is_500_with_the_cause() {
    let server = Fixture::new().start().await;
    let cases = [
        ("echo", r"{}", "operation field is missing from request"),
        ("nothing", r"{}", "operation field is missing from request"),
        ("nothing", r#"{"operation":"create"}"#, "couldn't find output binding nothing"),
        (
            "echo",
            r#"{"operation":"get"}"#,
            "binding echo does not support operation get. supported operations:create list fail status fetch",
        ),
        (
            "echo",
            r#"{"operation":"CREATE"}"#,
            "binding echo does not support operation CREATE. supported operations:create list fail status fetch",
        ),
    ];
    for (name, body, cause) in cases {
        let expected = format!("error invoking output binding {name}: {cause}");
        assert_eq!(server.invoke(name, body).await.error(), (500, INVOKE.to_owned(), expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_component_tells_its_code_beside_the_body() {
    let server = Fixture::new().start().await;
    let answer = server.invoke("echo", r#"{"operation":"fail"}"#).await;
    let (status, code, message) = answer.error();
    assert_eq!((status, code.as_str()), (500, INVOKE));
    assert!(
        message.starts_with("error invoking output binding echo: the backend is away [UNAVAILABLE]"),
        "{message}"
    );
    assert_eq!(answer.header("bindwright-error-code"), Some("UNAVAILABLE"));
    assert_eq!(answer.header("bindwright-retriable"), Some("true"));
    let answer = server.invoke("echo", r#"{"operation":"status"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.header("metadata.statuscode")), (500, Some("404")));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_comes_back_as_headers_and_nothing_else_reaches_the_component() {
    let server = Fixture::new().start().await;
    let headers = [("x-secret", "s"), ("dapr-api-token", "t"), ("metadata.sneaked", "x")];
    let body = r#"{"operation":"list","metadata":{"Key":"v","bad name":"x","n":null}}"#;
    let answer = server.call(Method::POST, "/v1.0/bindings/echo?metadata.q=1", &headers, body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let mut metadata: Vec<(&str, &str)> = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("metadata.")?, value.to_str().unwrap())))
        .filter(|(name, _)| *name != "traceparent")
        .collect();
    metadata.sort_unstable();
    assert_eq!(metadata, [("key", "v"), ("n", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_the_callers_trace_or_one_that_begins_here() {
    let server = Fixture::new().start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = r#"{"operation":"list","metadata":{"traceparent":"mine"}}"#;
    let headers = [("traceparent", parent), ("tracestate", "vendor=1")];
    let answer = server.call(Method::POST, "/v1.0/bindings/echo", &headers, body).await;
    let given = answer.header("metadata.traceparent").unwrap();
    assert!(given.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && given != parent, "{given}");
    assert_eq!(answer.header("traceparent"), Some(given));
    assert_eq!(answer.header("metadata.tracestate"), Some("vendor=1"));
    let answer = server.invoke("echo", r#"{"operation":"list"}"#).await;
    assert_eq!(answer.header("metadata.traceparent").unwrap().len(), 55);
    assert_eq!(answer.header("metadata.tracestate"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn baggage_reaches_the_component_as_it_is() {
    let server = Fixture::new().start().await;
    let baggage = "key1=value1,key2=value2";
    let body = r#"{"operation":"list"}"#;
    let answer = server.call(Method::POST, "/v1.0/bindings/echo", &[("baggage", baggage)], body).await;
    assert_eq!(answer.header("metadata.baggage"), Some(baggage));
    assert_eq!(answer.header("baggage"), Some(baggage));
    assert_eq!(server.invoke("echo", body).await.header("metadata.baggage"), None);
    let answer = server.call(Method::POST, "/v1.0/bindings/echo", &[("baggage", "nonsense")], body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().starts_with("invalid baggage header: "), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_paths_are_read_as_dapr_reads_them() {
    let fixture = Fixture::new();
    fixture.component("my echo", "bindings.test.echo", &[], "");
    let server = fixture.start().await;
    let body = r#"{"operation":"list"}"#;
    for path in ["/v1.0/bindings/my+echo", "/v1.0/bindings/my%20echo", "//v1.0/x/../bindings/./echo/"] {
        assert_eq!(server.post(path, body).await.status, StatusCode::NO_CONTENT, "{path}");
    }
    assert_eq!(server.post("/v1.0/bindings/a%zz", body).await.status, StatusCode::BAD_REQUEST);
    for (method, path) in [
        (Method::GET, "/v1.0/bindings/echo"),
        (Method::POST, "/"),
        (Method::POST, "/v1.0/bindings"),
        (Method::POST, "/v2/x"),
    ] {
        let (status, code, _) = server.call(method, path, &[], body).await.error();
        assert_eq!((status, code.as_str()), (404, "ERR_DIRECT_INVOKE"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_only_health_is_told() {
    let server = Fixture::new().api_token("right").start().await;
    let body = r#"{"operation":"list","metadata":{"a":"b"}}"#;
    for token in
        [&[][..], &[("dapr-api-token", "wrong")], &[("dapr-api-token", "righ")], &[("dapr-api-token", "")]]
    {
        for (method, path) in [
            (Method::POST, "/v1.0/bindings/echo"),
            (Method::GET, "/v1.0/metadata"),
            (Method::POST, "/v1.0/shutdown"),
            (Method::PUT, "/v1.0/healthz"),
            (Method::GET, "/v1.0/nothing"),
        ] {
            let answer = server.call(method, path, token, body).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (401, "invalid api token\n"), "{path}");
        }
    }
    assert_eq!(server.get("/v1.0/healthz").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get("/v1.0/healthz/outbound").await.status, StatusCode::NO_CONTENT);
    let answer = server.call(Method::POST, "/v1.0/bindings/echo", &[("dapr-api-token", "right")], body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_app_id_that_was_meant() {
    let server = Fixture::new().start().await;
    assert_eq!(server.get("/v1.0/healthz?appid=shop").await.status, StatusCode::NO_CONTENT);
    let (status, code, _) = server.get("/v1.0/healthz?x=1&appid=other").await.error();
    assert_eq!((status, code.as_str()), (500, "ERR_HEALTH_APPID_NOT_MATCH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_lists_components_and_what_was_put() {
    let fixture = Fixture::new();
    fixture.queue("orders", &[]);
    fixture.queue("sink", &[("direction", "output")]);
    fixture.queue("odd", &[("direction", "aaa")]);
    let server = fixture.start().await;
    let put = server.call(Method::PUT, "/v1.0/metadata/my+key", &[], "a value").await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    let all = server.get("/v1.0/metadata").await.json();
    assert_eq!(all["id"], "shop");
    assert_eq!(all["extended"]["my key"], "a value");
    assert_eq!(all["extended"]["daprRuntimeVersion"], all["runtimeVersion"]);
    let capabilities = |name: &str| {
        let components = all["components"].as_array().unwrap();
        components.iter().find(|one| one["name"] == name).unwrap()["capabilities"].to_string()
    };
    assert_eq!(capabilities("orders"), r#"["INPUT_BINDING","OUTPUT_BINDING"]"#);
    assert_eq!(capabilities("sink"), r#"["OUTPUT_BINDING"]"#);
    assert_eq!(capabilities("odd"), "[]");
    assert!(all.get("appConnectionProperties").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_put_does_not_grow_without_end() {
    let server = Fixture::new().start().await;
    let large = server.call(Method::PUT, "/v1.0/metadata/a", &[], vec![b'x'; 70_000]).await;
    assert_eq!(large.error().0, 400);
    for number in 0..1000 {
        server.call(Method::PUT, &format!("/v1.0/metadata/{number}"), &[], "x").await;
    }
    let one_more = server.call(Method::PUT, "/v1.0/metadata/more", &[], "x").await;
    assert_eq!(one_more.error().0, 400);
    assert_eq!(server.call(Method::PUT, "/v1.0/metadata/7", &[], "y").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_put_has_a_mebibyte_in_all() {
    let server = Fixture::new().start().await;
    let put = async |key: &str, length: usize| {
        server.call(Method::PUT, &format!("/v1.0/metadata/{key}"), &[], vec![b'x'; length]).await
    };
    let longest = 64 << 10;
    for number in 0..15 {
        assert_eq!(put(&format!("{number:04}"), longest - 4).await.status, StatusCode::NO_CONTENT);
    }
    let too_much = put("last", longest - 3).await.error();
    assert_eq!((too_much.0, too_much.1.as_str()), (400, "ERR_MALFORMED_REQUEST"));
    assert_eq!(put("last", longest - 4).await.status, StatusCode::NO_CONTENT);
    // What is there counts once when it is put again.
    assert_eq!(put("0000", longest - 4).await.status, StatusCode::NO_CONTENT);
    let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect().await.unwrap();
    let one_more = SetMetadataRequest { key: "x".to_owned(), value: String::new() };
    let refused = DaprClient::new(channel).set_metadata(one_more).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    let all = server.get("/v1.0/metadata").await.json();
    let entries = all["extended"].as_object().unwrap().iter().filter(|(key, _)| *key != "daprRuntimeVersion");
    let size: usize = entries.map(|(key, value)| key.len() + value.as_str().unwrap().len()).sum();
    assert_eq!(size, 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn components_follow_their_files() {
    let fixture = Fixture::new();
    let server = fixture.start().await;
    let body = r#"{"operation":"size"}"#;
    assert_eq!(server.invoke("late", body).await.status.as_u16(), 500);
    fixture.queue("late", &[]);
    until("added", async || server.invoke("late", body).await.status.is_success()).await;
    fixture.remove("late");
    until("removed", async || server.invoke("late", body).await.status.as_u16() == 500).await;
    fixture.queue("late", &[]);
    until("added again", async || server.invoke("late", body).await.status.is_success()).await;
}
