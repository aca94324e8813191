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

/// A partition by chance, for a record without a key.
pub(super) fn draw(state: &AtomicU32, partitions: usize) -> usize {
    // Weyl sequence and a mixing step: spreads evenly, and two threads that race only draw in another order.
    let step = state.fetch_add(0x9e37_79b9, Ordering::Relaxed);
    let mixed = (step ^ (step >> 16)).wrapping_mul(0x85eb_ca6b);
    (mixed ^ (mixed >> 13)) as usize % partitions.max(1)
}

/// Where a process begins to draw: another place each time.
pub(super) fn seed() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos()) ^ std::process::id()
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
        let state = AtomicU32::new(seed());
        let mut counts = [0_u32; 48];
        for _ in 0..48_000 {
            counts[draw(&state, 48)] += 1;
        }
        assert!(counts.iter().all(|count| (700..1300).contains(count)), "{counts:?}");
    }
}
