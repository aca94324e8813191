//! No vector is forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::all_cases;

/// How many there are.
const LAST: u64 = 54;

#[test]
fn every_vector_has_a_case_or_a_test_or_is_answered_differently_for_a_reason() {
    let mut known: BTreeSet<u64> = BTreeSet::new();
    for (_, case) in all_cases() {
        let numbers = &case["vector"];
        let several = numbers.as_array().cloned().unwrap_or_else(|| vec![numbers.clone()]);
        known.extend(several.iter().map(|number| number.as_u64().expect("the number of a vector")));
    }
    known.extend(tests_of_rust());
    let differently = answered_differently();
    let missing: Vec<u64> =
        (1..=LAST).filter(|number| !known.contains(number) && !differently.contains(number)).collect();
    assert!(missing.is_empty(), "without a case and a reason: {missing:?}");
    let unknown: Vec<_> =
        known.iter().chain(&differently).filter(|number| !(1..=LAST).contains(*number)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Of functions named `vector_NN_…` in `server/tests`.
fn tests_of_rust() -> Vec<u64> {
    let folder = root().join("server/tests/serve");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap());
    let numbers = |text: String| -> Vec<u64> {
        let names = text.split("async fn vector_").skip(1);
        names.filter_map(|rest| rest.split('_').next()?.parse().ok()).collect()
    };
    texts.flat_map(numbers).collect()
}

/// Of the rows of the table in `docs/parity.md`, each of which has a reason.
fn answered_differently() -> BTreeSet<u64> {
    let text = std::fs::read_to_string(root().join("docs/parity.md")).unwrap();
    let (_, table) = text.split_once("## Vectors answered differently").expect("the section");
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .map(|line| line.split(" | ").collect::<Vec<_>>());
    rows.filter_map(|cells| {
        let number = cells[0].trim().parse().ok()?;
        let reason = cells.last().unwrap().trim_end_matches('|').trim();
        assert!(cells.len() == 4 && !reason.is_empty(), "vector {number} has no reason");
        Some(number)
    })
    .collect()
}
