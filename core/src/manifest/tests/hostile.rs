//! Tests with documents that want to cost more than they may.

use std::fmt::Write as _;

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
    assert_eq!(message, "aliases stand for more than 100000 values");
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
