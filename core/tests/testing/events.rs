//! Events: what becomes of those that a test pushes.

use std::time::Duration;

use bindwright::testing::{Answer, Ending, Sandbox, block_on};
use bindwright::{Body, Emission, ErrorCode, HandOut, Metadata, Outcome, Request};

use crate::{Bench, PATIENCE, bodies, end, handle, memory, push};

#[test]
fn every_outcome_is_told_with_its_deliveries() {
    let dead = "{name: deadLetterBinding, value: dead}, {name: maxDeliveryCount, value: 3}";
    let bench = Bench::new(&[memory("orders", dead), memory("dead", ""), memory("out", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    handle(&client, |body, attempt| match body {
        "drop" => Outcome::Drop,
        "again" if attempt == 1 => Outcome::retry_after(Duration::from_hours(1)),
        "ack" | "again" => Outcome::Ack,
        "poison" => Outcome::failed("Poison", "never works"),
        "hopeless" => Outcome::DeadLetter { cause: None },
        _ => Outcome::Emit(vec![Emission {
            binding: "out".to_owned(),
            operation: "create".to_owned(),
            request: Request::new("follows"),
        }]),
    });
    let ends = ["ack", "drop", "again", "poison", "hopeless", "emit"].map(|body| {
        let pushed = push(&sandbox, body);
        end(&pushed)
    });
    let expected = [
        (Ending::Ack, 1),
        (Ending::Drop, 1),
        (Ending::Ack, 2),
        (Ending::DeadLetter, 3),
        (Ending::DeadLetter, 1),
        (Ending::Emit, 1),
    ];
    assert_eq!(ends, expected);
    assert_eq!(bodies(&sandbox, "dead"), [Body::from("poison"), Body::from("hopeless")]);
    let metadata = &sandbox.invocations(Some("dead"))[0].request.metadata;
    assert_eq!(metadata.get("deadLetterCause").as_deref(), Some("never works"));
    assert_eq!(bodies(&sandbox, "out"), [Body::from("follows")]);
}

#[test]
fn an_event_without_a_way_out_holds_its_place() {
    let bench = Bench::new(&[memory("orders", "{name: maxDeliveryCount, value: 2}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    handle(&client, |_, _| Outcome::failed("Poison", "never works"));
    let (poison, after) = (push(&sandbox, "poison"), push(&sandbox, "after"));
    assert_eq!(end(&poison), (Ending::Held, 2));
    let cause = poison.progress().cause.expect("a cause");
    assert_eq!((cause.code.as_str(), cause.text.as_str()), ("Poison", "never works"));
    assert_eq!((after.progress().deliveries, after.progress().ending), (0, None));
    assert_eq!(
        client.block_on(client.components(), || false).expect("not interrupted").expect("components")[0]
            .error
            .clone()
            .expect("held")
            .code(),
        ErrorCode::EventBlocked
    );
}

#[test]
fn a_refused_emission_is_a_failed_delivery() {
    let bench = Bench::new(&[memory("orders", ""), memory("out", "")]);
    let sandbox = Sandbox::open().expect("open");
    sandbox.answer("out", Answer::error(ErrorCode::Unavailable).times(1));
    handle(&bench.client(), |_, _| {
        let request = Request::new("follows");
        Outcome::Emit(vec![Emission { binding: "out".to_owned(), operation: "create".to_owned(), request }])
    });
    assert_eq!(end(&push(&sandbox, "a")), (Ending::Emit, 2));
}

#[test]
fn an_event_that_fails_for_ever_is_told_by_its_deliveries() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let pushed = push(&sandbox, "a");
    let early = block_on(pushed.ended(Duration::from_millis(10)), || false).expect("not interrupted");
    assert!(early.expect_err("nobody").message().contains("nothing subscribed"));
    handle(&client, |_, _| Outcome::failed("Poison", "never works"));
    let progress = block_on(pushed.delivered(3, PATIENCE), || false).expect("not interrupted");
    assert!(progress.expect("delivered").deliveries >= 3);
    let late = block_on(pushed.ended(Duration::from_millis(10)), || false).expect("not interrupted");
    assert!(late.expect_err("never").message().contains("the last with Poison: never works"));
}

#[test]
fn pushed_events_keep_the_order_that_their_component_asks_for() {
    let bench = Bench::new(&[memory("orders", "{name: orderBy, value: key}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    handle(&client, |body, _| if body == "bad" { Outcome::RETRY } else { Outcome::Ack });
    let metadata: Metadata = [("source", "test")].into_iter().collect();
    let push = |body, key| sandbox.push("orders", body, metadata.clone(), Some(key)).expect("pushed");
    let (_bad, behind, beside) = (push("bad", "a"), push("good", "a"), push("good", "b"));
    assert_eq!(end(&beside), (Ending::Ack, 1));
    assert_eq!(behind.progress().deliveries, 0, "it waits for the one before");
}

#[test]
fn body_and_metadata_of_a_pushed_event_arrive_as_given() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let metadata: Metadata = [("__offset", "7")].into_iter().collect();
    sandbox.push("orders", Body::None, metadata.clone(), Some("k")).expect("pushed");
    let event = client.block_on(
        async {
            let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
            subscription.next().await.expect("an event")
        },
        || false,
    );
    let event = event.expect("not interrupted");
    assert_eq!((event.body(), event.metadata(), event.binding()), (&Body::None, &metadata, "orders"));
}
