//! What a component's document amounts to: every setting with its origin, what it can do, and what one can rely on.
//! Nothing is connected to. Tests are in `tests/explain.rs`.

use std::path::PathBuf;

use super::nature::{Guarantee, NativeOptions};
use crate::dispatch::OrderBy;
use crate::error::{Error, ErrorCode, Place, Result};
use crate::instances::Instance;
use crate::manifest::{Component, Identity, Manifest, Origin, Property, References};
use crate::policy::{Ledger, or_near};
use crate::registry::{self, ComponentType};
use crate::settings::{RuntimeSettings, Setting, runtime_settings};

/// What stands for a value that is shown nowhere.
const MASK: &str = "***";

/// A component, explained.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Explanation {
    /// The name that calls use.
    pub name: String,
    /// `spec.type` as the registry has it; as the document has it where there is no such type.
    pub component_type: String,
    /// `spec.version`.
    pub version: String,
    /// Where its document begins.
    pub place: Place,
    /// Whether it can be used, as far as one can tell without connecting. Else the rest says what the document says.
    pub is_usable: bool,
    /// What is wrong with it, be it harmless.
    pub faults: Vec<Error>,
    /// What it can be asked to do; empty for what does not send.
    pub operations: Vec<&'static str>,
    /// How its calls are treated; `None` for what does not send.
    pub sending: Option<WaySummary>,
    /// How its events are treated; `None` for what does not receive.
    pub receiving: Option<WaySummary>,
    /// The settings of its type: those of the document in their order, then the others by name. A setting that the
    /// document gives and nobody knows is among them.
    pub settings: Vec<EffectiveSetting>,
    /// The settings that the runtime reads, of any component, in the same order.
    pub runtime: Vec<EffectiveSetting>,
    /// What one can rely on.
    pub guarantees: Vec<Guarantee>,
    /// What client libraries are told.
    pub options: Vec<NativeOptions>,
}

/// How one direction of a component is treated.
#[derive(Debug, Clone)]
pub struct WaySummary {
    /// The policies that concern it.
    pub policies: Vec<Policy>,
    /// Everything that makes attempts, counted together; `None` where the direction cannot be opened.
    pub ledger: Option<Ledger>,
}

/// A policy at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `timeout`, `retry` or `circuitBreaker`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Where a target names it; `None` for a default.
    pub place: Option<Place>,
    /// What it says.
    pub text: String,
}

/// A setting as it counts.
#[derive(Debug, Clone)]
pub struct EffectiveSetting {
    /// The documented name; the document's own where nobody knows the setting.
    pub name: String,
    /// The value; `***` for one that is secret or that nobody knows. `None` where nothing stands for it.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// What is known about it.
    pub setting: Option<Setting>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody says anything, and nothing stands for it.
    Unset,
    /// What stands for leaving it out.
    Default,
    /// The document.
    Document(Place),
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
        /// Where the document names it.
        place: Place,
    },
    /// A secret store.
    Secret {
        /// The store.
        store: String,
        /// The secret.
        name: String,
        /// The key inside of it.
        key: String,
        /// Where the document names it.
        place: Place,
    },
}

/// Explains the component `name` of folders and files.
///
/// # Errors
/// `INVALID_OPTIONS` for a path that cannot be read, `COMPONENT_NOT_FOUND` with near names. Other faults are in the
/// explanation.
pub fn explain(paths: &[PathBuf], app_id: Option<&str>, name: &str) -> Result<Explanation> {
    let manifest = Manifest::load_again(paths, app_id, References::Resolved)?;
    let incomplete;
    let component = if let Some(component) = manifest.component(name) {
        component
    } else {
        incomplete = Manifest::load_again(paths, app_id, References::LeftOut)?;
        incomplete.component(name).ok_or_else(|| not_found(&manifest, name))?
    };
    let mut explanation = explained(&manifest, component, &Identity::of_process(app_id));
    explanation.is_usable &= manifest.component(name).is_some();
    let faults = manifest.faults.iter().filter(|fault| fault.component_name() == Some(name));
    explanation.faults.splice(0..0, faults.cloned());
    Ok(explanation)
}

fn not_found(manifest: &Manifest, name: &str) -> Error {
    // A document that is too broken to be a component says best why there is none.
    if let Some(fault) = manifest.left_out().iter().find(|fault| fault.component_name() == Some(name)) {
        return fault.clone();
    }
    let names: Vec<&str> = manifest.components.iter().map(|component| &*component.name).collect();
    let message = or_near(format!("no component is called {name:?}"), name, &names);
    let advice = match names.as_slice() {
        [] => "There are no components; `bindwright check` says why.".to_owned(),
        names => format!("Use one of: {}.", names.join(", ")),
    };
    Error::new(ErrorCode::ComponentNotFound, message).advice(advice)
}

