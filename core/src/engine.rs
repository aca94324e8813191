//! The live components of a process: read once, opened on first use, shared by all clients of the same resources.
//!
//! Many programs open a client for every message they send. So clients of the same resources and app id lease one
//! engine, and it stays open for a while after the last lease ended: neither a leak nor a reconnect. Unless that is
//! turned off, it follows the resource files (`reload.rs`).

mod lease;
mod reload;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::error::{Error, ErrorCode, Result};
use crate::instances::{Instance, Instances};
use crate::manifest::{Component, Identity, Manifest, References, Stamp};
use crate::policy::Policies;
use crate::secrets::Stores;
use crate::testing::{self, Stage};

pub(crate) use lease::EngineLease;
pub use reload::Reload;

/// Components by name, and what is wrong with the resources.
pub(crate) struct Engine {
    resources: Vec<PathBuf>,
    /// The same, for the time after the working directory changed.
    absolute: Vec<PathBuf>,
    app_id: Option<String>,
    /// Types that are left out.
    denied: Vec<String>,
    reloads: bool,
    /// Where its components are fakes.
    pub(crate) stage: Option<Arc<Stage>>,
    /// Nobody can lease it any more.
    ended: AtomicBool,
    pub(crate) instances: Instances,
    pub(crate) policies: ArcSwap<Policies>,
    /// The secret stores of the resources.
    pub(crate) stores: ArcSwap<Stores>,
    faults: ArcSwap<Vec<Error>>,
    /// Told when a component changed.
    followers: Mutex<Vec<Weak<dyn Follower>>>,
    /// Held while somebody looks at the files and applies what they say.
    seen: Mutex<reload::Seen>,
}

/// Whose components an engine has.
struct Named<'a> {
    resources: &'a [PathBuf],
    app_id: Option<&'a str>,
    denied: Vec<String>,
}

/// Whoever uses an engine's components beyond a call.
pub(crate) trait Follower: Send + Sync {
    /// Another instance has this name now, or none.
    fn changed(&self, name: &str);

    /// Whether something reads from the component of this name.
    fn reads(&self, name: &str) -> bool;
}

impl Engine {
    fn new(
        Named { resources, app_id, denied }: Named<'_>,
        manifest: Manifest,
        stamp: Stamp,
        reloads: bool,
        stage: Option<Arc<Stage>>,
    ) -> Self {
        let seen = reload::Seen::new(stamp, &manifest);
        let mut faults = manifest.document_faults().to_vec();
        let Manifest { components, policies, stores, .. } = manifest;
        let identity = Identity::of_process(app_id);
        let instances = Instances::default();
        for component in allowed(components, &denied) {
            let instance = Arc::new(Instance::new(component, &identity, &policies, stage.as_ref()));
            faults.extend(instance.faults());
            instances.insert(&instance);
        }
        for fault in &faults {
            tracing::warn!(target: "bindwright", "{fault}");
        }
        Self {
            resources: resources.to_vec(),
            absolute: resources.iter().map(|path| absolute(path)).collect(),
            app_id: app_id.map(str::to_owned),
            denied,
            reloads,
            stage,
            ended: AtomicBool::new(false),
            instances,
            policies: ArcSwap::from_pointee(policies),
            stores: ArcSwap::from_pointee(stores),
            faults: ArcSwap::from_pointee(faults),
            followers: Mutex::default(),
            seen: Mutex::new(seen),
        }
    }

    /// How its documents are read.
    pub(crate) fn references(&self) -> References {
        testing::references(self.stage.as_ref())
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        self.faults.load().to_vec()
    }

    /// From now on `follower` hears of changes, until it is dropped.
    pub(crate) fn tell(&self, follower: Weak<dyn Follower>) {
        let mut followers = self.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(follower);
    }

    fn followers(&self) -> Vec<Arc<dyn Follower>> {
        self.followers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes everything: outputs that nobody uses are flushed by `deadline`.
    async fn end(&self, deadline: Instant) {
        self.ended.store(true, Ordering::Release);
        // After a look that may be going on, which would fill the set again.
        drop(self.seen.lock());
        self.instances.close_all(deadline).await;
    }

    /// Looks at the files now, whether or not they are still being written.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` when this engine does not follow its files: another one has what they say now.
    pub(crate) fn reload(&self) -> Result<Reload> {
        if self.reloads {
            return Ok(self.look_now().reload);
        }
        Err(Error::new(ErrorCode::InvalidOptions, "hot reload is off for this client")
            .advice("Open a new client, or leave `hot_reload` and BINDWRIGHT_HOT_RELOAD alone."))
    }
}

/// Dapr's folders hold state stores and more beside the bindings; those are not ours.
fn bindings(components: Vec<Component>) -> impl Iterator<Item = Component> {
    components.into_iter().filter(Component::is_binding)
}

/// The bindings whose types are not denied.
fn allowed(components: Vec<Component>, denied: &[String]) -> impl Iterator<Item = Component> {
    bindings(components).filter(|component| {
        let names = [component.component_type.clone(), component.type_and_version()];
        let is_denied = denied.iter().any(|one| names.iter().any(|name| name.eq_ignore_ascii_case(one)));
        if is_denied {
            let (component, component_type) = (&*component.name, &component.component_type);
            tracing::warn!(target: "bindwright", component, component_type, "left out: its type is denied");
        }
        !is_denied
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
