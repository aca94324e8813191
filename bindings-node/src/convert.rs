//! From JavaScript's values to core's, and back. Metadata crosses as a flat list: name, value, name, value.

use std::ptr;
use std::time::Duration;

use bindwright::{Body, Metadata};
use napi::bindgen_prelude::{BufferSlice, Null, ToNapiValue, Uint8ArraySlice};
use napi::{Env, JsValue as _, sys};

/// The data is copied: the caller may change its buffer as soon as the call returns.
pub(crate) fn body(data: Option<Uint8ArraySlice>) -> Body {
    Body::from(data.map(|data| data.to_vec()))
}

/// Names and values in turn.
pub(crate) fn metadata(flat: Option<Vec<String>>) -> Metadata {
    let Some(flat) = flat else { return Metadata::new() };
    let mut metadata = Metadata::with_capacity(flat.len() / 2);
    let mut flat = flat.into_iter();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        metadata.add(name, value);
    }
    metadata
}

/// Names and values in turn.
pub(crate) fn texts(metadata: &Metadata) -> Vec<String> {
    let mut flat = Vec::with_capacity(metadata.len() * 2);
    for (name, value) in metadata.iter() {
        flat.push(name.to_owned());
        flat.push(value.text().into_owned());
    }
    flat
}

/// Milliseconds, which the TypeScript layer has checked; too many mean for ever.
pub(crate) fn duration(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or(if millis > 0.0 {
        Duration::MAX
    } else {
        Duration::ZERO
    })
}

/// A time span as milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Data on its way to JavaScript: a `Buffer`, or `null` where there is none.
pub struct Data(pub(crate) Body);

impl ToNapiValue for Data {
    unsafe fn to_napi_value(env: sys::napi_env, data: Self) -> napi::Result<sys::napi_value> {
        let Body::Bytes(bytes) = data.0 else {
            // SAFETY: as the caller promises.
            return unsafe { Null::to_napi_value(env, Null) };
        };
        // A copy, also of a large one: a buffer that points to our bytes is slower at every size that was measured,
        // for it takes a finalizer to free them. See docs/decisions/0001-boundary.md.
        Ok(BufferSlice::copy_from(&Env::from_raw(env), &bytes)?.raw())
    }
}

/// `undefined`.
pub(crate) fn undefined(env: Env) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: called on the environment's thread with a place to write to; it cannot fail then.
    unsafe { sys::napi_get_undefined(env.raw(), &raw mut value) };
    value
}
