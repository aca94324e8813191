//! Tests with documents that want to cost more than they may.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

#[test]
fn an_alias_bomb_is_a_fault() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..40 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").expect("memory");
    }
    let (at, message) = fault(&read(&text));
    assert!(at.line < 8, "{at}");
    assert!(message.starts_with("aliases stand for too much, more than "), "{message}");
}

#[test]
fn a_chain_of_aliases_is_no_deeper_than_brackets() {
    let mut text = String::from("- &a0 [x]\n");
    for level in 1..50_000 {
        writeln!(text, "- &a{level} [*a{}]", level - 1).expect("memory");
    }
    assert_eq!(fault(&read(&text)).1, "nested more than 64 levels deep");
    assert_eq!(fault(&read("a: &a [*a]")), (place(1, 8), "an alias names a value that contains it".into()));
}

#[test]
fn a_depth_bomb_is_a_fault() {
    for (opening, count) in [("[", 100_000), ("{a: ", 100_000), ("- ", 100_000), ("? ", 100_000)] {
        let manifest = read(&opening.repeat(count));
        assert_eq!(manifest.faults.len(), 1, "{opening}");
    }
    let deep = |levels: usize| format!("{}x{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(fault(&read(&deep(65))), (place(1, 65), "nested more than 64 levels deep".into()));
    assert_eq!(fault(&read(&deep(64))).1, "expected a component document, a mapping of fields");
}

#[test]
fn a_document_of_two_megabytes_is_read() {
    let long = "x".repeat(1 << 20);
    let items = (0..20_000).fold(format!("  - name: long\n    value: {long}\n"), |text, number| {
        text + &format!("  - name: setting{number}\n    value: \"{number:020}\"\n")
    });
    let manifest = with_items(&items);
    assert_eq!(values(&manifest).len(), 20_001);
    assert_eq!(manifest.components[0].properties[20_000].name_place.line, 8 + 40_000);
}

#[test]
fn aliases_of_long_texts_count_with_their_length() {
    let long = "x".repeat(10_000);
    let aliases = |count: usize| format!("a: &a {long}\nb: [{}]\n", vec!["*a"; count].join(", "));
    assert!(fault(&read(&aliases(20))).1.starts_with("aliases stand for too much"));
    assert!(read(&aliases(2)).faults.is_empty());
    // A few short ones are always possible.
    let items = vec!["  - *i"; 30].join("\n");
    assert_eq!(values(&with_items(&format!("  - &i {{name: a, value: b}}\n{items}"))), ["b"]);
}

#[test]
fn a_document_has_at_most_two_million_values() {
    let manifest = read(&format!("[{}]", "a,".repeat(2_100_000)));
    assert_eq!(fault(&manifest).1, "the document has more than 2000000 values");
}

#[test]
fn faults_are_told_as_far_as_anybody_reads() {
    let manifest = with_items(&"  - c\n".repeat(5000));
    assert_eq!(manifest.faults.len(), 100);
    let manifest = read(&"---\nkind: [\n".repeat(5000));
    assert_eq!(manifest.faults.len(), 1001);
    assert_eq!(manifest.faults[1000].message(), "the file has more than 1000 faults");
    let resiliency = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: a}\nspec:\n";
    let fields: Vec<String> = (0..5000).map(|number| format!("  x{number}: 1\n")).collect();
    let manifest = read(&(resiliency.to_owned() + &fields.concat()));
    assert_eq!(manifest.faults.len(), 100);
}

/// Enough to find what is easy to find, and little enough to wait for.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

/// Reads a text and checks what must hold of any: nothing panics, and every place is one of the text.
fn survives(text: &[u8]) {
    let Ok(manifest) = Manifest::parse_in(NOBODY, text, "a.yaml") else { return };
    // To YAML, either is the end of a line.
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    for fault in &manifest.faults {
        let at = fault.place_in_file().expect("a place");
        assert!(at.line >= 1 && at.line <= lines + 1 && at.column >= 1, "{fault}");
    }
    for component in &manifest.components {
        assert!(fill(component, &Identity::default()).is_ok() || !component.properties.is_empty());
        assert!(!component.name.is_empty() && component.place.line <= lines);
    }
}

fn yamlish() -> impl Strategy<Value = String> {
    const TOKENS: &[&str] = &[
        "- ",
        ": ",
        "? ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a ",
        "&b ",
        "*b ",
        "<<: ",
        "\n",
        "\n  ",
        "\n    ",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "!!int ",
        "!!str ",
        "!x ",
        "!<y> ",
        "---\n",
        "\n---\n",
        "...\n",
        "# c\n",
        "%YAML 1.1\n",
        "\t",
        "é",
        "\u{2028}",
        "a",
        "b",
        "on",
        "010",
        ".inf",
        "1e3",
        "~",
        "\r\n",
        "\r",
        "\u{0}",
        "\u{feff}",
        "@",
        "`",
        "\\",
        "\\x41",
        "apiVersion: dapr.io/v1alpha1\n",
        "kind: Component\n",
        "kind: Resiliency\n",
        "metadata: {name: a}\n",
        "metadata:\n  name: b\n",
        "spec:\n  type: bindings.x\n",
        "  metadata:\n",
        "  - name: c\n    value: ",
        "  - {name: d, envRef: e}\n",
        "    secretKeyRef: {name: f}\n",
        "scopes: [",
        "auth: {secretStore: ",
    ];
    prop::collection::vec(prop::sample::select(TOKENS), 0..120).prop_map(|tokens| tokens.concat())
}

/// Any JSON without fractions, which may be written in another way.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// As YAML that means the same: JSON, with what YAML does not print escaped.
fn quoted(json: &serde_json::Value) -> String {
    let text = json.to_string();
    let is_plain = |letter: char| letter.is_ascii() && letter != '\u{7f}';
    let escaped = |letter: char| match u32::from(letter) {
        _ if is_plain(letter) => letter.to_string(),
        number => format!("\\U{number:08x}"),
    };
    text.chars().map(escaped).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        survives(&bytes);
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survives(text.as_bytes());
        survives(format!("{}  metadata:\n  - name: a\n    value: {text}\n", document("a")).as_bytes());
    }

    #[test]
    fn anything_that_looks_like_yaml_is_survived(text in yamlish()) {
        survives(text.as_bytes());
        survives(format!("{}{text}", document("a")).as_bytes());
    }

    #[test]
    fn any_text_in_quotes_arrives_as_it_is(text in any::<String>()) {
        let quoted = quoted(&text.clone().into());
        let manifest = with_items(&format!("  - name: a\n    value: {quoted}"));
        prop_assert_eq!(values(&manifest), [text.as_str()]);
    }

    #[test]
    fn any_json_stays_what_it_is(json in json()) {
        let expected = match &json {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let manifest = with_items(&format!("  - name: a\n    value: {}", quoted(&json)));
        let found = values(&manifest)[0];
        if json.is_object() || json.is_array() {
            let found: serde_json::Value = serde_json::from_str(found).expect("JSON");
            prop_assert_eq!(found, json);
        } else {
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_scalar_means_something(text in "[-+]?[0-9._xobeE:]{0,12}|[a-zA-Z.~]{0,6}") {
        survives(format!("{}  version: {text}\n", document("a")).as_bytes());
    }
}
