//! Tokens without a broker: who hears what when, and what is signed. Against real brokers:
//! `core/tests/kafka/tokens/`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use reqsign_aws_v4::Credential;
use reqsign_core::time::Timestamp;
use reqsign_core::{Context, HttpSend, StaticEnv};

use super::encoding::from_base64_url;
use super::{Fetch, Listener, News, Token, Tokens, aws, presign};
use crate::components::kafka::settings::{Aws, KafkaSettings};
use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Manifest;
use crate::runtime;
use crate::settings::Secret;

const PATIENCE: Duration = Duration::from_secs(20);

/// Gives what it was told to: a life, an error, or nothing at all; the last one again and again.
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    asked: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Answer {
    Life(Duration),
    Refusal,
    Silence,
}

impl Scripted {
    fn new(answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().copied().collect()), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Fetch for Scripted {
    async fn fetch(&self, _deadline: Instant) -> Result<Token> {
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let answer = {
            let mut answers = self.answers.lock();
            let answer = answers[0];
            if answers.len() > 1 {
                answers.pop_front();
            }
            answer
        };
        match answer {
            Answer::Life(life) => Token::new(format!("token-{number}"), life, "somebody"),
            Answer::Refusal => Err(Error::new(ErrorCode::Unauthenticated, "refused")),
            Answer::Silence => std::future::pending().await,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(300)
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(Option<String>, Option<ErrorCode>)>>);

impl Listener for Heard {
    fn heard(&self, news: &News) {
        let token = news.token.as_ref().map(|token| token.value.expose().to_owned());
        self.0.lock().push((token, news.error.as_ref().map(Error::code)));
    }
}

impl Heard {
    fn until(&self, what: &str, condition: impl Fn(&[(Option<String>, Option<ErrorCode>)]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.0.lock()) {
            assert!(Instant::now() < deadline, "still not so: {what}: {:?}", self.0.lock());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn listening(answers: &[Answer]) -> (Arc<Scripted>, Arc<Tokens>, Arc<Heard>) {
    let fetch = Scripted::new(answers);
    let tokens = Tokens::start(fetch.clone()).expect("started");
    let heard = Arc::new(Heard::default());
    tokens.tell(&heard);
    (fetch, tokens, heard)
}

#[test]
fn a_token_is_replaced_while_it_is_good() {
    let (fetch, tokens, heard) = listening(&[Answer::Life(Duration::from_secs(2))]);
    heard.until("the third token came", |heard| heard.iter().any(|(token, _)| is(token.as_ref(), "token-3")));
    assert!(heard.0.lock().iter().all(|(_, error)| error.is_none()));
    // Whoever comes late hears of it at once.
    let late = Arc::new(Heard::default());
    tokens.tell(&late);
    assert!(late.0.lock()[0].0.is_some());
    // The task ends with the last one who wants tokens.
    drop(tokens);
    let asked = fetch.asked();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(fetch.asked(), asked);
}

#[test]
fn failures_are_told_at_once_and_end_with_the_next_token() {
    let long = Answer::Life(Duration::from_hours(1));
    let (_, _tokens, heard) = listening(&[Answer::Refusal, Answer::Refusal, long]);
    heard.until("it is over", |heard| heard.last().is_some_and(|(token, _)| is(token.as_ref(), "token-3")));
    let refused = Some(ErrorCode::Unauthenticated);
    let told = heard.0.lock()[..].to_vec();
    let tail = &told[told.len() - 3..];
    assert_eq!(tail[..2], [(None, refused), (None, refused)]);
    assert_eq!(tail[2].1, None);
}

#[test]
fn the_old_token_serves_until_its_end_while_the_next_one_does_not_come() {
    let short = Answer::Life(Duration::from_millis(2500));
    let (_, _tokens, heard) = listening(&[short, Answer::Refusal]);
    let refused = Some(ErrorCode::Unauthenticated);
    heard.until("the renewal failed", |heard| {
        heard.iter().any(|(token, error)| is(token.as_ref(), "token-1") && *error == refused)
    });
    heard.until("it expired", |heard| heard.last().is_some_and(|last| *last == (None, refused)));
}

#[test]
fn a_source_that_never_answers_is_a_time_out() {
    let (_, _tokens, heard) = listening(&[Answer::Silence]);
    heard.until("it is told", |heard| {
        heard.last().is_some_and(|last| *last == (None, Some(ErrorCode::Timeout)))
    });
}

#[test]
fn a_token_that_sasl_cannot_carry_is_refused_without_being_quoted() {
    for value in ["", "with blank", "two\nlines", "\u{e4}"] {
        let error = Token::new(value.to_owned(), Duration::from_secs(9), "").expect_err("refused");
        assert_eq!(error.code(), ErrorCode::Backend);
        assert!(value.is_empty() || !error.to_string().contains(value), "{error}");
    }
    let token = Token::new("abc".to_owned(), Duration::MAX, "a\0b").expect("a token");
    assert_eq!(token.principal, "ab");
    assert!(token.expires_at_ms() > 0);
    assert_eq!(format!("{token:?}"), "***");
}

fn is(token: Option<&String>, wanted: &str) -> bool {
    token.is_some_and(|token| token == wanted)
}

fn credential(key: &str, session: Option<&str>) -> Credential {
    Credential {
        access_key_id: key.to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: session.map(str::to_owned),
        expires_in: None,
    }
}

/// Against a program in another language that follows AWS's description of Signature Version 4 step by step.
#[test]
fn tokens_of_msk_iam_are_signed_as_amazon_describes() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
    let scope = "20260102%2Fus-east-1%2Fkafka-cluster%2Faws4_request";
    let agent = format!("User-Agent=bindwright%2F{}", env!("CARGO_PKG_VERSION"));
    for (credential, region, wanted) in [
        (
            credential("AKIDEXAMPLE", None),
            "us-east-1",
            format!(
                "https://kafka.us-east-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F{scope}\
                 &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
                 &X-Amz-Signature=24ebada2ed545858377591fc84af1a1bff3c40c5e8ab0c1fc85eee156cfb42da&{agent}"
            ),
        ),
        (
            credential("ASIAEXAMPLE", Some("a/b+c==")),
            "cn-north-1",
            format!(
                "https://kafka.cn-north-1.amazonaws.com.cn/?Action=kafka-cluster%3AConnect\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE%2F{}\
                 &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D\
                 &X-Amz-SignedHeaders=host\
                 &X-Amz-Signature=9bd53cdba4c02ff0f415513f0e8c834403baaf39843218d2168aa40a7b1584a8&{agent}",
                scope.replace("us-east-1", "cn-north-1")
            ),
        ),
    ] {
        let token = presign::token(&credential, region, now).expect("signed");
        let url = from_base64_url(&token).and_then(|bytes| String::from_utf8(bytes).ok());
        assert_eq!(url.as_deref(), Some(&*wanted));
    }
}

/// Amazon's token service.
#[derive(Debug, Clone)]
struct Sts {
    status: u16,
    body: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpSend for Sts {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        self.asked.lock().push(request.uri().to_string());
        Ok(Response::builder().status(self.status).body(Bytes::from(self.body)).expect("an answer"))
    }
}

fn settings(keys: bool, role: Option<&str>) -> Aws {
    Aws {
        region: "eu-central-1".to_owned(),
        keys: keys.then(|| (Secret::new("AKIDEXAMPLE"), Secret::new("top-secret-key"))),
        session_token: None,
        role: role.map(str::to_owned),
        session_name: "nightly".to_owned(),
    }
}

fn fetched(settings: &Aws, sts: &Sts, environment: &[(&str, &str)]) -> Result<Token> {
    let envs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let environment = StaticEnv { home_dir: None, envs };
    let context = Context::new().with_env(environment).with_http_send(sts.clone());
    let iam = aws::Iam::within(settings, context);
    runtime::handle()?.block_on(iam.fetch(Instant::now() + PATIENCE))
}

fn url(token: &Token) -> String {
    String::from_utf8(from_base64_url(token.value.expose()).expect("base64url")).expect("an address")
}

const GRANTED: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
    <AccessKeyId>ASIAROLE123456789</AccessKeyId><SecretAccessKey>of-the-role</SecretAccessKey>\
    <SessionToken>session</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>\
    </Credentials></AssumeRoleResult></AssumeRoleResponse>";
const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
    <Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

#[test]
fn a_role_is_taken_on_with_the_settings_keys() {
    let sts = Sts { status: 200, body: GRANTED, asked: Arc::default() };
    let role = settings(true, Some("arn:aws:iam::123456789012:role/orders"));
    let token = fetched(&role, &sts, &[]).expect("a token");
    assert!(url(&token).contains("X-Amz-Credential=ASIAROLE123456789%2F"), "{}", url(&token));
    assert!(url(&token).contains("X-Amz-Security-Token=session"));
    let asked = sts.asked.lock();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("https://sts.eu-central-1.amazonaws.com/?Action=AssumeRole"), "{asked:?}");
    assert!(asked[0].contains("RoleSessionName=nightly"), "{asked:?}");

    let sts = Sts { status: 403, body: DENIED, asked: Arc::default() };
    let error = fetched(&role, &sts, &[]).expect_err("denied");
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(error.to_string().contains("sts:AssumeRole"), "{error}");
    assert!(!format!("{error:?}").contains("top-secret"), "{error:?}");
}

#[test]
fn without_keys_the_environment_is_looked_at_and_an_empty_one_is_told() {
    // Nothing answers at the machine's own addresses.
    let sts = Sts { status: 404, body: "", asked: Arc::default() };
    let environment = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let token = fetched(&settings(false, None), &sts, &environment).expect("a token");
    assert!(url(&token).contains("X-Amz-Credential=AKIAENV%2F"));
    let left = token.left();
    assert!(left <= presign::LIFE && left > Duration::from_mins(14), "{left:?}");
    let error = fetched(&settings(false, None), &sts, &[]).expect_err("there are none");
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(error.to_string().contains("looked in the environment"), "{error}");
}

fn decoded(auth_type: &str, settings: &str) -> Result<()> {
    let document = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: orders}}\nspec:\n  \
         type: bindings.kafka\n  metadata:\n  - {{name: brokers, value: 'localhost:9092'}}\n  \
         - {{name: authType, value: {auth_type}}}\n{settings}"
    );
    let manifest = Manifest::parse(document.as_bytes(), "orders.yaml", None)?;
    KafkaSettings::decode(&manifest.components[0]).map(|_| ())
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let oidc = "  - {name: oidcTokenEndpoint, value: 'https://host/token'}\n  - {name: oidcClientID, value: a}\n  \
                - {name: oidcClientSecret, value: b}\n";
    decoded("oidc", oidc).expect("these work");
    for (extensions, wanted) in [
        ("{\"auth\": \"x\"}", "the name \"auth\" is the token's own"),
        ("{\"log-ical\": \"x\"}", "names of ASCII letters, got \"log-ical\""),
        ("{\"logical\": \"\u{e4}\"}", "as the value of \"logical\""),
        ("{\"logical\": 7}", "a JSON object of texts"),
        ("nonsense", "a JSON object of texts"),
    ] {
        let settings = format!("{oidc}  - {{name: oidcExtensions, value: '{extensions}'}}\n");
        let error = decoded("oidc", &settings).expect_err(extensions);
        assert_eq!(error.code(), ErrorCode::InvalidSettings);
        let text = error.to_string();
        assert!(text.contains("oidcExtensions: ") && text.contains(wanted), "{text}");
    }
    let elsewhere = oidc.replace("https://host/token", "ftp://host/token");
    let error = decoded("oidc", &elsewhere).expect_err("no address for http");
    assert!(error.to_string().contains("oidcTokenEndpoint: expected an address"), "{error}");
    let error = decoded("oidc_private_key_jwt", oidc).expect_err("no key");
    assert!(error.to_string().contains("oidcClientAssertionKey: needed by"), "{error}");
    let anywhere = "  - {name: region, value: eu-west-1}\n  - {name: trustAnchorArn, value: 'arn:x'}\n";
    let error = decoded("awsiam", anywhere).expect_err("not known here");
    assert!(error.to_string().contains("Roles Anywhere"), "{error}");
}
