//! Every fault of a folder of documents, found without connecting to anything. Tests are in `tests/check.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::excerpt::{self, Excerpt};
use super::rules::{self, Rule};
use super::settings_check;
use super::types::{self, DescribedType};
use crate::error::{Error, ErrorCode, Place, Result};
use crate::manifest::{Component, Manifest, References};
use crate::registry;

/// How to look.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Whose components these are: what `scopes` are compared with.
    pub app_id: Option<String>,
    /// Warnings count as errors.
    pub strict: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Everything works, and something is not what it seems.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The spelling in JSON and in SARIF.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How bad it is; with [`CheckOptions::strict`] never a warning.
    pub severity: Severity,
    /// Which kind it is.
    pub rule: Rule,
    /// What is wrong, where, and what to do.
    pub error: Error,
    /// The line that it stands in, if its file could be read.
    pub excerpt: Option<Excerpt>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
}

/// A further place of a finding.
#[derive(Debug, Clone)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By place; those without one at the end.
    pub findings: Vec<Finding>,
    /// The components that were looked at, those with faults included.
    pub components: usize,
}

impl Report {
    /// How many findings are so bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Looks at the documents of folders and files.
///
/// # Errors
/// `INVALID_OPTIONS` for a path that cannot be read. What is wrong with documents is in the report.
pub fn check(paths: &[PathBuf], options: &CheckOptions) -> Result<Report> {
    let app_id = options.app_id.as_deref();
    let read = |references| Manifest::load_again(paths, app_id, references);
    let texts = |file: &str| std::fs::read(Path::new(file)).ok();
    Ok(Checking::new(&read(References::Resolved)?, &read(References::LeftOut)?, &texts)
        .report(options.strict))
}

/// Looks at one text; `file` is what places show.
///
/// # Errors
/// None at present: what is wrong with the text is in the report.
pub fn check_text(text: &[u8], file: &str, options: &CheckOptions) -> Result<Report> {
    let read = |references| Manifest::parse_again(text, file, options.app_id.as_deref(), references);
    let texts = |_: &str| Some(text.to_vec());
    Ok(Checking::new(&read(References::Resolved)?, &read(References::LeftOut)?, &texts)
        .report(options.strict))
}

/// What was read, and what was found so far.
pub(super) struct Checking<'a> {
    manifest: &'a Manifest,
    /// The same documents, with values that stand elsewhere left out: those that cannot be had keep nothing else from
    /// being looked at.
    incomplete: &'a Manifest,
    texts: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    findings: Vec<Finding>,
}

