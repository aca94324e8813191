//! Documents of other kinds, as programs around the crate read them.

use crate::Yaml;

fn document(text: &str) -> Yaml {
    Yaml::documents(text.as_bytes(), "b.yaml").expect("YAML").pop().expect("a document")
}

#[test]
fn values_know_their_names_and_places() {
    let document = document("# first\nspec:\n  metric: {Enabled: off}\n  rate: 0.5\n  deny: [a, 'b']\n");
    let spec = document.field("spec").expect("spec");
    let enabled = spec.field("metric").and_then(|metric| metric.field("enabled")).expect("in any case");
    assert_eq!(enabled.flag().ok(), Some(false));
    assert_eq!(enabled.path(), "spec.metric.enabled");
    assert_eq!(spec.field("rate").expect("rate").text().ok().as_deref(), Some("0.5"));
    let items = spec.field("deny").expect("deny").items().expect("a list");
    assert_eq!(items[1].text().ok().as_deref(), Some("b"));
    let error = items[1].error("expected more");
    assert_eq!(error.message(), "spec.deny[1]: expected more");
    assert_eq!(error.place_in_file().map(ToString::to_string).as_deref(), Some("b.yaml:5:13"));
    let names: Vec<String> = spec.fields().expect("a mapping").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["metric", "rate", "deny"]);
}

#[test]
fn what_is_missing_or_null_is_no_field_and_what_is_of_another_form_is_an_error() {
    let document = document("a: ~\nb: text\nc: {}\n");
    assert!(document.field("a").is_none() && document.field("z").is_none());
    let b = document.field("b").expect("b");
    assert!(b.flag().is_err() && b.items().is_err() && b.fields().is_err());
    assert!(document.field("c").expect("c").text().is_err());
}

#[test]
fn documents_are_told_apart_and_empty_ones_left_out() {
    let all = Yaml::documents(b"a: 1\n---\n# nothing\n---\nb: 2\n", "b.yaml").expect("YAML");
    assert_eq!(all.len(), 2);
    assert!(all[1].field("b").is_some());
    let error = Yaml::documents(b"a: [\n", "b.yaml").expect_err("no YAML");
    assert!(error.place_in_file().is_some());
}
