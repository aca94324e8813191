//! How both sides tell their state and outlive panics, with the broker for development. Against real brokers:
//! `core/tests/kafka/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::types::RDKafkaRespErr;

use super::dev_broker::DevBroker;
use super::input::{KafkaInput, KafkaReading};
use super::output::KafkaOutput;
use super::reader::{Reader, Shared};
use crate::binding::{Call, InputBinding, OutputBinding, Reading, Request};
use crate::dispatch::{HandOut, Intake, Outputs, Rules, Subscription};
use crate::error::{Error, ErrorCode, Result};
use crate::event::Outcome;
use crate::health::{Health, State};
use crate::manifest::Manifest;
use crate::runtime;
use crate::settings::RuntimeSettings;

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn manifest(address: &str) -> Manifest {
    let document = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  \
         type: bindings.kafka\n  metadata:\n  - {{name: brokers, value: '{address}'}}\n  \
         - {{name: publishTopic, value: orders}}\n  - {{name: topics, value: orders}}\n  \
         - {{name: consumerGroup, value: group}}\n  - {{name: initialOffset, value: oldest}}\n  \
         - {{name: authType, value: none}}\n"
    );
    Manifest::parse(document.as_bytes(), "orders.yaml", None).expect("a document")
}

pub(super) fn output(address: &str) -> KafkaOutput {
    KafkaOutput::new(&manifest(address).components[0]).expect("opened")
}

fn call() -> Call {
    Call { operation: "create".into(), deadline: Instant::now() + PATIENCE }
}

pub(super) fn send(output: &KafkaOutput) -> Result<()> {
    runtime::handle()?.block_on(output.invoke(&call(), Request::new("x"))).map(|_| ())
}

pub(super) fn until_ready(output: &KafkaOutput) {
    until_state(|| output.health(), State::Ready, None);
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until_state(health: impl Fn() -> Health, state: State, code: Option<ErrorCode>) {
    let mut last = None;
    until(&format!("{state:?} with {code:?}"), || {
        let health = health();
        let found = health.state == state && health.error.as_ref().map(crate::error::Error::code) == code;
        last = Some(health);
        found.then_some(())
    });
}

/// A broker on a port that was another one's a moment ago.
fn start_again(port: u16) -> DevBroker {
    until("the port is free", || DevBroker::start(port).ok())
}

#[test]
fn an_output_connects_without_a_call_and_tells_how_it_is() {
    let broker = DevBroker::start(0).expect("a broker");
    let address = broker.bootstrap();
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    drop(broker);
    let output = output(&address);
    let health = || output.health();
    assert_eq!(health().state, State::Connecting);
    until_state(health, State::Connecting, Some(ErrorCode::Unavailable));
    let broker = start_again(port);
    until_state(health, State::Ready, None);

    broker.set_topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    until_state(health, State::Degraded, Some(ErrorCode::TargetNotFound));
    broker.set_topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    until_state(health, State::Ready, None);

    drop(broker);
    until_state(health, State::Degraded, Some(ErrorCode::Unavailable));
    let broker = start_again(port);
    until_state(health, State::Ready, None);

    // Its connections stay open, and nobody answers.
    broker.set_delay(Duration::from_secs(30));
    until_state(health, State::Degraded, Some(ErrorCode::Unavailable));
}

#[test]
fn an_output_without_its_topic_is_connecting_and_says_why() {
    let broker = DevBroker::start(0).expect("a broker");
    broker.set_topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    let output = output(&broker.bootstrap());
    until_state(|| output.health(), State::Connecting, Some(ErrorCode::TargetNotFound));
    broker.set_topic_error("orders", RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    until_state(|| output.health(), State::Ready, None);
}

#[test]
fn whoever_is_refused_need_not_wait_and_is_served_again_later() {
    let broker = DevBroker::start(0).expect("a broker");
    let output = output(&broker.bootstrap());
    until_ready(&output);
    let refusal = Error::new(ErrorCode::Unauthenticated, "made by a test");
    // The next look takes it back, so the first try may be too late.
    until("calls are refused", || {
        output.sender().health.refuse(Some(refusal.clone()));
        let error = send(&output).err()?;
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
        Some(())
    });
    until("calls are accepted", || send(&output).ok());
    until_ready(&output);
}

struct PanickingWaker(AtomicBool);

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
        // As a panic, but without its message on the terminal.
        std::panic::resume_unwind(Box::new("made by a test"));
    }
}

