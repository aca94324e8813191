//! How many handlers have work, for how long, and what keeps events back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Bench, positions, wait};
use crate::dispatch::HandOut;
use crate::error::ErrorCode;
use crate::event::{Event, Outcome};
use crate::policy::{Breaker, BreakerSettings, Trip};

#[test]
fn no_more_handlers_have_work_than_may() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.max_in_flight = 2);
    let sources: Vec<_> = (0..3).map(|_| bench.source(2)).collect();
    let (first, second) = (bench.take(2), bench.take(2));
    assert_eq!((first.len(), second.len()), (2, 2));
    assert!(bench.nothing_waits());
    assert_eq!(bench.subscription.lanes_waiting(), 0);
    bench.settle(&first[0], Outcome::Ack);
    assert!(bench.nothing_waits(), "its handler still has the other one");
    bench.settle(&first[1], Outcome::Ack);
    assert_eq!(bench.take(2).len(), 2);
    assert!(bench.nothing_waits());
    drop(sources);
    let _next = bench.source(1);
    assert_eq!(bench.take(1).len(), 1, "what was with handlers of closed sources does not count");
}

#[test]
fn a_limit_counts_events_where_a_handler_takes_many() {
    let bench = Bench::with(HandOut::Batches, |rules| rules.max_in_flight = 3);
    let (_first, _second) = (bench.source(2), bench.source(2));
    let batch = bench.take(10);
    assert_eq!(positions(&batch), [0, 1, 0]);
    bench.settle_all(&batch, [Outcome::Ack, Outcome::Ack, Outcome::Ack]);
    assert_eq!(positions(&bench.take(10)), [1]);
}

#[test]
fn a_waiting_handler_is_woken_when_there_is_room() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.max_in_flight = 1);
    let _sources = [bench.source(1), bench.source(1)];
    let first = bench.take(1);
    let waiting = bench.subscription.clone();
    let waiter = std::thread::spawn(move || wait(waiting.next()));
    bench.settle(&first[0], Outcome::Ack);
    assert!(waiter.join().expect("no panic").is_some());
}

#[test]
fn a_handler_that_takes_too_long_has_failed() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.timeout = Some(Duration::from_millis(20)));
    let _source = bench.source(2);
    let batch = bench.take(2);
    assert!(bench.subscription.begin(&batch[0]));
    let again = bench.take(2);
    assert_eq!(positions(&again), [0, 1]);
    assert_eq!(again[0].attempt(), 2);
    assert!(!bench.settle(&batch[0], Outcome::Ack), "it comes too late");
    assert_eq!(again[1].attempt(), 1, "the one that was not begun did not fail");
}

fn breaker(open_for: Duration) -> Arc<Breaker> {
    let trip = Trip::parse("consecutiveFailures > 1").expect("an expression").0;
    let settings = BreakerSettings { trip, timeout: open_for, ..BreakerSettings::default() };
    Arc::new(Breaker::new("orders".into(), "inbound", settings))
}

#[test]
fn an_open_breaker_keeps_events_back_and_lets_one_out_to_see() {
    let open_for = Duration::from_millis(60);
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.breaker = Some(breaker(open_for)));
    let (_first, _second) = (bench.source(3), bench.source(3));
    let mut opened = Instant::now();
    for _ in 0..2 {
        let batch = bench.take(1);
        opened = Instant::now();
        bench.settle(&batch[0], Outcome::RETRY);
    }
    let error = bench.subscription.health().error.expect("it is visible");
    assert_eq!(error.code(), ErrorCode::CircuitOpen, "{error}");
    let trial = bench.take(5);
    assert!(opened.elapsed() >= open_for, "the breaker was open");
    assert_eq!(trial.len(), 1, "half-open, one goes out");
    assert!(bench.nothing_waits());
    let waiting = bench.subscription.clone();
    let waiter = std::thread::spawn(move || wait(waiting.next_batch(5, None)));
    bench.settle(&trial[0], Outcome::Ack);
    let batch = waiter.join().expect("no panic").expect("not ended");
    assert!(!batch.is_empty() && bench.subscription.health().error.is_none(), "closed again");
}

#[test]
fn what_no_handler_had_counts_for_nothing() {
    let bench =
        Bench::with(HandOut::LaneAtATime, |rules| rules.breaker = Some(breaker(Duration::from_hours(1))));
    let _source = bench.source(3);
    for _ in 0..5 {
        let batch = bench.take(3);
        let tokens: Vec<_> = batch.iter().map(Event::token).collect();
        bench.subscription.release(&tokens);
    }
    let batch = bench.take(3);
    assert!(bench.settle(&batch[0], Outcome::RETRY));
    let batch = bench.take(3);
    assert_eq!(positions(&batch), [0, 1, 2], "one failure does not open it");
}

#[test]
fn a_half_open_breaker_is_asked_again_when_the_trial_was_another_subscriptions() {
    let shared = breaker(Duration::from_millis(1));
    let benches =
        [0, 1].map(|_| Bench::with(HandOut::LaneAtATime, |rules| rules.breaker = Some(shared.clone())));
    let _sources = [benches[0].source(3), benches[1].source(1)];
    for _ in 0..2 {
        let batch = benches[0].take(1);
        benches[0].settle(&batch[0], Outcome::RETRY);
    }
    let trial = benches[0].take(1);
    assert!(benches[1].nothing_waits(), "one trial at a time");
    benches[0].settle(&trial[0], Outcome::Ack);
    assert_eq!(benches[1].take(1).len(), 1, "nothing of its own had to be settled for that");
}
