//! A Kafka broker inside this process, for demonstrations, development and unit tests.
//!
//! It is librdkafka's mock cluster behind a small TCP forward that gives it a port of your choice. It speaks the
//! protocol, with consumer groups and idempotent producers, and keeps the last 5 MB or 100,000 records of each
//! partition in memory; nothing is written to disk. Topics are made on first use, with 4 partitions.

use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddr};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::ffi;
use crate::error::{Error, ErrorCode, Result};
use crate::runtime;

/// The port that Kafka clients try when nobody says otherwise.
pub const DEFAULT_PORT: u16 = 9092;

/// How long a new group waits for more members: the mock's own three seconds are long for a first try.
const GROUP_DELAY_MS: i32 = 100;

/// A running broker; it ends, with everything in it, when this is dropped.
pub struct DevBroker {
    address: SocketAddr,
    forward: tokio::task::JoinHandle<()>,
    /// Owns the mock cluster.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is there to be dropped"))]
    cluster: ffi::OfThisProcess<BaseProducer<DefaultProducerContext>>,
}

impl DevBroker {
    /// Starts a broker on `127.0.0.1`; port 0 takes a free one.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` when the port is taken.
    pub fn start(port: u16) -> Result<Self> {
        let internal =
            |what: &str| Error::new(ErrorCode::Internal, format!("the broker does not start: {what}"));
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1").set("log_level", "0");
        let cluster: BaseProducer<DefaultProducerContext> =
            BaseProducer::from_config_and_context(&config, DefaultProducerContext)
                .map_err(|error| internal(&error.to_string()))?;
        let inside = cluster.client().mock_cluster().map(|mock| mock.bootstrap_servers());
        let inside = inside.ok_or_else(|| internal("no mock cluster"))?;
        let inside: SocketAddr = inside.parse().map_err(|_| internal("the cluster names no address"))?;

        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            Error::new(ErrorCode::InvalidOptions, format!("port {port} cannot be used: {error}"))
                .advice("Stop what listens there, or choose another port (0 takes a free one).")
        })?;
        let address = listener.local_addr().map_err(|error| internal(&error.to_string()))?;
        let host = CString::new(address.ip().to_string()).map_err(|error| internal(&error.to_string()))?;
        if !ffi::set_up_mock_broker(cluster.client(), 1, &host, address.port(), GROUP_DELAY_MS) {
            return Err(internal("no mock cluster"));
        }
        let forward = runtime::handle()?.spawn(async move {
            let Ok(()) = listener.set_nonblocking(true) else { return };
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward_connection(client, inside));
            }
        });
        Ok(Self { address, forward, cluster: ffi::OfThisProcess::new(cluster) })
    }

    /// What the broker says of a topic.
    #[cfg(test)]
    pub(super) fn set_topic_error(&self, topic: &str, error: rdkafka::types::RDKafkaRespErr) {
        let mock = self.cluster.client().mock_cluster().expect("a mock cluster");
        mock.topic_error(topic, error).expect("set");
    }

    /// How long every answer takes.
    #[cfg(test)]
    pub(super) fn set_delay(&self, delay: std::time::Duration) {
        let mock = self.cluster.client().mock_cluster().expect("a mock cluster");
        mock.broker_round_trip_time(1, delay).expect("set");
    }

    /// `host:port`, as in the setting `brokers`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        self.forward.abort();
    }
}

async fn forward_connection(mut client: TcpStream, broker: SocketAddr) {
    let Ok(mut broker) = TcpStream::connect(broker).await else { return };
    // Small requests and answers must not wait for each other.
    let _ = client.set_nodelay(true);
    let _ = broker.set_nodelay(true);
    // Ends when either side closes, which is how Kafka clients end a connection.
    let _ = copy_bidirectional(&mut client, &mut broker).await;
}
