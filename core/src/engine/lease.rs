//! Who shares an engine, and how long it stays open.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Engine, Named, absolute, reload};
use crate::error::Result;
use crate::manifest::{self, Manifest, Stamp};
use crate::process;
use crate::runtime;
use crate::testing;

/// How long connections stay open after the last client was closed.
const LINGER: Duration = Duration::from_secs(10);
/// How long flushing may take when an unused engine is closed.
const FLUSH: Duration = Duration::from_secs(5);

/// What clients must have in common to share an engine.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    process: u32,
    resources: Vec<PathBuf>,
    app_id: Option<String>,
    namespace: Option<String>,
    /// Of the files' contents, where they are read only once: a client opened after a change gets what the files say
    /// now. An engine that reloads needs none.
    fingerprint: Option<u64>,
    /// Of the sandbox, so that neither fakes nor real components outlive it in the other's place.
    sandbox: Option<u64>,
    denied: Vec<String>,
}

struct Entry {
    engine: Arc<Engine>,
    leases: usize,
    /// Counts the leases ever given, so that a lingering close can tell whether anything came in between.
    given: u64,
}

static ENGINES: LazyLock<Mutex<HashMap<Key, Entry>>> = LazyLock::new(Mutex::default);

impl Engine {
    /// Leases the engine of these resources, made if there is none. One that reloads looks at the files first.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for a folder that cannot be read, `INVALID_MANIFEST` for two components of one name.
    pub(crate) fn lease(
        resources: &[PathBuf],
        app_id: Option<&str>,
        hot_reload: bool,
        denied: Vec<String>,
    ) -> Result<EngineLease> {
        let stage = testing::current();
        let mut key = Key {
            process: process::id(),
            // A relative path means another folder after a change of the working directory.
            resources: resources.iter().map(|path| absolute(path)).collect(),
            app_id: app_id.map(str::to_owned),
            namespace: manifest::namespace(),
            fingerprint: None,
            sandbox: stage.as_ref().map(|stage| stage.number()),
            denied: denied.clone(),
        };
        if hot_reload && let Some(lease) = EngineLease::of_existing(&key) {
            lease.engine.look_now().refused.map_or(Ok(()), Err)?;
            return Ok(lease);
        }
        let stamp = Stamp::of(resources);
        let manifest = Manifest::load_with(resources, app_id, testing::references(stage.as_ref()))?;
        key.fingerprint = (!hot_reload).then(|| manifest.fingerprint());
        let make = || {
            let names = Named { resources, app_id, denied };
            let engine = Arc::new(Engine::new(names, manifest, stamp, hot_reload, stage));
            if hot_reload {
                reload::watch(&engine);
            }
            engine
        };
        Ok(EngineLease::of(key, make))
    }
}

/// A client's use of an engine; given back by [`release`](Self::release) or when dropped.
pub(crate) struct EngineLease {
    engine: Arc<Engine>,
    key: Key,
    released: AtomicBool,
}

impl EngineLease {
    fn of_existing(key: &Key) -> Option<Self> {
        ENGINES.lock().get_mut(key).map(|entry| entry.lease(key.clone()))
    }

    fn of(key: Key, make: impl FnOnce() -> Arc<Engine>) -> Self {
        let mut engines = ENGINES.lock();
        let new = || Entry { engine: make(), leases: 0, given: 0 };
        engines.entry(key.clone()).or_insert_with(new).lease(key)
    }

    /// Whether this is a child's copy of what belongs to the parent of a fork.
    pub(crate) fn is_inherited(&self) -> bool {
        self.key.process != process::id()
    }

    /// Ends the lease. The engine of the last one stays open for [`LINGER`].
    pub(crate) fn release(&self) {
        // A child of a fork holds copies of its parent's leases; they are the parent's to end.
        if self.released.swap(true, Ordering::AcqRel) || self.is_inherited() {
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
                    entry.engine.end(Instant::now() + FLUSH).await;
                }
            });
        }
    }
}

impl Entry {
    fn lease(&mut self, key: Key) -> EngineLease {
        self.leases += 1;
        self.given += 1;
        EngineLease { engine: self.engine.clone(), key, released: AtomicBool::new(false) }
    }
}

impl Deref for EngineLease {
    type Target = Arc<Engine>;

    fn deref(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl Drop for EngineLease {
    fn drop(&mut self) {
        self.release();
    }
}
