//! Findings for people: the line, and a caret under the place.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use bindwright::inspect::{Excerpt, Finding, Report, Severity};

/// The findings and a last line that counts them.
pub(super) fn page(report: &Report) -> String {
    let mut page = String::new();
    for finding in &report.findings {
        page.push_str(&rendered(finding));
        page.push_str("\n\n");
    }
    page.push_str(&summary(report));
    page
}

fn rendered(finding: &Finding) -> String {
    let error = &finding.error;
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut title = error.message().to_owned();
    if let Some(component) = error.component_name() {
        title = format!("{component}: {title}");
    }
    if let Some(backend) = error.backend_text() {
        title = format!("{title}: {backend}");
    }
    let mut group = Group::with_title(level.primary_title(title).id(finding.rule.id));
    if let Some(place) = error.place_in_file() {
        group = match &finding.excerpt {
            Some(excerpt) => group.element(
                Snippet::source(excerpt.line.as_str())
                    .path(place.file.as_ref())
                    .line_start(place.line)
                    .annotation(AnnotationKind::Primary.span(bytes_of(excerpt))),
            ),
            None => {
                group.element(Origin::path(place.file.as_ref()).line(place.line).char_column(place.column))
            }
        };
    }
    for related in &finding.related {
        group = group.element(Level::NOTE.message(format!("{}: {}", related.place, related.message)));
    }
    group = group.element(Level::HELP.message(error.what_to_do()));
    Renderer::styled().render(&[group])
}

/// The part of the line in bytes.
fn bytes_of(excerpt: &Excerpt) -> Range<usize> {
    let at = |characters: usize| {
        excerpt.line.char_indices().nth(characters).map_or(excerpt.line.len(), |(byte, _)| byte)
    };
    at(excerpt.start)..at(excerpt.start + excerpt.length)
}

fn summary(report: &Report) -> String {
    let counted = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    };
    let components = counted(report.components, "component");
    let found: Vec<String> =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
            .into_iter()
            .map(|(severity, word)| (report.count(severity), word))
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| counted(number, word))
            .collect();
    if found.is_empty() {
        return format!("{components}, nothing found\n");
    }
    format!("{components}, {}\n", found.join(", "))
}
