//! The line of a fault is shown, and what may be secret in it is not.

use crate::error::Place;
use crate::inspect::excerpt::of;

const OPEN: [&str; 3] = ["brokers", "topics", "maxInFlight"];

fn excerpt(text: &str, line: usize, column: usize) -> (String, String) {
    let place = Place { file: "a.yaml".into(), line, column };
    let is_open = |name: &str| OPEN.iter().any(|open| open.eq_ignore_ascii_case(name));
    let found = of(text, &place, &is_open).expect("a line");
    let marked = found.line.chars().skip(found.start).take(found.length).collect();
    (found.line, marked)
}

#[test]
fn the_value_of_an_open_setting_is_shown_and_marked() {
    let text = "  - name: maxInFlight\n    value: many # of them\n";
    assert_eq!(excerpt(text, 2, 12), ("    value: many # of them".to_owned(), "many".to_owned()));
    assert_eq!(excerpt(text, 1, 11).1, "maxInFlight");
    let text = "  - {name: topics, value: \"a b, c\"}\n";
    assert_eq!(
        excerpt(text, 1, 27),
        ("  - {name: topics, value: \"a b, c\"}".to_owned(), "\"a b, c\"".to_owned())
    );
}

#[test]
fn values_of_secrets_and_of_unknown_names_are_masked() {
    for text in [
        "- name: saslPassword\n  value: hunter2",
        "- name: saslPasswrd\n  value: \"hunter2\"",
        "- value: hunter2\n  name: saslPassword",
        "- name: saslPassword\n  # a comment\n  value: 'hunter2",
        "- {name: saslPassword, value: hunter2}",
        "- {name: brokers, value: b}, {value: hunter2, name: saslPassword}",
        "- {value: hunter2}",
        "- saslPassword: hunter2",
        "password: hunter2",
        "# value: hunter2",
        "- name: saslPassword\n  value: |\n    hunter2",
        "- name: saslPassword\n  value: \"first\n    hunter2\"",
        "- name: saslPassword\n  value: first\n   hunter2\n",
        "{\"name\": \"saslPassword\",\n \"value\": \"hunter2\"}",
        "- name: saslPassword\n  vlaue: hunter2",
        "- name: saslPassword\n   value: hunter2: x",
        "- name: saslPassword\n  value: \"hunter1\" hunter2",
    ] {
        for (index, line) in text.split('\n').enumerate() {
            for column in 1..=line.chars().count() + 1 {
                let (shown, _) = excerpt(text, index + 1, column);
                assert!(!shown.contains("hunter"), "{text}\n{shown}");
            }
        }
    }
}

#[test]
fn a_mark_moves_with_what_is_masked_before_it() {
    let text = "- {value: a very long password, name: saslPassword}";
    assert_eq!(
        excerpt(text, 1, 39),
        ("- {value: ***, name: saslPassword}".to_owned(), "saslPassword".to_owned())
    );
    assert_eq!(excerpt(text, 1, 11).1, "***");
    assert_eq!(excerpt(text, 1, 15).1, "***");
}

#[test]
fn lists_of_fields_are_shown() {
    let text = "spec:\n  targets:\n    components:\n      orders: {outbound: {timeout: fsat}}\n";
    assert_eq!(
        excerpt(text, 4, 36),
        ("      orders: {outbound: {timeout: fsat}}".to_owned(), "fsat".to_owned())
    );
}

#[test]
fn nothing_in_a_text_stops_it() {
    for text in ["", "\n", "\u{feff}a", "- - - :", "{{{{", "\"", "a: \"\\", ": : :", "é: ü, ö", "value:", "-"]
    {
        for line in 1..4 {
            for column in [1, 2, 50, usize::MAX] {
                let place = Place { file: "a.yaml".into(), line, column };
                let _ = of(text, &place, &|_| false);
            }
        }
    }
}
