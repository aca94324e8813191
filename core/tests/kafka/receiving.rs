//! Receiving with one consumer: what is committed, in which order, and what happens to events that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bindwright::{Event, HandOut, Outcome, Request};
use parking_lot::Mutex;

use crate::counting::{Log, figures, numbers};
use crate::fixture::{
    DRAIN, Fixture, close, hold, is_quiet, number, pull, receive, send, settle, subscribe, text, texts, until,
};

#[tokio::test]
async fn only_the_contiguous_prefix_is_committed() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_numbers(0..6, 1).await;
    let client = fixture.client();
    let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let events = hold(&subscription, 6).await;
    assert_eq!(settle(&subscription, &[events[0].clone(), events[1].clone()], &Outcome::Ack), 2);
    assert_eq!(settle(&subscription, &events[3..5], &Outcome::Drop), 2);
    fixture.until_committed(&[2]).await;
    // Closing commits whatever may be committed: still not beyond the gap.
    let late = events[2].clone();
    let kept = events[5].clone();
    client.close(Duration::ZERO).await.expect("closed");
    assert_eq!(fixture.committed().await, [Some(2)]);
    assert_eq!(settle(&subscription, &[late, kept], &Outcome::Ack), 0, "tokens of a closed client count");

    let again = fixture.client();
    let events = receive(&subscribe(&again).await, 4).await;
    assert_eq!(texts(&events), ["2", "3", "4", "5"]);
    fixture.until_committed(&[6]).await;
    close(&again).await;
}

#[tokio::test]
async fn the_gap_closes_when_its_event_is_settled() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_numbers(0..5, 1).await;
    let client = fixture.client();
    let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let events = hold(&subscription, 5).await;
    for index in [4, 3, 1, 0] {
        settle(&subscription, &events[index..=index], &Outcome::Ack);
    }
    fixture.until_committed(&[2]).await;
    settle(&subscription, &events[2..3], &Outcome::Ack);
    fixture.until_committed(&[5]).await;
    assert_eq!(settle(&subscription, &events, &Outcome::Ack), 0, "settling twice counts");
    close(&client).await;
}

#[tokio::test]
async fn a_partition_keeps_its_order_while_others_overtake_it() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    fixture.produce_numbers(0..300, 3).await;
    let client = fixture.client();
    let seen: Arc<Mutex<BTreeMap<i64, Vec<i64>>>> = Arc::default();
    let (go_on, held) = tokio::sync::watch::channel(false);
    let in_handler = seen.clone();
    let handler = move |event: Event| {
        let (seen, mut held) = (in_handler.clone(), held.clone());
        async move {
            let (partition, offset) = (number(&event, "__partition"), number(&event, "__offset"));
            if partition == 0 && offset == 0 {
                // Holds its partition, and nothing but its partition.
                held.wait_for(|go_on| *go_on).await.expect("told");
            }
            seen.lock().entry(partition).or_default().push(offset);
            Outcome::Ack
        }
    };
    client.on("orders", handler).await.expect("attached");
    let handled = |partition| seen.lock().get(&partition).map_or(0, Vec::len);
    until("the other partitions are done", async || handled(1) == 100 && handled(2) == 100).await;
    assert_eq!(handled(0), 0);
    go_on.send(true).expect("heard");
    until("all is done", async || handled(0) == 100).await;
    for offsets in seen.lock().values() {
        assert_eq!(*offsets, (0..100).collect::<Vec<_>>());
    }
    fixture.until_committed(&[100, 100, 100]).await;
    close(&client).await;
}

#[tokio::test]
async fn an_event_whose_handler_fails_comes_again_in_order_and_is_never_committed_past() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_numbers(0..6, 1).await;
    let client = fixture.client();
    let attempts: Arc<Mutex<Vec<(String, u32)>>> = Arc::default();
    let heal = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (in_handler, healed) = (attempts.clone(), heal.clone());
    let handler = move |event: Event| {
        let (attempts, healed) = (in_handler.clone(), healed.clone());
        async move {
            attempts.lock().push((text(&event), event.attempt()));
            if text(&event) == "2" && !healed.load(std::sync::atomic::Ordering::Acquire) {
                // A panic is as good as a failure that the handler reports.
                assert!(event.attempt().is_multiple_of(2), "the handler fails on purpose");
                return Outcome::retry_after(Duration::from_millis(30));
            }
            Outcome::Ack
        }
    };
    client.on("orders", handler).await.expect("attached");
    until("the event failed five times", async || attempts.lock().len() >= 2 + 5).await;
    fixture.until_committed(&[2]).await;
    heal.store(true, std::sync::atomic::Ordering::Release);
    fixture.until_committed(&[6]).await;
    let attempts = attempts.lock().clone();
    let twos: Vec<u32> =
        attempts.iter().filter(|(text, _)| text == "2").map(|(_, attempt)| *attempt).collect();
    assert_eq!(twos, (1..=twos.len() as u32).collect::<Vec<_>>(), "attempts count up");
    let others: Vec<_> = attempts.iter().filter(|(text, _)| text != "2").cloned().collect();
    let once = ["0", "1", "3", "4", "5"].map(|text| (text.to_owned(), 1));
    assert_eq!(others, once, "the others are delivered once, in order");
    close(&client).await;
}

#[tokio::test]
async fn a_second_delivery_says_so_and_takes_later_ones_back_with_it() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_numbers(0..4, 1).await;
    let client = fixture.client();
    let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let first = hold(&subscription, 4).await;
    settle(&subscription, &first[..1], &Outcome::Ack);
    settle(&subscription, &first[1..2], &Outcome::RETRY);
    assert_eq!(settle(&subscription, &first[2..], &Outcome::Ack), 0, "what came after it was taken back");
    assert!(!first[2].is_current());
    let again = hold(&subscription, 3).await;
    assert_eq!(texts(&again), ["1", "2", "3"]);
    let attempts: Vec<_> = again.iter().map(Event::attempt).collect();
    assert_eq!(attempts, [2, 1, 1]);
    fixture.until_committed(&[1]).await;
    settle(&subscription, &again, &Outcome::Ack);
    fixture.until_committed(&[4]).await;
    close(&client).await;
}

