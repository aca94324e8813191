//! Live components by name: the shared engine has a set of them, and every client can have one of its own.
//!
//! The set is replaced as a whole when components come and go. Nobody keeps an instance across calls; a call under
//! way keeps what it uses, which is closed when the last such call is done.

mod instance;
mod opened;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::binding::OutputBinding;
use crate::error::Result;

pub(crate) use instance::{Instance, Readiness, is_same};
pub(crate) use opened::Opened;

type ByName = HashMap<Arc<str>, Arc<Instance>>;

/// Live components by name.
#[derive(Default)]
pub(crate) struct Instances(ArcSwap<ByName>);

impl Instances {
    /// The output of a component, opened if need be; `None` when no component has this name.
    pub(crate) fn output(&self, name: &str) -> Option<Result<Arc<dyn OutputBinding>>> {
        loop {
            // An instance that was retired has been replaced in the set before.
            match self.0.load().get(name)?.output() {
                Ok(None) => {}
                Ok(Some(output)) => return Some(Ok(output)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Instance>> {
        self.0.load().get(name).cloned()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.load().contains_key(name)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Instance>> {
        let mut all: Vec<_> = self.0.load().values().cloned().collect();
        all.sort_unstable_by(|first, second| first.name().cmp(second.name()));
        all
    }

    /// Adds an instance. One of the same name gets no new calls and is closed when its last call is done.
    pub(crate) fn insert(&self, instance: &Arc<Instance>) {
        let old = self.0.rcu(|instances| {
            let mut instances = ByName::clone(instances);
            instances.insert(instance.name().clone(), instance.clone());
            instances
        });
        if let Some(old) = old.get(instance.name()) {
            drop(old.retire());
        }
    }

    /// Removes an instance, which is closed when its last call is done; `false` when there is none.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let old = self.0.rcu(|instances| {
            let mut instances = ByName::clone(instances);
            instances.remove(name);
            instances
        });
        old.get(name).is_some_and(|old| {
            drop(old.retire());
            true
        })
    }

    /// Removes all of them. Outputs that nobody uses are flushed by `deadline`, the others closed when their last
    /// call is done.
    pub(crate) async fn close_all(&self, deadline: Instant) {
        let outputs: Vec<_> = self.0.swap(Arc::default()).values().filter_map(|one| one.retire()).collect();
        for output in outputs {
            if let Some(output) = Arc::into_inner(output)
                && let Err(error) = output.close(deadline).await
            {
                tracing::warn!(target: "bindwright", "{error}");
            }
        }
    }
}
