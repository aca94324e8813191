//! What an examination finds, step by step.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All well.
    Ok,
    /// Not looked at, and why is in [`Step::note`].
    Skipped,
    /// It works, and something should be looked at.
    Warning,
    /// It does not work.
    Fault,
}

impl Verdict {
    /// `ok`, `skipped`, `warning` or `fault`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One step of an examination.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step {
    /// The component; `None` for what concerns the files.
    pub component: Option<Arc<str>>,
    /// What was looked at, such as `connect` or `topic`.
    pub step: &'static str,
    /// Which one, such as an address or the name of a topic; empty where there is only one.
    pub subject: String,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// What was seen: names and values for people.
    pub facts: Vec<(&'static str, String)>,
    /// What does not work; each says what to do next.
    pub faults: Vec<Error>,
    /// What should be looked at; each says what to do next.
    pub warnings: Vec<Error>,
    /// Why the step was skipped, or what else is to be said.
    pub note: Option<String>,
}

/// What a step has to say while it is under way.
#[derive(Default)]
pub(crate) struct Notes {
    facts: Vec<(&'static str, String)>,
    faults: Vec<Error>,
    warnings: Vec<Error>,
    note: Option<String>,
    skipped: bool,
}

impl Notes {
    pub(crate) fn fact(&mut self, name: &'static str, value: impl Display) {
        self.facts.push((name, format!("{value}")));
    }

    pub(crate) fn warn(&mut self, error: Error) {
        self.warnings.push(error);
    }

    pub(crate) fn fault(&mut self, error: Error) {
        self.faults.push(error);
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.note = Some(text.into());
    }

    /// The step cannot be taken here, which is nobody's fault.
    pub(crate) fn skip(&mut self, why: impl Into<String>) {
        self.note(why);
        self.skipped = true;
    }
}

/// The examination of one component, while it is under way.
pub(crate) struct Examination<'a> {
    pub(super) component: Option<Arc<str>>,
    pub(super) patience: Duration,
    /// Hears of every step; `false` ends the examination.
    pub(super) tell: &'a mut dyn FnMut(Step) -> bool,
    pub(super) ended: bool,
}

impl Examination<'_> {
    /// Takes a step, which should end at the moment that it is given. An error of it is a fault.
    pub(crate) fn step<T>(
        &mut self,
        step: &'static str,
        subject: &str,
        look: impl FnOnce(Instant, &mut Notes) -> Result<T>,
    ) -> Option<T> {
        if self.ended {
            return None;
        }
        let began = Instant::now();
        let mut notes = Notes::default();
        let found = look(began + self.patience, &mut notes).map_err(|error| notes.fault(error)).ok();
        let verdict = match &notes {
            Notes { faults, .. } if !faults.is_empty() => Verdict::Fault,
            Notes { warnings, .. } if !warnings.is_empty() => Verdict::Warning,
            Notes { skipped: true, .. } => Verdict::Skipped,
            _ => Verdict::Ok,
        };
        let named = |errors: Vec<Error>| match &self.component {
            Some(name) => errors.into_iter().map(|error| error.component(name.clone())).collect(),
            None => errors,
        };
        let (faults, warnings) = (named(notes.faults), named(notes.warnings));
        self.ended = !(self.tell)(Step {
            component: self.component.clone(),
            step,
            subject: subject.to_owned(),
            verdict,
            took: began.elapsed(),
            facts: notes.facts,
            faults,
            warnings,
            note: notes.note,
        });
        found
    }

    /// Leaves a step out.
    pub(crate) fn skip(&mut self, step: &'static str, why: &str) {
        self.step(step, "", |_, notes| {
            notes.skip(why);
            Ok(())
        });
    }
}
