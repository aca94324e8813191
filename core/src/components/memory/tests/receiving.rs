//! What subscriptions get, in which order, and who gets it next.

use super::*;

#[tokio::test]
async fn a_message_arrives_with_its_body_and_its_metadata() {
    let client = Folder::new(&[]).client();
    let request = Request::new(vec![0, 255]).with("colour", "green").with("partitionKey", "7");
    let reply = call(&client, "create", request).await.expect("sent");
    assert_eq!(reply.metadata.get("position").as_deref(), Some("0"));
    assert_eq!(reply.metadata.get("partition").as_deref(), Some("0"));
    assert_eq!(reply.metadata.len(), 3);
    call(&client, "create", Request::new(Body::None)).await.expect("sent");
    call(&client, "create", Request::new(Body::empty())).await.expect("sent");
    let subscription = subscribe(&client, HandOut::Freely).await;
    let event = next(&subscription).await;
    assert_eq!(event.body().as_bytes().expect("a body").as_ref(), [0, 255]);
    assert_eq!(event.metadata().get("colour").as_deref(), Some("green"));
    assert_eq!(event.metadata().get("key").as_deref(), Some("7"));
    assert_eq!(event.metadata().get("partitionKey"), None);
    assert_eq!(*next(&subscription).await.body(), Body::None);
    assert_eq!(*next(&subscription).await.body(), Body::empty());
}

#[tokio::test]
async fn a_key_keeps_its_partition_and_its_order() {
    let client = Folder::new(&["partitions: 3"]).client();
    let mut places = std::collections::BTreeMap::new();
    for index in 0..60 {
        let key = format!("key {}", index % 30);
        let reply = send_keyed(&client, &index.to_string(), &key).await;
        let partition = reply.metadata.get("partition").expect("a partition").into_owned();
        assert_eq!(*places.entry(key).or_insert(partition.clone()), partition);
    }
    let used: std::collections::BTreeSet<_> = places.values().collect();
    assert_eq!(used.len(), 3, "{places:?}");
    let subscription = subscribe(&client, HandOut::LaneAtATime).await;
    let mut last = std::collections::BTreeMap::new();
    for _ in 0..60 {
        let event = next(&subscription).await;
        let (key, index) = (event.metadata().get("key").expect("a key").into_owned(), text(&event));
        let index: i32 = index.parse().expect("a number");
        assert!(last.insert(key, index).is_none_or(|before| before < index));
        settle(&subscription, &event, Outcome::Ack);
    }
}

#[tokio::test]
async fn partitions_are_lanes_of_their_own() {
    let client = Folder::new(&["partitions: 2"]).client();
    for text in ["a0", "b0", "a1"] {
        send(&client, text).await.expect("sent");
    }
    let subscription = subscribe(&client, HandOut::LaneAtATime).await;
    let (first, second) = (next(&subscription).await, next(&subscription).await);
    assert_eq!([text(&first), text(&second)], ["a0", "b0"]);
    assert!(is_quiet(&subscription).await, "a1 waits for a0");
    settle(&subscription, &second, Outcome::Ack);
    settle(&subscription, &first, Outcome::Ack);
    assert_eq!(receive(&subscription).await, "a1");
}

#[tokio::test]
async fn the_largest_number_of_partitions_counts() {
    let folder = Folder::new(&["partitions: 1"]);
    let client = folder.client();
    let subscription = subscribe(&client, HandOut::Freely).await;
    folder.write("orders", &["partitions: 2"]);
    let wider = folder.client();
    let mut partitions = Vec::new();
    for text in ["0", "1"] {
        let reply = send(&wider, text).await.expect("sent");
        partitions.push(reply.metadata.get("partition").expect("a partition").into_owned());
    }
    assert_eq!(partitions, ["0", "1"]);
    let mut received = [receive(&subscription).await, receive(&subscription).await];
    received.sort();
    assert_eq!(received, ["0", "1"]);
}

#[tokio::test]
async fn a_failed_event_comes_again_in_its_place_after_the_pause() {
    let client = Folder::new(&["retryPause: 30ms"]).client();
    send(&client, "a").await.expect("sent");
    send(&client, "b").await.expect("sent");
    let subscription = subscribe(&client, HandOut::Freely).await;
    for attempt in 1..=3 {
        let event = next(&subscription).await;
        assert_eq!((text(&event).as_str(), event.attempt()), ("a", attempt));
        let since = Instant::now();
        settle(&subscription, &event, Outcome::RETRY);
        subscription.ready(Some(PATIENCE)).await;
        assert!(since.elapsed() >= Duration::from_millis(30));
    }
    assert_eq!(receive(&subscription).await, "a");
    assert_eq!(receive(&subscription).await, "b");
}

