//! Deadlines, bounds and limits of sending: what is refused, when, and whether it was sent all the same.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bindwright::{Client, ErrorCode, Reply, Request};

use crate::fixture::{Fixture, close, code, send, send_within, until};
use crate::server;

type Sending = Pin<Box<dyn Future<Output = bindwright::Result<Reply>> + Send>>;

/// Starts a call, as far as it goes without waiting.
async fn begin(client: &Client, text: &'static str, millis: u64) -> Sending {
    let client = client.clone();
    let mut sending: Sending =
        Box::pin(async move { send_within(&client, millis, Request::new(text)).await });
    std::future::poll_fn(|context| {
        assert!(sending.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    sending
}

#[tokio::test]
async fn an_unknown_topic_is_told_at_once_and_found_when_it_is_made() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::on(cluster.bootstrap());
    let client = fixture.client();
    let since = Instant::now();
    let error = send(&client, Request::new("x")).await.expect_err("refused");
    assert_eq!(error.code(), ErrorCode::TargetNotFound, "{error}");
    assert!(error.to_string().contains(&fixture.topic), "{error}");
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    // So it is for a crowd, in the time of one.
    let since = Instant::now();
    let requests = (0..1_000).map(|_| Request::new("x")).collect();
    let results = client.invoke_many("orders", "create", requests, None).await.expect("answered");
    assert!(results.into_iter().all(|result| code(result) == ErrorCode::TargetNotFound));
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());

    fixture.create_topic(1).await;
    send(&client, Request::new("now")).await.expect("sent");
    close(&client).await;
}

#[tokio::test]
async fn a_topic_is_made_on_first_use_where_the_broker_does_that() {
    let Some(fixture) = Fixture::new() else { return };
    let client = fixture.client();
    let reply = send(&client, Request::new("first")).await.expect("sent");
    assert_eq!(reply.metadata.get("offset").as_deref(), Some("0"));
    close(&client).await;
}

#[tokio::test]
async fn a_record_larger_than_the_client_or_the_broker_takes_is_too_large() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic_with(1, 1, &[("max.message.bytes", "20000")]).await;
    fixture.write("maxMessageBytes: 50000");
    let client = fixture.client();
    for (size, whose) in [(60_000, "the client's limit"), (30_000, "the broker's limit")] {
        let error = send(&client, Request::new(vec![7; size])).await.expect_err(whose);
        assert_eq!(error.code(), ErrorCode::PayloadTooLarge, "{error}");
        assert_eq!(error.retriable(), Some(false));
    }
    // The producer lives on.
    for _ in 0..3 {
        send(&client, Request::new(vec![7; 19_000])).await.expect("small enough");
    }
    assert_eq!(fixture.records().await.len(), 3);
    close(&client).await;
}

#[tokio::test]
async fn small_records_that_gather_to_more_than_the_brokers_limit_arrive_all_the_same() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic_with(1, 1, &[("max.message.bytes", "20000")]).await;
    fixture.write("maxMessageBytes: 20000");
    let client = fixture.client();
    let requests = (0..200).map(|_| Request::new(vec![7; 1_000])).collect();
    let results = client.invoke_many("orders", "create", requests, None).await.expect("answered");
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} failed, the first: {}", failed.len(), failed[0]);
    assert_eq!(fixture.records().await.len(), 200);
    close(&client).await;
}

#[tokio::test]
async fn the_eleventh_of_ten_records_finds_the_queue_full_at_its_deadline() {
    let fixture = Fixture::on("127.0.0.1:1");
    fixture.write("maxQueuedRecords: 10");
    let client = fixture.client();
    let mut ten = Vec::new();
    for _ in 0..10 {
        ten.push(begin(&client, "waits", 1_500).await);
    }
    let since = Instant::now();
    let error = send_within(&client, 500, Request::new("the eleventh")).await.expect_err("no room");
    assert_eq!(error.code(), ErrorCode::QueueFull, "{error}");
    assert_eq!(error.retriable(), Some(true));
    assert!(error.to_string().contains("maxQueuedRecords"), "{error}");
    assert!((Duration::from_millis(450)..Duration::from_secs(2)).contains(&since.elapsed()));
    for sending in ten {
        assert_eq!(code(sending.await), ErrorCode::Unavailable);
    }
    // Their room is free again.
    assert_eq!(code(send_within(&client, 300, Request::new("x")).await), ErrorCode::Unavailable);
    close(&client).await;
}

