//! Tests of what scalars, lists and mappings become.

use super::*;

#[test]
fn scalars_become_the_text_that_dapr_makes_of_them() {
    let manifest = with_items(
        "  - {name: a, value: 6}\n  - {name: b, value: true}\n  - {name: c, value: 5.5}\n\
         \x20 - {name: d, value: \"hello there\"}\n  - {name: e, value: b}\n  - {name: f, value: null}\n\
         \x20 - {name: g, value: ~}\n  - name: h\n    value:\n\
         \x20 - name: i\n  - {name: j, value: False}\n  - {name: k, value: 'False'}\n\
         \x20 - {name: l, value: !!str TRUE}\n\
         \x20 - {name: m, value: !!bool TRUE}\n  - name: n\n    value: |\n      one\n      two\n",
    );
    let expected = [
        "6",
        "true",
        "5.5",
        "hello there",
        "b",
        "",
        "",
        "",
        "",
        "false",
        "False",
        "TRUE",
        "true",
        "one\ntwo\n",
    ];
    assert_eq!(values(&manifest), expected);
}

/// Texts of plain scalars as values, and what they become.
fn become_of(pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        let manifest = with_items(&format!("  - name: a\n    value: {text}"));
        assert_eq!(values(&manifest), [*expected], "{text}");
    }
}

#[test]
fn words_for_booleans_are_booleans_in_the_spellings_of_yaml_1_1() {
    for text in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
        become_of(&[(text, "true")]);
    }
    for text in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] {
        become_of(&[(text, "false")]);
    }
    for text in ["yEs", "tRUE", "oN", "t", "f", "yes please", "none"] {
        become_of(&[(text, text)]);
    }
    become_of(&[("'yes'", "yes"), ("\"on\"", "on"), ("!!str no", "no"), ("|-\n      off", "off")]);
}

#[test]
fn whole_numbers_are_read_as_go_reads_them() {
    become_of(&[
        ("010", "8"),
        ("0o17", "15"),
        ("0x1F", "31"),
        ("-0X1f", "-31"),
        ("0b101", "5"),
        ("+7", "7"),
        ("-0", "0"),
        ("1_000", "1000"),
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", "18446744073709552000"),
        ("08901", "8901"),
        ("!!int '12'", "12"),
    ]);
    // Neither is any of these a number.
    for text in ["_1", "1__", "0x", "12:30:45", "1.2.3", "+", "5s", "0b12", "1,000"] {
        become_of(&[(text, if text == "1__" { "1" } else { text })]);
    }
}

#[test]
fn fractions_are_written_as_json_writes_them() {
    become_of(&[
        ("1.0", "1"),
        ("1.", "1"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("1.50", "1.5"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("1.5e-10", "1.5e-10"),
        ("-0.0", "-0"),
        ("1e400", "1e400"),
        ("1e", "1e"),
        (".", "."),
        ("!!float 3", "3"),
    ]);
}

#[test]
fn dates_stay_text() {
    for text in ["2001-01-01", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43"] {
        become_of(&[(text, text)]);
    }
}

#[test]
fn numbers_that_json_does_not_have_are_faults_at_their_place() {
    for text in [".inf", "-.Inf", ".NaN", "[1, .nan]"] {
        let (at, message) = fault(&with_items(&format!("  - name: a\n    value: {text}")));
        assert_eq!(
            (at.line, message.as_str()),
            (9, "a: expected a finite number: put it in quotes to have its text")
        );
    }
}

#[test]
fn a_tag_that_contradicts_its_text_is_a_fault() {
    for (text, expected) in [
        ("!!int abc", "a: expected a whole number, because of the tag !!int"),
        ("!!bool 1", "a: expected true or false, because of the tag !!bool"),
        ("!!float x", "a: expected a number, because of the tag !!float"),
        ("!!null x", "a: expected nothing, because of the tag !!null"),
        ("!!binary aGk=", "a: the tag !!binary is not supported: write the text itself"),
    ] {
        assert_eq!(fault(&with_items(&format!("  - name: a\n    value: {text}"))).1, expected);
    }
}

#[test]
fn quoted_text_keeps_its_own_quotes() {
    become_of(&[("'\"a\"'", "\"a\""), ("'`a`'", "`a`"), ("\"'x'\"", "'x'"), (r#""\"a\\n\"""#, "\"a\\n\"")]);
}

#[test]
fn lists_and_mappings_become_compact_json_with_sorted_keys() {
    become_of(&[
        ("[a, b]", r#"["a","b"]"#),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[NAME, on, no, 010, 1.0, ~, '1', 2001-01-01]", r#"["NAME",true,false,8,1,null,"1","2001-01-01"]"#),
        ("{b: 1, a: {d: [], c: x}}", r#"{"a":{"c":"x","d":[]},"b":1}"#),
        ("{on: 1, 2: b, 1.5: c}", r#"{"1.5":"c","2":"b","true":1}"#),
        ("{a: 1, a: 2}", r#"{"a":2}"#),
        (
            r#"["<&>\u2028\u2029\"\\\n\t\x01é"]"#,
            "[\"\\u003c\\u0026\\u003e\\u2028\\u2029\\\"\\\\\\n\\t\\u0001é\"]",
        ),
        ("{<<: {a: 1, b: 2}, b: 3}", r#"{"a":1,"b":3}"#),
        ("{b: 3, <<: [{a: 1}, {a: 2, b: 4, c: 5}]}", r#"{"a":1,"b":3,"c":5}"#),
        ("\n      - x: 1\n        y: |\n          two\n      - z", r#"[{"true":"two\n","x":1},"z"]"#),
    ]);
    for (text, expected) in [
        ("{[a]: 1}", "a: expected a name, got a list or a mapping"),
        ("{~: 1}", "a: expected a name, got nothing: put it in quotes"),
    ] {
        assert_eq!(fault(&with_items(&format!("  - name: a\n    value: {text}"))).1, expected);
    }
}

#[test]
fn fields_of_text_take_what_looks_like_something_else() {
    let field = |text: &str| {
        let manifest = read(&document("a").replace("name: a", &format!("name: {text}")));
        assert!(manifest.faults.is_empty(), "{:?}", manifest.faults);
        manifest.components[0].name.to_string()
    };
    for (text, expected) in [
        ("on", "true"),
        ("5", "5"),
        ("010", "8"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("1000000.0", "1e+06"),
        ("1234567.5", "1.2345675e+06"),
        ("0.00001", "1e-05"),
        ("-.inf", "-Inf"),
        (".nan", "NaN"),
        ("2001-01-01", "2001-01-01"),
    ] {
        assert_eq!(field(text), expected, "{text}");
    }
}

#[test]
fn versions_types_scopes_and_flags_are_coerced_like_values() {
    let text = document("a").replace("bindings.kafka", "5")
        + "  version: 1\n  ignoreErrors: yes\nscopes: [yes, 010]\n";
    let scope = Scope { app_id: Some("8"), namespace: None };
    let manifest = Manifest::parse_in(scope, text.as_bytes(), "a.yaml").expect("no duplicates");
    let component = &manifest.components[0];
    assert_eq!(component.component_type, "5");
    assert_eq!(component.version, "1");
    assert!(component.ignore_errors);
    assert_eq!(component.scopes, ["true", "8"]);
    for (text, expected) in
        [("on", true), ("off", false), ("TRUE", true), ("'yes'", true), ("", false), ("~", false)]
    {
        let manifest = read(&format!("{}  ignoreErrors: {text}\n", document("a")));
        assert_eq!(manifest.components[0].ignore_errors, expected, "{text}");
    }
}
