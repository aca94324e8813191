//! The transports over which cases run, and what a case says about them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bindwright::{Client, ClientOptions};
use serde_json::Value;

const EMBEDDED: &str = "embedded";
const SIDECARS: [&str; 2] = ["sidecar-grpc", "sidecar-http"];

/// What stands beside a client, such as its sidecar, and ends after it.
pub type Beside = Pin<Box<dyn Future<Output = ()>>>;

/// How a case gets its client: the name of the transport, and what opens a client of the components in a folder.
#[derive(Clone, Copy)]
pub struct Way<O> {
    pub transport: &'static str,
    pub open: O,
}

impl<O: AsyncFn(PathBuf) -> (Client, Beside)> Way<O> {
    pub async fn open(&self, folder: &Path) -> (Client, Beside) {
        (self.open)(folder.to_owned()).await
    }

    pub fn is_sidecar(&self) -> bool {
        SIDECARS.contains(&self.transport)
    }

    /// HTTP keeps no case of the names of metadata.
    pub fn written(&self, name: &str) -> String {
        if self.transport == "sidecar-http" { name.to_lowercase() } else { name.to_owned() }
    }

    /// Whether a case or a step says that it differs here; it is left out then.
    pub fn leaves_out(&self, case_or_step: &Value, place: &str) -> bool {
        let Some(differs) = case_or_step.get("differs") else { return false };
        let mut leaves_out = false;
        for (transport, why) in
            differs.as_object().unwrap_or_else(|| panic!("{place}: differs is no mapping"))
        {
            assert!(transport == "sidecar" || SIDECARS.contains(&transport.as_str()), "{place}: {transport}");
            assert!(
                why.as_str().is_some_and(|why| !why.trim().is_empty()),
                "{place}: no reason for {transport}"
            );
            leaves_out |= transport == self.transport || (transport == "sidecar" && self.is_sidecar());
        }
        leaves_out
    }
}

/// Inside this process.
pub fn embedded() -> Way<impl AsyncFn(PathBuf) -> (Client, Beside) + Copy + 'static> {
    Way { transport: EMBEDDED, open: open_embedded }
}

async fn open_embedded(folder: PathBuf) -> (Client, Beside) {
    let resources = Some(vec![folder]);
    let client = Client::open(ClientOptions { resources, ..ClientOptions::default() }).expect("opened");
    (client, Box::pin(std::future::ready(())))
}
