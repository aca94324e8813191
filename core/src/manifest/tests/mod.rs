//! Tests of what is read from texts, and of what is refused.

mod files;
mod hostile;
mod plain;
mod references;
mod scalars;
mod templates;

use std::time::Duration;

use super::*;
use crate::secrets::Variables;

const NOBODY: Scope<'static> = Scope { app_id: None, namespace: None };

fn read(text: &str) -> Manifest {
    Manifest::parse_in(NOBODY, text.as_bytes(), "a.yaml").expect("no duplicates")
}

/// As [`read`], with an environment of the test's own.
fn read_with(text: &str, variables: Variables) -> Manifest {
    let mut reader = Reader::new(NOBODY, References::Resolved);
    reader.variables = variables;
    Manifest::parse_by(reader, text.as_bytes(), "a.yaml").expect("no duplicates")
}

/// A document with this text as its `spec.metadata`, which begins on line 8.
fn with_items(items: &str) -> Manifest {
    read(&format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: a\nspec:\n  type: bindings.kafka\n\
         \x20 metadata:\n{items}\n"
    ))
}

fn document(name: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\n\
         metadata:\n  name: {name}\nspec:\n  type: bindings.kafka\n"
    )
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.components.iter().map(|component| &*component.name).collect()
}

fn values(manifest: &Manifest) -> Vec<&str> {
    assert!(manifest.faults.is_empty(), "{:?}", manifest.faults);
    manifest.components[0].properties.iter().map(|property| property.value.as_str()).collect()
}

fn place(line: usize, column: usize) -> Place {
    Place { file: "a.yaml".into(), line, column }
}

/// The only fault, and that nothing was read.
fn fault(manifest: &Manifest) -> (Place, String) {
    assert_eq!(manifest.faults.len(), 1, "{manifest:?}");
    assert!(manifest.components.is_empty());
    let fault = &manifest.faults[0];
    (fault.place_in_file().expect("a place").clone(), fault.message().to_owned())
}

#[test]
fn every_field_of_a_component_is_read() {
    let manifest = read(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: checkout\n  namespace: shop\n\
         \x20 labels: {a: b}\n\
         spec:\n  type: bindings.Kafka\n  version: V1\n  ignoreErrors: true\n  initTimeout: 1m30s\n\
         \x20 metadata:\n\
         \x20 - name: direction\n    value: ' INPUT , output'\n  - name: route\n    value: /orders\n\
         unknown: 1\n",
    );
    let component = manifest.component("checkout").expect("the component");
    assert_eq!(component.component_type, "bindings.kafka");
    assert_eq!(
        (component.version.as_str(), component.type_and_version()),
        ("v1", "bindings.kafka/v1".into())
    );
    assert_eq!(component.namespace.as_deref(), Some("shop"));
    assert!(component.ignore_errors);
    assert_eq!(component.init_timeout, Duration::from_secs(90));
    assert_eq!(component.direction, Direction { input: true, output: true, explicit_input: true });
    assert_eq!(component.route.as_deref(), Some("/orders"));
    assert_eq!(component.place, place(1, 1));
    assert!(manifest.component("Checkout").is_none());
}

#[test]
fn field_names_match_in_any_case_and_the_last_of_two_counts() {
    let manifest = read(
        "APIVERSION: dapr.io/v1alpha1\nKind: nothing\nkind: Component\nMetadata:\n  Name: a\n\
         SPEC:\n  Type: bindings.x\n  version: v0\n  version: v1\n",
    );
    assert_eq!(manifest.components[0].version, "v1");
}

#[test]
fn only_the_category_of_a_type_keeps_its_case() {
    let read_type = |name: &str| read(&document("a").replace("bindings.kafka", name)).components[0].clone();
    assert_eq!(read_type("bindings.AWS.S3").component_type, "bindings.aws.s3");
    assert_eq!(read_type("Bindings.Kafka").component_type, "Bindings.kafka");
}

#[test]
fn a_bad_init_timeout_is_five_seconds() {
    for text in ["10", "-1s", "0s", "soon", ""] {
        let manifest = read(&format!("{}  initTimeout: '{text}'\n", document("a")));
        assert_eq!(manifest.components[0].init_timeout, Duration::from_secs(5), "{text}");
    }
}

#[test]
fn direction_opens_the_ways_that_it_names() {
    let direction =
        |text: &str| with_items(&format!("  - name: Direction\n    value: {text:?}")).components[0].direction;
    assert_eq!(
        with_items("").components[0].direction,
        Direction { input: true, output: true, explicit_input: false }
    );
    assert_eq!(direction("input"), Direction { input: true, output: false, explicit_input: true });
    assert_eq!(direction("OUTPUT"), Direction { input: false, output: true, explicit_input: false });
    assert_eq!(direction("output,input"), Direction { input: true, output: true, explicit_input: true });
    assert_eq!(direction("aaa"), Direction { input: false, output: false, explicit_input: false });
}

