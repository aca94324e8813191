//! Bodies that want to do harm: neither a panic, nor an endless loop, nor memory that nobody has.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Fixture, Form, fixtures, read, schema, written};

fn chain() -> Value {
    json!({"type": "record", "name": "Chain", "fields": [{"name": "next", "type": ["null", "Chain"]}]})
}

#[test]
fn a_body_that_ends_early_or_late_is_refused() {
    for Fixture { name, schema, body, .. } in fixtures() {
        for length in 0..body.len() {
            assert!(read(&schema, &body[..length], Form::Plain).is_err(), "{name}: {length} bytes");
        }
        let longer: Vec<u8> = body.iter().copied().chain([0]).collect();
        let error = read(&schema, &longer, Form::Plain).expect_err("something is left");
        assert!(error.contains("1 bytes are left"), "{name}: {error}");
    }
}

#[test]
fn lengths_and_depths_from_outside_cost_nothing() {
    let endless = json!({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]});
    let empty = json!({"type": "array", "items": {"type": "record", "name": "E", "fields": []}});
    let tree = json!({"type": "record", "name": "T", "fields": [{"name": "t", "type": {"type": "array", "items": "T"}}]});
    let deep = vec![2; 1_000_000];
    let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for (schema_json, body, expected) in [
        (json!("string"), &most[..], "bytes are needed here, and 0 are left"),
        (json!("bytes"), &most, "bytes are needed here"),
        (json!("string"), &[1], "$: a length of -1"),
        (json!("string"), &[4, 0xc3, 0x28], "no UTF-8"),
        (json!({"type": "array", "items": "null"}), &most, "bytes of JSON"),
        (json!({"type": "array", "items": "null"}), &[least.as_slice(), &[0]].concat(), "bytes of JSON"),
        (empty, &most, "bytes of JSON"),
        (
            json!({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
            &most,
            "bytes of JSON",
        ),
        (json!({"type": "map", "values": "null"}), &[2, 1], "$: a length of -1"),
        (chain(), &deep, "more than 500 levels"),
        (tree, &deep, "more than 500 levels"),
        (endless, &[], "more than 500 levels"),
        (json!("long"), &[0xff; 11], "more than 64 bits"),
        (json!("long"), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "more than 64 bits"),
        (json!("int"), &most, "expected an int"),
        (json!("boolean"), &[2], "expected a boolean"),
        (json!(["null", "int"]), &[4], "the union has no type 2"),
        (json!(["null", "int"]), &[1], "the union has no type -1"),
        (json!({"type": "enum", "name": "E", "symbols": ["A"]}), &[2], "E has no symbol 1"),
        (
            json!({"type": "bytes", "logicalType": "decimal", "precision": 4}),
            &[&[0x82, 0x04], [1; 257].as_slice()].concat(),
            "too many digits",
        ),
        (
            json!({"type": "fixed", "name": "F", "size": 9_000_000_000_000_u64}),
            &[0; 9],
            "bytes are needed here",
        ),
    ] {
        let error = read(&schema(&schema_json), body, Form::Plain).expect_err("refused");
        assert!(error.contains(expected), "{schema_json}: {error}");
    }
    assert!(read(&schema(&json!("long")), &most, Form::Plain).is_ok());
}

#[test]
fn data_cannot_make_encoding_endless() {
    // Each level fits both types as far as one can see, and the innermost fits none.
    let both = r#"["null",{"type":"record","name":"X","fields":[{"name":"n","type":["null","X",{"type":"record","name":"Y","fields":[{"name":"n","type":["null","X","Y"]}]}]}]}]"#;
    let both = super::Schema::parse(both, &[]).expect("a schema");
    let mut value = json!(7);
    for _ in 0..120 {
        value = json!({"n": value});
    }
    let error = written(&both, &value, Form::Plain).expect_err("it fits nowhere");
    assert!(error.contains("too many ways"), "{error}");

    // A default that contains itself.
    let default =
        json!({"type": "record", "name": "D", "fields": [{"name": "d", "type": "D", "default": {}}]});
    let error = written(&schema(&default), &json!({}), Form::Plain).expect_err("it has no end");
    assert!(
        error.contains("levels inside of each other") || error.contains("too many ways"),
        "{}",
        error.len()
    );
    // Data that is too deep for JSON's parser.
    let deep = format!("{}null{}", "{\"next\":".repeat(100_000), "}".repeat(100_000));
    assert!(super::encode(&schema(&chain()), deep.as_bytes(), Form::Plain, Vec::new()).is_err());
}

proptest! {
    #[test]
    fn no_body_does_harm(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for Fixture { schema, .. } in fixtures() {
            for form in [Form::Plain, Form::Avro] {
                // Whatever is read is JSON, which `read` checks.
                let _ = read(&schema, &body, form);
            }
        }
    }

    #[test]
    fn no_changed_byte_does_harm(which in any::<proptest::sample::Index>(), place in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let fixtures = fixtures();
        let Fixture { schema, body, .. } = &fixtures[which.index(fixtures.len())];
        let mut body = body.clone();
        let place = place.index(body.len());
        body[place] = byte;
        let _ = read(schema, &body, Form::Plain);
    }

    #[test]
    fn no_text_is_a_harmful_schema(text in "[\\[\\]{}\", :a-z]{0,60}") {
        let _ = super::Schema::parse(&text, &[]);
    }
}
