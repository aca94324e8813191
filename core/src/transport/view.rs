//! What one client sees: the components it added itself, before those of the shared engine.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::ComponentInfo;
use crate::binding::{InputBinding, OutputBinding};
use crate::dispatch::{HandOut, Outputs, ReadFrom, Rules, Subscription, WeakSubscription};
use crate::engine::{Engine, EngineLease, Follower};
use crate::error::{Error, ErrorCode, Result};
use crate::instances::{Instance, Instances, Readiness};
use crate::manifest::{Identity, Manifest};
use crate::policy::PolicyReport;

/// The pause between two looks of somebody who waits for components to be ready.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What places show for documents that came from the program.
const TEXT: &str = "<text>";

/// A client's components, and what reads from them.
pub(crate) struct View {
    engine: EngineLease,
    app_id: Option<String>,
    /// Added by this client.
    own: Instances,
    /// Of the engine, and removed by this client.
    hidden: ArcSwap<BTreeSet<Arc<str>>>,
    /// There is something in one of the two: spares all other clients the look.
    differs: AtomicBool,
    /// Held while components are added or removed.
    changing: Mutex<()>,
    /// Held while subscriptions are told where to read, so that the last one told has looked last.
    following: Mutex<()>,
    subscriptions: Mutex<HashMap<Arc<str>, Vec<WeakSubscription>>>,
}

impl View {
    pub(crate) fn open(
        resources: &[PathBuf],
        app_id: Option<&str>,
        hot_reload: bool,
        denied: Vec<String>,
    ) -> Result<Arc<Self>> {
        let view = Arc::new(Self {
            engine: Engine::lease(resources, app_id, hot_reload, denied)?,
            app_id: app_id.map(str::to_owned),
            own: Instances::default(),
            hidden: ArcSwap::default(),
            differs: AtomicBool::new(false),
            changing: Mutex::default(),
            following: Mutex::default(),
            subscriptions: Mutex::default(),
        });
        let follower: Weak<Self> = Arc::downgrade(&view);
        view.engine.tell(follower);
        Ok(view)
    }

    pub(crate) fn engine(&self) -> &EngineLease {
        &self.engine
    }

