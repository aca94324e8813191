//! A component explained, for people.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use bindwright::inspect::{EffectiveSetting, Explanation, Source, WaySummary};
use bindwright::{Ledger, Place};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

pub(super) fn page(explanation: &Explanation) -> String {
    let mut page = String::new();
    let Explanation { name, component_type, version, place, .. } = explanation;
    let version = if version.is_empty() { "v1" } else { version };
    let _ = writeln!(page, "{BOLD}{name}{BOLD:#}: {component_type}/{version} at {place}");
    for fault in &explanation.faults {
        let _ = writeln!(page, "  {fault}");
    }
    if let Some(sending) = &explanation.sending {
        let operations = explanation.operations.join(", ");
        title(&mut page, "Sends");
        rows(&mut page, &[("operations".to_owned(), operations, String::new())]);
        way(&mut page, sending, "attempts of a call", &place.file);
    }
    if let Some(receiving) = &explanation.receiving {
        title(&mut page, "Receives");
        way(&mut page, receiving, "deliveries of an event", &place.file);
    }
    if !explanation.guarantees.is_empty() {
        title(&mut page, "Guarantees");
        for guarantee in &explanation.guarantees {
            let _ = writeln!(page, "  {:<10} {}", guarantee.topic, guarantee.text);
        }
    }
    settings(&mut page, "Settings", &explanation.settings, &place.file);
    settings(&mut page, "Settings of the runtime", &explanation.runtime, &place.file);
    for native in &explanation.options {
        title(&mut page, &format!("Options of {} ({})", native.library, native.client));
        let options: Vec<_> =
            native.options.iter().map(|(name, value)| (name.clone(), value.clone(), String::new())).collect();
        rows(&mut page, &options);
    }
    page
}

fn title(page: &mut String, text: &str) {
    let _ = writeln!(page, "\n{BOLD}{text}{BOLD:#}");
}

/// Three columns; the first two as wide as they need to be, within reason.
fn rows(page: &mut String, rows: &[(String, String, String)]) {
    let width = |column: fn(&(String, String, String)) -> &String, most: usize| {
        rows.iter().map(|row| column(row).chars().count()).filter(|width| *width <= most).max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.0, 46), width(|row| &row.1, 40));
    for (name, value, origin) in rows {
        if origin.is_empty() {
            let _ = writeln!(page, "  {name:<first$}  {value}");
        } else {
            let _ = writeln!(page, "  {name:<first$}  {value:<second$}  {DIM}{origin}{DIM:#}");
        }
    }
}

fn way(page: &mut String, way: &WaySummary, what: &str, file: &str) {
    let mut all = vec![(what.to_owned(), way.ledger.as_ref().map_or_else(cannot, ledger), String::new())];
    for policy in &way.policies {
        let origin = match &policy.place {
            Some(at) => at_place(at, file),
            None => "a default".to_owned(),
        };
        all.push((policy.kind.to_owned(), policy.text.clone(), format!("{:?}, {origin}", policy.name)));
    }
    rows(page, &all);
}

fn cannot() -> String {
    "none: it cannot be opened with these settings".to_owned()
}

fn ledger(ledger: &Ledger) -> String {
    let Some(attempts) = ledger.attempts else { return "without end".to_owned() };
    let mut text = if attempts == 1 { "1".to_owned() } else { format!("{attempts} at most") };
    if let Some(pauses) = ledger.pauses.filter(|pauses| *pauses > Duration::ZERO) {
        let _ = write!(text, ", {pauses:?} between them");
    }
    if let Some(longest) = ledger.longest {
        let _ = write!(text, ", {longest:?} in all");
    }
    text
}

fn settings(page: &mut String, name: &str, settings: &[EffectiveSetting], file: &str) {
    let rows_of = |effective: &EffectiveSetting| {
        let value = effective.value.clone()?;
        let note = if effective.setting.is_none() { "unknown, " } else { "" };
        Some((effective.name.clone(), value, format!("{note}{}", origin(&effective.source, file))))
    };
    let all: Vec<_> = settings.iter().filter_map(rows_of).collect();
    if !all.is_empty() {
        title(page, name);
        rows(page, &all);
    }
}

fn origin(source: &Source, file: &str) -> String {
    match source {
        Source::Document(place) => at_place(place, file),
        Source::Environment { variable, place } => format!("variable {variable}, {}", at_place(place, file)),
        Source::Secret { store, name, key, place } => {
            format!("secret {name}/{key} of {store}, {}", at_place(place, file))
        }
        _ => "default".to_owned(),
    }
}

/// Within the component's own file the line is enough.
fn at_place(place: &Place, file: &str) -> String {
    if *place.file == *file { format!("line {}", place.line) } else { place.to_string() }
}
