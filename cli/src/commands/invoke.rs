//! `bindwright invoke`: one call of an output binding.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use bindwright::{Body, Request};
use clap::Args;
use serde_json::{Map, json};

use super::Resources;
use crate::signals::Stop;
use crate::terminal::Terminal;
use crate::{Failure, shown};

/// Calls an output binding once
///
/// Prints the reply's data as it is, and nothing else; with `--output json` its metadata as well.
#[derive(Debug, Args)]
pub(crate) struct Invoke {
    #[command(flatten)]
    resources: Resources,
    /// The component
    name: String,
    /// What it is asked to do, such as create
    operation: String,
    /// Reads the data from the standard input
    #[arg(value_name = "-", value_parser = ["-"], conflicts_with_all = ["data", "data_file", "no_data"])]
    stdin: Option<String>,
    /// The data. Left out, it is empty
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["data_file", "no_data"])]
    data: Option<String>,
    /// A file with the data
    #[arg(long, value_name = "FILE", conflicts_with = "no_data")]
    data_file: Option<PathBuf>,
    /// No data at all, which is not the same as empty data: on Kafka it is a tombstone
    #[arg(long)]
    no_data: bool,
    /// An entry of the request's metadata; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = shown::pair)]
    metadata: Vec<(String, String)>,
    /// How long the call may take, connecting included
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = shown::time_span)]
    timeout: Duration,
}

impl Invoke {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        let body = self.body()?;
        let mut request = Request::new(body);
        for (name, value) in &self.metadata {
            request = request.with(name.clone(), value.clone());
        }
        let stop = Stop::listen()?;
        let client = self.resources.client()?;
        let (name, operation) = (&self.name, &self.operation);
        let reply = client
            .invoke_binding_blocking(name, operation, request, Some(self.timeout), || stop.is_asked())
            .map_err(|error| error.component(name.as_str()).operation(operation))?;
        if terminal.is_json() {
            let mut object = Map::new();
            shown::put_body(&mut object, &reply.body);
            object.insert("metadata".to_owned(), shown::metadata(&reply.metadata));
            return terminal.say_json(&json!(object));
        }
        terminal.say_bytes(reply.body.as_bytes().map_or(&[], |bytes| bytes))
    }

    fn body(&self) -> Result<Body, Failure> {
        if self.no_data {
            return Ok(Body::None);
        }
        if let Some(file) = &self.data_file {
            let data = std::fs::read(file);
            let unreadable = |error| Failure::Failed(format!("{} cannot be read: {error}", file.display()));
            return data.map(Body::from).map_err(unreadable);
        }
        if self.stdin.is_some() {
            let mut data = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut data);
            let unreadable = |error| Failure::Failed(format!("the standard input cannot be read: {error}"));
            return read.map(|_| Body::from(data)).map_err(unreadable);
        }
        Ok(self.data.clone().map_or_else(Body::empty, Body::from))
    }
}
