//! What is counted, by the names that Dapr has for it, in the text form of Prometheus.
//!
//! Here is what is counted about invocations and events; `requests.rs` has what is counted about requests to the API,
//! `runtime.rs` about components and policies. What Dapr counts beside is named in `docs/parity.md`.

mod requests;
mod runtime;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bindwright::{Client, ComponentInfo};
use parking_lot::{Mutex, RwLock};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};
use tonic::Code;

use crate::configuration::Configuration;
pub(crate) use requests::Answered;
use requests::Requests;
use runtime::Runtime;

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
    labels: Labels,
    registry: Registry,
    invocations: IntCounterVec,
    invocation_times: HistogramVec,
    events: IntCounterVec,
    event_times: HistogramVec,
    requests: Requests,
    runtime: Runtime,
    /// Where failures are counted by their codes.
    failures: Option<IntCounterVec>,
    names: Mutex<HashSet<(String, String)>>,
    /// What was looked up before, by component: a look at labels takes longer than counting.
    series: RwLock<HashMap<String, OfComponent>>,
}

/// What is counted of a component, by operation and success.
type OfComponent = Vec<(String, bool, Series)>;

/// Where invocations of one component and operation are counted that ended the same way.
#[derive(Clone)]
struct Series(IntCounter, Histogram);

/// What stands at everything.
struct Labels {
    app_id: String,
    namespace: String,
}

impl Metrics {
    pub(crate) fn new(app_id: &str, configuration: &Configuration) -> Self {
        let registry = Registry::new();
        let output = ["app_id", "component", "namespace", "operation", "success"];
        let input = ["app_id", "component", "namespace", "success"];
        let latencies = configuration.latencies().unwrap_or_else(|| LATENCIES.to_vec());
        let name = |name: &str| format!("component_{name}");
        let took = "how long they took, in ms";
        let counts_failures = configuration.counts_error_codes();
        let failures = counts_failures.then(|| {
            let labels = ["app_id", "error_code", "category"];
            counter(&registry, "error_code_total", "failures by their codes", &labels)
        });
        Self {
            invocations: counter(
                &registry,
                &name("output_binding_count"),
                "invocations of output bindings",
                &output,
            ),
            invocation_times: times(&registry, &name("output_binding_latencies"), took, &output, &latencies),
            events: counter(
                &registry,
                &name("input_binding_count"),
                "events given to the application",
                &input,
            ),
            event_times: times(&registry, &name("input_binding_latencies"), took, &input, &latencies),
            requests: Requests::new(&registry, app_id, &latencies, configuration),
            runtime: Runtime::new(&registry),
            failures,
            registry,
            labels: Labels {
                app_id: app_id.to_owned(),
                namespace: std::env::var("NAMESPACE").unwrap_or_default(),
            },
            names: Mutex::default(),
            series: RwLock::default(),
        }
    }

    pub(crate) fn invoked(&self, component: &str, operation: &str, success: bool, took: Duration) {
        let found = {
            let series = self.series.read();
            let mut of_component = series.get(component).into_iter().flatten();
            let is_it = |one: &&(String, bool, Series)| one.0 == operation && one.1 == success;
            of_component.find(is_it).map(|(_, _, series)| series.clone())
        };
        let Series(count, times) = found.unwrap_or_else(|| self.made(component, operation, success));
        count.inc();
        times.observe(millis(took));
    }

    fn made(&self, component: &str, operation: &str, success: bool) -> Series {
        // Callers choose both names; what succeeded is bounded by the components.
        let is_known = success || self.is_known(component, operation);
        let (known_component, known_operation) = if is_known { (component, operation) } else { ("", "") };
        let Labels { app_id, namespace } = &self.labels;
        let labels = [app_id, known_component, namespace, known_operation, text(success)];
        let (count, times) = (&self.invocations, &self.invocation_times);
        let made = Series(count.with_label_values(&labels), times.with_label_values(&labels));
        if is_known {
            let mut series = self.series.write();
            let of_component = series.entry(component.to_owned()).or_default();
            of_component.push((operation.to_owned(), success, made.clone()));
        }
        made
    }

