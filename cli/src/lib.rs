//! The command `bindwright`, as a function that other programs can call.
//!
//! Commands stand in a table ([`commands`]), one file for each; help texts, `--version` and "did you mean" follow from
//! the table. Exit codes: 0 done, 1 failed, 2 not understood. Results go to the standard output, everything
//! else to the standard error. Tests are in `cli/tests/`.

mod commands;
mod signals;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;

use lexopt::{Arg, Parser, ValueExt as _};

use commands::{Action, Command};

/// Done.
pub const DONE: i32 = 0;
/// Understood, but it failed.
pub const FAILED: i32 = 1;
/// Not understood.
pub const USAGE: i32 = 2;

/// Why a command did not do what was asked.
#[derive(Debug)]
enum Failure {
    /// The arguments make no sense.
    Usage(String),
    /// Something else stands in the way.
    Failed(String),
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<bindwright::Error> for Failure {
    fn from(error: bindwright::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the command that `arguments` (without the program's name) ask for, and returns the exit code.
///
/// May be called on any thread, also inside a Python or Node process. Prints to the process's own standard output
/// and standard error. A command that runs until it is told to stop ends on SIGINT (Ctrl-C) and SIGTERM.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let mut path = vec!["bindwright"];
    match descend(&commands::ROOT, &mut path, &mut Parser::from_args(arguments)) {
        Ok(()) => DONE,
        Err(Failure::Failed(text)) => {
            complain(&format!("bindwright: {text}\n"));
            FAILED
        }
        Err(Failure::Usage(text)) => {
            complain(&format!("bindwright: {text}\nTry `{} --help`.\n", path.join(" ")));
            USAGE
        }
    }
}

/// Follows the words of the command line through the table of commands.
fn descend(
    command: &'static Command,
    path: &mut Vec<&'static str>,
    parser: &mut Parser,
) -> Result<(), Failure> {
    let children = match command.action {
        Action::Group(children) => children,
        Action::Run { options, run } => return run_leaf(command, path, options, run, parser),
    };
    match parser.next()? {
        Some(Arg::Long("help") | Arg::Short('h')) => say(&group_help(command, path, children)),
        Some(Arg::Long("version") | Arg::Short('V')) if path.len() == 1 => {
            say(&format!("bindwright {}\n", env!("CARGO_PKG_VERSION")))
        }
        Some(Arg::Value(word)) => {
            let word = word.string()?;
            let Some(child) = children.iter().find(|child| child.name == word) else {
                return Err(Failure::Usage(commands::unknown(&path[1..], &word, children)));
            };
            path.push(child.name);
            descend(child, path, parser)
        }
        Some(Arg::Long(name)) => Err(Failure::Usage(commands::unknown_option(name, &[]))),
        Some(other) => Err(other.unexpected().into()),
        None => Err(Failure::Usage(format!(
            "expected a command: {}",
            children.iter().map(|child| child.name).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Reads the options of one command, then runs it.
fn run_leaf(
    command: &Command,
    path: &[&str],
    options: &'static [commands::Opt],
    run: fn(&commands::Values) -> Result<(), Failure>,
    parser: &mut Parser,
) -> Result<(), Failure> {
    let mut values = commands::Values::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return say(&leaf_help(command, path, options)),
            Arg::Long(name) => {
                let Some(option) = options.iter().find(|option| option.name == name) else {
                    return Err(Failure::Usage(commands::unknown_option(name, options)));
                };
                values.set(option.name, parser.value()?.string()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    run(&values)
}

fn group_help(command: &Command, path: &[&str], children: &[Command]) -> String {
    let mut text =
        format!("{}\n\nusage: {} <command> [options]\n\ncommands:\n", command.help, path.join(" "));
    for child in children {
        let _ = writeln!(text, "  {:<14} {}", child.name, child.summary);
    }
    text.push_str("\noptions:\n  -h, --help     tells about a command: bindwright <command> --help\n");
    if path.len() == 1 {
        text.push_str("  -V, --version  prints the version\n");
    }
    text
}

fn leaf_help(command: &Command, path: &[&str], options: &[commands::Opt]) -> String {
    let mut text =
        format!("{}\n\nusage: {} [options]\n\noptions:\n", command.help.trim_end(), path.join(" "));
    for option in options {
        let _ = writeln!(text, "  {:<14} {}", format!("--{} {}", option.name, option.value), option.summary);
    }
    text.push_str("  -h, --help     prints this\n");
    text
}

/// Prints a result and makes sure that a reader at the other end of a pipe has it.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::Failed(format!("cannot write to the standard output: {error}")))
}

/// Prints what went wrong; when even that is impossible, the exit code has to do.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