#[tokio::test]
async fn bytes_bound_the_queue_as_well() {
    let fixture = Fixture::on("127.0.0.1:1");
    fixture.write("maxQueuedBytes: 3000");
    let client = fixture.client();
    let _held = begin(&client, "x", 3_000).await;
    let result = send_within(&client, 300, Request::new(vec![0; 3_000])).await;
    assert_eq!(code(result), ErrorCode::QueueFull);
    close(&client).await;
}

#[tokio::test]
async fn on_a_paused_broker_handed_over_is_unknown_and_waiting_is_not_sent() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    let client = fixture.client();
    send(&client, Request::new("before")).await.expect("sent");
    cluster.pause(1).await;

    let mut sendings = Vec::new();
    for text in ["first", "second", "third", "fourth"] {
        sendings.push((text, begin(&client, text, 800).await));
    }
    let stays = begin(&client, "stays", 30_000).await;
    let dropped = begin(&client, "dropped", 30_000).await;
    let mut waiting = Vec::new();
    for (text, sending) in sendings {
        let error = sending.await.expect_err("nobody answers");
        match error.code() {
            ErrorCode::OutcomeUnknown => assert_eq!(error.retriable(), Some(false), "{error}"),
            ErrorCode::Timeout | ErrorCode::Unavailable => {
                assert_eq!(error.retriable(), Some(true), "{error}");
                waiting.push(text);
            }
            _ => panic!("{error}"),
        }
    }
    // How many batches of a partition may be out is the sender's affair, but the later ones wait.
    assert!(
        ["second", "third", "fourth"].ends_with(&waiting) && !waiting.is_empty(),
        "{waiting:?} were waiting"
    );
    // Letting go of the call recalls its record.
    drop(dropped);

    cluster.resume(1).await;
    stays.await.expect("sent when the broker was back");
    send(&client, Request::new("after")).await.expect("sent");
    let texts: Vec<String> = fixture.records().await.iter().map(crate::independent::Raw::text).collect();
    for absent in waiting.iter().chain(&["dropped"]) {
        assert!(!texts.iter().any(|text| text == absent), "{absent} was sent: {texts:?}");
    }
    let unknown = ["first", "second", "third"];
    let sure: Vec<_> = texts.iter().filter(|text| !unknown.contains(&text.as_str())).collect();
    assert_eq!(sure, ["before", "stays", "after"]);
    close(&client).await;
}

#[tokio::test]
async fn callers_who_gave_up_leave_their_room_to_others() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    fixture.write("maxQueuedRecords: 5");
    let client = fixture.client();
    send(&client, Request::new("before")).await.expect("sent");
    cluster.pause(1).await;
    let mut codes = Vec::new();
    for _ in 0..12 {
        codes.push(code(send_within(&client, 100, Request::new("x")).await));
    }
    assert!(!codes.contains(&ErrorCode::QueueFull), "recalled records hold the queue: {codes:?}");
    cluster.resume(1).await;
    send(&client, Request::new("after")).await.expect("sent");
    close(&client).await;
}

#[tokio::test]
async fn a_broker_that_comes_back_is_found_by_a_call_that_waits() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    let client = fixture.client();
    send(&client, Request::new("before")).await.expect("sent");
    cluster.kill(1).await;
    until("the client knows that the broker is gone", async || {
        code(send_within(&client, 200, Request::new("lost")).await) == ErrorCode::Unavailable
    })
    .await;
    // Unavailable means: it was not sent, and never will be.
    let given_up = code(send_within(&client, 200, Request::new("given up")).await);
    assert_eq!(given_up, ErrorCode::Unavailable);
    let waits = begin(&client, "waits", 60_000).await;
    cluster.start_again(1).await;
    waits.await.expect("sent when the broker was back");
    let texts: Vec<String> = fixture.records().await.iter().map(crate::independent::Raw::text).collect();
    assert!(!texts.iter().any(|text| text == "given up"), "{texts:?}");
    close(&client).await;
}