    pub(crate) fn delivered(&self, component: &str, success: bool, took: Duration) {
        let Labels { app_id, namespace } = &self.labels;
        let labels = [app_id, component, namespace, text(success)];
        self.events.with_label_values(&labels).inc();
        self.event_times.with_label_values(&labels).observe(millis(took));
    }

    /// A request over HTTP was answered.
    pub(crate) fn answered(&self, answered: &Answered<'_>) {
        self.requests.over_http(&self.labels.app_id, answered);
    }

    /// A call over gRPC was answered.
    pub(crate) fn called(&self, path: &str, code: Code, took: Duration) {
        self.requests.over_grpc(&self.labels.app_id, path, code, took);
    }

    /// A request failed with a code of Dapr's.
    pub(crate) fn failed(&self, code: &'static str) {
        let Some(failures) = &self.failures else { return };
        let category = match code {
            "ERR_INVOKE_OUTPUT_BINDING" => "binding",
            "ERR_DIRECT_INVOKE" => "service-invocation",
            "ERR_MALFORMED_REQUEST" => "common",
            _ => "health",
        };
        failures.with_label_values(&[self.labels.app_id.as_str(), code, category]).inc();
    }

    fn is_known(&self, component: &str, operation: &str) -> bool {
        let mut names = self.names.lock();
        let name = (component.to_owned(), operation.to_owned());
        names.contains(&name) || (names.len() < MOST_NAMES && names.insert(name))
    }

    /// Everything, for a scrape.
    pub(crate) fn shown(&self, client: &Client, components: &[ComponentInfo]) -> String {
        self.look(components);
        let mut all = self.registry.gather();
        all.extend(runtime::policies(client, &self.labels).gather());
        TextEncoder::new().encode_to_string(&all).unwrap_or_default()
    }

    /// Counts components that came since the last look.
    pub(crate) fn look(&self, components: &[ComponentInfo]) {
        self.runtime.look(&self.labels.app_id, components);
    }
}

const fn text(success: bool) -> &'static str {
    if success { "true" } else { "false" }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counter = IntCounterVec::new(Opts::new(format!("dapr_{name}"), help), labels);
    let counter = counter.expect("the name and the labels are valid");
    registry.register(Box::new(counter.clone())).expect("the name is registered once");
    counter
}

fn times(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(format!("dapr_{name}"), help).buckets(buckets.to_vec());
    let times = HistogramVec::new(options, labels).expect("the name and the labels are valid");
    registry.register(Box::new(times.clone())).expect("the name is registered once");
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(metrics: &Metrics) -> String {
        TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap()
    }

    #[test]
    fn calls_and_events_are_counted_by_the_names_that_dapr_has() {
        let metrics = Metrics::new("shop", &Configuration::default());
        metrics.invoked("orders", "create", true, Duration::from_millis(7));
        metrics.invoked("orders", "create", true, Duration::from_millis(7));
        metrics.invoked("nothing", "get", false, Duration::ZERO);
        metrics.delivered("orders", false, Duration::from_millis(20));
        let text = shown(&metrics);
        for line in [
            "dapr_component_output_binding_count{app_id=\"shop\",component=\"orders\",namespace=\"\",operation=\"create\",success=\"true\"} 2",
            "dapr_component_output_binding_count{app_id=\"shop\",component=\"nothing\",namespace=\"\",operation=\"get\",success=\"false\"} 1",
            "dapr_component_output_binding_latencies_bucket{app_id=\"shop\",component=\"orders\",namespace=\"\",operation=\"create\",success=\"true\",le=\"6\"} 0",
            "dapr_component_output_binding_latencies_bucket{app_id=\"shop\",component=\"orders\",namespace=\"\",operation=\"create\",success=\"true\",le=\"8\"} 2",
            "dapr_component_input_binding_count{app_id=\"shop\",component=\"orders\",namespace=\"\",success=\"false\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    #[test]
    fn names_that_callers_make_up_do_not_grow_without_end() {
        let metrics = Metrics::new("", &Configuration::default());
        for number in 0..3 * MOST_NAMES {
            metrics.invoked(&format!("made-up-{number}"), "x", false, Duration::ZERO);
        }
        let lines = shown(&metrics).lines().filter(|line| line.contains("binding_count{")).count();
        assert_eq!(lines, MOST_NAMES + 1);
    }
}
