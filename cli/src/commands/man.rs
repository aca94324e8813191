//! `bindwright man`: the manual, as pages for `man`.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man as Page;

use crate::terminal::Terminal;
use crate::{Failure, command};

/// Writes the manual as pages for man
///
/// Without a folder the page of the command itself is printed. With one, that page and one for each sub-command are
/// written into it: bindwright.1, bindwright-check.1, and so on.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write into; it is made where it is missing
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("cannot write the manual: {error}"));
        // Without its own `help` sub-command, whose pages would say nothing.
        let model = command().disable_help_subcommand(true);
        let Some(folder) = &self.folder else {
            let mut page = Vec::new();
            Page::new(model).render(&mut page).map_err(failed)?;
            return terminal.say_bytes(&page);
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        clap_mangen::generate_to(model, folder).map_err(failed)
    }
}
