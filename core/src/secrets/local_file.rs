//! `secretstores.local.file`: secrets in a JSON file. Tests are in `tests.rs`.
//!
//! The file is read when the store is opened. Its values are found along their path; no list of all paths is made,
//! which could be much larger than the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::json::{Object, Value};
use super::{Opening, SecretStore, StoreType, Unresolved, Variables};
use crate::error::{Error, ErrorCode, Place, Result};
use crate::manifest::Component;
use crate::settings::{self, nearest};

pub(super) const TYPE: StoreType =
    StoreType { name: "secretstores.local.file", settings: settings::settings_of::<Settings>, open };

/// How many names are looked through for one that is near a wrong one.
const MAX_COMPARED: usize = 1000;

/// Settings of the store.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Settings {
    /// The JSON file. A relative path counts from the working directory or, when there is no such file, from the folder
    /// of the document.
    secrets_file: String,
    /// What stands between the names of a path into nested objects and lists. Default `:`.
    #[serde(default = "default_separator")]
    #[schemars(extend("x-default" = ":"))]
    nested_separator: String,
    /// Whether a secret is an object at the top of the file, with a value for each of its keys. Default `false`: a
    /// secret is one value, and its name the whole path.
    #[serde(default)]
    #[schemars(extend("x-default" = "false"))]
    multi_valued: bool,
}

fn default_separator() -> String {
    ":".to_owned()
}

struct LocalFile {
    secrets: Object,
    separator: String,
    multi_valued: bool,
}

fn open(component: &Component, _: Variables) -> Opening {
    let (settings, warnings) = match settings::decode::<Settings>(component) {
        Ok(decoded) => decoded,
        Err(error) => return Opening::refused(error),
    };
    let candidates = candidates(&settings.secrets_file, component);
    // A file that cannot be looked at is the one that is meant, too: reading it tells why.
    let path = candidates.iter().find(|path| path.exists()).unwrap_or(&candidates[0]);
    let read = read(path).map_err(|error| match error.place_in_file() {
        Some(_) => error,
        None => error.place(place_of_setting(component)),
    });
    let store = read.map(|secrets| {
        let Settings { nested_separator: separator, multi_valued, .. } = settings;
        Arc::new(LocalFile { secrets, separator, multi_valued }) as Arc<dyn SecretStore>
    });
    Opening { store, warnings, files: candidates }
}

/// Where the file may be.
fn candidates(file: &str, component: &Component) -> Vec<PathBuf> {
    let path = Path::new(file);
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let document = Path::new(&*component.place.file);
    let mut candidates = vec![absolute(path.to_owned())];
    let beside = document.parent().filter(|_| path.is_relative() && document.is_file());
    candidates.extend(beside.map(|folder| absolute(folder.join(path))));
    candidates.dedup();
    candidates
}

fn place_of_setting(component: &Component) -> Place {
    let setting = component.properties.iter().find(|one| one.name.eq_ignore_ascii_case("secretsFile"));
    setting.map_or(&component.place, |setting| &setting.value_place).clone()
}

fn read(path: &Path) -> Result<Object> {
    let unreadable = |why: String| {
        let message = format!("secretsFile: cannot read {}", path.display());
        Error::new(ErrorCode::InvalidSettings, message)
            .backend(why)
            .advice("Name a JSON file that this process may read.")
    };
    // What is no file, such as a device, may never end.
    let metadata = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    let text = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    let invalid = |why: &str, line: usize, column: usize| {
        let file = path.display().to_string().into();
        Error::new(ErrorCode::InvalidSettings, format!("secretsFile: expected a JSON object: {why}"))
            .place(Place { file, line: line.max(1), column: column.max(1) })
            .advice("Correct the file; names and values are texts in double quotes.")
    };
    match serde_json::from_slice(text) {
        Ok(Value::Object(secrets)) => Ok(secrets),
        Ok(_) => Err(invalid("the file holds something else", 1, 1)),
        Err(error) => {
            // The end of the text repeats the place.
            let why = error.to_string();
            let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
            Err(invalid(why, error.line(), error.column()))
        }
    }
}

