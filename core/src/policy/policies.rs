//! What the `Resiliency` documents say, by name, and which of it concerns a component. Tests are in `tests.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Breaker, BreakerSettings, Counts, Outbound, PolicyUse, Retry};
use crate::error::{Error, ErrorCode, Place, Result};
use crate::settings::nearest;

/// Every policy and target, of all documents together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policies {
    /// The names of the documents, in the order in which they were read.
    pub(crate) documents: Vec<String>,
    pub(crate) timeouts: HashMap<String, Duration>,
    pub(crate) retries: HashMap<String, Retry>,
    pub(crate) breakers: HashMap<String, BreakerSettings>,
    /// By the component's name.
    pub(crate) targets: BTreeMap<String, Target>,
}

/// What the documents want for one component.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `None` where the document does not name the direction: then the defaults count.
    pub(crate) outbound: Option<Names>,
    pub(crate) inbound: Option<Names>,
    /// Where the component is named.
    pub(crate) place: Place,
}

/// The policies that a direction names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) timeout: Option<Name>,
    pub(crate) retry: Option<Name>,
    pub(crate) breaker: Option<Name>,
}

/// The name of a policy where it is used.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// What concerns the events of one component.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// How long one delivery may take.
    pub(crate) timeout: Option<Duration>,
    /// When an event is delivered again.
    pub(crate) retry: Option<Retry>,
    /// What keeps deliveries back while the handler only fails.
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// What it did.
    pub(crate) counts: Arc<Counts>,
}

impl Inbound {
    /// What it did, for those who watch.
    pub(crate) fn told(&self, component: &str) -> PolicyUse {
        let breaker = self.breaker.as_ref().map(|breaker| breaker.told(Instant::now()));
        self.counts.told(component, true, (self.timeout.is_some(), self.retry.is_some()), breaker)
    }
}

/// A way of a component, as it stands in the names of default policies and in messages.
#[derive(Clone, Copy)]
enum Way {
    Outbound,
    Inbound,
}

impl Way {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }

    /// The names of the default policies of a kind, the most special first. Components here are bindings.
    fn defaults(self, kind: &str) -> [String; 4] {
        let way = match self {
            Self::Outbound => "Outbound",
            Self::Inbound => "Inbound",
        };
        [
            format!("DefaultBindingComponent{way}{kind}Policy"),
            format!("DefaultComponent{way}{kind}Policy"),
            format!("DefaultComponent{kind}Policy"),
            format!("Default{kind}Policy"),
        ]
    }
}

impl Policies {
    /// Adds a later document: its policies and targets take the place of earlier ones of the same name.
    pub(crate) fn merge(&mut self, later: Self) {
        self.documents.extend(later.documents);
        self.timeouts.extend(later.timeouts);
        self.retries.extend(later.retries);
        self.breakers.extend(later.breakers);
        self.targets.extend(later.targets);
    }

    /// These, and `others`, which stand for those of the same name.
    pub(crate) fn with(&self, others: Self) -> Self {
        let mut all = self.clone();
        all.merge(others);
        all
    }

    /// What concerns the calls of a component, with a breaker of its own; `None` when nothing does.
    ///
    /// # Errors
    /// `INVALID_MANIFEST` for the name of a policy that is not there, with its place.
    pub(crate) fn outbound(&self, component: &str) -> Result<Option<Outbound>> {
        let resolved = self.resolve(component, Way::Outbound)?;
        let longest_pause = Duration::MAX;
        let counts = Arc::default();
        Ok(resolved.map(|(timeout, retry, breaker)| Outbound {
            timeout,
            retry,
            breaker,
            longest_pause,
            counts,
        }))
    }

    /// What concerns the events of a component, with a breaker of its own; `None` when nothing does.
    ///
    /// # Errors
    /// As [`outbound`](Self::outbound).
    pub(crate) fn inbound(&self, component: &str) -> Result<Option<Inbound>> {
        let resolved = self.resolve(component, Way::Inbound)?;
        let counts = Arc::default();
        Ok(resolved.map(|(timeout, retry, breaker)| Inbound { timeout, retry, breaker, counts }))
    }

    #[expect(clippy::type_complexity, reason = "the three parts of a policy, taken apart at once")]
    fn resolve(
        &self,
        component: &str,
        way: Way,
    ) -> Result<Option<(Option<Duration>, Option<Retry>, Option<Arc<Breaker>>)>> {
        let names = self.targets.get(component).and_then(|target| target.names(way));
        if let Some(error) = names.and_then(|names| self.unknown(component, way, names).into_iter().next()) {
            return Err(error);
        }
        let [timeout, retry, breaker] = self.chosen(component, way).map(|name| name.map(|(name, _)| name));
        // A timeout of 0 is none, as in Dapr.
        let timeout = timeout.and_then(|name| self.timeouts.get(&name)).filter(|timeout| !timeout.is_zero());
        let retry = retry.and_then(|name| self.retries.get(&name));
        let breaker = breaker.and_then(|name| self.breakers.get(&name));
        if timeout.is_none() && retry.is_none() && breaker.is_none() {
            return Ok(None);
        }
        let breaker =
            breaker.map(|settings| Arc::new(Breaker::new(component.into(), way.as_str(), settings.clone())));
        Ok(Some((timeout.copied(), retry.cloned(), breaker)))
    }

