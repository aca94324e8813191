//! `bindwright completions`: what a shell needs to complete our arguments.

use clap::Args;
use clap_complete::Shell;

use crate::terminal::Terminal;
use crate::{Failure, command};

/// Writes completions for a shell
///
/// bash: bindwright completions bash > ~/.local/share/bash-completion/completions/bindwright
///
/// zsh: bindwright completions zsh > a file called _bindwright in a folder of $fpath
///
/// fish: bindwright completions fish > ~/.config/fish/completions/bindwright.fish
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "bindwright", &mut script);
        terminal.say_bytes(&script)
    }
}
