//! Waiting until everything works.

use std::time::{Duration, Instant};

use bindwright::{Client, ErrorCode, State};

use crate::fixture::{Fixture, state, subscribe, until};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn outputs_are_opened_and_waited_for_and_inputs_are_not() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    fixture.write_text("b.yaml", &fixture.document("b", "1", &["direction: input"]));
    fixture.world.set_health("a 1", State::Connecting, None);
    let client = fixture.client();
    let waiting = client.clone();
    let ready = tokio::spawn(async move { waiting.ready(LONG).await });
    until("it was opened", || fixture.world.count("open a 1") == 1).await;
    assert!(!ready.is_finished());
    fixture.world.set_health("a 1", State::Ready, None);
    ready.await.expect("no panic").expect("ready");
    assert_eq!((state(&client, "a"), state(&client, "b")), (State::Ready, State::Idle));
    assert_eq!(fixture.world.count("start b 1"), 0);
}

#[tokio::test]
async fn a_live_subscription_counts() {
    let fixture = Fixture::new();
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["direction: input"]));
    fixture.world.set_health("input a 1", State::Connecting, None);
    let client = fixture.client();
    let _subscription = subscribe(&client, "a").await;
    let error = client.ready(Duration::from_millis(50)).await.expect_err("connecting");
    assert_eq!(error.code(), ErrorCode::Timeout);
    fixture.world.set_health("input a 1", State::Ready, None);
    client.ready(LONG).await.expect("ready");
}

#[tokio::test]
async fn a_receiver_without_the_settings_of_a_sender_is_not_in_the_way() {
    let fixture = Fixture::new();
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["refuse: output"]));
    Client::open_ready(fixture.options(), LONG).await.expect("ready");
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["refuse: output", "direction: output"]));
    let error = Client::open_ready(fixture.options(), LONG).await.expect_err("it is to send");
    assert_eq!(error.code(), ErrorCode::InvalidSettings);
}

#[tokio::test]
async fn the_first_that_failed_ends_the_wait() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    fixture.write_text("b.yaml", &fixture.document_with("b", "1", &[], "  initTimeout: 100ms\n"));
    fixture.world.set_health("a 1", State::Connecting, None);
    fixture.world.set_health("b 1", State::Connecting, Some("no route"));
    let since = Instant::now();
    let error = fixture.client().ready(LONG).await.expect_err("b does not come");
    assert_eq!(error.message(), "no route");
    assert!(since.elapsed() < LONG);
}

#[tokio::test]
async fn a_wrong_document_ends_the_wait() {
    let fixture = Fixture::new();
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["refuse: settings"]));
    let error = Client::open_ready(fixture.options(), LONG).await.expect_err("wrong");
    assert_eq!((error.code(), error.component_name()), (ErrorCode::InvalidSettings, Some("a")));
    // One that is no component at all because of that, too.
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["Say: 2"]));
    let error = Client::open_ready(fixture.options(), LONG).await.expect_err("wrong");
    assert_eq!((error.code(), error.component_name()), (ErrorCode::InvalidSettings, Some("a")));
}

#[tokio::test]
async fn ignored_errors_do_not_end_the_wait() {
    let fixture = Fixture::new();
    let spec = "  initTimeout: 100ms\n  ignoreErrors: true\n";
    fixture.write_text("a.yaml", &fixture.document_with("a", "1", &[], spec));
    fixture.write_text("b.yaml", &fixture.document_with("b", "1", &["refuse: settings"], spec));
    fixture.world.set_health("a 1", State::Connecting, None);
    Client::open_ready(fixture.options(), LONG).await.expect("nothing else is missing");
}

#[tokio::test]
async fn the_deadline_holds_and_names_who_was_late() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.write_text(
            &format!("{name}.yaml"),
            &fixture.document_with(name, "1", &[], "  initTimeout: 1h\n"),
        );
    }
    fixture.world.set_health("a 1", State::Connecting, None);
    fixture.world.set_health("c 1", State::Connecting, None);
    let client = fixture.client();
    let error = client.ready(Duration::from_millis(50)).await.expect_err("they never come");
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.message().ends_with(": a, c"), "{error}");
    fixture.world.set_health("c 1", State::Connecting, Some("connection refused"));
    let late = client.block_on(client.ready(Duration::from_millis(50)), || false).expect("not interrupted");
    let error = late.expect_err("they never come");
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.to_string().contains("connection refused"), "{error}");
}
