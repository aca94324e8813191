//! What policies make of calls and events, and what is counted of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bindwright::component::{Call, ComponentType, OutputBinding, register};
use bindwright::{Error, ErrorCode, Reply, Request, Result};
use http::StatusCode;

use super::fixture::{Fixture, Running, until};
use super::test_app::{TestApp, ok, status};

const CREATE: &str = r#"{"operation":"create","data":1}"#;

/// Fails its first call, or hangs; says how often it was called.
#[derive(Default)]
struct Flaky(AtomicU32);

#[async_trait]
impl OutputBinding for Flaky {
    fn operations(&self) -> &[&'static str] {
        &["create", "hang", "count"]
    }

    async fn invoke(&self, call: &Call, _: Request) -> Result<Reply> {
        if &*call.operation == "count" {
            let count = self.0.load(Ordering::SeqCst).to_string();
            return Ok(Reply { body: count.into(), ..Reply::default() });
        }
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        if &*call.operation == "hang" {
            tokio::time::sleep_until(call.deadline.into()).await;
            return Err(Error::new(ErrorCode::Timeout, "it hung"));
        }
        if before == 0 { Err(Error::new(ErrorCode::Unavailable, "not yet")) } else { Ok(Reply::default()) }
    }

    async fn close(&self, _: Instant) -> Result<()> {
        Ok(())
    }
}

/// A server's components with a document of policies for `target`.
fn fixture(target: &str, direction: &str, policies: &str, names: &str) -> Fixture {
    static ONCE: Once = Once::new();
    let flaky = ComponentType::new("bindings.test.flaky").output(|_| Ok(Arc::<Flaky>::default()));
    ONCE.call_once(|| register(flaky));
    let fixture = Fixture::new();
    fixture.component("flaky", "bindings.test.flaky", &[], "");
    fixture.file(
        "policies.yaml",
        &format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {{name: mine}}\nspec:\n  policies: {policies}\n  \
             targets:\n    components:\n      {target}: {{{direction}: {names}}}\n"
        ),
    );
    fixture
}

fn with_app(fixture: Fixture, app: &TestApp) -> Fixture {
    fixture.flags(&["--app-port", &app.port.to_string()])
}

