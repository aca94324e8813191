//! The data of calls and emissions, on its way from JavaScript.

use std::ptr;

use bindwright::{Body, Encoding, Metadata, Request};
use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{ValueType, check_status, sys};

/// Texts up to so many bytes are read in one step, without asking how long they are.
const SMALL_TEXT: usize = 1024;
const LONGEST_CHARACTER: usize = 4;

/// What is sent: bytes, which arrive as they are; a text, which is the JSON of a value; anything else is no data at
/// all. It is copied: the caller may change its buffer as soon as the call returns.
#[derive(Default)]
pub struct Payload {
    body: Body,
    encoding: Encoding,
}

impl Payload {
    pub(crate) fn request(self, metadata: Metadata) -> Request {
        Request { body: self.body, metadata, encoding: self.encoding }
    }
}

impl TypeName for Payload {
    fn type_name() -> &'static str {
        "Uint8Array | string"
    }

    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

impl ValidateNapiValue for Payload {}

impl FromNapiValue for Payload {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let mut is_bytes = false;
        // SAFETY: as the caller promises, with a place to write to.
        check_status!(unsafe { sys::napi_is_typedarray(env, value, &raw mut is_bytes) })?;
        // SAFETY: as the caller promises.
        Ok(unsafe {
            if is_bytes {
                Self { body: bytes(env, value)?, encoding: Encoding::Verbatim }
            } else if let Some(text) = text(env, value)? {
                Self { body: Body::from(text), encoding: Encoding::Json }
            } else {
                Self::default()
            }
        })
    }
}

/// # Safety
/// Called on the environment's thread with a typed array.
unsafe fn bytes(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Body> {
    let (mut start, mut length) = (ptr::null_mut(), 0);
    // SAFETY: as the caller promises; a typed array has the layout that this call wants.
    check_status!(unsafe { sys::napi_get_buffer_info(env, value, &raw mut start, &raw mut length) })?;
    if length == 0 {
        return Ok(Body::empty());
    }
    // SAFETY: Node says that so many bytes are there; nothing runs that could change them meanwhile.
    Ok(Body::from(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec()))
}

/// `None` for what is no string.
///
/// # Safety
/// Called on the environment's thread with a value of it.
unsafe fn text(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Option<Vec<u8>>> {
    let mut small = [0_u8; SMALL_TEXT];
    // SAFETY: as the caller promises, with room for so many bytes.
    let Some(length) = (unsafe { text_into(env, value, &mut small)? }) else { return Ok(None) };
    // Of a longer one there is as much as has room; it ends with a whole character, and a zero stands behind it.
    if length + LONGEST_CHARACTER < SMALL_TEXT {
        return Ok(Some(small[..length].to_vec()));
    }
    let mut length = 0;
    // SAFETY: as above; without room for it only its length is told.
    check_status!(unsafe {
        sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut length)
    })?;
    let mut text = vec![0; length + 1];
    // SAFETY: as above.
    let length = unsafe { text_into(env, value, &mut text)? };
    text.truncate(length.unwrap_or_default());
    Ok(Some(text))
}

/// How many bytes were written, the zero behind them left out; `None` for what is no string.
///
/// # Safety
/// Called on the environment's thread with a value of it.
unsafe fn text_into(
    env: sys::napi_env,
    value: sys::napi_value,
    room: &mut [u8],
) -> napi::Result<Option<usize>> {
    let (start, size, mut length) = (room.as_mut_ptr().cast(), room.len(), 0);
    // SAFETY: as the caller promises, with room for so many bytes.
    let status = unsafe { sys::napi_get_value_string_utf8(env, value, start, size, &raw mut length) };
    if status == sys::Status::napi_string_expected {
        return Ok(None);
    }
    check_status!(status)?;
    Ok(Some(length))
}
