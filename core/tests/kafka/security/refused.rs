//! Whoever is refused is told so at once, and why; and it works when the cause is gone.

use std::time::Duration;

use bindwright::{Client, Error, ErrorCode, Request, State};

use super::certificates::Valid;
use super::secured::{PASSWORD, Secured, USER, WRONG, has_secret, leaks, secured};
use crate::fixture::{Fixture, close, receive, send, send_within, subscribe, texts, until};

/// Long enough for every call to be answered before it: nobody may wait for the deadline.
const FAR_DEADLINE: u64 = 60_000;
const AT_ONCE: Duration = Duration::from_secs(15);

/// What a call, the client's `ready`, the state and a subscription say of a component that is refused.
async fn refused(fixture: &Fixture, code: ErrorCode, words: &[&str]) -> Error {
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    let call = send_within(&client, FAR_DEADLINE, Request::new("x"));
    let call = tokio::time::timeout(AT_ONCE, call).await.expect("answered at once");
    let error = call.expect_err("refused");
    check(&error, code, words);
    // Later calls are told at once, too.
    let again = tokio::time::timeout(AT_ONCE, send_within(&client, FAR_DEADLINE, Request::new("x"))).await;
    check(&again.expect("answered at once").expect_err("refused"), code, words);
    let ready = tokio::time::timeout(AT_ONCE, client.ready(Duration::from_mins(1))).await;
    check(&ready.expect("answered at once").expect_err("refused"), code, words);
    until("the subscription tells", async || subscription.last_error().is_some_and(|it| it.code() == code))
        .await;
    check(&subscription.last_error().expect("it stays"), code, words);
    let info = client.components().await.expect("components").pop().expect("a component");
    assert_eq!(info.state, State::Failed);
    check(&info.error.expect("an error"), code, words);
    close(&client).await;
    error
}

fn check(error: &Error, code: ErrorCode, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!has_secret(&text), "{text}");
    assert_eq!(leaks(), Vec::<String>::new(), "logged");
    println!("{text}");
}

fn login<'a>(mechanism: &'a str, user: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("authType", "password"),
        ("saslMechanism", mechanism),
        ("saslUsername", user),
        ("saslPassword", password),
    ]
}

#[tokio::test]
async fn a_wrong_password_is_unauthenticated() {
    let Some(secured) = secured().await else { return };
    let authority = secured.authority.pem();
    for mechanism in ["PLAINTEXT", "SHA-256", "SHA-512"] {
        let settings = [&login(mechanism, USER, WRONG)[..], &[("caCert", &*authority)]].concat();
        let fixture = secured.fixture("LOCKED", &settings).await;
        let address = secured.cluster.listener("LOCKED");
        refused(&fixture, ErrorCode::Unauthenticated, &[address, "refuses the login"]).await;
    }
}

#[tokio::test]
async fn an_unknown_user_is_unauthenticated() {
    let Some(secured) = secured().await else { return };
    let settings = [&login("SHA-512", "nobody", WRONG)[..], &[("disableTls", "true")]].concat();
    let fixture = secured.fixture("CLEAR", &settings).await;
    refused(&fixture, ErrorCode::Unauthenticated, &["refuses the login", "invalid credentials"]).await;
}

#[tokio::test]
async fn somebody_who_does_not_log_in_is_told_to() {
    let Some(secured) = secured().await else { return };
    let fixture = secured.fixture("CLEAR", &[("authType", "none")]).await;
    refused(&fixture, ErrorCode::Unauthenticated, &["answers only clients that log in", "authType"]).await;
    let authority = secured.authority.pem();
    let fixture = secured.fixture("LOCKED", &[("authType", "certificate"), ("caCert", &authority)]).await;
    refused(&fixture, ErrorCode::Unauthenticated, &["answers only clients that log in", "authType"]).await;
}

#[tokio::test]
async fn a_login_where_none_is_wanted_is_unauthenticated() {
    let Some(secured) = secured().await else { return };
    let settings = [&login("SHA-512", USER, PASSWORD)[..], &[("disableTls", "true")]].concat();
    let fixture = secured.fixture("CLIENT", &settings).await;
    refused(&fixture, ErrorCode::Unauthenticated, &["refuses the login"]).await;
}

async fn untrusting(secured: &Secured, listener: &str, code: ErrorCode, words: &[&str]) {
    let authority = secured.authority.pem();
    let fixture = secured.fixture(listener, &[("authType", "certificate"), ("caCert", &authority)]).await;
    refused(&fixture, code, words).await;
}

