//! What becomes of events: dead letters and emissions, confirmed before the event is settled.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Bench, event, positions, until};
use crate::binding::Request;
use crate::body::Body;
use crate::dispatch::rules::DeadLetters;
use crate::dispatch::{HandOut, Rules};
use crate::error::ErrorCode;
use crate::event::{Cause, Emission, NewEvent, Outcome};
use crate::metadata::Metadata;

fn dead_letters(rules: &mut Rules) {
    rules.redelivery.retries = Some(1);
    rules.dead_letters = Some(DeadLetters { binding: "dead".into(), operation: "create".into() });
}

fn emission(binding: &str, data: &'static str) -> Emission {
    Emission { binding: binding.to_owned(), operation: "create".to_owned(), request: Request::new(data) }
}

#[test]
fn an_exhausted_event_leaves_as_a_dead_letter_and_is_settled_afterwards() {
    let bench = Bench::with(HandOut::LaneAtATime, dead_letters);
    let mut metadata = Metadata::new();
    metadata.add("colour", "green");
    metadata.add("__topic", "orders");
    metadata.add("__offset", 4_i64);
    metadata.add("__key", "7");
    let data = Body::from(vec![0_u8, 255, 10]);
    let _source = bench.source_of(vec![NewEvent::new(4, data.clone(), metadata), event(5)]);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let batch = bench.take(2);
    assert!(bench.settle(&batch[0], Outcome::failed("FirstError", "first")));
    let batch = bench.take(2);
    assert!(bench.settle(&batch[0], Outcome::failed("ValueError", "no such colour")));
    assert_eq!(bench.wait_settled(1), [4]);
    assert_eq!(positions(&bench.take(2)), [5], "the lane goes on");
    let sent = bench.sent.requests.lock();
    let [(binding, operation, request)] = &sent[..] else { panic!("one dead letter") };
    assert_eq!((binding.as_str(), operation.as_str()), ("dead", "create"));
    assert_eq!(request.body, data);
    let get = |name: &str| request.metadata.get(name).map(std::borrow::Cow::into_owned);
    for (name, value) in [
        ("colour", "green"),
        ("__key", "7"),
        ("deadLetterTopic", "orders"),
        ("deadLetterOffset", "4"),
        ("deadLetterSource", "orders"),
        ("deadLetterAttempts", "2"),
        ("deadLetterCode", "ValueError"),
        ("deadLetterCause", "no such colour"),
    ] {
        assert_eq!(get(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(get("__topic"), None, "the next broker gives its own");
    let time = |name| get(name).expect("there").parse::<u128>().expect("milliseconds");
    let (first, last) = (time("deadLetterFirstTime"), time("deadLetterLastTime"));
    assert!(before <= first && first < last, "{before} {first} {last}");
}

#[test]
fn a_dead_letter_that_cannot_leave_holds_the_lane_until_it_can() {
    let bench = Bench::with(HandOut::LaneAtATime, dead_letters);
    *bench.sent.refusals.lock() = vec![ErrorCode::Unavailable];
    let source = bench.source(2);
    let batch = bench.take(2);
    assert!(
        bench.settle(&batch[0], Outcome::DeadLetter { cause: Some(Box::new(Cause::new("X", "poison"))) })
    );
    assert!(!batch[1].is_current(), "the handler has not begun it, and it has to wait");
    until("the trouble is visible", || bench.subscription.health().error.is_some());
    assert_eq!(bench.settled(), [] as [i64; 0]);
    assert_eq!(source.outstanding(), 1);
    assert_eq!(bench.wait_settled(1), [0], "tried again");
    assert!(bench.subscription.health().error.is_none());
    assert_eq!(positions(&bench.take(2)), [1]);
}

#[test]
fn without_a_binding_for_it_a_dead_letter_holds_its_lane() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let source = bench.source(2);
    let batch = bench.take(2);
    assert!(bench.settle(&batch[0], Outcome::DeadLetter { cause: None }));
    assert!(source.is_blocked());
    assert_eq!(bench.subscription.health().error.map(|error| error.code()), Some(ErrorCode::EventBlocked));
}

#[test]
fn an_event_is_settled_after_what_it_became_was_confirmed() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *bench.sent.gate.lock() = Some(gate.clone());
    let source = bench.source(2);
    let batch = bench.take(2);
    let outputs = vec![emission("first", "1"), emission("second", "2"), emission("second", "3")];
    assert!(bench.settle(&batch[0], Outcome::Emit(outputs)));
    assert_eq!((source.outstanding(), bench.settled().len()), (1, 0));
    assert!(bench.nothing_waits(), "its lane waits");
    gate.add_permits(2);
    until("two are sent", || bench.sent.requests.lock().len() == 2);
    assert_eq!(bench.settled().len(), 0, "one is missing");
    gate.add_permits(1);
    assert_eq!(bench.wait_settled(1), [0]);
    let order: Vec<_> =
        bench.sent.requests.lock().iter().map(|(_, _, request)| request.body.clone()).collect();
    assert_eq!(order, [Body::from("1"), Body::from("2"), Body::from("3")]);
    assert_eq!(positions(&bench.take(1)), [1]);
}

#[test]
fn a_refused_emission_is_a_failed_delivery() {
    let bench = Bench::with(HandOut::LaneAtATime, dead_letters);
    let _source = bench.source(1);
    for attempt in 1..=2 {
        let batch = bench.take(1);
        assert_eq!(batch[0].attempt(), attempt);
        assert!(bench.settle(&batch[0], Outcome::Emit(vec![emission("missing", "x")])));
    }
    assert_eq!(bench.wait_settled(1), [0]);
    let sent = bench.sent.requests.lock();
    assert_eq!(sent[0].2.metadata.get("deadLetterCode").as_deref(), Some("COMPONENT_NOT_FOUND"));
}

#[test]
fn a_batch_may_end_in_every_way_at_once() {
    let bench = Bench::with(HandOut::Batches, dead_letters);
    let _source = bench.source(5);
    let batch = bench.take(5);
    let outcomes = [
        Outcome::Emit(vec![emission("next", "a")]),
        Outcome::RETRY,
        Outcome::DeadLetter { cause: None },
        Outcome::Drop,
        Outcome::Ack,
    ];
    assert_eq!(bench.settle_all(&batch, outcomes), 5);
    let mut settled = bench.wait_settled(4);
    settled.sort_unstable();
    assert_eq!(settled, [0, 2, 3, 4]);
    assert_eq!(positions(&bench.take(5)), [1]);
}

#[test]
fn a_dead_letter_on_its_way_is_given_up_when_its_source_closes() {
    let bench = Bench::with(HandOut::LaneAtATime, dead_letters);
    *bench.sent.refusals.lock() = vec![ErrorCode::Unavailable; 100];
    let source = bench.source(1);
    let batch = bench.take(1);
    bench.settle(&batch[0], Outcome::DeadLetter { cause: None });
    until("it was refused", || bench.sent.refusals.lock().len() < 100);
    source.close();
    until("nobody waits for it", || source.outstanding() == 0);
    assert_eq!(bench.settled(), [] as [i64; 0], "whoever reads the source next gets it again");
    assert!(bench.subscription.health().error.is_none(), "nothing is on its way any more");
}

#[test]
fn what_is_on_its_way_when_the_source_closes_still_counts() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *bench.sent.gate.lock() = Some(gate.clone());
    let source = bench.source(1);
    let batch = bench.take(1);
    bench.settle(&batch[0], Outcome::Emit(vec![emission("next", "a")]));
    source.close();
    assert_eq!(source.outstanding(), 1);
    gate.add_permits(1);
    assert_eq!(bench.wait_settled(1), [0]);
    until("the source is quiet", || source.outstanding() == 0);
}

