//! What is counted, by the names that Dapr has for it, in the text form of Prometheus.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// In milliseconds.
const LATENCIES: [f64; 34] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0, 100.0,
    130.0, 160.0, 200.0, 250.0, 300.0, 400.0, 500.0, 650.0, 800.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    20_000.0, 50_000.0, 100_000.0,
];
/// Names from callers that were never heard of would grow without end; what comes after so many counts as one.
const MOST_NAMES: usize = 1000;

/// The counters of one server.
pub(crate) struct Metrics {
    app_id: String,
    namespace: String,
    registry: Registry,
    invocations: IntCounterVec,
    invocation_times: HistogramVec,
    events: IntCounterVec,
    event_times: HistogramVec,
    names: parking_lot::Mutex<std::collections::HashSet<(String, String)>>,
}

impl Metrics {
    pub(crate) fn new(app_id: &str) -> Self {
        let registry = Registry::new();
        let output = ["app_id", "component", "namespace", "operation", "success"];
        let input = ["app_id", "component", "namespace", "success"];
        Self {
            invocations: counter(
                &registry,
                "output_binding_count",
                "invocations of output bindings",
                &output,
            ),
            invocation_times: times(
                &registry,
                "output_binding_latencies",
                "how long they took, in ms",
                &output,
            ),
            events: counter(&registry, "input_binding_count", "events given to the application", &input),
            event_times: times(&registry, "input_binding_latencies", "how long they took, in ms", &input),
            registry,
            app_id: app_id.to_owned(),
            namespace: std::env::var("NAMESPACE").unwrap_or_default(),
            names: parking_lot::Mutex::default(),
        }
    }

    pub(crate) fn invoked(&self, component: &str, operation: &str, success: bool, took: Duration) {
        // Callers choose both names; what succeeded is bounded by the components.
        let (component, operation) =
            if success || self.is_known(component, operation) { (component, operation) } else { ("", "") };
        let labels = [&self.app_id, component, &self.namespace, operation, text(success)];
        self.invocations.with_label_values(&labels).inc();
        self.invocation_times.with_label_values(&labels).observe(took.as_secs_f64() * 1000.0);
    }

    pub(crate) fn delivered(&self, component: &str, success: bool, took: Duration) {
        let labels = [&self.app_id, component, &self.namespace, text(success)];
        self.events.with_label_values(&labels).inc();
        self.event_times.with_label_values(&labels).observe(took.as_secs_f64() * 1000.0);
    }

    fn is_known(&self, component: &str, operation: &str) -> bool {
        let mut names = self.names.lock();
        let name = (component.to_owned(), operation.to_owned());
        names.contains(&name) || (names.len() < MOST_NAMES && names.insert(name))
    }

    /// Everything, for a scrape.
    pub(crate) fn shown(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

const fn text(success: bool) -> &'static str {
    if success { "true" } else { "false" }
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counter = IntCounterVec::new(Opts::new(format!("dapr_component_{name}"), help), labels);
    let counter = counter.expect("the name and the labels are valid");
    registry.register(Box::new(counter.clone())).expect("the name is registered once");
    counter
}

fn times(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(format!("dapr_component_{name}"), help).buckets(LATENCIES.to_vec());
    let times = HistogramVec::new(options, labels).expect("the name and the labels are valid");
    registry.register(Box::new(times.clone())).expect("the name is registered once");
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_events_are_counted_by_the_names_that_dapr_has() {
        let metrics = Metrics::new("shop");
        metrics.invoked("orders", "create", true, Duration::from_millis(7));
        metrics.invoked("orders", "create", true, Duration::from_millis(7));
        metrics.invoked("nothing", "get", false, Duration::ZERO);
        metrics.delivered("orders", false, Duration::from_millis(20));
        let shown = metrics.shown();
        for line in [
            "dapr_component_output_binding_count{app_id=\"shop\",component=\"orders\",namespace=\"\",operation=\"create\",success=\"true\"} 2",
            "dapr_component_output_binding_count{app_id=\"shop\",component=\"nothing\",namespace=\"\",operation=\"get\",success=\"false\"} 1",
            "dapr_component_output_binding_latencies_bucket{app_id=\"shop\",component=\"orders\",namespace=\"\",operation=\"create\",success=\"true\",le=\"6\"} 0",
            "dapr_component_output_binding_latencies_bucket{app_id=\"shop\",component=\"orders\",namespace=\"\",operation=\"create\",success=\"true\",le=\"8\"} 2",
            "dapr_component_input_binding_count{app_id=\"shop\",component=\"orders\",namespace=\"\",success=\"false\"} 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
    }

    #[test]
    fn names_that_callers_make_up_do_not_grow_without_end() {
        let metrics = Metrics::new("");
        for number in 0..3 * MOST_NAMES {
            metrics.invoked(&format!("made-up-{number}"), "x", false, Duration::ZERO);
        }
        let lines = metrics.shown().lines().filter(|line| line.contains("binding_count{")).count();
        assert_eq!(lines, MOST_NAMES + 1);
    }
}
