//! `bindwright components`: what there is, and how it is.

use std::time::Duration;

use bindwright::{ComponentInfo, State};
use clap::Args;
use serde_json::{Value, json};

use super::Resources;
use crate::signals::Stop;
use crate::terminal::{Terminal, describe};
use crate::{Failure, shown};

/// Lists the components and what is wrong with their documents
///
/// Connects to nothing, unless asked to with `--ready`. Fails when a document or a component is at fault.
#[derive(Debug, Args)]
pub(crate) struct Components {
    #[command(flatten)]
    resources: Resources,
    /// Open every output, and wait until each works
    #[arg(long)]
    ready: bool,
    /// How long to wait with --ready
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = shown::time_span, requires = "ready")]
    timeout: Duration,
}

impl Components {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let stop = Stop::listen()?;
        let client = self.resources.client()?;
        let mut trouble = None;
        if self.ready {
            let Some(ready) = client.block_on(client.ready(self.timeout), || stop.is_asked()) else {
                return Err(Failure::Told);
            };
            trouble = ready.err();
        }
        let Some(components) = client.block_on(client.components(), || stop.is_asked()) else {
            return Err(Failure::Told);
        };
        let (components, faults) = (components?, client.faults());
        if terminal.is_json() {
            terminal.say_json(&json!({
                "components": components.iter().map(component).collect::<Vec<_>>(),
                "faults": faults.iter().map(describe).collect::<Vec<_>>(),
                "ready": self.ready.then_some(trouble.is_none()),
            }))?;
        } else {
            terminal.say(&table(&components))?;
            for fault in &faults {
                terminal.complain(fault);
            }
        }
        let is_fine = components.iter().all(|one| one.state != State::Failed);
        match trouble {
            Some(error) => Err(Failure::Error(error)),
            None if is_fine && faults.iter().all(is_warning(&components)) => Ok(()),
            None => Err(Failure::Told),
        }
    }
}

/// What is wrong with a document whose component works nevertheless is only a warning.
fn is_warning(components: &[ComponentInfo]) -> impl Fn(&bindwright::Error) -> bool {
    |fault| {
        let name = fault.component_name();
        components.iter().any(|one| Some(one.name.as_str()) == name && one.state != State::Failed)
    }
}

fn table(components: &[ComponentInfo]) -> String {
    if components.is_empty() {
        return "no components\n".to_owned();
    }
    let mut rows = vec![["NAME", "TYPE", "WAYS", "STATE", "ERROR"].map(str::to_owned).to_vec()];
    for one in components {
        let error = one.error.as_ref().map_or_else(String::new, |error| shown::text(&error.to_string()));
        let kind = if one.version.is_empty() {
            one.component_type.clone()
        } else {
            format!("{}/{}", one.component_type, one.version)
        };
        rows.push(vec![one.name.clone(), kind, ways(one).join(", "), one.state.as_str().to_owned(), error]);
    }
    shown::table(&rows)
}

fn ways(one: &ComponentInfo) -> Vec<&'static str> {
    [one.input.then_some("input"), one.output.then_some("output")].into_iter().flatten().collect()
}

fn component(one: &ComponentInfo) -> Value {
    json!({
        "name": one.name,
        "type": one.component_type,
        "version": one.version,
        "ways": ways(one),
        "state": one.state.as_str(),
        "error": one.error.as_ref().map(describe),
    })
}
