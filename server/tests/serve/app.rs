//! The application's side over HTTP: probes, events, outcomes, health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::fixture::{Fixture, Running, free_port, until};
use super::test_app::{Seen, TestApp, body, ok, status};

const CREATE: &str = r#"{"operation":"create","data":{"orderId":1},"metadata":{"bindings":"input"}}"#;

fn fixture(app: &TestApp, more: &[&str]) -> Fixture {
    Fixture::new().flags(&["--app-port", &app.port.to_string()]).flags(more)
}

async fn send(server: &Running, queue: &str, data: &str) {
    let answer = server.invoke(queue, format!(r#"{{"operation":"create","data":{data}}}"#)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
}

async fn ready(server: &Running) {
    until("ready", async || server.get("/v1.0/healthz").await.status == StatusCode::NO_CONTENT).await;
}

async fn settled(server: &Running, queue: &str) {
    until("settled", async || server.size(queue).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_with_its_headers_and_body() {
    let app = TestApp::start(|_, _| ok()).await;
    let fixture = fixture(&app, &[]).app_token("t");
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    assert_eq!(server.invoke("orders", CREATE).await.status, StatusCode::NO_CONTENT);
    settled(&server, "orders").await;
    let posts = app.posts("/orders");
    assert_eq!(posts.len(), 1);
    let Seen { headers, body, .. } = &posts[0];
    assert_eq!(body, r#"{"orderId":1}"#);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["bindings"], "input");
    assert_eq!(headers["dapr-api-token"], "t");
    assert_eq!(headers["traceparent"].len(), 55);
    let probe = app.seen().into_iter().find(|one| one.method == Method::OPTIONS).unwrap();
    assert_eq!((probe.path.as_str(), probe.headers["dapr-api-token"].to_str().unwrap()), ("/orders", "t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_the_probe_decides_who_gets_events() {
    for (code, is_wanted) in
        [(200, true), (204, true), (405, true), (404, false), (500, false), (302, false), (401, false)]
    {
        let app =
            TestApp::start(move |seen, _| status(if seen.method == Method::OPTIONS { code } else { 200 }))
                .await;
        let fixture = fixture(&app, &[]);
        fixture.queue("orders", &[]);
        fixture.queue("always", &[("direction", "input, output")]);
        let server = fixture.start().await;
        ready(&server).await;
        send(&server, "orders", "1").await;
        send(&server, "always", "2").await;
        settled(&server, "always").await;
        if is_wanted {
            settled(&server, "orders").await;
        }
        assert_eq!(app.posts("/orders").len(), usize::from(is_wanted), "{code}");
        assert_eq!(app.count(&Method::OPTIONS), 1, "an explicit direction is not asked about");
        let components = server.get("/v1.0/metadata").await.json()["components"].to_string();
        assert!(components.contains(r#""orders""#), "{components}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_without_an_answer_is_repeated_and_holds_up_no_other() {
    let app = TestApp::start(|seen, before| {
        let is_slow = seen.method == Method::OPTIONS && seen.path == "/slow" && before < 2;
        (Duration::from_secs(if is_slow { 60 } else { 0 }), 200, String::new())
    })
    .await;
    let fixture = fixture(&app, &["--app-binding-options-timeout", "1s"]);
    fixture.queue("slow", &[]);
    fixture.queue("quick", &[]);
    let server = fixture.start().await;
    ready(&server).await;
    send(&server, "slow", "1").await;
    send(&server, "quick", "2").await;
    settled(&server, "quick").await;
    settled(&server, "slow").await;
    let probes = app.seen().iter().filter(|one| one.method == Method::OPTIONS && one.path == "/slow").count();
    assert_eq!(probes, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_to_the_route_of_their_component() {
    let app = TestApp::start(|_, _| ok()).await;
    let fixture = fixture(&app, &[]);
    fixture.queue("orders", &[("route", "api/../in/orders")]);
    let server = fixture.start().await;
    send(&server, "orders", "1").await;
    settled(&server, "orders").await;
    assert_eq!(app.posts("/in/orders").len(), 1);
    assert!(app.seen().iter().all(|one| one.path == "/in/orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_refused_comes_again_in_its_place_until_it_is_handled() {
    let app = TestApp::start(|seen, before| {
        status(if seen.method == Method::POST && seen.path == "/orders" && before < 2 { 500 } else { 204 })
    })
    .await;
    let fixture = fixture(&app, &[]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    for number in 1..=3 {
        send(&server, "orders", &number.to_string()).await;
    }
    settled(&server, "orders").await;
    let bodies: Vec<_> = app.posts("/orders").into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, ["1", "1", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_away_gets_its_events_when_it_is_back() {
    let port = free_port();
    let app = TestApp::on(port, |_, _| ok()).await;
    let fixture = fixture(&app, &[]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    ready(&server).await;
    drop(app);
    // Until the server has noticed: on a connection that breaks an event may have arrived.
    tokio::time::sleep(Duration::from_millis(300)).await;
    send(&server, "orders", "1").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let app = TestApp::on(port, |_, _| ok()).await;
    settled(&server, "orders").await;
    let posts = app.posts("/orders");
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].headers.get("bindwright-attempt"), None, "nobody had it before");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_in_the_answer_are_invoked_before_the_event_is_settled() {
    for concurrency in ["sequential", "parallel"] {
        let reply =
            format!(r#"{{"to":["first","second"],"data":{{"b":1,"a":2.0}},"concurrency":"{concurrency}"}}"#);
        let app =
            TestApp::start(move |seen, _| if seen.path == "/orders" { body(reply.clone()) } else { ok() })
                .await;
        let fixture = fixture(&app, &[]);
        fixture.queue("orders", &[]);
        fixture.queue("first", &[]);
        // Fails the first time: the event comes again, and so do its outputs.
        fixture.queue("second", &[("failures", "UNAVAILABLE")]);
        let server = fixture.start().await;
        send(&server, "orders", "1").await;
        settled(&server, "orders").await;
        until("sent", async || app.posts("/second").len() == 1 && app.posts("/first").len() == 2).await;
        assert_eq!(app.posts("/orders").len(), 2, "{concurrency}");
        assert_eq!(app.posts("/second")[0].body, r#"{"a":2,"b":1}"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_port_of_the_application_nothing_is_received() {
    let fixture = Fixture::new();
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    assert_eq!(server.get("/v1.0/healthz").await.status, StatusCode::NO_CONTENT);
    send(&server, "orders", "1").await;
    assert_eq!(server.size("orders").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_possible_while_the_application_is_not_there_yet() {
    let port = free_port();
    let fixture = Fixture::new().flags(&["--app-port", &port.to_string()]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    assert_eq!(server.get("/v1.0/healthz").await.error().1, "ERR_HEALTH_NOT_READY");
    assert_eq!(server.get("/v1.0/healthz/outbound").await.status, StatusCode::NO_CONTENT);
    send(&server, "orders", "1").await;
    let app = TestApp::on(port, |_, _| ok()).await;
    ready(&server).await;
    settled(&server, "orders").await;
    assert_eq!(app.posts("/orders").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_only_while_the_application_is_well() {
    let well = Arc::new(AtomicBool::new(false));
    let asked = well.clone();
    let app = TestApp::start(move |seen, _| {
        status(if seen.method == Method::GET && !asked.load(Ordering::SeqCst) { 500 } else { 200 })
    })
    .await;
    let flags =
        ["--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "1"];
    let fixture = fixture(&app, &flags);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders", "1").await;
    until("asked", async || app.count(&Method::GET) > 0).await;
    assert_eq!(server.size("orders").await, 1);
    well.store(true, Ordering::SeqCst);
    settled(&server, "orders").await;
    well.store(false, Ordering::SeqCst);
    let before = app.count(&Method::GET);
    // Two more answers: the first one was noticed by then.
    until("unwell", async || app.count(&Method::GET) >= before + 2).await;
    send(&server, "orders", "2").await;
    let before = app.count(&Method::GET);
    until("asked", async || app.count(&Method::GET) > before).await;
    assert_eq!((server.size("orders").await, app.posts("/orders").len()), (1, 1));
    well.store(true, Ordering::SeqCst);
    settled(&server, "orders").await;
    let health = &server.get("/v1.0/metadata").await.json()["appConnectionProperties"]["health"];
    assert_eq!(health["healthProbeInterval"], "1s");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_gets_no_more_at_once_than_it_asked_for() {
    let app = TestApp::start(|_, _| (Duration::from_millis(30), 200, String::new())).await;
    let fixture = fixture(&app, &["--app-max-concurrency", "1"]);
    fixture.queue("orders", &[("orderBy", "none")]);
    let server = fixture.start().await;
    ready(&server).await;
    let began = Instant::now();
    for number in 0..10 {
        send(&server, "orders", &number.to_string()).await;
    }
    settled(&server, "orders").await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(app.posts("/orders").len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_come_later_are_received_as_well() {
    let app = TestApp::start(|_, _| ok()).await;
    let fixture = fixture(&app, &[]);
    let server = fixture.start().await;
    ready(&server).await;
    fixture.queue("late", &[]);
    until("loaded", async || server.invoke("late", r#"{"operation":"size"}"#).await.status.is_success())
        .await;
    send(&server, "late", "1").await;
    settled(&server, "late").await;
    assert_eq!(app.posts("/late").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_over_http2_gets_events_as_well() {
    let app = TestApp::start(|_, _| ok()).await;
    let fixture = fixture(&app, &["--app-protocol", "h2c"]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    send(&server, "orders", "1").await;
    settled(&server, "orders").await;
    assert_eq!(app.posts("/orders").len(), 1);
}
