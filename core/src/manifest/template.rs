//! Names that a value can contain: `{uuid}`, `{podName}`, `{namespace}` and `{appID}`, filled in when a component is
//! opened. Tests are in `tests/templates.rs`.
//!
//! Documents are compared before that, so a `{uuid}` is no change. What is filled in is not looked through again.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::component::{Component, Property};
use crate::error::{Error, ErrorCode, Result};

/// Who a process is, as values may name it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) app_id: Option<Arc<str>>,
    /// `NAMESPACE`, which may be empty; `default` when it is not there.
    namespace: String,
    /// `POD_NAME`.
    pod_name: Option<String>,
}

impl Identity {
    /// Of this process, with the client's app id.
    pub(crate) fn of_process(app_id: Option<&str>) -> Self {
        Self {
            app_id: app_id.map(Arc::from),
            namespace: std::env::var("NAMESPACE").unwrap_or_else(|_| "default".to_owned()),
            pod_name: std::env::var("POD_NAME").ok().filter(|name| !name.is_empty()),
        }
    }

    #[cfg(test)]
    pub(super) fn new(app_id: Option<&str>, namespace: &str, pod_name: Option<&str>) -> Self {
        Self {
            app_id: app_id.map(Arc::from),
            namespace: namespace.to_owned(),
            pod_name: pod_name.map(str::to_owned),
        }
    }
}

/// The component with its values filled in. Every call makes `{uuid}`s of its own.
///
/// # Errors
/// `INVALID_SETTINGS` with the place of a value that needs a name which this process does not have.
pub(crate) fn fill<'a>(component: &'a Component, identity: &Identity) -> Result<Cow<'a, Component>> {
    let mut filled = Cow::Borrowed(component);
    for (index, property) in component.properties.iter().enumerate() {
        let value = value(&property.value, identity).map_err(|lack| error(component, property, lack))?;
        if let Cow::Owned(value) = value {
            filled.to_mut().properties[index].value = value;
        }
    }
    if let Cow::Owned(component) = &mut filled {
        component.read_own_properties();
    }
    Ok(filled)
}

/// A name that a value needs and nobody knows.
#[derive(Clone, Copy)]
enum Lack {
    PodName,
    AppId(&'static str),
}

fn error(component: &Component, property: &Property, lack: Lack) -> Error {
    let (what, advice) = match lack {
        Lack::PodName => (
            "{podName} needs the environment variable POD_NAME, which is not set".to_owned(),
            "Set POD_NAME before the program starts, or write another value.",
        ),
        Lack::AppId(name) => (
            format!("{name} needs an app id, and the client has none"),
            "Give the client an app id, or set APP_ID.",
        ),
    };
    Error::new(ErrorCode::InvalidSettings, format!("{}: {what}", property.name))
        .component(Arc::clone(&component.name))
        .place(property.value_place.clone())
        .advice(advice)
}

/// What a name stands for.
type StandsFor = fn(&Identity) -> Result<String, Lack>;

const NAMES: [(&str, StandsFor); 4] = [
    ("{uuid}", |_| Ok(uuid())),
    ("{podName}", |identity| identity.pod_name.clone().ok_or(Lack::PodName)),
    ("{namespace}", |identity| {
        // Dapr's rule: the namespace alone would not tell apps apart.
        let app_id = identity.app_id.as_deref().ok_or(Lack::AppId("{namespace}"))?;
        Ok(format!("{}.{app_id}", identity.namespace))
    }),
    ("{appID}", |identity| identity.app_id.as_deref().map(str::to_owned).ok_or(Lack::AppId("{appID}"))),
];

fn value<'a>(text: &'a str, identity: &Identity) -> Result<Cow<'a, str>, Lack> {
    let mut filled = Cow::Borrowed("");
    let mut copied = 0;
    for (at, _) in text.match_indices('{') {
        if let Some((name, stands_for)) = NAMES.iter().find(|(name, _)| text[at..].starts_with(name)) {
            let filled = filled.to_mut();
            filled.push_str(&text[copied..at]);
            filled.push_str(&stands_for(identity)?);
            copied = at + name.len();
        }
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(text));
    }
    filled.to_mut().push_str(&text[copied..]);
    Ok(filled)
}

/// A random UUID, version 4.
fn uuid() -> String {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes).expect("the system has random numbers");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("writing to a text never fails");
    }
    text
}
