//! A client of a schema registry in Confluent's style.
//!
//! It asks the addresses in turn, the one that answered last first, and gets a schema together with all that it refers
//! to. What is kept, and for how long, is in `latest.rs` and `by_id.rs`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use serde::Deserialize;

use super::schema::Schema;
use crate::components::kafka::settings::{RegistryAddress, RegistrySettings};
use crate::error::{Error, ErrorCode, Result, Status};
use crate::http::{HttpClient, basic, percent};

/// How long one address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Schemas that one schema may refer to, also by way of others.
const MOST_REFERENCES: usize = 200;
/// The most characters of a registry's own words.
const MOST_WORDS: usize = 200;

pub(super) struct Registry {
    http: HttpClient,
    addresses: Vec<Address>,
    /// The address that answered last.
    first: AtomicUsize,
}

struct Address {
    base: String,
    authorization: Option<HeaderValue>,
}

/// What a registry says about a schema.
#[derive(Deserialize)]
struct Registered {
    id: Option<u32>,
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    subject: String,
    version: i64,
}

/// How a registry says that it cannot.
#[derive(Deserialize)]
struct Refusal {
    error_code: Option<u32>,
    message: Option<String>,
}

impl Registry {
    pub(super) fn new(settings: &RegistrySettings) -> Result<Self> {
        let addresses = settings.addresses.iter().map(Address::new).collect();
        Ok(Self { http: HttpClient::new(&settings.tls)?, addresses, first: AtomicUsize::new(0) })
    }

    /// The latest schema of a subject, with its number. Must be polled inside the runtime.
    pub(super) async fn latest(&self, subject: &str) -> Result<(u32, Schema)> {
        let what = format!("subject {subject:?}");
        let found = self.get(&format!("/subjects/{}/versions/latest", percent(subject)), &what).await?;
        let id = found.id.ok_or_else(|| unexpected(&what, "it told no number of the schema"))?;
        Ok((id, self.whole(found, &what).await?))
    }

    /// The schema of a number. Must be polled inside the runtime.
    pub(super) async fn by_id(&self, id: u32) -> Result<Schema> {
        let what = format!("schema {id}");
        let found = self.get(&format!("/schemas/ids/{id}"), &what).await?;
        self.whole(found, &what).await
    }

    /// The schema with everything it refers to.
    async fn whole(&self, found: Registered, what: &str) -> Result<Schema> {
        let kind = found.kind.as_deref().unwrap_or("AVRO");
        if !kind.eq_ignore_ascii_case("AVRO") {
            let message = format!("{what} is of the kind {kind} in the schema registry, expected AVRO");
            return Err(unusable(message));
        }
        let references = self.references(found.references.unwrap_or_default()).await?;
        Schema::parse(&found.schema, &references)
            .map_err(|error| unusable(format!("{what} of the schema registry cannot be used: {error}")))
    }

    /// The texts of what is referred to, each after those that it needs itself.
    async fn references(&self, wanted: Vec<Reference>) -> Result<Vec<String>> {
        enum Step {
            Ask(Reference),
            Take(String),
        }
        let mut seen = HashSet::new();
        let mut texts = Vec::new();
        let mut steps: Vec<_> = wanted.into_iter().rev().map(Step::Ask).collect();
        while let Some(step) = steps.pop() {
            let Reference { subject, version } = match step {
                Step::Ask(reference) => reference,
                Step::Take(text) => {
                    texts.push(text);
                    continue;
                }
            };
            let what = format!("version {version} of subject {subject:?}");
            let path = format!("/subjects/{}/versions/{version}", percent(&subject));
            if !seen.insert((subject, version)) {
                continue;
            }
            if seen.len() > MOST_REFERENCES {
                return Err(unusable(format!("a schema refers to more than {MOST_REFERENCES} others")));
            }
            let found = self.get(&path, &what).await?;
            steps.push(Step::Take(found.schema));
            steps.extend(found.references.unwrap_or_default().into_iter().rev().map(Step::Ask));
        }
        Ok(texts)
    }

