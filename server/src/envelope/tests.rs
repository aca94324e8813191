//! What becomes of bodies.

use proptest::prelude::{ProptestConfig, any, proptest};

use bindwright_wire::json::rewritten;
use serde_json::Value;

use super::*;

fn data(body: &str) -> String {
    String::from_utf8(Envelope::read(body.as_bytes()).unwrap().data).unwrap()
}

#[test]
fn data_is_written_as_dapr_writes_it() {
    for (given, expected) in [
        (r#"{"operation":"create"}"#, "null"),
        (r#"{"data":null}"#, "null"),
        (r#"{"data":"hello"}"#, r#""hello""#),
        (r#"{"data":"aGk="}"#, r#""aGk=""#),
        (r#"{"data":{"b":1,"a":"<x>"}}"#, r#"{"a":"\u003cx\u003e","b":1}"#),
        (r#"{"data":{"b":1,"a":2.0}}"#, r#"{"a":2,"b":1}"#),
        (r#"{"data":1.0}"#, "1"),
        (r#"{"data":9007199254740993}"#, "9007199254740992"),
        (r#"{"data":1e21}"#, "1e+21"),
        (r#"{"data":123456789012345678901234567890}"#, "1.2345678901234568e+29"),
        (r#"{"data":0.000001}"#, "0.000001"),
        (r#"{"data":0.0000001}"#, "1e-7"),
        (r#"{"data":-0.0}"#, "-0"),
        (r#"{"data":5.5}"#, "5.5"),
        (r#"{"data":[1, 2]}"#, "[1,2]"),
        (r#"{"data":true}"#, "true"),
        ("{\"data\":\"\\u0001\\u2028&\\/\\b\"}", "\"\\u0001\\u2028\\u0026/\\b\""),
        (r#"{"DATA":1,"data":2}"#, "2"),
    ] {
        assert_eq!(data(given), expected, "{given}");
    }
}

#[test]
fn names_match_in_any_case_and_what_follows_the_value_is_ignored() {
    let envelope =
        Envelope::read(br#"{"Operation":"get","METADATA":{"k":"v","K":null,"k":"w"},"x":[{}]} {"#).unwrap();
    assert_eq!(envelope.operation, "get");
    assert_eq!(envelope.metadata.get("k").as_deref(), Some("w"));
    assert_eq!(envelope.metadata.get("K").as_deref(), Some(""));
    assert_eq!(envelope.metadata.len(), 2);
    assert_eq!(Envelope::read(b"null").unwrap().operation, "");
}

#[test]
fn what_is_no_envelope_is_refused() {
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for body in [
        "",
        " ",
        "[]",
        "5",
        r#""{\"operation\":\"create\"}""#,
        r#"{"operation":5}"#,
        r#"{"metadata":{"k":1}}"#,
        r#"{"metadata":{"k":true}}"#,
        r#"{"metadata":{"k":{}}}"#,
        r#"{"metadata":[]}"#,
        r#"{"data":1e400}"#,
        r#"{"data":"\ud800"}"#,
        r#"{"data":nan}"#,
        "{",
        &deep,
    ] {
        assert!(Envelope::read(body.as_bytes()).is_err(), "{body}");
    }
    assert!(Envelope::read(b"{\"data\":\"\xff\"}").is_err());
}

#[test]
fn random_bodies_are_read_or_refused_and_what_was_read_reads_the_same_again() {
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"data\"",
        "\"operation\"",
        "\"metadata\"",
        "\"\\u00",
        "\"a\"",
        "null",
        "true",
        "-",
        "1",
        "e",
        "9",
        ".5",
        "E+",
        "\\",
        " ",
        "\n",
        "\u{2028}",
        "\"<&>\"",
        "{\"data\":",
        "{\"operation\":\"create\",\"data\":",
        "ä",
    ];
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut read = 0;
    for _ in 0..50_000 {
        let mut body = String::new();
        for _ in 0..random.usize(1..12) {
            body.push_str(parts[random.usize(..parts.len())]);
        }
        let mut body = body.into_bytes();
        if random.u8(..) == 0 {
            let at = random.usize(..body.len());
            body[at] = random.u8(..);
        }
        if let Ok(envelope) = Envelope::read(&body) {
            let value: Value =
                serde_json::from_slice(&envelope.data).unwrap_or_else(|error| panic!("{seed}: {error}"));
            assert_eq!(rewritten(&value).unwrap().as_bytes(), envelope.data, "{seed}");
            read += 1;
        }
    }
    assert!(read > 50, "{seed}: {read} were read");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Envelope::read(&body);
    }
}
