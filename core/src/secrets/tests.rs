//! Tests of what stores find.

use std::ffi::OsString;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::manifest::Manifest;

fn variables(name: &str) -> Option<OsString> {
    match name {
        "SHOP_PASSWORD" => Some("hunter2".into()),
        "DAPR_TOKEN" | "APP_API_TOKEN" => Some("token".into()),
        #[cfg(unix)]
        "BYTES" => Some(std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])),
        _ => None,
    }
}

fn opened(store: &str, settings: &[(&str, &str)]) -> Opening {
    let item = |(name, value): &(&str, &str)| format!("  - name: {name}\n    value: {value:?}\n");
    let items = settings.iter().map(item).collect::<Vec<_>>().concat();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: store\nspec:\n  type: {store}\n  \
         metadata:\n{items}"
    );
    let manifest = Manifest::parse(text.as_bytes(), "a.yaml", None).expect("one document");
    open(&manifest.components[0], variables)
}

fn found(opening: &Opening, name: &str, key: &str) -> Result<String, String> {
    opening.store.as_ref().expect("opened").get(name, key).map_err(|why| why.what)
}

/// A store of a file with this text, in a folder of its own.
fn file(text: &[u8], settings: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf, Opening) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secrets.json");
    std::fs::write(&path, text).expect("written");
    let mut all = vec![("secretsFile", path.to_str().expect("UTF-8"))];
    all.extend(settings);
    let opening = opened("secretstores.local.file", &all);
    (folder, path, opening)
}

#[test]
fn variables_are_secrets_without_the_prefix() {
    let opening = opened("secretstores.local.env", &[("prefix", "SHOP_")]);
    assert_eq!(found(&opening, "PASSWORD", "PASSWORD"), Ok("hunter2".into()));
    assert_eq!(
        found(&opening, "USER", "USER"),
        Err("the environment variable SHOP_USER is not set".to_owned())
    );
    assert!(found(&opening, "PASSWORD", "OTHER").is_err());
    let opening = opened("secretstores.local.env", &[]);
    for name in ["DAPR_TOKEN", "APP_API_TOKEN"] {
        let expected = format!("the environment variable {name} is not for components");
        assert_eq!(found(&opening, name, name), Err(expected));
    }
    let opening = opened("secretstores.local.env", &[("prefix", "DAPR_")]);
    assert!(found(&opening, "TOKEN", "TOKEN").is_err());
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    let opening = opened("secretstores.local.env", &[]);
    assert_eq!(found(&opening, "BYTES", "BYTES"), Err("the environment variable BYTES is not UTF-8".into()));
    assert!(read_variable("BYTES", variables).is_err());
}

#[test]
fn names_that_no_system_has_are_not_looked_up() {
    for name in ["", "a=b", "a\0b"] {
        assert_eq!(of_process(name), None);
    }
}

const NESTED: &[u8] = br#"{"password": "plain", "redis": {"user": "u", "hosts": ["h0", {"name": "h1"}]},
    "a:b": "direct", "a": {"b": "nested", "c": "below"}, "on": true, "port": 9092, "ratio": 1.50, "none": null,
    "empty": "", "quoted": "\"q\"", "twice": "first", "twice": "last", "big": 12345678901234567890123}"#;

#[test]
fn nested_values_are_found_along_their_path() {
    let (_folder, _, opening) = file(NESTED, &[]);
    for (name, value) in [
        ("password", "plain"),
        ("redis:user", "u"),
        ("redis:hosts:0", "h0"),
        ("redis:hosts:1:name", "h1"),
        ("a:b", "direct"),
        ("a:c", "below"),
        ("on", "true"),
        ("port", "9092"),
        ("quoted", "\"q\""),
        ("twice", "last"),
    ] {
        assert_eq!(found(&opening, name, name).as_deref(), Ok(value), "{name}");
    }
    for (name, expected) in [
        ("pasword", "there is no secret \"pasword\"; did you mean \"password\""),
        ("redis:hosts:2", "there is no secret \"redis:hosts:2\""),
        ("redis:hosts:x", "there is no secret \"redis:hosts:x\""),
        ("redis:user:x", "there is no secret \"redis:user:x\""),
        ("redis", "secret redis: it is a list or an object, not one value"),
        ("none", "secret none: it is null"),
        ("empty", "secret empty: it is empty"),
        ("ratio", "secret ratio: a number with a point may lose digits"),
        ("big", "secret big: a number with a point may lose digits"),
    ] {
        assert_eq!(found(&opening, name, name), Err(expected.to_owned()));
    }
    assert!(found(&opening, "password", "key").is_err());
}

#[test]
fn the_separator_can_be_another_one() {
    let (_folder, _, opening) = file(NESTED, &[("nestedSeparator", "__")]);
    assert_eq!(found(&opening, "redis__hosts__0", "redis__hosts__0").as_deref(), Ok("h0"));
    assert!(found(&opening, "redis:user", "redis:user").is_err());
    let (_folder, _, opening) = file(NESTED, &[("nestedSeparator", "")]);
    assert_eq!(found(&opening, "password", "password").as_deref(), Ok("plain"));
    assert!(found(&opening, "redisuser", "redisuser").is_err());
}

