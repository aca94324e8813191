//! Every kind of finding, each with the place that it names.

use super::component;
use crate::inspect::{CheckOptions, RULES, Report, Severity, check, check_text};

const KAFKA: [(&str, &str); 4] = [
    ("brokers", "localhost:9092"),
    ("publishTopic", "orders"),
    ("authType", "none"),
    ("direction", "output"),
];

fn kafka(more: &[(&str, &str)]) -> String {
    let items: Vec<(&str, &str)> = KAFKA.iter().chain(more).copied().collect();
    component("checkout", "bindings.kafka", &items)
}

fn memory(more: &[(&str, &str)]) -> String {
    component("queue", "bindings.memory", more)
}

fn report(text: &str) -> Report {
    check_text(text.as_bytes(), "a.yaml", &CheckOptions::default()).expect("a report")
}

/// `severity rule line:column`, one for each finding.
fn found(text: &str) -> Vec<String> {
    let told = report(text).findings.into_iter().map(|finding| {
        let place = finding.error.place_in_file().map(|place| format!(" {}:{}", place.line, place.column));
        format!("{} {}{}", finding.severity.as_str(), finding.rule.id, place.unwrap_or_default())
    });
    told.collect()
}

/// The place of an item of `kafka(&[…])`: its name, or its value.
fn at(item: usize, column: usize) -> String {
    format!("{}:{column}", 9 + 2 * item + usize::from(column == 12))
}

#[test]
fn a_good_document_has_no_findings() {
    assert_eq!(found(&kafka(&[])), Vec::<String>::new());
    assert_eq!(found(&memory(&[])), Vec::<String>::new());
    assert_eq!(report(&kafka(&[])).components, 1);
}

#[test]
fn every_rule_finds_what_it_is_for() {
    let policies = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nspec:\n";
    let cases: Vec<(String, &str, &str)> = vec![
        ("a: [".to_owned(), "error", "invalid-yaml"),
        ("apiVersion: dapr.io/v1alpha1\nkind: Component\n".to_owned(), "error", "invalid-document"),
        (format!("{}---\n{}", memory(&[]), memory(&[])), "error", "duplicate-name"),
        (component("a", "bindings.kafak", &[]), "error", "unknown-type"),
        (component("a", "state.redis", &[]), "note", "foreign-type"),
        (component("a", "bindings.kafka", &[("authType", "none")]), "error", "missing-setting"),
        (kafka(&[("compression", "zip")]), "error", "invalid-setting"),
        (kafka(&[("producerIdempotence", "ture")]), "warning", "questionable-setting"),
        (kafka(&[("publishTopc", "a")]), "warning", "unknown-setting"),
        (kafka(&[("publishtopic", "a")]), "error", "duplicate-setting"),
        (
            component(
                "a",
                "bindings.kafka",
                &[("brokers", "a:1"), ("publishTopic", "a"), ("authRequired", "\"false\"")],
            ),
            "warning",
            "deprecated-setting",
        ),
        (kafka(&[("version", "2.0.0")]), "note", "ignored-setting"),
        (kafka(&[("topics", "orders")]), "warning", "wrong-direction"),
        (memory(&[("deadLetterBinding", "nowhere")]), "error", "unknown-binding"),
        (format!("{policies}  policies: {{timeouts: {{fast: soon}}}}\n"), "error", "invalid-policy"),
        (format!("{policies}  polices: {{}}\n"), "warning", "unknown-policy-field"),
        (
            format!(
                "{}---\n{policies}  targets: {{components: {{queue: {{outbound: {{retry: x}}}}}}}}\n",
                memory(&[])
            ),
            "error",
            "unknown-policy",
        ),
        (format!("{policies}  targets: {{components: {{nobody: {{}}}}}}\n"), "warning", "unknown-target"),
        (format!("{}scopes: [other]\n", memory(&[])), "note", "out-of-scope"),
        ("# nothing\n".to_owned(), "warning", "nothing-found"),
    ];
    for (text, severity, rule) in &cases {
        let all = found(text);
        assert!(
            all.iter().any(|one| one.starts_with(&format!("{severity} {rule}"))),
            "{rule}: {all:?}\n{text}"
        );
    }
    // References and older type names have tests of their own.
    let covered = |id: &str| {
        ["unresolved-reference", "deprecated-type"].contains(&id) || cases.iter().any(|case| case.2 == id)
    };
    assert_eq!(
        RULES.iter().filter(|rule| !covered(rule.id)).map(|rule| rule.id).collect::<Vec<_>>(),
        [""; 0]
    );
}

#[test]
fn faults_of_one_component_are_found_at_once() {
    let text = kafka(&[
        ("maxQueuedRecords", "lots"),
        ("compression", "zip"),
        ("publishTopc", "orders"),
        ("maxInFlight", "many"),
    ]);
    assert_eq!(
        found(&text),
        [
            format!("error invalid-setting {}", at(4, 12)),
            format!("error invalid-setting {}", at(5, 12)),
            format!("warning unknown-setting {}", at(6, 11)),
            format!("warning wrong-direction {}", at(7, 11)),
            format!("error invalid-setting {}", at(7, 12)),
        ]
    );
}

