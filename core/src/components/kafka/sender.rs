//! The sending machinery of one component: partitions, producers, and whoever serves them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use rdkafka::ClientConfig;

use super::cluster::ClusterHealth;
use super::connection::Connection;
use super::ffi::OfThisProcess;
use super::guard::log;
use super::partition::{Batch, Partition, batches_at_once};
use super::pending::Record;
use super::serving::{self, Attending, Wake};
use super::tokens::Tokens;
use crate::error::{Error, ErrorCode, Result};

/// Requests that librdkafka's idempotent producer allows on a connection at once, one partition in each.
const REQUESTS_AT_ONCE: usize = 5;
/// Batches slower than this were held up by the network or by the bound above, not by this machine.
const SLOW_BATCH: Duration = Duration::from_millis(1);
/// So many slow batches in a crowd, one after the other, are worth one more connection.
const CROWD: usize = 64;

pub(super) struct Sender {
    topic: String,
    config: ClientConfig,
    idempotent: bool,
    most_connections: usize,
    /// What its producers log in with, where they need tokens.
    tokens: Option<Arc<Tokens>>,
    pub(super) health: Arc<ClusterHealth>,
    pub(super) partitions: ArcSwapOption<Vec<Arc<Partition>>>,
    connections: ArcSwap<Vec<Arc<Connection>>>,
    /// Slow batches in a crowd since the last quick one.
    crowded: AtomicUsize,
    next_connection: AtomicUsize,
    pub(super) wake: Arc<Wake>,
    server: OfThisProcess<Mutex<Option<std::thread::JoinHandle<()>>>>,
    closing: AtomicBool,
}

