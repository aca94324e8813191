//! What `components()` says.

use bindwright::{ErrorCode, State};

use crate::fixture::{Fixture, ask, state, subscribe, until};

#[tokio::test]
async fn a_component_is_idle_until_it_is_used() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    assert_eq!(state(&client, "a"), State::Idle);
    assert_eq!(ask(&client, "a").await, "a 1");
    assert_eq!(state(&client, "a"), State::Ready);
}

#[tokio::test]
async fn a_wrong_document_has_failed() {
    let fixture = Fixture::new();
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["refuse: settings"]));
    fixture.write_text("b.yaml", &fixture.document("b", "1", &[]).replace("scripted", "nonsense"));
    let client = fixture.client();
    let codes: Vec<_> = client
        .components()
        .await
        .expect("components")
        .into_iter()
        .map(|one| (one.state, one.error.map(|error| error.code())))
        .collect();
    assert_eq!(
        codes,
        [(State::Failed, Some(ErrorCode::InvalidSettings)), (State::Failed, Some(ErrorCode::UnknownType)),]
    );
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_has_failed_until_it_does() {
    let fixture = Fixture::new();
    fixture.write_text("a.yaml", &fixture.document_with("a", "1", &[], "  initTimeout: 200ms\n"));
    fixture.world.set_health("a 1", State::Connecting, Some("connection refused"));
    let client = fixture.client();
    ask(&client, "a").await;
    assert_eq!(state(&client, "a"), State::Connecting);
    until("initTimeout is over", || state(&client, "a") == State::Failed).await;
    let error = client.components().await.expect("components")[0].error.clone().expect("the last error");
    assert_eq!(error.message(), "connection refused");
    fixture.world.set_health("a 1", State::Ready, None);
    assert_eq!(state(&client, "a"), State::Ready);
}

#[tokio::test]
async fn the_worse_of_sending_and_receiving_counts() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let subscription = subscribe(&client, "a").await;
    assert_eq!(state(&client, "a"), State::Ready, "a subscription alone opens it too");
    ask(&client, "a").await;
    fixture.world.set_health("input a 1", State::Degraded, Some("lost"));
    assert_eq!(state(&client, "a"), State::Degraded);
    assert_eq!(
        client.components().await.expect("components")[0].error.as_ref().expect("an error").message(),
        "lost"
    );
    drop(subscription);
    client.close(std::time::Duration::from_secs(5)).await.expect("closed");
    assert_ne!(state(&client, "a"), State::Degraded);
}
