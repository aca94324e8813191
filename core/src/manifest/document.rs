//! One document's nodes to a [`Component`]: which documents are meant, and what their fields say.
//!
//! Field names match without regard to case and unknown fields are passed over, as in Dapr. Tests are in
//! `tests.rs`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::yaml::{Content, Flaw, Node};
use super::{Component, Direction, Origin, Property, References, Scope};
use crate::error::{Error, ErrorCode, Place};
use crate::settings::parse_go_duration;

pub(super) const API_VERSION: &str = "dapr.io/v1alpha1";
const KIND: &str = "Component";
const DEFAULT_INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A component in scope of which only the head was read: enough to tell its name.
pub(super) struct Header<'a> {
    pub(super) name: Arc<str>,
    pub(super) name_place: Place,
    component_type: String,
    version: String,
    audience: Audience,
    spec: &'a Node,
    place: Place,
}

/// Reads a document's head: `None` when it is no component or is not meant for this app, which is noted in `hidden`.
pub(super) fn header<'a>(
    root: &'a Node,
    file: &Arc<str>,
    scope: &Scope<'_>,
    hidden: &mut Vec<String>,
) -> Result<Option<Header<'a>>, Error> {
    let Some(metadata) = metadata_of(root, file).map_err(|flaw| flaw.into_error(file))? else {
        return Ok(None);
    };
    let audience = Audience::of(root, metadata).map_err(|flaw| flaw.into_error(file))?;
    if !audience.includes(scope) {
        tracing::debug!(target: "bindwright", %file, line = root.line, "passed over: not in scope");
        hidden.extend(text_field(metadata, "name"));
        return Ok(None);
    }
    let (name, name_place) = name_of(metadata, file).map_err(|flaw| flaw.into_error(file))?;
    let (spec, component_type, version) =
        spec_of(root).map_err(|flaw| flaw.into_error(file).component(Arc::clone(&name)))?;
    let place = place_of(root, file);
    Ok(Some(Header { name, name_place, component_type, version, audience, spec, place }))
}

/// The metadata of a document that is a component.
fn metadata_of<'a>(root: &'a Node, file: &Arc<str>) -> Result<Option<&'a Node>, Flaw> {
    if root.is_null() {
        return Ok(None);
    }
    if !matches!(root.content, Content::Mapping(_)) {
        return Err(root.flaw("expected a component document, a mapping of fields"));
    }
    let (api_version, kind) = (text_field(root, "apiVersion")?, text_field(root, "kind")?);
    if api_version != API_VERSION || kind != KIND {
        tracing::debug!(target: "bindwright", %file, line = root.line, api_version, kind, "passed over: not a component");
        return Ok(None);
    }
    mapping_field(root, "metadata")?.ok_or_else(|| root.flaw("metadata.name is missing")).map(Some)
}

/// Whom a component is meant for.
pub(super) struct Audience {
    namespace: Option<String>,
    scopes: Vec<String>,
}

impl Audience {
    pub(super) fn of(root: &Node, metadata: &Node) -> Result<Self, Flaw> {
        let namespace = Some(text_field(metadata, "namespace")?).filter(|namespace| !namespace.is_empty());
        let scopes =
            list_field(root, "scopes")?.iter().map(|item| text_of(item)).collect::<Result<_, _>>()?;
        Ok(Self { namespace, scopes })
    }

    pub(super) fn includes(&self, scope: &Scope<'_>) -> bool {
        let same_namespace = match (&scope.namespace, &self.namespace) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        let for_all = self.scopes.is_empty();
        same_namespace && (for_all || self.scopes.iter().any(|app_id| scope.app_id == Some(app_id.as_str())))
    }
}

fn spec_of(root: &Node) -> Result<(&Node, String, String), Flaw> {
    let Some(spec) = mapping_field(root, "spec")? else {
        return Err(root.flaw("spec is missing"));
    };
    let component_type = registry_spelling(&text_field(spec, "type")?);
    if component_type.is_empty() {
        return Err(spec.flaw("spec.type is missing"));
    }
    Ok((spec, component_type, text_field(spec, "version")?.to_lowercase()))
}

