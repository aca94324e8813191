//! Where a group starts, and what it finds when the topic changes.

use std::time::Duration;

use bindwright::{ErrorCode, HandOut};

use crate::fixture::{Fixture, close, is_quiet, pull, receive, send, subscribe, texts, until};
use crate::server;

#[tokio::test]
async fn start_positions_are_committed_before_the_first_event_is_handed_out() {
    for (initial, committed) in
        [("oldest", [Some(0), Some(0), Some(0)]), ("newest", [Some(2), Some(2), Some(2)])]
    {
        let Some(fixture) = Fixture::with_topic(3).await else { return };
        fixture.write(&format!("initialOffset: {initial}"));
        fixture.produce_numbers(0..6, 3).await;
        let client = fixture.client();
        let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
        if initial == "newest" {
            until("the group has started", async || fixture.committed().await.iter().all(Option::is_some))
                .await;
            fixture.produce_numbers(6..9, 3).await;
        }
        pull(&subscription, 1).await;
        // Nothing is settled, and the partitions that had no event yet have their start as well.
        assert_eq!(fixture.committed().await, committed, "{initial}");
        client.close(Duration::ZERO).await.expect("closed");
    }
}

#[tokio::test]
async fn newest_skips_what_was_there_at_the_first_start_only() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.write("initialOffset: newest");
    fixture.produce_numbers(0..10, 2).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    fixture.until_committed(&[5, 5]).await;
    fixture.produce_numbers(10..14, 2).await;
    let mut first = texts(&receive(&subscription, 4).await);
    first.sort_unstable();
    assert_eq!(first, ["10", "11", "12", "13"]);
    close(&client).await;
    fixture.produce_numbers(14..16, 2).await;

    let again = fixture.client();
    let subscription = subscribe(&again).await;
    let mut second = texts(&receive(&subscription, 2).await);
    second.sort_unstable();
    assert_eq!(second, ["14", "15"], "sent while nobody was there");
    assert!(is_quiet(&subscription).await);
    close(&again).await;
}

#[tokio::test]
async fn a_partition_that_joins_later_starts_at_its_beginning() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("initialOffset: newest\nclientConnectionTopicMetadataRefreshInterval: 1s");
    fixture.produce_numbers(0..3, 1).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    fixture.until_committed(&[3]).await;
    send(&client, bindwright::Request::new("before")).await.expect("sent");
    assert_eq!(texts(&receive(&subscription, 1).await), ["before"]);

    fixture.grow_topic(3).await;
    // These are there before the consumer has heard of their partitions.
    fixture.produce(vec![(1, "early 1".to_owned()), (2, "early 2".to_owned())]).await;
    let mut early = texts(&receive(&subscription, 2).await);
    early.sort_unstable();
    assert_eq!(early, ["early 1", "early 2"]);
    // The sending side hears of them as well.
    until("the new partition can be sent to", async || {
        let request = bindwright::Request::new("late").with("partitionNumber", "2");
        send(&client, request).await.is_ok()
    })
    .await;
    assert_eq!(texts(&receive(&subscription, 1).await), ["late"]);
    close(&client).await;
}

#[tokio::test]
async fn a_missing_topic_is_reported_and_read_when_it_is_made() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::on(cluster.bootstrap());
    fixture.write("initialOffset: newest");
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    until("the missing topic is reported", async || {
        subscription.last_error().is_some_and(|error| error.code() == ErrorCode::TargetNotFound)
    })
    .await;
    let error = subscription.last_error().expect("it stays");
    assert!(error.to_string().contains(&fixture.topic), "{error}");

    fixture.create_topic(2).await;
    until("the group has started", async || fixture.committed().await.iter().all(Option::is_some)).await;
    fixture.produce_numbers(0..4, 2).await;
    receive(&subscription, 4).await;
    until("the error is gone", async || subscription.last_error().is_none()).await;
    close(&client).await;
}

#[tokio::test]
async fn one_missing_topic_does_not_keep_the_other_from_being_read() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    fixture.write(&format!("topics: {}, missing-{}", fixture.topic, fixture.topic));
    fixture.produce_numbers(0..3, 1).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    receive(&subscription, 3).await;
    // Asking again for the missing one must not disturb the other.
    until("the missing topic is reported", async || {
        subscription.last_error().is_some_and(|error| error.code() == ErrorCode::TargetNotFound)
    })
    .await;
    fixture.produce_numbers(3..6, 1).await;
    assert_eq!(texts(&receive(&subscription, 3).await), ["3", "4", "5"]);
    close(&client).await;
}

#[tokio::test]
async fn several_topics_are_read_by_one_component() {
    let (Some(one), Some(other)) = (Fixture::with_topic(1).await, Fixture::with_topic(2).await) else {
        return;
    };
    one.write(&format!("topics: {} , {}", one.topic, other.topic));
    one.produce_numbers(0..2, 1).await;
    other.produce_numbers(2..6, 2).await;
    let client = one.client();
    let events = receive(&subscribe(&client).await, 6).await;
    let of_other =
        events.iter().filter(|event| event.metadata().get("__topic").as_deref() == Some(&other.topic));
    assert_eq!(of_other.count(), 4);
    close(&client).await;
}
