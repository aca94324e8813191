//! Core's errors as JavaScript sees them: an `Error` with the code and all the rest as properties.

use bindwright::{Error, Result};
use napi::bindgen_prelude::Object;
use napi::{Env, JsValue, Status, sys};

fn object<'env>(env: &'env Env, error: &Error) -> napi::Result<Object<'env>> {
    let mut object = env.create_error(napi::Error::new(Status::GenericFailure, error.to_string()))?;
    object.set("name", "BindwrightError")?;
    object.set("code", error.code().as_str())?;
    object.set("component", error.component_name())?;
    object.set("operation", error.operation_name())?;
    object.set("retriable", error.retriable())?;
    object.set("backend", error.backend_text())?;
    object.set("whatToDo", error.what_to_do())?;
    Ok(object)
}

/// For a promise that is rejected.
pub(crate) fn js_error(env: &Env, error: &Error) -> napi::Result<sys::napi_value> {
    Ok(object(env, error)?.raw())
}

/// For a call that throws.
pub(crate) fn thrown<T>(env: Env, result: Result<T>) -> napi::Result<T> {
    result.map_err(|error| match object(&env, &error) {
        Ok(object) => napi::Error::from(object.to_unknown()),
        Err(fault) => fault,
    })
}
