//! The table of commands.
//!
//! A new command is one file beside this one with a `clap::Args` that has a `run`, and one line in [`Command`]'s list.

mod check;
mod completions;
mod components;
mod dev;
mod dlq;
mod doctor;
mod explain;
mod file;
mod invoke;
mod man;
mod run;
mod schema;
mod serve;
mod tail;
mod types;
mod version;

use std::path::PathBuf;

use bindwright::{Client, ClientOptions, TransportKind};
use clap::{Args, Parser, Subcommand};

use crate::Failure;
use crate::terminal::{Color, Output, Terminal};

/// Bindwright: named connections to outside systems, for programs in any language.
#[derive(Debug, Parser)]
#[command(name = "bindwright", version, propagate_version = false, subcommand_required = true)]
#[command(after_help = "Exit status: 0 done, 1 failed or faults found, 2 not understood.")]
pub(crate) struct Cli {
    /// How results are printed.
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        global = true,
        default_value = "text",
        help_heading = "Everywhere"
    )]
    pub(crate) output: Output,
    /// Whether colours are used.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        help_heading = "Everywhere"
    )]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident($arguments:ty);)*) => {
        /// One word of the command line and what it leads to.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command { $($(#[$doc])* $variant($arguments),)* }

        impl Command {
            pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
                match self { $(Self::$variant(arguments) => arguments.run(terminal),)* }
            }
        }
    };
}

commands! {
    Check(check::Check);
    Completions(completions::Completions);
    Invoke(invoke::Invoke);
    Tail(tail::Tail);
    Dlq(dlq::Dlq);
    Components(components::Components);
    Doctor(doctor::Doctor);
    Dev(dev::Dev);
    Explain(explain::Explain);
    Man(man::Man);
    Run(run::Run);
    Schema(schema::Schema);
    Serve(serve::Serve);
    Types(types::Types);
    Version(version::Version);
}

/// Where components are found, for every command that needs them.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // the texts are help texts
pub(crate) struct Resources {
    /// A folder of component files, or one such file; may be given more than once [default: what
    /// BINDWRIGHT_RESOURCES names, else ./components, else ./resources]
    #[arg(long, value_name = "PATH")]
    pub(crate) resources: Vec<PathBuf>,
    /// Whose components these are: what `scopes` in their documents name [default: APP_ID]
    #[arg(long, value_name = "ID")]
    pub(crate) app_id: Option<String>,
}

impl Resources {
    /// What a client of these would be opened with.
    pub(crate) fn options(&self) -> ClientOptions {
        let resources = (!self.resources.is_empty()).then(|| self.resources.clone());
        let transport = Some(TransportKind::Embedded);
        ClientOptions { resources, app_id: self.app_id.clone(), transport, ..ClientOptions::default() }
    }

    /// A client of these, embedded.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::open(ClientOptions { hot_reload: Some(false), ..self.options() })?)
    }
}