#[test]
fn a_panic_in_a_delivery_report_does_not_hold_its_partition() {
    let broker = DevBroker::start(0).expect("a broker");
    let output = output(&broker.bootstrap());
    until_ready(&output);
    let runtime = runtime::handle().expect("a runtime");
    let _context = runtime.enter();
    let call = call();
    let request = || Request::new("x").with("partitionNumber", "0");
    let panicking = Arc::new(PanickingWaker(AtomicBool::new(false)));
    let waker = Waker::from(panicking.clone());
    let mut first = output.invoke(&call, request());
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    until("the report came", || panicking.0.load(Ordering::Acquire).then_some(()));
    // An idempotent producer has one batch of a partition out: this one waits for the end of the first.
    runtime.block_on(output.invoke(&call, request())).expect("sent");
    let Poll::Ready(answer) = first.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the first one is answered");
    };
    answer.expect("sent");
}

/// An input whose reader the test can reach.
struct Reachable {
    input: KafkaInput,
    shared: Mutex<Option<Arc<Shared>>>,
}

#[async_trait]
impl InputBinding for Reachable {
    async fn start(&self, intake: Intake) -> Result<Box<dyn Reading>> {
        let config = self.input.settings.consumer_config(&self.input.group);
        let handle = Reader::start(&config, self.input.settings.clone(), intake)?;
        *self.shared.lock() = Some(handle.shared.clone());
        Ok(Box::new(KafkaReading(Some(handle))))
    }
}

/// Nothing is sent in these tests.
struct Nowhere;

impl Outputs for Nowhere {
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        Err(Error::new(ErrorCode::ComponentNotFound, "no component has this name").component(name))
    }
}

#[test]
fn a_reader_that_panics_goes_on_with_another_consumer() {
    let broker = DevBroker::start(0).expect("a broker");
    let manifest = manifest(&broker.bootstrap());
    let output = KafkaOutput::new(&manifest.components[0]).expect("opened");
    let input = KafkaInput::new(&manifest.components[0]).expect("opened");
    let input = Arc::new(Reachable { input, shared: Mutex::new(None) });
    let runtime = runtime::handle().expect("a runtime");
    runtime.block_on(async {
        let rules = Rules::new(&RuntimeSettings::default(), input.redelivery(), None);
        let attached = Subscription::attach(
            "orders".into(),
            input.clone(),
            HandOut::LaneAtATime,
            rules,
            Arc::new(Nowhere),
        );
        let subscription = attached.await.expect("attached");
        for _ in 0..3 {
            output.invoke(&call(), Request::new("x")).await.expect("sent");
            let events = subscription.next_batch(1, Some(PATIENCE)).await.expect("not ended");
            assert_eq!(events.len(), 1, "{:?}", subscription.health());
            subscription.settle(&[(events[0].token(), Outcome::Ack)]);
            let shared = input.shared.lock().clone().expect("started");
            shared.panics.store(true, Ordering::Release);
            shared.alarm.ring();
            until("it panicked", || (subscription.health().state == State::Degraded).then_some(()));
            let error = subscription.last_error().expect("it says why");
            assert_eq!(error.code(), ErrorCode::Internal, "{error}");
        }
        until_state(|| subscription.health(), State::Ready, None);
        subscription.stop(Instant::now() + PATIENCE).await.expect("stopped");
    });
}
