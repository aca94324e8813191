//! Components that a client adds itself.

use futures_util::FutureExt as _;
use std::time::Duration;

use bindwright::{ErrorCode, State};

use crate::fixture::{Fixture, ack, ask, next, state, subscribe, text, until};

#[tokio::test]
async fn what_a_client_adds_is_its_own() {
    let fixture = Fixture::new();
    fixture.write("a", "file");
    let (client, other) = (fixture.client(), fixture.client());
    let both = format!("{}---\n{}", fixture.document("a", "mine", &[]), fixture.document("b", "mine", &[]));
    assert_eq!(client.add_component(&both).expect("added"), ["a", "b"]);
    assert_eq!((ask(&client, "a").await, ask(&client, "b").await), ("a mine".into(), "b mine".into()));
    assert_eq!(
        (ask(&other, "a").await, ask(&other, "b").await),
        ("a file".into(), "COMPONENT_NOT_FOUND".into())
    );
    let names = |client: &bindwright::Client| -> Vec<String> {
        client
            .components()
            .now_or_never()
            .expect("known at once")
            .expect("components")
            .into_iter()
            .map(|one| one.name)
            .collect()
    };
    assert_eq!((names(&client).join(" "), names(&other).join(" ")), ("a b".into(), "a".into()));
    client.close(Duration::from_secs(5)).await.expect("closed");
    assert_eq!((fixture.world.count("close a mine"), fixture.world.count("close b mine")), (1, 1));
    assert_eq!(fixture.world.count("close a file"), 0);
}

#[tokio::test]
async fn a_client_that_is_only_dropped_closes_its_own() {
    let fixture = Fixture::new();
    let client = fixture.client();
    client.add_component(&fixture.document("a", "mine", &[])).expect("added");
    ask(&client, "a").await;
    drop(client);
    until("it is closed", || fixture.world.count("close a mine") == 1).await;
}

#[tokio::test]
async fn removing_uncovers_then_hides() {
    let fixture = Fixture::new();
    fixture.write("a", "file");
    let (client, other) = (fixture.client(), fixture.client());
    client.add_component(&fixture.document("a", "mine", &[])).expect("added");
    assert_eq!(ask(&client, "a").await, "a mine");
    client.remove_component("a").expect("removed");
    until("it is closed", || fixture.world.count("close a mine") == 1).await;
    assert_eq!(ask(&client, "a").await, "a file");
    client.remove_component("a").expect("hidden");
    assert_eq!(
        (ask(&client, "a").await, ask(&other, "a").await),
        ("COMPONENT_NOT_FOUND".into(), "a file".into())
    );
    assert_eq!(client.components().await.expect("components").len(), 0);
    let error = client.remove_component("a").expect_err("it is gone");
    assert_eq!(error.code(), ErrorCode::ComponentNotFound);
    client.add_component(&fixture.document("a", "again", &[])).expect("added");
    assert_eq!(ask(&client, "a").await, "a again");
}

#[tokio::test]
async fn what_is_wrong_is_returned_and_nothing_is_added() {
    let fixture = Fixture::new();
    let client = fixture.client();
    let good = fixture.document("a", "1", &[]);
    let cases = [
        (format!("{good}---\n{good}"), ErrorCode::InvalidManifest),
        (format!("{good}---\nkind: ["), ErrorCode::InvalidManifest),
        (
            format!("{good}---\n{}", fixture.document("b", "1", &["refuse: settings"])),
            ErrorCode::InvalidSettings,
        ),
        (
            format!("{good}---\n{}", good.replace("scripted", "nonsense").replace(": a\n", ": b\n")),
            ErrorCode::UnknownType,
        ),
        (String::new(), ErrorCode::InvalidManifest),
    ];
    for (text, code) in cases {
        let error = client.add_component(&text).expect_err("refused");
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(client.components().await.expect("components").len(), 0);
        if let Some(place) = error.place_in_file() {
            assert_eq!(&*place.file, "<text>");
        }
    }
    client.add_component(&good).expect("added");
    assert_eq!(client.add_component(&good).expect_err("twice").code(), ErrorCode::InvalidManifest);
}

#[tokio::test]
async fn a_change_of_the_files_does_not_touch_what_covers_them() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    client.add_component(&fixture.document("a", "mine", &[])).expect("added");
    let subscription = subscribe(&client, "a").await;
    fixture.write("a", "2");
    assert_eq!(client.reload().await.expect("looked").changed, ["a"]);
    assert_eq!(ask(&client, "a").await, "a mine");
    assert_eq!(fixture.world.count("stopping a mine"), 0);
    client.remove_component("a").expect("removed");
    until("it follows", || fixture.world.count("start a 2") == 1).await;
    fixture.world.receive("a 2", 1);
    let event = next(&subscription).await;
    assert_eq!(text(event.body()), "a 2 1");
    assert!(ack(&subscription, &event));
    client.remove_component("a").expect("hidden");
    until("it waits", || subscription.health().state == State::Degraded).await;
    client.add_component(&fixture.document("a", "back", &[])).expect("added");
    until("it reads again", || fixture.world.count("start a back") == 1).await;
    until("all is well", || state(&client, "a") == State::Ready).await;
}
