//! What is wrong with the type and the settings of one component.

use super::check::{Checking, Severity};
use super::rules;
use super::types;
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::{Component, Origin, Property};
use crate::registry::{self, ComponentType};
use crate::settings::{
    Kind, RuntimeSettings, Setting, Way, is_runtime_name, runtime_settings, unknown_setting,
};

/// Looks at one component. One that is not complete lacks the values that stand elsewhere, so that only what is there
/// counts.
pub(super) fn component(checking: &mut Checking<'_>, component: &Component, is_complete: bool) {
    if let Some(store) = types::store(&component.component_type) {
        let own = store.all_settings();
        unknown(checking, component, &own);
        return names(checking, component, &own, &[]);
    }
    let component_type = match registry::find(component) {
        Ok(found) => found,
        Err(error) => return unknown_type(checking, component, error),
    };
    if component.component_type != component_type.name() {
        let name = component_type.name();
        let message = format!("{} is an older name of {name}", component.component_type);
        let error = Error::new(ErrorCode::UnknownType, message).place(component.type_place.clone());
        let advice = format!("Write `type: {name}`.");
        let error = error.component(component.name.clone()).advice(advice);
        checking.add(Severity::Warning, rules::DEPRECATED_TYPE, error);
    }
    let own = component_type.described_settings();
    let mut subject = Subject { checking, component, component_type, own };
    subject.decoded(is_complete);
    if let Some(own) = &subject.own {
        names(subject.checking, component, own, &runtime_settings());
    }
    subject.directions(is_complete);
}

fn unknown_type(checking: &mut Checking<'_>, component: &Component, error: Error) {
    let category = component.component_type.split('.').next().unwrap_or_default();
    if matches!(category, "bindings" | "secretstores") || !component.component_type.contains('.') {
        return checking.add(Severity::Error, rules::UNKNOWN_TYPE, error);
    }
    let message =
        format!("{} is neither a binding nor a secret store, and is not used", component.component_type);
    let error = Error::new(ErrorCode::UnknownType, message)
        .component(component.name.clone())
        .place(component.type_place.clone())
        .advice("Nothing has to be done.");
    checking.add(Severity::Note, rules::FOREIGN_TYPE, error);
}

fn fault(component: &Component, property: &Property, message: String) -> Error {
    Error::new(ErrorCode::InvalidSettings, message)
        .component(component.name.clone())
        .place(property.name_place.clone())
}

/// Settings that nobody reads, as decoding would say it.
fn unknown(checking: &mut Checking<'_>, component: &Component, own: &[Setting]) {
    let fields: Vec<&str> = own.iter().flat_map(Setting::names).collect();
    for property in &component.properties {
        let name = &property.name;
        if !fields.iter().any(|field| field.eq_ignore_ascii_case(name)) && !is_runtime_name(name) {
            let message = unknown_setting(name, &component.component_type, &fields);
            let advice = "Correct or remove it; the component works as if it were not there.";
            let error = fault(component, property, message).advice(advice);
            checking.add(Severity::Warning, rules::UNKNOWN_SETTING, error);
        }
    }
}

/// Older names, settings without effect, flags that are none, and items without a value.
fn names(checking: &mut Checking<'_>, component: &Component, own: &[Setting], runtime: &[Setting]) {
    for property in &component.properties {
        let is_meant = |setting: &&Setting| setting.is_called(&property.name);
        let Some(setting) = own.iter().chain(runtime).find(is_meant) else { continue };
        let is_alias = !setting.name.eq_ignore_ascii_case(&property.name);
        if let Some(newer) = setting.replacement.as_ref().or(is_alias.then_some(&setting.name)) {
            let message = format!("{}: an older name; {newer} takes its place", property.name);
            let error = fault(component, property, message).advice(format!("Write {newer:?}."));
            checking.add(Severity::Warning, rules::DEPRECATED_SETTING, error);
        }
        if setting.is_ignored {
            let error = fault(component, property, format!("{}: accepted, without effect", property.name));
            let error = error.advice("Remove it where only Bindwright reads this document.");
            checking.add(Severity::Note, rules::IGNORED_SETTING, error);
        }
        let is_written = property.origin == Origin::Document;
        if setting.kind == Kind::Flag && is_written && !is_flag(&property.value) {
            let message = format!("{}: {:?} counts as false", property.name, property.value);
            let error = fault(component, property, message).place(property.value_place.clone());
            let error = error.advice("Write `true` or `false`.");
            checking.add(Severity::Warning, rules::QUESTIONABLE_SETTING, error);
        }
        if is_written && property.value_place == property.name_place {
            let error = fault(component, property, format!("{}: has no value", property.name));
            let error = error.advice("Give it a `value`, or remove it.");
            checking.add(Severity::Warning, rules::QUESTIONABLE_SETTING, error);
        }
    }
}

