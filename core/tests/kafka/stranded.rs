//! What could keep a reader from its records for ever, and does not: lost answers, topics made anew, offsets that are
//! gone, a lost membership, a start that nobody decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bindwright::{ErrorCode, HandOut, Outcome, State};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::fixture::{Fixture, close, hold, pull, receive, settle, subscribe, texts, until};
use crate::proxy::Proxy;
use crate::server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_fetches_are_not_answered_is_replaced_and_everything_arrives() {
    let proxy = Proxy::listen().await;
    let Some(cluster) = server::own(&["--fast-start", "--advertise-port", &proxy.port()]) else { return };
    proxy.forward_to(cluster.broker_port());
    let fixture = Fixture::harming(&cluster, 2).await;
    fixture.write("stallTimeout: 1s");
    fixture.produce_numbers(0..4, 2).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    receive(&subscription, 4).await;
    fixture.until_committed(&[2, 2]).await;

    proxy.lose_fetches();
    until("a fetch is not answered", async || proxy.lost() > 0).await;
    fixture.produce_numbers(4..20, 2).await;
    // librdkafka itself would wait for its socket time-out, 60 s.
    let since = Instant::now();
    let mut arrived: Vec<usize> =
        texts(&receive(&subscription, 16).await).iter().map(|text| text.parse().expect("a number")).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, (4..20).collect::<Vec<_>>());
    server::say(&format!("a stalled reader went on after {:?}", since.elapsed()));
    until("it is ready again", async || subscription.health().state == State::Ready).await;
    close(&client).await;
}

#[tokio::test]
async fn offsets_that_are_never_delivered_are_not_taken_for_a_stall() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("stallTimeout: 500ms");
    fixture.produce_in_transactions(&[("kept", true), ("aborted", false)]).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    assert_eq!(texts(&receive(&subscription, 1).await), ["kept"]);
    let member = fixture.member_ids().await;
    assert_eq!(member.len(), 1);
    // The end of the topic is two offsets away for good: long enough for several suspicions.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        let batch = subscription.next_batch(1, Some(Duration::from_millis(100))).await.expect("not ended");
        assert!(batch.is_empty(), "nothing is delivered twice");
        assert_eq!(subscription.health().state, State::Ready);
    }
    assert_eq!(fixture.member_ids().await, member, "the consumer was not replaced");
    close(&client).await;
}

#[tokio::test]
async fn a_topic_deleted_and_made_anew_is_read_from_its_beginning() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    // With the default, whoever takes it for a new group would skip what is there.
    fixture.write("initialOffset: newest\nstallTimeout: 1s");
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    fixture.until_committed(&[0]).await;
    fixture.produce_numbers(0..5, 1).await;
    receive(&subscription, 5).await;
    fixture.until_committed(&[5]).await;

    fixture.delete_topic().await;
    until("the missing topic is told", async || {
        let health = subscription.health();
        health.state == State::Degraded
            && health.error.is_some_and(|error| error.code() == ErrorCode::TargetNotFound)
    })
    .await;
    fixture.create_topic(1).await;
    // As many as there were before, and more: the old position would skip them.
    fixture.produce_numbers(5..12, 1).await;
    assert_eq!(texts(&receive(&subscription, 7).await), ["5", "6", "7", "8", "9", "10", "11"]);
    until("it is ready again", async || subscription.health().state == State::Ready).await;
    fixture.until_committed(&[7]).await;
    close(&client).await;
}

#[tokio::test]
async fn a_topic_made_anew_at_once_is_read_from_its_beginning() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 1).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    fixture.produce_numbers(0..5, 1).await;
    receive(&subscription, 5).await;
    fixture.delete_topic().await;
    fixture.create_topic(1).await;
    fixture.produce_numbers(5..8, 1).await;
    assert_eq!(texts(&receive(&subscription, 3).await), ["5", "6", "7"]);
    close(&client).await;
}

#[tokio::test]
async fn a_committed_offset_beyond_the_end_goes_on_at_the_oldest_record() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("initialOffset: newest");
    fixture.produce_numbers(0..3, 1).await;
    fixture.commit(100).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    assert_eq!(texts(&receive(&subscription, 3).await), ["0", "1", "2"]);
    fixture.until_committed(&[3]).await;
    close(&client).await;
}

