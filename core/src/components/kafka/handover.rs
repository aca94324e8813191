//! Partitions come and go: start positions before the first event, drained handlers before the last commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assigned::Assigned;
use super::assignment::{Positions, Start, start_positions};
use super::commits::Commit;
use super::failure;
use super::guard::{self, log};
use super::progress::Progress;
use super::reader::{PartitionKey, Reader, TICK};
use crate::error::{Error, ErrorCode, Result};

impl Reader {
    /// Takes partitions on: first their start positions are safe, then they are read.
    pub(super) fn assign(&mut self, list: &TopicPartitionList) -> Result<()> {
        let Some(positions) = self.resolve(list)? else { return Ok(()) };
        let mut assignment = TopicPartitionList::new();
        for ((topic, number), offset) in positions {
            let broken = |error: KafkaError| failure::from_kafka(&error, "a partition cannot be assigned");
            assignment.add_partition_offset(&topic, number, Offset::Offset(offset)).map_err(broken)?;
            self.memory.started.insert(topic.clone());
            self.open_partition(topic, number, offset);
        }
        let taken = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&assignment),
            _ => self.consumer.assign(&assignment),
        };
        taken.map_err(|error| failure::from_kafka(&error, "the partitions cannot be assigned"))?;
        self.shared.status.assigned();
        self.missing.look_again();
        log!(debug, partitions = assignment.count(), "partitions assigned");
        Ok(())
    }

    /// Start positions, asked for until they are known; none when the group changed its mind or the client stops.
    fn resolve(&mut self, list: &TopicPartitionList) -> Result<Option<Positions>> {
        let since = Instant::now();
        loop {
            let alone = since.elapsed() >= self.settings.session_timeout;
            let start = Start { initial: self.settings.initial_offset, started: &self.memory.started, alone };
            match start_positions(&self.consumer, list, &start) {
                Ok(None) => {}
                Ok(Some((positions, first))) if first.count() == 0 => return Ok(Some(positions)),
                Ok(Some((positions, first))) => {
                    let patience = Instant::now() + self.settings.session_timeout;
                    if let Commit::Done = self.commit_and_wait(&first, Vec::new(), patience)? {
                        return Ok(Some(positions));
                    }
                }
                Err(error) => self.note(&error),
            }
            self.serve_main_queue()?;
            if self.consumer.context().has_rebalances() || self.shared.stop_by.lock().is_some() {
                return Ok(None);
            }
            self.shared.alarm.wait(TICK);
        }
    }

    fn open_partition(&mut self, topic: String, number: i32, position: i64) {
        let Some(mut queue) = self.consumer.split_partition_queue(&topic, number) else {
            // Only a topic name with a zero byte has no queue, and no broker has such a topic.
            return;
        };
        let nonempty = Arc::new(AtomicBool::new(true));
        let (flag, alarm) = (nonempty.clone(), self.shared.alarm.clone());
        queue.set_nonempty_callback(move || {
            flag.store(true, Ordering::Release);
            guard::quietly(|| alarm.ring());
        });
        let progress = Progress::new(self.shared.alarm.clone(), self.settings.max_uncommitted / 4);
        let source = self.intake.open_source(progress.clone());
        let name = topic.as_str().into();
        let assigned = Assigned {
            topic: name,
            queue,
            nonempty,
            source,
            progress,
            position,
            fresh: true,
            held: VecDeque::new(),
        };
        self.assigned.insert((topic, number), assigned);
    }

    /// Gives partitions back: handlers that run may finish, then what they settled is committed.
    pub(super) fn revoke(&mut self, list: &TopicPartitionList) -> Result<()> {
        let cooperative = matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let keys: Vec<PartitionKey> =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        let deadline = Instant::now() + self.settings.session_timeout;
        let settled = self.drain(|key| keys.contains(key), deadline);
        let committed = settled.and_then(|()| {
            // Whoever lost its membership has nothing to say about the partitions any more.
            if self.consumer.assignment_lost() {
                let what = "the group took this reader for gone; it joins again";
                self.shared.status.outside(Error::new(ErrorCode::Unavailable, what));
                Ok(())
            } else {
                self.commit_rest(|key| keys.contains(key), deadline)
            }
        });
        if let Err(error) = committed {
            log!(
                warn,
                "partitions were handed over, and some events will be \
                delivered again: {error}"
            );
        }
        self.assigned.retain(|key, _| !keys.contains(key));
        let given =
            if cooperative { self.consumer.incremental_unassign(list) } else { self.consumer.unassign() };
        log!(debug, partitions = keys.len(), "partitions given back");
        given.map_err(|error| failure::from_kafka(&error, "the partitions cannot be given back"))
    }

    /// Stops handing out and waits for the handlers of some partitions.
    pub(super) fn drain(&mut self, which: impl Fn(&PartitionKey) -> bool, deadline: Instant) -> Result<()> {
        for (_, assigned) in self.assigned.iter().filter(|(key, _)| which(key)) {
            assigned.progress.set_eager(true);
            assigned.source.close();
        }
        let busy = |reader: &Self| {
            reader.assigned.iter().any(|(key, assigned)| which(key) && assigned.source.outstanding() > 0)
        };
        while busy(self) && !self.is_over(deadline, Duration::ZERO) {
            self.serve_main_queue()?;
            // The process may be ended before the slowest handler is done; what is settled stays settled then.
            self.commit_if_due(Instant::now());
            self.shared.alarm.wait(Duration::from_millis(20));
        }
        Ok(())
    }
}
