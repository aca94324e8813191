//! `bindwright check`: every fault of component documents. What is one is decided in the library; here it is printed.

mod sarif;
mod text;

use std::io::Read as _;
use std::path::PathBuf;

use bindwright::ClientOptions;
use bindwright::inspect::{self, CheckOptions, Finding, Related, Report, Severity};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::Failure;
use crate::terminal::{Terminal, describe};

/// What places show for the standard input.
const STANDARD_INPUT: &str = "<stdin>";

/// Finds every fault of component documents, without connecting to anything
///
/// Each finding has a file, a line, a column and a stable name, and says what to do. Nothing is connected to;
/// references to secrets and to variables of the environment are looked up. Values that are secret, or that may be, are
/// shown as ***.
///
/// Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 not understood.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // the texts are help texts
pub(crate) struct Check {
    /// Folders of component files, or such files; `-` reads the standard input [default: what BINDWRIGHT_RESOURCES
    /// names, else ./components, else ./resources]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Whose components these are: what `scopes` in their documents name [default: APP_ID]
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    /// How findings are printed [default: as --output]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, with the line and a caret under the place
    Text,
    /// One document, see docs/command.md
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

impl Check {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let report = self.report()?;
        let usual = if terminal.is_json() { Format::Json } else { Format::Text };
        match self.format.unwrap_or(usual) {
            Format::Text => terminal.say(&text::page(&report))?,
            Format::Json => terminal.say_json(&json_of(&report))?,
            Format::Sarif => terminal.say_json(&sarif::log(&report))?,
        }
        if report.count(Severity::Error) > 0 { Err(Failure::Told) } else { Ok(()) }
    }

    fn report(&self) -> Result<Report, Failure> {
        let client = ClientOptions { app_id: self.app_id.clone(), ..ClientOptions::default() };
        let options = CheckOptions { app_id: client.effective_app_id(), strict: self.strict };
        if self.paths.iter().any(|path| path.as_os_str() == "-") {
            if self.paths.len() > 1 {
                return Err(Failure::Usage(
                    "`-` goes alone: the standard input is checked by itself".to_owned(),
                ));
            }
            let mut text = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut text);
            read.map_err(|error| Failure::Failed(format!("cannot read the standard input: {error}")))?;
            return Ok(inspect::check_text(&text, STANDARD_INPUT, &options)?);
        }
        let resources = (!self.paths.is_empty()).then(|| self.paths.clone());
        let paths = ClientOptions { resources, ..client }.resource_paths()?;
        Ok(inspect::check(&paths, &options)?)
    }
}

fn json_of(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        let mut value = describe(&finding.error);
        value["severity"] = finding.severity.as_str().into();
        value["rule"] = finding.rule.id.into();
        value["related"] = finding.related.iter().map(related).collect();
        value
    };
    json!({
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "notes": report.count(Severity::Note),
        "components": report.components,
    })
}

fn related(related: &Related) -> Value {
    let place = &related.place;
    json!({
        "message": related.message,
        "file": place.file.as_ref(),
        "line": place.line,
        "column": place.column,
    })
}
