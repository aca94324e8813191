//! Tests of what is read from Configurations.

use super::*;

fn read(spec: &str) -> Result<Configuration> {
    let text =
        format!("apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {{name: a}}\nspec:\n{spec}");
    Configuration::read(text.as_bytes(), "a.yaml", |name| (name == "RATE").then(|| "0.25".to_owned()))
}

fn fine(spec: &str) -> Configuration {
    read(spec).unwrap()
}

#[test]
fn an_empty_one_says_nothing() {
    let read = fine("  {}");
    assert_eq!(read.sampling(), Some(0.0001));
    assert!(read.tells_metrics() && read.counts_paths() && !read.counts_error_codes());
    assert!(read.has(Part::Bindings, Protocol::Http) && read.has(Part::Shutdown, Protocol::Grpc));
    assert_eq!((read.hot_reload(), read.latencies(), read.warnings().len()), (None, None, 0));
}

#[test]
fn the_sampling_rate_is_a_share_and_nothing_switches_spans_off() {
    assert_eq!(fine("  tracing: {samplingRate: \"1\"}").sampling(), Some(1.0));
    assert_eq!(fine("  tracing: {samplingRate: $RATE}").sampling(), Some(0.25));
    assert_eq!(fine("  tracing: {samplingRate: \"0\"}").sampling(), None);
    assert_eq!(fine("  tracing: {samplingRate: \"\"}").sampling(), Some(0.0001));
    for text in ["2", "-1", "often"] {
        let error = read(&format!("  tracing:\n    samplingRate: \"{text}\"")).unwrap_err();
        assert_eq!(error.place_in_file().unwrap().line, 6, "{error}");
        assert!(error.message().starts_with("spec.tracing.samplingRate: expected a number"), "{error}");
    }
}

#[test]
fn metrics_win_over_metric_and_later_files_over_earlier_ones_field_by_field() {
    let first = fine("  metric: {enabled: false, recordErrorCodes: true}\n  metrics: {enabled: true}");
    assert!(first.tells_metrics() && first.counts_error_codes());
    let later = fine("  metrics: {enabled: false, latencyDistributionBuckets: [1, 2.5]}");
    let both = Configuration::together(&[first, later]);
    assert!(!both.tells_metrics() && both.counts_error_codes());
    assert_eq!(both.latencies(), Some(vec![1.0, 2.5]));
    for list in ["[]", "[2, 1]", "[x]", "5"] {
        assert!(read(&format!("  metric: {{latencyDistributionBuckets: {list}}}")).is_err(), "{list}");
    }
}

#[test]
fn parts_of_the_api_are_allowed_or_denied_for_each_protocol() {
    let only = fine("  api:\n    allowed:\n    - {name: bindings, version: v1.0, protocol: http}");
    assert!(only.has(Part::Bindings, Protocol::Http) && !only.has(Part::Metadata, Protocol::Http));
    assert!(only.has(Part::Metadata, Protocol::Grpc), "no rule is about gRPC");
    let not = fine("  api:\n    denied:\n    - {name: bindings, version: v1, protocol: grpc}");
    assert!(not.has(Part::Bindings, Protocol::Http) && !not.has(Part::Bindings, Protocol::Grpc));
    assert!(read("  api: {denied: [{name: bindings, version: v1, protocol: smtp}]}").is_err());
    assert!(read("  api: {denied: [{name: bindings}]}").is_err());
}

#[test]
fn features_and_denied_components_are_read() {
    let read =
        fine("  features: [{name: HotReload, enabled: false}]\n  components: {deny: [bindings.kafka/v1]}");
    assert_eq!(read.hot_reload(), Some(false));
    assert_eq!(read.denied(), ["bindings.kafka/v1"]);
    assert_eq!(fine("  features: [{name: Other, enabled: true}]").hot_reload(), None);
}

#[test]
fn what_is_not_honoured_is_told_with_its_place() {
    let read = fine(
        "  tracing:\n    stdout: true\n    zipkin: {endpointAddress: 'http://localhost:9411'}\n    \
         otel: {endpointAddress: 'localhost:4317'}\n  httpPipeline: {handlers: []}\n  metric: {rules: [{name: a}]}\n  \
         tracng: {}\n  logging: {apiLogging: {enabled: true, obfuscateURLs: true}}\n",
    );
    let warnings = read.warnings();
    assert_eq!(warnings.len(), 7, "{warnings:#?}");
    assert!(warnings[1].starts_with("a.yaml:7:13: spec.tracing.zipkin: not honoured"), "{}", warnings[1]);
    assert!(warnings.iter().any(|one| one.contains("spec.tracng: no such field")));
    assert!(read.logs_calls());
    assert_eq!(fine("  tracing: {stdout: false}").warnings().len(), 0);
}

#[test]
fn another_kind_of_document_and_what_is_no_yaml_are_refused() {
    let parse = |text: &str| Configuration::read(text.as_bytes(), "a.yaml", |_| None);
    let error = parse("kind: Component\n").unwrap_err();
    assert_eq!(
        error.to_string().split(" [").next(),
        Some("a.yaml:1:7: kind: expected Configuration, got \"Component\"")
    );
    assert!(parse("spec: {}\n").is_err() && parse("kind: [\n").is_err());
    assert!(read("  tracing: often").is_err());
    assert!(Configuration::parse("/nowhere/at/all.yaml").unwrap_err().starts_with("cannot be read"));
}
