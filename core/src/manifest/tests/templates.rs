//! Tests of names in values: vector 45.

use super::*;

fn filled(value: &str, identity: &Identity) -> Result<String> {
    let manifest = with_items(&format!("  - name: a\n    value: '{value}'"));
    fill(&manifest.components[0], identity).map(|component| component.properties[0].value.clone())
}

fn identity() -> Identity {
    Identity::new(Some("a"), "ns", Some("pod-1"))
}

#[test]
fn every_uuid_is_another_random_one() {
    let text = filled("{uuid}/{uuid}", &identity()).expect("filled");
    let (first, second) = text.split_once('/').expect("two");
    assert_ne!(first, second);
    for uuid in [first, second] {
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert!(uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
    }
}

#[test]
fn names_stand_for_pod_namespace_and_app() {
    assert_eq!(filled("x-{podName}-{appID}{namespace}!", &identity()).expect("filled"), "x-pod-1-ans.a!");
    let nowhere = Identity::new(Some("a"), "", None);
    assert_eq!(filled("{namespace}", &nowhere).expect("filled"), ".a");
}

#[test]
fn anything_else_in_braces_stays_and_what_was_filled_in_is_not_filled_again() {
    for text in ["{}", "{UUID}", "{appId}", "{ uuid }", "{{", "uuid}", "{key}", ""] {
        assert_eq!(filled(text, &identity()).expect("filled"), text);
    }
    let nested = Identity::new(Some("{podName}"), "{appID}", Some("p"));
    assert_eq!(filled("{{appID}{namespace}", &nested).expect("filled"), "{{podName}{appID}.{podName}");
}

#[test]
fn a_name_that_nobody_knows_is_an_error_with_its_place() {
    let nobody = Identity::new(None, "ns", None);
    for (text, expected) in [
        ("{podName}", "a: {podName} needs the environment variable POD_NAME, which is not set"),
        ("{appID}", "a: {appID} needs an app id, and the client has none"),
        ("{namespace}", "a: {namespace} needs an app id, and the client has none"),
    ] {
        let error = filled(text, &nobody).expect_err(text);
        assert_eq!((error.code(), error.message()), (ErrorCode::InvalidSettings, expected));
        assert_eq!(error.place_in_file(), Some(&place(9, 12)));
        assert_eq!(error.component_name(), Some("a"));
    }
}

#[test]
fn direction_and_route_are_filled_in_as_well() {
    let manifest =
        with_items("  - {name: route, value: '/{appID}'}\n  - {name: direction, value: '{podName}'}");
    let input = Identity::new(Some("shop"), "ns", Some("input"));
    let component = fill(&manifest.components[0], &input).expect("filled");
    assert_eq!(component.route.as_deref(), Some("/shop"));
    assert!(component.direction.explicit_input && !component.direction.output);
}
