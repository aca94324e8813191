//! What strains a server: an application that hangs, few permits, many headers, an end that somebody holds up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bindwright::ErrorCode;
use bindwright_server::Ending;
use http::{Method, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::fixture::{Fixture, PATIENCE, until};
use super::test_app::{self, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_sent_ends_the_start() {
    let fixture = Fixture::new().app_token("xq\u{1}zx").flags(&["--app-port", "7"]);
    let error = fixture.try_start().await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::InvalidOptions);
    assert!(error.to_string().contains("APP_API_TOKEN") && !error.to_string().contains("xq"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_both_kinds_are_listened_on() {
    let server = Fixture::new().flags(&["--dapr-listen-addresses", "0.0.0.0,::"]).start().await;
    let port = server.base.rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "[::1]"] {
        let address = format!("{host}:{port}");
        match TcpStream::connect(&address).await {
            Ok(_) => {}
            // Machines without IPv6 have nobody to call there.
            Err(error) => assert_eq!((host, error.kind()), ("[::1]", std::io::ErrorKind::AddrNotAvailable)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_permit_is_not_the_handlers_time() {
    let app = TestApp::start(|seen, _| {
        (Duration::from_millis(if seen.method == Method::POST { 150 } else { 0 }), 200, String::new())
    })
    .await;
    let port = app.port.to_string();
    let fixture = Fixture::new().flags(&["--app-port", &port, "--app-max-concurrency", "1"]);
    fixture.queue("orders", &[("orderBy", "none"), ("maxDeliveryCount", "1")]);
    fixture.file(
        "resiliency.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: all}\nspec:\n  \
         policies: {timeouts: {short: 1s}}\n  targets: {components: {orders: {inbound: {timeout: short}}}}\n",
    );
    let server = fixture.start().await;
    for number in 0..12 {
        server.invoke("orders", format!(r#"{{"operation":"create","data":{number}}}"#)).await;
    }
    // One after the other this takes longer than the time that each may take.
    until("handled", async || server.size("orders").await == 0).await;
    assert_eq!(app.posts("/orders").len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_closed_input_left_with_the_application_holds_up_nobody() {
    let well = Arc::new(AtomicBool::new(true));
    let told = well.clone();
    let app = TestApp::start(move |seen, before| match seen.path.as_str() {
        "/healthz" => test_app::status(if told.load(Ordering::SeqCst) { 200 } else { 500 }),
        // The first event is never answered.
        _ if seen.method == Method::POST && before == 0 => (Duration::from_hours(1), 200, String::new()),
        _ => test_app::ok(),
    })
    .await;
    let port = app.port.to_string();
    let fixture = Fixture::new().flags(&["--app-port", &port, "--app-max-concurrency", "1"]).flags(&[
        "--enable-app-health-check",
        "--app-health-probe-interval",
        "1",
        "--app-health-threshold",
        "1",
        "--dapr-graceful-shutdown-seconds",
        "1",
    ]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    server.invoke("orders", r#"{"operation":"create","data":1}"#).await;
    until("delivered", async || app.posts("/orders").len() == 1).await;
    well.store(false, Ordering::SeqCst);
    // It is given back once the input is closed, and comes again when the application is well.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    well.store(true, Ordering::SeqCst);
    until("handled", async || server.size("orders").await == 0).await;
    assert_eq!(app.posts("/orders").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_up_end_goes_on_when_the_application_is_not_well() {
    let well = Arc::new(AtomicBool::new(true));
    let told = well.clone();
    let app = TestApp::start(move |seen, _| match seen.path.as_str() {
        "/healthz" => test_app::status(if told.load(Ordering::SeqCst) { 200 } else { 500 }),
        _ => test_app::ok(),
    })
    .await;
    let port = app.port.to_string();
    let fixture =
        Fixture::new().flags(&["--app-port", &port, "--dapr-block-shutdown-duration", "1h"]).flags(&[
            "--enable-app-health-check",
            "--app-health-probe-interval",
            "1",
            "--app-health-threshold",
            "1",
        ]);
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    until("ready", async || server.get("/v1.0/healthz").await.status == StatusCode::NO_CONTENT).await;
    server.ender.end();
    until("ending", async || server.get("/v1.0/healthz/outbound").await.status.as_u16() == 500).await;
    well.store(false, Ordering::SeqCst);
    assert_eq!(tokio::time::timeout(PATIENCE, server.run).await.unwrap().unwrap(), Ending::Asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_takes_its_time_once() {
    let app = TestApp::start(|seen, _| {
        (Duration::from_secs(if seen.method == Method::POST { 3600 } else { 0 }), 200, String::new())
    })
    .await;
    let port = app.port.to_string();
    let fixture = Fixture::new().flags(&["--app-port", &port, "--dapr-graceful-shutdown-seconds", "2"]);
    fixture.queue("orders", &[]);
    fixture.component("slow", "bindings.memory", &[("delay", "1h"), ("direction", "output")], "");
    let server = Arc::new(fixture.start().await);
    server.invoke("orders", r#"{"operation":"create","data":1}"#).await;
    until("delivered", async || app.posts("/orders").len() == 1).await;
    let caller = server.clone();
    let call = tokio::spawn(async move {
        let _ = TcpStream::connect(caller.base.trim_start_matches("http://")).await;
        caller.invoke("slow", r#"{"operation":"create","data":1}"#).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    server.ender.end();
    until("ended", async || server.run.is_finished()).await;
    // Each of its three parts has had two seconds of its own before.
    assert!(began.elapsed() < Duration::from_millis(3900), "{:?}", began.elapsed());
    call.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_in_the_middle_of_a_word_takes_no_place() {
    let server = Fixture::new().flags(&["--max-connections", "1"]).start().await;
    let address = server.base.trim_start_matches("http://").to_owned();
    for _ in 0..20 {
        let mut half = TcpStream::connect(&address).await.unwrap();
        half.write_all(b"PRI").await.unwrap();
        half.shutdown().await.unwrap();
    }
    until("served", async || {
        let mut whole = TcpStream::connect(&address).await.unwrap();
        whole.write_all(b"GET /v1.0/healthz/outbound HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = [0; 16];
        let _ = tokio::io::AsyncReadExt::read(&mut whole, &mut answer).await;
        answer.starts_with(b"HTTP/1.0 204") || answer.starts_with(b"HTTP/1.1 204")
    })
    .await;
}
