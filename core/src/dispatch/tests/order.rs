//! Order, redelivery, stale tokens, closing.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Bench, event, keyed, positions, wait};
use crate::dispatch::{HandOut, OrderBy, Settler, Source};
use crate::event::{Event, Outcome};

#[test]
fn handlers_get_a_lane_alone_and_lanes_run_in_parallel() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let (_first, _second) = (bench.source(3), bench.source(1));
    let from_first = bench.take(2);
    let from_second = bench.take(2);
    assert_eq!((positions(&from_first), positions(&from_second)), (vec![0, 1], vec![0]));
    assert!(bench.nothing_waits(), "the rest of the first lane has to wait");
    assert!(bench.settle(&from_first[0], Outcome::Ack));
    assert!(bench.nothing_waits());
    assert!(bench.settle(&from_first[1], Outcome::Ack));
    assert_eq!(positions(&bench.take(2)), [2]);
    assert_eq!(bench.settled(), [0, 1]);
}

#[test]
fn a_failed_event_takes_the_later_ones_back_and_comes_first_again() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.source(4);
    let batch = bench.take(4);
    assert!(bench.settle(&batch[0], Outcome::Ack));
    assert!(bench.settle(&batch[1], Outcome::RETRY));
    assert!(!batch[2].is_current());
    assert!(!bench.settle(&batch[2], Outcome::Ack), "its token is stale");
    let again = bench.take(4);
    assert_eq!(positions(&again), [1, 2, 3]);
    assert_eq!(again.iter().map(Event::attempt).collect::<Vec<_>>(), [2, 1, 1]);
    assert!(!bench.settle(&batch[1], Outcome::Ack), "the first delivery's token is stale");
    assert_eq!(bench.settled(), [0]);
}

#[test]
fn the_pause_of_a_retry_is_kept() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.source(1);
    let batch = bench.take(1);
    let pause = Duration::from_millis(80);
    let since = Instant::now();
    bench.settle(&batch[0], Outcome::retry_after(pause));
    assert!(bench.nothing_waits());
    assert_eq!(positions(&bench.take(1)), [0]);
    assert!(since.elapsed() >= pause);
}

#[test]
fn an_event_that_ran_out_of_deliveries_holds_its_lane_only() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.redelivery.retries = Some(1));
    let stuck = bench.source(2);
    for _ in 0..2 {
        let batch = bench.take(1);
        bench.settle(&batch[0], Outcome::RETRY);
    }
    assert!(stuck.is_blocked());
    assert!(bench.nothing_waits());
    let error = bench.subscription.health().error.expect("it is visible");
    assert!(error.to_string().contains("position 0 ran out of deliveries (2)"), "{error}");
    let _other = bench.source(1);
    assert_eq!(bench.take(1).len(), 1);
    drop(stuck);
    assert!(bench.subscription.health().error.is_none(), "whoever reads the source next starts anew");
}

#[test]
fn a_closed_lane_hands_nothing_out_but_hears_running_handlers() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let lane = bench.source(3);
    let batch = bench.take(2);
    lane.close();
    assert!(batch.iter().all(|event| !event.is_current()));
    assert!(bench.settle(&batch[0], Outcome::Ack), "its handler was running");
    bench.subscription.release(&[batch[1].token()]);
    assert_eq!(lane.outstanding(), 0);
    assert!(bench.nothing_waits());
    drop(lane);
    assert!(!bench.settle(&batch[1], Outcome::Ack), "the lane is gone");
    assert_eq!(bench.settled(), [0]);
}

#[test]
fn a_released_event_comes_again_as_if_for_the_first_time() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.source(2);
    let batch = bench.take(2);
    let tokens: Vec<_> = batch.iter().map(Event::token).collect();
    bench.subscription.release(&tokens);
    let again = bench.take(2);
    assert_eq!(positions(&again), [0, 1]);
    assert_eq!(again[0].attempt(), 1);
}

#[test]
fn whoever_pulls_freely_may_settle_in_any_order() {
    let bench = Bench::new(HandOut::Freely);
    let (_first, _second) = (bench.source(2), bench.source(2));
    let events = bench.take(10);
    assert_eq!(events.len(), 4);
    assert!(bench.settle(&events[1], Outcome::Ack));
    assert!(bench.settle(&events[0], Outcome::RETRY));
    assert_eq!(positions(&bench.take(10)), [0], "what was acked ahead does not come again");
    assert_eq!(bench.settled(), [1]);
}

#[test]
fn a_stopped_subscription_wakes_whoever_waits() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let waiting = bench.subscription.clone();
    let waiter = std::thread::spawn(move || wait(waiting.next()));
    wait(bench.subscription.stop(Instant::now())).expect("stopped");
    assert!(waiter.join().expect("no panic").is_none());
}

