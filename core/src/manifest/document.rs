//! One document's nodes to a [`Component`]: which documents are meant, and what their fields say.
//!
//! Field names match without regard to case and unknown fields are passed over, as in Dapr. Tests are in
//! `tests.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::component::{Component, Direction};
use super::fields::{bool_field, list_field, mapping_field, place_of, text_field, text_of};
use super::yaml::{Content, Flaw, Node};
use super::{Scope, property};
use crate::error::{Error, Place};
use crate::settings::parse_go_duration;

pub(super) const API_VERSION: &str = "dapr.io/v1alpha1";
const KIND: &str = "Component";
/// The categories that are ours, with the dot: their case matters.
pub(super) const BINDINGS: &str = "bindings.";
pub(super) const SECRET_STORES: &str = "secretstores.";
const DEFAULT_INIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most faults of one document that are told at once.
const MAX_FAULTS: usize = 100;

/// A component in scope of which only the head was read: enough to tell its name.
pub(super) struct Header<'a> {
    pub(super) name: Arc<str>,
    pub(super) name_place: Place,
    component_type: String,
    version: String,
    audience: Audience,
    /// `auth.secretStore`.
    secret_store: String,
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
    let secret_store =
        secret_store_of(root).map_err(|flaw| flaw.into_error(file).component(Arc::clone(&name)))?;
    let place = place_of(root, file);
    Ok(Some(Header { name, name_place, component_type, version, audience, secret_store, spec, place }))
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

fn secret_store_of(root: &Node) -> Result<String, Flaw> {
    mapping_field(root, "auth")?.map_or(Ok(String::new()), |auth| text_field(auth, "secretStore"))
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

    /// Whether it is a secret store.
    pub(super) fn is_store(&self) -> bool {
        self.component_type.starts_with(SECRET_STORES)
    }

    /// Reads the rest; gives every fault of the document, so that all can be corrected at once. What stands elsewhere is
    /// not looked up yet.
    pub(super) fn into_component(self) -> Result<Component, Vec<Error>> {
        let file = &self.place.file;
        let mut faults = Vec::new();
        let mut note = |flaw: Flaw| faults.push(flaw.into_error(file));
        let ignore_errors = bool_field(self.spec, "ignoreErrors").map_err(&mut note).unwrap_or_default();
        let init_timeout = init_timeout(self.spec, &self.name).map_err(&mut note).unwrap_or_default();
        let items = list_field(self.spec, "metadata").map_err(&mut note).unwrap_or_default();
        let read = |item| property::read(item, &self.secret_store, file);
        let mut properties = Vec::with_capacity(items.len());
        for item in items.iter().map(|item| read(item)) {
            match item {
                Ok(property) => properties.push(property),
                Err(flaw) if faults.len() < MAX_FAULTS => faults.push(flaw.into_error(file)),
                Err(_) => break,
            }
        }
        let (properties, doubles) = property::unique(properties);
        faults.extend(doubles.into_iter().take(MAX_FAULTS));
        if !faults.is_empty() {
            return Err(faults.into_iter().map(|fault| fault.component(Arc::clone(&self.name))).collect());
        }
        let type_place =
            self.spec.field("type").map_or_else(|| self.place.clone(), |node| place_of(node, file));
        Ok(Component {
            ignore_errors,
            init_timeout,
            direction: Direction::UNSPECIFIED,
            route: None,
            properties,
            name: self.name,
            component_type: self.component_type,
            version: self.version,
            namespace: self.audience.namespace,
            scopes: self.audience.scopes,
            type_place,
            place: self.place,
            unresolved: Vec::new(),
            lacks_references: false,
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