#[tokio::test]
async fn an_event_that_ran_out_of_deliveries_holds_its_partition_and_is_not_lost() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.write("consumeRetryEnabled: true\nbackOffDuration: 10ms\nbackOffMaxRetries: 2");
    fixture.produce(vec![(0, "bad".to_owned()), (0, "behind".to_owned()), (1, "elsewhere".to_owned())]).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    let mut deliveries = Vec::new();
    while deliveries.len() < 4 {
        for event in pull(&subscription, 1).await {
            let outcome = if text(&event) == "bad" { Outcome::RETRY } else { Outcome::Ack };
            subscription.settle(&[(event.token(), outcome)]);
            deliveries.push(format!("{} {}", text(&event), event.attempt()));
        }
    }
    deliveries.sort_unstable();
    assert_eq!(deliveries, ["bad 1", "bad 2", "bad 3", "elsewhere 1"]);
    assert!(is_quiet(&subscription).await);
    fixture.until_committed(&[0, 1]).await;
    close(&client).await;
    assert_eq!(fixture.committed().await, [Some(0), Some(1)]);
}

#[tokio::test]
async fn a_handler_slower_than_the_session_keeps_its_partition() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.write("sessionTimeout: 1s\nheartbeatInterval: 200ms");
    let (slow, other) = (fixture.client(), fixture.client());
    let subscription = subscribe(&slow).await;
    let rival = subscribe(&other).await;
    until("both have joined", async || fixture.members().await == 2).await;
    fixture.produce_numbers(0..4, 2).await;
    let held = pull(&subscription, 1).await;
    assert_eq!(receive(&rival, 2).await.len(), 2);

    // Three sessions long: that is how slow the handler is.
    assert_eq!(rival.next_batch(1, Some(Duration::from_secs(3))).await.map(|batch| batch.len()), Some(0));
    assert!(held[0].is_current(), "the partition was lost");
    assert_eq!(fixture.members().await, 2);
    assert_eq!(settle(&subscription, &held, &Outcome::Ack), 1);
    assert_eq!(receive(&subscription, 1).await[0].attempt(), 1);
    fixture.until_committed(&[2, 2]).await;
    close(&other).await;
    close(&slow).await;
}

#[tokio::test]
async fn closing_while_events_flow_hands_over_without_loss_or_repetition() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    fixture.produce_numbers(0..1_500, 3).await;
    let log = Log::default();
    // Three lives, one after the other; each is closed in the middle of its work.
    for (by, until_there_are) in [("first", 300), ("second", 800), ("third", 1_500)] {
        let client = fixture.client();
        log.attach(&client, by, Duration::from_millis(1)).await;
        until(by, async || log.len() >= until_there_are).await;
        close(&client).await;
    }
    let figures = figures("closed twice while consuming", &numbers(0..1_500), &log.all());
    assert_eq!((figures.lost, figures.duplicated, figures.out_of_order), (0, 0, 0));
    assert_eq!(fixture.committed().await, [Some(500); 3]);
}

#[tokio::test]
async fn closing_waits_for_the_handler_and_gives_up_at_its_deadline() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_numbers(0..2, 1).await;
    let client = fixture.client();
    let (started, mut has_started) = tokio::sync::watch::channel(false);
    let handler = move |_: Event| {
        let started = started.clone();
        async move {
            started.send_replace(true);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Outcome::Ack
        }
    };
    client.on("orders", handler).await.expect("attached");
    has_started.wait_for(|started| *started).await.expect("started");
    client.close(DRAIN).await.expect("closed");
    assert_eq!(fixture.committed().await, [Some(1)], "the one that ran is committed, the next was not begun");

    let hanging = fixture.client();
    let subscription = subscribe(&hanging).await;
    let events = pull(&subscription, 1).await;
    let since = std::time::Instant::now();
    hanging.close(Duration::from_millis(500)).await.expect("closed");
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert!(!events[0].is_current());
    assert_eq!(fixture.committed().await, [Some(1)]);
}

#[tokio::test]
async fn maxuncommitted_bounds_what_is_handed_out() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("maxUncommitted: 7");
    fixture.produce_numbers(0..50, 1).await;
    let client = fixture.client();
    let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let events = hold(&subscription, 7).await;
    assert!(is_quiet(&subscription).await, "an eighth event without a commit");
    settle(&subscription, &events, &Outcome::Ack);
    assert_eq!(texts(&receive(&subscription, 43).await).last().map(String::as_str), Some("49"));
    fixture.until_committed(&[50]).await;
    close(&client).await;
}

#[tokio::test]
async fn a_trace_travels_through_a_record_into_the_event() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let client = fixture.client();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = Request::new("traced").with("traceparent", trace).with("tracestate", "vendor=1");
    send(&client, traced).await.expect("sent");
    send(&client, Request::new("not traced")).await.expect("sent");
    send(&client, Request::new("garbage").with("traceparent", "00-x-y-z")).await.expect("sent");
    let events = receive(&subscribe(&client).await, 3).await;
    let context = events[0].trace_context().expect("a trace");
    assert_eq!(context.traceparent(), trace);
    assert_eq!(context.tracestate(), Some("vendor=1"));
    assert!(events[1..].iter().all(|event| event.trace_context().is_none()));
    close(&client).await;
}
