//! One component: its document, its type, and its output once somebody used it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Opened;
use crate::binding::{InputBinding, OutputBinding};
use crate::dispatch::{Rules, Subscription};
use crate::error::{Error, ErrorCode, Result};
use crate::health::{Health, State};
use crate::manifest::{Component, Identity, fill};
use crate::policy::{Inbound, Ledger, Outbound, Policies, PolicyUse};
use crate::process;
use crate::registry::{self, ComponentType};
use crate::settings::RuntimeSettings;
use crate::testing::Stage;
use crate::transport::{ComponentInfo, Guarded};

/// Numbers instances through the whole process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The most warnings about one component.
const MAX_WARNINGS: usize = 100;

/// A component that calls and subscriptions can use, or the reason why they cannot.
pub(crate) struct Instance {
    /// As the document has it.
    component: Arc<Component>,
    /// With names filled in, for each direction its own: all readers of an input share a `{uuid}`.
    sends: Arc<Component>,
    receives: Arc<Component>,
    component_type: Result<ComponentType>,
    /// What the policies want for its calls and its events.
    outbound: Result<Option<Outbound>>,
    inbound: Result<Option<Inbound>>,
    /// Both as they were at the beginning, to be compared.
    policies: String,
    /// Settings that look wrong and do no harm.
    warnings: Vec<Error>,
    output: Mutex<Output>,
    /// No pause before another attempt or delivery is longer; shortens those of a test.
    longest_pause: Duration,
    process: u32,
    number: u64,
    /// How its events are delivered again. Its document does not change, and whoever watches asks often.
    redelivery: OnceLock<Ledger>,
}

#[derive(Default)]
struct Output {
    opened: Option<Arc<Guarded>>,
    /// Why it could not be opened the last time.
    refused: Option<Error>,
    /// Another instance has taken its place: nothing is opened any more.
    retired: bool,
}

/// What somebody who waits for components to be ready finds.
pub(crate) enum Readiness {
    Ready,
    /// The component was opened; this is the last error of its connection.
    Waiting(Option<Error>),
    Failed(Error),
}

/// Whether a document says the same as the one that an instance was made of. Where it stands in its file, labels
/// and the like do not count.
pub(crate) fn is_same(old: &Instance, new: &Instance) -> bool {
    if old.policies != new.policies {
        return false;
    }
    let (old, new) = (&*old.component, &*new.component);
    let properties = |component: &Component| -> Vec<(String, String)> {
        component.properties.iter().map(|one| (one.name.clone(), one.value.clone())).collect()
    };
    old.component_type == new.component_type
        && old.version == new.version
        && old.ignore_errors == new.ignore_errors
        && old.init_timeout == new.init_timeout
        && old.scopes == new.scopes
        && properties(old) == properties(new)
}

/// The component as its two directions see it, if that is something else than the document says.
fn filled(component: &Component, identity: &Identity) -> Result<Option<(Arc<Component>, Arc<Component>)>> {
    match fill(component, identity)? {
        Cow::Borrowed(_) => Ok(None),
        Cow::Owned(sends) => {
            let receives = fill(component, identity)?.into_owned();
            Ok(Some((Arc::new(sends), Arc::new(receives))))
        }
    }
}

