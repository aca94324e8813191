//! Dispatch without a broker.

mod batches;
mod limits;
mod order;
mod outcomes;
mod unreadable;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::settling::Outputs;
use super::{HandOut, Intake, Rules, Settler, Source, Subscription};
use crate::binding::{Call, InputBinding, OutputBinding, Reading, Reply, Request};
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::event::{Event, NewEvent, Outcome};
use crate::health::Health;
use crate::metadata::Metadata;
use crate::policy::Backoff;
use crate::runtime;
use crate::settings::RuntimeSettings;

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
struct Input(Mutex<Option<Intake>>);

struct Idle;

#[async_trait]
impl InputBinding for Input {
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

/// Outputs that remember what they were sent, and refuse as long as the test says.
#[derive(Default)]
struct Sent {
    requests: Mutex<Vec<(String, String, Request)>>,
    refusals: Mutex<Vec<ErrorCode>>,
    /// Calls wait for a permit where there is one.
    gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
}

struct Output {
    name: String,
    sent: Arc<Sent>,
}

struct Way(Arc<Sent>);

impl Outputs for Way {
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        if name == "missing" {
            return Err(
                Error::new(ErrorCode::ComponentNotFound, "no component has this name").component(name)
            );
        }
        Ok(Arc::new(Output { name: name.to_owned(), sent: self.0.clone() }))
    }
}

#[async_trait]
impl OutputBinding for Output {
    fn operations(&self) -> &[&'static str] {
        &["create"]
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        let gate = self.sent.gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("open").forget();
        }
        let refusal = self.sent.refusals.lock().pop();
        if let Some(code) = refusal {
            return Err(Error::new(code, "refused"));
        }
        self.sent.requests.lock().push((self.name.clone(), call.operation.to_string(), request));
        Ok(Reply::default())
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}

const QUICK: Backoff = Backoff::constant(Duration::from_millis(1));

struct Bench {
    subscription: Subscription,
    intake: Intake,
    ledger: Arc<Ledger>,
    sent: Arc<Sent>,
}

impl Bench {
    fn new(hand_out: HandOut) -> Self {
        Self::with(hand_out, |_| ())
    }

    fn with(hand_out: HandOut, change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules::new(&RuntimeSettings::default(), QUICK, None);
        change(&mut rules);
        let (input, sent) = (Arc::<Input>::default(), Arc::<Sent>::default());
        let way = Arc::new(Way(sent.clone()));
        let subscription = wait(Subscription::attach("orders".into(), input.clone(), hand_out, rules, way));
        let intake = input.0.lock().clone().expect("started");
        Self { subscription: subscription.expect("attached"), intake, ledger: Arc::default(), sent }
    }

    fn source(&self, events: i64) -> Source {
        self.source_of((0..events).map(event).collect())
    }

    fn source_of(&self, events: Vec<NewEvent>) -> Source {
        let source = self.intake.open_source(self.ledger.clone());
        source.push(events);
        source
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

    fn settle_all(&self, events: &[Event], outcomes: impl IntoIterator<Item = Outcome>) -> usize {
        let tokens = events.iter().map(Event::token);
        self.subscription.settle(&tokens.zip(outcomes).collect::<Vec<_>>())
    }

    fn settled(&self) -> Vec<i64> {
        self.ledger.0.lock().clone()
    }

    /// Waits until so many positions were settled.
    fn wait_settled(&self, count: usize) -> Vec<i64> {
        until("events are settled", || self.ledger.0.lock().len() >= count);
        self.settled()
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn event(position: i64) -> NewEvent {
    NewEvent::new(position, Body::empty(), Metadata::new())
}

fn keyed(position: i64, key: &str) -> NewEvent {
    event(position).with_key(key.as_bytes())
}

fn wait<F: Future>(future: F) -> F::Output {
    runtime::handle().expect("runtime").block_on(future)
}

fn positions(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.stored.position).collect()
}
