//! The sending machinery of one component: partitions, producers, and whoever serves them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Condvar, Mutex};
use rdkafka::ClientConfig;

use super::cluster::ClusterHealth;
use super::connection::Connection;
use super::ffi::OfThisProcess;
use super::guard::{self, log};
use super::partition::{Batch, Partition, batches_at_once};
use super::pending::Record;
use crate::binding::Driver;
use crate::error::{Error, ErrorCode, Result};

/// How often a producer with nothing to do is looked after: errors and statistics arrive unasked.
const IDLE: Duration = Duration::from_millis(250);
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
    pub(super) health: Arc<ClusterHealth>,
    pub(super) partitions: ArcSwapOption<Vec<Arc<Partition>>>,
    connections: ArcSwap<Vec<Arc<Connection>>>,
    /// Slow batches in a crowd since the last quick one.
    crowded: AtomicUsize,
    next_connection: AtomicUsize,
    wake: Arc<Wake>,
    server: OfThisProcess<Mutex<Option<std::thread::JoinHandle<()>>>>,
    closing: AtomicBool,
}

/// Who serves delivery reports, and how that thread is woken.
#[derive(Default)]
struct Wake {
    /// Somebody serves: a blocking caller, or the server thread.
    taken: AtomicBool,
    something: Mutex<bool>,
    condition: Condvar,
    server: ArcSwapOption<Thread>,
}

impl Wake {
    fn notify(&self) {
        *self.something.lock() = true;
        self.condition.notify_one();
        if !self.taken.load(Ordering::Acquire) {
            self.unpark_server();
        }
    }

    fn unpark_server(&self) {
        if let Some(thread) = &*self.server.load() {
            thread.unpark();
        }
    }

    fn wait(&self, at_most: Duration) {
        let mut something = self.something.lock();
        if !*something {
            self.condition.wait_for(&mut something, at_most);
        }
        *something = false;
    }
}

impl Sender {
    pub(super) fn open(topic: String, config: ClientConfig, most_connections: usize) -> Result<Arc<Self>> {
        let health = Arc::new(ClusterHealth::default());
        let wake = Arc::new(Wake::default());
        let first = Arc::new(connect(&config, &health, &wake)?);
        let sender = Arc::new(Self {
            topic,
            idempotent: config.get("enable.idempotence") == Some("true"),
            config,
            most_connections,
            health,
            partitions: ArcSwapOption::empty(),
            connections: ArcSwap::from_pointee(vec![first]),
            crowded: AtomicUsize::new(0),
            next_connection: AtomicUsize::new(0),
            wake: wake.clone(),
            server: OfThisProcess::new(Mutex::new(None)),
            closing: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&sender);
        let server = std::thread::Builder::new()
            .name("bindwright-send".to_owned())
            // Nothing in it should panic; if something does, others still need it.
            .spawn(
                move || {
                    while guard::caught("the sending thread", || serve_while_needed(&weak, &wake)).is_err() {}
                },
            )
            .map_err(|error| Error::new(ErrorCode::Internal, format!("no thread to send from: {error}")))?;
        sender.wake.server.store(Some(Arc::new(server.thread().clone())));
        *sender.server.lock() = Some(server);
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
        partition.push(records);
        self.pump(partition);
    }

    fn pump(&self, partition: &Arc<Partition>) {
        if let Some(refusal) = self.health.refusal() {
            partition.give_back(&refusal);
            return;
        }
        let handed_over = partition.pump(&self.topic, || self.choose_connection());
        // SeqCst here, in `end` and in the count of batches: one of the two sides has to see the other.
        if handed_over > 0 && !self.wake.taken.load(Ordering::SeqCst) {
            self.wake.unpark_server();
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
    fn serve(&self) -> bool {
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
        if connections.len() >= self.most_connections {
            return;
        }
        let held_back = batch.connection.batches_out() >= REQUESTS_AT_ONCE && batch.age() >= SLOW_BATCH;
        if !held_back {
            self.crowded.store(0, Ordering::Relaxed);
        } else if self.crowded.fetch_add(1, Ordering::Relaxed) + 1 >= CROWD {
            self.crowded.store(0, Ordering::Relaxed);
            match connect(&self.config, &self.health, &self.wake) {
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

    fn is_busy(&self) -> bool {
        self.connections.load().iter().any(|connection| connection.batches_out() > 0)
    }

    /// Replaces producers after a fatal error: librdkafka refuses every further record of such a one. What it had
    /// is reported as failed first.
    pub(super) fn replace_producers(&self) -> Result<()> {
        let fresh = Arc::new(connect(&self.config, &self.health, &self.wake)?);
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

fn connect(config: &ClientConfig, health: &Arc<ClusterHealth>, wake: &Arc<Wake>) -> Result<Connection> {
    let wake = wake.clone();
    Connection::open(config, health.clone(), move || wake.notify())
}

/// The server thread: brings reports home whenever no blocking caller does.
fn serve_while_needed(sender: &Weak<Sender>, wake: &Wake) {
    loop {
        let Some(sender) = sender.upgrade() else { return };
        if sender.closing.load(Ordering::Acquire) {
            return;
        }
        if sender.begin() {
            let serving = Serving(wake);
            sender.serve();
            while sender.is_busy() && !sender.closing.load(Ordering::Acquire) {
                sender.drive(IDLE);
            }
            drop(serving);
        }
        let again = sender.is_busy() && !wake.taken.load(Ordering::SeqCst);
        drop(sender);
        if !again {
            std::thread::park_timeout(IDLE);
        }
    }
}

/// The server thread's turn, which ends also by a panic.
struct Serving<'a>(&'a Wake);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
    }
}

impl Driver for Sender {
    fn begin(&self) -> bool {
        self.wake.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn drive(&self, at_most: Duration) {
        if !self.serve() {
            self.wake.wait(at_most);
            self.serve();
        }
    }

    fn end(&self) {
        self.wake.taken.store(false, Ordering::SeqCst);
        if self.is_busy() {
            self.wake.unpark_server();
        }
    }
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
