//! Logging in with tokens: a real broker that checks them, and token servers that fail in every way.

mod fixture;
mod token_server;

use futures_util::FutureExt as _;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bindwright::{Client, ErrorCode, Request, State};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

use crate::fixture::{close, receive, send, send_within, subscribe, texts, until};
use fixture::{Ear, Tokens};
use token_server::{CLIENT, SECRET, claims, from_base64_url, from_percent, part, rsa_key};

/// Far less than any time-out: whoever waits that long waited for one.
const AT_ONCE: Duration = Duration::from_secs(5);

fn state(client: &Client) -> State {
    client.components().now_or_never().expect("known at once").expect("components")[0].state
}

fn health_code(client: &Client) -> Option<ErrorCode> {
    client.components().now_or_never().expect("known at once").expect("components")[0]
        .error
        .as_ref()
        .map(bindwright::Error::code)
}

/// A call fails before its time is over; tells with what.
async fn fails_at_once(client: &Client) -> bindwright::Error {
    let began = Instant::now();
    let error = send_within(client, 30_000, Request::new("x")).await.expect_err("it fails");
    assert!(began.elapsed() < AT_ONCE, "it took {:?}: {error}", began.elapsed());
    let shown = format!("{error} {error:?} {:?}", error.backend_text());
    // What the token server quotes: the secret, and the beginning of every assertion.
    assert!(!shown.contains(SECRET) && !shown.contains("another one") && !shown.contains("eyJ"), "{shown}");
    error
}

/// A certificate for 127.0.0.1 that its own key signed.
fn certificate(key: &PKey<Private>) -> X509 {
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_text("CN", "token server").expect("named");
    let name = name.build();
    let mut builder = X509::builder().expect("a certificate");
    builder.set_version(2).expect("set");
    let serial = BigNum::from_u32(7).and_then(|number| number.to_asn1_integer()).expect("a number");
    builder.set_serial_number(&serial).expect("set");
    builder.set_subject_name(&name).expect("set");
    builder.set_issuer_name(&name).expect("set");
    builder.set_pubkey(key).expect("set");
    builder.set_not_before(&Asn1Time::days_from_now(0).expect("a time")).expect("set");
    builder.set_not_after(&Asn1Time::days_from_now(1).expect("a time")).expect("set");
    let names = SubjectAlternativeName::new().ip("127.0.0.1").build(&builder.x509v3_context(None, None));
    builder.append_extension(names.expect("an extension")).expect("set");
    builder.sign(key, MessageDigest::sha256()).expect("signed");
    builder.build()
}

fn pem(certificate: &X509) -> String {
    String::from_utf8(certificate.to_pem().expect("PEM")).expect("ASCII")
}

fn private_pem(key: &PKey<Private>) -> String {
    String::from_utf8(key.private_key_to_pem_pkcs8().expect("PEM")).expect("ASCII")
}