#[test]
fn secrets_of_many_values_have_keys() {
    let (_folder, _, opening) = file(NESTED, &[("multiValued", "true")]);
    for (name, key, value) in [
        ("redis", "user", "u"),
        ("redis", "hosts:0", "h0"),
        ("redis", "hosts:1:name", "h1"),
        ("password", "password", "plain"),
    ] {
        assert_eq!(found(&opening, name, key).as_deref(), Ok(value), "{name} {key}");
    }
    for (name, key, expected) in [
        ("redis", "usr", "the secret \"redis\" has no key \"usr\"; did you mean \"user\""),
        ("redis", "redis", "the secret \"redis\" has no key \"redis\""),
        ("password", "user", "the secret \"password\" has no key \"user\": it is a single value"),
        ("redis:user", "redis:user", "there is no secret \"redis:user\""),
    ] {
        assert_eq!(found(&opening, name, key), Err(expected.to_owned()));
    }
}

#[test]
fn a_file_that_is_no_json_object_is_an_error_at_its_line_and_column() {
    for (text, line, column) in [
        (&b"{\n  \"a\": \"secret\",\n  \"b\" x\n}"[..], 3, 7),
        (b"", 1, 1),
        (b"[1]", 1, 1),
        (b"{\"a\": \"\xff\"}", 1, 8),
        (b"{} {}", 1, 4),
    ] {
        let (_folder, path, opening) = file(text, &[]);
        let error = opening.store.err().expect("refused");
        assert_eq!(error.code(), ErrorCode::InvalidSettings);
        let place = error.place_in_file().expect("a place");
        assert_eq!(
            (&*place.file, place.line, place.column),
            (path.to_str().expect("UTF-8"), line, column),
            "{error}"
        );
        assert!(error.message().starts_with("secretsFile: expected a JSON object: "), "{error}");
        assert!(!error.to_string().contains("secret\""), "{error}");
    }
    let (_folder, _, opening) = file("{\"a\":".repeat(1000).as_bytes(), &[]);
    assert!(opening.store.err().expect("refused").message().contains("recursion limit"));
    let (_folder, _, opening) = file(b"\xEF\xBB\xBF{\"a\": \"b\"}", &[]);
    assert_eq!(found(&opening, "a", "a").as_deref(), Ok("b"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_at_the_setting_and_is_waited_for() {
    let opening = opened("secretstores.local.file", &[("secretsFile", "/nowhere/secrets.json")]);
    let error = opening.store.err().expect("refused");
    assert_eq!(error.message(), "secretsFile: cannot read /nowhere/secrets.json");
    assert_eq!(error.place_in_file().map(|place| place.line), Some(9));
    assert_eq!(opening.files, [PathBuf::from("/nowhere/secrets.json")]);
    #[cfg(unix)]
    {
        let opening = opened("secretstores.local.file", &[("secretsFile", "/dev/zero")]);
        assert_eq!(opening.store.err().expect("refused").backend_text(), Some("it is not a file"));
    }
    let opening = opened("secretstores.local.file", &[]);
    assert_eq!(opening.store.err().expect("refused").message(), "secretsFile: required, but missing");
}

#[test]
fn a_relative_path_may_count_from_the_folder_of_the_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let document = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: store\nspec:\n  \
                    type: secretstores.local.file\n  metadata:\n  - name: secretsFile\n    value: shop.json\n";
    std::fs::write(folder.path().join("a.yaml"), document).expect("written");
    std::fs::write(folder.path().join("shop.json"), r#"{"a": "beside"}"#).expect("written");
    let manifest = Manifest::load(&[folder.path().to_owned()], None).expect("read");
    assert!(manifest.faults.is_empty(), "{:?}", manifest.faults);
    let opening = open(&manifest.components[0], variables);
    assert_eq!(found(&opening, "a", "a").as_deref(), Ok("beside"));
    let working = std::env::current_dir().expect("a folder").join("shop.json");
    assert_eq!(opening.files, [working, folder.path().join("shop.json")]);
}

/// Every path to a text in `value`, and the text.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}:{name}") };
    match value {
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Object(values) => {
            values.iter().for_each(|(name, value)| leaves(value, &below(name), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| leaves(item, &below(&index.to_string()), found));
        }
        _ => {}
    }
}

fn nested() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof!["[a-z]{1,4}".prop_map(Into::into), any::<i32>().prop_map(Into::into)];
    leaf.prop_recursive(5, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..500), name in any::<String>()) {
        let (_folder, _, opening) = file(&bytes, &[]);
        if let Ok(store) = opening.store {
            prop_assert!(store.get(&name, &name).is_err());
        }
    }

    #[test]
    fn every_text_is_found_under_its_path(value in prop::collection::btree_map("[a-z]{1,3}", nested(), 0..5)) {
        let value = Value::Object(value.into_iter().collect());
        let (_folder, _, opening) = file(value.to_string().as_bytes(), &[]);
        let mut expected = Vec::new();
        leaves(&value, "", &mut expected);
        for (path, text) in expected {
            prop_assert_eq!(found(&opening, &path, &path), Ok(text));
        }
    }
}
