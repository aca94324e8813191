//! Operations, failures on demand, settings, and how long queues live.

use std::task::Poll;

use super::*;

#[tokio::test]
async fn queues_of_one_name_are_one_queue_and_others_are_not() {
    let (one, other) = (Folder::new(&[]), Folder::new(&[]));
    let same = Folder::new(&[&format!("queue: {}", one.queue)]);
    send(&one.client(), "mine").await.expect("sent");
    assert_eq!(number(&same.client(), "size").await, 1);
    assert_eq!(number(&other.client(), "size").await, 0);
}

#[tokio::test]
async fn without_a_setting_the_queue_has_the_components_name() {
    let folder = Folder::new(&[]);
    let name = format!("named-{}", folder.queue);
    folder.write(&name, &["queue: "]);
    let call = |operation| {
        let (client, name) = (folder.client(), name.clone());
        async move { client.invoke_binding(&name, operation, Request::default(), None).await.expect("answered") }
    };
    assert_eq!(call("create").await.metadata.get("queue").as_deref(), Some(&*name));
}

#[tokio::test]
async fn a_queue_vanishes_when_it_is_empty_and_nobody_has_it_open() {
    let name = std::sync::Arc::from("a queue of this test alone");
    let (first, second) = (Hold::of(&name, 1), Hold::of(&name, 1));
    drop(first);
    assert!(Hold::exists(&name));
    drop(second);
    assert!(!Hold::exists(&name));
    let folder = Folder::new(&["direction: input"]);
    let client = folder.client();
    let subscription = subscribe(&client, HandOut::Freely).await;
    assert!(Hold::exists(&folder.queue));
    subscription.stop(Instant::now()).await.expect("stopped");
    assert!(!Hold::exists(&folder.queue));
}

#[tokio::test]
async fn a_queue_with_messages_stays_for_whoever_opens_it_later() {
    use crate::metadata::Metadata;
    use crate::queue::Draft;
    let name = std::sync::Arc::from("another queue of this test alone");
    let hold = Hold::of(&name, 1);
    let draft = Draft { key_hash: None, body: Body::None, metadata: Metadata::new() };
    hold.put(draft, 1, Instant::now()).await.expect("room");
    drop(hold);
    let hold = Hold::of(&name, 1);
    assert_eq!(hold.purge(), 1);
    drop(hold);
    assert!(!Hold::exists(&name));
}

#[tokio::test]
async fn messages_without_a_key_take_turns() {
    let client = Folder::new(&["partitions: 3"]).client();
    let mut partitions = Vec::new();
    for _ in 0..6 {
        let reply = send(&client, "x").await.expect("sent");
        partitions.push(reply.metadata.get("partition").expect("a partition").into_owned());
    }
    assert_eq!(partitions, ["0", "1", "2", "0", "1", "2"]);
}

#[tokio::test]
async fn size_counts_what_is_not_settled_and_purge_empties() {
    let client = Folder::new(&[]).client();
    for text in ["a", "b", "c"] {
        send(&client, text).await.expect("sent");
    }
    let subscription = subscribe(&client, HandOut::Freely).await;
    receive(&subscription).await;
    let handled = next(&subscription).await;
    assert_eq!(number(&client, "size").await, 2);
    assert_eq!(number(&client, "purge").await, 2);
    assert_eq!(number(&client, "size").await, 0);
    assert!(!subscription.begin(&handled));
    assert_eq!(settle(&subscription, &handled, Outcome::Ack), 0);
    assert!(is_quiet(&subscription).await);
    send(&client, "d").await.expect("sent");
    assert_eq!(receive(&subscription).await, "d");
    assert_eq!(number(&client, "size").await, 0);
}

#[tokio::test]
async fn a_full_queue_waits_for_room_until_the_deadline() {
    let client = Folder::new(&["maxQueuedMessages: 1"]).client();
    send(&client, "a").await.expect("sent");
    let soon = Some(Duration::from_millis(30));
    let refused = client.invoke_binding("orders", "create", Request::new("b"), soon).await;
    assert_eq!(code(refused), ErrorCode::QueueFull);
    let mut waiting = std::pin::pin!(send(&client, "c"));
    let waits = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending()));
    assert!(waits.await);
    let subscription = subscribe(&client, HandOut::Freely).await;
    assert_eq!(receive(&subscription).await, "a");
    waiting.await.expect("sent");
    assert_eq!(receive(&subscription).await, "c");
}