fn acceptor(key: &PKey<Private>, certificate: &X509) -> SslAcceptor {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("an acceptor");
    acceptor.set_private_key(key).expect("set");
    acceptor.set_certificate(certificate).expect("set");
    acceptor.build()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_and_come_with_one_token_for_both_ways() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.write(&[("oidcResource", "urn:orders"), ("oidcAudience", "kafka-brokers")]);
    let client = tokens.fixture.client();
    let subscription = subscribe(&client).await;
    send(&client, Request::new("1")).await.expect("sent");
    assert_eq!(texts(&receive(&subscription, 1).await), ["1"]);
    assert_eq!(state(&client), State::Ready);
    let asked = tokens.server.asked();
    assert_eq!(asked.len(), 1, "sending and receiving share a token: {asked:?}");
    let form = |name: &str| asked[0].form.get(name).map(String::as_str);
    assert_eq!(form("scope"), Some("orders kafka"));
    assert_eq!(form("resource"), Some("urn:orders"));
    assert_eq!(form("audience"), Some("kafka-brokers"));
    assert_eq!((form("client_id"), form("client_secret")), (Some(CLIENT), Some(SECRET)));
    assert_eq!(asked[0].authorization, None);
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_lived_tokens_are_renewed_and_nothing_is_lost() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.server.set_life(6);
    let client = tokens.fixture.client();
    let subscription = subscribe(&client).await;
    // The broker makes the topic first.
    send(&client, Request::new("first")).await.expect("sent");
    receive(&subscription, 1).await;
    until("both sides are ready", async || state(&client) == State::Ready).await;
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(18) {
        send(&client, Request::new(sent.to_string())).await.expect("sent, whatever token it is");
        sent += 1;
        assert_eq!(health_code(&client), None);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let received: BTreeSet<String> = texts(&receive(&subscription, sent).await).into_iter().collect();
    assert_eq!(received.len(), sent);
    assert!(tokens.server.given().len() >= 5, "{} tokens", tokens.server.given().len());
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_fails_at_once_with_the_servers_words() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.write(&[("oidcClientSecret", "another one")]);
    let client = tokens.fixture.client();
    let error = fails_at_once(&client).await;
    assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
    let words = error.backend_text().expect("the server's words");
    assert!(words.starts_with("invalid_client: wrong secret"), "{words}");
    // The next one does not even wait for the next attempt.
    assert_eq!(fails_at_once(&client).await.code(), ErrorCode::Unauthenticated);
    let subscription = subscribe(&client).await;
    until("the subscription says so", async || {
        subscription.last_error().is_some_and(|error| error.code() == ErrorCode::Unauthenticated)
    })
    .await;
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_header_is_tried_where_the_form_is_refused() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.server.take_the_secret_in_the_header_only();
    tokens.server.set_life(3);
    let client = tokens.fixture.client();
    send(&client, Request::new("1")).await.expect("sent");
    until("it was renewed", async || tokens.server.given().len() >= 2).await;
    let asked = tokens.server.asked();
    let in_header: Vec<bool> = asked.iter().map(|asked| asked.authorization.is_some()).collect();
    assert_eq!(in_header[..3], [false, true, true], "what worked is tried first");
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_is_away_at_the_start_is_asked_until_it_is_back() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.server.go_away();
    let client = tokens.fixture.client();
    let subscription = subscribe(&client).await;
    let error = fails_at_once(&client).await;
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.to_string().contains("no connection to http://127.0.0.1"), "{error}");
    assert_eq!(health_code(&client), Some(ErrorCode::Unavailable));
    tokens.server.come_back();
    until("it is ready", async || state(&client) == State::Ready).await;
    send(&client, Request::new("1")).await.expect("sent");
    assert_eq!(texts(&receive(&subscription, 1).await), ["1"]);
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_is_away_during_a_renewal_costs_nothing_when_it_is_back_in_time() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.server.set_life(12);
    let client = tokens.fixture.client();
    send(&client, Request::new("1")).await.expect("sent");
    tokens.server.go_away();
    until("the renewal failed", async || health_code(&client) == Some(ErrorCode::Unavailable)).await;
    assert_eq!(state(&client), State::Degraded);
    send(&client, Request::new("2")).await.expect("sent with the old token");
    tokens.server.come_back();
    until("it is ready again", async || state(&client) == State::Ready).await;
    send(&client, Request::new("3")).await.expect("sent");
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_fail_at_once_when_the_last_token_has_expired_and_go_on_with_the_next() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.server.set_life(3);
    let client = tokens.fixture.client();
    let subscription = subscribe(&client).await;
    send(&client, Request::new("1")).await.expect("sent");
    receive(&subscription, 1).await;
    tokens.server.go_away();
    // Calls go through as long as the broker takes the old token. Nobody knows of the one in whose middle it ended.
    let mut unknown = 0;
    until("calls are refused", async || {
        let failed = send_within(&client, 1_000, Request::new("2")).await.map_err(|error| error.code());
        unknown += usize::from(failed.as_ref().err() == Some(&ErrorCode::OutcomeUnknown));
        failed.err() == Some(ErrorCode::Unavailable)
    })
    .await;
    assert!(unknown <= 1, "{unknown} were handed over in vain");
    fails_at_once(&client).await;
    tokens.server.come_back();
    until("calls go through again", async || send(&client, Request::new("3")).await.is_ok()).await;
    until("it is received", async || texts(&receive(&subscription, 1).await) == ["3"]).await;
    until("both sides are ready", async || state(&client) == State::Ready).await;
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_token_server_is_named_by_calls_that_run_out_of_time() {
    let Some(tokens) = Tokens::new() else { return };
    tokens.server.be_silent();
    let client = tokens.fixture.client();
    let error = send_within(&client, 500, Request::new("x")).await.expect_err("no token came");
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.backend_text().is_some_and(|text| text.contains("token")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_servers_certificate_is_checked() {
    let (key, other) = (rsa_key(), rsa_key());
    let own = certificate(&key);
    let Some(tokens) = Tokens::with_tls(Some(acceptor(&key, &own))) else { return };
    tokens.write(&[("caCert", &pem(&certificate(&other)))]);
    let client = tokens.fixture.client();
    let error = fails_at_once(&client).await;
    assert_eq!(error.code(), ErrorCode::UntrustedCertificate, "{error}");
    assert!(tokens.server.asked().is_empty(), "the secret was not sent");
    close(&client).await;

    tokens.write(&[("caCert", &pem(&own))]);
    let client = tokens.fixture.client();
    send(&client, Request::new("1")).await.expect("sent");
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_signed_by_the_clients_key_and_used_once() {
    let Some(tokens) = Tokens::new() else { return };
    let key = rsa_key();
    let certificate = certificate(&key);
    tokens.server.expect_assertions_of(certificate.public_key().expect("a key"));
    tokens.server.set_life(3);
    let settings = [
        ("authType", "oidc_private_key_jwt"),
        ("oidcClientSecret", ""),
        ("oidcClientAssertionKey", &private_pem(&key)),
        ("oidcClientAssertionCert", &pem(&certificate)),
        ("oidcKid", "key-1"),
    ];
    tokens.write(&settings);
    let client = tokens.fixture.client();
    send(&client, Request::new("1")).await.expect("sent");
    until("it was renewed", async || tokens.server.given().len() >= 2).await;
    close(&client).await;
    let asked = tokens.server.asked();
    let assertions: Vec<&str> = asked.iter().map(|asked| &*asked.form["client_assertion"]).collect();
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert_eq!(asked[0].form["client_assertion_type"], kind);
    assert_eq!(claims(assertions[0])["aud"], tokens.server.url("/token").as_str());
    assert_ne!(claims(assertions[0])["jti"], claims(assertions[1])["jti"]);
    let header = part(assertions[0], 0);
    assert_eq!((&header["alg"], &header["kid"]), (&"RS256".into(), &"key-1".into()));
    let print = certificate.digest(MessageDigest::sha256()).expect("a print").to_vec();
    assert_eq!(from_base64_url(header["x5t#S256"].as_str().expect("a text")), print);
    let sent = openssl::base64::decode_block(header["x5c"][0].as_str().expect("a text")).expect("base64");
    assert_eq!(sent, certificate.to_der().expect("DER"));

    // Another key than the one that the server knows.
    let stranger = private_pem(&rsa_key());
    let settings = [
        ("authType", "oidc_private_key_jwt"),
        ("oidcClientAssertionKey", &*stranger),
        ("oidcAudience", "https://issuer"),
    ];
    tokens.write(&settings);
    let client = tokens.fixture.client();
    assert_eq!(fails_at_once(&client).await.code(), ErrorCode::Unauthenticated);
    let asked = tokens.server.asked();
    let last = asked.last().expect("asked");
    assert_eq!(claims(&last.form["client_assertion"])["aud"], "https://issuer");
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_arrive_at_the_broker_beside_the_token() {
    let Some(tokens) = Tokens::new() else { return };
    let ear = Ear::before(&tokens.fixture.bootstrap).await;
    let extensions = r#"{"logicalCluster":"lkc-7","identityPoolId":"pool 1"}"#;
    tokens.write(&[("brokers", &ear.address), ("oidcExtensions", extensions)]);
    let client = tokens.fixture.client();
    send(&client, Request::new("1")).await.expect("sent");
    let login = ear.login().expect("somebody logged in");
    let token = &tokens.server.given()[0];
    let wanted = format!("n,,\u{1}auth=Bearer {token}\u{1}identityPoolId=pool 1\u{1}logicalCluster=lkc-7");
    assert_eq!(login, wanted);
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_msk_iam_is_signed_with_the_settings_keys() {
    let Some(tokens) = Tokens::new() else { return };
    let ear = Ear::before(&tokens.fixture.bootstrap).await;
    tokens.write(&[
        ("authType", "awsiam"),
        ("brokers", &ear.address),
        ("region", "eu-west-1"),
        ("accessKey", "AKIDEXAMPLE"),
        ("secretKey", "wJalrXUtnFEMI/K7MDENG"),
        ("sessionToken", "session/+="),
    ]);
    let client = tokens.fixture.client();
    // No broker but Amazon's takes it; what matters here is that it gets there.
    let _ = send_within(&client, 3_000, Request::new("x")).await;
    let login = ear.login().expect("somebody logged in");
    let token = login.strip_prefix("n,,\u{1}auth=Bearer ").expect("a token");
    let url = String::from_utf8(from_base64_url(token)).expect("an address");
    let query = url.strip_prefix("https://kafka.eu-west-1.amazonaws.com/?").expect("Amazon's address");
    let (signed, rest) = query.split_once("&X-Amz-Signature=").expect("a signature");
    let (signature, agent) = rest.split_once('&').expect("more behind it");
    assert!(agent.starts_with("User-Agent=bindwright%2F"), "{agent}");
    let value = |name: &str| {
        let pair = signed.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        from_percent(pair.expect(name))
    };
    assert_eq!(value("Action"), "kafka-cluster:Connect");
    assert_eq!(value("X-Amz-Expires"), "900");
    assert_eq!(value("X-Amz-Security-Token"), "session/+=");
    let time = value("X-Amz-Date");
    let scope = value("X-Amz-Credential").strip_prefix("AKIDEXAMPLE/").expect("the key").to_owned();
    assert_eq!(scope, format!("{}/eu-west-1/kafka-cluster/aws4_request", &time[..8]));
    let hash =
        |text: &str| hex(&openssl::hash::hash(MessageDigest::sha256(), text.as_bytes()).expect("a hash"));
    let request = format!("GET\n/\n{signed}\nhost:kafka.eu-west-1.amazonaws.com\n\nhost\n{}", hash(""));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(&request));
    let mut key = b"AWS4wJalrXUtnFEMI/K7MDENG".to_vec();
    for step in scope.split('/').chain([&*text]) {
        let with = PKey::hmac(&key).expect("a key");
        let mut signer = Signer::new(MessageDigest::sha256(), &with).expect("a signer");
        key = signer.sign_oneshot_to_vec(step.as_bytes()).expect("signed");
    }
    assert_eq!(signature, hex(&key));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
