//! A component explained.

use std::path::PathBuf;

use super::component;
use crate::error::ErrorCode;
use crate::inspect::{Explanation, Source, explain};

fn explained(text: &str, name: &str) -> crate::Result<Explanation> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, text).expect("a file");
    explain(&[PathBuf::from(&file)], None, name)
}

fn kafka(more: &[(&str, &str)]) -> String {
    let least = [
        ("brokers", "localhost:9092"),
        ("publishTopic", "orders"),
        ("topics", "orders"),
        ("consumerGroup", "g"),
    ];
    component("checkout", "bindings.kafka", &least.iter().chain(more).copied().collect::<Vec<_>>())
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let explanation =
        explained(&kafka(&[("consumerID", "x"), ("maxInFlight", "3")]), "checkout").expect("a component");
    let setting = |name: &str| explanation.settings.iter().find(|one| one.name == name).expect(name);
    let source = &setting("brokers").source;
    assert!(
        matches!(source, Source::Document(place) if (place.line, place.column) == (10, 12)),
        "{source:?}"
    );
    assert_eq!(setting("clientID").source, Source::Default);
    assert_eq!(setting("clientID").value.as_deref(), Some("bindwright"));
    assert_eq!((&setting("saslPassword").source, &setting("saslPassword").value), (&Source::Unset, &None));
    assert_eq!(explanation.runtime[0].value.as_deref(), Some("3"));
}

#[test]
fn secrets_and_what_nobody_knows_are_masked() {
    let items = [
        ("authType", "password"),
        ("saslUsername", "me"),
        ("saslPassword", "hunter2"),
        ("saslPasswrd", "hunter2"),
        ("clientKey", "hunter2"),
        ("clientCert", "hunter2"),
    ];
    let explanation = explained(&kafka(&items), "checkout").expect("a component");
    assert!(!format!("{explanation:?}").contains("hunter"), "{explanation:?}");
    let masked = explanation.settings.iter().filter(|one| one.value.as_deref() == Some("***")).count();
    assert_eq!(masked, 5);
}

#[test]
fn policies_and_the_ledger_are_told() {
    let policies = "---\napiVersion: dapr.io/v1alpha1\nkind: Resiliency\nspec:\n  policies:\n    timeouts: {fast: 5s}\n    \
                    retries: {few: {policy: constant, duration: 1s, maxRetries: 2}}\n  targets:\n    components:\n      \
                    checkout: {outbound: {timeout: fast, retry: few}}\n";
    let explanation = explained(&format!("{}{policies}", kafka(&[("maxDeliveryCount", "4")])), "checkout")
        .expect("a component");
    let sending = explanation.sending.expect("it sends");
    let told: Vec<(&str, &str)> = sending.policies.iter().map(|one| (one.kind, one.text.as_str())).collect();
    assert_eq!(told, [("timeout", "5s"), ("retry", "after 1s each time, 2 more at most")]);
    assert_eq!(sending.ledger.and_then(|ledger| ledger.attempts), Some(3));
    let receiving = explanation.receiving.expect("it receives");
    assert_eq!(receiving.ledger.and_then(|ledger| ledger.attempts), Some(4));
    assert!(receiving.policies.is_empty());
}

#[test]
fn settings_become_options_and_guarantees() {
    let explanation = explained(&kafka(&[("producerRequiredAcks", "local"), ("orderBy", "key")]), "checkout")
        .expect("a component");
    let option = |client: &str, name: &str| {
        let of = explanation.options.iter().find(|one| one.client == client).expect(client);
        of.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.clone())
    };
    assert_eq!(option("producer", "acks").as_deref(), Some("1"));
    assert_eq!(option("consumer", "group.id").as_deref(), Some("g"));
    let guarantee =
        |topic: &str| explanation.guarantees.iter().find(|one| one.topic == topic).expect(topic).text.clone();
    assert!(guarantee("reply").contains("leader"), "{}", guarantee("reply"));
    assert!(guarantee("order").contains("of a key"), "{}", guarantee("order"));
    assert_eq!(explanation.operations, ["create"]);
}

#[test]
fn a_component_that_cannot_be_used_is_explained_with_its_fault() {
    let explanation = explained(&kafka(&[("compression", "zip")]), "checkout").expect("a component");
    assert!(!explanation.is_usable);
    assert!(explanation.faults.iter().any(|fault| fault.message().starts_with("compression:")));
    let reference = format!("{}  - name: saslPassword\n    secretKeyRef: {{name: a, key: b}}\n", kafka(&[]));
    let explanation = explained(&reference, "checkout").expect("a component");
    assert!(!explanation.is_usable && !explanation.faults.is_empty());
}

#[test]
fn a_name_that_is_not_there_is_told_with_the_nearest() {
    let error = explained(&kafka(&[]), "chekout").expect_err("no such component");
    assert_eq!(error.code(), ErrorCode::ComponentNotFound);
    assert_eq!(error.message(), "no component is called \"chekout\"; did you mean \"checkout\"");
}