impl Header<'_> {
    pub(super) fn type_and_version(&self) -> String {
        type_and_version(&self.component_type, &self.version)
    }

    /// Reads the rest; gives every fault of the document, so that all can be corrected at once.
    pub(super) fn into_component(self, references: References) -> Result<Component, Vec<Error>> {
        let file = &self.place.file;
        let mut faults = Vec::new();
        let mut note = |flaw: Flaw| faults.push(flaw.into_error(file));
        let ignore_errors = bool_field(self.spec, "ignoreErrors").map_err(&mut note).unwrap_or_default();
        let init_timeout = init_timeout(self.spec, &self.name).map_err(&mut note).unwrap_or_default();
        let items = list_field(self.spec, "metadata").map_err(&mut note).unwrap_or_default();
        let mut properties = Vec::with_capacity(items.len());
        for item in items {
            match resolve(item, file, references) {
                Ok(property) => properties.extend(property),
                Err(flaw) => note(flaw),
            }
        }
        let lacks_references = properties.len() < items.len();
        let (properties, doubles) = unique(properties);
        faults.extend(doubles);
        if !faults.is_empty() {
            return Err(faults.into_iter().map(|fault| fault.component(Arc::clone(&self.name))).collect());
        }
        let type_place =
            self.spec.field("type").map_or_else(|| self.place.clone(), |node| place_of(node, file));
        let named = |matches: fn(&str) -> bool| properties.iter().find(|property| matches(&property.name));
        Ok(Component {
            ignore_errors,
            init_timeout,
            direction: named(|name| name.eq_ignore_ascii_case("direction"))
                .map_or(Direction::UNSPECIFIED, |property| Direction::from_text(&property.value)),
            route: named(|name| name == "route").map(|property| property.value.clone()),
            properties,
            name: self.name,
            component_type: self.component_type,
            version: self.version,
            namespace: self.audience.namespace,
            scopes: self.audience.scopes,
            type_place,
            place: self.place,
            lacks_references,
        })
    }
}

pub(super) fn type_and_version(component_type: &str, version: &str) -> String {
    if version.is_empty() { component_type.to_owned() } else { format!("{component_type}/{version}") }
}

fn name_of(metadata: &Node, file: &Arc<str>) -> Result<(Arc<str>, Place), Flaw> {
    let Some(node) = metadata.field("name") else {
        return Err(metadata.flaw("metadata.name is missing"));
    };
    let name = text_of(node)?;
    if name.is_empty() {
        return Err(node.flaw("metadata.name is empty"));
    }
    if matches!(name.as_str(), "." | "..") || name.contains(['/', '%']) {
        return Err(node.flaw(format!("metadata.name: expected a name without `/` and `%`, got {name:?}")));
    }
    Ok((name.into(), place_of(node, file)))
}

/// Lower case, except for the part whose case matters.
fn registry_spelling(component_type: &str) -> String {
    let prefix = component_type.find('.').map_or(0, |dot| dot + 1);
    let (category, rest) = component_type.split_at(prefix);
    format!("{category}{}", rest.to_lowercase())
}

/// Anything but a positive Go duration means the default, as in Dapr, where `10` is 5 seconds too.
fn init_timeout(spec: &Node, component: &str) -> Result<Duration, Flaw> {
    let text = text_field(spec, "initTimeout")?;
    let timeout = parse_go_duration(&text).ok().filter(|timeout| !timeout.is_zero());
    if timeout.is_none() && !text.is_empty() {
        tracing::warn!(target: "bindwright", component, "spec.initTimeout is no duration such as `10s`, so it stays at 5 seconds");
    }
    Ok(timeout.unwrap_or(DEFAULT_INIT_TIMEOUT))
}

