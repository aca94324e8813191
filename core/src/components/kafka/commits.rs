//! Commits: what was settled without a gap, one commit under way at a time, its answer always asked for.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::{CommitOffsets, offsets_of};
use super::guard::log;
use super::reader::{Covered, PartitionKey, Reader, TICK};
use super::{failure, ffi};
use crate::error::{Error, ErrorCode, Result};

/// How long a last commit may take when handlers used up the time.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);

/// How a commit ended.
pub(super) enum Commit {
    Done,
    Refused(RDKafkaErrorCode),
    Unanswered,
}

/// A commit that is on its way.
pub(super) struct CommitOut {
    covered: Covered,
    /// By these its answer is known.
    offsets: CommitOffsets,
    since: Instant,
}

impl Reader {
    /// Commits what is settled in some partitions and waits for the answer.
    pub(super) fn commit_rest(
        &mut self,
        which: impl Fn(&PartitionKey) -> bool,
        deadline: Instant,
    ) -> Result<()> {
        // At least a short while for the commit itself, also when handlers used up the time.
        let deadline = deadline.max(Instant::now() + COMMIT_PATIENCE);
        loop {
            let (list, covered) = self.uncommitted(&which);
            if list.count() == 0 {
                return Ok(());
            }
            let what = "settled events could not be committed and will be delivered again";
            match self.commit_and_wait(&list, covered, deadline)? {
                Commit::Done => return Ok(()),
                // Whoever lost its place in the group need not ask again, nor whose topic was deleted.
                Commit::Refused(
                    code @ (RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId),
                ) => return Err(failure::from_code(code, what)),
                Commit::Refused(code) if self.is_over(deadline, COMMIT_PATIENCE) => {
                    return Err(failure::from_code(code, what));
                }
                Commit::Unanswered if self.is_over(deadline, COMMIT_PATIENCE) => {
                    return Err(Error::new(ErrorCode::Unavailable, what));
                }
                Commit::Refused(_) | Commit::Unanswered => {}
            }
            self.shared.alarm.wait(TICK);
        }
    }

    fn uncommitted(&self, which: &impl Fn(&PartitionKey) -> bool) -> (TopicPartitionList, Covered) {
        let mut list = TopicPartitionList::new();
        let mut covered = Vec::new();
        for ((topic, number), assigned) in self.assigned.iter().filter(|(key, _)| which(key)) {
            if let Some((offset, events)) = assigned.progress.to_commit()
                && list.add_partition_offset(topic, *number, Offset::Offset(offset)).is_ok()
            {
                covered.push((assigned.progress.clone(), events));
            }
        }
        (list, covered)
    }

    /// Whether waiting has an end: at the deadline, or earlier when the reader is stopped, `grace` after the time that
    /// was given for that.
    pub(super) fn is_over(&self, deadline: Instant, grace: Duration) -> bool {
        let now = Instant::now();
        now >= deadline || self.shared.stop_by.lock().is_some_and(|stop_by| now >= stop_by + grace)
    }

    /// Commits and waits until the answer is there, at most until the deadline.
    pub(super) fn commit_and_wait(
        &mut self,
        list: &TopicPartitionList,
        covered: Covered,
        deadline: Instant,
    ) -> Result<Commit> {
        while self.commit_out.is_some() && !self.is_over(deadline, COMMIT_PATIENCE) {
            self.shared.alarm.wait(Duration::from_millis(20));
            self.serve_main_queue()?;
        }
        if let Err(code) = self.begin_commit(list, covered) {
            return Ok(Commit::Refused(code));
        }
        while self.commit_out.is_some() && !self.is_over(deadline, COMMIT_PATIENCE) {
            self.shared.alarm.wait(Duration::from_millis(20));
            self.serve_main_queue()?;
        }
        Ok(match (&self.commit_out, self.commit_refused) {
            (Some(_), _) => Commit::Unanswered,
            (None, Some(code)) => Commit::Refused(code),
            (None, None) => Commit::Done,
        })
    }

    fn begin_commit(&mut self, list: &TopicPartitionList, covered: Covered) -> Result<(), RDKafkaErrorCode> {
        self.last_commit = Instant::now();
        self.commit_refused = None;
        ffi::commit(&self.consumer, list).inspect_err(|code| log!(debug, "commit: {code}"))?;
        self.commit_out = Some(CommitOut { covered, offsets: offsets_of(list), since: Instant::now() });
        Ok(())
    }

    /// Takes the answers to commits.
    pub(super) fn hear_commits(&mut self) {
        for answer in self.consumer.context().take_commits() {
            // The answer to a commit that was given up says nothing about the one that is out. librdkafka names no
            // offsets where it could not send anything.
            let is_for = |out: &CommitOut| answer.offsets.is_empty() || answer.offsets == out.offsets;
            let Some(out) = self.commit_out.take_if(|out| is_for(out)) else { continue };
            match answer.result {
                Ok(()) => {
                    self.commit_refused = None;
                    for (progress, events) in out.covered {
                        progress.committed(events);
                    }
                }
                Err(code) => {
                    self.commit_refused = Some(code);
                    log!(debug, "commit: {code}; it is repeated");
                }
            }
        }
    }

    pub(super) fn commit_if_due(&mut self, now: Instant) {
        if let Some(out) = &self.commit_out {
            // An answer that never comes must not end all commits.
            if now.saturating_duration_since(out.since) < self.settings.session_timeout {
                return;
            }
            self.commit_out = None;
        }
        let due = now.saturating_duration_since(self.last_commit) >= TICK
            || self.assigned.values().any(|assigned| assigned.progress.wants_commit());
        if !due {
            return;
        }
        let (list, covered) = self.uncommitted(&|_| true);
        if list.count() > 0 {
            // Repeated at the next tick where it does not begin.
            let _ = self.begin_commit(&list, covered);
        }
    }
}
