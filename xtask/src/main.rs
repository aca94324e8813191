//! `cargo xtask <command>`: what generates and checks files of this repository.
//!
//! Each command is one module that takes the repository's root and returns either nothing or one text that
//! says what is wrong and how to put it right. Tests stand at the end of each module.

mod check_docs;
mod generate;
mod grpc;
mod licences;
mod metadata;
mod node_errors;
mod notices;
mod python_errors;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The commands, as `check-docs` compares them with what the documents name.
const COMMANDS: [&str; 4] = ["gen", "licences", "notices", "check-docs"];

const USAGE: &str = "\
usage: cargo xtask <command>

  gen [--check]     write the generated files; with --check, fail when a committed one differs
  licences          compare every third-party crate with deny.toml: licence, ban, source
  notices [--out FILE] [--package NAME]... [--target TRIPLE]...
                    the third-party notices of what the packages contain; for one package and
                    platform if named, else for all packages on this machine's platform
  check-docs        compare paths, links and commands in the documents with the repository
";

/// What a command answers: nothing, or what is wrong.
type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&root(), &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{}", fault.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, words: &[&str]) -> Outcome {
    match words {
        ["gen"] => generate::write(root),
        ["gen", "--check"] => generate::check(root),
        ["licences"] => licences::check(root),
        ["notices", options @ ..] => notices::write(root, &notices::Options::parse(options)?),
        ["check-docs"] => check_docs::check(root),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    }
}

/// The repository's root: this crate stands in a folder of it.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands in a folder of the repository")
        .to_owned()
}

/// Reads a file, naming it when that fails.
fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|fault| format!("{}: {fault}", path.display()))
}

/// Writes a file and the folders above it, naming it when that fails.
fn write(path: &Path, text: &str) -> Outcome {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|fault| format!("{}: {fault}", path.display()))
}