impl SecretStore for LocalFile {
    fn get(&self, name: &str, key: &str) -> Result<String, Unresolved> {
        if !self.multi_valued {
            if key != name {
                return Err(super::one_value(name, key));
            }
            let value = self.find(&self.secrets, name).ok_or_else(|| self.no_secret(name))?;
            return text(value, name);
        }
        match self.secrets.get(name) {
            Some(Value::Object(values)) => {
                let what = format!("{name}, key {key}");
                let value = self.find(values, key).ok_or_else(|| no_key(name, key, values))?;
                text(value, &what)
            }
            Some(value) if key == name => text(value, name),
            Some(_) => Err(super::one_value(name, key)),
            None => Err(self.no_secret(name)),
        }
    }
}

impl LocalFile {
    /// The value at a path of names. A name may contain the separator: the longest names are tried first.
    fn find<'a>(&self, values: &'a Object, path: &str) -> Option<&'a Value> {
        if let Some(value) = values.get(path) {
            return Some(value);
        }
        if self.separator.is_empty() {
            return None;
        }
        path.rmatch_indices(&self.separator)
            .find_map(|(at, _)| self.below(values.get(&path[..at])?, &path[at + self.separator.len()..]))
    }

    fn below<'a>(&self, value: &'a Value, path: &str) -> Option<&'a Value> {
        match value {
            Value::Object(values) => self.find(values, path),
            Value::List(items) => {
                let (index, rest) = match path.split_once(&self.separator) {
                    Some((index, rest)) => (index, Some(rest)),
                    None => (path, None),
                };
                let item = items.get(index.parse::<usize>().ok()?)?;
                rest.map_or(Some(item), |rest| self.below(item, rest))
            }
            _ => None,
        }
    }

    fn no_secret(&self, name: &str) -> Unresolved {
        let what = match near(name, &self.secrets) {
            Some(near) => format!("there is no secret {name:?}; did you mean {near:?}"),
            None => format!("there is no secret {name:?}"),
        };
        let first = name.split(&self.separator).next().filter(|_| !self.separator.is_empty());
        let is_nested = !self.multi_valued && first.is_some_and(|first| first != name);
        Unresolved::new(what).advice(if is_nested {
            format!("Add it to the secrets file; {:?} separates the names of a path.", self.separator)
        } else {
            "Add it to the secrets file, or correct the name in `secretKeyRef`.".to_owned()
        })
    }
}

fn no_key(name: &str, key: &str, values: &Object) -> Unresolved {
    let what = match near(key, values) {
        Some(near) => format!("the secret {name:?} has no key {key:?}; did you mean {near:?}"),
        None => format!("the secret {name:?} has no key {key:?}"),
    };
    Unresolved::new(what).advice("Add the key to the secrets file, or correct `key` in `secretKeyRef`.")
}

fn near<'a>(name: &str, values: &'a Object) -> Option<&'a str> {
    nearest(name, values.names().take(MAX_COMPARED))
}

/// A value's text. Unlike in Dapr, which mangles what is not a text, `true` and whole numbers are what they say.
fn text(value: &Value, what: &str) -> Result<String, Unresolved> {
    let refused = |why: &str| {
        Err(Unresolved::new(format!("secret {what}: {why}"))
            .advice("Write the value as a text in double quotes."))
    };
    match value {
        Value::Text(text) if text.is_empty() => refused("it is empty"),
        Value::Text(text) => Ok(text.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Fraction => refused("a number with a point may lose digits"),
        Value::Positive(number) => Ok(number.to_string()),
        Value::Negative(number) => Ok(number.to_string()),
        Value::Null => refused("it is null"),
        Value::Object(_) | Value::List(_) => refused("it is a list or an object, not one value"),
    }
}