    /// The names of the time-out, retry and circuit breaker policies of a direction, with the places where the
    /// component's target names them; defaults have no place.
    fn chosen(&self, component: &str, way: Way) -> [Option<(String, Option<Place>)>; 3] {
        if let Some(names) = self.targets.get(component).and_then(|target| target.names(way)) {
            return [&names.timeout, &names.retry, &names.breaker]
                .map(|name| name.as_ref().map(|name| (name.text.clone(), Some(name.place.clone()))));
        }
        let first = |kind, is_there: &dyn Fn(&str) -> bool| {
            way.defaults(kind).into_iter().find(|name| is_there(name)).map(|name| (name, None))
        };
        [
            first("Timeout", &|name| self.timeouts.contains_key(name)),
            first("Retry", &|name| self.retries.contains_key(name)),
            first("CircuitBreaker", &|name| self.breakers.contains_key(name)),
        ]
    }

    /// What concerns a direction of a component, for people: kind, name, where it is named, what it says.
    pub(crate) fn told(
        &self,
        component: &str,
        sends: bool,
    ) -> Vec<(&'static str, String, Option<Place>, String)> {
        let way = if sends { Way::Outbound } else { Way::Inbound };
        let [timeout, retry, breaker] = self.chosen(component, way);
        let timeout = timeout.and_then(|(name, place)| {
            let text = format!("{:?}", self.timeouts.get(&name)?);
            Some(("timeout", name, place, text))
        });
        let retry = retry.and_then(|(name, place)| {
            let text = self.retries.get(&name)?.told();
            Some(("retry", name, place, text))
        });
        let breaker = breaker.and_then(|(name, place)| {
            let text = self.breakers.get(&name)?.told();
            Some(("circuitBreaker", name, place, text))
        });
        [timeout, retry, breaker].into_iter().flatten().collect()
    }

    /// What is wrong between the documents: names of policies that are not there, and targets that are none of
    /// `components`; in the order of the places.
    pub(crate) fn faults(&self, components: &[&str]) -> Vec<Error> {
        let mut faults = Vec::new();
        for (component, target) in &self.targets {
            for way in [Way::Outbound, Way::Inbound] {
                if let Some(names) = target.names(way) {
                    faults.extend(self.unknown(component, way, names));
                }
            }
            if !components.contains(&component.as_str()) {
                let what = format!("spec.targets.components: no component is called {component:?}");
                let fault = Error::new(ErrorCode::InvalidManifest, or_near(what, component, components));
                faults.push(
                    fault
                        .component(component.as_str())
                        .place(target.place.clone())
                        .advice("Correct or remove the name; the rest of the document counts."),
                );
            }
        }
        faults.sort_by(|first, second| {
            let place = |fault: &Error| {
                fault.place_in_file().map(|place| (place.file.clone(), place.line, place.column))
            };
            place(first).cmp(&place(second))
        });
        faults
    }

    /// The names of one direction for which there is no policy.
    fn unknown(&self, component: &str, way: Way, names: &Names) -> Vec<Error> {
        let mut faults = Vec::new();
        let mut check = |name: &Option<Name>, field: &str, what: &str, known: Vec<&str>| {
            let Some(Name { text, place }) = name.as_ref().filter(|name| !known.contains(&&*name.text))
            else {
                return;
            };
            let field = format!("spec.targets.components.{component}.{}.{field}", way.as_str());
            let message = or_near(format!("{field}: no {what} is called {text:?}"), text, &known);
            let advice = "Name a policy of the list under `spec.policies`, or remove the field.";
            let fault = Error::new(ErrorCode::InvalidManifest, message).component(component);
            faults.push(fault.place(place.clone()).advice(advice));
        };
        check(&names.timeout, "timeout", "timeout policy", sorted(&self.timeouts));
        check(&names.retry, "retry", "retry policy", sorted(&self.retries));
        check(&names.breaker, "circuitBreaker", "circuit breaker policy", sorted(&self.breakers));
        faults
    }
}

impl Target {
    const fn names(&self, way: Way) -> Option<&Names> {
        match way {
            Way::Outbound => self.outbound.as_ref(),
            Way::Inbound => self.inbound.as_ref(),
        }
    }
}

fn sorted<T>(policies: &HashMap<String, T>) -> Vec<&str> {
    let mut names: Vec<&str> = policies.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// The message with the name that a few typing errors made into this one.
pub(crate) fn or_near(message: String, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("{message}; did you mean {near:?}"),
        None => message,
    }
}
