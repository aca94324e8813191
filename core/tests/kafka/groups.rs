//! Several consumers in one group: sharing, handing over, and what outdated tokens are worth.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bindwright::{HandOut, Outcome, Request};

use crate::counting::{Log, figures, numbers};
use crate::fixture::{Fixture, close, hold, number, receive, send, settle, subscribe, texts, until};

/// One consumer works, a second one joins and works, the first one leaves; then the second finishes alone.
async fn share_and_leave(strategy: &str) {
    let Some(fixture) = Fixture::with_topic(6).await else { return };
    fixture.write(&format!("consumerGroupRebalanceStrategy: {strategy}\nmaxUncommitted: 100"));
    let log = Log::default();
    let (first, second) = (fixture.client(), fixture.client());
    let enough = AtomicBool::new(false);
    // Sends about 2000 events a second, so that there is work at every moment.
    let send = async {
        let sender = fixture.client();
        let mut sent = 0;
        while !enough.load(Ordering::Acquire) {
            let request = |number: usize| {
                Request::new(number.to_string()).with("partitionNumber", (number % 6).to_string())
            };
            let requests = (sent..sent + 60).map(request).collect();
            let results = sender.invoke_many("orders", "create", requests, None).await.expect("sent");
            assert!(results.iter().all(Result::is_ok));
            sent += 60;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        close(&sender).await;
        sent
    };
    let share = async {
        log.attach(&first, "first", Duration::from_millis(1)).await;
        until("the first works", async || log.count_by("first") > 200).await;
        log.attach(&second, "second", Duration::from_millis(1)).await;
        until("the second works", async || log.count_by("second") > 200).await;
        let before = log.count_by("first");
        until("the first goes on", async || log.count_by("first") > before + 200).await;
        close(&first).await;
        let before = log.count_by("second");
        until("the second goes on", async || log.count_by("second") > before + 200).await;
        enough.store(true, Ordering::Release);
    };
    let (sent, ()) = tokio::join!(send, share);
    until("all is handled", async || log.distinct() == sent).await;
    close(&second).await;
    let figures = figures(&format!("two consumers, {strategy}"), &numbers(0..sent), &log.all());
    assert_eq!((figures.lost, figures.duplicated, figures.out_of_order), (0, 0, 0));
    assert_eq!(fixture.committed().await, [Some(sent as i64 / 6); 6]);
}

/// Both members of a new group start where its first member decided, whoever is first.
#[tokio::test]
async fn members_that_start_a_group_together_agree_where_it_starts() {
    let Some(fixture) = Fixture::with_topic(4).await else { return };
    fixture.write("initialOffset: newest");
    fixture.produce_numbers(0..8, 4).await;
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    let log = Log::default();
    for client in &clients {
        log.attach(client, "one of three", Duration::ZERO).await;
    }
    fixture.until_committed(&[2; 4]).await;
    until("all have joined", async || fixture.members().await == 3).await;
    fixture.produce_numbers(8..40, 4).await;
    fixture.until_committed(&[10; 4]).await;
    let mut texts: Vec<usize> =
        log.all().iter().map(|handled| handled.text.parse().expect("a number")).collect();
    texts.sort_unstable();
    assert_eq!(texts, (8..40).collect::<Vec<_>>());
    for client in &clients {
        close(client).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_share_and_hand_over_without_loss_or_repetition() {
    share_and_leave("range").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_cooperative_consumers_share_and_hand_over_without_loss_or_repetition() {
    share_and_leave("sticky").await;
}

#[tokio::test]
async fn tokens_from_before_a_rebalance_are_ignored() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.write("sessionTimeout: 1s\nheartbeatInterval: 200ms");
    fixture.produce_numbers(0..8, 2).await;
    let (first, second) = (fixture.client(), fixture.client());
    let subscription = first.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let events = hold(&subscription, 8).await;
    let rival = subscribe(&second).await;
    // All partitions are given back, and what was not settled in time counts no more.
    let theirs = receive(&rival, 4).await;
    assert!(events.iter().all(|event| !event.is_current()));
    assert_eq!(settle(&subscription, &events, &Outcome::Ack), 0);
    let ours = receive(&subscription, 4).await;
    let partition = |events: &[bindwright::Event]| number(&events[0], "__partition");
    assert_ne!(partition(&theirs), partition(&ours));
    let mut all: Vec<_> = texts(&theirs).into_iter().chain(texts(&ours)).collect();
    all.sort_unstable();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    fixture.until_committed(&[4, 4]).await;
    close(&first).await;
    close(&second).await;
}

#[tokio::test]
async fn what_is_settled_while_partitions_are_given_back_is_committed() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    fixture.produce_numbers(0..2, 2).await;
    let (first, second) = (fixture.client(), fixture.client());
    let subscription = first.subscribe("orders", HandOut::Freely).await.expect("subscribed");
    let events = hold(&subscription, 2).await;
    let rival = subscribe(&second).await;
    // The first one is asked to give its partitions back and waits for these handlers.
    until("the hand-over has begun", async || events.iter().all(|event| !event.is_current())).await;
    assert_eq!(settle(&subscription, &events, &Outcome::Ack), 2, "a handler that already ran may finish");
    fixture.until_committed(&[1, 1]).await;
    fixture.produce_numbers(2..4, 2).await;
    assert_eq!(receive(&rival, 1).await.len(), 1);
    assert_eq!(receive(&subscription, 1).await.len(), 1);
    close(&first).await;
    close(&second).await;
}

#[tokio::test]
async fn a_client_that_only_sends_joins_no_group_and_two_subscriptions_are_two_members() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
    let client = fixture.client();
    send(&client, Request::new("x")).await.expect("sent");
    assert_eq!(fixture.members().await, 0);
    let _one = subscribe(&client).await;
    let two = subscribe(&client).await;
    until("both are in", async || fixture.members().await == 2).await;
    two.stop(std::time::Instant::now()).await.expect("stopped");
    until("one has left", async || fixture.members().await == 1).await;
    close(&client).await;
    until("all have left", async || fixture.members().await == 0).await;
}