impl<'a> Checking<'a> {
    fn new(
        manifest: &'a Manifest,
        incomplete: &'a Manifest,
        texts: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        Self { manifest, incomplete, texts, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, severity: Severity, rule: Rule, error: Error) {
        self.findings.push(Finding { severity, rule, error, excerpt: None, related: Vec::new() });
    }

    fn add_judged(&mut self, (rule, is_bad): (Rule, bool), fault: &Error) {
        let severity = if is_bad { Severity::Error } else { Severity::Warning };
        self.add(severity, rule, fault.clone());
    }

    fn report(mut self, strict: bool) -> Report {
        let (manifest, incomplete) = (self.manifest, self.incomplete);
        let left_out = manifest.left_out();
        for fault in left_out {
            self.add_judged(rules::of_document(fault), fault);
        }
        for fault in &manifest.faults[left_out.len()..] {
            // Behind the policies' faults stand those of secret stores and references.
            let judge = if fault.code() == ErrorCode::InvalidManifest {
                rules::of_policy
            } else {
                rules::of_document
            };
            self.add_judged(judge(fault), fault);
        }
        for component in &manifest.components {
            settings_check::component(&mut self, component, component.unresolved.is_empty());
        }
        for component in &incomplete.components {
            if manifest.component(&component.name).is_none() {
                settings_check::component(&mut self, component, false);
            }
            self.dead_letters(component);
        }
        for (name, place) in &manifest.passed_over {
            self.out_of_scope(name, place);
        }
        let faulty: HashSet<&str> = left_out.iter().filter_map(Error::component_name).collect();
        let whole = manifest.components.iter().map(|component| &*component.name);
        let components = whole.chain(faulty).collect::<HashSet<&str>>().len();
        if components == 0 && left_out.is_empty() && manifest.passed_over.is_empty() {
            let error = Error::new(ErrorCode::ComponentNotFound, "there is no component document");
            let advice = "Name a folder that has files ending in .yaml or .yml, or one such file.";
            self.add(Severity::Warning, rules::NOTHING_FOUND, error.advice(advice));
        }
        self.finish(strict, components)
    }

    fn out_of_scope(&mut self, name: &str, place: &Place) {
        let message = "not looked at: its `scopes` or its namespace leave this app out";
        let advice = "Name an app id that its `scopes` list (--app-id) to have it looked at.";
        let error = Error::new(ErrorCode::ComponentNotFound, message).component(name).place(place.clone());
        self.add(Severity::Note, rules::OUT_OF_SCOPE, error.advice(advice));
    }

    /// Where a component's dead letters go.
    fn dead_letters(&mut self, component: &Component) {
        let property =
            |name: &str| component.properties.iter().find(|one| one.name.eq_ignore_ascii_case(name));
        let Some(property) = property("deadLetterBinding").filter(|one| !one.value.is_empty()) else {
            return;
        };
        let name = &property.value;
        let fault = |message: String| {
            Error::new(ErrorCode::InvalidSettings, message)
                .component(component.name.clone())
                .place(property.value_place.clone())
        };
        let Some(target) = self.incomplete.component(name) else {
            let mut known: Vec<&str> = self.incomplete.components.iter().map(|one| &*one.name).collect();
            known.extend(self.incomplete.left_out().iter().filter_map(Error::component_name));
            if known.contains(&name.as_str()) {
                return;
            }
            let message = format!("deadLetterBinding: no component is called {name:?}");
            let error = fault(crate::policy::or_near(message, name, &known));
            return self.add(Severity::Error, rules::UNKNOWN_BINDING, error);
        };
        let Ok(target_type) = registry::find(target) else { return };
        if !target_type.can_send() || !target.direction.output {
            let error = fault(format!("deadLetterBinding: {name:?} does not send"));
            let advice = "Name a component that sends, or change the `direction` of that one.";
            self.add(Severity::Error, rules::UNKNOWN_BINDING, error.advice(advice));
            return self.relate(format!("{name:?} is here"), target.place.clone());
        }
        let operation = component
            .properties
            .iter()
            .find(|one| one.name.eq_ignore_ascii_case("deadLetterOperation"))
            .filter(|one| !one.value.is_empty());
        let (asked, place) = operation.map_or(("create", &property.value_place), |operation| {
            (&operation.value, &operation.value_place)
        });
        if let Some(known) = target_type.known_operations().filter(|known| !known.contains(&asked)) {
            let message = format!("deadLetterOperation: {name:?} knows {}, not {asked:?}", known.join(", "));
            let error = fault(message).place(place.clone());
            self.add(Severity::Error, rules::UNKNOWN_BINDING, error);
            self.relate(format!("{name:?} is here"), target.place.clone());
        }
    }

    fn relate(&mut self, message: String, place: Place) {
        if let Some(finding) = self.findings.last_mut() {
            finding.related.push(Related { message, place });
        }
    }

    fn finish(self, strict: bool, components: usize) -> Report {
        let Self { mut findings, texts, .. } = self;
        let open = open_names();
        let is_open = |name: &str| open.get(&name.to_lowercase()).copied().unwrap_or_default();
        let mut files: BTreeMap<Arc<str>, Option<String>> = BTreeMap::new();
        for finding in &mut findings {
            if strict && finding.severity == Severity::Warning {
                finding.severity = Severity::Error;
            }
            let Some(place) = finding.error.place_in_file() else { continue };
            let text = files.entry(place.file.clone()).or_insert_with(|| {
                texts(&place.file).map(|text| String::from_utf8_lossy(&text).into_owned())
            });
            finding.excerpt = text.as_deref().and_then(|text| excerpt::of(text, place, &is_open));
        }
        let key = |finding: &Finding| {
            let place = finding.error.place_in_file();
            (
                place.is_none(),
                place.map(|place| (place.file.clone(), place.line, place.column)),
                finding.severity,
            )
        };
        findings.sort_by_key(key);
        findings.dedup_by(|second, first| second.error.to_string() == first.error.to_string());
        Report { findings, components }
    }
}

/// Whether the values of settings of a name, in lower case, may be shown: no type has a secret of this name.
fn open_names() -> HashMap<String, bool> {
    let mut names = HashMap::new();
    for setting in types::all().iter().flat_map(DescribedType::all_settings) {
        for name in setting.names() {
            *names.entry(name.to_lowercase()).or_insert(true) &= !setting.is_secret;
        }
    }
    names
}
