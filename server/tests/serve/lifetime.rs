//! How a server starts and ends.

use std::time::Duration;

use bindwright::ErrorCode;
use bindwright_server::Ending;
use http::{Method, StatusCode};

use super::fixture::{Fixture, PATIENCE, until};
use super::test_app::TestApp;

const NO_BACKEND: &str = "bindings.memory";

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_does_not_work_in_time_ends_the_start_unless_its_errors_are_ignored() {
    let fixture = Fixture::new();
    fixture.component("late", NO_BACKEND, &[("ready", "1h")], "  initTimeout: 50ms\n");
    let error = fixture.try_start().await.err().unwrap();
    assert_eq!((error.code(), error.component_name()), (ErrorCode::Unavailable, Some("late")));
    fixture.component("late", NO_BACKEND, &[("ready", "1h")], "  initTimeout: 50ms\n  ignoreErrors: true\n");
    let server = fixture.start().await;
    let components = server.get("/v1.0/metadata").await.json()["components"].to_string();
    assert!(components.contains("echo") && !components.contains("late"), "{components}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_an_unknown_type_ends_the_start() {
    let fixture = Fixture::new();
    fixture.component("odd", "bindings.nothing", &[], "");
    let error = fixture.try_start().await.err().unwrap();
    assert_eq!((error.code(), error.component_name()), (ErrorCode::UnknownType, Some("odd")));
    fixture.component("odd", "bindings.nothing", &[], "  ignoreErrors: true\n");
    fixture.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_not_for_us_or_cannot_be_read_keep_nothing_from_starting() {
    let fixture = Fixture::new();
    fixture.component("store", "state.redis", &[("redisHost", "localhost:1")], "");
    fixture.file(
        "broken.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: broken}\nspec: 5\n---\nkind: [",
    );
    fixture.file("notes.txt", "not YAML: [");
    let server = fixture.start().await;
    assert_eq!(server.invoke("echo", r#"{"operation":"list"}"#).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_components_of_one_name_end_the_start() {
    let fixture = Fixture::new();
    let text = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: echo}\nspec: {type: bindings.memory, version: v1}\n";
    fixture.file("second.yaml", text);
    assert_eq!(fixture.try_start().await.err().unwrap().code(), ErrorCode::InvalidManifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_contradict_each_other_and_ports_that_are_taken_end_the_start() {
    let first = Fixture::new().start().await;
    let port = first.base.rsplit(':').next().unwrap().to_owned();
    for words in [&["--dapr-http-port", port.as_str()][..], &["--app-port", "7", "--dapr-http-port", "7"]] {
        let fixture = Fixture::new().flags(&words.iter().map(|word| &**word).collect::<Vec<_>>());
        assert_eq!(fixture.try_start().await.err().unwrap().code(), ErrorCode::InvalidOptions, "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asked_end_lets_events_and_calls_finish() {
    let app = TestApp::start(|seen, _| {
        (Duration::from_millis(if seen.method == Method::POST { 300 } else { 0 }), 200, String::new())
    })
    .await;
    let fixture = Fixture::new().flags(&["--app-port", &app.port.to_string()]);
    fixture.queue("orders", &[]);
    fixture.component("slow", "bindings.memory", &[("delay", "300ms"), ("direction", "output")], "");
    let server = fixture.start().await;
    server.invoke("orders", r#"{"operation":"create","data":1}"#).await;
    until("delivered", async || app.posts("/orders").len() == 1).await;
    let (call, ended) = tokio::join!(server.invoke("slow", r#"{"operation":"create","data":1}"#), async {
        // The call above is under way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.ender.end();
    });
    let () = ended;
    assert_eq!(call.status, StatusCode::NO_CONTENT);
    assert_eq!(tokio::time::timeout(PATIENCE, server.run).await.unwrap().unwrap(), Ending::Asked);
    // Settled, or a server that comes after would have it again.
    let again = fixture.start().await;
    until("asked", async || app.count(&Method::OPTIONS) >= 2).await;
    assert_eq!(again.size("orders").await, 0);
    assert_eq!(app.posts("/orders").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_end_waits_for_nothing() {
    let server = Fixture::new().start().await;
    let answer = server.call(Method::POST, "/v1.0/shutdown", &[("dapr-force-shutdown", "true")], "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(tokio::time::timeout(PATIENCE, server.run).await.unwrap().unwrap(), Ending::Forced);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_end_is_held_up_calls_go_on_and_events_do_not() {
    let app = TestApp::start(|_, _| super::test_app::ok()).await;
    let fixture =
        Fixture::new().flags(&["--app-port", &app.port.to_string(), "--dapr-block-shutdown-duration", "3s"]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    until("ready", async || server.get("/v1.0/healthz").await.status == StatusCode::NO_CONTENT).await;
    server.post("/v1.0/shutdown", "").await;
    until("ending", async || server.get("/v1.0/healthz/outbound").await.status.as_u16() == 500).await;
    // What is sent stays: until the inputs are closed something may still be received.
    until("nothing more received", async || {
        let sent = server.invoke("orders", r#"{"operation":"create","data":1}"#).await;
        assert_eq!(sent.status, StatusCode::NO_CONTENT);
        let received = app.posts("/orders").len();
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.size("orders").await > 0 && app.posts("/orders").len() == received
    })
    .await;
    let received = app.posts("/orders").len();
    assert_eq!(tokio::time::timeout(PATIENCE, server.run).await.unwrap().unwrap(), Ending::Asked);
    assert_eq!(app.posts("/orders").len(), received);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_told_on_their_port() {
    let fixture = Fixture::new();
    let server = fixture.start().await;
    server.invoke("echo", r#"{"operation":"list"}"#).await;
    let shown = server.scrape().await;
    let line = "dapr_component_output_binding_count{app_id=\"shop\",component=\"echo\",namespace=\"\",operation=\"list\",success=\"true\"} 1";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
}
