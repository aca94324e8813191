//! `invoke`, `components` and `tail`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use bindwright::{HandOut, Outcome, Request};

use crate::broker::{Fixture, PATIENCE, stderr, stdout};

fn orders(fixture: &Fixture) {
    fixture.create_topic("orders", 2, &[]);
    let (topic, group) = (fixture.topic("orders"), fixture.topic("group"));
    fixture.component(
        "orders",
        &[
            ("topics", &topic),
            ("publishTopic", &topic),
            ("consumerGroup", &group),
            ("initialOffset", "oldest"),
        ],
    );
}

#[test]
fn invoke_sends_bytes_as_they_are_and_tells_where_they_went() {
    let Some(fixture) = Fixture::new() else { return };
    orders(&fixture);
    let key = ["--metadata", "partitionKey=k1"];
    let (code, reply) = fixture.json(&[&["invoke", "orders", "create", "--data", "text"][..], &key].concat());
    assert_eq!((code, reply["metadata"]["offset"].as_str()), (0, Some("0")), "{reply}");
    assert_eq!(reply["data"], serde_json::Value::Null);
    let mut child = fixture.command(&[&["invoke", "orders", "create", "-"][..], &key].concat());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&[0xff, 0, 0x0a]).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(fixture.succeed(&[&["invoke", "orders", "create", "--no-data"][..], &key].concat()), "");
    fixture.succeed(&[&["invoke", "orders", "create"][..], &key].concat());
    let seen: Vec<_> = fixture
        .records("orders")
        .iter()
        .map(|record| {
            (record["data"].as_str().map(str::to_owned), record["dataBase64"].as_str().map(str::to_owned))
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [(text("text"), None), (None, text("/wAK")), (None, None), (text(""), None)]);
}

#[test]
fn invoke_tells_errors_with_their_codes() {
    let Some(fixture) = Fixture::new() else { return };
    orders(&fixture);
    let output = fixture.run(&["invoke", "orders", "fly"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("orders.fly: ") && stderr(&output).contains("[UNSUPPORTED_OPERATION]"));
    let output = fixture.run(&["invoke", "odrers", "create", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["error"]["code"], "COMPONENT_NOT_FOUND");
    assert_eq!(error["error"]["operation"], "create");
    let output = fixture.run(&["invoke", "orders", "create", "--timeout", "soon"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("expected a duration such as 1h30m"), "{}", stderr(&output));
}

#[test]
fn components_are_listed_with_their_faults() {
    let Some(fixture) = Fixture::new() else { return };
    orders(&fixture);
    let (code, listed) = fixture.json(&["components", "--ready"]);
    assert_eq!((code, listed["components"][0]["state"].as_str()), (0, Some("ready")), "{listed}");
    assert_eq!(listed["components"][0]["ways"], serde_json::json!(["input", "output"]));
    fixture.component("lost", &[("maxMessageBytes", "many")]);
    let output = fixture.run(&["components"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("lost    bindings.kafka/v1"), "{}", stdout(&output));
    assert!(stderr(&output).contains("lost.yaml:"), "{}", stderr(&output));
}

#[test]
fn tail_shows_the_newest_in_their_order_and_steers_no_terminal() {
    let Some(fixture) = Fixture::new() else { return };
    orders(&fixture);
    for number in 0..6 {
        let request = Request::new(format!("\u{1b}[2Jorder {number}\nsecond line"));
        let request = request.with("partitionKey", number.to_string()).with("odd", (number % 2).to_string());
        fixture.send("orders", vec![request]);
    }
    let text = fixture.succeed(&["tail", "orders", "--from", "-3", "--no-follow"]);
    assert!(!text.contains('\u{1b}'), "{text}");
    let orders: Vec<_> = text.lines().filter(|line| line.contains("order ")).collect();
    let expected: Vec<_> = (3..6).map(|number| format!("\\u{{1b}}[2Jorder {number}")).collect();
    assert_eq!(orders, expected, "{text}");
    let odd = ["tail", "orders", "--from", "oldest", "--no-follow", "--filter", "odd=1", "--limit", "2"];
    assert_eq!(fixture.succeed(&odd).matches("odd=1").count(), 2);
    assert_eq!(fixture.succeed(&["tail", "orders", "--no-follow"]), "");
}

/// The application's own consumer gets everything, before and after somebody looked on.
#[test]
fn tail_follows_without_taking_anything_from_the_application() {
    let Some(fixture) = Fixture::new() else { return };
    orders(&fixture);
    let client = fixture.client();
    let subscribing = client.subscribe("orders", HandOut::LaneAtATime);
    let subscription = client.block_on(subscribing, || false).unwrap().unwrap();
    let mut tail = fixture.command(&["tail", "orders", "--output", "json", "--from", "oldest"]);
    let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
    fixture.send("orders", (0..10).map(|number| Request::new(number.to_string())).collect());
    let mut lines = BufReader::new(tail.stdout.take().unwrap());
    for _ in 0..10 {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains(&fixture.topic("orders")), "{line}");
    }
    let mut received = 0;
    while received < 10 {
        let batch = client.block_on(subscription.next_batch(10, Some(PATIENCE)), || false).unwrap().unwrap();
        assert!(!batch.is_empty(), "{:?}", subscription.last_error());
        let outcomes: Vec<_> = batch.iter().map(|event| (event.token(), Outcome::Ack)).collect();
        subscription.settle(&outcomes);
        received += batch.len();
    }
    let id = tail.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    assert_eq!(tail.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    client.block_on(client.close(Duration::from_secs(10)), || false).unwrap().unwrap();
}

#[test]
fn tail_names_what_is_wrong() {
    let Some(fixture) = Fixture::new() else { return };
    let missing = fixture.topic("missing");
    fixture.component("missing", &[("topics", &missing), ("consumerGroup", "g")]);
    let output = fixture.run(&["tail", "missing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("topic {missing:?} does not exist")), "{}", stderr(&output));
    let output = fixture.run(&["tail", "missing", "--from", "yesterday"]);
    assert_eq!(output.status.code(), Some(2));
}
