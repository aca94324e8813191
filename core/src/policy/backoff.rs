//! The pause before an event is delivered again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How long to wait between deliveries of one event, and how often to try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// What the pause grows by each time; 1 keeps it constant.
    pub multiplier: f64,
    /// The longest pause.
    pub maximum: Duration,
    /// The part of the pause that is drawn by chance, 0 to 1: 0.5 means half as long to one and a half times.
    pub randomization: f64,
    /// How often an event is delivered again before it holds its lane; `None` for ever.
    pub retries: Option<u32>,
}

impl Default for Backoff {
    /// 100 ms, doubled up to 30 s, a fifth of it by chance, for ever.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            multiplier: 2.0,
            maximum: Duration::from_secs(30),
            randomization: 0.2,
            retries: None,
        }
    }
}

impl Backoff {
    /// The same pause each time, for ever.
    pub(crate) const fn constant(pause: Duration) -> Self {
        Self { initial: pause, multiplier: 1.0, maximum: pause, randomization: 0.0, retries: None }
    }

    /// At most so many deliveries, the first one included.
    #[must_use]
    pub(crate) fn limited_to(self, deliveries: Option<u32>) -> Self {
        let most = deliveries.map(|deliveries| deliveries.saturating_sub(1));
        Self { retries: [self.retries, most].into_iter().flatten().min(), ..self }
    }

    /// The pauses and their number, for people.
    pub(crate) fn told(&self) -> String {
        let Self { initial, multiplier, maximum, randomization, retries } = self;
        let pauses = if *multiplier > 1.0 && initial < maximum {
            format!("after {initial:?}, then {multiplier} times as long each time up to {maximum:?}")
        } else {
            format!("after {:?} each time", initial.min(maximum))
        };
        let chance = match randomization {
            share if *share > 0.0 => format!(", {:.0} % by chance", share.min(1.0) * 100.0),
            _ => String::new(),
        };
        match retries {
            None => format!("{pauses}{chance}, for ever"),
            Some(0) => "never again".to_owned(),
            Some(retries) => format!("{pauses}{chance}, {retries} more at most"),
        }
    }

    /// All pauses of so many retries, each at its longest.
    pub(crate) fn longest(&self, retries: u32) -> Duration {
        let mut sum = Duration::ZERO;
        for retry in 1..=retries {
            let pause = Self { retries: None, ..*self }.pause(retry, 1.0).unwrap_or_default();
            let grows = self.multiplier > 1.0 && self.grown(retry) < self.maximum.as_secs_f64();
            if !grows {
                // From here on every pause is as long as this one.
                return sum.saturating_add(pause.saturating_mul(retries - retry + 1));
            }
            sum = sum.saturating_add(pause);
        }
        sum
    }

    /// The pause in seconds, before chance has its part.
    fn grown(&self, failed_attempt: u32) -> f64 {
        let exponent = i32::try_from(failed_attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        // min() here and again after the randomization, as a product can be infinite: both stay finite and positive.
        let grown = self.initial.as_secs_f64() * self.multiplier.max(1.0).powi(exponent);
        grown.min(self.maximum.as_secs_f64())
    }

    /// [`pause`](Self::pause), with the part that chance has in it drawn.
    pub(crate) fn draw(&self, failed_attempt: u32) -> Option<Duration> {
        // Drawn once for each retry, so the quality of a hash with a fresh key is enough.
        let bits = RandomState::new().build_hasher().finish() >> 32;
        let chance = f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX);
        self.pause(failed_attempt, chance)
    }

    /// The pause after the given delivery failed (1 for the first); `None` when it was the last.
    ///
    /// `chance` is a number from 0 to 1.
    pub fn pause(&self, failed_attempt: u32, chance: f64) -> Option<Duration> {
        if self.retries.is_some_and(|retries| failed_attempt > retries) {
            return None;
        }
        let grown = self.grown(failed_attempt);
        let spread = self.randomization.clamp(0.0, 1.0);
        let seconds = grown * (1.0 - spread + 2.0 * spread * chance.clamp(0.0, 1.0));
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(self.maximum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_its_maximum_and_stays_there() {
        let backoff = Backoff { randomization: 0.0, ..Backoff::default() };
        let pause = |attempt| backoff.pause(attempt, 0.5).expect("for ever").as_millis();
        assert_eq!([pause(1), pause(2), pause(3)], [100, 200, 400]);
        assert_eq!(pause(40), 30_000);
        assert_eq!(pause(u32::MAX), 30_000);
    }

    #[test]
    fn two_retries_are_three_deliveries() {
        let backoff = Backoff { retries: Some(2), ..Backoff::default() };
        assert!(backoff.pause(2, 0.0).is_some());
        assert!(backoff.pause(3, 0.0).is_none());
    }
}
