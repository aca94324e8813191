//! Whoever is known and may not do something is told what.

use std::time::Duration;

use bindwright::{ErrorCode, Request, State};

use super::secured::{STRANGER, STRANGERS_PASSWORD, Secured, secured};
use crate::fixture::{Fixture, close, receive, send, send_within, subscribe, texts, until};

const FAR_DEADLINE: u64 = 60_000;
const AT_ONCE: Duration = Duration::from_secs(15);

/// A component of a user who may do nothing yet.
async fn strangers(secured: &Secured) -> Fixture {
    let login = [
        ("authType", "password"),
        ("saslUsername", STRANGER),
        ("saslPassword", STRANGERS_PASSWORD),
        ("disableTls", "true"),
    ];
    secured.fixture("CLEAR", &login).await
}

#[tokio::test]
async fn a_topic_that_may_not_be_written_is_named_and_works_when_it_may() {
    let Some(secured) = secured().await else { return };
    let fixture = strangers(secured).await;
    let client = fixture.client();
    let denied = async |step: &str| {
        let call = send_within(&client, FAR_DEADLINE, Request::new("x"));
        let call = tokio::time::timeout(AT_ONCE, call).await.expect("answered at once");
        let error = call.expect_err(step);
        assert_eq!(error.code(), ErrorCode::PermissionDenied, "{step}: {error}");
        let expected = format!("the user may not write to topic {:?}", fixture.topic);
        assert!(error.to_string().contains(&expected), "{step}: {error}");
    };
    denied("nothing is allowed").await;
    assert_eq!(client.components().await.expect("components")[0].state, State::Failed);
    // Seen, and still not written.
    secured.cluster.allow(STRANGER, "describe", "topic", &fixture.topic).await;
    until("the topic is seen", async || {
        client.components().await.expect("components")[0].state != State::Failed
    })
    .await;
    denied("describing is allowed").await;
    secured.cluster.allow(STRANGER, "write", "topic", &fixture.topic).await;
    until("it may be written", async || send(&client, Request::new("x")).await.is_ok()).await;
    close(&client).await;
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_is_named_and_read_when_it_may() {
    let Some(secured) = secured().await else { return };
    let fixture = strangers(secured).await;
    secured.cluster.allow(STRANGER, "read", "group", &fixture.group).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    until("the topic is named", async || {
        subscription.last_error().is_some_and(|error| {
            let named = format!("the user may not read topic {:?}", fixture.topic);
            error.code() == ErrorCode::PermissionDenied && error.to_string().contains(&named)
        })
    })
    .await;
    fixture.produce_numbers(0..2, 1).await;
    secured.cluster.allow(STRANGER, "read", "topic", &fixture.topic).await;
    assert_eq!(texts(&receive(&subscription, 2).await), ["0", "1"]);
    until("the error is gone", async || subscription.last_error().is_none()).await;
    close(&client).await;
}

#[tokio::test]
async fn a_group_that_may_not_be_joined_is_named_and_joined_when_it_may() {
    let Some(secured) = secured().await else { return };
    let fixture = strangers(secured).await;
    secured.cluster.allow(STRANGER, "read", "topic", &fixture.topic).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    until("the group is named", async || {
        subscription.last_error().is_some_and(|error| {
            let named = format!("the user may not read as group {:?}", fixture.group);
            error.code() == ErrorCode::PermissionDenied && error.to_string().contains(&named)
        })
    })
    .await;
    fixture.produce_numbers(0..2, 1).await;
    secured.cluster.allow(STRANGER, "read", "group", &fixture.group).await;
    assert_eq!(texts(&receive(&subscription, 2).await), ["0", "1"]);
    until("the error is gone", async || subscription.last_error().is_none()).await;
    close(&client).await;
}
