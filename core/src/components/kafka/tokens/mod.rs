//! Tokens for SASL OAUTHBEARER: fetched ahead of their end by one task, and handed to every client of librdkafka.
//!
//! librdkafka waits in silence while it has no token, so whoever hands it clients also listens here for why there is
//! none. Nothing is fetched inside its callbacks. Components whose settings say the same share one task. `renewal.rs`
//! decides when, `oidc.rs` and `aws.rs` know how. Tests: `tests.rs`, and with real brokers `core/tests/kafka/tokens/`.

mod assertion;
mod aws;
mod encoding;
mod jwt;
mod listeners;
mod oidc;
mod presign;
mod renewal;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::client::{Client, ClientContext};

use super::guard::log;
use super::settings::TokenSource;
use super::{ffi, guard};
use crate::error::{Error, ErrorCode, Result};
use crate::settings::Secret;
use crate::{process, runtime};

/// What a client of librdkafka logs in with.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: Secret,
    /// Whose token it is; only for librdkafka's log.
    pub(super) principal: String,
    /// Sent to the broker beside the token.
    pub(super) extensions: Arc<[(String, String)]>,
    /// By this machine's clock.
    pub(super) expires_at: SystemTime,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Token {
    /// A token that is worth something for so long from now.
    ///
    /// # Errors
    /// `BACKEND_ERROR` when it has characters that SASL does not carry: the broker would not get it whole.
    fn new(value: String, life: Duration, principal: &str) -> Result<Self> {
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "the token cannot be used: expected visible ASCII characters without blanks";
            return Err(Error::new(ErrorCode::Backend, message));
        }
        // Whatever a server writes into a name, it is a C string for librdkafka.
        let principal = principal.replace(|letter: char| letter.is_control(), "");
        let value = Secret::new(value);
        let now = SystemTime::now();
        let expires_at = now.checked_add(life).unwrap_or(now + LONGEST_LIFE);
        Ok(Self { value, principal, extensions: Arc::default(), expires_at })
    }

    pub(super) fn expires_at_ms(&self) -> i64 {
        let since = self.expires_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// How long it is still worth something.
    fn left(&self) -> Duration {
        self.expires_at.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

/// Nobody gives tokens for so long; more would only overflow clocks.
const LONGEST_LIFE: Duration = Duration::from_hours(10 * 365 * 24);

/// Where tokens come from.
#[async_trait]
trait Fetch: Send + Sync {
    /// A fresh token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when the credentials are refused, `UNAVAILABLE`, `TIMEOUT`, the codes of certificates, or
    /// `BACKEND_ERROR` for an answer that makes no sense. No secret is in the text.
    async fn fetch(&self, deadline: Instant) -> Result<Token>;

    /// How long one attempt may take.
    fn patience(&self) -> Duration;
}

/// How it is with tokens now.
#[derive(Clone, Default)]
pub(super) struct News {
    /// One that can be used.
    pub(super) token: Option<Token>,
    /// Why the last attempt failed, while the next one is awaited. `None` beside no token: the first one is under way.
    pub(super) error: Option<Error>,
}

impl News {
    /// Gives the token, if there is one, to a client.
    pub(super) fn give_to<C: ClientContext>(&self, client: &Client<C>) {
        if let Some(token) = &self.token
            && !ffi::set_token(client, token)
        {
            log!(
                warn,
                "the client library refuses the token: it has expired on its way, or the clock was set"
            );
        }
    }
}

/// Whoever wants to know. It must not wait, and is called from a thread where librdkafka may be ended.
pub(super) trait Listener: Send + Sync {
    fn heard(&self, news: &News);
}

/// The tokens of one identity. The task ends when this is dropped.
pub(super) struct Tokens {
    shared: Arc<Shared>,
    task: tokio::task::AbortHandle,
    process: u32,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while listeners are told, so that nobody gets an older token after a newer one.
    telling: Mutex<()>,
}

#[derive(Default)]
struct State {
    news: News,
    listeners: Vec<Weak<dyn Listener>>,
}

/// Sources that are in use, with the process they belong to.
static IN_USE: Mutex<Vec<(u32, TokenSource, Weak<Tokens>)>> = Mutex::new(Vec::new());

impl Tokens {
    /// The tokens that some settings ask for. The first one is being fetched when this returns.
    ///
    /// # Errors
    /// `INVALID_SETTINGS` when certificates or keys cannot be used.
    pub(super) fn of(source: &TokenSource) -> Result<Arc<Self>> {
        let process = process::id();
        let mut in_use = IN_USE.lock();
        in_use.retain(|(_, _, tokens)| tokens.strong_count() > 0);
        let found = in_use.iter().find(|(owner, known, _)| *owner == process && known == source);
        if let Some(tokens) = found.and_then(|(_, _, tokens)| tokens.upgrade()) {
            return Ok(tokens);
        }
        let fetch: Arc<dyn Fetch> = match source {
            TokenSource::Oidc(oidc) => Arc::new(oidc::TokenServer::new(oidc)?),
            TokenSource::Aws(aws) => Arc::new(aws::Iam::new(aws)?),
        };
        let tokens = Self::start(fetch)?;
        in_use.push((process, source.clone(), Arc::downgrade(&tokens)));
        Ok(tokens)
    }

    fn start(fetch: Arc<dyn Fetch>) -> Result<Arc<Self>> {
        let shared = Arc::new(Shared::default());
        let task = runtime::handle()?.spawn(renewal::keep_fresh(fetch, shared.clone())).abort_handle();
        Ok(Arc::new(Self { shared, task, process: process::id() }))
    }

    /// Tells a listener how it is now, and from now on whenever that changes, as long as it lives.
    pub(super) fn tell<L: Listener + 'static>(&self, listener: &Arc<L>) {
        let _telling = self.shared.telling.lock();
        let news = {
            let mut state = self.shared.state.lock();
            let weak: Weak<L> = Arc::downgrade(listener);
            state.listeners.push(weak);
            state.news.clone()
        };
        listener.heard(&news);
    }

    /// How it is now.
    pub(super) fn news(&self) -> News {
        self.shared.state.lock().news.clone()
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        // A forked child has no part in its parent's tasks.
        if self.process == process::id() {
            self.task.abort();
        }
    }
}

impl Shared {
    /// Tells everybody. On a thread that may block: a listener's last owner can go meanwhile, and then it is this one
    /// that ends a client of librdkafka.
    async fn tell(self: &Arc<Self>, news: News) {
        let shared = self.clone();
        let told = tokio::task::spawn_blocking(move || {
            let _telling = shared.telling.lock();
            let listeners: Vec<_> = {
                let mut state = shared.state.lock();
                state.news = news.clone();
                state.listeners.retain(|listener| listener.strong_count() > 0);
                state.listeners.iter().filter_map(Weak::upgrade).collect()
            };
            for listener in listeners {
                // What a listener does wrong must not cost the others their token.
                let _ = guard::caught("a listener for tokens", || listener.heard(&news));
            }
        });
        let _ = told.await;
    }
}