#[test]
fn whoever_only_looked_holds_nothing() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.source(2);
    let soon = Some(Duration::from_millis(1));
    assert!(wait(bench.subscription.ready(soon)) && wait(bench.subscription.ready(soon)));
    assert_eq!(bench.subscription.take_batch(10).map(|batch| batch.len()), Some(2));
    assert!(!wait(bench.subscription.ready(soon)));
    assert_eq!(bench.subscription.take_batch(10).map(|batch| batch.len()), Some(0));
}

#[test]
fn any_executor_can_wait_for_events() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let waiting = bench.subscription.next_batch(1, Some(Duration::from_millis(1)));
    // This one knows nothing of a runtime.
    let mut waiting = std::pin::pin!(waiting);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let deadline = Instant::now() + Duration::from_secs(10);
    while waiting.as_mut().poll(&mut context).is_pending() {
        assert!(Instant::now() < deadline, "the time-out never came");
        std::thread::yield_now();
    }
}

#[test]
fn keys_run_in_parallel_and_each_in_order() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.order_by = OrderBy::Key);
    assert!(bench.intake.wants_keys());
    let events = [keyed(0, "a"), keyed(1, "b"), keyed(2, "a"), event(3), event(4), keyed(5, "a")];
    let _source = bench.source_of(events.into());
    let (a, b) = (bench.take(10), bench.take(10));
    assert_eq!((positions(&a), positions(&b)), (vec![0, 2, 5], vec![1]));
    assert_eq!([positions(&bench.take(10)), positions(&bench.take(10))], [[3], [4]], "no key, no order");
    assert!(bench.settle(&a[0], Outcome::Ack));
    assert!(bench.settle(&a[1], Outcome::RETRY));
    assert_eq!(positions(&bench.take(10)), [2, 5], "only its own key goes back");
    assert!(bench.settle(&b[0], Outcome::Ack));
    assert_eq!(bench.settled(), [0, 1]);
}

#[test]
fn an_exhausted_event_holds_its_key_only() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| {
        rules.order_by = OrderBy::Key;
        rules.redelivery.retries = Some(0);
    });
    let source = bench.source_of(vec![keyed(0, "a"), keyed(1, "a"), keyed(2, "b")]);
    let a = bench.take(1);
    bench.settle(&a[0], Outcome::RETRY);
    assert!(source.is_blocked());
    assert_eq!(positions(&bench.take(5)), [2]);
    assert!(bench.nothing_waits());
}

#[test]
fn without_order_events_fail_alone() {
    let bench = Bench::with(HandOut::Batches, |rules| rules.order_by = OrderBy::None);
    let source = bench.source_of((0..4).map(|position| keyed(position, "a")).collect());
    let batch = bench.take(3);
    assert_eq!(positions(&batch), [0, 1, 2]);
    assert!(bench.settle(&batch[0], Outcome::RETRY));
    assert!(bench.settle(&batch[1], Outcome::Ack), "it was not taken back");
    assert_eq!(source.outstanding(), 1);
    let mut rest = positions(&bench.take(5));
    while rest.len() < 2 {
        rest.extend(positions(&bench.take(5)));
    }
    rest.sort_unstable();
    assert_eq!(rest, [0, 3]);
}

#[test]
fn a_batch_spans_lanes_and_holds_each_until_it_is_settled() {
    let bench = Bench::new(HandOut::Batches);
    let (_first, _second) = (bench.source(3), bench.source(2));
    let batch = bench.take(4);
    assert_eq!(positions(&batch), [0, 1, 2, 0]);
    assert!(bench.nothing_waits(), "both lanes are with a handler");
    let outcomes = [Outcome::Ack, Outcome::RETRY, Outcome::Ack, Outcome::Ack];
    assert_eq!(bench.settle_all(&batch, outcomes), 4, "what was handled after a failure counts");
    assert_eq!(bench.settled(), [0, 2, 0]);
    let mut again = bench.take(4);
    while again.len() < 2 {
        again.extend(bench.take(4));
    }
    let mut attempts: Vec<_> = again.iter().map(|event| (event.stored.position, event.attempt())).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [(1, 1), (1, 2)]);
}

#[test]
fn two_failures_of_a_batch_both_count() {
    let bench = Bench::new(HandOut::Batches);
    let _source = bench.source(3);
    let batch = bench.take(3);
    assert_eq!(bench.settle_all(&batch, [Outcome::RETRY, Outcome::Ack, Outcome::RETRY]), 3);
    let again = bench.take(3);
    assert_eq!(positions(&again), [0, 2]);
    assert_eq!(again.iter().map(Event::attempt).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn deliveries_of_the_backend_count() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.redelivery.retries = Some(2));
    let mut seen_before = event(7);
    seen_before.earlier_deliveries = 2;
    let source = bench.source_of(vec![seen_before]);
    let batch = bench.take(1);
    assert_eq!(batch[0].attempt(), 3);
    bench.settle(&batch[0], Outcome::RETRY);
    assert!(source.is_blocked());
}

