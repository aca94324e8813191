//! `dlq`: what is listed, what is sent back, and that nothing is sent back twice.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use bindwright::{HandOut, Outcome, Request};

use crate::broker::{Fixture, PATIENCE, stderr, until};

/// `orders`, whose dead letters go to `failed`.
fn fixture() -> Option<Fixture> {
    let fixture = Fixture::new()?;
    fixture.create_topic("orders", 1, &[]);
    fixture.create_topic("failed", 2, &[]);
    let (topic, group, failed) = (fixture.topic("orders"), fixture.topic("group"), fixture.topic("failed"));
    fixture.component(
        "orders",
        &[
            ("topics", &topic),
            ("publishTopic", &topic),
            ("consumerGroup", &group),
            ("initialOffset", "oldest"),
            ("deadLetterBinding", "failed"),
        ],
    );
    fixture.component("failed", &[("publishTopic", &failed)]);
    Some(fixture)
}

/// What dispatch would send.
fn letter(fixture: &Fixture, number: usize) -> Request {
    Request::new(format!("order {number}"))
        .with("__key", (number % 10).to_string())
        .with("deadLetterTopic", fixture.topic("orders"))
        .with("deadLetterSource", "orders")
        .with("deadLetterCode", if number.is_multiple_of(2) { "ValueError" } else { "KeyError" })
}

fn replayed(fixture: &Fixture) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in fixture.records("orders") {
        if record["metadata"].get("deadLetterReplay").is_some() {
            *counts.entry(record["data"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_dead_letter_goes_back_as_the_event_that_it_was() {
    let Some(fixture) = fixture() else { return };
    let request = Request::new("first").with("partitionKey", "customer 1").with("type", "order");
    fixture.send("orders", vec![request]);
    let client = fixture.client();
    let subscribing = client.subscribe("orders", HandOut::LaneAtATime);
    let subscription = client.block_on(subscribing, || false).unwrap().unwrap();
    let batch = client.block_on(subscription.next_batch(1, Some(PATIENCE)), || false).unwrap().unwrap();
    let cause = Some(Box::new(bindwright::Cause::new("ValueError", "no\u{1b} price")));
    subscription.settle(&[(batch[0].token(), Outcome::DeadLetter { cause })]);
    client.block_on(client.close(Duration::from_secs(20)), || false).unwrap().unwrap();

    let listed = fixture.succeed(&["dlq", "ls", "orders", "--each"]);
    assert!(listed.contains(": 1 pending, 0 done\n"), "{listed}");
    assert!(listed.contains("ValueError") && listed.contains("no\\u{1b} price"), "{listed}");
    let (_, listed) = fixture.json(&["dlq", "ls", "failed", "--each"]);
    let place = format!("{}:{}", listed["letters"][0]["partition"], listed["letters"][0]["offset"]);
    let shown = fixture.succeed(&["dlq", "show", "orders", &place]);
    assert!(shown.contains("deadLetterCause") && shown.ends_with("\nfirst\n"), "{shown}");

    let (code, report) = fixture.json(&["dlq", "replay", "orders", "--yes"]);
    assert_eq!((code, report["count"].as_u64()), (0, Some(1)), "{report}");
    let records = fixture.records("orders");
    assert_eq!(records.len(), 2);
    assert_eq!((&records[1]["data"], &records[1]["key"]), (&records[0]["data"], &records[0]["key"]));
    let headers = |record: &serde_json::Value| -> Vec<(String, String)> {
        let entries = record["metadata"].as_object().unwrap().iter();
        entries
            .filter(|(name, _)| !name.starts_with("__"))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect()
    };
    let mut expected = headers(&records[0]);
    expected.push((
        "deadLetterReplay".to_owned(),
        format!("{}/{}", fixture.topic("failed"), place.replace(':', "/")),
    ));
    expected.sort();
    let mut sent = headers(&records[1]);
    sent.sort();
    assert_eq!(sent, expected);
    assert_eq!(fixture.json(&["dlq", "replay", "orders", "--yes"]).1["count"], 0);
    assert_eq!(fixture.json(&["dlq", "ls", "orders"]).1["done"], 1);
}

/// Enough for a run to be killed in the middle.
const LETTERS: usize = 1_800;

#[test]
fn a_run_that_is_killed_is_taken_up_where_it_was() {
    let Some(fixture) = fixture() else { return };
    fixture.send("failed", (0..LETTERS).map(|number| letter(&fixture, number)).collect());
    // With this rate a portion is 6 letters, and all of them take longer than anybody takes to look.
    let arguments = ["dlq", "replay", "failed", "--yes", "--rate", "60", "--code", "ValueError"];
    let mut run = fixture.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    until("some are back", || replayed(&fixture).len() >= 100);
    run.kill().unwrap();
    run.wait().unwrap();
    let before = replayed(&fixture).len();
    assert!(before < LETTERS / 2, "it was done before it was killed");

    let (code, report) = fixture.json(&["dlq", "replay", "failed", "--yes"]);
    assert_eq!(code, 0, "{report}");
    let counts = replayed(&fixture);
    assert_eq!(counts.len(), LETTERS, "every letter is back");
    let twice = counts.values().sum::<usize>() - LETTERS;
    assert!(twice <= 6, "{twice} came twice");
    assert_eq!(usize::try_from(report["count"].as_u64().unwrap()).unwrap(), LETTERS + twice - before);
    assert_eq!(fixture.json(&["dlq", "replay", "failed", "--yes"]).1["count"], 0);
}

#[test]
fn two_runs_at_once_do_not_do_the_same() {
    let Some(fixture) = fixture() else { return };
    fixture.send("failed", (0..200).map(|number| letter(&fixture, number)).collect());
    let mut first = fixture.command(&["dlq", "replay", "failed", "--yes", "--rate", "10"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the first has begun", || !replayed(&fixture).is_empty());
    let second = fixture.run(&["dlq", "drop", "failed", "--yes", "--timeout", "3s"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another run settles these dead letters"), "{}", stderr(&second));
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn what_is_dropped_or_filtered_out_is_not_sent() {
    let Some(fixture) = fixture() else { return };
    let foreign = Request::new("foreign").with("partitionNumber", "0");
    let letters = (0..4).map(|number| letter(&fixture, number));
    fixture.send("failed", letters.chain([foreign]).collect());

    let output = fixture.run(&["dlq", "replay", "failed"]);
    assert_eq!(output.status.code(), Some(2), "nobody is there to be asked");
    let planned = fixture.succeed(&["dlq", "replay", "failed", "--dry-run", "--code", "KeyError"]);
    assert!(planned.contains(&format!("  2 to {}, through orders\n", fixture.topic("orders"))), "{planned}");
    assert!(planned.contains("nothing is remembered of an earlier run"), "{planned}");
    assert_eq!(replayed(&fixture).len(), 0);

    let dropped = fixture.succeed(&["dlq", "drop", "failed", "--yes", "--code", "ValueError"]);
    assert_eq!(dropped, "dropped 2\n");
    let output = fixture.run(&["dlq", "replay", "failed", "--yes"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("replayed 2\nleft 1: another program wrote it: "), "{text}");
    assert_eq!(replayed(&fixture).into_keys().collect::<Vec<_>>(), ["order 1", "order 3"]);
}
