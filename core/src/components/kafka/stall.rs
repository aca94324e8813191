//! When a partition counts as stalled: the broker has more, there is room for it, and nothing comes.
//!
//! librdkafka mends a lost answer by itself, at the latest after its socket time-out. This is for what it does not
//! mend. The rules, which the tests below spell out:
//!
//! * Only a partition that has been silent for half of the time is asked for, and only one with room: what waits for
//!   handlers is not stalled.
//! * Two looks, the whole time apart, must both find that the broker has more, with no progress in between.
//! * Offsets that are never delivered (ends of transactions, records that were compacted away) look the same. So
//!   a second reader looks whether there is a record at all, and what it finds empty is left alone.
//! * A consumer is never replaced twice for the same newest offset without progress in between. Where that grows, the
//!   pause between two replacements doubles.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::reader::PartitionKey;

/// The pause between replacements that do not help doubles so often.
const MOST_DOUBLINGS: u32 = 6;

/// What a look at the newest offset of a partition tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Read to the end, or nothing to be done about it.
    Fine,
    /// Behind, and not for long enough.
    Behind,
    /// Behind for so long: find out whether there is a record to be read.
    Suspect(Duration),
}

/// Watches the partitions of a reader, over all consumers that it has.
#[derive(Debug)]
pub(super) struct StallWatch {
    timeout: Duration,
    next_round: Instant,
    partitions: BTreeMap<PartitionKey, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    /// The offset to be read next, as of the last round.
    position: Option<i64>,
    /// The first look that found it behind at this position.
    behind_since: Option<Instant>,
    /// A second reader found no record between the position and this offset.
    empty_to: Option<i64>,
    /// The last replacement, until there is progress.
    replaced: Option<Replaced>,
}

#[derive(Debug, Clone, Copy)]
struct Replaced {
    position: i64,
    newest: i64,
    at: Instant,
    times: u32,
}

impl StallWatch {
    /// A time of zero switches it off.
    pub(super) fn new(timeout: Duration, now: Instant) -> Self {
        Self { timeout, next_round: now + timeout / 2, partitions: BTreeMap::new() }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.timeout.is_zero() && now >= self.next_round
    }

    /// One round: gets every assigned partition with the offset to be read next and whether there is room, and
    /// returns those to ask for.
    pub(super) fn round<'a>(
        &mut self,
        now: Instant,
        assigned: impl Iterator<Item = (&'a PartitionKey, i64, bool)>,
    ) -> Vec<PartitionKey> {
        self.next_round = now + self.timeout / 2;
        let mut before = std::mem::take(&mut self.partitions);
        let mut silent = Vec::new();
        for (key, position, has_room) in assigned {
            let mut watched = before.remove(key).unwrap_or_default();
            if watched.replaced.is_some_and(|replaced| position > replaced.position) {
                watched.replaced = None;
            }
            if watched.position != Some(position) {
                watched =
                    Watched { position: Some(position), replaced: watched.replaced, ..Watched::default() };
            } else if has_room {
                silent.push(key.clone());
            } else {
                watched.behind_since = None;
            }
            self.partitions.insert(key.clone(), watched);
        }
        // Partitions that are not ours now, but that a consumer was replaced for: they may come back.
        before.retain(|_, watched| watched.replaced.is_some());
        for (key, watched) in before {
            let kept = Watched { replaced: watched.replaced, ..Watched::default() };
            self.partitions.insert(key, kept);
        }
        silent
    }

    /// What the newest offset of a partition means. `position` is the offset to be read next, now.
    pub(super) fn look(&mut self, now: Instant, key: &PartitionKey, position: i64, newest: i64) -> Verdict {
        let timeout = self.timeout;
        let Some(watched) = self.partitions.get_mut(key) else { return Verdict::Fine };
        if watched.position != Some(position) || newest <= position || watched.empty_to == Some(newest) {
            watched.behind_since = None;
            return Verdict::Fine;
        }
        if let Some(replaced) = watched.replaced {
            let pause = timeout * 2_u32.pow(replaced.times.min(MOST_DOUBLINGS));
            if newest == replaced.newest || now < replaced.at + pause {
                return Verdict::Fine;
            }
        }
        let since = *watched.behind_since.get_or_insert(now);
        let behind = now.saturating_duration_since(since);
        if behind >= timeout { Verdict::Suspect(behind) } else { Verdict::Behind }
    }

    /// A second reader found no record between the position and this offset.
    pub(super) fn is_empty(&mut self, key: &PartitionKey, position: i64, newest: i64) {
        if let Some(watched) = self.partitions.get_mut(key)
            && watched.position == Some(position)
        {
            watched.empty_to = Some(newest);
            watched.behind_since = None;
        }
    }

