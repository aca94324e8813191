//! The live components of a process: read once, opened on first use, shared by all clients of the same resources.
//!
//! Many programs open a client for every message they send. So clients of the same resources and app id lease one
//! engine, and it stays open for a while after the last lease ended: neither a leak nor a reconnect.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::binding::{InputBinding, OutputBinding};
use crate::dispatch::Rules;
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::{Component, Manifest};
use crate::policy::{Inbound, Policies};
use crate::registry::{self, ComponentType};
use crate::runtime;
use crate::settings::RuntimeSettings;
use crate::transport::ComponentInfo;
use crate::transport::Guarded;

/// How long connections stay open after the last client was closed.
const LINGER: Duration = Duration::from_secs(10);
/// How long flushing may take when an unused engine is closed.
const FLUSH: Duration = Duration::from_secs(5);

/// What clients must have in common to share an engine. The fingerprint is of the files' contents: a client opened
/// after a change gets what the files say now.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    process: u32,
    resources: Vec<PathBuf>,
    app_id: Option<String>,
    fingerprint: u64,
}

struct Entry {
    engine: Arc<Engine>,
    leases: usize,
    /// Counts the leases ever given, so that a lingering close can tell whether anything came in between.
    given: u64,
}

static ENGINES: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

/// Components by name, and what is wrong with the resources.
pub(crate) struct Engine {
    /// Replaced as a whole when components come and go; nobody keeps an instance across calls.
    instances: ArcSwap<HashMap<Arc<str>, Arc<Instance>>>,
    faults: Vec<Error>,
    policies: Policies,
}

/// One component: its document, its type, and its output once somebody used it.
struct Instance {
    component: Component,
    component_type: Result<ComponentType>,
    output: Mutex<Option<Arc<dyn OutputBinding>>>,
    /// What concerns its events: one breaker for all subscriptions.
    inbound: OnceLock<Result<Option<Inbound>>>,
}

impl Engine {
    /// Leases the engine of these resources, made if there is none.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for a folder that cannot be read, `INVALID_MANIFEST` for two components of one name.
    pub(crate) fn lease(resources: &[PathBuf], app_id: Option<&str>) -> Result<EngineLease> {
        let manifest = Manifest::load(resources, app_id)?;
        let key = Key {
            process: std::process::id(),
            // A relative path means another folder after a change of the working directory.
            resources: resources.iter().map(|path| absolute(path)).collect(),
            app_id: app_id.map(str::to_owned),
            fingerprint: manifest.fingerprint(),
        };
        let mut engines = ENGINES.lock();
        let entry = engines.entry(key.clone()).or_insert_with(|| Entry {
            engine: Arc::new(Self::new(manifest)),
            leases: 0,
            given: 0,
        });
        entry.leases += 1;
        entry.given += 1;
        Ok(EngineLease { engine: entry.engine.clone(), key, released: AtomicBool::new(false) })
    }

    fn new(manifest: Manifest) -> Self {
        let mut faults = manifest.faults;
        let mut instances = HashMap::with_capacity(manifest.components.len());
        // Dapr's folders hold state stores and more beside the bindings; those are not ours.
        let bindings =
            manifest.components.into_iter().filter(|one| one.component_type.starts_with("bindings."));
        for component in bindings {
            let checked = registry::find(&component).and_then(|component_type| {
                faults.extend(component_type.check_settings(&component)?);
                Ok(component_type)
            });
            if let Err(error) = &checked {
                faults.push(error.clone());
            }
            let name = component.name.clone();
            let (output, inbound) = (Mutex::default(), OnceLock::new());
            let instance = Instance { component, component_type: checked, output, inbound };
            instances.insert(name, Arc::new(instance));
        }
        for fault in &faults {
            tracing::warn!(target: "bindwright", "{fault}");
        }
        Self { instances: ArcSwap::from_pointee(instances), faults, policies: manifest.policies }
    }