#[test]
fn names_and_values_know_their_place_in_characters() {
    let manifest = with_items(
        "  - name: ключ\n    value: \"значение\"\n  - {name: é, value: x}\n\
         \x20 - name: empty\n    value:\n  - name: z",
    );
    let places: Vec<_> = manifest.components[0]
        .properties
        .iter()
        .map(|item| (item.name_place.clone(), item.value_place.clone()))
        .collect();
    assert_eq!(places[0], (place(8, 11), place(9, 12)));
    assert_eq!(places[1], (place(10, 12), place(10, 22)));
    assert_eq!(places[2].0, place(11, 11));
    assert_eq!(places[2].1.line, 12);
    assert_eq!(places[3], (place(13, 11), place(13, 11)));
}

#[test]
fn all_faults_of_a_document_are_told_with_its_name() {
    let manifest = with_items("  - name: a\n    value: .inf\n  - value: b\n  - c");
    assert_eq!(manifest.faults.len(), 3);
    assert!(manifest.faults.iter().all(|fault| fault.component_name() == Some("a")));
}

#[test]
fn of_one_name_twice_the_last_counts() {
    let manifest = with_items("  - {name: a, value: 1}\n  - {name: b, value: 2}\n  - {name: a, value: 3}");
    assert_eq!(values(&manifest), ["3", "2"]);
}

#[test]
fn names_that_differ_only_in_case_are_a_fault_at_the_second() {
    let manifest = with_items("  - {name: clientId, value: 1}\n  - {name: clientID, value: 2}");
    let (at, message) = fault(&manifest);
    assert_eq!(at, place(9, 12));
    assert_eq!(message, "clientID: given twice, also as \"clientId\"");
    assert_eq!(manifest.faults[0].code(), ErrorCode::InvalidSettings);
}

#[test]
fn values_are_not_printed() {
    let manifest = with_items("  - name: saslPassword\n    value: hunter2");
    assert!(!format!("{manifest:?}").contains("hunter2"));
}

#[test]
fn bad_component_names_are_faults() {
    for name in [".", "..", "a/b", "a%b", "''", "~", "[]"] {
        assert_eq!(fault(&read(&document(name))).0, place(4, 9), "{name}");
    }
    assert_eq!(fault(&read("apiVersion: dapr.io/v1alpha1\nkind: Component\n")).1, "metadata.name is missing");
}

#[test]
fn a_component_without_a_type_is_a_fault_with_its_name() {
    let manifest = read(&document("a").replace("type", "tipe"));
    assert_eq!(fault(&manifest), (place(6, 3), "spec.type is missing".into()));
    assert_eq!(manifest.faults[0].component_name(), Some("a"));
}

#[test]
fn other_documents_are_passed_over() {
    let other = "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: a\n\
                 ---\napiVersion: v1\nkind: Pod\n\
                 ---\n# nothing\n---\n\n---\n%YAML 1.2\n---\n{}\n---\n~\n";
    let manifest = read(&format!("{other}---\n{}", document("b")));
    assert_eq!(names(&manifest), ["b"]);
    assert!(manifest.faults.is_empty(), "{:?}", manifest.faults);
}

#[test]
fn a_broken_document_in_the_middle_leaves_out_only_itself() {
    let text = format!("{}--- # second\nkind: [\n a: 'b\n---\n{}", document("a"), document("c"));
    let manifest = read(&text);
    assert_eq!(names(&manifest), ["a", "c"]);
    assert_eq!(manifest.faults.len(), 1);
    let at = manifest.faults[0].place_in_file().expect("a place");
    assert!((8..=10).contains(&at.line), "{at}");
    assert_eq!(manifest.components[1].place, place(11, 1));
}

#[test]
fn what_follows_the_end_of_a_document_is_told() {
    let manifest = read(&format!("{}...\n{}", document("a"), document("b")));
    assert_eq!(names(&manifest), ["a"]);
    assert_eq!(manifest.faults[0].place_in_file(), Some(&place(8, 1)));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let text =
        format!("\u{feff}---\n{}---\nbroken: [\n---\n{}", document("a"), document("b")).replace('\n', "\r\n");
    let manifest = read(&text);
    assert_eq!(names(&manifest), ["a", "b"]);
    assert_eq!(manifest.components[0].place, place(2, 1));
    assert_eq!(manifest.components[1].place, place(11, 1));
    assert_eq!(manifest.components[0].component_type, "bindings.kafka");
}

