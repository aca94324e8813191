//! Names as types. What type checkers make of them is tested in `tests/packages/test_types.py`.

use super::component;
use crate::inspect::{BindingNames, Language, binding_names, typed_names};

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.yaml"), text).expect("a file");
    folder
}

#[test]
fn names_are_told_by_direction_and_without_values_that_stand_elsewhere() {
    let text = [
        component("orders", "bindings.memory", &[("direction", "input")]),
        component("checkout", "bindings.memory", &[("direction", "output")]),
        component("state", "state.redis", &[]),
        format!(
            "{}  - name: saslPassword\n    envRef: NOT_SET\n",
            component("kafka", "bindings.kafka", &[("brokers", "a:1")])
        ),
    ];
    let folder = folder(&text.join("---\n"));
    let names = binding_names(&[folder.path().to_owned()], None).expect("names");
    let memory = Some(vec!["create", "size", "purge"]);
    let expected =
        [("checkout", memory, false), ("kafka", Some(vec!["create"]), true), ("orders", None, true)];
    let expected =
        expected.map(|(name, operations, input)| BindingNames { name: name.to_owned(), operations, input });
    assert_eq!(names, expected);
}

#[test]
fn every_name_is_quoted() {
    let folder = folder(&component("'a\"b\\c é'", "bindings.memory", &[]));
    for language in [Language::Python, Language::TypeScript] {
        let names = typed_names(&[folder.path().to_owned()], None, language).expect("names");
        assert!(names.text.contains(r#""a\"b\\c é""#), "{}", names.text);
    }
}

#[test]
fn a_document_that_is_left_out_is_an_error() {
    let folder = folder("a: [");
    assert!(typed_names(&[folder.path().to_owned()], None, Language::Python).is_err());
}
