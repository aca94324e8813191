//! `bindwright types`: the names of a program's bindings, as types of its language.

use std::path::PathBuf;

use bindwright::ClientOptions;
use bindwright::inspect::{self, Language};
use clap::{Args, ValueEnum};

use super::file;
use crate::Failure;
use crate::terminal::Terminal;

/// Writes the names of your bindings and their operations as types
///
/// A type checker then finds names and operations that are misspelt. Values that stand in secret stores or in the
/// environment are not needed.
///
/// Exit status: 0 done, 1 failed (with --check: the file differs), 2 not understood.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // the texts are help texts
pub(crate) struct Types {
    /// Folders of component files, or such files [default: what BINDWRIGHT_RESOURCES names, else ./components, else
    /// ./resources]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The language of the program
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    language: Words,
    /// Whose components these are: what `scopes` in their documents name [default: APP_ID]
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// The file to write, instead of the standard output
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write nothing, and fail when the file is not as it would be written
    #[arg(long, requires = "out")]
    check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Words {
    /// A module, for mypy and pyright
    Python,
    /// A declaration file, for tsc
    Typescript,
}

impl Types {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let language = match self.language {
            Words::Python => Language::Python,
            Words::Typescript => Language::TypeScript,
        };
        let resources = (!self.paths.is_empty()).then(|| self.paths.clone());
        let app_id = self.app_id.clone();
        let client = ClientOptions { resources, app_id, ..ClientOptions::default() };
        let paths = client.resource_paths()?;
        let names = inspect::typed_names(&paths, client.effective_app_id().as_deref(), language)?;
        match self.out.as_deref().filter(|_| self.check) {
            Some(out) => file::compare(out, &names.text),
            None => file::write(terminal, self.out.as_deref(), &names.text),
        }
    }
}