#[tokio::test]
async fn an_unknown_authority_is_untrusted() {
    let Some(secured) = secured().await else { return };
    let stranger = secured.stranger.pem();
    let fixture = secured.fixture("PUBLIC", &[("authType", "certificate"), ("caCert", &stranger)]).await;
    let words = ["CN=broker", "is not trusted", "issued by CN=Test Authority"];
    refused(&fixture, ErrorCode::UntrustedCertificate, &words).await;
    // Without an authority of its own a component trusts what this machine trusts.
    let settings = login("PLAINTEXT", USER, PASSWORD);
    let fixture = secured.fixture("LOCKED", &settings).await;
    refused(&fixture, ErrorCode::UntrustedCertificate, &["is not trusted"]).await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_untrusted() {
    let Some(secured) = secured().await else { return };
    let words = ["is for kafka.example and not for 127.0.0.1"];
    untrusting(secured, "MISNAMED", ErrorCode::UntrustedCertificate, &words).await;
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_expired() {
    let Some(secured) = secured().await else { return };
    let words = ["CN=expired broker", "has expired: it was valid until", "GMT"];
    untrusting(secured, "EXPIRED", ErrorCode::ExpiredCertificate, &words).await;
    let words = ["CN=early broker", "is not valid yet: it will be from", "GMT"];
    untrusting(secured, "LATER", ErrorCode::ExpiredCertificate, &words).await;
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_expired_or_unknown_is_told_apart() {
    let Some(secured) = secured().await else { return };
    let words = ["wants a client certificate"];
    untrusting(secured, "MUTUAL", ErrorCode::TlsFailed, &words).await;
    let expired = secured.authority.issue("client", &[], Valid::Formerly);
    let unknown = secured.stranger.issue("client", &[], Valid::Now);
    let authority = secured.authority.pem();
    for (pair, code, words) in [
        (&expired, ErrorCode::ExpiredCertificate, "the client certificate of CN=client has expired"),
        (&unknown, ErrorCode::Unauthenticated, "does not accept the client certificate"),
    ] {
        let settings = [
            ("authType", "mtls"),
            ("caCert", &*authority),
            ("clientCert", &pair.certificate),
            ("clientKey", &pair.key),
        ];
        let fixture = secured.fixture("MUTUAL", &settings).await;
        refused(&fixture, code, &[words]).await;
    }
}

#[tokio::test]
async fn tls_on_one_side_only_is_told() {
    let Some(secured) = secured().await else { return };
    untrusting(secured, "CLIENT", ErrorCode::TlsFailed, &["does not speak TLS", "disableTls"]).await;
    let fixture = secured.fixture("PUBLIC", &[("authType", "none")]).await;
    refused(&fixture, ErrorCode::TlsFailed, &["speaks TLS, and the component does not"]).await;
    let settings = [&login("SHA-512", USER, PASSWORD)[..], &[("disableTls", "true")]].concat();
    let fixture = secured.fixture("LOCKED", &settings).await;
    refused(&fixture, ErrorCode::TlsFailed, &["speaks TLS, and the component does not"]).await;
}

async fn is_refused(client: &Client, code: ErrorCode) -> bool {
    let call = tokio::time::timeout(AT_ONCE, send_within(client, FAR_DEADLINE, Request::new("x"))).await;
    call.expect("answered at once").is_err_and(|error| error.code() == code)
}

#[tokio::test]
async fn a_password_that_is_mended_works_without_a_restart() {
    let Some(secured) = secured().await else { return };
    let user = crate::server::unique("user");
    let settings = [&login("SHA-512", &user, PASSWORD)[..], &[("disableTls", "true")]].concat();
    let fixture = secured.fixture("CLEAR", &settings).await;
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    assert!(is_refused(&client, ErrorCode::Unauthenticated).await);
    until("the subscription tells", async || {
        subscription.last_error().is_some_and(|error| error.code() == ErrorCode::Unauthenticated)
    })
    .await;

    for (operation, resource, name) in [("all", "topic", &fixture.topic), ("all", "group", &fixture.group)] {
        secured.cluster.allow(&user, operation, resource, name).await;
    }
    secured.cluster.set_password(&user, PASSWORD).await;
    until("calls are accepted", async || send(&client, Request::new("mended")).await.is_ok()).await;
    assert_eq!(texts(&receive(&subscription, 1).await), ["mended"]);
    until("all is well", async || client.components().await.expect("components")[0].state == State::Ready)
        .await;
    assert!(subscription.last_error().is_none());
    close(&client).await;
}