#[tokio::test]
async fn no_more_than_max_uncommitted_are_handed_out_of_a_partition() {
    let client = Folder::new(&["maxUncommitted: 2"]).client();
    for text in ["a", "b", "c", "d"] {
        send(&client, text).await.expect("sent");
    }
    let subscription = subscribe(&client, HandOut::Freely).await;
    let (first, second) = (next(&subscription).await, next(&subscription).await);
    assert!(is_quiet(&subscription).await);
    // Also when a later one is settled first: there is room for one more, and it is the next one.
    settle(&subscription, &second, Outcome::Ack);
    assert_eq!(text(&next(&subscription).await), "c");
    assert!(is_quiet(&subscription).await);
    settle(&subscription, &first, Outcome::Ack);
    assert_eq!(text(&next(&subscription).await), "d");
}

#[tokio::test]
async fn a_second_subscription_continues_at_the_first_unsettled_message() {
    let client = Folder::new(&[]).client();
    for text in ["settled", "open", "settled ahead", "left"] {
        send(&client, text).await.expect("sent");
    }
    let first = subscribe(&client, HandOut::Freely).await;
    let second = subscribe(&client, HandOut::Freely).await;
    receive(&first).await;
    let open = next(&first).await;
    receive(&first).await;
    assert!(is_quiet(&second).await, "it waits for its turn");
    first.stop(Instant::now()).await.expect("stopped");
    let again = next(&second).await;
    assert_eq!((text(&again).as_str(), again.attempt()), ("open", 1));
    assert_eq!(settle(&first, &open, Outcome::Ack), 0);
    settle(&second, &again, Outcome::Ack);
    assert_eq!(receive(&second).await, "left");
    assert_eq!(number(&client, "size").await, 0);
}

#[tokio::test]
async fn a_subscription_that_is_dropped_or_gives_up_waiting_passes_its_turn_on() {
    let folder = Folder::new(&[]);
    let client = folder.client();
    let owner = subscribe(&client, HandOut::Freely).await;
    let gave_up = subscribe(&client, HandOut::Freely).await;
    let other_client = folder.client();
    let last = subscribe(&other_client, HandOut::Freely).await;
    gave_up.stop(Instant::now() + PATIENCE).await.expect("stopped");
    send(&client, "x").await.expect("sent");
    assert_eq!(text(&next(&owner).await), "x");
    // The client keeps a copy of its subscriptions, so both go.
    drop((owner, gave_up, client));
    assert_eq!(receive(&last).await, "x");
}

#[tokio::test]
async fn stopping_waits_for_handlers_until_the_deadline() {
    let client = Folder::new(&[]).client();
    send(&client, "a").await.expect("sent");
    send(&client, "b").await.expect("sent");
    let subscription = subscribe(&client, HandOut::LaneAtATime).await;
    let event = next(&subscription).await;
    let stopping = tokio::spawn({
        let subscription = subscription.clone();
        async move { subscription.stop(Instant::now() + PATIENCE).await }
    });
    until("the lane is closed", || !event.is_current()).await;
    assert!(!stopping.is_finished());
    assert_eq!(settle(&subscription, &event, Outcome::Ack), 1);
    stopping.await.expect("no panic").expect("stopped");
    assert_eq!(number(&client, "size").await, 1);
    let late = subscribe(&client, HandOut::Freely).await;
    assert_eq!(text(&next(&late).await), "b");
    let since = Instant::now();
    late.stop(since + Duration::from_millis(50)).await.expect("stopped");
    assert!(since.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_handler_that_panics_before_it_returns_its_future_has_failed() {
    let client = Folder::new(&["retryPause: 1ms"]).client();
    send(&client, "a").await.expect("sent");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |event: crate::Event| {
        tell.send(event.attempt()).expect("heard");
        assert!(event.attempt() > 1, "on purpose");
        std::future::ready(Outcome::Ack)
    };
    client.on("orders", handler).await.expect("attached");
    assert_eq!((told.recv().await, told.recv().await), (Some(1), Some(2)));
    while number(&client, "size").await > 0 {
        tokio::task::yield_now().await;
    }
}