struct Subject<'a, 'b> {
    checking: &'a mut Checking<'b>,
    component: &'a Component,
    component_type: ComponentType,
    /// `None` where the type does not describe them.
    own: Option<Vec<Setting>>,
}

impl Subject<'_, '_> {
    fn fault(&self, property: &Property, message: String) -> Error {
        fault(self.component, property, message)
    }

    /// What the type itself says, with as many errors as can be told apart.
    fn decoded(&mut self, is_complete: bool) {
        let component_type = self.component_type.clone();
        let (errors, warnings) = all_errors(self.component, &|one| component_type.check_settings(one));
        let has_errors = !errors.is_empty();
        let (runtime_errors, _) =
            all_errors(self.component, &|one| RuntimeSettings::of(one).map(|_| Vec::new()));
        let input = self.component_type.can_receive() || self.component_type.can_send();
        for error in errors.into_iter().chain(runtime_errors.into_iter().filter(|_| input)) {
            let rule = rules::of_setting(&error);
            // What is missing may be one of the values that stand elsewhere.
            if is_complete || rule != rules::MISSING_SETTING {
                let error = self.component.conceal(error).component(self.component.name.clone());
                self.checking.add(Severity::Error, rule, error);
            }
        }
        for warning in warnings {
            let rule = rules::of_warning(&warning);
            self.checking.add(Severity::Warning, rule, self.component.conceal(warning));
        }
        // A type that refuses a component says nothing about names.
        if let Some(own) = self.own.as_ref().filter(|_| has_errors) {
            unknown(self.checking, self.component, own);
        }
    }

    /// Directions that the component has not, and what they need.
    fn directions(&mut self, is_complete: bool) {
        let type_can =
            [(Way::Input, self.component_type.can_receive()), (Way::Output, self.component_type.can_send())];
        if type_can.iter().all(|(_, can)| !can) {
            return;
        }
        let direction = self.component.direction;
        let asks = |way| if way == Way::Input { direction.input } else { direction.output };
        let explicit =
            self.component.properties.iter().find(|one| one.name.eq_ignore_ascii_case("direction"));
        if let Some(property) = explicit.filter(|_| is_complete) {
            self.named_directions(property, &type_can);
        }
        let mut lacking = Vec::new();
        for (way, can) in type_can {
            let is_there = can && asks(way);
            let (given, missing) = self.needs(way);
            if !is_there {
                self.without(way);
            } else if is_complete && !missing.is_empty() {
                let is_partly_there = explicit.is_some() || !given.is_empty();
                if is_partly_there {
                    let error = self.lacks(way, &missing);
                    let severity = if explicit.is_some() { Severity::Error } else { Severity::Warning };
                    self.checking.add(severity, rules::MISSING_SETTING, error);
                } else {
                    lacking.push((way, missing));
                }
            }
        }
        self.neither(&lacking, &type_can);
    }

    /// No direction is complete, and none was named.
    fn neither(&mut self, lacking: &[(Way, Vec<String>)], type_can: &[(Way, bool)]) {
        let possible = type_can.iter().filter(|(_, can)| *can).count();
        if lacking.is_empty() || lacking.len() < possible {
            return;
        }
        for (way, missing) in lacking {
            let error = self.lacks(*way, missing);
            self.checking.add(Severity::Error, rules::MISSING_SETTING, error);
        }
    }

