//! Bodies and JSON: what fastavro wrote, what does not fit, what wants to do harm. Generated schemas: `generated.rs`.

mod generated;
mod hostile;

use serde_json::{Value, json};

use super::decode::decode;
use super::encode::{Form, encode};
use super::schema::Schema;

/// How it was made is in `tests/avro/fixtures.py`.
const FIXTURES: &str = include_str!("../../../../../../tests/avro/fixtures.json");

struct Fixture {
    name: String,
    schema: Schema,
    body: Vec<u8>,
    forms: [(Form, Value); 2],
}

fn fixtures() -> Vec<Fixture> {
    let fixtures: Vec<Value> = serde_json::from_str(FIXTURES).expect("JSON");
    let fixture = |fixture: Value| Fixture {
        name: fixture["name"].as_str().expect("a name").to_owned(),
        schema: schema(&fixture["schema"]),
        body: bytes(fixture["hex"].as_str().expect("bytes")),
        forms: [(Form::Plain, fixture["plain"].clone()), (Form::Avro, fixture["avro"].clone())],
    };
    fixtures.into_iter().map(fixture).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |index| u8::from_str_radix(&hex[index..index + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn schema(schema: &Value) -> Schema {
    Schema::parse(&schema.to_string(), &[]).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn written(schema: &Schema, value: &Value, form: Form) -> Result<Vec<u8>, String> {
    encode(schema, value.to_string().as_bytes(), form, Vec::new()).map_err(|misfit| misfit.to_string())
}

fn read(schema: &Schema, body: &[u8], form: Form) -> Result<Value, String> {
    let json = decode(schema, body, form).map_err(|misfit| misfit.to_string())?;
    Ok(serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{error}: {json:?}")))
}

#[test]
fn bodies_of_fastavro_are_read_and_written_alike() {
    for Fixture { name, schema, body, forms } in fixtures() {
        for (form, value) in forms {
            assert_eq!(read(&schema, &body, form).as_ref(), Ok(&value), "{name} as {form:?}");
            assert_eq!(written(&schema, &value, form).as_ref(), Ok(&body), "{name} as {form:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let line = json!({"type": "record", "name": "Line", "fields": [
        {"name": "price", "type": "long"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}, "default": "B"},
        {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "default": "\u{1}"},
    ]});
    let order = schema(&json!({"type": "record", "name": "Order", "fields": [
        {"name": "lines", "type": {"type": "array", "items": line}},
        {"name": "by key", "type": {"type": "map", "values": ["null", "Line"]}, "default": {}},
        {"name": "sum", "type": ["null", "int", "string"], "default": null},
        {"name": "hash", "type": ["null", {"type": "fixed", "name": "Hash", "size": 2}], "default": null},
        {"name": "broken", "type": "int", "default": 0},
    ]}));
    for (value, expected) in [
        (
            json!({"lines": [{"price": 1}, {"price": 2}, {"price": "x"}]}),
            r#"$.lines[2].price: expected long, got "x""#,
        ),
        (json!({"lines": [{"price": 1.0}]}), "$.lines[0].price: expected long, got 1.0"),
        (
            json!({"lines": [{"price": 9_223_372_036_854_775_808_u64}]}),
            "$.lines[0].price: expected long, got 9223372036854775808",
        ),
        (
            json!({"lines": [{}]}),
            "$.lines[0].price: expected long, got nothing, and the schema has no default",
        ),
        (json!({"lines": [{"price": 1, "kind": "C"}]}), r#"$.lines[0].kind: expected Kind (A, B), got "C""#),
        (
            json!({"lines": [{"price": 1, "cost": "123.45"}]}),
            r#"$.lines[0].cost: expected decimal(4, 2), got "123.45""#,
        ),
        (
            json!({"lines": [{"price": 1, "prise": 1}]}),
            r#"$.lines[0].prise: Line has no such field; did you mean "price"?"#,
        ),
        (
            json!({"lines": [], "by key": {"k.1": {"price": null}}}),
            r#"$["by key"]["k.1"].price: expected long, got null"#,
        ),
        (json!({"lines": [], "sum": true}), "$.sum: expected one of null, int, string, got true"),
        (json!({"lines": [], "hash": "abc"}), r#"$.hash: expected Hash (2 bytes), got "abc""#),
        (json!({"lines": [], "hash": "\u{100}a"}), "$.hash: expected Hash (2 bytes), got \"\u{100}a\""),
        (json!({"lines": {}}), "$.lines: expected array, got an object"),
        (json!([]), "$: expected Order, got an array"),
    ] {
        assert_eq!(written(&order, &value, Form::Plain).as_ref().map_err(String::as_str), Err(expected));
    }
    let no_json = encode(&order, b"{\"lines\": ", Form::Plain, Vec::new()).expect_err("cut off").to_string();
    assert!(no_json.starts_with("$: expected JSON to encode as Avro: EOF"), "{no_json}");
    let unnamed = written(&order, &json!({"lines": [], "sum": 1}), Form::Avro).expect_err("no name");
    assert_eq!(unnamed, "$.sum: expected an object with one of the names int, string, got 1");
    let unknown =
        written(&order, &json!({"lines": [], "sum": {"long": 1}}), Form::Avro).expect_err("no such name");
    assert_eq!(unknown, "$.sum: expected one of null, int, string, got the type \"long\"");
}

#[test]
fn missing_fields_get_their_defaults() {
    let inner = json!({"type": "record", "name": "Inner", "fields": [
        {"name": "cost", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "default": "\u{4}\u{d2}"},
        {"name": "list", "type": {"type": "array", "items": ["int", "null"]}, "default": [1, null]},
        {"name": "text", "type": "string", "default": "x"},
    ]});
    let outer = schema(&json!({"type": "record", "name": "Outer", "fields": [
        {"name": "inner", "type": inner, "default": {"text": "y"}},
        {"name": "choice", "type": ["string", "null"], "default": "z"},
    ]}));
    let whole = json!({"inner": {"cost": "12.34", "list": [1, null], "text": "y"}, "choice": "z"});
    for form in [Form::Plain, Form::Avro] {
        let body = written(&outer, &json!({}), form).expect("written");
        assert_eq!(read(&outer, &body, Form::Plain), Ok(whole.clone()));
    }
    let bad = schema(
        &json!({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "default": "x"}]}),
    );
    let misfit = written(&bad, &json!({}), Form::Plain).expect_err("no int");
    assert_eq!(misfit, r#"$.a: the schema's default does not fit: $: expected int, got "x""#);
}

#[test]
fn unions_keep_numbers_exact() {
    for (types, value) in [
        (json!(["double", "long"]), json!(9_007_199_254_740_993_i64)),
        (json!(["double", "int"]), json!(5)),
        (json!(["long", "double"]), json!(5.0)),
        (json!(["float", "double"]), json!(0.1)),
        (json!(["float", "double"]), json!(0.123_456_789_012)),
        (json!(["float", "double", "string"]), json!("NaN")),
        (json!(["float"]), json!("-Infinity")),
        (json!(["int", "double"]), json!(3_000_000_000_i64)),
        (json!("double"), json!(114_126_670.142_857_15)),
    ] {
        let union = schema(&types);
        let body = written(&union, &value, Form::Plain).expect("written");
        let back = read(&union, &body, Form::Plain).expect("read");
        assert_eq!(back.as_f64(), value.as_f64(), "{types}: {value}");
        if types != json!(["int", "double"]) {
            assert_eq!(back, value, "{types}");
        }
    }
    let float = schema(&json!("float"));
    assert!(written(&float, &json!(1e300), Form::Plain).is_err(), "no float is so large");
}

#[test]
fn names_are_found_as_avro_says() {
    let referenced = r#"{"type": "record", "name": "Point", "namespace": "geo", "fields": [{"name": "x", "type": "int"}]}"#;
    let user = r#"{"type": "record", "name": "Shape", "namespace": "geo", "fields": [
        {"name": "from", "type": "Point"}, {"name": "to", "type": ["null", "geo.Point"]},
        {"name": "next", "type": ["null", "Shape"]},
        {"name": "state", "type": {"type": "enum", "name": "other.State", "symbols": ["ON"]}},
        {"name": "again", "type": "other.State"}]}"#;
    let schema = Schema::parse(user, &[referenced.to_owned()]).expect("a schema");
    let value =
        json!({"from": {"x": 1}, "to": {"geo.Point": {"x": 2}}, "next": null, "state": "ON", "again": "ON"});
    let body = written(&schema, &value, Form::Avro).expect("written");
    assert_eq!(read(&schema, &body, Form::Avro).as_ref(), Ok(&value));
    // Some leave the namespace out, some write the logical type behind the type.
    let short =
        json!({"from": {"x": 1}, "to": {"Point": {"x": 2}}, "next": null, "state": "ON", "again": "ON"});
    assert_eq!(written(&schema, &short, Form::Avro), Ok(body));
    let time = self::schema(&json!(["null", {"type": "long", "logicalType": "timestamp-millis"}]));
    assert_eq!(written(&time, &json!({"long.timestamp-millis": 1}), Form::Avro), Ok(vec![2, 2]));
}

#[test]
fn schemas_that_cannot_be_are_refused() {
    for (text, expected) in [
        ("{", "it is no JSON"),
        ("7", "expected a type, got 7"),
        (r#""Missing""#, "no type is called \"Missing\""),
        (r#"{"name": "x"}"#, "an object without \"type\""),
        (r#"["int", "int"]"#, "int stands twice in a union"),
        (r#"["int", ["null"]]"#, "a union stands directly in a union"),
        ("[]", "a union without types"),
        (r#"{"type": "array"}"#, "an array without \"items\""),
        (r#"{"type": "fixed", "name": "F", "size": -1}"#, "F: a fixed without \"size\""),
        (
            r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "Q"}]}"#,
            "R.a: no type is called \"Q\"",
        ),
        (r#"{"type": "record", "fields": []}"#, "a record, enum or fixed without \"name\""),
    ] {
        let error = Schema::parse(text, &[]).expect_err(text);
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(5000), "}".repeat(5000));
    assert!(Schema::parse(&deep, &[]).is_err(), "as deep as that no schema goes");
}
