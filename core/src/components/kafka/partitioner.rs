//! Where records go: the placement that Dapr's Kafka components use, so that both can write to one topic.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The partition of a key: FNV-1a over the bytes, taken as a signed number, without its sign, modulo the partitions.
///
/// An empty key is a key here, as in Dapr; librdkafka's own `fnv1a_random` would treat it as none.
pub(super) fn partition_of(key: &[u8], partitions: usize) -> usize {
    let hash =
        key.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed().unsigned_abs() as usize % partitions.max(1)
}

/// So many records under way are a crowd: more than a few partitions take at once.
const CROWD: usize = 16;
/// Records of a crowd that go to one partition before another one is drawn. A power of two, so that counting may wrap.
const RUN: u32 = 64;

/// Where records without a key go: by chance. Those of a crowd go in runs, because a request holds records of one
/// partition: scattered, they would need several requests, each with a few records.
pub(super) struct Keyless {
    /// Counted by one within a run, and by a whole run where each draws for itself.
    records: AtomicU32,
    seed: u32,
}

impl Keyless {
    /// Begins in another place in each process.
    pub(super) fn new() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        Self { records: AtomicU32::new(0), seed: clock ^ std::process::id() }
    }

    /// The partition of the next record, of which `under_way` are under way.
    pub(super) fn place(&self, under_way: usize, partitions: usize) -> usize {
        let step = if under_way < CROWD { RUN } else { 1 };
        let run = self.records.fetch_add(step, Ordering::Relaxed) / RUN;
        // Weyl sequence and a mixing step: spreads evenly, and two threads that race only draw in another order.
        let step = self.seed.wrapping_add(run.wrapping_mul(0x9e37_79b9));
        let mixed = (step ^ (step >> 16)).wrapping_mul(0x85eb_ca6b);
        (mixed ^ (mixed >> 13)) as usize % partitions.max(1)
    }

    /// Another partition.
    pub(super) fn draw(&self, partitions: usize) -> usize {
        self.place(0, partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_daprs_hash_puts_them() {
        // FNV-1a test vectors: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968; the sign is dropped, not the top bit.
        let expected = |hash: u32, partitions: u32| (hash.cast_signed().unsigned_abs() % partitions) as usize;
        for (key, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            for partitions in [1, 3, 12, 48] {
                assert_eq!(
                    partition_of(key.as_bytes(), partitions as usize),
                    expected(hash, partitions),
                    "{key:?}"
                );
            }
        }
        assert_eq!(partition_of(b"foobar", 3), 1_080_231_576 % 3);
    }

    #[test]
    fn records_without_a_key_reach_every_partition() {
        let keyless = Keyless::new();
        let mut counts = [0_u32; 48];
        for _ in 0..48_000 {
            counts[keyless.draw(48)] += 1;
        }
        assert!(counts.iter().all(|count| (700..1300).contains(count)), "{counts:?}");
    }

    #[test]
    fn records_of_a_crowd_go_in_runs_that_reach_every_partition() {
        let keyless = Keyless::new();
        let mut counts = [0_u32; 48];
        for _ in 0..4_800 {
            let run: Vec<_> = (0..RUN).map(|_| keyless.place(CROWD, 48)).collect();
            assert!(run.iter().all(|partition| *partition == run[0]), "{run:?}");
            counts[run[0]] += 1;
        }
        assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_few_records_do_not_share_a_partition() {
        let keyless = Keyless::new();
        let same =
            (0..4_800).filter(|_| keyless.place(CROWD - 1, 48) == keyless.place(CROWD - 1, 48)).count();
        assert!(same < 480, "{same} of 4800 pairs");
    }
}
