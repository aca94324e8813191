//! What holds for any input: bodies, names, addresses, and the application's answers.

use std::time::Duration;

use bindwright::ErrorCode;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::fixture::{Fixture, Running, until};
use super::test_app::{TestApp, body, ok};

/// So many values of a kind; the seed is told where a test fails.
fn some_of<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Any JSON value with numbers that 64-bit floating point has.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Value::from(if number.is_finite() { number } else { 0.5 })),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Whether two values say the same; whole numbers come back without a fraction.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

async fn still_serves(server: &Running, after: &str) {
    let answer = server.invoke("echo", r#"{"operation":"list"}"#).await;
    assert_eq!(answer.status.as_u16(), 204, "after {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_data_comes_back_as_it_was_meant() {
    let server = Fixture::new().start().await;
    for value in some_of(&any_value(), 300) {
        let answer = server.invoke("echo", json!({ "operation": "create", "data": value }).to_string()).await;
        assert_eq!(answer.status.as_u16(), 200, "{value}");
        assert!(same(&answer.json(), &value), "{value} came back as {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_body_is_answered() {
    let server = Fixture::new().start().await;
    let pieces = prop_oneof![
        Just(r#"{"operation":"#.as_bytes().to_vec()),
        Just(br#""create""#.to_vec()),
        Just(br#","data":"#.to_vec()),
        Just(br#","metadata":{"#.to_vec()),
        Just(b"}".to_vec()),
        any_value().prop_map(|value| value.to_string().into_bytes()),
        vec(any::<u8>(), 0..8),
    ];
    for parts in some_of(&vec(pieces, 0..8), 500) {
        let body = parts.concat();
        let status = server.invoke("echo", body.clone()).await.status.as_u16();
        assert!([200, 204, 400, 500].contains(&status), "{status}: {}", String::from_utf8_lossy(&body));
    }
    still_serves(&server, "any body").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_is_looked_for_as_it_is() {
    let server = Fixture::new().start().await;
    for name in some_of(&any::<String>(), 300) {
        let escaped =
            percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC).to_string();
        let answer = server.invoke(&escaped, r#"{"operation":"create"}"#).await;
        // Of a path nothing is left for some names: no binding can be called so.
        if ["", ".", ".."].contains(&name.as_str()) || name.contains('/') {
            assert!([404, 500].contains(&answer.status.as_u16()), "{name:?}");
            continue;
        }
        let (status, _, message) = answer.error();
        let expected = format!("error invoking output binding {name}: couldn't find output binding {name}");
        assert_eq!((status, message), (500, expected));
    }
    still_serves(&server, "any name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_addresses_are_listened_on_or_refused_with_an_error() {
    let address = prop_oneof![
        3 => Just("127.0.0.1".to_owned()),
        1 => Just("[::1]".to_owned()),
        2 => Just("localhost".to_owned()),
        1 => Just("256.0.0.1".to_owned()),
        1 => Just("127.0.0.1:80".to_owned()),
        1 => Just("[::1".to_owned()),
        1 => Just("192.0.2.7".to_owned()),
        2 => "[0-9a-z:.\\[\\] ]{0,12}",
    ];
    for addresses in some_of(&vec(address, 1..3), 40) {
        let fixture = Fixture::new().flags(&[&format!("--dapr-listen-addresses={}", addresses.join(","))]);
        // A name server that does not answer takes its time.
        let started =
            tokio::time::timeout(Duration::from_mins(2), fixture.try_start()).await.expect("an answer");
        match started {
            Ok(server) => {
                still_serves(&server, &format!("{addresses:?}")).await;
                server.end().await;
            }
            Err(error) => assert_eq!(error.code(), ErrorCode::InvalidOptions, "{addresses:?}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_answer_of_the_application_settles_the_event_or_brings_it_again_and_its_outputs_get_what_it_says()
{
    let name = prop_oneof![6 => Just("first"), 6 => Just("second"), 1 => Just("nothing")];
    let concurrency =
        prop_oneof![Just(json!("parallel")), Just(json!("SEQUENTIAL")), Just(Value::Null), Just(json!("x"))];
    for (to, data, concurrency) in some_of(&(vec(name, 0..4), any_value(), concurrency), 40) {
        let answer = json!({ "to": to, "data": data, "concurrency": concurrency, "other": data }).to_string();
        let app = TestApp::start(move |seen, before| match seen.path.as_str() {
            // The second time it thinks better of it.
            "/orders" if before == 0 => body(answer.clone()),
            _ => ok(),
        })
        .await;
        let fixture = Fixture::new().flags(&["--app-port", &app.port.to_string()]);
        for queue in ["orders", "first", "second"] {
            fixture
                .queue(queue, &[("direction", if queue == "orders" { "input, output" } else { "output" })]);
        }
        let server = fixture.start().await;
        server.invoke("orders", r#"{"operation":"create","data":1}"#).await;
        until("settled", async || server.size("orders").await == 0).await;
        let fails = to.contains(&"nothing");
        assert_eq!(app.posts("/orders").len(), 1 + usize::from(fails), "{to:?}");
        for queue in ["first", "second"] {
            let wanted = to.iter().filter(|name| **name == queue).count() as u64;
            let sent = server.size(queue).await;
            // Those before the one that failed may have been sent.
            assert!(sent == wanted || fails && sent < wanted, "{to:?} {concurrency}: {queue} got {sent}");
        }
        server.end().await;
    }
}
