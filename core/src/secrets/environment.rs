//! What documents may take from the environment. Tests are in `tests.rs`.

use std::ffi::OsString;

use super::Unresolved;
use crate::error::Result;

/// Where variables are looked up; tests have some of their own.
pub(crate) type Variables = fn(&str) -> Option<OsString>;

/// The variables of this process.
pub(crate) fn of_process(name: &str) -> Option<OsString> {
    // A name that the system cannot have would be a panic.
    if name.is_empty() || name.contains(['=', '\0']) { None } else { std::env::var_os(name) }
}

/// The variable that an `envRef` names, as it is. Not every variable is for components: see [`check`] and
/// `DAPR_ENV_KEYS`, a list of those that are, separated by blanks.
pub(crate) fn read_variable(name: &str, variables: Variables) -> Result<String, Unresolved> {
    check(name)?;
    let allowed = variables("DAPR_ENV_KEYS");
    let is_allowed = |list: OsString| list.to_string_lossy().split(' ').any(|allowed| allowed == name);
    if !allowed.is_none_or(is_allowed) {
        return Err(Unresolved::new(format!("DAPR_ENV_KEYS does not allow the environment variable {name}"))
            .advice("Add the name to DAPR_ENV_KEYS, a list separated by blanks, or use another variable."));
    }
    let Some(value) = variables(name) else {
        return Err(Unresolved::new(format!("the environment variable {name} is not set"))
            .advice("Set it before the program starts, or write a `value`; it may be empty."));
    };
    text(name, value)
}

/// Refuses the names that no document may read: those of the runtime's own secrets and settings.
pub(super) fn check(name: &str) -> Result<(), Unresolved> {
    let upper = name.to_uppercase();
    let refused = if name.is_empty() {
        "an empty name is no environment variable".to_owned()
    } else if name.contains(' ') {
        format!("{name:?} is no name of an environment variable, it has a blank")
    } else if upper == "APP_API_TOKEN" || upper.starts_with("DAPR_") {
        format!("the environment variable {name} is not for components")
    } else {
        return Ok(());
    };
    Err(Unresolved::new(refused).advice("Use a variable that is not called APP_API_TOKEN or DAPR_…."))
}

/// The value of a variable.
pub(super) fn text(name: &str, value: OsString) -> Result<String, Unresolved> {
    value.into_string().map_err(|_| {
        Unresolved::new(format!("the environment variable {name} is not UTF-8"))
            .advice("Set it to a text in UTF-8.")
    })
}
