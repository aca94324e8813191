//! JSON written anew, beside what a tree of values gives.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::Value;

use super::*;

/// Any JSON, members of one name included, as text.
fn any_json() -> impl Strategy<Value = String> {
    let text = proptest::string::string_regex("[a-c<&\u{e4}\u{2028}\\n\"\u{1}]{0,3}").unwrap().boxed();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        text.clone().prop_map(|text| Value::from(text).to_string()),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let member = (text.clone(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(" ,"))),
            proptest::collection::vec(member, 0..6).prop_map(|members| {
                let members: Vec<String> = members
                    .into_iter()
                    .map(|(name, value)| format!("{}: {value}", Value::from(name)))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// The same by a tree of values, whose members are in order and have one name each.
fn by_a_tree(value: &Value, text: &mut String) {
    match value {
        Value::Null | Value::Bool(_) => text.push_str(&value.to_string()),
        Value::Number(number) => write_number(number.as_f64().unwrap(), text),
        Value::String(content) => write_text(content, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                by_a_tree(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            text.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_text(name, text);
                text.push(':');
                by_a_tree(member, text);
            }
            text.push('}');
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_data_is_written_as_a_tree_of_values_would_be(json in any_json()) {
        let mut reader = serde_json::Deserializer::from_str(&json);
        let written = rewritten(&mut reader).unwrap();
        let mut expected = String::new();
        by_a_tree(&serde_json::from_str(&json).unwrap(), &mut expected);
        prop_assert_eq!(&written, &expected);
        // Written once more it stays.
        let mut reader = serde_json::Deserializer::from_str(&written);
        prop_assert_eq!(rewritten(&mut reader).unwrap(), written);
    }
}

#[test]
fn random_numbers_are_written_so_that_they_read_the_same() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..50_000 {
        let number = f64::from_bits(random.u64(..));
        if number.is_finite() {
            let mut text = String::new();
            write_number(number, &mut text);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{seed}: {text}");
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{seed}: {text}");
        }
    }
}
