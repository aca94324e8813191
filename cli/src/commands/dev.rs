//! `bindwright dev …`: servers for development. They live in this process, and end with it.

use bindwright::dev::{DEFAULT_PORT, DevBroker};

use super::{Action, Command, Opt, Values};
use crate::signals::Stop;
use crate::{Failure, say};

pub(crate) const COMMAND: Command = Command {
    name: "dev",
    summary: "servers for development, without Docker and without a JVM",
    help: "Servers for development, without Docker and without a JVM. They keep everything in memory.",
    action: Action::Group(&[KAFKA]),
};

const KAFKA: Command = Command {
    name: "kafka",
    summary: "a Kafka broker on this machine",
    help: "\
Runs a Kafka broker for development until Ctrl-C or SIGTERM.

It listens on 127.0.0.1 only and wants no password. It keeps the newest 5 MB or 100,000 records of
each partition in memory; nothing is written to disk, and everything is gone when it ends. Topics are
made on first use, with 4 partitions. What clients can do with it: docs/dev-kafka.md.

The first line that it prints ends with its address, and is printed when it is ready.",
    action: Action::Run {
        options: &[Opt {
            name: "port",
            value: "N",
            summary: "the port to listen on: 9092 when left out; 0 takes a free one",
        }],
        run: kafka,
    },
};

fn kafka(values: &Values) -> Result<(), Failure> {
    let port = values.parse("port", "a number from 0 to 65535")?.unwrap_or(DEFAULT_PORT);
    // Before the broker: a signal that comes early must not be lost.
    let stop = Stop::listen()?;
    let broker = DevBroker::start(port)?;
    say(&kafka_is_ready(&broker.bootstrap()))?;
    stop.wait();
    say("stopped\n")
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
