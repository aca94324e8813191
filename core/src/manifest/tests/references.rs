//! Tests of values that stand elsewhere: vectors 46 and 47.

use std::ffi::OsString;

use super::*;

/// An environment.
fn variables(name: &str) -> Option<OsString> {
    let value = match name {
        "MY_ENV_VAR" => "ciao mondo",
        "QUOTED" => "\"a\\n\"",
        "EMPTY" => "",
        "APP_API_TOKEN" | "DAPR_KEY" | "dapr_key" | "X_DAPR_KEY" => "token",
        "KAFKA_PASSWORD" => "hunter2",
        _ => return None,
    };
    Some(value.into())
}

fn only_some(name: &str) -> Option<OsString> {
    if name == "DAPR_ENV_KEYS" { Some("EMPTY KAFKA_PASSWORD".into()) } else { variables(name) }
}

const ENV_STORE: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: env\nspec:\n  \
                         type: secretstores.local.env\n  version: v1\n";

/// A binding with these items, whose secret store is called `store`.
fn binding(store: &str, items: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: a\nspec:\n  type: bindings.kafka\n\
         \x20 metadata:\n{items}\nauth:\n  SECRETSTORE: {store}\n"
    )
}

fn read_env(text: &str) -> Manifest {
    read_with(text, variables)
}

/// The only fault; its component is there, and knows.
fn unresolved(manifest: &Manifest) -> Error {
    assert_eq!(manifest.faults.len(), 1, "{:?}", manifest.faults);
    let fault = manifest.faults[0].clone();
    assert_eq!(fault.code(), ErrorCode::UnresolvedReference);
    let component = manifest.component(fault.component_name().expect("a component")).expect("it is there");
    assert_eq!(component.unresolved.len(), 1);
    assert!(manifest.document_faults().is_empty() && manifest.left_out().is_empty());
    fault
}

#[test]
fn a_variable_gives_its_raw_text() {
    let manifest = read_env(&binding(
        "''",
        "  - {name: a, envRef: MY_ENV_VAR}\n  - {name: b, envRef: QUOTED}\n  - {name: c, envRef: EMPTY}",
    ));
    assert_eq!(values(&manifest), ["ciao mondo", "\"a\\n\"", ""]);
    let property = &manifest.components[0].properties[0];
    assert_eq!(property.origin, Origin::Environment { variable: "MY_ENV_VAR".into() });
    assert_eq!(property.value_place, place(8, 23));
}

#[test]
fn variables_that_are_not_for_components_are_errors() {
    for (name, expected) in [
        ("DAPR_KEY", "a: the environment variable DAPR_KEY is not for components"),
        ("dapr_key", "a: the environment variable dapr_key is not for components"),
        ("App_Api_Token", "a: the environment variable App_Api_Token is not for components"),
        ("a b", "a: \"a b\" is no name of an environment variable, it has a blank"),
        ("''", "a: an empty name is no environment variable"),
        ("NOWHERE", "a: the environment variable NOWHERE is not set"),
    ] {
        let fault = unresolved(&read_env(&binding("''", &format!("  - name: a\n    envRef: {name}"))));
        assert_eq!(fault.message(), expected);
        assert_eq!(fault.place_in_file(), Some(&place(9, 13)));
        assert!(!fault.to_string().contains("token"));
    }
    assert_eq!(values(&read_env(&binding("''", "  - {name: a, envRef: X_DAPR_KEY}"))), ["token"]);
}

#[test]
fn dapr_env_keys_lists_the_variables_that_are_allowed() {
    let read = |name: &str| read_with(&binding("''", &format!("  - {{name: a, envRef: {name}}}")), only_some);
    assert_eq!(values(&read("KAFKA_PASSWORD")), ["hunter2"]);
    let fault = unresolved(&read("MY_ENV_VAR"));
    assert_eq!(fault.message(), "a: DAPR_ENV_KEYS does not allow the environment variable MY_ENV_VAR");
}

#[test]
fn a_value_beats_a_variable_a_variable_beats_a_secret_and_a_secret_beats_a_value() {
    let items = "  - {name: a, value: '', envRef: MY_ENV_VAR}\n\
                 \x20 - {name: b, envRef: MY_ENV_VAR, secretKeyRef: {name: NOWHERE}}\n\
                 \x20 - {name: c, value: given, envRef: NOWHERE, secretKeyRef: {name: KAFKA_PASSWORD}}\n\
                 \x20 - {name: d, value: ~, envRef: MY_ENV_VAR}\n\
                 \x20 - {name: e, value: given, secretKeyRef: {name: ''}}";
    let manifest = read_env(&format!("{}---\n{ENV_STORE}", binding("env", items)));
    assert_eq!(values(&manifest), ["", "ciao mondo", "hunter2", "ciao mondo", "given"]);
}

