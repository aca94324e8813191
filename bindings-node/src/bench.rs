//! Buffers of both kinds, to measure what they cost.

use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

/// A buffer as data of this size would reach JavaScript: a copy, or one that points to ours.
#[napi(catch_unwind)]
pub fn buffer_of(env: &Env, size: u32, is_copy: bool) -> napi::Result<BufferSlice<'_>> {
    let bytes = vec![1; size as usize];
    if is_copy { BufferSlice::copy_from(env, bytes) } else { BufferSlice::from_data(env, bytes) }
}
