//! Core's errors on their way to JavaScript: their parts, of which `ts/errors.ts` makes a `BindwrightError` where the
//! caller is known.

use bindwright::{Error, ErrorCode, Result};
use napi::{Env, JsValue as _};
use napi_derive::napi;

/// Everything that an error knows.
#[napi(object, object_from_js = false)]
pub struct ErrorParts {
    /// Everything in one line.
    pub text: String,
    /// What happened, without component, place and advice.
    pub message: String,
    /// The stable code.
    pub code: &'static str,
    /// The component concerned.
    pub component: Option<String>,
    /// The operation concerned.
    pub operation: Option<String>,
    /// Whether a second try can help, where that is known.
    pub retriable: Option<bool>,
    /// The backend's own text.
    pub backend: Option<String>,
    /// What to do next.
    pub what_to_do: String,
    /// `file:line:column` of a fault in a document.
    pub place: Option<String>,
}

impl From<&Error> for ErrorParts {
    fn from(error: &Error) -> Self {
        Self {
            text: error.to_string(),
            message: error.message().to_owned(),
            code: error.code().as_str(),
            component: error.component_name().map(str::to_owned),
            operation: error.operation_name().map(str::to_owned),
            retriable: error.retriable(),
            backend: error.backend_text().map(str::to_owned),
            what_to_do: error.what_to_do().to_owned(),
            place: error.place_in_file().map(ToString::to_string),
        }
    }
}

/// The parts of an error that the TypeScript layer found, with core's words around them; an unknown code is
/// `INTERNAL`.
#[napi(catch_unwind)]
pub fn describe_error(
    code: String,
    message: String,
    component: Option<String>,
    operation: Option<String>,
    advice: Option<String>,
) -> ErrorParts {
    let mut error = Error::new(code_of(&code).unwrap_or(ErrorCode::Internal), message);
    if let Some(component) = component {
        error = error.component(component);
    }
    if let Some(operation) = operation {
        error = error.operation(&operation);
    }
    if let Some(advice) = advice {
        error = error.advice(advice);
    }
    ErrorParts::from(&error)
}

/// The code of this spelling.
pub(crate) fn code_of(name: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.as_str() == name)
}

/// For a call that throws.
pub(crate) fn thrown<T>(env: Env, result: Result<T>) -> napi::Result<T> {
    result.map_err(|error| throwable(env, &error))
}

/// An error of core as napi throws it: an `Error` with the parts.
pub(crate) fn throwable(env: Env, error: &Error) -> napi::Error {
    let made = || {
        let mut thrown = env.create_error(napi::Error::from_reason(error.message()))?;
        thrown.set("parts", ErrorParts::from(error))?;
        Ok(thrown.to_unknown())
    };
    made().map_or_else(|fault| fault, napi::Error::from)
}

/// Somebody's argument that cannot be used.
pub(crate) fn refused(env: Env, message: String) -> napi::Error {
    throwable(env, &Error::new(ErrorCode::InvalidOptions, message))
}
