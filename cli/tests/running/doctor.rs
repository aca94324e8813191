//! `doctor`: what it says of components that are well, and of those that are not.

use serde_json::Value;

use crate::broker::{Fixture, stdout};

/// The step of this name and subject.
fn step<'a>(report: &'a Value, name: &str, subject: &str) -> &'a Value {
    let steps = report["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["step"] == name && step["subject"] == subject);
    found.unwrap_or_else(|| panic!("no step {name} {subject}: {report:#}"))
}

fn fact<'a>(step: &'a Value, name: &str) -> &'a str {
    let found = step["facts"].as_array().unwrap().iter().find(|fact| fact["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {step:#}"))["value"].as_str().unwrap()
}

#[test]
fn all_is_well_where_all_is_well() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic("orders", 3, &[("message.timestamp.type", "LogAppendTime")]);
    let (topic, group) = (fixture.topic("orders"), fixture.topic("group"));
    let settings = [
        ("topics", topic.as_str()),
        ("publishTopic", &topic),
        ("consumerGroup", &group),
        ("initialOffset", "oldest"),
    ];
    fixture.component("orders", &settings);
    fixture.send("orders", (0..7).map(|number| bindwright::Request::new(number.to_string())).collect());

    let (code, report) = fixture.json(&["doctor", &fixture.path()]);
    assert_eq!(
        (code, report["healthy"].as_bool(), report["warnings"].as_u64()),
        (0, Some(true), Some(0)),
        "{report:#}"
    );
    assert_eq!(step(&report, "connect", &fixture.bootstrap)["status"], "ok");
    assert!(fact(step(&report, "cluster", ""), "brokers").contains(&fixture.bootstrap));
    assert_eq!(fact(step(&report, "topic", &topic), "partitions"), "3");
    assert!(fact(step(&report, "permissions", &topic), "allowed").contains("WRITE"));
    assert_eq!(fact(step(&report, "group", &group), "members"), "0");
    assert_eq!(fact(step(&report, "lag", &group), "records not read"), "7");
    assert_eq!(fact(step(&report, "lag", &group), "partitions without an offset"), "3");
    assert!(fact(step(&report, "clock", ""), "compared").contains(&topic));

    let text = fixture.succeed(&["doctor", "orders"]);
    assert!(text.starts_with("orders\n  ok       document") && text.ends_with("\nall well\n"), "{text}");
    // Neither the group nor anything else came into being by looking.
    assert_eq!(fact(step(&report, "group", &group), "state"), "not there");
    let (_, again) = fixture.json(&["doctor"]);
    assert_eq!(fact(step(&again, "group", &group), "state"), "not there");
    assert_eq!(fact(step(&again, "lag", &group), "partitions without an offset"), "3");
}

#[test]
fn what_is_missing_is_a_fault_with_what_to_do_and_is_not_made() {
    let Some(fixture) = Fixture::new() else { return };
    let topic = fixture.topic("missing");
    fixture.component("orders", &[("publishTopic", &topic)]);
    for _ in 0..2 {
        let (code, report) = fixture.json(&["doctor", "orders"]);
        assert_eq!(code, 1);
        let fault = &step(&report, "topic", &topic)["faults"][0];
        assert_eq!(
            (fault["code"].as_str(), fault["component"].as_str()),
            (Some("TARGET_NOT_FOUND"), Some("orders"))
        );
        assert!(fault["advice"].as_str().unwrap().contains("Create it"), "{fault}");
    }
}

#[test]
fn a_topic_that_cannot_take_what_the_component_sends_is_a_warning() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic("small", 1, &[("max.message.bytes", "2000"), ("cleanup.policy", "compact")]);
    let topic = fixture.topic("small");
    fixture.component("small", &[("publishTopic", &topic)]);
    let (code, report) = fixture.json(&["doctor", "small"]);
    assert_eq!((code, report["warnings"].as_u64()), (0, Some(1)), "{report:#}");
    let found = step(&report, "topic", &topic);
    assert_eq!(found["warnings"][0]["code"], "PAYLOAD_TOO_LARGE");
    assert!(found["note"].as_str().unwrap().contains("records without a key are refused"));
}

#[test]
fn brokers_that_are_not_there_are_told_by_name_and_by_port() {
    let Some(fixture) = Fixture::new() else { return };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let brokers = format!("{closed},nobody.invalid:9092");
    fixture.component("away", &[("brokers", &brokers), ("publishTopic", "orders")]);
    let output = fixture.run(&["doctor", "away", "--timeout", "60s"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("away: {closed} accepts no connection")), "{text}");
    assert!(text.contains("away: the host name \"nobody.invalid\" is unknown"), "{text}");
    assert!(text.contains("skipped  cluster") && text.ends_with("\n2 faults\n"), "{text}");
}

#[test]
fn a_group_with_another_strategy_is_a_fault() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic("orders", 1, &[]);
    let (topic, group) = (fixture.topic("orders"), fixture.topic("group"));
    let settings = [("topics", topic.as_str()), ("consumerGroup", &group), ("direction", "input")];
    fixture.component("orders", &settings);
    let other = [("consumerGroupRebalanceStrategy", "roundrobin"), ("clientID", "other")];
    fixture.component("other", &[&settings[..], &other].concat());
    let client = fixture.client();
    let subscribing = client.subscribe("other", bindwright::HandOut::LaneAtATime);
    let _subscription = client.block_on(subscribing, || false).unwrap().unwrap();
    crate::broker::until("it has joined", || {
        let components = client.block_on(client.components(), || false).unwrap().unwrap();
        components.iter().any(|one| one.name == "other" && one.state == bindwright::State::Ready)
    });
    let (code, report) = fixture.json(&["doctor", "orders"]);
    let found = step(&report, "group", &group);
    assert_eq!((code, fact(found, "strategy")), (1, "roundrobin"), "{report:#}");
    assert!(fact(found, "member").starts_with("other on "), "{found}");
    assert!(found["faults"][0]["message"].as_str().unwrap().contains("share partitions by \"roundrobin\""));
    // Whoever looks does not disturb who works.
    assert_eq!(fixture.json(&["doctor", "other"]).0, 0);
}

#[test]
fn faults_of_documents_and_unknown_names_are_told() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.component("wrong", &[("maxMessageBytes", "many")]);
    let (code, report) = fixture.json(&["doctor", &fixture.path()]);
    assert_eq!(code, 1);
    let fault = &step(&report, "document", "")["faults"][0];
    assert_eq!(
        (fault["code"].as_str(), fault["line"].as_u64()),
        (Some("INVALID_SETTINGS"), Some(8)),
        "{fault}"
    );
    let output = fixture.run(&["doctor", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("[COMPONENT_NOT_FOUND]"));
}
