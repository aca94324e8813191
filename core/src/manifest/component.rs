//! A component document as it was read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::document;
use crate::error::{Error, Place};

/// One component document.
#[derive(Clone)]
#[non_exhaustive]
pub struct Component {
    /// `metadata.name`: what callers name. Case matters.
    pub name: Arc<str>,
    /// `spec.type` in the spelling of the registry: lower case, except for the part up to the first dot,
    /// which stays as written because its case matters (`bindings.Kafka` is `bindings.kafka`,
    /// `Bindings.kafka` is nothing).
    pub component_type: String,
    /// `spec.version` in lower case; empty when absent.
    pub version: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `spec.ignoreErrors`: whether the app may start without this component. Default `false`.
    pub ignore_errors: bool,
    /// `spec.initTimeout`. Default 5 seconds, also when the text is no positive Go duration.
    pub init_timeout: Duration,
    /// `spec.metadata` in document order: each exact name once, the last one given.
    pub properties: Vec<Property>,
    /// The property `direction`, in any case.
    pub direction: Direction,
    /// The property `route`, in exactly this case: the path of an HTTP app that events go to.
    pub route: Option<String>,
    /// `scopes`: the only app ids that see this component; empty means all of them.
    pub scopes: Vec<String>,
    /// Where the document's first field stands.
    pub place: Place,
    /// Where the text of `spec.type` stands.
    pub type_place: Place,
    /// Why values that stand elsewhere cannot be had, one error for each of them: the component cannot be used. The
    /// properties concerned are empty.
    pub unresolved: Vec<Error>,
    /// Properties whose values stand elsewhere were left out, see [`References`](super::References).
    pub(crate) lacks_references: bool,
}

/// One item of `spec.metadata`.
#[derive(Clone)]
pub struct Property {
    /// The name, as written.
    pub name: String,
    /// The value as text, before names such as `{uuid}` are filled in. It may be a secret, so `Debug` does not print it.
    pub value: String,
    /// Where the name stands.
    pub name_place: Place,
    /// Where the value stands, or what refers to it.
    pub value_place: Place,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a property's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It is written in the document.
    Document,
    /// From an environment variable, by `envRef`.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// From a secret store, by `secretKeyRef`. Such a value is shown nowhere.
    Secret {
        /// The secret store component's name.
        store: String,
        /// The secret's name.
        name: String,
        /// The key inside the secret.
        key: String,
    },
}

impl fmt::Display for Origin {
    /// For messages, in which the value itself must not stand.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => formatter.write_str("what the document says"),
            Self::Environment { variable } => {
                write!(formatter, "what the environment variable {variable} says")
            }
            Self::Secret { store, name, key } if key == name => {
                write!(formatter, "the secret {name:?} of {store:?}")
            }
            Self::Secret { store, name, key } => {
                write!(formatter, "{key:?} of the secret {name:?} of {store:?}")
            }
        }
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Property")
            .field("name", &self.name)
            .field("value", &"***")
            .field("name_place", &self.name_place)
            .finish_non_exhaustive()
    }
}

/// Which ways of a binding the document asks for. What the type supports is another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The component may receive.
    pub input: bool,
    /// The component may send.
    pub output: bool,
    /// `input` is written down: the app is not asked whether it wants the events.
    pub explicit_input: bool,
}

impl Direction {
    /// No `direction` property: whatever the type supports.
    pub const UNSPECIFIED: Self = Self { input: true, output: true, explicit_input: false };

    /// Reads the property's value: a comma list, blanks and case ignored. Unknown words open no way.
    pub(crate) fn from_text(text: &str) -> Self {
        let names = |way: &str| text.split(',').any(|word| word.trim().eq_ignore_ascii_case(way));
        let input = names("input");
        Self { input, output: names("output"), explicit_input: input }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `route` may be a secret as any property.
        formatter
            .debug_struct("Component")
            .field("name", &self.name)
            .field("type", &self.type_and_version())
            .field("place", &self.place)
            .field("properties", &self.properties)
            .field("unresolved", &self.unresolved)
            .finish_non_exhaustive()
    }
}

impl Component {
    /// The type with its version, as messages show it: `bindings.kafka/v1`.
    pub fn type_and_version(&self) -> String {
        document::type_and_version(&self.component_type, &self.version)
    }

    /// Whether it is a binding. Folders made for Dapr hold state stores and more beside the bindings.
    pub(crate) fn is_binding(&self) -> bool {
        self.component_type.starts_with(document::BINDINGS)
    }

    /// Whether it is a secret store.
    pub(crate) fn is_store(&self) -> bool {
        self.component_type.starts_with(document::SECRET_STORES)
    }

    /// Whether this version reads its properties.
    pub(super) fn is_ours(&self) -> bool {
        self.is_binding() || self.is_store()
    }

    /// Whether its version is one that types have which have no other.
    pub(crate) fn has_known_version(&self) -> bool {
        matches!(self.version.as_str(), "" | "v0" | "v1")
    }

    /// Reads the fields that are taken from properties; once these have their values.
    pub(super) fn read_own_properties(&mut self) {
        let named = |matches: fn(&str) -> bool| self.properties.iter().find(|one| matches(&one.name));
        let direction = named(|name| name.eq_ignore_ascii_case("direction"));
        let direction =
            direction.map_or(Direction::UNSPECIFIED, |property| Direction::from_text(&property.value));
        let route = named(|name| name == "route").map(|property| property.value.clone());
        (self.direction, self.route) = (direction, route);
    }

    /// An error about this component without what its secrets say. Whoever writes an error shows what was given, and
    /// does not know where that came from.
    pub(crate) fn conceal(&self, error: Error) -> Error {
        /// Shorter texts stand in messages by chance.
        const SHORTEST: usize = 4;
        const GIVEN: &str = ", got ";

        let place = error.place_in_file().cloned();
        let elsewhere = self.properties.iter().filter(|property| property.origin != Origin::Document);
        elsewhere.fold(error, |error, property| {
            let is_meant = place.as_ref() == Some(&property.value_place);
            error.rewrite(|text| match text.split_once(GIVEN) {
                Some((expected, _)) if is_meant => format!("{expected}{GIVEN}{}", property.origin),
                _ if property.value.len() < SHORTEST => text.to_owned(),
                _ => text.replace(&property.value, "***"),
            })
        })
    }
}
