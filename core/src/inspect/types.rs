//! Every type of component whose documents can be described: those of the registry, and secret stores.

use schemars::JsonSchema;

use crate::registry::{self, ComponentType};
use crate::settings::{Setting, runtime_settings, settings_of};

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
    stores().into_iter().find(|found| found.name == name)
}

fn stores() -> [DescribedType; 2] {
    let store =
        |name, settings| DescribedType { name, aliases: &[], settings: Some(settings), is_binding: false };
    [
        store("secretstores.local.env", settings_of::<LocalEnv>()),
        store("secretstores.local.file", settings_of::<LocalFile>()),
    ]
}

/// What `secretstores.local.env` can be told.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)] // only its schema is of use
struct LocalEnv {
    /// What the variables' names begin with; the secrets' names are without. Default: nothing.
    prefix: Option<String>,
}

/// What `secretstores.local.file` can be told.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)] // as above
struct LocalFile {
    /// The JSON file. A relative path counts from the working directory or, when there is no such file, from the folder
    /// of the document.
    secrets_file: String,
    /// What stands between the names of a path into nested objects and lists. Default `:`.
    #[schemars(extend("x-default" = ":"))]
    nested_separator: Option<String>,
    /// Whether a secret is an object at the top of the file, with a value for each of its keys. Default false: a secret
    /// is one value, and its name the whole path.
    #[schemars(extend("x-default" = "false"))]
    multi_valued: Option<bool>,
}
