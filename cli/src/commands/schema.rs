//! `bindwright schema`: JSON Schema of component documents, for editors.

use std::path::PathBuf;

use bindwright::inspect;
use clap::Args;

use super::file;
use crate::Failure;
use crate::terminal::Terminal;

/// Writes the JSON Schema of component documents, for editors
///
/// Without --type the schema is for whole documents of every kind: components of all types, and Resiliency. Editors
/// that speak the YAML language server complete and check with it; docs/command.md says how to tell them.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Only documents of this component type, such as bindings.kafka
    #[arg(long = "type", value_name = "TYPE")]
    component_type: Option<String>,
    /// The file to write, instead of the standard output
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Schema {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let schema = match &self.component_type {
            None => inspect::schema(),
            Some(name) => inspect::component_schema(name)?,
        };
        // Laid out for people too: the file is often kept beside the documents.
        file::write(terminal, self.out.as_deref(), &format!("{schema:#}\n"))
    }
}
