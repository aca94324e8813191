//! `bindwright serve`: bindings for programs in any language, over HTTP and gRPC.

use std::time::Duration;

use bindwright_server::{Ending, Options, Server, open_client};
use clap::Args;

use crate::Failure;
use crate::log_lines::LogLines;
use crate::signals::Stop;
use crate::terminal::Terminal;

/// How long somebody who pressed Ctrl-C waits at most before the end begins.
const LOOK: Duration = Duration::from_millis(50);

/// Serves bindings to programs in any language, through Dapr's HTTP and gRPC API
///
/// Programs written for Dapr's bindings run against it unchanged. It ends on Ctrl-C, SIGTERM and `POST /v1.0/shutdown`;
/// log lines go to the standard error. Tokens come from the environment: DAPR_API_TOKEN, which callers must show, and
/// APP_API_TOKEN, which the application is shown. More is in docs/serve.md.
#[derive(Debug, Args)]
#[allow(clippy::doc_markdown)] // a help text
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,
}

impl Serve {
    pub(crate) fn run(&self, _: &Terminal) -> Result<(), Failure> {
        let stop = Stop::listen()?;
        let options = &self.options;
        let _lines = LogLines::begin(&options.log_level, options.log_as_json, options.app_id.as_deref());
        let client = open_client(options)?;
        let start = Server::start(client.clone(), options.clone());
        let Some(server) = client.block_on(start, || stop.is_asked()) else { return Ok(()) };
        let server = server?;
        let ender = server.ender();
        let serving = async {
            let mut run = std::pin::pin!(server.run());
            loop {
                match tokio::time::timeout(LOOK, run.as_mut()).await {
                    Ok(ending) => return ending,
                    Err(_) if stop.is_asked() => ender.end(),
                    Err(_) => {}
                }
            }
        };
        match client.block_on(serving, || false) {
            Some(Ending::Asked) => Ok(()),
            _ => Err(Failure::Told),
        }
    }
}
