//! `bindwright version`: what this build is made of.

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::terminal::Terminal;

/// Tells the version, and what this build is made of
#[derive(Debug, Args)]
pub(crate) struct Version;

impl Version {
    #[allow(clippy::unused_self)] // as all commands
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let types = bindwright::component::names();
        if terminal.is_json() {
            return terminal.say_json(&json!({ "version": version, "components": types }));
        }
        terminal.say(&format!("bindwright {version}\ncomponents: {}\n", types.join(", ")))
    }
}
