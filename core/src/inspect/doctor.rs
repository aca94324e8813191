//! Examines components where they are used: everything that they need, in the order in which they need it.

use std::time::Duration;

use super::{Examination, Step};
use crate::client::ClientOptions;
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::{Component, Manifest};
use crate::policy::{Ledger, Outbound};
use crate::registry::{self, ComponentType};
use crate::settings::RuntimeSettings;

/// Examines the components of these options, all of them or those of these names, and tells of every step as it is
/// done. `patience` bounds each step. Ends early when `tell` says `false`.
///
/// Connects as the components would, and changes nothing: no group is joined, nothing is written, no topic is made.
///
/// # Errors
/// `INVALID_OPTIONS` when there are no resources, `COMPONENT_NOT_FOUND` for a name that is not there. What is wrong
/// with components is told as a fault.
pub fn doctor(
    options: ClientOptions,
    names: &[String],
    patience: Duration,
    mut tell: impl FnMut(Step) -> bool,
) -> Result<()> {
    let manifest = options.manifest()?;
    for name in names {
        let is_left_out =
            || manifest.faults.iter().any(|fault| fault.component_name() == Some(name.as_str()));
        if manifest.component(name).is_none() && !is_left_out() {
            return Err(not_found(&manifest, name));
        }
    }
    let is_meant = |name: &str| names.is_empty() || names.iter().any(|known| known == name);
    let tell = &mut tell;
    let mut examination = Examination { component: None, patience, tell, ended: false };
    let mut faults =
        manifest.faults.iter().filter(|fault| fault.component_name().is_none_or(is_meant)).peekable();
    if faults.peek().is_some() {
        examination.step("documents", "", |_, notes| {
            faults.for_each(|fault| notes.fault(fault.clone()));
            Ok(())
        });
    }
    for component in manifest.components.iter().filter(|component| is_meant(&component.name)) {
        examination.component = Some(component.name.clone());
        let Some(component_type) = examine_document(&manifest, component, &mut examination) else { continue };
        examine_policies(&manifest, component, &component_type, &mut examination);
        match component_type.inspector() {
            Some(inspector) => inspector.examine(component, &mut examination),
            None => examination.skip("backend", "components of this type cannot be examined further"),
        }
    }
    Ok(())
}

/// The error for a name that no document has.
pub(super) fn not_found(manifest: &Manifest, name: &str) -> Error {
    let names: Vec<&str> = manifest.components.iter().map(|component| &*component.name).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let error =
        Error::new(ErrorCode::ComponentNotFound, format!("no component has this name; components: {known}"));
    let fault = manifest.faults.iter().find(|fault| fault.component_name() == Some(name));
    fault.cloned().unwrap_or_else(|| error.component(name))
}

fn examine_document(
    manifest: &Manifest,
    component: &Component,
    examination: &mut Examination<'_>,
) -> Option<ComponentType> {
    examination.step("document", "", |_, notes| {
        notes.fact("file", component.place.file.as_ref());
        notes.fact("type", component.type_and_version());
        let component_type = registry::find(component)?;
        for warning in component_type.check_settings(component)? {
            notes.warn(warning);
        }
        let runtime = RuntimeSettings::of(component)?;
        if let Some(target) = &runtime.dead_letter_binding {
            notes.fact("dead letters", target);
            let is_there = manifest.component(target).is_some_and(|found| found.name != component.name);
            if component.direction.input && !is_there {
                let message = format!("deadLetterBinding: no other component is called {target:?}");
                return Err(Error::new(ErrorCode::InvalidSettings, message).place(component.place.clone()));
            }
        }
        let ways = match (
            component.direction.output && component_type.can_send(),
            component.direction.input && component_type.can_receive(),
        ) {
            (true, true) => "sends and receives",
            (true, false) => "sends",
            (false, true) => "receives",
            (false, false) => "neither sends nor receives",
        };
        notes.fact("direction", ways);
        Ok(component_type)
    })
}

fn examine_policies(
    manifest: &Manifest,
    component: &Component,
    component_type: &ComponentType,
    examination: &mut Examination<'_>,
) {
    examination.step("policies", "", |_, notes| {
        let outbound = manifest.policies.outbound(&component.name)?;
        let inbound = manifest.policies.inbound(&component.name)?;
        if component.direction.output && component_type.can_send() {
            let ledger = outbound.as_ref().map_or(Ledger::ONCE, Outbound::ledger);
            notes.fact("calls", attempts(ledger));
        }
        if let Some(inbound) = inbound.as_ref().filter(|_| component.direction.input) {
            let timeout = inbound.timeout.map_or_else(|| "none".to_owned(), |timeout| format!("{timeout:?}"));
            notes.fact("time-out of a delivery", timeout);
        }
        if outbound.is_none() && inbound.is_none() {
            notes.note("no Resiliency document concerns it");
        }
        Ok(())
    });
}

fn attempts(ledger: Ledger) -> String {
    match (ledger.attempts, ledger.pauses) {
        (Some(1), _) => "one attempt".to_owned(),
        (Some(attempts), Some(pauses)) => {
            format!("up to {attempts} attempts, pauses up to {pauses:?} together")
        }
        _ => "attempts without a limit".to_owned(),
    }
}
