//! The application's side over gRPC.

use std::time::Duration;

use bindwright_wire::messages::{BindingEventRequest, BindingEventResponse, StateItem};
use http::StatusCode;
use tonic::Status;

use super::fixture::{Fixture, Running, until};
use super::test_grpc_app::{Script, TestGrpcApp};

/// What an application does with an event, knowing how many it saw before.
pub type Answer = fn(&BindingEventRequest, usize) -> Result<BindingEventResponse, Status>;

/// An application that wants `orders`, once it was asked `failing` times in vain.
async fn app(answer: Answer, failing: usize, is_well: bool) -> TestGrpcApp {
    let list = move |before| {
        let told = if before < failing {
            Err(Status::unavailable("not yet"))
        } else {
            Ok(vec!["orders".to_owned()])
        };
        (Duration::ZERO, told)
    };
    let answer = move |event: &BindingEventRequest, before| (Duration::ZERO, answer(event, before));
    let app = TestGrpcApp::start(Script { list: Box::new(list), answer: Box::new(answer) }).await;
    app.set_well(is_well);
    app
}

/// An application that wants everything of its list; its port.
pub async fn answering(answer: Answer) -> u16 {
    app(answer, 0, true).await.port
}

#[allow(clippy::unnecessary_wraps)] // as every answer
fn ok(_: &BindingEventRequest, _: usize) -> Result<BindingEventResponse, Status> {
    Ok(BindingEventResponse::default())
}

fn fixture(port: u16, more: &[&str]) -> Fixture {
    Fixture::new().flags(&["--app-protocol", "grpc", "--app-port", &port.to_string()]).flags(more)
}

async fn send(server: &Running, queue: &str) {
    let body = r#"{"operation":"create","data":{"orderId":1},"metadata":{"bindings":"input"}}"#;
    assert_eq!(server.invoke(queue, body).await.status, StatusCode::NO_CONTENT);
}

async fn settled(server: &Running, queue: &str) {
    until("settled", async || server.size(queue).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_listed_binding_arrives_with_its_metadata_and_the_token() {
    let app = app(ok, 0, true).await;
    let fixture = fixture(app.port, &[]).app_token("t");
    fixture.queue("orders", &[]);
    fixture.queue("unlisted", &[]);
    fixture.queue("explicit", &[("direction", "input, output")]);
    let server = fixture.start().await;
    for queue in ["orders", "unlisted", "explicit"] {
        send(&server, queue).await;
    }
    settled(&server, "orders").await;
    settled(&server, "explicit").await;
    assert_eq!((server.size("unlisted").await, app.events("unlisted").len()), (1, 0));
    let (sent, event) = app.all_events()[0].clone();
    assert_eq!((event.data, event.metadata["bindings"].as_str()), (r#"{"orderId":1}"#.into(), "input"));
    assert_eq!(sent.get("dapr-api-token").unwrap(), "t");
    assert_eq!(sent.get("traceparent").unwrap().len(), 55);
    assert!(sent.contains_key("grpc-trace-bin"));
    assert_eq!(app.lists()[0].get("dapr-api-token").unwrap(), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_failed_is_asked_for_again() {
    let app = app(ok, 2, true).await;
    let fixture = fixture(app.port, &[]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    settled(&server, "orders").await;
    assert_eq!((app.lists().len(), app.events("orders").len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_refused_comes_again() {
    let answer: Answer = |_, before| {
        if before < 2 { Err(Status::unimplemented("x")) } else { ok(&BindingEventRequest::default(), 0) }
    };
    let app = app(answer, 0, true).await;
    let fixture = fixture(app.port, &[]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    settled(&server, "orders").await;
    assert_eq!(app.events("orders").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_in_the_answer_are_invoked_before_the_event_is_settled() {
    let answer: Answer = |event, before| {
        let mut answer = BindingEventResponse::default();
        if event.name == "orders" {
            answer.to = vec!["next".to_owned()];
            answer.data = "not JSON".into();
            answer.concurrency = i32::from(before > 0);
            answer.states = vec![StateItem { key: "a".to_owned() }];
        }
        Ok(answer)
    };
    let app = app(answer, 0, true).await;
    let fixture = fixture(app.port, &[]);
    fixture.queue("orders", &[]);
    fixture.queue("next", &[("failures", "UNAVAILABLE"), ("direction", "input, output")]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    settled(&server, "orders").await;
    until("sent", async || app.events("next").len() == 1).await;
    assert_eq!(app.events("orders").len(), 2);
    assert_eq!(app.events("next")[0].data, "not JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_before_the_application_says_that_it_is_well() {
    let app = app(ok, 0, false).await;
    let fixture = fixture(app.port, &["--enable-app-health-check", "--app-health-probe-interval", "1"]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders").await;
    assert_eq!(server.get("/v1.0/healthz").await.error().1, "ERR_HEALTH_NOT_READY");
    app.set_well(true);
    settled(&server, "orders").await;
    assert_eq!(app.events("orders").len(), 1);
}
