//! Values that stand elsewhere: looks up what properties take from the environment and from secret stores.
//!
//! Secret stores come first, wherever they stand. A store may itself refer to other stores, in any order. Unlike Dapr,
//! which goes on with an empty value, a value that cannot be had makes its component unusable. Tests are in
//! `tests/references.rs`.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash};
use std::path::PathBuf;
use std::sync::Arc;

use super::component::{Component, Origin, Property};
use crate::error::{Error, ErrorCode};
use crate::secrets::{self, Stores, Unresolved, Variables};

/// So many stores may take their settings each from the next one.
const MAX_DEPTH: usize = 32;

/// What was found out beside the values.
pub(super) struct Found {
    /// What is wrong with stores.
    pub(super) faults: Vec<Error>,
    pub(super) stores: Stores,
    /// What the stores read, or looked for.
    pub(super) files: Vec<PathBuf>,
}

/// Removes the properties of components that `is_meant` whose values stand elsewhere.
pub(super) fn leave_out(components: &mut [Component], is_meant: impl Fn(&Component) -> bool) {
    for component in components.iter_mut().filter(|component| is_meant(component)) {
        let before = component.properties.len();
        component.properties.retain(|property| property.origin == Origin::Document);
        component.lacks_references = component.properties.len() < before;
    }
}

/// Looks up the values of all components that are bindings or secret stores.
pub(super) fn resolve(
    components: &mut [Component],
    stores: Stores,
    hidden: &[String],
    variables: Variables,
) -> Found {
    let hidden: HashSet<&str> = hidden.iter().map(String::as_str).collect();
    let used = used_stores(components);
    let mut found = Found { faults: Vec::new(), stores, files: Vec::new() };
    let mut waiting: Vec<&mut Component> = components.iter_mut().filter(|one| one.is_store()).collect();
    let mut depth = 0;
    while !waiting.is_empty() {
        depth += 1;
        let names: HashSet<Arc<str>> = waiting.iter().map(|one| Arc::clone(&one.name)).collect();
        let waits = |one: &&mut Component| stores_of(one).any(|store| names.contains(store));
        let (later, now): (Vec<_>, Vec<_>) = waiting.into_iter().partition(waits);
        waiting = later;
        if now.is_empty() || depth > MAX_DEPTH {
            for component in waiting.drain(..).chain(now) {
                let message =
                    format!("secret stores refer to each other in a circle, or more than {MAX_DEPTH} deep");
                let fault = unresolved_error(component, message)
                    .advice("Give one of them its settings in its document.");
                found.stores.refuse(&component.name, &fault);
                component.unresolved.push(fault.clone());
                found.faults.push(fault);
            }
            break;
        }
        for component in now {
            fill_in(component, &found.stores, &hidden, variables);
            open(component, &mut found, used.contains(&component.name), variables);
        }
    }
    for component in components.iter_mut().filter(|component| component.is_binding()) {
        fill_in(component, &found.stores, &hidden, variables);
    }
    found
}

/// The stores that a binding or a store takes something from.
fn used_stores(components: &[Component]) -> HashSet<Arc<str>> {
    let ours = components.iter().filter(|component| component.is_ours());
    ours.flat_map(stores_of).map(Arc::from).collect()
}

fn stores_of(component: &Component) -> impl Iterator<Item = &str> {
    component.properties.iter().filter_map(|property| match &property.origin {
        Origin::Secret { store, .. } => Some(store.as_str()),
        _ => None,
    })
}

/// Opens a store. One of a type that this version does not have is only a fault where something refers to it: folders
/// made for Dapr often hold one.
fn open(component: &Component, found: &mut Found, is_used: bool, variables: Variables) {
    let opening = match component.unresolved.first() {
        Some(error) => secrets::Opening::refused(error.clone()),
        None => secrets::open(component, variables),
    };
    found.files.extend(opening.files);
    let name = &component.name;
    found.faults.extend(opening.warnings.into_iter().map(|warning| warning.component(Arc::clone(name))));
    match opening.store {
        Ok(store) => found.stores.add(name, store),
        Err(error) => {
            let error = error.component(Arc::clone(name));
            found.stores.refuse(name, &error);
            if component.unresolved.is_empty() {
                if is_used || error.code() != ErrorCode::UnknownType {
                    found.faults.push(error);
                }
            } else {
                found.faults.extend(component.unresolved.iter().cloned());
            }
        }
    }
}

fn fill_in(component: &mut Component, stores: &Stores, hidden: &HashSet<&str>, variables: Variables) {
    let mut unresolved = Vec::new();
    for property in &mut component.properties {
        let value = match &property.origin {
            Origin::Document => continue,
            Origin::Environment { variable } => secrets::read_variable(variable, variables),
            Origin::Secret { store, name, key } => stores.get(store, name, key, hidden),
        };
        match value {
            Ok(value) => property.value = value,
            Err(why) => unresolved.push(error_of(property, why).component(Arc::clone(&component.name))),
        }
    }
    component.unresolved.extend(unresolved);
}

fn error_of(property: &Property, why: Unresolved) -> Error {
    let message = format!("{}: {}", property.name, why.what);
    let error = Error::new(ErrorCode::UnresolvedReference, message).place(property.value_place.clone());
    let error = match why.cause {
        Some(cause) => error.backend(cause),
        None => error,
    };
    match why.advice {
        Some(advice) => error.advice(advice),
        None => error,
    }
}

fn unresolved_error(component: &Component, message: String) -> Error {
    let place = component.properties.iter().find(|one| matches!(one.origin, Origin::Secret { .. }));
    let place = place.map_or(&component.place, |property| &property.value_place);
    Error::new(ErrorCode::UnresolvedReference, message)
        .component(Arc::clone(&component.name))
        .place(place.clone())
}

/// Adds what came from elsewhere to the hash of the documents.
pub(super) fn hash(component: &Component, hasher: &mut DefaultHasher) {
    for property in component.properties.iter().filter(|one| one.origin != Origin::Document) {
        (&property.name, &property.value).hash(hasher);
    }
    for error in &component.unresolved {
        error.to_string().hash(hasher);
    }
}