    fn lacks(&self, way: Way, missing: &[String]) -> Error {
        let verb = if way == Way::Input { "receive" } else { "send" };
        let message = format!("{}: needed to {verb}, and not set", missing.join(", "));
        let advice = "Set it, or name the other direction alone in `direction`.";
        Error::new(ErrorCode::InvalidSettings, message)
            .component(self.component.name.clone())
            .place(self.component.place.clone())
            .advice(advice)
    }

    /// The settings that a direction needs: those that are given, and those that are not.
    fn needs(&self, way: Way) -> (Vec<String>, Vec<String>) {
        let own = self.own.iter().flatten();
        let needed = own.filter(|setting| setting.is_needed && setting.way == Some(way));
        let is_given = |setting: &&Setting| {
            let mut properties = self.component.properties.iter();
            properties.any(|one| setting.is_called(&one.name) && !one.value.trim().is_empty())
        };
        let (given, missing): (Vec<&Setting>, Vec<&Setting>) = needed.partition(is_given);
        let names = |settings: Vec<&Setting>| settings.into_iter().map(|one| one.name.clone()).collect();
        (names(given), names(missing))
    }

    /// The words of `direction`.
    fn named_directions(&mut self, property: &Property, type_can: &[(Way, bool)]) {
        let words: Vec<&str> =
            property.value.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let unknown =
            words.iter().find(|word| !["input", "output"].iter().any(|way| way.eq_ignore_ascii_case(word)));
        let mut faults = Vec::new();
        if words.is_empty() || unknown.is_some() {
            let given = unknown.copied().unwrap_or_default();
            let message =
                format!("direction: expected input, output or both with a comma between, got {given:?}");
            faults.push((self.fault(property, message), rules::INVALID_SETTING));
        }
        for (way, can) in type_can {
            if !can && words.iter().any(|word| word.eq_ignore_ascii_case(way.as_str())) {
                let verb = if *way == Way::Input { "receive" } else { "send" };
                let message = format!("direction: {} cannot {verb}", self.component.component_type);
                faults.push((self.fault(property, message), rules::WRONG_DIRECTION));
            }
        }
        for (error, rule) in faults {
            self.checking.add(Severity::Error, rule, error.place(property.value_place.clone()));
        }
    }

    /// Settings of a direction that the component has not.
    fn without(&mut self, way: Way) {
        let runtime = runtime_settings();
        let verb = if way == Way::Input { "receive" } else { "send" };
        let idle: Vec<Error> = (self.component.properties.iter())
            .filter(|property| {
                let mut settings = self.own.iter().flatten().chain(&runtime);
                let meant = settings.find(|setting| setting.is_called(&property.name));
                meant.is_some_and(|setting| setting.way == Some(way) && !setting.is_ignored)
            })
            .map(|property| {
                let message = format!("{}: without effect, as the component does not {verb}", property.name);
                self.fault(property, message).advice("Remove it, or change `direction`.")
            })
            .collect();
        for error in idle {
            self.checking.add(Severity::Warning, rules::WRONG_DIRECTION, error);
        }
    }
}

fn is_flag(text: &str) -> bool {
    let words = ["y", "yes", "true", "t", "on", "1", "n", "no", "false", "f", "off", "0", ""];
    words.contains(&text.trim().to_lowercase().as_str())
}

/// Decoding ends at the first bad value. Without that value the next one shows; what is then missing does not count.
fn all_errors(
    component: &Component,
    check: &dyn Fn(&Component) -> Result<Vec<Error>>,
) -> (Vec<Error>, Vec<Error>) {
    let mut rest = component.clone();
    let mut errors: Vec<Error> = Vec::new();
    loop {
        let error = match check(&rest) {
            Ok(warnings) => return (errors, warnings),
            Err(error) => error,
        };
        let culprit = rest.properties.iter().position(|one| Some(&one.value_place) == error.place_in_file());
        let is_new = errors.is_empty() || culprit.is_some();
        if is_new {
            errors.push(error);
        }
        let Some(culprit) = culprit else { return (errors, Vec::new()) };
        rest.properties.remove(culprit);
    }
}
