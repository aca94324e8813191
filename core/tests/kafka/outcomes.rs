//! What becomes of events beside being acked: dead letters and emissions through Kafka, batches, order by key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bindwright::{Emission, ErrorCode, Event, HandOut, Outcome, Request, State};
use parking_lot::Mutex;

use crate::fixture::{Fixture, close, hold, number, receive, settle, subscribe, text, until};
use crate::independent::Raw;
use crate::server;

/// A second component, which sends to a topic beside the fixture's own.
pub struct Beside {
    name: &'static str,
    topic: Fixture,
}

impl Beside {
    pub fn new(fixture: &Fixture, name: &'static str) -> Self {
        let topic = Fixture::on(&fixture.bootstrap);
        let document = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec:\n  \
             type: bindings.kafka\n  version: v1\n  metadata:\n  - {{name: brokers, value: '{}'}}\n  \
             - {{name: publishTopic, value: '{}'}}\n  - {{name: authType, value: none}}\n",
            topic.bootstrap, topic.topic
        );
        std::fs::write(fixture.folder().join(format!("{name}.yaml")), document).expect("written");
        Self { name, topic }
    }

    pub async fn create(&self) {
        self.topic.create_topic(1).await;
    }

    pub async fn records(&self) -> Vec<Raw> {
        self.topic.records().await
    }

    fn emission(&self, data: impl Into<bindwright::Body>) -> Emission {
        Emission {
            binding: self.name.to_owned(),
            operation: "create".to_owned(),
            request: Request::new(data),
        }
    }
}

pub fn header<'a>(record: &'a Raw, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..])
}

#[tokio::test]
async fn an_exhausted_event_goes_to_the_dead_letter_topic_untouched_and_the_others_go_on() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let dead = Beside::new(&fixture, "dead");
    dead.create().await;
    fixture.write("maxDeliveryCount: 3\ndeadLetterBinding: dead\n");
    let client = fixture.client();
    let poison = vec![0_u8, 255, 10, 13];
    for number in 0..5 {
        let body = if number == 2 { poison.clone() } else { number.to_string().into_bytes() };
        let request = Request::new(body).with("partitionKey", "k7").with("colour", "grün");
        client.invoke_binding("orders", "create", request, None).await.expect("sent");
    }
    let attempts: Arc<Mutex<Vec<(i64, u32)>>> = Arc::default();
    let in_handler = attempts.clone();
    let handler = move |event: Event| {
        let attempts = in_handler.clone();
        async move {
            let offset = number(&event, "__offset");
            attempts.lock().push((offset, event.attempt()));
            if offset == 2 { Outcome::failed("ValueError", "not a number") } else { Outcome::Ack }
        }
    };
    client.on("orders", handler).await.expect("attached");
    fixture.until_committed(&[5]).await;
    assert_eq!(*attempts.lock(), [(0, 1), (1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (4, 1)]);
    close(&client).await;
    let records = dead.records().await;
    let [letter] = &records[..] else { panic!("one dead letter, got {}", records.len()) };
    assert_eq!(letter.value.as_deref(), Some(&poison[..]));
    assert_eq!(letter.key.as_deref(), Some(&b"k7"[..]));
    let offset = fixture.topic.clone();
    for (name, value) in [
        ("colour", "grün"),
        ("deadLetterSource", "orders"),
        ("deadLetterTopic", offset.as_str()),
        ("deadLetterPartition", "0"),
        ("deadLetterOffset", "2"),
        ("deadLetterAttempts", "3"),
        ("deadLetterCode", "ValueError"),
        ("deadLetterCause", "not a number"),
    ] {
        assert_eq!(header(letter, name), Some(value.as_bytes()), "{name}");
    }
    assert!(
        header(letter, "deadLetterFirstTime").is_some() && header(letter, "deadLetterLastTime").is_some()
    );
}

#[tokio::test]
async fn while_its_dead_letter_cannot_leave_an_event_is_not_committed_past() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    let dead = Beside::new(&fixture, "dead");
    fixture.write("deadLetterBinding: dead\n");
    fixture.produce_numbers(0..3, 1).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    let events = hold(&subscription, 3).await;
    settle(&subscription, &events[..1], &Outcome::Ack);
    settle(&subscription, &events[1..2], &Outcome::DeadLetter { cause: None });
    until("the trouble is visible", async || subscription.health().state == State::Degraded).await;
    let error = subscription.last_error().expect("there is one");
    assert_eq!(error.code(), ErrorCode::TargetNotFound, "{error}");
    fixture.until_committed(&[1]).await;
    dead.create().await;
    let rest = receive(&subscription, 1).await;
    assert_eq!(text(&rest[0]), "2");
    fixture.until_committed(&[3]).await;
    close(&client).await;
    let values: Vec<_> = dead.records().await.into_iter().filter_map(|record| record.value).collect();
    assert!(!values.is_empty() && values.iter().all(|value| value == b"1"), "{values:?}");
}

