//! What is counted about components and policies. Nothing here is told of them: they are looked at before a scrape.

use std::collections::HashMap;

use bindwright::{Client, ComponentInfo, ErrorCode, PolicyReport, PolicyUse, State};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{Labels, counter};

/// The policy of circuit breakers, as it is called in labels.
const BREAKER: &str = "circuitbreaker";
/// What a circuit breaker can be; Dapr has one more word for those it lost sight of.
const STATES: [&str; 4] = ["closed", "half-open", "open", "unknown"];

/// Components that came, and those that failed.
pub(super) struct Runtime {
    loaded: IntCounterVec,
    begun: IntCounterVec,
    failed: IntCounterVec,
    /// The live object of each name that was counted last, and whether it had failed.
    known: Mutex<HashMap<String, (u64, bool)>>,
}

impl Runtime {
    pub(super) fn new(registry: &Registry) -> Self {
        let name = |name: &str| format!("runtime_component_{name}");
        Self {
            loaded: counter(registry, &name("loaded"), "components that were loaded", &["app_id"]),
            begun: counter(
                registry,
                &name("init_total"),
                "components that were initialized, by their types",
                &["app_id", "component"],
            ),
            failed: counter(
                registry,
                &name("init_fail_total"),
                "components that could not be initialized, by their types",
                &["app_id", "component", "reason", "componentName"],
            ),
            known: Mutex::default(),
        }
    }

    /// Counts what is new.
    pub(super) fn look(&self, app_id: &str, components: &[ComponentInfo]) {
        let mut known = self.known.lock();
        for one in components {
            let now = (one.number, one.state == State::Failed);
            let before = known.insert(one.name.clone(), now);
            if before == Some(now) {
                continue;
            }
            let component_type = one.component_type.as_str();
            if now.1 {
                let reason = match one.error.as_ref().map(bindwright::Error::code) {
                    Some(ErrorCode::UnknownType | ErrorCode::InvalidSettings) => "creation",
                    _ => "init",
                };
                self.failed.with_label_values(&[app_id, component_type, reason, &one.name]).inc();
            } else if before.is_none_or(|(number, had_failed)| number != one.number || had_failed) {
                self.loaded.with_label_values(&[app_id]).inc();
                let directions = u64::from(one.input) + u64::from(one.output);
                self.begun.with_label_values(&[app_id, component_type]).inc_by(directions);
            }
        }
    }
}

/// The counters of policies, as they are now.
pub(super) fn policies(client: &Client, labels: &Labels) -> Registry {
    let registry = Registry::new();
    let PolicyReport { documents, uses, .. } = client.policies();
    if documents.is_empty() {
        return registry;
    }
    let short = ["app_id", "name", "namespace"];
    let loaded = counter(&registry, "resiliency_loaded", "documents of policies", &short);
    for name in &documents {
        loaded.with_label_values(&[&labels.app_id, name, &labels.namespace]).inc();
    }
    // Documents are merged; which one a policy is from is not kept. Dapr names the last one as well.
    let name = documents.last().map_or("", String::as_str);
    let told = Told::new(&registry, labels, name);
    for one in &uses {
        told.tell(one);
    }
    registry
}

struct Told<'a> {
    labels: &'a Labels,
    name: &'a str,
    executions: IntCounterVec,
    activations: IntCounterVec,
    states: IntGaugeVec,
}

impl<'a> Told<'a> {
    fn new(registry: &Registry, labels: &'a Labels, name: &'a str) -> Self {
        let long = ["app_id", "name", "policy", "namespace", "flow_direction", "target", "status"];
        let states = Opts::new("dapr_resiliency_cb_state", "how circuit breakers are: 1 for what they are");
        let states = IntGaugeVec::new(states, &long).expect("the name and the labels are valid");
        registry.register(Box::new(states.clone())).expect("the name is registered once");
        Self {
            labels,
            name,
            executions: counter(
                registry,
                "resiliency_count",
                "calls and events that policies concern",
                &long,
            ),
            activations: counter(
                registry,
                "resiliency_activations_total",
                "how often policies did something: gave up an attempt, made another, changed their state",
                &long,
            ),
            states,
        }
    }

    fn tell(&self, one: &PolicyUse) {
        let direction = if one.is_inbound { "inbound" } else { "outbound" };
        let target = format!("Binding_{}", one.component);
        let labels = |policy: &'static str, status: &'static str| {
            let Labels { app_id, namespace } = self.labels;
            [
                app_id.clone(),
                self.name.to_owned(),
                policy.to_owned(),
                namespace.clone(),
                direction.to_owned(),
                target.clone(),
                status.to_owned(),
            ]
        };
        let add = |counters: &IntCounterVec, policy, status, count| {
            counters.with_label_values(&labels(policy, status)).inc_by(count);
        };
        for (policy, activated) in [("timeout", one.timeouts), ("retry", one.retries)] {
            if let Some(activated) = activated {
                add(&self.executions, policy, "", one.executions);
                add(&self.activations, policy, "", activated);
            }
        }
        let Some(breaker) = &one.breaker else { return };
        add(&self.executions, BREAKER, "", one.executions);
        add(&self.activations, BREAKER, "open", breaker.opened);
        add(&self.activations, BREAKER, "half-open", breaker.half_opened);
        add(&self.activations, BREAKER, "closed", breaker.closed);
        for state in STATES {
            let is_so = i64::from(state == breaker.state);
            self.states.with_label_values(&labels(BREAKER, state)).set(is_so);
        }
    }
}
