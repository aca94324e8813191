//! Following the resource files: notice a change, compare component by component, apply what is whole.
//!
//! A document that cannot be used changes nothing: the component that runs stays as it is until the document is
//! mended or removed. Tests are in `tests.rs`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Engine, absolute, allowed};
use crate::error::{Error, Result};
use crate::instances::{Instance, is_same};
use crate::manifest::{Component, Identity, Manifest, Stamp};
use crate::runtime;

/// The pause between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a look at the resource files changed.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Reload {
    /// Components that are new, by name.
    pub added: Vec<String>,
    /// Components whose documents say something else now, by name.
    pub changed: Vec<String>,
    /// Components whose documents are gone, by name.
    pub removed: Vec<String>,
    /// Everything that is wrong with the files as they are now. What a faulty document described before stays as it
    /// was.
    pub faults: Vec<Error>,
}

/// A look, as whoever opens a client wants to know it.
pub(crate) struct Looked {
    pub(crate) reload: Reload,
    /// Why a client could not be opened with the files as they are now.
    pub(crate) refused: Option<Error>,
}

/// What is known of the files.
pub(super) struct Seen {
    /// How they looked right before they were read.
    read: Stamp,
    fingerprint: u64,
    /// How they looked the last time.
    last: Stamp,
    refused: Option<Error>,
    /// Where each component came from.
    files: HashMap<Arc<str>, PathBuf>,
    /// What secret stores read.
    secret_files: Vec<PathBuf>,
}

impl Seen {
    pub(super) fn new(stamp: Stamp, manifest: &Manifest) -> Self {
        let secret_files = manifest.secret_files.clone();
        // They were read after that look; what changed since then is not old yet, and will be read again.
        let stamp = stamp.with(&secret_files);
        Self {
            last: stamp.clone(),
            read: stamp,
            fingerprint: manifest.fingerprint(),
            refused: None,
            files: files_of(manifest),
            secret_files,
        }
    }

    /// Whether files that look like this need not be read again.
    fn is_read(&self, stamp: &Stamp) -> bool {
        stamp.is_same(&self.read) && self.read.is_old
    }
}

/// Looks at the files once a second for as long as the engine is there.
pub(super) fn watch(engine: &Arc<Engine>) {
    let engine = Arc::downgrade(engine);
    let Ok(runtime) = runtime::handle() else { return };
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let live = engine.upgrade().filter(|engine| !engine.ended.load(Ordering::Acquire));
            let Some(engine) = live else { return };
            // Files can be slow, and the runtime keeps everybody's time.
            let look = tokio::task::spawn_blocking(move || engine.look());
            if let Err(error) = look.await {
                tracing::error!(target: "bindwright", "looking at the resources: {error}");
            }
        }
    });
}

impl Engine {
    /// Applies a change when two looks after each other saw the same: a file may be written in steps.
    pub(super) fn look(&self) {
        let mut seen = self.seen.lock();
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let paths = self.paths();
        let stamp = Stamp::of(&paths).with(&seen.secret_files);
        let settled = stamp.is_same(&seen.last);
        seen.last = stamp.clone();
        if settled && !seen.is_read(&stamp) {
            let manifest = Manifest::load_again(&paths, self.app_id.as_deref(), self.references());
            // Written while it was read: the next looks will see it settle.
            if Stamp::of(&paths).with(&seen.secret_files).is_same(&stamp) {
                self.take(&mut seen, stamp, manifest);
            }
        }
    }

    /// Applies what the files say at this moment.
    pub(crate) fn look_now(&self) -> Looked {
        let mut seen = self.seen.lock();
        let paths = self.paths();
        let stamp = Stamp::of(&paths).with(&seen.secret_files);
        let mut reload = Reload::default();
        if !seen.is_read(&stamp) {
            let manifest = Manifest::load_again(&paths, self.app_id.as_deref(), self.references());
            reload = self.take(&mut seen, stamp, manifest);
        }
        reload.faults = self.faults();
        Looked { reload, refused: seen.refused.clone() }
    }

    /// The paths as the caller named them, for as long as they mean the same.
    fn paths(&self) -> Vec<PathBuf> {
        let same = self.resources.iter().zip(&self.absolute).all(|(named, meant)| absolute(named) == *meant);
        if same { self.resources.clone() } else { self.absolute.clone() }
    }

    fn take(&self, seen: &mut Seen, stamp: Stamp, manifest: Result<Manifest>) -> Reload {
        seen.read = stamp;
        let mut reload = match manifest {
            Ok(manifest) if manifest.fingerprint() == seen.fingerprint && seen.refused.is_none() => {
                return Reload::default();
            }
            Ok(manifest) => self.apply(seen, manifest),
            Err(error) => {
                // A folder that is gone may be on its way back; what runs goes on.
                seen.refused = Some(error.clone());
                Reload { faults: vec![error], ..Reload::default() }
            }
        };
        self.note_faults(&reload.faults);
        for names in [&mut reload.added, &mut reload.changed, &mut reload.removed] {
            names.sort_unstable();
        }
        let Reload { added, changed, removed, .. } = &reload;
        if added.len() + changed.len() + removed.len() > 0 {
            tracing::info!(target: "bindwright", ?added, ?changed, ?removed, "resources reloaded");
        }
        reload
    }

