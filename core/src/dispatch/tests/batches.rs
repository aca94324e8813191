//! Events that were taken together by a language that can lose them.

use super::{Bench, until};
use crate::dispatch::{Batch, HandOut};
use crate::event::Outcome;

fn take(bench: &Bench, max: usize) -> Batch {
    until("there are events", || super::wait(bench.subscription.ready(None)));
    Batch::take(&bench.subscription, max).expect("not ended")
}

fn positions(batch: &Batch) -> Vec<i64> {
    (0..batch.len()).map(|place| batch.event(place).expect("there").stored.position).collect()
}

#[test]
fn what_is_not_settled_comes_again_when_the_batch_is_dropped() {
    let bench = Bench::new(HandOut::Freely);
    let _source = bench.source(3);
    let batch = take(&bench, 10);
    assert_eq!(batch.settle([(0, Outcome::Ack)]), 1);
    assert!(bench.nothing_waits());
    drop(batch);
    let again = take(&bench, 10);
    assert_eq!(positions(&again), [1, 2]);
    assert_eq!(again.event(0).expect("there").attempt(), 1, "nobody is to blame");
    assert_eq!(bench.wait_settled(1), [0]);
}

#[test]
fn the_first_outcome_of_a_place_counts_and_others_count_for_nothing() {
    let bench = Bench::new(HandOut::Freely);
    let _source = bench.source(2);
    let batch = take(&bench, 10);
    let told = [(0, Outcome::Drop), (0, Outcome::RETRY), (7, Outcome::Ack), (1, Outcome::Ack)];
    assert_eq!(batch.settle(told), 2);
    assert_eq!(batch.settle([(1, Outcome::Ack)]), 0);
    assert_eq!(bench.wait_settled(2), [0, 1]);
    assert!(batch.event(2).is_none());
}

#[test]
fn an_event_that_does_not_count_any_more_is_not_begun() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _source = bench.source(3);
    let batch = take(&bench, 10);
    assert!(batch.begin(0));
    assert_eq!(batch.settle([(0, Outcome::RETRY)]), 1);
    assert!(!batch.begin(0) && !batch.begin(1) && !batch.begin(9));
    assert_eq!(batch.settle([(1, Outcome::Ack)]), 0);
    assert_eq!(positions(&take(&bench, 1)), [0]);
}

#[test]
fn the_rest_of_a_batch_can_be_given_back() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _source = bench.source(3);
    let batch = take(&bench, 10);
    assert!(batch.begin(0));
    batch.release_from(1);
    assert!(!batch.begin(1));
    assert_eq!(batch.settle([(0, Outcome::Ack), (1, Outcome::Ack)]), 1);
    assert_eq!(positions(&take(&bench, 10)), [1, 2]);
}