/// One item of `spec.metadata` to a property with its value: the place for values that stand elsewhere. `None` for one
/// of those that is left out.
fn resolve(item: &Node, file: &Arc<str>, references: References) -> Result<Option<Property>, Flaw> {
    if !matches!(item.content, Content::Mapping(_)) {
        return Err(item.flaw("spec.metadata: expected an item with `name` and `value`"));
    }
    let name = text_field(item, "name")?;
    let Some(name_node) = item.field("name").filter(|_| !name.is_empty()) else {
        return Err(item.flaw("spec.metadata: an item has no `name`"));
    };
    let value_node = item.field("value");
    // A given value beats `envRef`; a secret beats both.
    let is_given = value_node.is_some_and(|node| !node.is_null());
    let fields: &[&str] = if is_given { &["secretKeyRef"] } else { &["secretKeyRef", "envRef"] };
    for reference in fields {
        if let Some(node) = item.field(reference).filter(|node| !node.is_null()) {
            if references == References::LeftOut {
                return Ok(None);
            }
            let message = format!("{name}: this version cannot resolve `{reference}` yet, write a `value`");
            return Err(node.flaw(message));
        }
    }
    let value = value_node.map(|node| text_of(node)).transpose();
    let value = value.map_err(|flaw| Flaw { message: format!("{name}: {}", flaw.message).into(), ..flaw })?;
    let name_place = place_of(name_node, file);
    let value_place = value_node.map_or_else(|| name_place.clone(), |node| place_of(node, file));
    let origin = Origin::Document;
    Ok(Some(Property { name, value: value.unwrap_or_default(), name_place, value_place, origin }))
}

/// Each exact name once, the last one given; names that differ only in case contradict each other.
fn unique(properties: Vec<Property>) -> (Vec<Property>, Vec<Error>) {
    let mut seen = std::collections::HashMap::<String, usize>::new();
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

/// A scalar's text. Plain scalars that YAML gives a meaning to become the text of that meaning.
pub(super) fn text_of(node: &Node) -> Result<String, Flaw> {
    let Content::Scalar { text, plain } = &node.content else {
        return Err(
            node.flaw("expected a scalar, got a list or a mapping: put it in quotes to have its text")
        );
    };
    Ok(match bool_of(text) {
        _ if node.is_null() => String::new(),
        Some(value) if *plain => value.to_string(),
        _ => text.clone(),
    })
}

fn bool_of(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

pub(super) fn text_field(node: &Node, name: &str) -> Result<String, Flaw> {
    let text = node.field(name).map(|node| text_of(node)).transpose();
    text.map(Option::unwrap_or_default)
        .map_err(|flaw| Flaw { message: format!("{name}: {}", flaw.message).into(), ..flaw })
}

pub(super) fn bool_field(node: &Node, name: &str) -> Result<bool, Flaw> {
    let Some(node) = node.field(name) else { return Ok(false) };
    match text_of(node)?.to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Ok(true),
        "" | "false" | "no" | "off" | "n" => Ok(false),
        _ => Err(node.flaw(format!("{name}: expected true or false"))),
    }
}

pub(super) fn mapping_field<'a>(node: &'a Node, name: &str) -> Result<Option<&'a Node>, Flaw> {
    match node.field(name) {
        Some(node) if node.is_null() => Ok(None),
        Some(node) if matches!(node.content, Content::Mapping(_)) => Ok(Some(node)),
        Some(node) => Err(node.flaw(format!("{name}: expected a mapping of fields"))),
        None => Ok(None),
    }
}

fn list_field<'a>(node: &'a Node, name: &str) -> Result<&'a [Rc<Node>], Flaw> {
    match node.field(name).map(|node| (node, &node.content)) {
        Some((_, Content::Sequence(items))) => Ok(items),
        Some((node, _)) if !node.is_null() => Err(node.flaw(format!("{name}: expected a list"))),
        _ => Ok(&[]),
    }
}

pub(super) fn place_of(node: &Node, file: &Arc<str>) -> Place {
    Place { file: Arc::clone(file), line: node.line, column: node.column }
}
