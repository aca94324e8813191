//! Receiving with a schema registry: what waits, what cannot be read, and that nothing of it is lost.

use std::time::Duration;

use bindwright::{Client, ErrorCode, HandOut, Outcome, Request, State};
use serde_json::json;

use crate::avro::{avro, prefixed, price, subject};
use crate::fixture::{
    Fixture, close, hold, is_quiet, number, receive, send, settle, subscribe, texts, until,
};
use crate::outcomes::{Beside, header};
use crate::registry::{Mood, Registry};

/// Writes a value as it is to a partition.
async fn write(client: &Client, partition: i32, value: impl Into<bindwright::Body>) {
    let request = Request::new(value).with("valueSchemaType", "none");
    send(client, request.with("partitionNumber", partition.to_string())).await.expect("written");
}

#[tokio::test]
async fn a_partition_waits_for_its_schema_and_the_others_go_on() {
    let Some((fixture, registry)) = avro("stallTimeout: 200ms").await else { return };
    fixture.grow_topic(2).await;
    let known = registry.register(&subject(&fixture), &price());
    let text = registry.register("other", &json!("string"));
    let client = fixture.client();
    for count in 0..3 {
        write(&client, 0, prefixed(known, &[2 * count])).await;
    }
    let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    assert_eq!(receive(&subscription, 3).await.len(), 3);

    registry.set(Mood::Refuses(503));
    write(&client, 0, prefixed(known, &[8])).await;
    write(&client, 0, prefixed(text, &[2, b'a'])).await;
    write(&client, 0, prefixed(known, &[10])).await;
    assert_eq!(texts(&receive(&subscription, 1).await), [r#"{"price":4}"#]);
    until("the state says why", async || subscription.health().state == State::Degraded).await;
    let error = subscription.last_error().expect("there is one");
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.to_string().contains(&registry.url()), "{error}");
    for count in 0..5 {
        write(&client, 1, prefixed(known, &[2 * count])).await;
    }
    let others = receive(&subscription, 5).await;
    assert!(others.iter().all(|event| number(event, "__partition") == 1), "the other partition goes on");
    fixture.until_committed(&[4, 5]).await;
    assert!(is_quiet(&subscription).await);
    // It is asked for again and again, and with pauses.
    let asked = registry.take_paths().len();
    assert!((2..30).contains(&asked), "{asked} questions");

    registry.set(Mood::Well);
    assert_eq!(texts(&receive(&subscription, 2).await), ["\"a\"", r#"{"price":5}"#], "in their order");
    until("the trouble is over", async || subscription.last_error().is_none()).await;
    fixture.until_committed(&[6, 5]).await;
    close(&client).await;
}

#[tokio::test]
async fn what_waits_for_its_schema_is_left_to_the_next_reader() {
    let Some((fixture, registry)) = avro("").await else { return };
    let id = registry.register(&subject(&fixture), &price());
    registry.set(Mood::Silent);
    let client = fixture.client();
    write(&client, 0, prefixed(id, &[2])).await;
    let subscription = subscribe(&client).await;
    until("it is asked for", async || !registry.take_paths().is_empty()).await;
    client.close(Duration::from_millis(200)).await.expect("closed");
    drop(subscription);
    registry.set(Mood::Well);
    let client = fixture.client();
    assert_eq!(texts(&receive(&subscribe(&client).await, 1).await), [r#"{"price":1}"#]);
    close(&client).await;
}

/// Three records that can be read, with one in between that cannot.
async fn with_poison(fixture: &Fixture, registry: &Registry, poison: &[u8]) -> Client {
    let id = registry.register(&subject(fixture), &price());
    let client = fixture.client();
    write(&client, 0, prefixed(id, &[2])).await;
    write(&client, 0, poison.to_vec()).await;
    write(&client, 0, prefixed(id, &[4])).await;
    write(&client, 0, prefixed(id, &[6])).await;
    client
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_as_it_came() {
    for (poison, expected) in [
        (b"{\"price\":1}".to_vec(), "expected a zero byte and the number of a schema, got the byte 123"),
        (Vec::new(), "got 0 bytes"),
        (
            prefixed(70_000, &[0xff]),
            "the value is no body of schema 70000: $.price: 1 bytes are needed here, and 0 are left",
        ),
        (prefixed(70_000, &[2, 2]), "1 bytes are left behind the end"),
        (prefixed(9, &[2]), "schema 9 is not in the schema registry"),
    ] {
        let Some((fixture, registry)) = avro("deadLetterBinding: dead").await else { return };
        let dead = Beside::new(&fixture, "dead");
        dead.create().await;
        let client = with_poison(&fixture, &registry, &poison).await;
        let subscription = subscribe(&client).await;
        let read = receive(&subscription, 3).await;
        assert_eq!(texts(&read), [1, 2, 3].map(|price| format!(r#"{{"price":{price}}}"#)));
        assert!(read.iter().all(|event| event.attempt() == 1));
        fixture.until_committed(&[4]).await;
        close(&client).await;
        let records = dead.records().await;
        let [letter] = &records[..] else { panic!("one dead letter, got {}", records.len()) };
        assert_eq!(letter.value.as_deref(), Some(&poison[..]));
        assert_eq!(header(letter, "deadLetterCode"), Some(&b"UNREADABLE"[..]));
        assert_eq!(header(letter, "deadLetterOffset"), Some(&b"1"[..]));
        let cause = String::from_utf8_lossy(header(letter, "deadLetterCause").expect("a cause")).into_owned();
        assert!(cause.contains(expected), "{cause}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_holds_its_partition_where_there_is_no_dead_letter_binding() {
    for hand_out in [HandOut::LaneAtATime, HandOut::Batches, HandOut::Freely] {
        let Some((fixture, registry)) = avro("").await else { return };
        let client = with_poison(&fixture, &registry, b"not avro").await;
        let subscription = client.subscribe("orders", hand_out).await.expect("subscribed");
        assert_eq!(texts(&receive(&subscription, 1).await), [r#"{"price":1}"#]);
        assert!(is_quiet(&subscription).await, "nothing overtakes it");
        assert_eq!(subscription.health().state, State::Degraded);
        let error = subscription.last_error().expect("there is one");
        assert_eq!(error.code(), ErrorCode::EventBlocked, "{error}");
        assert_eq!(error.message(), "the event at position 1 cannot be read and holds its partition");
        assert!(error.to_string().contains("UNREADABLE: expected a zero byte"), "{error}");
        fixture.until_committed(&[1]).await;
        close(&client).await;

        // Nothing was lost: without the setting it comes as it is.
        fixture.write("");
        let client = fixture.client();
        let subscription = subscribe(&client).await;
        assert_eq!(
            receive(&subscription, 3).await[0].body().as_bytes().map(|body| &body[..]),
            Some(&b"not avro"[..])
        );
        close(&client).await;
    }
}

#[tokio::test]
async fn failed_events_are_delivered_again_as_json_and_their_dead_letters_are_json() {
    let Some((fixture, registry)) = avro("deadLetterBinding: dead").await else { return };
    let dead = Beside::new(&fixture, "dead");
    dead.create().await;
    registry.register(&subject(&fixture), &price());
    let client = fixture.client();
    // The sender's own wish becomes a header, which the event does not have: it is no Avro any more.
    send(&client, Request::new(r#"{"price": 1}"#).with("valueSchemaType", "Avro")).await.expect("sent");
    let subscription = subscribe(&client).await;
    let events = hold(&subscription, 1).await;
    assert_eq!(events[0].metadata().get("valueSchemaType"), None);
    settle(&subscription, &events, &Outcome::retry_after(Duration::ZERO));
    let again = hold(&subscription, 1).await;
    assert_eq!((texts(&again)[0].as_str(), again[0].attempt()), (r#"{"price":1}"#, 2));
    settle(&subscription, &again, &Outcome::DeadLetter { cause: None });
    fixture.until_committed(&[1]).await;
    close(&client).await;
    let letters = dead.records().await;
    assert_eq!(letters[0].text(), r#"{"price":1}"#);
    assert_eq!(header(&letters[0], "deadLetterSchemaId"), Some(&b"70000"[..]));
}