#[test]
fn what_cannot_be_had_does_not_hide_the_rest() {
    let text = format!(
        "{}  - name: saslPassword\n    secretKeyRef: {{name: kafka, key: password}}\n  - name: publishTopc\n    value: a\n",
        kafka(&[])
    );
    let all = found(&text);
    assert!(all.iter().any(|one| one.starts_with("error") && one.ends_with(" 18:19")), "{all:?}");
    assert!(all.contains(&"warning unknown-setting 19:11".to_owned()), "{all:?}");
}

#[test]
fn nothing_that_may_be_secret_is_shown() {
    let text = component(
        "a",
        "bindings.kafka",
        &[
            ("saslPassword", "hunter2"),
            ("saslPasswrd", "hunter2"),
            ("saslpassword", "hunter2"),
            ("clientKey", "hunter2"),
            ("oidcClientSecret", "hunter2"),
        ],
    );
    for text in [
        &text,
        &format!("{text}  - {{name: saslPassword, value: hunter2\n"),
        &text.replace("    value", "     value"),
    ] {
        let report = report(text);
        assert!(!report.findings.is_empty());
        for finding in &report.findings {
            assert!(!finding.error.to_string().contains("hunter"), "{}", finding.error);
            assert!(
                !finding.excerpt.as_ref().is_some_and(|excerpt| excerpt.line.contains("hunter")),
                "{finding:?}"
            );
        }
    }
}

#[test]
fn dead_letters_need_a_binding_that_takes_them() {
    let queue = memory(&[("deadLetterBinding", "dead")]);
    let rules = |other: &str| {
        found(&format!("{queue}---\n{other}"))
            .into_iter()
            .filter(|one| one.contains("unknown-binding"))
            .count()
    };
    assert_eq!(rules(&component("dead", "bindings.memory", &[])), 0);
    assert_eq!(rules(&component("deda", "bindings.memory", &[])), 1);
    assert_eq!(rules(&component("dead", "bindings.memory", &[("direction", "input")])), 1);
    // Another fault of that component is told by itself.
    assert_eq!(rules(&component("dead", "bindings.memory", &[("partitions", "[1]")])), 0);
    let queue = memory(&[("deadLetterBinding", "dead"), ("deadLetterOperation", "burn")]);
    let report = report(&format!("{queue}---\n{}", component("dead", "bindings.memory", &[])));
    let finding =
        report.findings.iter().find(|finding| finding.rule.id == "unknown-binding").expect("a finding");
    assert_eq!(
        finding.error.message(),
        "deadLetterOperation: \"dead\" knows create, size, purge, not \"burn\""
    );
    assert_eq!(finding.related[0].place.line, 14);
}

#[test]
fn a_near_name_is_offered() {
    let first = |text: &str| report(text).findings.swap_remove(0).error.message().to_owned();
    for (text, near) in [
        (component("a", "bindings.kafak", &[]), "bindings.kafka"),
        (kafka(&[("publishTopc", "a")]), "publishTopic"),
        (memory(&[("deadLetterBinding", "quue")]), "queue"),
    ] {
        assert!(first(&text).ends_with(&format!("did you mean {near:?}")), "{}", first(&text));
    }
}

#[test]
fn directions_that_cannot_be_are_errors() {
    assert_eq!(
        found(&memory(&[("direction", "sideways")])).first().map(String::as_str),
        Some("error invalid-setting 10:12")
    );
    let receiver =
        component("a", "bindings.kafka", &[("brokers", "b:1"), ("authType", "none"), ("direction", "input")]);
    assert_eq!(found(&receiver), ["error missing-setting 1:1"]);
    // Both ways are possible, and one of them lacks a part.
    let half = component(
        "a",
        "bindings.kafka",
        &[("brokers", "b:1"), ("authType", "none"), ("publishTopic", "t"), ("topics", "t")],
    );
    assert_eq!(found(&half), ["warning missing-setting 1:1"]);
}

#[test]
fn strict_makes_errors_of_warnings_and_leaves_notes() {
    let text = kafka(&[("publishTopc", "a"), ("version", "2")]);
    let options = CheckOptions { strict: true, ..CheckOptions::default() };
    let report = check_text(text.as_bytes(), "a.yaml", &options).expect("a report");
    let count = |severity| report.count(severity);
    assert_eq!((count(Severity::Error), count(Severity::Warning), count(Severity::Note)), (1, 0, 1));
}

#[test]
fn a_component_of_the_app_is_in_scope() {
    let text = format!("{}scopes: [shop]\n", memory(&[]));
    let options = CheckOptions { app_id: Some("shop".to_owned()), strict: false };
    assert_eq!(check_text(text.as_bytes(), "a.yaml", &options).expect("a report").findings.len(), 0);
}

#[test]
fn files_are_named_and_a_missing_one_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("b.yaml"), memory(&[("partitions", "0")])).expect("a file");
    std::fs::write(folder.path().join("a.yaml"), kafka(&[("compression", "zip")])).expect("a file");
    let paths = [folder.path().to_owned()];
    let report = check(&paths, &CheckOptions::default()).expect("a report");
    let files: Vec<bool> = report
        .findings
        .iter()
        .map(|finding| finding.error.place_in_file().is_some_and(|place| place.file.ends_with("a.yaml")))
        .collect();
    assert_eq!((files, report.components), (vec![true, false], 2));
    assert!(report.findings.iter().all(|finding| finding.excerpt.is_some()));
    assert!(check(&[folder.path().join("c.yaml")], &CheckOptions::default()).is_err());
}