    /// The consumer is replaced because of this partition.
    pub(super) fn replaced(&mut self, now: Instant, key: &PartitionKey, position: i64, newest: i64) {
        let watched = self.partitions.entry(key.clone()).or_default();
        let times = watched.replaced.map_or(0, |replaced| replaced.times) + 1;
        watched.replaced = Some(Replaced { position, newest, at: now, times });
        watched.behind_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    struct Case {
        watch: StallWatch,
        begin: Instant,
        key: PartitionKey,
    }

    impl Case {
        fn new() -> Self {
            let begin = Instant::now();
            Self { watch: StallWatch::new(TIMEOUT, begin), begin, key: ("orders".to_owned(), 3) }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.begin + Duration::from_secs(seconds)
        }

        /// A round at this second; the verdict if the partition is asked for.
        fn round(&mut self, seconds: u64, position: i64, room: bool, newest: i64) -> Option<Verdict> {
            let (now, key) = (self.at(seconds), self.key.clone());
            assert!(self.watch.is_due(now), "rounds are half a time-out apart");
            let asked = self.watch.round(now, [(&key, position, room)].into_iter());
            (!asked.is_empty()).then(|| self.watch.look(now, &key, position, newest))
        }

        fn replace(&mut self, seconds: u64, position: i64, newest: i64) {
            let (now, key) = (self.at(seconds), self.key.clone());
            self.watch.replaced(now, &key, position, newest);
        }
    }

    const SUSPECT: Verdict = Verdict::Suspect(TIMEOUT);

    #[test]
    fn behind_at_two_looks_a_time_out_apart_is_suspect() {
        let mut case = Case::new();
        assert_eq!(case.round(30, 5, true, 9), None, "nothing is known of it yet");
        assert_eq!(case.round(60, 5, true, 9), Some(Verdict::Behind));
        assert_eq!(case.round(90, 5, true, 9), Some(Verdict::Behind));
        assert_eq!(case.round(120, 5, true, 12), Some(SUSPECT));
    }

    #[test]
    fn progress_in_between_begins_anew() {
        let mut case = Case::new();
        case.round(30, 5, true, 9);
        assert_eq!(case.round(60, 5, true, 9), Some(Verdict::Behind));
        assert_eq!(case.round(90, 6, true, 9), None, "it is not silent");
        assert_eq!(case.round(120, 6, true, 9), Some(Verdict::Behind));
        assert_eq!(case.round(150, 6, true, 9), Some(Verdict::Behind));
        assert_eq!(case.round(180, 6, true, 9), Some(SUSPECT));
    }

    #[test]
    fn a_partition_that_waits_for_handlers_is_not_stalled() {
        let mut case = Case::new();
        for round in 1..20 {
            assert_eq!(case.round(round * 30, 5, false, 9), None);
        }
        assert_eq!(case.round(600, 5, true, 9), Some(Verdict::Behind), "counted from when there was room");
    }

    #[test]
    fn a_quiet_topic_that_gets_a_record_is_not_stalled() {
        let mut case = Case::new();
        case.round(30, 5, true, 5);
        for round in 2..50 {
            assert_eq!(case.round(round * 30, 5, true, 5), Some(Verdict::Fine));
        }
        // The look comes before the record does.
        assert_eq!(case.round(1500, 5, true, 6), Some(Verdict::Behind));
        assert_eq!(case.round(1530, 6, true, 6), None);
    }

    #[test]
    fn an_answer_that_comes_after_progress_counts_nothing() {
        let mut case = Case::new();
        case.round(30, 5, true, 9);
        let (now, key) = (case.at(61), case.key.clone());
        assert_eq!(case.watch.look(now, &key, 9, 10), Verdict::Fine);
    }

    #[test]
    fn what_a_second_reader_found_empty_is_left_alone_until_something_is_written() {
        let mut case = Case::new();
        for round in 1..4 {
            case.round(round * 30, 5, true, 6);
        }
        assert_eq!(case.round(120, 5, true, 6), Some(SUSPECT));
        let key = case.key.clone();
        case.watch.is_empty(&key, 5, 6);
        for round in 5..50 {
            assert_eq!(case.round(round * 30, 5, true, 6), Some(Verdict::Fine));
        }
        assert_eq!(case.round(1500, 5, true, 8), Some(Verdict::Behind));
        assert_eq!(case.round(1530, 5, true, 8), Some(Verdict::Behind));
        assert_eq!(case.round(1560, 5, true, 8), Some(SUSPECT));
    }

    #[test]
    fn nothing_is_replaced_twice_for_the_same_newest_offset() {
        let mut case = Case::new();
        for round in 1..5 {
            case.round(round * 30, 5, true, 9);
        }
        case.replace(120, 5, 9);
        // The next consumer starts from what was committed, and comes no further.
        for round in 5..10 {
            case.round(round * 30, 3, true, 9);
        }
        for round in 10..200 {
            assert_eq!(case.round(round * 30, 5, true, 9).unwrap_or(Verdict::Fine), Verdict::Fine);
        }
    }

    #[test]
    fn replacements_that_do_not_help_become_rare() {
        let mut case = Case::new();
        let mut replacements = Vec::new();
        for round in 1..=240 {
            let newest = 10 + i64::try_from(round).expect("small");
            if let Some(Verdict::Suspect(_)) = case.round(round * 30, 5, true, newest) {
                case.replace(round * 30, 5, newest);
                replacements.push(round * 30);
            }
        }
        // Two hours: after 2, 5, 10, 19, 36 minutes …
        assert_eq!(replacements, [120, 300, 600, 1140, 2160, 4140]);
    }

    #[test]
    fn a_replacement_that_helped_is_forgotten() {
        let mut case = Case::new();
        for round in 1..5 {
            case.round(round * 30, 5, true, 9);
        }
        case.replace(120, 5, 9);
        case.round(150, 9, true, 9);
        case.round(180, 9, true, 12);
        assert_eq!(case.round(210, 9, true, 12), Some(Verdict::Behind));
        assert_eq!(case.round(240, 9, true, 12), Some(SUSPECT));
    }

    #[test]
    fn a_replacement_is_remembered_while_the_partition_is_nobodys() {
        let mut case = Case::new();
        for round in 1..5 {
            case.round(round * 30, 5, true, 9);
        }
        case.replace(120, 5, 9);
        let now = case.at(150);
        case.watch.round(now, std::iter::empty());
        case.round(180, 5, true, 9);
        for round in 7..20 {
            assert_eq!(case.round(round * 30, 5, true, 9), Some(Verdict::Fine));
        }
    }

    #[test]
    fn a_time_out_of_zero_watches_nothing() {
        let now = Instant::now();
        assert!(!StallWatch::new(Duration::ZERO, now).is_due(now + TIMEOUT * 1000));
    }
}
