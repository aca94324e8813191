//! `Configuration` documents, as `--config` names them: what of it a server for bindings can honour.
//!
//! The format is Dapr's. A file is read when the command line is; variables of the environment in it are replaced
//! first. Of several files a later one counts, field by field; lists are replaced as a whole. What is wrong is an error
//! with its place, what is not honoured a warning. `expand.rs` replaces variables, `api.rs` has the rules about parts of
//! the API. Tests are in `tests.rs`.

mod api;
mod expand;
#[cfg(test)]
mod tests;

use std::path::Path;

use bindwright::{Result, Yaml};

use api::Rule;
pub(crate) use api::{Part, Protocol};

/// One new trace in ten thousand, where nobody says otherwise.
const USUAL_RATE: f64 = 0.0001;
/// The sections that Dapr has for what is not here.
const ELSEWHERE: [&str; 11] = [
    "accessControl",
    "appHttpPipeline",
    "httpPipeline",
    "mtls",
    "nameResolution",
    "scheduler",
    "secrets",
    "state",
    "wasm",
    "workflow",
    "workflowState",
];

/// What a file says; `None` and nothing for what it does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    sampling_rate: Option<f64>,
    /// `spec.metric`, and `spec.metrics`, which wins field by field.
    metric: Metric,
    metrics: Metric,
    denied: Option<Vec<String>>,
    allowed_parts: Option<Vec<Rule>>,
    denied_parts: Option<Vec<Rule>>,
    features: Option<Vec<(String, bool)>>,
    api_logging: Option<bool>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Metric {
    enabled: Option<bool>,
    record_error_codes: Option<bool>,
    with_paths: Option<bool>,
    excludes_verbs: Option<bool>,
    latencies: Option<Vec<f64>>,
}

