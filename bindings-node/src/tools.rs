//! What stands beside the client: the command, and the broker for development.

use std::ffi::OsString;

use napi::Env;
use napi_derive::napi;

use crate::errors::thrown;

/// Runs the command `bindwright` with these arguments (without the program's name), on this thread until it ends;
/// returns the exit status.
#[napi(catch_unwind)]
pub fn run_command(arguments: Vec<String>) -> i32 {
    bindwright_cli::run(arguments.into_iter().map(OsString::from))
}

/// The version of the native library.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A Kafka broker inside this process, for tests: in memory, on 127.0.0.1.
#[napi]
pub struct DevBroker {
    bootstrap: String,
    broker: Option<bindwright::dev::DevBroker>,
}

#[napi]
impl DevBroker {
    /// Starts it on a port; 0 takes a free one.
    #[napi(factory, catch_unwind)]
    pub fn start(env: Env, port: u16) -> napi::Result<Self> {
        let broker = thrown(env, bindwright::dev::DevBroker::start(port))?;
        Ok(Self { bootstrap: broker.bootstrap(), broker: Some(broker) })
    }

    /// `host:port`, as in the setting `brokers`.
    #[napi(getter)]
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Ends it, with everything in it. A program that never calls this may lose its broker to the garbage collector
    /// long before it ends.
    #[napi(catch_unwind)]
    pub fn stop(&mut self) {
        self.broker = None;
    }
}
