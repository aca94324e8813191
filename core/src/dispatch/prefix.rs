//! What may be committed: the contiguous prefix of settled positions.

use std::collections::VecDeque;

/// Remembers which positions were read and settled, and how far everything is settled without a gap.
///
/// A broker's commit is one number per partition, "everything before this is done", so an event that is settled
/// ahead of an earlier one has to wait.
#[derive(Debug, Default)]
pub struct SettledPrefix {
    /// Positions read and not yet part of the prefix, ascending.
    open: VecDeque<(i64, bool)>,
    /// The position after the last one of the prefix.
    settled_to: Option<i64>,
    /// Events in the prefix whose commit was not confirmed.
    uncommitted: usize,
}

impl SettledPrefix {
    /// A position was read; positions come in ascending order.
    pub fn read(&mut self, position: i64) {
        debug_assert!(self.open.back().is_none_or(|(last, _)| *last < position));
        self.open.push_back((position, false));
    }

    /// A position was settled. Unknown positions are ignored.
    pub fn settled(&mut self, position: i64) {
        let Ok(index) = self.open.binary_search_by_key(&position, |(known, _)| *known) else { return };
        self.open[index].1 = true;
        while let Some((position, true)) = self.open.front().copied() {
            self.open.pop_front();
            self.settled_to = Some(position + 1);
            self.uncommitted += 1;
        }
    }

    /// The position to commit, and how many events lie before it since the last confirmed commit.
    pub fn to_commit(&self) -> Option<(i64, usize)> {
        self.settled_to.filter(|_| self.uncommitted > 0).map(|position| (position, self.uncommitted))
    }

    /// A commit that covered so many events was confirmed.
    pub fn committed(&mut self, events: usize) {
        self.uncommitted = self.uncommitted.saturating_sub(events);
    }

    /// How many events a restart would deliver again: read, but not confirmed as committed.
    pub fn at_risk(&self) -> usize {
        self.open.len() + self.uncommitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_the_prefix_back() {
        let mut prefix = SettledPrefix::default();
        for position in [3, 4, 7, 8] {
            prefix.read(position);
        }
        prefix.settled(4);
        prefix.settled(7);
        assert_eq!(prefix.to_commit(), None);
        prefix.settled(3);
        assert_eq!(prefix.to_commit(), Some((8, 3)));
        assert_eq!(prefix.at_risk(), 4);
        prefix.committed(3);
        assert_eq!((prefix.to_commit(), prefix.at_risk()), (None, 1));
    }

    #[test]
    fn an_unknown_position_changes_nothing() {
        let mut prefix = SettledPrefix::default();
        prefix.read(1);
        prefix.settled(0);
        prefix.settled(2);
        assert_eq!(prefix.to_commit(), None);
    }
}
