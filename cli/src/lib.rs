//! The command `bindwright`, as a function that other programs can call.
//!
//! Commands stand in a table ([`commands`]), one file for each; help texts, completions and the man page follow from
//! it. Exit codes: 0 done, 1 failed, 2 not understood. Results go to the standard output, everything else to the
//! standard error. Tests are in `cli/tests/`.

mod commands;
mod dashes;
mod log_lines;
mod shown;
mod signals;
mod terminal;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{CommandFactory as _, FromArgMatches as _};

use commands::Cli;
use terminal::Terminal;

/// Done.
pub const DONE: i32 = 0;
/// Understood, but it failed; of a command that looks for faults: there are some.
pub const FAILED: i32 = 1;
/// Not understood.
pub const USAGE: i32 = 2;

/// Why a command did not do what was asked.
#[derive(Debug)]
enum Failure {
    /// The arguments make no sense together.
    Usage(String),
    /// An error of the library.
    Error(bindwright::Error),
    /// Something else stands in the way.
    Failed(String),
    /// Everything was said already, and it was not good.
    Told,
}

impl From<bindwright::Error> for Failure {
    fn from(error: bindwright::Error) -> Self {
        Self::Error(error)
    }
}

/// Runs the command that `arguments` (without the program's name) ask for, and returns the exit code.
///
/// May be called on any thread, also inside a Python or Node process. Prints to the process's own standard output
/// and standard error. A command that runs until it is told to stop ends on SIGINT (Ctrl-C) and SIGTERM.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let arguments = std::iter::once(OsString::from("bindwright")).chain(arguments);
    let command = command();
    let arguments = dashes::doubled(arguments.collect(), &command);
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors too; these go to the standard output.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { DONE };
        }
    };
    let terminal = Terminal::new(cli.output, cli.color);
    match cli.command.run(&terminal) {
        Ok(()) => DONE,
        Err(Failure::Told) => FAILED,
        Err(Failure::Error(error)) => {
            terminal.complain(&error);
            FAILED
        }
        Err(Failure::Failed(text)) => {
            complain(&format!("bindwright: {text}\n"));
            FAILED
        }
        Err(Failure::Usage(text)) => {
            complain(&format!("bindwright: {text}\nTry `bindwright --help`.\n"));
            USAGE
        }
    }
}

/// The model of the command line: what completions and the man page are made of.
fn command() -> clap::Command {
    Cli::command()
}

/// Prints what went wrong; when even that is impossible, the exit code has to do.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
