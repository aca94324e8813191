//! Component types: from `spec.type` and `spec.version` to something that can be opened.
//!
//! The registry is open at run time: a program can add component types of its own, and tests can replace one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::binding::{InputBinding, OutputBinding};
use crate::error::{Error, ErrorCode, Result};
use crate::inspect::{Inspector, Nature};
use crate::manifest::Component;
use crate::settings::{self, Setting};

type Check = dyn Fn(&Component) -> Result<Vec<Error>> + Send + Sync;
type OpenOutput = dyn Fn(&Component) -> Result<Arc<dyn OutputBinding>> + Send + Sync;
type Explain = dyn Fn(&Component) -> Result<Nature> + Send + Sync;
type OpenInput = dyn Fn(&Component) -> Result<Arc<dyn InputBinding>> + Send + Sync;

/// One component type: how its settings are checked and its two directions opened.
#[derive(Clone)]
pub struct ComponentType {
    name: &'static str,
    aliases: &'static [&'static str],
    check: Arc<Check>,
    output: Option<Arc<OpenOutput>>,
    input: Option<Arc<OpenInput>>,
    operations: Option<&'static [&'static str]>,
    settings: Option<SettingsOf>,
    explain: Option<Arc<Explain>>,
    inspector: Option<&'static dyn Inspector>,
}

/// What the struct of a type's settings tells about itself.
#[derive(Clone, Copy)]
struct SettingsOf {
    described: fn() -> Vec<Setting>,
    #[cfg(test)]
    field_names: fn() -> &'static [&'static str],
}

impl ComponentType {
    /// A type such as `bindings.kafka`, in its only version (`v1`; an empty version and `v0` mean the same).
    pub fn new(name: &'static str) -> Self {
        let check = Arc::new(|_: &Component| Ok(Vec::new()));
        let (output, input, operations, settings, explain) = (None, None, None, None, None);
        Self { name, aliases: &[], check, output, input, operations, settings, explain, inspector: None }
    }

    /// Further names of the same type.
    #[must_use]
    pub fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Checks a component's settings without connecting; returns warnings.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Component) -> Result<Vec<Error>> + Send + Sync + 'static) -> Self {
        self.check = Arc::new(check);
        self
    }

    /// How the sending side is opened. It may connect in the background, but must not wait.
    #[must_use]
    pub fn output(
        mut self,
        open: impl Fn(&Component) -> Result<Arc<dyn OutputBinding>> + Send + Sync + 'static,
    ) -> Self {
        self.output = Some(Arc::new(open));
        self
    }

    /// How the receiving side is opened.
    #[must_use]
    pub fn input(
        mut self,
        open: impl Fn(&Component) -> Result<Arc<dyn InputBinding>> + Send + Sync + 'static,
    ) -> Self {
        self.input = Some(Arc::new(open));
        self
    }

    /// The operations of every output of the type, for who has to know them without opening one: the fakes of
    /// [`testing`](crate::testing) refuse all others. Left out, they take any.
    #[must_use]
    pub fn operations(mut self, operations: &'static [&'static str]) -> Self {
        self.operations = Some(operations);
        self
    }

    /// Says that settings are decoded as `T`: what editors, `bindwright check` and `bindwright explain` know of them
    /// follows from its schema. Without it they know nothing, and let everything pass.
    #[must_use]
    pub fn settings<T: JsonSchema + DeserializeOwned>(mut self) -> Self {
        self.settings = Some(SettingsOf {
            described: settings::settings_of::<T>,
            #[cfg(test)]
            field_names: settings::field_names::<T>,
        });
        self
    }

    /// Says what a component of these settings guarantees, and which options of its client library they become, for
    /// `bindwright explain`. Connects to nothing.
    #[must_use]
    pub fn explain(mut self, explain: impl Fn(&Component) -> Result<Nature> + Send + Sync + 'static) -> Self {
        self.explain = Some(Arc::new(explain));
        self
    }

    /// What can tell of components of the type from outside.
    #[must_use]
    pub(crate) fn inspect(mut self, inspector: &'static dyn Inspector) -> Self {
        self.inspector = Some(inspector);
        self
    }

    pub(crate) fn inspector(&self) -> Option<&'static dyn Inspector> {
        self.inspector
    }

    /// The name in `spec.type`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the type can send.
    pub fn can_send(&self) -> bool {
        self.output.is_some()
    }

    /// Whether the type can receive.
    pub fn can_receive(&self) -> bool {
        self.input.is_some()
    }

    pub(crate) fn known_operations(&self) -> Option<&'static [&'static str]> {
        self.operations
    }

    pub(crate) fn further_names(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// The settings of its own; `None` where the type does not describe them.
    pub(crate) fn described_settings(&self) -> Option<Vec<Setting>> {
        self.settings.map(|settings| (settings.described)())
    }

    #[cfg(test)]
    pub(crate) fn field_names(&self) -> &'static [&'static str] {
        self.settings.map_or(&[], |settings| (settings.field_names)())
    }

    pub(crate) fn nature(&self, component: &Component) -> Result<Nature> {
        self.explain.as_ref().map_or_else(|| Ok(Nature::default()), |explain| explain(component))
    }

    pub(crate) fn check_settings(&self, component: &Component) -> Result<Vec<Error>> {
        (self.check)(component)
    }

    pub(crate) fn open_output(&self, component: &Component) -> Result<Arc<dyn OutputBinding>> {
        match &self.output {
            Some(open) if component.direction.output => open(component),
            _ => Err(self.no_direction(component, "does not send", self.can_send())),
        }
    }

    pub(crate) fn open_input(&self, component: &Component) -> Result<Arc<dyn InputBinding>> {
        match &self.input {
            Some(open) if component.direction.input => open(component),
            _ => Err(self.no_direction(component, "does not receive", self.can_receive())),
        }
    }

    fn no_direction(&self, component: &Component, what: &str, type_can: bool) -> Error {
        let why = if type_can { "its `direction` says so" } else { self.name };
        Error::new(ErrorCode::UnsupportedDirection, format!("the component {what} ({why})"))
            .component(component.name.clone())
            .place(component.place.clone())
    }
}