impl Sender {
    pub(super) fn open(
        topic: String,
        config: ClientConfig,
        most_connections: usize,
        tokens: Option<Arc<Tokens>>,
    ) -> Result<Arc<Self>> {
        let health = Arc::new(ClusterHealth::default());
        let wake = Arc::new(Wake::default());
        let first = Arc::new(connect(&config, &health, tokens.as_deref(), &wake)?);
        let sender = Arc::new(Self {
            topic,
            idempotent: config.get("enable.idempotence") == Some("true"),
            config,
            most_connections,
            tokens,
            health,
            partitions: ArcSwapOption::empty(),
            connections: ArcSwap::from_pointee(vec![first]),
            crowded: AtomicUsize::new(0),
            next_connection: AtomicUsize::new(0),
            wake,
            server: OfThisProcess::new(Mutex::new(None)),
            closing: AtomicBool::new(false),
        });
        *sender.server.lock() = Some(serving::start(&sender)?);
        if let Some(tokens) = &sender.tokens {
            tokens.tell(&sender);
        }
        Ok(sender)
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Any producer, to ask the cluster something.
    pub(super) fn connection(&self) -> Arc<Connection> {
        self.connections.load()[0].clone()
    }

    /// Queues records of one partition and hands over what can go.
    pub(super) fn send(&self, partition: &Arc<Partition>, records: impl IntoIterator<Item = Record>) {
        self.relieve();
        partition.push(records);
        self.pump(partition);
    }

    /// [`send`](Self::send) of one record. A caller who is alone here gets the part of serving.
    pub(super) fn send_one(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        record: Record,
    ) -> Option<Attending> {
        let attending = self.attend();
        if attending.is_none() {
            self.relieve();
        }
        partition.push([record]);
        self.pump(partition);
        attending
    }

    fn pump(&self, partition: &Arc<Partition>) {
        if let Some(refusal) = self.health.refusal() {
            partition.give_back(&refusal);
            return;
        }
        let nobody = Cell::new(false);
        let handed_over = partition.pump(&self.topic, || {
            let chosen = self.choose_connection();
            nobody.set(chosen.is_none());
            chosen
        });
        if nobody.get()
            && let Some(error) = self.health.without_token()
        {
            partition.give_back(&error);
        }
        // SeqCst here, in `end` and in the count of batches: one of the two sides has to see the other.
        if handed_over > 0 {
            self.wake.somebody_serves();
        }
    }

    /// Hands over what waits everywhere, after the cluster came back.
    pub(super) fn pump_all(&self) {
        if let Some(partitions) = &*self.partitions.load() {
            for partition in partitions.iter() {
                self.pump(partition);
            }
        }
    }

    /// Fails what waits for a cluster that is away, when nobody can log in there.
    pub(super) fn give_back_without_token(&self) {
        if !self.health.is_reachable()
            && let Some(error) = self.health.without_token()
        {
            self.give_back(&error);
        }
    }

    /// Fails what waits everywhere: the brokers refuse us, and nothing was sent.
    pub(super) fn give_back(&self, error: &Error) {
        if let Some(partitions) = &*self.partitions.load() {
            for partition in partitions.iter() {
                partition.give_back(error);
            }
        }
    }

    /// The producer for a partition with nothing out: none while the cluster is away, so that records stay
    /// recallable.
    fn choose_connection(&self) -> Option<Arc<Connection>> {
        if !self.health.is_reachable() || self.health.is_fatal() {
            return None;
        }
        let connections = self.connections.load();
        if connections.len() == 1 {
            return Some(connections[0].clone());
        }
        let start = self.next_connection.fetch_add(1, Ordering::Relaxed);
        // The first of the least busy ones, from a moving start.
        (0..connections.len())
            .map(|step| &connections[(start + step) % connections.len()])
            .min_by_key(|connection| connection.batches_out())
            .cloned()
    }

    /// Adds partitions that the topic gained.
    pub(super) fn set_partitions(&self, count: usize) {
        let current = self.partitions.load_full();
        let known = current.as_ref().map_or(0, |partitions| partitions.len());
        if known < count {
            let mut partitions = current.map_or_else(Vec::new, |partitions| partitions.to_vec());
            let at_once = batches_at_once(self.idempotent);
            partitions.extend(
                (known..count)
                    .map(|number| Partition::new(i32::try_from(number).unwrap_or(i32::MAX), at_once)),
            );
            self.partitions.store(Some(Arc::new(partitions)));
        }
    }

    /// Handles what delivery reports are there; `false` when there were none that ended a batch.
    pub(super) fn serve(&self) -> bool {
        let mut ended = Vec::new();
        for connection in self.connections.load().iter() {
            connection.serve(&mut ended);
        }
        let any = !ended.is_empty();
        for batch in ended {
            batch.partition.batch_ended();
            self.pump(&batch.partition);
            self.watch_crowd(&batch);
        }
        any
    }

    /// Opens one more connection when the bound on requests of the existing ones holds a crowd back for long.
    fn watch_crowd(&self, batch: &Batch) {
        let connections = self.connections.load();
        if connections.len() >= self.most_connections || self.health.is_locked_out() {
            return;
        }
        let held_back = batch.connection.batches_out() >= REQUESTS_AT_ONCE && batch.age() >= SLOW_BATCH;
        if !held_back {
            self.crowded.store(0, Ordering::Relaxed);
        } else if self.crowded.fetch_add(1, Ordering::Relaxed) + 1 >= CROWD {
            self.crowded.store(0, Ordering::Relaxed);
            match self.connect() {
                Ok(connection) => {
                    let mut more = connections.to_vec();
                    more.push(Arc::new(connection));
                    log!(
                        debug,
                        topic = self.topic,
                        connections = more.len(),
                        "one more connection, to keep more partitions under way"
                    );
                    self.connections.store(Arc::new(more));
                }
                Err(error) => log!(warn, "{error}"),
            }
        }
    }

    fn connect(&self) -> Result<Connection> {
        connect(&self.config, &self.health, self.tokens.as_deref(), &self.wake)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.connections.load().iter().any(|connection| connection.batches_out() > 0)
    }

    /// Whether reports, errors or the like wait to be served.
    pub(super) fn has_unserved(&self) -> bool {
        self.connections.load().iter().any(|connection| connection.has_unserved())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Replaces producers after a fatal error: librdkafka refuses every further record of such a one. What it had
    /// is reported as failed first.
    pub(super) fn replace_producers(&self) -> Result<()> {
        let fresh = Arc::new(self.connect()?);
        let old = self.connections.swap(Arc::new(vec![fresh]));
        let patience = Instant::now() + Duration::from_secs(5);
        while old.iter().any(|connection| connection.batches_out() > 0) && Instant::now() < patience {
            let mut ended = Vec::new();
            for connection in old.iter() {
                connection.serve(&mut ended);
            }
            for batch in ended {
                batch.partition.batch_ended();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.health.replaced();
        self.pump_all();
        Ok(())
    }

    /// Waits until everything handed over is settled, then ends the threads. Blocks.
    pub(super) fn close(&self, deadline: Instant) -> Result<()> {
        if !self.server.is_ours() {
            return Err(Error::new(ErrorCode::Forked, "the component belongs to the parent process"));
        }
        self.relieve();
        while self.is_busy() && Instant::now() < deadline {
            self.wake.unpark_server();
            std::thread::sleep(Duration::from_millis(2));
        }
        let left_behind = self.is_busy();
        if let Some(partitions) = &*self.partitions.load() {
            for partition in partitions.iter() {
                partition.close();
            }
        }
        self.closing.store(true, Ordering::Release);
        self.wake.unpark_server();
        if let Some(server) = self.server.lock().take() {
            let _ = server.join();
        }
        if left_behind {
            return Err(Error::new(ErrorCode::OutcomeUnknown, "closed before every record was confirmed"));
        }
        Ok(())
    }
}

fn connect(
    config: &ClientConfig,
    health: &Arc<ClusterHealth>,
    tokens: Option<&Tokens>,
    wake: &Arc<Wake>,
) -> Result<Connection> {
    let wake = wake.clone();
    Connection::open(config, health.clone(), tokens, move || wake.notify())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::components::kafka::dev_broker::DevBroker;
    use crate::components::kafka::tests::{output, send};

    #[test]
    fn a_fatal_producer_error_replaces_the_producer() {
        let broker = DevBroker::start(0).expect("a broker");
        let output = output(&broker.bootstrap());
        send(&output).expect("sent");
        let old = output.sender().connection();
        old.raise_fatal_error();
        let patience = Instant::now() + Duration::from_secs(10);
        // A call may still fail while the producer is being replaced; afterwards none does.
        while send(&output).is_err() {
            assert!(Instant::now() < patience, "the producer was not replaced");
        }
        assert!(!std::sync::Arc::ptr_eq(&old, &output.sender().connection()), "it is another producer");
        send(&output).expect("sent");
    }
}
