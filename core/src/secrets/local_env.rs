//! `secretstores.local.env`: every secret is a variable of the environment, under its own name. Tests are in `tests.rs`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Opening, SecretStore, StoreType, Unresolved, Variables, environment};
use crate::error::Result;
use crate::manifest::Component;
use crate::settings;

pub(super) const TYPE: StoreType =
    StoreType { name: "secretstores.local.env", settings: settings::settings_of::<Settings>, open };

/// Settings of the store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Settings {
    /// What the variables' names begin with; the secrets' names are without. Default: nothing.
    #[serde(default)]
    prefix: String,
}

struct LocalEnv {
    prefix: String,
    variables: Variables,
}

fn open(component: &Component, variables: Variables) -> Opening {
    match settings::decode::<Settings>(component) {
        Ok((Settings { prefix }, warnings)) => {
            Opening { store: Ok(Arc::new(LocalEnv { prefix, variables })), warnings, files: Vec::new() }
        }
        Err(error) => Opening::refused(error),
    }
}

impl SecretStore for LocalEnv {
    fn get(&self, name: &str, key: &str) -> Result<String, Unresolved> {
        if key != name {
            return Err(super::one_value(name, key));
        }
        let variable = format!("{}{name}", self.prefix);
        environment::check(&variable)?;
        let value = (self.variables)(&variable).map_or_else(
            || Err(Unresolved::new(format!("the environment variable {variable} is not set"))),
            |value| environment::text(&variable, value),
        )?;
        if value.is_empty() {
            return Err(Unresolved::new(format!("the environment variable {variable} is empty")));
        }
        Ok(value)
    }
}
