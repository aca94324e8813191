//! `spec.metadata`: its items to properties. What an item takes from elsewhere is only noted, in its [`Origin`]; the value
//! comes later, see `references.rs`. Tests are in `tests/`.

use std::collections::HashMap;
use std::sync::Arc;

use super::component::{Origin, Property};
use super::fields::{mapping_field, place_of, text_field, value_of};
use super::yaml::{Content, Flaw, Node};
use crate::error::{Error, ErrorCode};

/// Reads one item. `store` is what `auth.secretStore` says.
pub(super) fn read(item: &Node, store: &str, file: &Arc<str>) -> Result<Property, Flaw> {
    if !matches!(item.content, Content::Mapping(_)) {
        return Err(item.flaw("spec.metadata: expected an item with `name` and `value`"));
    }
    let name = text_field(item, "name")?;
    let Some(name_node) = item.field("name").filter(|_| !name.is_empty()) else {
        return Err(item.flaw("spec.metadata: an item has no `name`"));
    };
    let within = |flaw: Flaw| Flaw { message: format!("{name}: {}", flaw.message).into(), ..flaw };
    let name_place = place_of(name_node, file);
    let value_node = item.field("value").filter(|node| !node.is_null());
    let (value, origin, value_node) =
        if let Some((origin, node)) = reference(item, store, value_node.is_some()).map_err(within)? {
            (String::new(), origin, Some(node))
        } else {
            let value = value_node.map(|node| value_of(node)).transpose().map_err(within)?;
            (value.unwrap_or_default(), Origin::Document, item.field("value").map(|node| &**node))
        };
    let value_place = value_node.map_or_else(|| name_place.clone(), |node| place_of(node, file));
    Ok(Property { name, value, name_place, value_place, origin })
}

/// Where an item's value stands, if elsewhere. As in Dapr a given value beats `envRef`, and `envRef` beats
/// `secretKeyRef`; but `secretKeyRef` beats a given value.
fn reference<'a>(item: &'a Node, store: &str, is_given: bool) -> Result<Option<(Origin, &'a Node)>, Flaw> {
    let variable = item.field("envRef").filter(|node| !is_given && !node.is_null());
    if let Some(node) = variable {
        return Ok(Some((Origin::Environment { variable: text_field(item, "envRef")? }, node)));
    }
    let Some(secret) = mapping_field(item, "secretKeyRef")? else { return Ok(None) };
    let below = |flaw: Flaw| Flaw { message: format!("secretKeyRef: {}", flaw.message).into(), ..flaw };
    let name = text_field(secret, "name").map_err(below)?;
    let key = text_field(secret, "key").map_err(below)?;
    if name.is_empty() && is_given {
        // Tools write empty references beside a value.
        return Ok(None);
    }
    if name.is_empty() {
        return Err(secret.flaw("secretKeyRef: the `name` of the secret is missing"));
    }
    let key = if key.is_empty() { name.clone() } else { key };
    Ok(Some((Origin::Secret { store: store.to_owned(), name, key }, secret)))
}

/// Each exact name once, the last one given; names that differ only in case contradict each other.
pub(super) fn unique(properties: Vec<Property>) -> (Vec<Property>, Vec<Error>) {
    let mut seen = HashMap::<String, usize>::new();
    let mut kept: Vec<Property> = Vec::with_capacity(properties.len());
    let mut faults = Vec::new();
    for property in properties {
        match seen.get(&property.name.to_lowercase()) {
            Some(&index) if kept[index].name == property.name => kept[index] = property,
            Some(&index) => {
                let message = format!("{}: given twice, also as {:?}", property.name, kept[index].name);
                faults.push(
                    Error::new(ErrorCode::InvalidSettings, message)
                        .place(property.name_place)
                        .advice("Remove one of the two: setting names match without regard to case."),
                );
            }
            None => {
                seen.insert(property.name.to_lowercase(), kept.len());
                kept.push(property);
            }
        }
    }
    (kept, faults)
}
