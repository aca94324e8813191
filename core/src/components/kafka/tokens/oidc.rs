//! Tokens of a token server for client credentials (OAuth 2.0, RFC 6749 §4.4), with a secret or a signed assertion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::Value;

use super::assertion::Assertions;
use super::jwt::Claims;
use super::{Fetch, Token};
use crate::components::kafka::settings::{Oidc, Proof};
use crate::error::{Error, ErrorCode, Result};
use crate::http::{HttpClient, basic, percent};
use crate::settings::Secret;

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a token counts as good that tells nothing about it: neither the answer nor, being no JWT, the token.
const LIFE_UNTOLD: Duration = Duration::from_mins(5);
/// The most that is quoted of what a server says.
const LONGEST_QUOTE: usize = 300;

/// One client of a token server.
pub(super) struct TokenServer {
    http: HttpClient,
    endpoint: String,
    client_id: Secret,
    proof: Prepared,
    /// What is sent besides who the client is.
    form: Vec<(&'static str, String)>,
    extensions: Arc<[(String, String)]>,
    /// The server takes the secret only in the header.
    in_header: AtomicBool,
}

enum Prepared {
    Secret(Secret),
    Assertion(Assertions),
}

impl TokenServer {
    /// # Errors
    /// `INVALID_SETTINGS` when certificates or keys cannot be used.
    pub(super) fn new(settings: &Oidc) -> Result<Self> {
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        form.push(("scope", settings.scopes.join(" ")));
        let optional = [("resource", &settings.resource), ("audience", &settings.audience)];
        form.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        let proof = match &settings.proof {
            Proof::Secret(secret) => Prepared::Secret(secret.clone()),
            Proof::Assertion(assertion) => {
                Prepared::Assertion(Assertions::new(assertion, settings.client_id.expose())?)
            }
        };
        Ok(Self {
            http: HttpClient::new(&settings.tls)?,
            endpoint: settings.endpoint.clone(),
            client_id: settings.client_id.clone(),
            proof,
            form,
            extensions: settings.extensions.clone().into(),
            in_header: AtomicBool::new(false),
        })
    }

    /// Asks once; the secret in the form, or in the header as RFC 6749 wants every server to understand it.
    async fn ask(&self, in_header: bool, deadline: Instant) -> Result<Response<Bytes>> {
        let mut form = self.form.clone();
        let mut request = Request::post(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        match &self.proof {
            Prepared::Secret(secret) if in_header => {
                let login = basic(&percent(self.client_id.expose()), &percent(secret.expose()));
                request = request.header(header::AUTHORIZATION, login);
            }
            Prepared::Secret(secret) => {
                form.push(("client_id", self.client_id.expose().to_owned()));
                form.push(("client_secret", secret.expose().to_owned()));
            }
            Prepared::Assertion(assertions) => {
                form.push(("client_id", self.client_id.expose().to_owned()));
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", assertions.sign()?));
            }
        }
        let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        let request = request.body(Bytes::from(body.join("&"))).map_err(|_| {
            let message = "oidcTokenEndpoint: expected an address such as https://host/token";
            Error::new(ErrorCode::InvalidSettings, message)
        })?;
        self.http.send(request, deadline).await
    }

    fn token(&self, answer: &Response<Bytes>) -> Result<Token> {
        let status = answer.status();
        let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if !status.is_success() {
            return Err(self.refusal(status, &said));
        }
        let Some(value) = said.get("access_token").and_then(Value::as_str) else {
            let message = "the token server's answer cannot be used: expected JSON with an access_token";
            return Err(Error::new(ErrorCode::Backend, message));
        };
        let claims = Claims::of(value);
        let life = said.get("expires_in").and_then(seconds).or(claims.life).unwrap_or(LIFE_UNTOLD);
        let principal = claims.subject.as_deref().unwrap_or("unknown");
        let token = Token::new(value.to_owned(), life, principal)?;
        Ok(Token { extensions: self.extensions.clone(), ..token })
    }

    /// What a server means that gives no token.
    fn refusal(&self, status: StatusCode, said: &Value) -> Error {
        let word = |name: &str| said.get(name).and_then(Value::as_str);
        let mut words = status.to_string();
        if let Some(error) = word("error") {
            words =
                [Some(error), word("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        }
        let words = self.without_secrets(&words);
        let (code, message, advice) = match status.as_u16() {
            400 | 401 | 403 => (
                ErrorCode::Unauthenticated,
                "the token server refuses the client",
                "Check oidcClientID, its secret or key, and oidcScopes at the token server.",
            ),
            429 | 500..=599 => {
                (ErrorCode::Unavailable, "the token server gives no token now", "It is asked again.")
            }
            _ => (
                ErrorCode::Backend,
                "the token server gives no token",
                "Check oidcTokenEndpoint: it has to be the token endpoint itself, and redirects are not followed.",
            ),
        };
        Error::new(code, message).backend(words).advice(advice)
    }

    /// A server can quote what it was sent.
    fn without_secrets(&self, words: &str) -> String {
        let mut words: String = words.chars().filter(|letter| !letter.is_control()).collect();
        if let Prepared::Secret(secret) = &self.proof {
            words = words.replace(secret.expose(), "***").replace(&percent(secret.expose()), "***");
        }
        // An assertion is the only long thing without a blank that is sent.
        let short = |word: &str| if word.len() > 200 { "***".to_owned() } else { word.to_owned() };
        let words: Vec<_> = words.split(' ').map(short).collect();
        words.join(" ").chars().take(LONGEST_QUOTE).collect()
    }
}

/// A number of seconds, which some servers write as a text.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(number.clamp(0.0, 1e9)).ok()
}

#[async_trait]
impl Fetch for TokenServer {
    async fn fetch(&self, deadline: Instant) -> Result<Token> {
        let in_header = self.in_header.load(Ordering::Relaxed);
        let answer = self.ask(in_header, deadline).await?;
        let refused = matches!(answer.status().as_u16(), 400 | 401);
        if refused && matches!(self.proof, Prepared::Secret(_)) {
            // Some servers take the secret in one place only. What worked last is tried first the next time.
            let other = self.ask(!in_header, deadline).await?;
            if other.status().is_success() {
                self.in_header.store(!in_header, Ordering::Relaxed);
                return self.token(&other);
            }
        }
        self.token(&answer)
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}
