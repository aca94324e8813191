//! Every `authType` of this room sends and receives.

use bindwright::Request;

use super::secured::{PASSWORD, Secured, USER, WRONG, has_secret, secured};
use crate::fixture::{close, receive, send, subscribe, texts};

async fn sends_and_receives(secured: &Secured, listener: &str, settings: &[(&str, &str)]) {
    let fixture = secured.fixture(listener, settings).await;
    let client = fixture.client();
    client.ready(crate::fixture::PATIENCE).await.expect("ready");
    let subscription = subscribe(&client).await;
    for text in ["one", "two"] {
        send(&client, Request::new(text)).await.expect("sent");
    }
    assert_eq!(texts(&receive(&subscription, 2).await), ["one", "two"]);
    close(&client).await;
}

#[tokio::test]
async fn a_password_is_used_with_every_mechanism_with_tls_and_without() {
    let Some(secured) = secured().await else { return };
    let authority = secured.authority.pem();
    let login = [("authType", "password"), ("saslUsername", USER), ("saslPassword", PASSWORD)];
    for mechanism in ["PLAINTEXT", "SHA-256", "SHA-512"] {
        let mechanism = [("saslMechanism", mechanism)];
        let encrypted = [&login[..], &mechanism, &[("caCert", &*authority)]].concat();
        sends_and_receives(secured, "LOCKED", &encrypted).await;
        let plain = [&login[..], &mechanism, &[("disableTls", "true")]].concat();
        sends_and_receives(secured, "CLEAR", &plain).await;
    }
}

#[tokio::test]
async fn the_older_way_to_ask_for_a_password_works() {
    let Some(secured) = secured().await else { return };
    let authority = secured.authority.pem();
    let login = [
        ("authRequired", "true"),
        ("saslUsername", USER),
        ("saslPassword", PASSWORD),
        ("caCert", &authority),
    ];
    sends_and_receives(secured, "LOCKED", &login).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let Some(secured) = secured().await else { return };
    let authority = secured.authority.pem();
    let certificate = [
        ("authType", "mtls"),
        ("caCert", &*authority),
        ("clientCert", &secured.client.certificate),
        ("clientKey", &secured.client.key),
    ];
    sends_and_receives(secured, "MUTUAL", &certificate).await;
}

#[tokio::test]
async fn tls_alone_needs_only_the_authority() {
    let Some(secured) = secured().await else { return };
    let authorities = format!("{}{}", secured.stranger.pem(), secured.authority.pem());
    sends_and_receives(secured, "PUBLIC", &[("authType", "certificate"), ("caCert", &authorities)]).await;
}

#[tokio::test]
async fn skip_verify_takes_any_certificate() {
    let Some(secured) = secured().await else { return };
    for listener in ["EXPIRED", "MISNAMED"] {
        sends_and_receives(secured, listener, &[("authType", "mtls"), ("skipVerify", "true")]).await;
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_before_anything_is_connected() {
    let Some(secured) = secured().await else { return };
    let other = secured.authority.issue("other", &[], super::certificates::Valid::Now);
    let (certificate, key) = (&*secured.client.certificate, &*secured.client.key);
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("authType", "certificate"), ("caCert", WRONG)], "caCert: expected certificates as PEM"),
        (&[("authType", "certificate")], "caCert: needed by authType certificate"),
        (&[("authType", "mtls"), ("clientCert", certificate)], "clientKey: needed by clientCert"),
        (
            &[("authType", "mtls"), ("clientCert", certificate), ("clientKey", &other.key)],
            "clientKey: the client key does not belong",
        ),
        (
            &[("authType", "mtls"), ("clientCert", certificate), ("clientKey", WRONG)],
            "clientKey: expected a private key as PEM",
        ),
        (&[("authType", "password"), ("saslUsername", USER)], "saslPassword: needed by authType password"),
    ];
    for (settings, expected) in cases {
        let fixture = secured.fixture("LOCKED", settings).await;
        let client = fixture.client();
        let fault = client.faults().pop().expect("a fault").to_string();
        assert!(fault.contains(expected), "{fault}");
        assert!(!has_secret(&fault), "{fault}");
        close(&client).await;
    }
    let idle =
        [("authType", "none"), ("saslPassword", PASSWORD), ("clientKey", key), ("caCert", certificate)];
    let fixture = secured.fixture("CLIENT", &idle).await;
    let client = fixture.client();
    let faults: Vec<_> = client.faults().iter().map(ToString::to_string).collect();
    for setting in ["saslPassword", "clientKey", "caCert"] {
        let expected = format!("{setting} has no effect with authType none");
        assert!(faults.iter().any(|fault| fault.contains(&expected)), "{setting}: {faults:?}");
    }
    assert!(!has_secret(&faults.join(" ")), "{faults:?}");
    close(&client).await;
}