    /// Asks the addresses in turn, until one answers.
    async fn get(&self, path: &str, what: &str) -> Result<Registered> {
        let first = self.first.load(Ordering::Relaxed);
        let mut failure = None;
        for step in 0..self.addresses.len() {
            let index = (first + step) % self.addresses.len();
            match self.ask(&self.addresses[index], path, what).await {
                Err(error) if error.retriable() == Some(true) => failure = failure.or(Some(error)),
                answer => {
                    self.first.store(index, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(ErrorCode::Internal, "a registry without an address")))
    }

    async fn ask(&self, address: &Address, path: &str, what: &str) -> Result<Registered> {
        let mut request = Request::get(format!("{}{path}", address.base))
            .header(ACCEPT, "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(authorization) = &address.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Bytes::new())
            .map_err(|error| Error::new(ErrorCode::InvalidSettings, format!("schemaRegistryURL: {error}")))?;
        let answer = self.http.send(request, Instant::now() + PATIENCE).await.map_err(|error| {
            let error = match error.code() {
                // Nobody's deadline: the address may answer the next time.
                ErrorCode::Timeout => Error::new(ErrorCode::Unavailable, error.message().to_owned()),
                _ => error,
            };
            error.note("it is asked for the schema")
        })?;
        if answer.status().is_success() {
            return serde_json::from_slice(answer.body())
                .map_err(|error| unexpected(what, &format!("its answer cannot be read: {error}")));
        }
        Err(refused(answer.status(), answer.body(), what, &address.base))
    }
}

impl Address {
    fn new(settings: &RegistryAddress) -> Self {
        let credentials = settings.credentials.as_ref();
        let authorization = credentials.map(|(user, password)| basic(user.expose(), password.expose()));
        Self { base: settings.base.clone(), authorization }
    }
}

fn refused(status: StatusCode, body: &[u8], what: &str, base: &str) -> Error {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    let number = refusal.as_ref().and_then(|refusal| refusal.error_code);
    let (code, message) = match status {
        // A gateway that knows no such path has no number of the registry's.
        StatusCode::NOT_FOUND if number.is_some_and(|number| number / 100 == 404) => {
            (ErrorCode::TargetNotFound, format!("{what} is not in the schema registry at {base}"))
        }
        StatusCode::NOT_FOUND => {
            (ErrorCode::TargetNotFound, format!("{what} is not found at {base}; is a schema registry there?"))
        }
        StatusCode::UNAUTHORIZED => (
            ErrorCode::Unauthenticated,
            format!("the schema registry at {base} does not accept the credentials"),
        ),
        StatusCode::FORBIDDEN => {
            (ErrorCode::PermissionDenied, format!("the schema registry at {base} does not show {what}"))
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            (ErrorCode::Unavailable, format!("the schema registry at {base} answered {status}"))
        }
        status if status.is_server_error() => {
            (ErrorCode::Unavailable, format!("the schema registry at {base} answered {status}"))
        }
        status => (ErrorCode::Backend, format!("the schema registry at {base} answered {status}")),
    };
    let mut error = Error::new(code, message).status(Status::Http(status.as_u16()));
    if let Some(words) = refusal.and_then(|refusal| refusal.message) {
        error = error.backend(words.chars().take(MOST_WORDS).collect::<String>());
    }
    match code {
        ErrorCode::Unauthenticated => error.advice(
            "Check `schemaRegistryAPIKey` and `schemaRegistryAPISecret`, or the user in `schemaRegistryURL`.",
        ),
        ErrorCode::TargetNotFound => error.advice("Register the schema, or check `schemaRegistryURL`."),
        _ => error,
    }
}

/// A schema that is there and is no use.
fn unusable(message: String) -> Error {
    Error::new(ErrorCode::InvalidRequest, message).advice("Register an Avro schema that can be used.")
}

fn unexpected(what: &str, why: &str) -> Error {
    Error::new(ErrorCode::Backend, format!("the schema registry was asked for {what}: {why}"))
}