impl Configuration {
    /// Reads a file; for the command line.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse(path: &str) -> Result<Self, String> {
        let text = std::fs::read(Path::new(path)).map_err(|error| format!("cannot be read: {error}"))?;
        Self::read(&text, path, |name| std::env::var(name).ok()).map_err(|error| {
            let place = error.place_in_file().map(|place| format!("{place}: ")).unwrap_or_default();
            format!("{place}{}", error.message())
        })
    }

    fn read(text: &[u8], file: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let text = expand::expand(&String::from_utf8_lossy(text), variable);
        let mut all = Vec::new();
        for document in Yaml::documents(text.as_bytes(), file)? {
            all.push(Self::of(&document)?);
        }
        Ok(Self::together(&all))
    }

    /// What all of them say, the last one first.
    pub(crate) fn together(all: &[Self]) -> Self {
        let mut whole = Self::default();
        for one in all.iter().cloned() {
            whole = Self {
                sampling_rate: one.sampling_rate.or(whole.sampling_rate),
                metric: one.metric.or(whole.metric),
                metrics: one.metrics.or(whole.metrics),
                denied: one.denied.or(whole.denied),
                allowed_parts: one.allowed_parts.or(whole.allowed_parts),
                denied_parts: one.denied_parts.or(whole.denied_parts),
                features: one.features.or(whole.features),
                api_logging: one.api_logging.or(whole.api_logging),
                warnings: [whole.warnings, one.warnings].concat(),
            };
        }
        whole
    }

    fn of(document: &Yaml) -> Result<Self> {
        let kind = document.field("kind").map(|kind| Ok::<_, bindwright::Error>((kind.text()?, kind)));
        match kind.transpose()? {
            Some((text, _)) if text == "Configuration" => {}
            Some((text, at)) => return Err(at.error(&format!("expected Configuration, got {text:?}"))),
            None => return Err(document.error("expected a document with `kind: Configuration`")),
        }
        let mut read = Self::default();
        let Some(spec) = document.field("spec") else { return Ok(read) };
        for (name, section) in present(&spec)? {
            match name.to_ascii_lowercase().as_str() {
                "tracing" => read.tracing(&section)?,
                "metric" => read.metric = Metric::of(&section, &mut read.warnings)?,
                "metrics" => read.metrics = Metric::of(&section, &mut read.warnings)?,
                "components" => read.denied = section.field("deny").map(|list| texts(&list)).transpose()?,
                "api" => {
                    read.allowed_parts = section.field("allowed").map(|list| Rule::all(&list)).transpose()?;
                    read.denied_parts = section.field("denied").map(|list| Rule::all(&list)).transpose()?;
                }
                "features" => read.features = Some(features(&section)?),
                "logging" => read.logging(&section)?,
                _ if ELSEWHERE.iter().any(|known| known.eq_ignore_ascii_case(&name)) => {
                    read.warn(&section, "not honoured: it is about what is not here");
                }
                _ => read.warn(&section, "no such field of a Configuration"),
            }
        }
        let stores = |name: &&String| name.to_ascii_lowercase().starts_with("secretstores.");
        if let Some(name) = read.denied.iter().flatten().find(stores) {
            read.warnings
                .push(format!("components.deny: {name:?} is not honoured: only bindings can be denied"));
        }
        Ok(read)
    }

    fn tracing(&mut self, section: &Yaml) -> Result<()> {
        for (name, field) in present(section)? {
            match name.to_ascii_lowercase().as_str() {
                "samplingrate" => {
                    let text = field.text()?;
                    let rate = text.trim().parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
                    let expected = || field.error(&format!("expected a number from 0 to 1, got {text:?}"));
                    self.sampling_rate = (!text.is_empty()).then(|| rate.ok_or_else(expected)).transpose()?;
                }
                "stdout" if !field.flag()? => {}
                "stdout" | "zipkin" | "otel" => self.warn(
                    &field,
                    "not honoured: spans are not exported from here; trace contexts are passed on all the same",
                ),
                _ => self.warn(&field, "no such field of a Configuration"),
            }
        }
        Ok(())
    }

    fn logging(&mut self, section: &Yaml) -> Result<()> {
        for (name, field) in present(section)? {
            if !name.eq_ignore_ascii_case("apiLogging") {
                self.warn(&field, "no such field of a Configuration");
                continue;
            }
            for (name, field) in present(&field)? {
                if name.eq_ignore_ascii_case("enabled") {
                    self.api_logging = Some(field.flag()?);
                } else if field.flag()? {
                    self.warn(&field, "not honoured");
                }
            }
        }
        Ok(())
    }

    fn warn(&mut self, at: &Yaml, text: &str) {
        self.warnings.push(told(at, text));
    }

    /// What is not honoured, with its place.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The part of new traces that is sampled; `None` where calls are no spans at all.
    pub(crate) fn sampling(&self) -> Option<f64> {
        let rate = self.sampling_rate.unwrap_or(USUAL_RATE);
        (rate > 0.0).then_some(rate)
    }

    /// Whether metrics are told.
    pub(crate) fn tells_metrics(&self) -> bool {
        self.metric().enabled.unwrap_or(true)
    }

    /// Whether failures are counted by their codes.
    pub(crate) fn counts_error_codes(&self) -> bool {
        self.metric().record_error_codes.unwrap_or(false)
    }

    /// Whether requests over HTTP are counted by their paths.
    pub(crate) fn counts_paths(&self) -> bool {
        self.metric().with_paths.unwrap_or(true)
    }

    /// Whether requests over HTTP are counted whatever their method.
    pub(crate) fn excludes_verbs(&self) -> bool {
        self.metric().excludes_verbs.unwrap_or(false)
    }

    /// The buckets of latencies in milliseconds, where it names any.
    pub(crate) fn latencies(&self) -> Option<Vec<f64>> {
        self.metric().latencies
    }

    fn metric(&self) -> Metric {
        self.metrics.clone().or(self.metric.clone())
    }

    /// The types of components that are not to be used.
    pub(crate) fn denied(&self) -> Vec<String> {
        self.denied.clone().unwrap_or_default()
    }

    /// Whether a part of the API is there.
    pub(crate) fn has(&self, part: Part, over: Protocol) -> bool {
        let of = |rules: &Option<Vec<Rule>>| -> Vec<bool> {
            let concerned = rules.iter().flatten().filter(|rule| rule.is_over(over));
            concerned.map(|rule| rule.names(part, over)).collect()
        };
        let (allowed, denied) = (of(&self.allowed_parts), of(&self.denied_parts));
        (allowed.is_empty() || allowed.contains(&true)) && !denied.contains(&true)
    }

    /// Whether components follow their files, where it says so.
    pub(crate) fn hot_reload(&self) -> Option<bool> {
        let features = self.features.as_ref()?.iter();
        features.filter(|(name, _)| name == "HotReload").map(|(_, enabled)| *enabled).next_back()
    }

    /// Whether calls are logged, where it says so.
    pub(crate) fn logs_calls(&self) -> bool {
        self.api_logging.unwrap_or(false)
    }
}