    /// The output of a component, opened if need be.
    pub(crate) fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        let instance = self.instance(name)?;
        let mut output = instance.output.lock();
        if let Some(output) = &*output {
            return Ok(output.clone());
        }
        let component_type = instance.component_type.clone()?;
        let policy = self.policies.outbound(name)?;
        let binding = component_type
            .open_output(&instance.component)
            .map_err(|error| error.component(instance.component.name.clone()))?;
        let opened = Arc::new(Guarded { name: instance.component.name.clone(), binding, policy });
        Ok(output.insert(opened).clone())
    }

    /// The input of a component. Every call opens one of its own: its readers share the work.
    pub(crate) fn input(&self, name: &str) -> Result<(Arc<str>, Arc<dyn InputBinding>, Rules)> {
        let instance = self.instance(name)?;
        let inbound = self.inbound(name)?;
        let (input, rules) = instance.input(inbound)?;
        Ok((instance.component.name.clone(), input, rules))
    }

    /// What the policies want for the events of a component; the breaker is one for all its subscriptions.
    ///
    /// # Errors
    /// `COMPONENT_NOT_FOUND`, and `INVALID_MANIFEST` for a policy that is not there.
    pub(crate) fn inbound(&self, name: &str) -> Result<Option<Inbound>> {
        self.instance(name)?.inbound.get_or_init(|| self.policies.inbound(name)).clone()
    }

    fn instance(&self, name: &str) -> Result<Arc<Instance>> {
        let instances = self.instances.load();
        instances.get(name).cloned().ok_or_else(|| {
            let mut names: Vec<&str> = instances.keys().map(|name| &**name).collect();
            names.sort_unstable();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let mut message = format!("no component has this name; components: {known}");
            if let Some(fault) = self.faults.first() {
                let count = self.faults.len();
                message = format!("{message}; {count} fault(s) in the resources, the first: {fault}");
            }
            Error::new(ErrorCode::ComponentNotFound, message).component(name)
        })
    }

    pub(crate) fn components(&self) -> Vec<ComponentInfo> {
        let mut components: Vec<_> = self
            .instances
            .load()
            .values()
            .map(|instance| instance.info(self.inbound(&instance.component.name)))
            .collect();
        components.sort_unstable_by(|first, second| first.name.cmp(&second.name));
        components
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        self.faults.clone()
    }

    async fn close(&self, deadline: Instant) {
        let instances = self.instances.swap(Arc::default());
        for instance in instances.values() {
            let output = instance.output.lock().take();
            if let Some(output) = output
                && let Err(error) = output.close(deadline).await
            {
                tracing::warn!(target: "bindwright", "{error}");
            }
        }
    }
}

impl Instance {
    fn input(&self, inbound: Option<Inbound>) -> Result<(Arc<dyn InputBinding>, Rules)> {
        let input = self.component_type.clone()?.open_input(&self.component)?;
        let rules = Rules::new(&RuntimeSettings::of(&self.component)?, input.redelivery(), inbound);
        Ok((input, rules))
    }

    fn info(&self, inbound: Result<Option<Inbound>>) -> ComponentInfo {
        let (component, direction) = (&self.component, &self.component.direction);
        let can = |able: fn(&ComponentType) -> bool| self.component_type.as_ref().is_ok_and(able);
        ComponentInfo {
            name: component.name.to_string(),
            component_type: component.component_type.clone(),
            version: component.version.clone(),
            input: direction.input && can(ComponentType::can_receive),
            output: direction.output && can(ComponentType::can_send),
            redelivery: inbound.and_then(|inbound| self.input(inbound)).ok().map(|(_, rules)| rules.ledger()),
            error: self.component_type.as_ref().err().cloned(),
        }
    }
}

/// A client's use of an engine; given back by [`release`](Self::release) or when dropped.
pub(crate) struct EngineLease {
    engine: Arc<Engine>,
    key: Key,
    released: AtomicBool,
}

impl EngineLease {
    /// Ends the lease. The engine of the last one stays open for [`LINGER`].
    pub(crate) fn release(&self) {
        // A child of a fork holds copies of its parent's leases; they are the parent's to end.
        if self.released.swap(true, Ordering::AcqRel) || self.key.process != std::process::id() {
            return;
        }
        let given = {
            let mut engines = ENGINES.lock();
            let Some(entry) = engines.get_mut(&self.key) else { return };
            entry.leases -= 1;
            if entry.leases > 0 {
                return;
            }
            entry.given
        };
        let key = self.key.clone();
        if let Ok(runtime) = runtime::handle() {
            runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                let unused = {
                    let mut engines = ENGINES.lock();
                    let idle =
                        engines.get(&key).is_some_and(|entry| entry.leases == 0 && entry.given == given);
                    if idle { engines.remove(&key) } else { None }
                };
                if let Some(entry) = unused {
                    entry.engine.close(Instant::now() + FLUSH).await;
                }
            });
        }
    }
}

impl Deref for EngineLease {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Drop for EngineLease {
    fn drop(&mut self) {
        self.release();
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