#[test]
fn handlers_of_their_own_pace_are_not_held_up() {
    let bench = Bench::with(HandOut::Freely, dead_letters);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    *bench.sent.gate.lock() = Some(gate.clone());
    let _source = bench.source(2);
    let batch = bench.take(2);
    bench.settle(&batch[0], Outcome::DeadLetter { cause: None });
    assert!(bench.settle(&batch[1], Outcome::Ack), "whoever pulls freely makes the order");
    gate.add_permits(1);
    assert_eq!(bench.wait_settled(2), [1, 0]);
}

#[test]
fn a_dead_letter_is_not_held_by_a_header_that_the_binding_takes_for_an_instruction() {
    let bench = Bench::with(HandOut::LaneAtATime, dead_letters);
    *bench.sent.refusals.lock() = vec![ErrorCode::InvalidRequest];
    let mut metadata = Metadata::new();
    metadata.add("partitionNumber", "9");
    metadata.add("__key", "k");
    let _source = bench.source_of(vec![NewEvent::new(0, Body::from("x"), metadata)]);
    let batch = bench.take(1);
    bench.settle(&batch[0], Outcome::DeadLetter { cause: None });
    assert_eq!(bench.wait_settled(1), [0]);
    let sent = bench.sent.requests.lock();
    let get = |name: &str| sent[0].2.metadata.get(name);
    assert_eq!(get("deadLetterHeader.partitionNumber").as_deref(), Some("9"));
    assert_eq!((get("partitionNumber"), get("__key").as_deref()), (None, Some("k")));
}

#[test]
fn what_goes_back_to_where_it_came_from_leaves_nothing_behind() {
    for outcome in [Outcome::failed("ValueError", "no"), Outcome::DeadLetter { cause: None }] {
        let bench = Bench::with(HandOut::LaneAtATime, |rules| *rules = Rules::once());
        let source = bench.source(1);
        let batch = bench.take(1);
        assert!(bench.settle(&batch[0], outcome));
        assert!(bench.nothing_waits());
        source.close();
        drop(source);
        assert_eq!(bench.subscription.next_wake(), None, "nobody waits for its pause to end");
    }
}