static REGISTRY: RwLock<BTreeMap<&'static str, ComponentType>> = RwLock::new(BTreeMap::new());

/// Adds a component type to this process, or replaces the one of the same name. Clients that are already open keep
/// what they have opened.
pub fn register(component_type: ComponentType) {
    insert(&mut write_with_built_in(), component_type);
}

/// The names of all component types that this process knows, aliases included, in alphabetical order.
pub fn names() -> Vec<&'static str> {
    write_with_built_in().keys().copied().collect()
}

/// Every component type, each once.
pub(crate) fn all() -> Vec<ComponentType> {
    let registry = write_with_built_in();
    registry.iter().filter(|(name, found)| **name == found.name).map(|(_, found)| found.clone()).collect()
}

fn insert(registry: &mut BTreeMap<&'static str, ComponentType>, component_type: ComponentType) {
    for alias in component_type.aliases {
        registry.insert(alias, component_type.clone());
    }
    registry.insert(component_type.name, component_type);
}

/// The type and version of a component.
///
/// # Errors
/// `UNKNOWN_TYPE`, with near names.
pub(crate) fn find(component: &Component) -> Result<ComponentType> {
    let registry = write_with_built_in();
    let unknown = |what: String, advice: String| {
        Error::new(ErrorCode::UnknownType, what)
            .component(component.name.clone())
            .place(component.type_place.clone())
            .advice(advice)
    };
    let names = || registry.keys().copied().collect::<Vec<_>>().join(", ");
    let Some(component_type) = registry.get(component.component_type.as_str()) else {
        let mut what = format!("no component type is called {:?}", component.component_type);
        if let Some(near) = settings::nearest(&component.component_type, registry.keys().copied()) {
            what = format!("{what}; did you mean {near:?}");
        }
        return Err(unknown(what, format!("Use one of: {}.", names())));
    };
    if !component.has_known_version() {
        return Err(unknown(
            format!("{} has no version {:?}", component.component_type, component.version),
            "Write `version: v1`.".to_owned(),
        ));
    }
    Ok(component_type.clone())
}

fn write_with_built_in() -> parking_lot::RwLockWriteGuard<'static, BTreeMap<&'static str, ComponentType>> {
    let mut registry = REGISTRY.write();
    if registry.is_empty() {
        for component_type in crate::components::built_in() {
            insert(&mut registry, component_type);
        }
    }
    registry
}