#[tokio::test]
async fn calls_fail_as_the_list_says_and_succeed_after_it() {
    let client = Folder::new(&["failures: UNAVAILABLEx2, ok, outcome_unknown,BACKEND_ERROR"]).client();
    let mut codes = Vec::new();
    for text in ["1", "2", "3", "4", "5", "6"] {
        codes.push(send(&client, text).await.err().map(|error| (error.code(), error.retriable())));
    }
    let expected = [
        Some((ErrorCode::Unavailable, Some(true))),
        Some((ErrorCode::Unavailable, Some(true))),
        None,
        Some((ErrorCode::OutcomeUnknown, Some(false))),
        Some((ErrorCode::Backend, Some(false))),
        None,
    ];
    assert_eq!(codes, expected);
    let subscription = subscribe(&client, HandOut::Freely).await;
    for text in ["3", "4", "6"] {
        assert_eq!(receive(&subscription).await, text);
    }
    assert_eq!(number(&client, "size").await, 0);
}

#[tokio::test]
async fn every_operation_takes_its_place_in_the_list() {
    let client = Folder::new(&["failures: UNAVAILABLE,TIMEOUT"]).client();
    assert_eq!(code(call(&client, "size", Request::default()).await), ErrorCode::Unavailable);
    assert_eq!(code(call(&client, "purge", Request::default()).await), ErrorCode::Timeout);
    assert_eq!(code(call(&client, "unknown", Request::default()).await), ErrorCode::UnsupportedOperation);
    assert_eq!(number(&client, "size").await, 0);
}

#[tokio::test]
async fn settings_that_cannot_be_are_told_with_what_can() {
    let folder = Folder::new(&["failures: ok,UNAVAILABEL"]);
    let error = send(&folder.client(), "x").await.expect_err("it fails");
    assert_eq!(error.code(), ErrorCode::InvalidSettings);
    for part in ["failures", "\"UNAVAILABEL\"", "UNAVAILABLE", "OUTCOME_UNKNOWN"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    for failures in ["UNAVAILABLEx0", "UNAVAILABLEx", "okx99999999999", "x3", "3"] {
        folder.write("orders", &[&format!("failures: {failures}")]);
        assert_eq!(code(send(&folder.client(), "x").await), ErrorCode::InvalidSettings, "{failures}");
    }
    for partitions in ["0", "1001", "many"] {
        folder.write("orders", &[&format!("partitions: {partitions}")]);
        assert_eq!(code(send(&folder.client(), "x").await), ErrorCode::InvalidSettings, "{partitions}");
    }
    assert_eq!(Failures::default().of_call(0), None);
}

#[tokio::test]
async fn a_call_takes_its_delay_and_keeps_its_deadline() {
    let client = Folder::new(&["delay: 40ms"]).client();
    let since = Instant::now();
    send(&client, "a").await.expect("sent");
    assert!(since.elapsed() >= Duration::from_millis(40));
    let soon = Some(Duration::from_millis(10));
    let late = client.invoke_binding("orders", "create", Request::new("b"), soon).await;
    assert_eq!(code(late), ErrorCode::Timeout);
    assert_eq!(number(&client, "size").await, 1);
}

#[tokio::test]
async fn a_component_is_connecting_until_it_is_ready() {
    let folder = Folder::new(&["ready: 1h"]);
    let (client, slow) = (folder.client(), Duration::from_millis(40));
    assert_eq!(subscribe(&client, HandOut::Freely).await.health().state, State::Connecting);
    folder.write("orders", &[&format!("ready: {}ms", slow.as_millis())]);
    let client = folder.client();
    let since = Instant::now();
    let subscription = subscribe(&client, HandOut::Freely).await;
    until("it is ready", || subscription.health().state == State::Ready).await;
    assert!(since.elapsed() >= slow);
}

#[test]
fn an_output_is_connecting_until_it_is_ready_and_repeats_what_changes_nothing() {
    let folder = Folder::new(&["ready: 1h"]);
    let open = || {
        let manifest =
            crate::manifest::Manifest::load(&[folder.folder.path().to_owned()], None).expect("read");
        super::super::output::MemoryOutput::open(&manifest.components[0]).expect("opened")
    };
    assert_eq!(open().health().state, State::Connecting);
    folder.write("orders", &[]);
    let output = open();
    assert_eq!(output.health().state, State::Ready);
    let repeatable = ["create", "size", "purge"].map(|operation| output.is_repeatable(operation));
    assert_eq!(repeatable, [false, true, false]);
}
