//! Every type of component whose documents can be described: those of the registry, and secret stores.

use crate::registry::{self, ComponentType};
use crate::secrets;
use crate::settings::{Setting, runtime_settings};

/// A type, as far as its documents are concerned.
pub(super) struct DescribedType {
    pub(super) name: &'static str,
    /// Older names.
    pub(super) aliases: &'static [&'static str],
    /// Its own settings; `None` where it does not describe them.
    pub(super) settings: Option<Vec<Setting>>,
    /// Whether the runtime has settings for it, too.
    pub(super) is_binding: bool,
}

impl DescribedType {
    fn of(found: &ComponentType) -> Self {
        Self {
            name: found.name(),
            aliases: found.further_names(),
            settings: found.described_settings(),
            is_binding: found.can_send() || found.can_receive(),
        }
    }

    /// The name, then the aliases.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its own settings and those of the runtime.
    pub(super) fn all_settings(&self) -> Vec<Setting> {
        let mut settings = self.settings.clone().unwrap_or_default();
        if self.is_binding {
            settings.extend(runtime_settings());
        }
        settings
    }
}

/// All of them, by name.
pub(super) fn all() -> Vec<DescribedType> {
    let mut types: Vec<_> = registry::all().iter().map(DescribedType::of).chain(stores()).collect();
    types.sort_by_key(|found| found.name);
    types
}

/// The secret store type of this name.
pub(super) fn store(name: &str) -> Option<DescribedType> {
    stores().find(|found| found.name == name)
}

fn stores() -> impl Iterator<Item = DescribedType> {
    secrets::described().map(|(name, settings)| DescribedType {
        name,
        aliases: &[],
        settings: Some(settings),
        is_binding: false,
    })
}