fn explained(manifest: &Manifest, component: &Component, identity: &Identity) -> Explanation {
    let component_type = registry::find(component).ok();
    let instance = Instance::new(component.clone(), identity, &manifest.policies, None);
    let info = instance.info(&[]);
    let nature = component_type.as_ref().filter(|_| instance.fault().is_none());
    let nature = nature.and_then(|found| found.nature(component).ok()).unwrap_or_default();
    let way = |is_there: bool, sends: bool, ledger: Option<Ledger>| {
        is_there.then(|| WaySummary { policies: policies(manifest, component, sends), ledger })
    };
    let mut guarantees = nature.guarantees;
    if info.input {
        guarantees.extend(of_events(component));
    }
    let (settings, runtime) = settings_of(component, component_type.as_ref());
    Explanation {
        name: component.name.to_string(),
        component_type: component_type
            .as_ref()
            .map_or_else(|| component.component_type.clone(), |found| found.name().to_owned()),
        version: component.version.clone(),
        place: component.place.clone(),
        is_usable: instance.fault().is_none(),
        faults: instance.faults().collect(),
        operations: component_type
            .as_ref()
            .filter(|_| info.output)
            .and_then(ComponentType::known_operations)
            .unwrap_or_default()
            .to_vec(),
        sending: way(info.output, true, info.retries),
        receiving: way(info.input, false, info.redelivery),
        settings,
        runtime,
        guarantees,
        options: nature.options,
    }
}

fn policies(manifest: &Manifest, component: &Component, sends: bool) -> Vec<Policy> {
    let told = manifest.policies.told(&component.name, sends).into_iter();
    told.map(|(kind, name, place, text)| Policy { kind, name, place, text }).collect()
}

/// What holds for the events of any component.
fn of_events(component: &Component) -> Vec<Guarantee> {
    let Ok(runtime) = RuntimeSettings::of(component) else { return Vec::new() };
    let order = match runtime.order_by {
        OrderBy::Partition => "events of a partition are handled one after the other, partitions in parallel",
        OrderBy::Key => {
            "events of a key are handled one after the other, keys in parallel; those without a key have no order"
        }
        OrderBy::None => "events have no order",
    };
    let binding = runtime.dead_letter_binding.as_deref();
    let most = runtime.max_delivery_count;
    let failure = match (most, binding) {
        (Some(most), Some(binding)) => {
            format!("after {most} deliveries an event becomes a dead letter to {binding:?}")
        }
        (Some(most), None) => {
            format!("after {most} deliveries an event holds its place, and the component is degraded")
        }
        (None, Some(binding)) => {
            format!(
                "a failed event is delivered again; when its deliveries are used up it becomes a dead letter to {binding:?}"
            )
        }
        (None, None) => "a failed event is delivered again, and never skipped".to_owned(),
    };
    let repeat = runtime.max_uncommitted;
    let delivery = format!(
        "at least once: nothing is recorded as received before it is settled; a process that is killed makes up to \
         {repeat} events of each partition come again"
    );
    [("delivery", delivery), ("order", order.to_owned()), ("failure", failure)]
        .map(|(topic, text)| Guarantee { topic, text })
        .to_vec()
}

/// The settings of the type, and those of the runtime.
fn settings_of(
    component: &Component,
    component_type: Option<&ComponentType>,
) -> (Vec<EffectiveSetting>, Vec<EffectiveSetting>) {
    let known = component_type.and_then(ComponentType::described_settings).unwrap_or_default();
    let is_binding = component_type.is_none_or(|found| found.can_send() || found.can_receive());
    let of_runtime = if is_binding { runtime_settings() } else { Vec::new() };
    let is_runtime = |property: &&Property| of_runtime.iter().any(|one| one.is_called(&property.name));
    let (runtime, own): (Vec<&Property>, Vec<&Property>) = component.properties.iter().partition(is_runtime);
    (effective(&own, &known), effective(&runtime, &of_runtime))
}

fn effective(properties: &[&Property], known: &[Setting]) -> Vec<EffectiveSetting> {
    let mut all: Vec<EffectiveSetting> = Vec::new();
    for property in properties {
        let setting = known.iter().find(|setting| setting.is_called(&property.name));
        let is_secret = setting.is_none_or(|setting| setting.is_secret)
            || matches!(property.origin, Origin::Secret { .. });
        let value = if is_secret { MASK.to_owned() } else { property.value.clone() };
        all.push(EffectiveSetting {
            name: setting.map_or_else(|| property.name.clone(), |setting| setting.name.clone()),
            value: Some(value),
            source: source_of(property),
            setting: setting.cloned(),
        });
    }
    for setting in known {
        if !all.iter().any(|one| one.name == setting.name) {
            let source = if setting.default.is_some() { Source::Default } else { Source::Unset };
            let (name, value) = (setting.name.clone(), setting.default.clone());
            all.push(EffectiveSetting { name, value, source, setting: Some(setting.clone()) });
        }
    }
    all
}

fn source_of(property: &Property) -> Source {
    let place = property.value_place.clone();
    match &property.origin {
        Origin::Document => Source::Document(place),
        Origin::Environment { variable } => Source::Environment { variable: variable.clone(), place },
        Origin::Secret { store, name, key } => {
            Source::Secret { store: store.clone(), name: name.clone(), key: key.clone(), place }
        }
    }
}
