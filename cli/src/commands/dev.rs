//! `bindwright dev …`: servers for development. They live in this process, and end with it.

use bindwright::dev::{DEFAULT_PORT, DevBroker};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::Failure;
use crate::signals::Stop;
use crate::terminal::Terminal;

/// Servers for development, without Docker and without a JVM
///
/// They keep everything in memory.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Server {
    Kafka(Kafka),
}

/// A Kafka broker on this machine
///
/// Runs a Kafka broker for development until Ctrl-C or SIGTERM.
///
/// It listens on 127.0.0.1 only and wants no password. It keeps the newest 5 MB or 100,000 records of each partition
/// in memory; nothing is written to disk, and everything is gone when it ends. Topics are made on first use, with 4
/// partitions. What clients can do with it: docs/dev-kafka.md.
///
/// The first line that it prints ends with its address, and is printed when it is ready.
#[derive(Debug, Args)]
struct Kafka {
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PORT)]
    port: u16,
}

impl Dev {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        match &self.server {
            Server::Kafka(kafka) => kafka.run(terminal),
        }
    }
}

impl Kafka {
    fn run(&self, terminal: &Terminal) -> Result<(), Failure> {
        // Before the broker: a signal that comes early must not be lost.
        let stop = Stop::listen()?;
        let broker = DevBroker::start(self.port)?;
        if terminal.is_json() {
            terminal.say_json(&json!({ "brokers": broker.bootstrap() }))?;
        } else {
            terminal.say(&kafka_is_ready(&broker.bootstrap()))?;
        }
        stop.wait();
        if terminal.is_json() { Ok(()) } else { terminal.say("stopped\n") }
    }
}

fn kafka_is_ready(address: &str) -> String {
    format!(
        "\
Kafka for development is ready on {address}

  in a component     name: brokers, value: {address}   and   name: authRequired, value: \"false\"
  other clients      bootstrap.servers={address}
  topics             are made on first use, with 4 partitions
  limits             the newest 5 MB or 100,000 records of each partition, in memory;
                     nothing is written to disk, and everything is gone when this ends
  stop               Ctrl-C

"
    )
}
