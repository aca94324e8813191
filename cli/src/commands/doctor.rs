//! `bindwright doctor`: looks at everything that components need, from where they are used.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use bindwright::ClientOptions;
use bindwright::inspect::{self, Step, Verdict};
use clap::Args;
use serde_json::{Value, json};

use super::Resources;
use crate::signals::Stop;
use crate::terminal::{Terminal, describe};
use crate::{Failure, shown};

/// How long somebody who pressed Ctrl-C waits at most.
const SLICE: Duration = Duration::from_millis(50);

/// Connects as components would, and tells what stands in the way
///
/// Step by step: the document, names, TCP, TLS, credentials, the cluster, topics, permissions, the consumer group and
/// what it has not read, clocks. Every fault says what to do next. Changes nothing: no group is joined, nothing is
/// written, and no topic is made. Exit status 0 when all is well, 1 when there is a fault; warnings are no faults.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    resources: Resources,
    /// Folders or files with components, or names of components among those
    #[arg(value_name = "PATH|NAME")]
    what: Vec<String>,
    /// How long a step may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = shown::time_span)]
    timeout: Duration,
}

impl Doctor {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let stop = Stop::listen()?;
        let (options, names) = self.targets();
        let (tell, findings) = mpsc::channel();
        let timeout = self.timeout;
        // In a thread of its own: some steps cannot be interrupted, and nobody has to wait for them.
        let examination = std::thread::spawn(move || {
            inspect::doctor(options, &names, timeout, |finding| tell.send(finding).is_ok())
        });
        let mut report = Report::default();
        loop {
            match findings.recv_timeout(SLICE) {
                Ok(finding) => report.add(terminal, &finding)?,
                Err(mpsc::RecvTimeoutError::Timeout) if stop.is_asked() => return Err(Failure::Told),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let examined = examination.join();
        examined.map_err(|_| Failure::Failed("the examination broke off".to_owned()))??;
        report.end(terminal)?;
        if report.counts.contains_key(&Verdict::Fault) { Err(Failure::Told) } else { Ok(()) }
    }

    /// An argument is a path where there is one, and a name otherwise.
    fn targets(&self) -> (ClientOptions, Vec<String>) {
        let mut options = self.resources.options();
        if options.resources.is_some() {
            return (options, self.what.clone());
        }
        let is_path = |what: &&String| {
            let path = PathBuf::from(what);
            let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
            is_yaml || what.contains('/') || path.exists()
        };
        let (paths, names): (Vec<&String>, Vec<&String>) = self.what.iter().partition(is_path);
        if !paths.is_empty() {
            options.resources = Some(paths.into_iter().map(PathBuf::from).collect());
        }
        (options, names.into_iter().cloned().collect())
    }
}

/// What was found so far.
#[derive(Default)]
struct Report {
    component: Option<String>,
    counts: BTreeMap<Verdict, usize>,
    steps: Vec<Value>,
}

impl Report {
    fn add(&mut self, terminal: &Terminal, finding: &Step) -> Result<(), Failure> {
        *self.counts.entry(finding.verdict).or_default() += 1;
        if terminal.is_json() {
            self.steps.push(for_programs(finding));
            return Ok(());
        }
        let component = finding.component.as_deref().map(str::to_owned);
        if component != self.component {
            if let Some(name) = &component {
                let gap = if self.component.is_some() { "\n" } else { "" };
                terminal.say(&format!("{gap}{}\n", shown::text(name)))?;
            }
            self.component = component;
        }
        terminal.say(&for_people(finding))
    }

    fn end(&self, terminal: &Terminal) -> Result<(), Failure> {
        let count = |verdict| self.counts.get(&verdict).copied().unwrap_or_default();
        let (faults, warnings) = (count(Verdict::Fault), count(Verdict::Warning));
        if terminal.is_json() {
            return terminal.say_json(&json!({
                "healthy": faults == 0,
                "faults": faults,
                "warnings": warnings,
                "steps": self.steps,
            }));
        }
        terminal.say(&match (faults, warnings) {
            (0, 0) if self.counts.is_empty() => "\nno components\n".to_owned(),
            (0, 0) => "\nall well\n".to_owned(),
            (0, warnings) => format!("\nworks; {}\n", several(warnings, "warning")),
            (faults, 0) => format!("\n{}\n", several(faults, "fault")),
            (faults, warnings) => {
                format!("\n{}, {}\n", several(faults, "fault"), several(warnings, "warning"))
            }
        })
    }
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn for_people(finding: &Step) -> String {
    let style = anstyle::Style::new();
    let style = match finding.verdict {
        Verdict::Ok => style.fg_color(Some(anstyle::AnsiColor::Green.into())),
        Verdict::Warning => style.fg_color(Some(anstyle::AnsiColor::Yellow.into())),
        Verdict::Fault => style.fg_color(Some(anstyle::AnsiColor::Red.into())),
        Verdict::Skipped => style.dimmed(),
    };
    let verdict = format!("{style}{:<7}{style:#}", finding.verdict.as_str());
    let subject = if finding.subject.is_empty() { String::new() } else { format!(" {}", finding.subject) };
    let what = shown::text(&format!("{}{subject}", finding.step));
    let mut text = format!("  {verdict}  {what}  ({})\n", shown::took(finding.took));
    for (name, value) in &finding.facts {
        let _ = writeln!(text, "             {name}: {}", shown::text(value));
    }
    if let Some(note) = &finding.note {
        let _ = writeln!(text, "             {}", shown::text(note));
    }
    for (mark, errors) in [("fault", &finding.faults), ("warning", &finding.warnings)] {
        for error in errors {
            let _ = writeln!(text, "           {mark}: {}", shown::text(&error.to_string()));
        }
    }
    text
}

fn for_programs(finding: &Step) -> Value {
    let facts: Vec<_> =
        finding.facts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "component": finding.component.as_deref(),
        "step": finding.step,
        "subject": finding.subject,
        "status": finding.verdict.as_str(),
        "durationMs": u64::try_from(finding.took.as_millis()).unwrap_or(u64::MAX),
        "facts": facts,
        "faults": finding.faults.iter().map(describe).collect::<Vec<_>>(),
        "warnings": finding.warnings.iter().map(describe).collect::<Vec<_>>(),
        "note": finding.note,
    })
}