#[test]
fn an_event_sent_back_holds_what_waits_behind_it_also_when_handed_out_freely() {
    let bench = Bench::with(HandOut::Freely, |rules| rules.redelivery.retries = Some(1));
    let source = bench.source(2);
    let event = bench.take(1).remove(0);
    bench.settle(&event, Outcome::retry_after(Duration::from_millis(50)));
    assert!(bench.nothing_waits(), "the lane rests");
    let event = bench.take(1).remove(0);
    bench.settle(&event, Outcome::RETRY);
    assert!(source.is_blocked());
    assert!(bench.nothing_waits(), "the lane is blocked");
}

#[test]
fn a_pause_of_centuries_loses_nothing() {
    let bench = Bench::new(HandOut::Batches);
    let _source = bench.source(2);
    let batch = bench.take(2);
    let outcomes = [Outcome::Ack, Outcome::retry_after(Duration::MAX)];
    assert_eq!(bench.settle_all(&batch, outcomes), 2);
    assert_eq!(bench.settled(), [0]);
}

#[test]
fn what_stands_before_an_exhausted_event_is_still_delivered() {
    let bench = Bench::new(HandOut::Freely);
    let source = bench.source(3);
    let batch = bench.take(3);
    bench.settle(&batch[1], Outcome::DeadLetter { cause: None });
    assert!(source.is_blocked());
    bench.settle(&batch[0], Outcome::RETRY);
    let again = bench.take(3);
    assert_eq!(positions(&again), [0]);
    bench.settle(&again[0], Outcome::Ack);
    assert!(bench.nothing_waits());
}

#[test]
fn an_event_that_holds_its_lane_does_not_undo_what_was_handled_with_it() {
    let bench = Bench::new(HandOut::Batches);
    let _source = bench.source(3);
    let batch = bench.take(3);
    let outcomes = [Outcome::DeadLetter { cause: None }, Outcome::Ack, Outcome::Ack];
    assert_eq!(bench.settle_all(&batch, outcomes), 3);
    assert_eq!(bench.settled(), [1, 2]);
}

#[test]
fn a_key_that_was_held_is_forgotten_with_its_source() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| {
        rules.order_by = OrderBy::Key;
        rules.redelivery.retries = Some(0);
    });
    let source = bench.source_of(vec![keyed(0, "a"), keyed(1, "a")]);
    let batch = bench.take(1);
    bench.settle(&batch[0], Outcome::RETRY);
    assert!(bench.subscription.health().error.is_some());
    drop(source);
    assert!(bench.subscription.health().error.is_none());
}

#[test]
fn somebody_keeps_the_time_of_a_pause_when_others_leave() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _sources = [bench.source(1), bench.source(1)];
    let (first, second) = (bench.take(1), bench.take(1));
    let waiting = [0, 1].map(|_| {
        let waiting = bench.subscription.clone();
        std::thread::spawn(move || wait(waiting.next_batch(1, Some(Duration::from_secs(5)))))
    });
    bench.settle(&first[0], Outcome::retry_after(Duration::from_millis(20)));
    bench.settle(&second[0], Outcome::retry_after(Duration::from_millis(60)));
    for waiter in waiting {
        let batch = waiter.join().expect("no panic").expect("not ended");
        assert_eq!(batch.len(), 1, "each gets one when its pause is over");
    }
}

/// Knows whether its source was quiet, and asks whenever it is told something.
#[derive(Default)]
struct Asking {
    source: OnceLock<Arc<Source>>,
    answers: Mutex<Vec<(Vec<i64>, usize)>>,
}

impl Settler for Asking {
    fn settled(&self, positions: &[i64]) {
        let outstanding = self.source.get().expect("set").outstanding();
        self.answers.lock().push((positions.to_vec(), outstanding));
    }
}

#[test]
fn a_source_is_not_quiet_before_its_settler_knows() {
    let bench = Bench::new(HandOut::Freely);
    let asking = Arc::<Asking>::default();
    let source = Arc::new(bench.intake.open_source(asking.clone()));
    assert!(asking.source.set(source.clone()).is_ok());
    source.push((0..2).map(event).collect());
    let events = bench.take(2);
    source.close();
    assert_eq!(bench.settle_all(&events, [Outcome::Ack, Outcome::Ack]), 2);
    assert_eq!(source.outstanding(), 0);
    // Told of both while they counted, and then that the closed source is quiet.
    assert_eq!(*asking.answers.lock(), [(vec![0, 1], 2), (vec![], 0)]);
}