#[tokio::test]
async fn records_that_were_deleted_before_they_were_read_are_passed_over() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_numbers(0..10, 1).await;
    fixture.commit(2).await;
    fixture.delete_records_before(6).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    assert_eq!(texts(&receive(&subscription, 4).await), ["6", "7", "8", "9"]);
    fixture.until_committed(&[10]).await;
    close(&client).await;
}

#[tokio::test]
async fn a_member_that_the_group_lost_comes_back_and_its_old_deliveries_count_no_more() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::harming(&cluster, 2).await;
    fixture.write("sessionTimeout: 1s\nheartbeatInterval: 200ms");
    fixture.produce_numbers(0..4, 2).await;
    let client = fixture.client();
    let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let held = hold(&subscription, 4).await;
    cluster.pause(1).await;
    until("the lost membership is told", async || subscription.health().state == State::Degraded).await;
    until("its lanes are closed", async || held.iter().all(|event| !event.is_current())).await;
    // The session has ended for the broker as well, before it can hear of the member.
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.resume(1).await;
    let again = receive(&subscription, 4).await;
    assert_eq!(settle(&subscription, &held, &Outcome::Ack), 0);
    let mut again = texts(&again);
    again.sort_unstable();
    assert_eq!(again, ["0", "1", "2", "3"]);
    fixture.until_committed(&[2, 2]).await;
    until("it is ready again", async || subscription.health().state == State::Ready).await;
    close(&client).await;
}

#[tokio::test]
async fn a_start_that_a_foreign_member_never_decides_is_decided_after_a_session() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.write("sessionTimeout: 2s\nheartbeatInterval: 200ms");
    fixture.produce_numbers(0..4, 2).await;
    let foreign = Foreign::join(&fixture);
    until("the foreign member is in", async || fixture.members().await == 1).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    let since = Instant::now();
    let events = receive(&subscription, 2).await;
    server::say(&format!("a start that nobody decided took {:?}", since.elapsed()));
    assert_eq!(texts(&events), ["1", "3"], "the second partition, as the foreign member has the first");
    close(&client).await;
    drop(foreign);
}

/// A member of the group that takes the topic's first partition and commits nothing.
struct Foreign(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Foreign {
    fn join(fixture: &Fixture) -> Self {
        let mut config = fixture.config();
        // Members are sorted by their ids, which begin with this.
        config.set("client.id", "a-foreign-client").set("group.id", &fixture.group);
        config.set("enable.auto.commit", "false").set("partition.assignment.strategy", "range");
        let consumer: BaseConsumer = config.create().expect("consumer");
        consumer.subscribe(&[&fixture.topic]).expect("subscribed");
        let enough = Arc::new(AtomicBool::new(false));
        let ended = enough.clone();
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                consumer.poll(Duration::from_millis(50));
            }
        });
        Self(enough, Some(thread))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        let _ = self.1.take().map(std::thread::JoinHandle::join);
    }
}

#[tokio::test]
async fn an_input_is_connecting_until_it_has_its_share_and_ready_with_an_empty_one() {
    let Some(cluster) = server::fragile().await else { return };
    let fixture = Fixture::on(cluster.bootstrap());
    let client = fixture.client();
    let first = subscribe(&client).await;
    until("the missing topic is told", async || {
        first.health().error.is_some_and(|error| error.code() == ErrorCode::TargetNotFound)
    })
    .await;
    assert_eq!(first.health().state, State::Connecting);
    fixture.create_topic(1).await;
    until("the first is ready", async || first.health().state == State::Ready).await;
    // One partition for two: one of them gets nothing, and is ready all the same.
    let second = subscribe(&client).await;
    until("both are ready", async || {
        fixture.members().await == 2 && [&first, &second].iter().all(|one| one.health().state == State::Ready)
    })
    .await;
    cluster.kill(1).await;
    until("both tell that the broker is gone", async || {
        [&first, &second].iter().all(|one| one.health().state == State::Degraded)
    })
    .await;
    cluster.start_again(1).await;
    until("both are ready again", async || {
        [&first, &second].iter().all(|one| one.health().state == State::Ready)
    })
    .await;
    fixture.produce_numbers(0..1, 1).await;
    let events = tokio::select! {
        events = pull(&first, 1) => events,
        events = pull(&second, 1) => events,
    };
    assert_eq!(texts(&events), ["0"]);
    close(&client).await;
}
