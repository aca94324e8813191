//! `bindings.noop`: takes everything, does nothing, answers nothing. Only in builds that measure (the feature `bench`).

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::error::Result;
use crate::registry::ComponentType;

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

pub(crate) fn component_type() -> ComponentType {
    ComponentType::new("bindings.noop").output(|_| Ok(Arc::new(Noop)))
}
