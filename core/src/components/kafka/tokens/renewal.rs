//! When a token is fetched: ahead of its end, and again after pauses while that fails.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::{Fetch, News, Shared, Token};
use crate::components::kafka::guard::log;
use crate::error::{Error, ErrorCode, Result};
use crate::policy::Backoff;

/// The part of its life that a token is used for before the next one is fetched. librdkafka logs in again after nine
/// tenths of what the broker grants a connection, and the next token has to be there by then.
const USED: f64 = 0.8;
/// What rounding to whole seconds and the way here took from it.
const ROUNDING: Duration = Duration::from_secs(1);
/// So much of that is left to chance, so that many processes that began together do not ask together for ever.
const BY_CHANCE: f64 = 0.04;
/// Tokens are not fetched more often than this, however short they live.
const SHORTEST: Duration = Duration::from_millis(500);
/// Nor more seldom than this, however long they live: a server that took a permission back is heard within it.
const LONGEST: Duration = Duration::from_hours(12);
/// Clocks stop while a machine sleeps, and are set: look at both of them that often.
const LOOK: Duration = Duration::from_secs(30);

/// The pauses after attempts that failed, a fifth of each by chance.
const RETRY: Backoff = Backoff {
    initial: Duration::from_millis(500),
    multiplier: 2.0,
    maximum: Duration::from_secs(10),
    randomization: 0.2,
    retries: None,
};

/// Fetches for ever; dropped when nobody wants tokens any more.
pub(super) async fn keep_fresh(fetch: Arc<dyn Fetch>, shared: Arc<Shared>) {
    let mut token: Option<Token> = None;
    let mut failures = 0;
    loop {
        let (next, error) = match attempt(&*fetch).await {
            Ok(fresh) => {
                if failures > 0 {
                    log!(info, "there is a token again");
                }
                failures = 0;
                let pause = renewal_of(fresh.left());
                token = Some(fresh);
                (pause, None)
            }
            Err(error) => {
                failures += 1;
                // One line for a trouble, not one for each attempt.
                if failures == 1 {
                    log!(warn, "{error}");
                } else {
                    log!(debug, failures, "{error}");
                }
                let pause = RETRY.draw(failures).unwrap_or(RETRY.maximum);
                (pause, Some(error))
            }
        };
        token = token.filter(|token| !token.left().is_zero());
        let left = token.as_ref().map(Token::left);
        let failed = error.is_some();
        shared.tell(News { token: token.clone(), error }).await;
        // When the old token ends while the next one does not come, that has to be told at once.
        let pause = left.filter(|_| failed).map_or(next, |left| next.min(left.max(SHORTEST)));
        rest(pause).await;
    }
}

async fn attempt(fetch: &dyn Fetch) -> Result<Token> {
    let patience = fetch.patience();
    let deadline = Instant::now() + patience;
    // The limit counts for everything that an attempt does, whatever it forgets.
    let token =
        tokio::time::timeout_at(deadline.into(), fetch.fetch(deadline)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorCode::Timeout, format!("no token came within {} s", patience.as_secs())))
        })?;
    if token.left().is_zero() {
        return Err(Error::new(ErrorCode::Backend, "the token that came has expired already"));
    }
    Ok(token)
}

/// When to fetch the next one, for a token that lives so long.
fn renewal_of(life: Duration) -> Duration {
    let latest = life.saturating_sub(ROUNDING).mul_f64(USED);
    let drawn =
        Backoff { randomization: BY_CHANCE, ..Backoff::constant(latest.mul_f64(1.0 - BY_CHANCE)) }.draw(1);
    drawn.unwrap_or(latest).clamp(SHORTEST, LONGEST)
}

/// Waits, by the clock that is further ahead.
async fn rest(pause: Duration) {
    let (began, until) = (Instant::now(), SystemTime::now() + pause);
    loop {
        let by_the_wall = until.duration_since(SystemTime::now()).unwrap_or_default();
        let left = pause.saturating_sub(began.elapsed()).min(by_the_wall);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST, SHORTEST, renewal_of};

    #[test]
    fn a_token_is_renewed_before_nine_tenths_of_its_life_and_within_bounds() {
        for _ in 0..100 {
            let pause = renewal_of(Duration::from_secs(1001));
            assert!((Duration::from_secs(736)..=Duration::from_secs(800)).contains(&pause), "{pause:?}");
        }
        assert_eq!(renewal_of(Duration::ZERO), SHORTEST);
        assert_eq!(renewal_of(Duration::from_hours(24 * 365)), LONGEST);
    }
}