#[test]
fn tabs_may_stand_in_values_but_not_in_front_of_fields() {
    assert_eq!(
        values(&with_items("  - name: a\n    value: \"x\ty\"\n  - name:\t'b'\n    value: c\t")),
        ["x\ty", "c"]
    );
    let (at, message) = fault(&with_items("  - name: a\n\tvalue: b"));
    assert!((8..=9).contains(&at.line), "{at}");
    assert!(message.starts_with("not valid YAML"), "{message}");
}

#[test]
fn bytes_that_are_not_utf8_are_a_fault_at_their_place() {
    let mut text = document("a").into_bytes();
    text.extend_from_slice(b"---\nkind: x\n\xc3\xa9\xff: y\n---\n");
    text.extend_from_slice(document("b").as_bytes());
    let manifest = Manifest::parse_in(NOBODY, &text, "a.yaml").expect("no duplicates");
    assert_eq!(names(&manifest), ["a", "b"]);
    assert_eq!(manifest.faults[0].place_in_file(), Some(&place(9, 2)));
    let utf16: Vec<u8> = "\u{feff}kind: x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let manifest = Manifest::parse_in(NOBODY, &utf16, "a.yaml").expect("no duplicates");
    assert_eq!(fault(&manifest), (place(1, 1), "expected UTF-8, got a file in UTF-16".into()));
}

#[test]
fn aliases_and_merged_mappings_are_followed() {
    let manifest = with_items(
        "  - &first {name: a, value: &v shared}\n  - {name: b, value: *v}\n  - {<<: *first, name: c}\n  \
         - {<<: [{value: near}, *first], Name: d}",
    );
    assert_eq!(values(&manifest), ["shared", "shared", "shared", "near"]);
}

#[test]
fn two_components_of_one_name_are_an_error_with_both_places() {
    let text = format!("{}---\n{}", document("foo"), document("foo"));
    let error = Manifest::parse_in(NOBODY, text.as_bytes(), "a.yaml").expect_err("a duplicate");
    assert_eq!(error.code(), ErrorCode::InvalidManifest);
    assert_eq!(error.place_in_file(), Some(&place(11, 9)));
    assert_eq!(
        error.message(),
        "duplicate definition of Component name foo (bindings.kafka) \
         with existing foo (bindings.kafka) at a.yaml:4:9"
    );
    let broken = document("foo") + "  metadata: x\n";
    assert!(
        Manifest::parse_in(NOBODY, format!("{broken}---\n{}", document("foo")).as_bytes(), "a.yaml").is_err()
    );
}

#[test]
fn scopes_name_the_app_ids_that_see_a_component() {
    let text = format!(
        "{}scopes: [one, 2]\n---\n{}scopes: []\n---\n{}scopes:\n---\n{}scopes: [One]\n",
        document("a"),
        document("b"),
        document("c"),
        document("a")
    );
    let seen = |app_id: Option<&str>| {
        let scope = Scope { app_id, namespace: None };
        let manifest = Manifest::parse_in(scope, text.as_bytes(), "a.yaml").expect("no duplicates");
        assert!(manifest.faults.is_empty());
        names(&manifest).join(" ")
    };
    assert_eq!(seen(Some("one")), "a b c");
    assert_eq!(seen(Some("2")), "a b c");
    assert_eq!(seen(Some("One")), "b c a");
    assert_eq!(seen(Some("other")), "b c");
    assert_eq!(seen(None), "b c");
}

#[test]
fn a_namespace_is_compared_when_both_sides_have_one() {
    let text =
        document("a").replace("  name: a\n", "  name: a\n  namespace: bar\n") + "---\n" + &document("b");
    let seen = |namespace: Option<&str>| {
        let scope = Scope { app_id: None, namespace: namespace.map(str::to_owned) };
        names(&Manifest::parse_in(scope, text.as_bytes(), "a.yaml").expect("no duplicates")).join(" ")
    };
    assert_eq!((seen(None), seen(Some("bar")), seen(Some("foo"))), ("a b".into(), "a b".into(), "b".into()));
}

#[test]
fn the_fingerprint_follows_the_text_the_file_name_and_the_reader() {
    let print = |text: &str, file: &str, app_id| {
        let scope = Scope { app_id, namespace: None };
        Manifest::parse_in(scope, text.as_bytes(), file).expect("no duplicates").fingerprint()
    };
    let original = print("a: 1", "a.yaml", None);
    assert_eq!(original, print("a: 1", "a.yaml", None));
    for other in
        [print("a: 2", "a.yaml", None), print("a: 1", "b.yaml", None), print("a: 1", "a.yaml", Some("app"))]
    {
        assert_ne!(original, other);
    }
}