impl Instance {
    /// Checks type and settings, connects to nothing. With a stage a fake takes the place of the real component.
    pub(crate) fn new(
        component: Component,
        identity: &Identity,
        policies: &Policies,
        stage: Option<&Arc<Stage>>,
    ) -> Self {
        let mut warnings = Vec::new();
        let component = Arc::new(component);
        // Nobody needs the names of a fake's pod and app.
        let filled = if stage.is_some() { Ok(None) } else { filled(&component, identity) };
        let found = stage.map_or_else(|| registry::find(&component), |stage| Ok(stage.stand_in(&component)));
        let (filled, found) = match (filled, component.unresolved.first()) {
            (Ok(filled), None) => (filled, found),
            (Ok(_), Some(error)) => (None, found.and(Err(error.clone()))),
            (Err(error), _) => (None, found.and(Err(error))),
        };
        let (sends, receives) = filled.unwrap_or_else(|| (component.clone(), component.clone()));
        let component_type = found.and_then(|component_type| {
            let named = |error: Error| component.conceal(error).component(component.name.clone());
            let checked = component_type.check_settings(&sends).map_err(named)?;
            warnings = checked.into_iter().take(MAX_WARNINGS).map(named).collect();
            Ok(component_type)
        });
        let longest_pause = stage.map_or(Duration::MAX, |stage| stage.longest_pause());
        let (mut outbound, inbound) = (policies.outbound(&component.name), policies.inbound(&component.name));
        if let Ok(Some(outbound)) = &mut outbound {
            outbound.longest_pause = longest_pause;
        }
        let policies = format!("{outbound:?} {inbound:?}");
        let (output, process) = (Mutex::default(), process::id());
        Self {
            component,
            sends,
            receives,
            component_type,
            outbound,
            inbound,
            policies,
            warnings,
            output,
            longest_pause,
            process,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            redelivery: OnceLock::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.component.name
    }

    /// Why its document cannot be used.
    pub(crate) fn fault(&self) -> Option<&Error> {
        self.component_type.as_ref().err()
    }

    /// What is wrong with its document, be it harmless.
    pub(crate) fn faults(&self) -> impl Iterator<Item = Error> {
        // The first of these is the fault.
        let unresolved = self.component.unresolved.iter().skip(1);
        self.warnings.iter().chain(self.fault()).chain(unresolved).cloned()
    }

    /// The output, opened if need be; `None` when another instance has taken this one's place.
    pub(super) fn output(&self) -> Result<Option<Arc<dyn OutputBinding>>> {
        let mut output = self.output.lock();
        if let Some(opened) = &output.opened {
            return Ok(Some(opened.clone()));
        }
        if output.retired {
            return Ok(None);
        }
        match self.open_output() {
            Ok(opened) => {
                output.refused = None;
                Ok(Some(output.opened.insert(opened).clone()))
            }
            Err(error) => {
                output.refused = self.must_send().then(|| error.clone());
                Err(error)
            }
        }
    }

    fn open_output(&self) -> Result<Arc<Guarded>> {
        let component_type = self.component_type.clone()?;
        let policy = self.outbound.clone()?;
        let name = self.name().clone();
        let named = |error| self.component.conceal(error).component(name.clone());
        let binding = component_type.open_output(&self.sends).map_err(named)?;
        Ok(Arc::new(Guarded { name, binding: Opened::new(binding), policy }))
    }

    /// An input, and the rules for its events. Every call opens one of its own: its readers share the work. The breaker
    /// is one for all of them.
    pub(crate) fn open_input(&self) -> Result<(Arc<dyn InputBinding>, Rules)> {
        let policy = self.inbound.clone()?;
        let opened = self.component_type.clone()?.open_input(&self.receives).and_then(|input| {
            let rules = Rules::new(&RuntimeSettings::of(&self.receives)?, input.redelivery(), policy);
            Ok((input, Rules { longest_pause: self.longest_pause, ..rules }))
        });
        opened.map_err(|error| self.component.conceal(error).component(self.name().clone()))
    }

    /// An error of a setting, with its place.
    pub(crate) fn setting_error(&self, setting: &str, message: String) -> Error {
        let property = self.component.properties.iter().find(|one| one.name.eq_ignore_ascii_case(setting));
        let place = property.map_or(&self.component.place, |property| &property.value_place);
        let error = Error::new(ErrorCode::InvalidSettings, message).component(self.name().clone());
        self.component.conceal(error.place(place.clone()))
    }

    /// Whether calls can be sent to it, as far as its document tells.
    pub(crate) fn check_can_send(&self) -> Result<()> {
        if let Some(error) = self.fault() {
            return Err(error.clone());
        }
        if self.can_send() {
            return Ok(());
        }
        Err(Error::new(ErrorCode::UnsupportedDirection, "the component does not send"))
    }

    /// Opens what is in use of `old`, so that a document that cannot do as much is found out before it takes over.
    pub(crate) fn prepare(&self, old: &Self, is_read: bool) -> Result<()> {
        if let Some(error) = self.fault() {
            return Err(error.clone());
        }
        if is_read {
            self.open_input()?;
        }
        let sends = old.output.lock().opened.is_some();
        if sends { self.output().map(drop) } else { Ok(()) }
    }

    /// Gives up the output; from now on another instance is asked.
    pub(super) fn retire(&self) -> Option<Arc<Guarded>> {
        let mut output = self.output.lock();
        output.retired = true;
        output.opened.take()
    }

    fn can(&self, able: fn(&ComponentType) -> bool) -> bool {
        self.component_type.as_ref().is_ok_and(able)
    }

    fn can_send(&self) -> bool {
        self.component.direction.output && self.can(ComponentType::can_send)
    }

    fn can_receive(&self) -> bool {
        self.component.direction.input && self.can(ComponentType::can_receive)
    }

    /// Whether sending is what the component is for. Many documents of receivers name no `direction` and lack the
    /// settings of a sender; nothing is wrong with those.
    fn must_send(&self) -> bool {
        self.can_send() && (!self.can_receive() || self.component.direction.explicit_input)
    }

    /// How it is, with the subscriptions that read from it.
    pub(crate) fn health(&self, subscriptions: &[Subscription]) -> Health {
        if self.process != process::id() {
            return failed(Error::new(ErrorCode::Forked, "the component belongs to the parent process"));
        }
        if let Some(error) = self.fault() {
            return failed(error.clone());
        }
        let sending = {
            let output = self.output.lock();
            match (&output.opened, &output.refused) {
                (Some(opened), _) => self.judge(opened.binding.health(), Some(opened.binding.since)),
                (None, Some(error)) => failed(error.clone()),
                (None, None) => Health::of(State::Idle),
            }
        };
        subscriptions.iter().fold(sending, |health, subscription| {
            health.or_worse(self.judge(subscription.health(), subscription.reading_since()))
        })
    }

    /// A connection that is not there after `initTimeout` has failed, though it is still tried.
    fn judge(&self, health: Health, since: Option<Instant>) -> Health {
        let timeout = self.component.init_timeout;
        let is_late = since.is_some_and(|since| since.elapsed() >= timeout);
        if health.state != State::Connecting || !is_late {
            return health;
        }
        failed(health.error.unwrap_or_else(|| self.unanswered(timeout)))
    }

    fn unanswered(&self, timeout: Duration) -> Error {
        let message = format!("the backend did not answer within {timeout:?} (initTimeout)");
        Error::new(ErrorCode::Unavailable, message).component(self.name().clone())
    }

    /// Opens the output of a component that can send, and says how far it is.
    pub(crate) fn readiness(&self, subscriptions: &[Subscription]) -> Readiness {
        let opened = if self.can_send() { self.output().map(drop) } else { Ok(()) };
        let unfit =
            opened.err().filter(|error| self.must_send() || error.code() != ErrorCode::InvalidSettings);
        let health = match unfit {
            Some(error) => failed(error),
            None => self.health(subscriptions),
        };
        match health.state {
            State::Idle | State::Ready => Readiness::Ready,
            State::Failed if self.component.ignore_errors => Readiness::Ready,
            State::Failed => Readiness::Failed(
                health.error.unwrap_or_else(|| self.unanswered(self.component.init_timeout)),
            ),
            State::Connecting | State::Degraded => Readiness::Waiting(health.error),
        }
    }

    /// What the policies for its calls and its events did.
    pub(crate) fn policy_uses(&self) -> Vec<PolicyUse> {
        let outbound = self.outbound.as_ref().ok().and_then(Option::as_ref).filter(|_| self.can_send());
        let inbound = self.inbound.as_ref().ok().and_then(Option::as_ref).filter(|_| self.can_receive());
        let outbound = outbound.map(|policy| policy.told(self.name()));
        outbound.into_iter().chain(inbound.map(|policy| policy.told(self.name()))).collect()
    }

    fn redelivery(&self) -> Option<Ledger> {
        if let Some(known) = self.redelivery.get() {
            return Some(*known);
        }
        let ledger = self.open_input().ok()?.1.ledger();
        Some(*self.redelivery.get_or_init(|| ledger))
    }

    pub(crate) fn info(&self, subscriptions: &[Subscription]) -> ComponentInfo {
        let health = self.health(subscriptions);
        ComponentInfo {
            name: self.name().to_string(),
            component_type: self.component.component_type.clone(),
            version: self.component.version.clone(),
            input: self.can_receive(),
            output: self.can_send(),
            explicit_input: self.component.direction.explicit_input,
            route: self.receives.route.clone(),
            ignore_errors: self.component.ignore_errors,
            redelivery: self.redelivery(),
            retries: self
                .outbound
                .as_ref()
                .ok()
                .filter(|_| self.can_send())
                .map(|outbound| outbound.as_ref().map_or(Ledger::ONCE, Outbound::ledger)),
            number: self.number,
            state: health.state,
            error: health.error,
        }
    }
}

fn failed(error: Error) -> Health {
    Health { state: State::Failed, error: Some(error) }
}