async fn count(server: &Running) -> String {
    server.invoke("flaky", r#"{"operation":"count"}"#).await.text().to_owned()
}

async fn is_shown(server: &Running, name: &str, policy: &str, direction: &str, status: &str, value: u32) {
    let target = if direction == "outbound" { "flaky" } else { "orders" };
    let line = format!(
        "dapr_resiliency_{name}{{app_id=\"shop\",flow_direction=\"{direction}\",name=\"mine\",namespace=\"\",\
         policy=\"{policy}\",status=\"{status}\",target=\"Binding_{target}\"}} {value}"
    );
    let shown = server.scrape().await;
    assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_36_a_call_that_failed_once_is_made_again() {
    let policies = "{retries: {soon: {duration: 10ms, maxRetries: 3}}}";
    let server = fixture("flaky", "outbound", policies, "{retry: soon}").start().await;
    assert_eq!(server.invoke("flaky", CREATE).await.status, StatusCode::NO_CONTENT);
    assert_eq!(count(&server).await, "2");
    is_shown(&server, "count", "retry", "outbound", "", 2).await;
    is_shown(&server, "activations_total", "retry", "outbound", "", 1).await;
    let shown = server.scrape().await;
    assert!(shown.contains(r#"dapr_resiliency_loaded{app_id="shop",name="mine",namespace=""} 1"#), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_37_a_call_that_takes_too_long_is_made_again_and_given_up() {
    let policies = "{timeouts: {short: 50ms}, retries: {once: {duration: 10ms, maxRetries: 1}}}";
    let server = fixture("flaky", "outbound", policies, "{timeout: short, retry: once}").start().await;
    let began = Instant::now();
    let (status, _, message) = server.invoke("flaky", r#"{"operation":"hang"}"#).await.error();
    assert_eq!(status, 500, "{message}");
    // The call itself would take its 30 seconds.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(count(&server).await, "2");
    is_shown(&server, "activations_total", "timeout", "outbound", "", 2).await;
    is_shown(&server, "activations_total", "retry", "outbound", "", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_37_an_event_that_takes_too_long_is_delivered_again_and_given_up() {
    let app = TestApp::start(|seen, _| {
        let is_event = seen.path == "/orders" && !seen.body.is_empty();
        (Duration::from_secs(if is_event { 60 } else { 0 }), 200, String::new())
    })
    .await;
    let policies = "{timeouts: {short: 500ms}, retries: {once: {duration: 10ms, maxRetries: 1}}}";
    let fixture = with_app(fixture("orders", "inbound", policies, "{timeout: short, retry: once}"), &app);
    fixture.queue("orders", &[("deadLetterBinding", "lost")]);
    fixture.queue("lost", &[("direction", "output")]);
    let server = fixture.start().await;
    assert_eq!(server.invoke("orders", CREATE).await.status, StatusCode::NO_CONTENT);
    until("given up", async || server.size("lost").await == 1).await;
    assert_eq!(app.posts("/orders").len(), 2);
    is_shown(&server, "count", "timeout", "inbound", "", 1).await;
    is_shown(&server, "activations_total", "timeout", "inbound", "", 2).await;
    is_shown(&server, "activations_total", "retry", "inbound", "", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_38_an_event_that_was_refused_once_is_delivered_twice() {
    let app = TestApp::start(|seen, before| {
        status(if seen.method == http::Method::POST && before == 0 { 500 } else { 200 })
    })
    .await;
    let policies = "{retries: {soon: {duration: 10ms, maxRetries: 3}}}";
    let fixture = with_app(fixture("orders", "inbound", policies, "{retry: soon}"), &app);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    assert_eq!(server.invoke("orders", CREATE).await.status, StatusCode::NO_CONTENT);
    until("settled", async || server.size("orders").await == 0).await;
    assert_eq!(app.posts("/orders").len(), 2);
}

/// Refuses what comes to `/orders` with a status for each delivery, then takes it.
async fn refusing(codes: &'static [u16]) -> TestApp {
    TestApp::start(move |seen, before| match (seen.method == http::Method::POST, codes.get(before)) {
        (true, Some(code)) => status(*code),
        _ => ok(),
    })
    .await
}

const MATCHING: &str =
    "{retries: {some: {duration: 10ms, maxRetries: 9, matching: {httpStatusCodes: '429,500-599'}}}}";

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_a_policy_leaves_out_are_not_worth_another_delivery() {
    let app = refusing(&[503, 429, 404, 404]).await;
    let fixture = with_app(fixture("orders", "inbound", MATCHING, "{retry: some}"), &app);
    fixture.queue("orders", &[("deadLetterBinding", "lost")]);
    fixture.queue("lost", &[("direction", "output")]);
    let server = fixture.start().await;
    assert_eq!(server.invoke("orders", CREATE).await.status, StatusCode::NO_CONTENT);
    until("given up", async || server.size("lost").await == 1).await;
    assert_eq!(app.posts("/orders").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_dead_letters_they_come_again_as_without_a_policy() {
    let app = refusing(&[404, 404, 503]).await;
    let fixture = with_app(fixture("orders", "inbound", MATCHING, "{retry: some}"), &app);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    assert_eq!(server.invoke("orders", CREATE).await.status, StatusCode::NO_CONTENT);
    until("settled", async || server.size("orders").await == 0).await;
    assert_eq!(app.posts("/orders").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_circuit_breaker_is_can_be_seen() {
    let policies = "{circuitBreakers: {brittle: {trip: consecutiveFailures > 0, timeout: 1h}}}";
    let server = fixture("flaky", "outbound", policies, "{circuitBreaker: brittle}").start().await;
    is_shown(&server, "cb_state", "circuitbreaker", "outbound", "closed", 1).await;
    assert_eq!(server.invoke("flaky", CREATE).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    is_shown(&server, "cb_state", "circuitbreaker", "outbound", "closed", 0).await;
    is_shown(&server, "cb_state", "circuitbreaker", "outbound", "open", 1).await;
    is_shown(&server, "activations_total", "circuitbreaker", "outbound", "open", 1).await;
    is_shown(&server, "count", "circuitbreaker", "outbound", "", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_35_an_event_that_is_out_when_its_component_goes_is_settled() {
    let app = TestApp::start(|seen, _| {
        let is_event = seen.method == http::Method::POST;
        (Duration::from_millis(if is_event { 4000 } else { 0 }), 200, String::new())
    })
    .await;
    let fixture = with_app(Fixture::new(), &app);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    for _ in 0..2 {
        assert_eq!(server.invoke("orders", CREATE).await.status, StatusCode::NO_CONTENT);
    }
    until("delivered", async || app.posts("/orders").len() == 1).await;
    fixture.remove("orders");
    let size = || server.invoke("orders", r#"{"operation":"size"}"#);
    until("gone", async || size().await.status == 500).await;
    fixture.queue("orders", &[("direction", "output")]);
    // The first one is settled, the second was never handed out.
    until("settled", async || {
        let answer = size().await;
        answer.status == StatusCode::OK && answer.text() == "1"
    })
    .await;
    assert_eq!(app.posts("/orders").len(), 1);
}
