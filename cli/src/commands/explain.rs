//! `bindwright explain`: what a component's document amounts to.

mod text;

use bindwright::inspect::{self, EffectiveSetting, Explanation, Source, WaySummary};
use bindwright::{Ledger, Place};
use clap::Args;
use serde_json::{Value, json};

use super::Resources;
use crate::Failure;
use crate::terminal::{Terminal, describe};

/// Tells what a component's document amounts to
///
/// Every setting that counts and where it comes from, what the component can be asked to do, what one can rely on, how
/// often something is attempted, and which options client libraries get. Nothing is connected to; values that are
/// secret are shown as ***.
///
/// Exit status: 0 done, 1 there is no such component or it cannot be used, 2 not understood.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The component's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    resources: Resources,
}

impl Explain {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let options = self.resources.options();
        let paths = options.resource_paths()?;
        let explanation = inspect::explain(&paths, options.effective_app_id().as_deref(), &self.name)?;
        if terminal.is_json() {
            terminal.say_json(&json_of(&explanation))?;
        } else {
            terminal.say(&text::page(&explanation))?;
        }
        if explanation.is_usable { Ok(()) } else { Err(Failure::Told) }
    }
}

fn json_of(explanation: &Explanation) -> Value {
    let guarantees: Vec<Value> = explanation
        .guarantees
        .iter()
        .map(|guarantee| json!({ "topic": guarantee.topic, "text": guarantee.text }))
        .collect();
    let options: Vec<Value> = explanation
        .options
        .iter()
        .map(|native| {
            let options: serde_json::Map<String, Value> =
                native.options.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            json!({ "library": native.library, "client": native.client, "options": options })
        })
        .collect();
    json!({
        "name": explanation.name,
        "type": explanation.component_type,
        "version": explanation.version,
        "place": place(&explanation.place),
        "usable": explanation.is_usable,
        "faults": explanation.faults.iter().map(describe).collect::<Vec<_>>(),
        "operations": explanation.operations,
        "sending": explanation.sending.as_ref().map(way),
        "receiving": explanation.receiving.as_ref().map(way),
        "settings": explanation.settings.iter().map(setting).collect::<Vec<_>>(),
        "runtimeSettings": explanation.runtime.iter().map(setting).collect::<Vec<_>>(),
        "guarantees": guarantees,
        "nativeOptions": options,
    })
}

fn place(place: &Place) -> Value {
    json!({ "file": place.file.as_ref(), "line": place.line, "column": place.column })
}

fn way(way: &WaySummary) -> Value {
    let policies: Vec<Value> = way
        .policies
        .iter()
        .map(|policy| {
            json!({
                "kind": policy.kind,
                "name": policy.name,
                "place": policy.place.as_ref().map(place),
                "text": policy.text,
            })
        })
        .collect();
    json!({ "policies": policies, "ledger": way.ledger.as_ref().map(ledger) })
}

fn ledger(ledger: &Ledger) -> Value {
    json!({
        "attempts": ledger.attempts,
        "longestSeconds": ledger.longest.map(|longest| longest.as_secs_f64()),
        "pausesSeconds": ledger.pauses.map(|pauses| pauses.as_secs_f64()),
    })
}

fn setting(effective: &EffectiveSetting) -> Value {
    let known = effective.setting.as_ref();
    json!({
        "name": effective.name,
        "value": effective.value,
        "source": source(&effective.source),
        "known": known.is_some(),
        "kind": known.map(|setting| setting.kind.as_str()),
        "secret": known.map(|setting| setting.is_secret),
        "default": known.and_then(|setting| setting.default.as_deref()),
        "description": known.map(|setting| setting.description.as_str()),
        "dapr": known.map(|setting| !setting.is_ours),
    })
}

fn source(source: &Source) -> Value {
    match source {
        Source::Default => json!({ "kind": "default" }),
        Source::Document(at) => json!({ "kind": "document", "place": place(at) }),
        Source::Environment { variable, place: at } => {
            json!({ "kind": "environment", "variable": variable, "place": place(at) })
        }
        Source::Secret { store, name, key, place: at } => {
            json!({ "kind": "secret", "store": store, "name": name, "key": key, "place": place(at) })
        }
        _ => json!({ "kind": "unset" }),
    }
}
