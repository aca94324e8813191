//! What is done of a partition: everything below an offset, and some ranges above it.
//!
//! It is kept in a commit of a consumer group: the offset as such, the ranges in the text beside it, as pairs of the
//! distance from the range before and the length, in digits of base 36.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{Error, ErrorCode, Result};

/// How the text begins; another one is not ours.
const VERSION: &str = "1:";
/// The longest text that brokers keep (`offset.metadata.max.bytes`).
pub(super) const LONGEST: usize = 4096;

/// What is done of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Everything before this offset is done.
    pub(super) below: i64,
    /// Ranges above it, by their beginnings: to the offset behind each.
    above: BTreeMap<i64, i64>,
}

impl Done {
    pub(super) fn below(offset: i64) -> Self {
        Self { below: offset, above: BTreeMap::new() }
    }

    /// # Errors
    /// `BACKEND_ERROR` for a text that is not ours.
    pub(super) fn read(offset: i64, text: &str) -> Result<Self> {
        let mut done = Self::below(offset.max(0));
        let Some(list) = text.strip_prefix(VERSION) else {
            return if text.is_empty() { Ok(done) } else { Err(foreign(text)) };
        };
        let mut at = done.below;
        for pair in list.split(',').filter(|pair| !pair.is_empty()) {
            let number = |digits: &str| i64::from_str_radix(digits, 36).ok().filter(|number| *number >= 0);
            let (gap, length) = pair.split_once('.').ok_or_else(|| foreign(text))?;
            let (Some(gap), Some(length)) = (number(gap), number(length)) else { return Err(foreign(text)) };
            let start = at.checked_add(gap).ok_or_else(|| foreign(text))?;
            at = start.checked_add(length).ok_or_else(|| foreign(text))?;
            done.add(start..at);
        }
        Ok(done)
    }

    /// The text beside [`below`](Self::below).
    pub(super) fn text(&self) -> String {
        let mut at = self.below;
        let mut pairs = Vec::with_capacity(self.above.len());
        for (&start, &end) in &self.above {
            pairs.push(format!("{}.{}", in_base_36(start - at), in_base_36(end - start)));
            at = end;
        }
        format!("{VERSION}{}", pairs.join(","))
    }

    pub(super) fn contains(&self, offset: i64) -> bool {
        let range = self.above.range(..=offset).next_back();
        offset < self.below || range.is_some_and(|(_, end)| offset < *end)
    }

    /// Adds offsets that are done, or that nobody will ever see.
    pub(super) fn add(&mut self, offsets: Range<i64>) {
        let (mut start, mut end) = (offsets.start.max(self.below), offsets.end);
        if start >= end {
            return;
        }
        while let Some((&first, &last)) =
            self.above.range(..=end).next_back().filter(|(_, last)| **last >= start)
        {
            self.above.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        if start <= self.below {
            self.below = end;
        } else {
            self.above.insert(start, end);
        }
    }
}

fn foreign(text: &str) -> Error {
    let message = format!("the group's note about what is done is not ours: {text:?}");
    Error::new(ErrorCode::Backend, message).advice(
        "Another program commits in this group; delete the group to begin anew, everything is then pending.",
    )
}

fn in_base_36(mut number: i64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_in_a_row_becomes_one_offset() {
        let mut done = Done::below(10);
        for offset in [12, 14, 13, 10] {
            done.add(offset..offset + 1);
        }
        assert_eq!(done.text(), "1:1.3");
        assert_eq!(
            (done.below, done.contains(11), done.contains(14), done.contains(15)),
            (11, false, true, false)
        );
        done.add(11..12);
        assert_eq!((done.below, done.text().as_str()), (15, "1:"));
        done.add(3..9);
        assert_eq!(done.below, 15);
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let mut done = Done::below(0);
        for range in [10..20, 30..40, 50..60, 19..51, 5..6] {
            done.add(range);
        }
        assert_eq!(done.text(), "1:5.1,4.1e");
        assert!(!done.contains(9) && done.contains(59) && !done.contains(60));
    }

    #[test]
    fn the_text_is_read_as_it_was_written() {
        let mut done = Done::below(1_000_000);
        for offset in (1_000_001..1_001_000).step_by(3) {
            done.add(offset..offset + 2);
        }
        assert_eq!(Done::read(done.below, &done.text()).expect("read"), done);
        assert_eq!(Done::read(7, "").expect("read"), Done::below(7));
        for text in ["done", "1:a", "1:1.-1", "1:1.zzzzzzzzzzzzzzzz", "2:1.1"] {
            assert_eq!(Done::read(0, text).expect_err(text).code(), ErrorCode::Backend, "{text}");
        }
    }
}