impl Metric {
    fn of(section: &Yaml, warnings: &mut Vec<String>) -> Result<Self> {
        let mut read = Self::default();
        for (name, field) in present(section)? {
            match name.to_ascii_lowercase().as_str() {
                "enabled" => read.enabled = Some(field.flag()?),
                "recorderrorcodes" => read.record_error_codes = Some(field.flag()?),
                "latencydistributionbuckets" => read.latencies = Some(buckets(&field)?),
                "http" => {
                    for (name, field) in present(&field)? {
                        match name.to_ascii_lowercase().as_str() {
                            "increasedcardinality" => read.with_paths = Some(field.flag()?),
                            "excludeverbs" => read.excludes_verbs = Some(field.flag()?),
                            "pathmatching" => warnings.push(told(&field, "not honoured")),
                            _ => warnings.push(told(&field, "no such field of a Configuration")),
                        }
                    }
                }
                "rules" if field.items()?.is_empty() => {}
                "rules" => warnings.push(told(&field, "not honoured")),
                _ => warnings.push(told(&field, "no such field of a Configuration")),
            }
        }
        Ok(read)
    }

    fn or(self, other: Self) -> Self {
        Self {
            enabled: self.enabled.or(other.enabled),
            record_error_codes: self.record_error_codes.or(other.record_error_codes),
            with_paths: self.with_paths.or(other.with_paths),
            excludes_verbs: self.excludes_verbs.or(other.excludes_verbs),
            latencies: self.latencies.or(other.latencies),
        }
    }
}

/// The fields of a mapping that say something.
fn present(section: &Yaml) -> Result<Vec<(String, Yaml)>> {
    let fields = section.fields()?.into_iter();
    Ok(fields.filter_map(|(name, _)| section.field(&name).map(|field| (name, field))).collect())
}

fn texts(list: &Yaml) -> Result<Vec<String>> {
    list.items()?.iter().map(Yaml::text).collect()
}

fn features(list: &Yaml) -> Result<Vec<(String, bool)>> {
    let feature = |item: &Yaml| {
        let name = item.field("name").ok_or_else(|| item.error("expected a name"))?.text()?;
        let enabled = item.field("enabled").map(|flag| flag.flag()).transpose()?;
        Ok((name, enabled.unwrap_or(false)))
    };
    list.items()?.iter().map(feature).collect()
}

/// Ascending numbers of milliseconds.
fn buckets(list: &Yaml) -> Result<Vec<f64>> {
    let mut all: Vec<f64> = Vec::new();
    for item in list.items()? {
        let text = item.text()?;
        let bound = text.parse().ok().filter(|bound: &f64| bound.is_finite() && *bound >= 0.0);
        let bound = bound.ok_or_else(|| item.error(&format!("expected milliseconds, got {text:?}")))?;
        if all.last().is_some_and(|last| *last >= bound) {
            return Err(item.error("expected more than the one before"));
        }
        all.push(bound);
    }
    if all.is_empty() { Err(list.error("expected at least one number of milliseconds")) } else { Ok(all) }
}

fn told(at: &Yaml, text: &str) -> String {
    let error = at.error(text);
    let place = error.place_in_file().map(ToString::to_string).unwrap_or_default();
    format!("{place}: {}", error.message())
}