    fn note_faults(&self, faults: &[Error]) {
        let known: HashSet<String> = self.faults.load().iter().map(ToString::to_string).collect();
        for fault in faults.iter().filter(|fault| !known.contains(&fault.to_string())) {
            tracing::warn!(target: "bindwright", "{fault}");
        }
        self.faults.store(Arc::new(faults.to_vec()));
    }

    fn apply(&self, seen: &mut Seen, manifest: Manifest) -> Reload {
        seen.fingerprint = manifest.fingerprint();
        seen.secret_files.clone_from(&manifest.secret_files);
        let kept = Kept::of(&manifest);
        seen.refused = manifest.duplicate().cloned();
        let mut files = files_of(&manifest);
        if !manifest.policies_incomplete {
            // A document that cannot be read must not end all retries.
            self.policies.store(Arc::new(manifest.policies.clone()));
        }
        self.stores.store(Arc::new(manifest.stores.clone()));
        let mut reload = Reload { faults: manifest.document_faults().to_vec(), ..Reload::default() };
        let identity = Identity::of_process(self.app_id.as_deref());
        let components: Vec<Component> = allowed(manifest.components, &self.denied).collect();
        let described: HashSet<&str> = components.iter().map(|component| &*component.name).collect();
        for instance in self.instances.all() {
            let name = instance.name();
            if described.contains(&**name) {
                continue;
            }
            let file = seen.files.get(name).cloned().unwrap_or_default();
            if kept.contains(name, &file) {
                files.insert(name.clone(), file);
            } else {
                self.instances.remove(name);
                self.tell_of(name);
                reload.removed.push(name.to_string());
            }
        }
        // Changed ones go before added ones.
        let (changed, added): (Vec<_>, Vec<_>) =
            components.into_iter().partition(|component| self.instances.contains(&component.name));
        for component in changed.into_iter().chain(added) {
            self.apply_one(component, &identity, &mut reload);
        }
        seen.files = files;
        reload
    }

    fn apply_one(&self, component: Component, identity: &Identity, reload: &mut Reload) {
        let new = Arc::new(Instance::new(component, identity, &self.policies.load(), self.stage.as_ref()));
        let name = new.name().clone();
        let Some(old) = self.instances.get(&name) else {
            reload.faults.extend(new.faults());
            reload.added.push(name.to_string());
            self.put(&new);
            return;
        };
        // What stands elsewhere can be had again, or is wanting for another reason.
        let fault = |one: &Instance| one.fault().map(|error| error.message().to_owned());
        let stays_unusable = old.fault().is_none() || fault(&old) == fault(&new);
        if is_same(&old, &new) && stays_unusable {
            reload.faults.extend(new.faults());
            return;
        }
        let is_read = self.followers().iter().any(|follower| follower.reads(&name));
        if old.fault().is_none()
            && let Err(error) = new.prepare(&old, is_read)
        {
            match new.fault() {
                Some(_) => reload.faults.extend(new.faults()),
                None => reload.faults.push(error),
            }
            return;
        }
        reload.faults.extend(new.faults());
        reload.changed.push(name.to_string());
        self.put(&new);
    }

    fn put(&self, instance: &Arc<Instance>) {
        self.instances.insert(instance);
        self.tell_of(instance.name());
    }

    fn tell_of(&self, name: &str) {
        for follower in self.followers() {
            follower.changed(name);
        }
    }
}

/// What stays as it is because its document cannot be read.
struct Kept {
    names: HashSet<Arc<str>>,
    /// Files with a document that does not even tell its name.
    files: HashSet<PathBuf>,
}

impl Kept {
    fn of(manifest: &Manifest) -> Self {
        let mut kept = Self { names: HashSet::new(), files: HashSet::new() };
        for fault in manifest.left_out() {
            if let Some(name) = fault.component_name() {
                kept.names.insert(name.into());
            } else if let Some(place) = fault.place_in_file() {
                kept.files.insert(absolute(Path::new(&*place.file)));
            }
        }
        kept
    }

    fn contains(&self, name: &str, file: &Path) -> bool {
        self.names.contains(name) || self.files.contains(file)
    }
}

fn files_of(manifest: &Manifest) -> HashMap<Arc<str>, PathBuf> {
    let file = |component: &Component| absolute(Path::new(&*component.place.file));
    manifest.components.iter().map(|component| (component.name.clone(), file(component))).collect()
}