    pub(crate) fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        let own = if self.differs.load(Ordering::Acquire) { self.own.output(name) } else { None };
        let found = own.or_else(|| (!self.hides(name)).then(|| self.engine.instances.output(name))?);
        found.unwrap_or_else(|| Err(self.not_found(name)))
    }

    /// Whether this client removed a component of the engine.
    fn hides(&self, name: &str) -> bool {
        self.differs.load(Ordering::Acquire) && self.hidden.load().contains(name)
    }

    fn find(&self, name: &str) -> Option<Arc<Instance>> {
        let shared = || if self.hides(name) { None } else { self.engine.instances.get(name) };
        self.own.get(name).or_else(shared)
    }

    /// Everything this client can use, by name.
    fn instances(&self) -> Vec<Arc<Instance>> {
        let mut all = self.own.all();
        let is_seen = |one: &Arc<Instance>| !self.own.contains(one.name()) && !self.hides(one.name());
        all.extend(self.engine.instances.all().into_iter().filter(is_seen));
        all.sort_unstable_by(|first, second| first.name().cmp(second.name()));
        all
    }

    /// What the policies of all components did.
    pub(crate) fn policies(&self) -> PolicyReport {
        let uses = self.instances().iter().flat_map(|one| one.policy_uses()).collect();
        PolicyReport { documents: self.engine.policies.load().documents.clone(), uses }
    }

    fn not_found(&self, name: &str) -> Error {
        let names: Vec<String> = self.instances().iter().map(|one| one.name().to_string()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let mut message = format!("no component has this name; components: {known}");
        let faults = self.engine.faults();
        if let Some(fault) = faults.first() {
            let count = faults.len();
            message = format!("{message}; {count} fault(s) in the resources, the first: {fault}");
        }
        Error::new(ErrorCode::ComponentNotFound, message).component(name)
    }

    pub(crate) async fn subscribe(self: &Arc<Self>, name: &str, hand_out: HandOut) -> Result<Subscription> {
        let instance = self.find(name).ok_or_else(|| self.not_found(name))?;
        let name = instance.name().clone();
        let (input, rules) = self.open_input(&instance)?;
        let attached = Subscription::attach(name.clone(), input, hand_out, rules, self.clone()).await;
        let subscription = attached.map_err(|error| error.component(name.clone()))?;
        {
            let mut subscriptions = self.subscriptions.lock();
            let of_name = subscriptions.entry(name.clone()).or_default();
            of_name.retain(|subscription| subscription.live().is_some());
            of_name.push(subscription.downgrade());
        }
        // What changed before it was listed told nobody.
        if self.find(&name).is_none_or(|now| !Arc::ptr_eq(&now, &instance)) {
            self.follow(&name);
        }
        Ok(subscription)
    }

    /// An input of a component, and its rules, of which the one about dead letters concerns another component.
    fn open_input(&self, instance: &Instance) -> Result<(Arc<dyn InputBinding>, Rules)> {
        let (input, rules) = instance.open_input()?;
        if let Some(target) = &rules.dead_letters {
            let found = match self.find(&target.binding) {
                Some(found) if found.name() == instance.name() => Err(Error::new(
                    ErrorCode::InvalidSettings,
                    "it names the component itself, which would receive its own dead letters",
                )),
                Some(found) => found.check_can_send(),
                None => Err(self.not_found(&target.binding)),
            };
            if let Err(error) = found {
                let message = format!("deadLetterBinding: {:?}: {}", target.binding, error.message());
                return Err(instance.setting_error("deadLetterBinding", message));
            }
        }
        Ok((input, rules))
    }

    fn live(&self, name: &str) -> Vec<Subscription> {
        if self.engine.is_inherited() {
            return Vec::new();
        }
        let subscriptions = self.subscriptions.lock();
        subscriptions
            .get(name)
            .map(|all| all.iter().filter_map(WeakSubscription::live).collect())
            .unwrap_or_default()
    }

    /// Lets what reads from this name read from whatever has the name now.
    fn follow(&self, name: &str) {
        let _following = self.following.lock();
        let instance = self.find(name);
        for subscription in self.live(name) {
            match instance.as_ref().map(|instance| self.open_input(instance)) {
                None => subscription.follow(ReadFrom::Removed),
                Some(Ok((input, rules))) => subscription.follow(ReadFrom::Input(input, rules)),
                Some(Err(error)) => subscription.follow(ReadFrom::Refused(error)),
            }
        }
    }

    pub(crate) fn components(&self) -> Vec<ComponentInfo> {
        self.instances().iter().map(|instance| instance.info(&self.live(instance.name()))).collect()
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        let mut faults = self.engine.faults();
        faults.extend(self.own.all().iter().flat_map(|instance| instance.faults().collect::<Vec<_>>()));
        faults
    }

    /// Adds the components of a text, all or none of them; gives their names.
    pub(crate) fn add(&self, text: &str) -> Result<Vec<String>> {
        let _changing = self.changing.lock();
        let references = self.engine.references();
        let (app_id, stores) = (self.app_id.as_deref(), self.engine.stores.load());
        let manifest = Manifest::parse_with(text.as_bytes(), TEXT, app_id, references, &stores)?;
        if let Some(fault) = manifest.faults.into_iter().next() {
            return Err(fault);
        }
        // The text may bring secret stores, which serve its own documents only.
        let components: Vec<_> = manifest.components.into_iter().filter(|one| !one.is_store()).collect();
        if components.is_empty() {
            return Err(Error::new(ErrorCode::InvalidManifest, "the text has no component for this app")
                .advice("Give documents of kind Component whose scopes and namespace include this app."));
        }
        // The text may bring policies of its own.
        let policies = self.engine.policies.load().with(manifest.policies);
        let identity = Identity::of_process(self.app_id.as_deref());
        let mut added = Vec::with_capacity(components.len());
        for component in components {
            if self.own.contains(&component.name) {
                let message = "this client has added a component of this name before";
                return Err(Error::new(ErrorCode::InvalidManifest, message)
                    .component(component.name)
                    .place(component.place)
                    .advice("Remove it first, or use another name."));
            }
            let instance = Instance::new(component, &identity, &policies, self.engine.stage.as_ref());
            if let Some(fault) = instance.fault() {
                return Err(fault.clone());
            }
            added.push(Arc::new(instance));
        }
        self.differs.store(true, Ordering::Release);
        for instance in &added {
            for warning in instance.faults() {
                tracing::warn!(target: "bindwright", "{warning}");
            }
            self.own.insert(instance);
            self.follow(instance.name());
        }
        Ok(added.iter().map(|instance| instance.name().to_string()).collect())
    }

    /// Removes a component that this client added, or hides one of the engine from it.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let _changing = self.changing.lock();
        let instance = self.find(name).ok_or_else(|| self.not_found(name))?;
        if !self.own.remove(name) {
            self.differs.store(true, Ordering::Release);
            self.hidden.rcu(|hidden| {
                let mut hidden = BTreeSet::clone(hidden);
                hidden.insert(instance.name().clone());
                hidden
            });
        }
        self.follow(name);
        Ok(())
    }

    /// Opens every output and waits until everything that was opened is ready.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<()> {
        loop {
            let mut waiting = Vec::new();
            for instance in self.instances() {
                match instance.readiness(&self.live(instance.name())) {
                    Readiness::Ready => {}
                    Readiness::Waiting(error) => waiting.push((instance.name().clone(), error)),
                    Readiness::Failed(error) => return Err(error),
                }
            }
            if let Some(fault) = self.left_out() {
                return Err(fault);
            }
            if waiting.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(unready(&waiting));
            }
            tokio::time::sleep(LOOK_AGAIN.min(deadline - now)).await;
        }
    }

    /// The fault of a document so wrong that there is no component of its name.
    fn left_out(&self) -> Option<Error> {
        // A secret store that cannot be used concerns those that refer to it, and they know.
        let stores = self.engine.stores.load();
        let is_missing =
            |name: &str| !self.hides(name) && self.find(name).is_none() && !stores.contains(name);
        self.engine.faults().into_iter().find(|fault| fault.component_name().is_some_and(is_missing))
    }

    /// Closes what this client added; outputs that nobody uses are flushed by `deadline`.
    pub(crate) async fn close(&self, deadline: Instant) {
        self.own.close_all(deadline).await;
        self.engine.release();
    }
}

impl Outputs for View {
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>> {
        Self::output(self, name)
    }
}

impl Follower for View {
    fn changed(&self, name: &str) {
        if !self.own.contains(name) && !self.hides(name) {
            self.follow(name);
        }
    }

    fn reads(&self, name: &str) -> bool {
        !self.own.contains(name) && !self.hides(name) && !self.live(name).is_empty()
    }
}

fn unready(waiting: &[(Arc<str>, Option<Error>)]) -> Error {
    let names: Vec<&str> = waiting.iter().map(|(name, _)| &**name).collect();
    let cause = waiting.iter().find_map(|(_, error)| error.as_ref());
    let code = if cause.is_some() { ErrorCode::Unavailable } else { ErrorCode::Timeout };
    let message = format!("not ready in time: {}", names.join(", "));
    let error = Error::new(code, message)
        .advice("Check that the backends run and that their addresses are right, or allow more time.");
    match cause {
        Some(cause) => error.backend(cause.to_string()),
        None => error,
    }
}