#[test]
fn the_key_of_a_secret_is_its_name_when_it_is_left_out() {
    let items = "  - {name: a, secretKeyRef: {name: KAFKA_PASSWORD}}\n\
                 \x20 - {name: b, secretKeyRef: {name: KAFKA_PASSWORD, key: KAFKA_PASSWORD}}";
    let manifest = read_env(&format!("{}---\n{ENV_STORE}", binding("env", items)));
    assert_eq!(values(&manifest), ["hunter2", "hunter2"]);
    let key = "KAFKA_PASSWORD".to_owned();
    let origin = Origin::Secret { store: "env".into(), name: key.clone(), key };
    assert!(manifest.components[0].properties.iter().all(|property| property.origin == origin));
    assert!(!format!("{manifest:?}").contains("hunter2"));
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error_of_its_component_alone() {
    let item = |name: &str| format!("  - name: password\n    secretKeyRef: {{name: {name}}}");
    let other = document("b");
    for (text, expected) in [
        (
            format!("{}---\n{ENV_STORE}", binding("env", &item("NOWHERE"))),
            "password: secret store \"env\": the environment variable NOWHERE is not set",
        ),
        (
            format!("{}---\n{ENV_STORE}", binding("env", &item("EMPTY"))),
            "password: secret store \"env\": the environment variable EMPTY is empty",
        ),
        (
            format!("{}---\n{ENV_STORE}", binding("env", &item("x, key: k"))),
            "password: secret store \"env\": the secret \"x\" has no key \"k\": it is a single value",
        ),
        (
            format!("{}---\n{ENV_STORE}", binding("''", &item("KAFKA_PASSWORD"))),
            "password: `secretKeyRef` names the secret \"KAFKA_PASSWORD\", and `auth.secretStore` is missing",
        ),
        (
            format!("{}---\n{ENV_STORE}", binding("enw", &item("x"))),
            "password: secret \"x\": there is no secret store \"enw\"; did you mean \"env\"",
        ),
        (
            format!("{}---\n{ENV_STORE}", binding("vault", &item("x"))),
            "password: secret \"x\": there is no secret store \"vault\"; stores: env",
        ),
        (
            binding("vault", &item("x")),
            "password: secret \"x\": there is no secret store \"vault\", nor any other",
        ),
        (
            format!("{}---\n{ENV_STORE}scopes: [another]\n", binding("env", &item("x"))),
            "password: secret \"x\": the secret store \"env\" is not meant for this app",
        ),
    ] {
        let manifest = read_env(&format!("{text}---\n{other}"));
        let fault = unresolved(&manifest);
        assert_eq!(fault.message(), expected);
        assert_eq!(fault.place_in_file(), Some(&place(9, 19)));
        assert_eq!(fault.component_name(), Some("a"));
        assert!(manifest.component("b").expect("the other").unresolved.is_empty());
    }
    let (_, message) = fault(&read_env(&binding("env", "  - {name: a, secretKeyRef: {key: x}}")));
    assert_eq!(message, "a: secretKeyRef: the `name` of the secret is missing");
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_the_cause() {
    let store = ENV_STORE.replace("local.env", "hashicorp.vault");
    let item = "  - name: password\n    secretKeyRef: {name: x}";
    let manifest = read_env(&format!("{store}---\n{}", binding("env", item)));
    assert_eq!(manifest.faults.len(), 2);
    let [of_store, of_binding] = &manifest.faults[..] else { panic!("two") };
    assert_eq!((of_store.code(), of_store.component_name()), (ErrorCode::UnknownType, Some("env")));
    assert_eq!(of_store.what_to_do(), "Use one of: secretstores.local.env, secretstores.local.file.");
    assert_eq!(of_binding.message(), "password: secret \"x\": the secret store \"env\" cannot be used");
    let cause = "a.yaml:1:1: no secret store type is called \"secretstores.hashicorp.vault\"";
    assert_eq!(of_binding.backend_text(), Some(cause));
    // Nobody minds it where nobody refers to it.
    let manifest = read_env(&format!("{store}---\n{}", document("a")));
    assert!(manifest.faults.is_empty(), "{:?}", manifest.faults);
    let broken = ENV_STORE.replace("  version: v1\n", "  version: v1\n  metadata: x\n");
    let manifest = read_env(&format!("{broken}---\n{}", binding("env", item)));
    assert_eq!(manifest.left_out().len(), 1);
    assert_eq!(manifest.component("a").expect("it is there").unresolved.len(), 1);
}

#[test]
fn settings_of_a_store_are_checked_and_versions_are_those_of_bindings() {
    let with = |text: &str| read_env(&ENV_STORE.replace("  version: v1\n", text));
    let manifest = with("  version: v1\n  metadata:\n  - {name: prefx, value: x}\n");
    assert_eq!(
        manifest.faults[0].message(),
        "prefx: no setting of secretstores.local.env; did you mean \"prefix\""
    );
    for version in ["", "v0", "V1"] {
        assert!(with(&format!("  version: {version}\n")).faults.is_empty());
    }
    let items = "  - name: password\n    secretKeyRef: {name: KAFKA_PASSWORD}";
    let text = format!(
        "{}---\n{}",
        ENV_STORE.replace("v1\n", "v2\n").replace("dapr.io/v2", "dapr.io/v1"),
        binding("env", items)
    );
    let manifest = read_env(&text);
    assert_eq!(manifest.faults[0].message(), "secretstores.local.env has no version \"v2\"");
}

fn with_prefix(name: &str) -> Option<OsString> {
    if name == "KAFKA_" { Some("KAFKA_".into()) } else { variables(name) }
}

#[test]
fn a_store_can_take_its_settings_from_another_store_in_any_order() {
    let second = |name: &str, from: &str| {
        format!(
            "{}  metadata:\n  - name: prefix\n    secretKeyRef: {{name: KAFKA_}}\nauth: {{secretStore: {from}}}\n",
            ENV_STORE.replace("name: env", &format!("name: {name}"))
        )
    };
    let item = "  - name: password\n    secretKeyRef: {name: PASSWORD}";
    let text = format!("{}---\n{}---\n{ENV_STORE}", binding("second", item), second("second", "env"));
    assert_eq!(values(&read_with(&text, with_prefix)), ["hunter2"]);
    let circle = format!("{}---\n{}", second("one", "two"), second("two", "one"));
    let manifest = read_with(&circle, with_prefix);
    assert_eq!(manifest.faults.len(), 2);
    assert!(
        manifest
            .faults
            .iter()
            .all(|fault| fault.message().starts_with("secret stores refer to each other in a circle"))
    );
}

#[test]
fn components_of_other_categories_are_passed_over_without_their_references() {
    let text = binding(
        "vault",
        "  - {name: a, secretKeyRef: {name: x}}\n  - {name: b, envRef: NOWHERE}\n  - {name: c, value: d}",
    );
    let manifest = read_env(&text.replace("bindings.kafka", "state.redis"));
    assert_eq!(values(&manifest), ["d"]);
    assert!(manifest.components[0].lacks_references);
}

#[test]
fn references_can_be_left_out() {
    let text = binding("vault", "  - {name: a, secretKeyRef: {name: x}}\n  - {name: b, value: c}");
    let stores = Stores::default();
    let manifest = Manifest::parse_with(text.as_bytes(), "a.yaml", None, References::LeftOut, &stores);
    let manifest = manifest.expect("no duplicates");
    assert_eq!(values(&manifest), ["c"]);
    assert!(manifest.components[0].lacks_references);
}

#[test]
fn stores_from_elsewhere_serve_a_text() {
    let stores = read_env(ENV_STORE).stores;
    let text = binding("env", "  - {name: a, secretKeyRef: {name: KAFKA_PASSWORD}}");
    let manifest = Manifest::parse_with(text.as_bytes(), "a.yaml", None, References::Resolved, &stores);
    assert_eq!(values(&manifest.expect("no duplicates")), ["hunter2"]);
}

#[test]
fn a_store_and_a_binding_of_one_name_contradict_each_other() {
    let text = format!("{ENV_STORE}---\n{}", document("env"));
    let error = Manifest::parse_in(NOBODY, text.as_bytes(), "a.yaml").expect_err("a duplicate");
    assert_eq!(
        error.message(),
        "duplicate definition of Component name env (bindings.kafka) with existing env (secretstores.local.env/v1) \
         at a.yaml:4:9"
    );
}

#[test]
fn the_fingerprint_follows_what_stands_elsewhere() {
    fn other(name: &str) -> Option<OsString> {
        if name == "KAFKA_PASSWORD" { Some("hunter3".into()) } else { variables(name) }
    }
    let text =
        format!("{}---\n{ENV_STORE}", binding("env", "  - {name: a, secretKeyRef: {name: KAFKA_PASSWORD}}"));
    assert_eq!(read_env(&text).fingerprint(), read_env(&text).fingerprint());
    assert_ne!(read_env(&text).fingerprint(), read_with(&text, other).fingerprint());
}

#[test]
fn an_error_tells_where_a_value_came_from_and_not_what_it_is() {
    let items = "  - {name: a, secretKeyRef: {name: KAFKA_PASSWORD}}\n  - {name: b, envRef: MY_ENV_VAR}";
    let manifest = read_env(&format!("{}---\n{ENV_STORE}", binding("env", items)));
    let component = &manifest.components[0];
    let error = |index: usize, message: &'static str| {
        let place = component.properties[index].value_place.clone();
        component.conceal(Error::new(ErrorCode::InvalidSettings, message).place(place))
    };
    assert_eq!(
        error(0, "a: expected a number, got \"hunter2\"").message(),
        "a: expected a number, got the secret \"KAFKA_PASSWORD\" of \"env\""
    );
    assert_eq!(
        error(1, "b: expected a list, got \"ciao\"").message(),
        "b: expected a list, got what the environment variable MY_ENV_VAR says"
    );
    assert_eq!(error(1, "user hunter2 is unknown").message(), "user *** is unknown");
    assert_eq!(
        component.conceal(Error::new(ErrorCode::Backend, "x").backend("hunter2")).backend_text(),
        Some("***")
    );
}
