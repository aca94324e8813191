//! Brokers that are killed and come back, with everything counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bindwright::{Client, ErrorCode, Request};
use parking_lot::Mutex;

use crate::counting::{Log, figures, numbers};
use crate::fixture::{
    DRAIN, Fixture, PATIENCE, close, pull, send, send_within, subscribe, until, until_within,
};
use crate::server::{self, say};

/// What several senders were told while brokers died.
#[derive(Default)]
struct Told {
    /// Text, partition, offset.
    confirmed: Mutex<Vec<(String, i32, i64)>>,
    failed: Mutex<BTreeMap<ErrorCodeName, Vec<String>>>,
    sent: AtomicUsize,
    enough: AtomicBool,
}

type ErrorCodeName = &'static str;

impl Told {
    fn confirmed(&self) -> usize {
        self.confirmed.lock().len()
    }

    async fn send_until_enough(&self, client: &Client, sender: usize) {
        for number in 0.. {
            if self.enough.load(Ordering::Acquire) {
                return;
            }
            let text = format!("{sender}/{number}");
            self.sent.fetch_add(1, Ordering::Relaxed);
            let request = Request::new(text.clone()).with("partitionKey", sender.to_string());
            match send_within(client, 5_000, request).await {
                Ok(reply) => {
                    let number =
                        |name: &str| reply.metadata.get(name).expect(name).parse::<i64>().expect("number");
                    self.confirmed.lock().push((text, number("partition") as i32, number("offset")));
                }
                Err(error) => self.failed.lock().entry(error.code().as_str()).or_default().push(text),
            }
        }
    }

    /// Compares with what the topic holds.
    async fn check(&self, what: &str, fixture: &Fixture) {
        let held = fixture.records().await;
        let texts: BTreeSet<String> = held.iter().map(crate::independent::Raw::text).collect();
        let by_place: BTreeMap<_, _> =
            held.iter().map(|record| ((record.partition, record.offset), record.text())).collect();
        let confirmed = self.confirmed.lock();
        let lost = confirmed
            .iter()
            .filter(|(text, partition, offset)| by_place.get(&(*partition, *offset)) != Some(text))
            .count();
        let duplicated = held.len() - texts.len();
        let failed = self.failed.lock();
        let counts: BTreeMap<_, _> = failed.iter().map(|(code, texts)| (*code, texts.len())).collect();
        say(&format!(
            "{what}: sent {}, confirmed {}, failed {counts:?}, in the topic {}, lost {lost}, duplicated {duplicated}",
            self.sent.load(Ordering::Relaxed),
            confirmed.len(),
            held.len()
        ));
        assert_eq!(lost, 0, "a confirmed record is not where its receipt says");
        assert_eq!(duplicated, 0, "a record stands twice");
        for (code, failed) in &*failed {
            let there = failed.iter().filter(|text| texts.contains(*text)).count();
            match *code {
                "OUTCOME_UNKNOWN" => {}
                "TIMEOUT" | "UNAVAILABLE" => assert_eq!(there, 0, "{code} promises that nothing was sent"),
                other => panic!("{other} is no answer to a dead broker: {failed:?}"),
            }
        }
        // What a sender sent one after the other stands one after the other.
        let mut last = BTreeMap::<String, usize>::new();
        for record in &held {
            let text = record.text();
            let (sender, number) = text.split_once('/').expect("sender/number");
            let number = number.parse().expect("a number");
            let before = last.insert(sender.to_owned(), number);
            assert!(before.is_none_or(|before| before < number), "{text} stands after {before:?}");
        }
    }
}

