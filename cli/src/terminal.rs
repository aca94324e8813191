//! Where results go: the standard output, as text for people or as JSON for programs.

use std::io::{ErrorKind, Write as _};

use bindwright::Error;
use serde_json::{Value, json};

use crate::{Failure, complain};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one document, or one a line for what comes bit by bit.
    Json,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    Always,
    Never,
}

/// The two streams, and what was asked of them.
pub(crate) struct Terminal {
    output: Output,
}

impl Terminal {
    pub(crate) fn new(output: Output, color: Color) -> Self {
        match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self { output }
    }

    /// Whether results are for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a result for people; styles in it are left out where nobody would see them. A reader at the other end of
    /// a pipe has it when this returns.
    #[allow(clippy::unused_self)] // who prints was told how to
    pub(crate) fn say(&self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Prints a result for programs, in one line.
    #[allow(clippy::unused_self)]
    pub(crate) fn say_json(&self, value: &Value) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        written(writeln!(out, "{value}").and_then(|()| out.flush()))
    }

    /// Prints bytes as they are.
    #[allow(clippy::unused_self)]
    pub(crate) fn say_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Prints an error of the library to the standard error, in the form that was asked for.
    pub(crate) fn complain(&self, error: &Error) {
        match self.output {
            Output::Text => complain(&format!("bindwright: {error}\n")),
            Output::Json => complain(&format!("{}\n", json!({ "error": describe(error) }))),
        }
    }
}

/// An error for programs; the fields are documented in `docs/command.md`.
pub(crate) fn describe(error: &Error) -> Value {
    let place = error.place_in_file();
    json!({
        "code": error.code().as_str(),
        "message": error.message(),
        "component": error.component_name(),
        "operation": error.operation_name(),
        "backend": error.backend_text(),
        "advice": error.what_to_do(),
        "retriable": error.retriable(),
        "file": place.map(|place| place.file.as_ref()),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
    })
}

fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        // `bindwright … | head`: whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::Told),
        Err(error) => Err(Failure::Failed(format!("cannot write to the standard output: {error}"))),
    }
}