#[tokio::test]
async fn an_event_is_committed_after_what_it_became_was_written() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    let next = Beside::new(&fixture, "next");
    fixture.produce_numbers(0..20, 1).await;
    let client = fixture.client();
    let refused = Arc::new(AtomicUsize::new(0));
    let (emission, in_handler) = (next.emission(""), refused.clone());
    let handler = move |event: Event| {
        in_handler.fetch_max(event.attempt() as usize, Ordering::AcqRel);
        let mut emission = emission.clone();
        emission.request = Request::new(format!("became {}", text(&event)));
        async move { Outcome::Emit(vec![emission]) }
    };
    client.on("orders", handler).await.expect("attached");
    until("the missing topic made a delivery fail", async || refused.load(Ordering::Acquire) > 1).await;
    assert_eq!(fixture.committed().await, [Some(0)], "nothing is settled before it was written");
    next.create().await;
    fixture.until_committed(&[20]).await;
    close(&client).await;
    let mut values: Vec<_> = next.records().await.into_iter().filter_map(|record| record.value).collect();
    values.dedup();
    let wanted: Vec<_> = (0..20).map(|number| format!("became {number}").into_bytes()).collect();
    assert_eq!(values, wanted, "in order, and none is missing");
}

#[tokio::test]
async fn keys_overtake_each_other_and_a_restart_repeats_only_what_is_behind_the_gap() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("orderBy: key\nmaxUncommitted: 100\n");
    let client = fixture.client();
    for number in 0..60 {
        let key = ["slow", "b", "c"][number % 3];
        let request = Request::new(number.to_string()).with("partitionKey", key);
        client.invoke_binding("orders", "create", request, None).await.expect("sent");
    }
    let seen: Arc<Mutex<BTreeMap<String, Vec<i64>>>> = Arc::default();
    let go_on = Arc::new(AtomicBool::new(false));
    let (in_handler, may) = (seen.clone(), go_on.clone());
    let handler = move |event: Event| {
        let (seen, may) = (in_handler.clone(), may.clone());
        async move {
            let key = event.metadata().get("__key").expect("a key").into_owned();
            if key == "slow" && number(&event, "__offset") == 30 && !may.load(Ordering::Acquire) {
                return Outcome::retry_after(Duration::from_millis(5));
            }
            seen.lock().entry(key).or_default().push(number(&event, "__offset"));
            Outcome::Ack
        }
    };
    client.on("orders", handler.clone()).await.expect("attached");
    let handled = |key: &str| seen.lock().get(key).map_or(0, Vec::len);
    until("the other keys are done", async || handled("b") == 20 && handled("c") == 20).await;
    assert_eq!(handled("slow"), 10, "its own key waits");
    fixture.until_committed(&[30]).await;
    close(&client).await;
    go_on.store(true, Ordering::Release);
    let again = fixture.client();
    again.on("orders", handler).await.expect("attached");
    fixture.until_committed(&[60]).await;
    close(&again).await;
    let seen = seen.lock();
    assert_eq!(seen["slow"], (0..20).map(|index| index * 3).collect::<Vec<_>>());
    for key in ["b", "c"] {
        let (first, repeated) = seen[key].split_at(20);
        assert!(first.is_sorted(), "{key}: {first:?}");
        assert!(repeated.is_sorted() && repeated.iter().all(|offset| *offset > 30), "{key}: {repeated:?}");
    }
}

#[tokio::test]
async fn no_more_handlers_run_at_once_than_may() {
    let Some(fixture) = Fixture::with_topic(6).await else { return };
    fixture.write("maxInFlight: 2\n");
    fixture.produce_numbers(0..120, 6).await;
    let client = fixture.client();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let in_handler = (running.clone(), most.clone());
    let handler = move |_: Event| {
        let (running, most) = in_handler.clone();
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
            tokio::time::sleep(Duration::from_millis(2)).await;
            running.fetch_sub(1, Ordering::AcqRel);
            Outcome::Ack
        }
    };
    client.on("orders", handler).await.expect("attached");
    fixture.until_committed(&[20; 6]).await;
    assert_eq!(most.load(Ordering::Acquire), 2);
    close(&client).await;
}

#[tokio::test]
async fn a_handler_of_batches_settles_each_event_its_own_way() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    fixture.produce_numbers(0..300, 3).await;
    let client = fixture.client();
    let log: Arc<Mutex<Vec<(String, u32)>>> = Arc::default();
    let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let (in_handler, in_sizes) = (log.clone(), sizes.clone());
    let handler = move |events: Vec<Event>| {
        let (log, sizes) = (in_handler.clone(), in_sizes.clone());
        async move {
            sizes.lock().push(events.len());
            let outcome = |event: &Event| {
                log.lock().push((text(event), event.attempt()));
                let odd = number(event, "__offset") % 10 == 3;
                if odd && event.attempt() == 1 { Outcome::retry_after(Duration::ZERO) } else { Outcome::Ack }
            };
            events.iter().map(outcome).collect()
        }
    };
    client.on_batch("orders", 100, handler).await.expect("attached");
    fixture.until_committed(&[100; 3]).await;
    close(&client).await;
    let log = log.lock();
    let again = log.iter().filter(|(_, attempt)| *attempt == 2).count();
    assert_eq!((log.len(), again), (330, 30), "each of a tenth comes a second time, and nothing else does");
    let sizes = sizes.lock();
    assert!(sizes.iter().any(|size| *size > 1) && sizes.iter().all(|size| *size <= 100), "{sizes:?}");
}

#[tokio::test]
async fn a_dead_letter_binding_that_is_not_there_is_an_error_at_once() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    for (target, why) in [("nowhere", "no component has this name"), ("orders", "the component itself")] {
        fixture.write(&format!("deadLetterBinding: {target}\n"));
        let client = fixture.client();
        let error = client.subscribe("orders", HandOut::LaneAtATime).await.expect_err("refused");
        assert_eq!(error.code(), ErrorCode::InvalidSettings);
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.place_in_file().is_some(), "{error}");
        close(&client).await;
    }
}