/// Sends from eight tasks while `harm` does its work; `harm` gets what the senders were told so far.
async fn send_meanwhile(client: &Client, harm: impl AsyncFnOnce(&Told)) -> Arc<Told> {
    let told = Arc::new(Told::default());
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let (told, client) = (told.clone(), client.clone());
        senders.spawn(async move { told.send_until_enough(&client, sender).await });
    }
    harm(&told).await;
    told.enough.store(true, Ordering::Release);
    senders.join_all().await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_during_invokes_loses_and_doubles_nothing() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 3).await;
    let client = fixture.client();
    let told = send_meanwhile(&client, async |told| {
        for _ in 0..2 {
            let before = told.confirmed();
            until("records are confirmed", async || told.confirmed() > before + 500).await;
            cluster.kill(1).await;
            cluster.start_again(1).await;
        }
        let before = told.confirmed();
        until("records are confirmed again", async || told.confirmed() > before + 500).await;
    })
    .await;
    told.check("broker killed twice during invokes", &fixture).await;
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_of_three_brokers_killed_invokes_go_on() {
    let Some(cluster) = server::own(&["--brokers", "3", "--fast-start"]) else { return };
    let fixture = Fixture::on(cluster.bootstrap());
    fixture.create_topic_with(3, 3, &[]).await;
    let client = fixture.client();
    let of_partition = |told: &Told, partition| {
        told.confirmed.lock().iter().filter(|(_, found, _)| *found == partition).count()
    };
    // Eight keys over three partitions: at least the fullest one has a sender.
    let told = send_meanwhile(&client, async |told| {
        until("records are confirmed", async || told.confirmed() > 500).await;
        let partition = (0..3).max_by_key(|partition| of_partition(told, *partition)).expect("three");
        let leader = fixture.leaders().await[&partition];
        let before = of_partition(told, partition);
        let since = Instant::now();
        cluster.kill(leader as usize).await;
        until("its partition has another leader and goes on", async || {
            of_partition(told, partition) > before + 300
        })
        .await;
        say(&format!("leader killed: its partition went on after at most {:?}", since.elapsed()));
    })
    .await;
    told.check("one of three brokers killed during invokes", &fixture).await;
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_during_consumption_comes_back_and_nothing_is_lost() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 3).await;
    fixture.write("maxUncommitted: 100");
    fixture.produce_numbers(0..3_000, 3).await;
    let client = fixture.client();
    let log = Log::default();
    log.attach(&client, "the only one", Duration::from_millis(2)).await;
    until("some are handled", async || log.len() > 300).await;
    cluster.kill(1).await;
    cluster.start_again(1).await;
    until_within(2 * PATIENCE, "all are handled", async || log.distinct() == 3_000).await;
    let figures = figures("broker killed during consumption", &numbers(0..3_000), &log.all());
    assert_eq!((figures.lost, figures.out_of_order), (0, 0));
    fixture.until_committed(&[1_000; 3]).await;
    close(&client).await;
}

#[tokio::test]
async fn an_input_tells_that_its_broker_is_gone_and_then_that_it_is_back() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    fixture.produce_numbers(0..1, 1).await;
    crate::fixture::receive(&subscription, 1).await;
    assert!(subscription.last_error().is_none());
    cluster.kill(1).await;
    until("the error is told", async || {
        subscription.last_error().is_some_and(|error| error.code() == ErrorCode::Unavailable)
    })
    .await;
    cluster.start_again(1).await;
    until("the error is gone, though no event came", async || subscription.last_error().is_none()).await;
    close(&client).await;
}

#[tokio::test]
async fn closing_is_quick_whatever_the_broker_does() {
    for (harm, settled) in [("kill", false), ("kill", true), ("pause", false), ("pause", true)] {
        let Some(cluster) = server::fragile().await else { return };
        let fixture = Fixture::harming(&cluster, 1).await;
        fixture.produce_numbers(0..1, 1).await;
        let client = fixture.client();
        send(&client, Request::new("x")).await.expect("sent");
        let subscription = subscribe(&client).await;
        let events = pull(&subscription, 1).await;
        if harm == "kill" {
            cluster.kill(1).await;
        } else {
            cluster.pause(1).await;
        }
        let mut expected = "nothing was left to record";
        if settled {
            crate::fixture::settle(&subscription, &events, &bindwright::Outcome::Ack);
            expected = "an error: what was settled could not be recorded";
        }
        let since = Instant::now();
        let closed = client.close(Duration::from_secs(1)).await;
        say(&format!("closed after {harm} in {:?}: {:?}", since.elapsed(), closed.as_ref().err()));
        assert!(since.elapsed() < Duration::from_secs(5), "{harm}: {:?}", since.elapsed());
        assert_eq!(closed.is_err(), settled, "{harm}: expected {expected}");
    }
}

#[tokio::test]
async fn closing_is_quick_while_the_first_partitions_are_being_assigned() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 3).await;
    let client = fixture.client();
    let _subscription = subscribe(&client).await;
    until("the consumer joined", async || fixture.members().await == 1).await;
    cluster.pause(1).await;
    let since = Instant::now();
    client.close(Duration::from_secs(1)).await.expect("closed");
    assert!(since.elapsed() < DRAIN + Duration::from_secs(3), "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_input_opened_without_a_broker_starts_when_there_is_one() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    fixture.produce_numbers(0..3, 1).await;
    cluster.kill(1).await;
    let client = fixture.client();
    let since = Instant::now();
    let subscription = subscribe(&client).await;
    assert!(since.elapsed() < Duration::from_secs(1), "subscribing waits for nobody");
    cluster.start_again(1).await;
    assert_eq!(crate::fixture::receive(&subscription, 3).await.len(), 3);
    close(&client).await;
}
