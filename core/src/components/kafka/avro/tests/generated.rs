//! Generated schemas and data: from JSON to Avro and back it is the same, and `apache-avro` agrees about the bytes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Form, read, schema, written};

/// Schemas with names that a later pass makes unique.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "boolean", "int", "long", "float", "double", "string", "bytes"])
            .prop_map(|name| json!(name)),
        (0_usize..5).prop_map(|size| json!({"type": "fixed", "name": "", "size": size})),
        (1_usize..4).prop_map(|count| {
            let symbols: Vec<_> = (0..count).map(|index| format!("S{index}")).collect();
            json!({"type": "enum", "name": "", "symbols": symbols})
        }),
        Just(json!({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3})),
        Just(json!({"type": "long", "logicalType": "timestamp-micros"})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|values| json!({"type": "map", "values": values})),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|types| {
                let field = |(index, schema)| json!({"name": format!("f{index}"), "type": schema});
                let fields: Vec<_> = types.into_iter().enumerate().map(field).collect();
                json!({"type": "record", "name": "", "fields": fields})
            }),
            prop::collection::vec(inner, 1..5).prop_map(|types| {
                let mut kinds = Vec::new();
                let is_new = |schema: &Value| {
                    let kind = schema.get("type").unwrap_or(schema);
                    // An object in plain JSON is of the first of these that it fits.
                    let kind = if kind == "map" { json!("record") } else { kind.clone() };
                    // What a decimal in plain JSON is cannot be told from a text.
                    let is_choice = schema.is_array() || schema.get("logicalType").is_some();
                    let is_new = !is_choice && !kinds.contains(&kind);
                    kinds.push(kind);
                    is_new
                };
                let mut types: Vec<_> = types.into_iter().filter(is_new).collect();
                if types.is_empty() {
                    types.push(json!("null"));
                }
                Value::Array(types)
            }),
        ]
    })
}

fn give_names(schema: &mut Value, count: &mut usize) {
    match schema {
        Value::Array(types) => types.iter_mut().for_each(|schema| give_names(schema, count)),
        Value::Object(object) => {
            if object.get("name").is_some_and(|name| name == "") {
                *count += 1;
                object.insert("name".to_owned(), json!(format!("N{count}")));
            }
            for inner in ["items", "values"] {
                if let Some(schema) = object.get_mut(inner) {
                    give_names(schema, count);
                }
            }
            let fields = object.get_mut("fields").and_then(Value::as_array_mut);
            for field in fields.into_iter().flatten() {
                give_names(&mut field["type"], count);
            }
        }
        _ => {}
    }
}

/// Chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn long(&mut self) -> i64 {
        let edges = [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN, 9_007_199_254_740_993];
        if self.below(2) == 0 { edges[self.below(edges.len())] } else { self.0.cast_signed() }
    }

    fn text(&mut self) -> String {
        let letters = ['a', '"', '\\', '\n', '\0', 'ä', '☃', '😀'];
        (0..self.below(5)).map(|_| letters[self.below(letters.len())]).collect()
    }

    fn bytes(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(self.below(256).to_le_bytes()[0])).collect()
    }
}

/// Data of a schema as plain JSON. Maps have one entry at most, because `apache-avro` forgets their order.
fn data(schema: &Value, chance: &mut Chance) -> Value {
    if let Some(types) = schema.as_array() {
        return data(&types[chance.below(types.len())], chance);
    }
    if schema.get("logicalType").is_some_and(|kind| kind == "decimal") {
        let number = chance.long() % 1_000_000_000_000;
        let sign = if number < 0 { "-" } else { "" };
        let number = number.unsigned_abs();
        return json!(format!("{sign}{}.{:03}", number / 1000, number % 1000));
    }
    let kind = schema.get("type").unwrap_or(schema).as_str().expect("a type");
    match kind {
        "null" => Value::Null,
        "boolean" => json!(chance.below(2) == 0),
        "int" => json!(i32::try_from(chance.long() % (1 << 31)).expect("31 bits")),
        "long" => json!(chance.long()),
        "float" => json!(f64::from(i16::try_from(chance.below(30_000)).expect("15 bits")) / 8.0),
        "double" => json!(f64::from(u32::try_from(chance.below(1 << 30)).expect("30 bits")) / 7.0),
        "string" => json!(chance.text()),
        "bytes" => {
            let length = chance.below(6);
            json!(chance.bytes(length))
        }
        "fixed" => {
            json!(chance.bytes(usize::try_from(schema["size"].as_u64().expect("a size")).expect("small")))
        }
        "enum" => {
            let symbols = schema["symbols"].as_array().expect("symbols");
            symbols[chance.below(symbols.len())].clone()
        }
        "array" => (0..chance.below(4)).map(|_| data(&schema["items"], chance)).collect(),
        "map" => {
            let entries = (0..chance.below(2)).map(|_| (chance.text(), data(&schema["values"], chance)));
            Value::Object(entries.collect())
        }
        "record" => {
            let fields = schema["fields"].as_array().expect("fields").iter();
            let entry = |field: &Value| {
                (field["name"].as_str().expect("a name").to_owned(), data(&field["type"], chance))
            };
            Value::Object(fields.map(entry).collect())
        }
        other => panic!("no data for {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn json_to_avro_and_back_is_the_same(mut json_schema in schemas(), seed in any::<u64>()) {
        give_names(&mut json_schema, &mut 0);
        let compiled = schema(&json_schema);
        let value = data(&json_schema, &mut Chance(seed));
        let body = written(&compiled, &value, Form::Plain)
            .map_err(|error| TestCaseError::fail(format!("{error}: {json_schema}: {value}")))?;
        prop_assert_eq!(read(&compiled, &body, Form::Plain), Ok(value));
        let named = read(&compiled, &body, Form::Avro).map_err(TestCaseError::fail)?;
        prop_assert_eq!(written(&compiled, &named, Form::Avro), Ok(body.clone()), "{}", named);

        let theirs = apache_avro::Schema::parse(&json_schema).expect("a schema");
        let native = apache_avro::from_avro_datum(&theirs, &mut body.as_slice(), None).expect("readable");
        let again = apache_avro::to_avro_datum(&theirs, native).expect("writable");
        prop_assert_eq!(again, body);
    }
}
