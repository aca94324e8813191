//! Dispatch without a broker: order, redelivery, stale tokens, closing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{HandOut, Intake, Lane, Settler, Subscription};
use crate::binding::{InputBinding, Reading};
use crate::body::Body;
use crate::error::Result;
use crate::event::{Event, NewEvent, Outcome};
use crate::health::Health;
use crate::metadata::Metadata;
use crate::policy::Backoff;
use crate::runtime;

/// Remembers what was settled.
#[derive(Default)]
struct Ledger(Mutex<Vec<i64>>);

impl Settler for Ledger {
    fn settled(&self, positions: &[i64]) {
        self.0.lock().extend(positions);
    }
}

/// An input whose intake the test keeps.
#[derive(Default)]
struct Source(Mutex<Option<Intake>>);

struct Idle;

#[async_trait]
impl InputBinding for Source {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        *self.0.lock() = Some(intake);
        Ok(Box::new(Idle))
    }
}

#[async_trait]
impl Reading for Idle {
    async fn stop(&mut self, _deadline: Instant) -> Result<()> {
        Ok(())
    }

    fn health(&self) -> Health {
        Health::READY
    }
}

const QUICK: Backoff = Backoff {
    initial: Duration::from_millis(1),
    multiplier: 1.0,
    maximum: Duration::from_millis(1),
    randomization: 0.0,
    retries: None,
};

struct Bench {
    subscription: Subscription,
    intake: Intake,
    ledger: Arc<Ledger>,
}

impl Bench {
    fn new(hand_out: HandOut) -> Self {
        let source = Arc::new(Source::default());
        let subscription =
            wait(Subscription::attach("orders".into(), source.clone(), hand_out)).expect("attached");
        let intake = source.0.lock().clone().expect("started");
        Self { subscription, intake, ledger: Arc::default() }
    }

    fn lane(&self, backoff: Backoff, events: i64) -> Lane {
        let lane = self.intake.open_lane(self.ledger.clone(), backoff);
        lane.push((0..events).map(event).collect());
        lane
    }

    /// Events that are there within a moment.
    fn take(&self, max: usize) -> Vec<Event> {
        wait(self.subscription.next_batch(max, Some(Duration::from_secs(5)))).expect("not ended")
    }

    fn nothing_waits(&self) -> bool {
        wait(self.subscription.next_batch(1, Some(Duration::ZERO))).expect("not ended").is_empty()
    }

    fn settle(&self, event: &Event, outcome: Outcome) -> bool {
        self.subscription.settle(&[(event.token(), outcome)]) == 1
    }
}

fn event(position: i64) -> NewEvent {
    NewEvent { position, body: Body::empty(), metadata: Metadata::new() }
}

fn wait<F: Future>(future: F) -> F::Output {
    runtime::handle().expect("runtime").block_on(future)
}

fn positions(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.stored.position).collect()
}

#[test]
fn handlers_get_a_lane_alone_and_lanes_run_in_parallel() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let (_first, _second) = (bench.lane(QUICK, 3), bench.lane(QUICK, 1));
    let from_first = bench.take(2);
    let from_second = bench.take(2);
    assert_eq!((positions(&from_first), positions(&from_second)), (vec![0, 1], vec![0]));
    assert!(bench.nothing_waits(), "the rest of the first lane has to wait");
    assert!(bench.settle(&from_first[0], Outcome::Ack));
    assert!(bench.nothing_waits());
    assert!(bench.settle(&from_first[1], Outcome::Ack));
    assert_eq!(positions(&bench.take(2)), [2]);
    assert_eq!(*bench.ledger.0.lock(), [0, 1]);
}

#[test]
fn a_failed_event_takes_the_later_ones_back_and_comes_first_again() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.lane(QUICK, 4);
    let batch = bench.take(4);
    assert!(bench.settle(&batch[0], Outcome::Ack));
    assert!(bench.settle(&batch[1], Outcome::RETRY));
    assert!(!batch[2].is_current());
    assert!(!bench.settle(&batch[2], Outcome::Ack), "its token is stale");
    let again = bench.take(4);
    assert_eq!(positions(&again), [1, 2, 3]);
    assert_eq!(again.iter().map(Event::attempt).collect::<Vec<_>>(), [2, 1, 1]);
    assert!(!bench.settle(&batch[1], Outcome::Ack), "the first delivery's token is stale");
    assert_eq!(*bench.ledger.0.lock(), [0]);
}

#[test]
fn the_pause_of_a_retry_is_kept() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.lane(QUICK, 1);
    let batch = bench.take(1);
    let pause = Duration::from_millis(80);
    let since = Instant::now();
    bench.settle(&batch[0], Outcome::Retry { after: Some(pause) });
    assert!(bench.nothing_waits());
    assert_eq!(positions(&bench.take(1)), [0]);
    assert!(since.elapsed() >= pause);
}

#[test]
fn an_event_that_ran_out_of_deliveries_holds_its_lane_only() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let stuck = bench.lane(Backoff { retries: Some(1), ..QUICK }, 2);
    for _ in 0..2 {
        let batch = bench.take(1);
        bench.settle(&batch[0], Outcome::RETRY);
    }
    assert!(stuck.is_blocked());
    assert!(bench.nothing_waits());
    let _other = bench.lane(QUICK, 1);
    assert_eq!(bench.take(1).len(), 1);
}

#[test]
fn a_closed_lane_hands_nothing_out_but_hears_running_handlers() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let lane = bench.lane(QUICK, 3);
    let batch = bench.take(2);
    lane.close();
    assert!(batch.iter().all(|event| !event.is_current()));
    assert!(bench.settle(&batch[0], Outcome::Ack), "its handler was running");
    bench.subscription.release(&[batch[1].token()]);
    assert_eq!(lane.outstanding(), 0);
    assert!(bench.nothing_waits());
    drop(lane);
    assert!(!bench.settle(&batch[1], Outcome::Ack), "the lane is gone");
    assert_eq!(*bench.ledger.0.lock(), [0]);
}

#[test]
fn a_released_event_comes_again_as_if_for_the_first_time() {
    let bench = Bench::new(HandOut::LaneAtATime);
    let _lane = bench.lane(QUICK, 2);
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
    let (_first, _second) = (bench.lane(QUICK, 2), bench.lane(QUICK, 2));
    let events = bench.take(10);
    assert_eq!(events.len(), 4);
    assert!(bench.settle(&events[1], Outcome::Ack));
    assert!(bench.settle(&events[0], Outcome::RETRY));
    assert_eq!(positions(&bench.take(10)), [0], "what was acked ahead does not come again");
    assert_eq!(*bench.ledger.0.lock(), [1]);
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
    let _lane = bench.lane(QUICK, 2);
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
