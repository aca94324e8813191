//! A component type that does nothing, to measure what the package itself costs; and buffers of both kinds.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bindwright::component::{Call, ComponentType, OutputBinding, register};
use bindwright::{Reply, Request, Result};
use napi::Env;
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

struct Noop;

#[async_trait]
impl OutputBinding for Noop {
    fn operations(&self) -> &[&'static str] {
        &["create"]
    }

    async fn invoke(&self, _call: &Call, request: Request) -> Result<Reply> {
        drop(request);
        Ok(Reply::default())
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}

/// Makes the component type `bindings.noop` known.
#[napi(catch_unwind)]
pub fn register_noop() {
    register(ComponentType::new("bindings.noop").output(|_| Ok(Arc::new(Noop))));
}

/// A buffer as data of this size would reach JavaScript: a copy, or one that points to ours.
#[napi(catch_unwind)]
pub fn buffer_of(env: &Env, size: u32, is_copy: bool) -> napi::Result<BufferSlice<'_>> {
    let bytes = vec![1; size as usize];
    if is_copy { BufferSlice::copy_from(env, bytes) } else { BufferSlice::from_data(env, bytes) }
}
