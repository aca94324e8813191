//! Subscriptions while their components come and go.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bindwright::{Client, ErrorCode, Outcome, State};
use parking_lot::Mutex;

use crate::fixture::{Fixture, ack, next, subscribe, text, until};

async fn reload(client: &Client) {
    client.reload().await.expect("looked");
}

#[tokio::test]
async fn a_subscription_goes_on_across_a_change() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let subscription = subscribe(&client, "a").await;
    fixture.world.receive("a 1", 7);
    let event = next(&subscription).await;
    fixture.write("a", "2");
    reload(&client).await;
    until("the old one is being stopped", || fixture.world.count("stopping a 1") == 1).await;
    assert_eq!(fixture.world.count("start a 2"), 0, "not while the handler runs");
    assert!(ack(&subscription, &event), "a handler that runs may finish");
    until("the new one reads", || fixture.world.count("start a 2") == 1).await;
    assert_eq!(fixture.world.settled("a 1"), [7]);
    fixture.world.receive("a 2", 8);
    let event = next(&subscription).await;
    assert_eq!(text(event.body()), "a 2 8");
    assert!(ack(&subscription, &event));
    assert_eq!(fixture.world.settled("a 2"), [8]);
    assert_eq!((fixture.world.count("stop a 1"), fixture.world.count("stop a 2")), (1, 0));
    client.close(Duration::from_secs(5)).await.expect("closed");
    assert_eq!(fixture.world.count("stop a 2"), 1);
}

#[tokio::test]
async fn a_handler_goes_on_across_changes() {
    let fixture = Fixture::new();
    fixture.write("a", "0");
    let client = fixture.client();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = seen.clone();
    let handler = move |event: bindwright::Event| {
        let list = list.clone();
        async move {
            list.lock().push(text(event.body()));
            Outcome::Ack
        }
    };
    client.on("a", handler).await.expect("subscribed");
    for say in 0..5 {
        let title = format!("a {say}");
        until("it reads", || fixture.world.count(&format!("start {title}")) == 1).await;
        fixture.world.receive(&title, say);
        until("it was handled", || seen.lock().contains(&format!("{title} {say}"))).await;
        fixture.write("a", &(say + 1).to_string());
        reload(&client).await;
    }
    client.close(Duration::from_secs(5)).await.expect("closed");
}

#[tokio::test]
async fn a_subscription_of_a_removed_component_waits_for_it() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let subscription = subscribe(&client, "a").await;
    fs::remove_file(fixture.path("a.yaml")).expect("removed");
    reload(&client).await;
    until("it is stopped", || fixture.world.count("stop a 1") == 1).await;
    until("it waits", || subscription.health().state == State::Degraded).await;
    let error = subscription.last_error().expect("why");
    assert_eq!((error.code(), error.message()), (ErrorCode::ComponentNotFound, "removed from the resources"));
    fixture.write("a", "2");
    reload(&client).await;
    until("it reads again", || fixture.world.count("start a 2") == 1).await;
    until("all is well", || subscription.health().state == State::Ready).await;
    fixture.world.receive("a 2", 1);
    assert_eq!(text(next(&subscription).await.body()), "a 2 1");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_from_leaves_the_old_reading() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let subscription = subscribe(&client, "a").await;
    fixture.write_text("a.yaml", &fixture.document("a", "2", &["refuse: input"]));
    let done = client.reload().await.expect("looked");
    assert_eq!((done.changed.len(), done.faults.len()), (0, 1), "{done:?}");
    assert_eq!(fixture.world.count("stopping a 1"), 0);
    fixture.world.receive("a 1", 1);
    let event = next(&subscription).await;
    assert!(ack(&subscription, &event));
}

#[tokio::test]
async fn an_input_that_does_not_start_gives_way_to_the_old_one() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let subscription = subscribe(&client, "a").await;
    fixture.write_text("a.yaml", &fixture.document("a", "2", &["refuse: start"]));
    reload(&client).await;
    until("the old one reads again", || fixture.world.count("start a 1") == 2).await;
    until("it says why", || subscription.last_error().is_some()).await;
    assert_eq!(subscription.health().state, State::Degraded);
    fixture.world.receive("a 1", 1);
    let event = next(&subscription).await;
    assert!(ack(&subscription, &event));
    fixture.write("a", "3");
    reload(&client).await;
    until("the mended one reads", || fixture.world.count("start a 3") == 1).await;
    until("all is well", || subscription.last_error().is_none()).await;
}

#[tokio::test]
async fn a_subscription_that_is_stopped_meanwhile_does_not_start_again() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let subscription = subscribe(&client, "a").await;
    fixture.world.receive("a 1", 1);
    let event = next(&subscription).await;
    fixture.write("a", "2");
    reload(&client).await;
    until("the old one is being stopped", || fixture.world.count("stopping a 1") == 1).await;
    let stopping = subscription.clone();
    let stop = tokio::spawn(async move { client.close(Duration::from_secs(20)).await });
    until("it has ended", || stopping.take_batch(1).is_none()).await;
    assert!(ack(&subscription, &event));
    stop.await.expect("no panic").expect("closed");
    assert_eq!((fixture.world.count("stop a 1"), fixture.world.count("start a 2")), (1, 0));
}
