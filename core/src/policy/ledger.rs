//! How often something is attempted at most, and how long that can take.

use std::time::Duration;

use super::Backoff;

/// The sum of all that makes attempts: the component's own settings, policies and limits, counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// The most attempts, the first one included; `None` for no limit.
    pub attempts: Option<u32>,
    /// The longest time from the first attempt to the end of the last one: all pauses at their longest and every
    /// attempt as long as its time-out allows. `None` where attempts have no limit or no time-out.
    pub longest: Option<Duration>,
    /// All pauses at their longest; `None` where attempts have no limit.
    pub pauses: Option<Duration>,
}

impl Ledger {
    /// One attempt, and no pause.
    pub(crate) const ONCE: Self = Self { attempts: Some(1), longest: None, pauses: Some(Duration::ZERO) };

    /// The ledger of a back-off whose attempts take up to `timeout` each.
    pub(crate) fn of(backoff: &Backoff, timeout: Option<Duration>) -> Self {
        let Some(retries) = backoff.retries else {
            return Self { attempts: None, longest: None, pauses: None };
        };
        let pauses = backoff.longest(retries);
        let attempts = retries.saturating_add(1);
        let handling = timeout.map(|timeout| timeout.saturating_mul(attempts));
        let longest = handling.map(|handling| handling.saturating_add(pauses));
        Self { attempts: Some(attempts), longest, pauses: Some(pauses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_count_at_their_longest_and_attempts_at_their_time_out() {
        let backoff = Backoff {
            initial: Duration::from_secs(1),
            multiplier: 2.0,
            maximum: Duration::from_secs(3),
            randomization: 0.5,
            retries: Some(4),
        };
        let ledger = Ledger::of(&backoff, Some(Duration::from_secs(10)));
        // 1, 2, 3 and 3 seconds, each half as much again.
        assert_eq!(ledger.pauses, Some(Duration::from_millis(13_500)));
        assert_eq!((ledger.attempts, ledger.longest), (Some(5), Some(Duration::from_millis(63_500))));
        let unlimited = Ledger::of(&Backoff { retries: None, ..backoff }, None);
        assert_eq!((unlimited.attempts, unlimited.pauses, unlimited.longest), (None, None, None));
    }

    #[test]
    fn no_number_of_attempts_takes_long_to_add_up() {
        let backoff = Backoff { multiplier: 1.0, retries: Some(u32::MAX), ..Backoff::default() };
        assert_eq!(Ledger::of(&backoff, None).attempts, Some(u32::MAX));
    }
}
