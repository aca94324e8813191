//! Faults that only a cluster tells.

use std::time::Duration;

use bindwright::{Error, Request};

use super::Fault;
use crate::fixture::{Fixture, close, subscribe, until};
use crate::security::certificates::Valid;
use crate::security::secured::{STRANGER, STRANGERS_PASSWORD, USER, WRONG, secured};
use crate::server;

/// Nobody listens there: it is the port of a service that nobody runs.
const NOBODY: &str = "127.0.0.1:9";

/// What a call is answered with.
async fn called(fixture: &Fixture, request: Request, patience: Duration) -> String {
    let client = fixture.client();
    let answer = client.invoke_binding("orders", "create", request, Some(patience)).await;
    close(&client).await;
    answer.expect_err("refused").to_string()
}

/// The same, where the answer does not come at the deadline but as soon as it is known.
async fn refused(fixture: &Fixture) -> String {
    called(fixture, Request::new("{}"), Duration::from_secs(30)).await
}

/// What a subscription says.
async fn received(fixture: &Fixture) -> String {
    let client = fixture.client();
    let subscription = subscribe(&client).await;
    until("it is told", async || subscription.last_error().is_some()).await;
    let error: Option<Error> = subscription.last_error();
    close(&client).await;
    error.expect("an error").to_string()
}

/// `None` where there is no Kafka.
pub async fn faults() -> Option<Vec<Fault>> {
    let secured = secured().await?;
    let authority = secured.authority.pem();
    let trusting = [("authType", "certificate"), ("caCert", &*authority)];
    let login = |user, password| {
        [("authType", "password"), ("saslUsername", user), ("saslPassword", password), ("disableTls", "true")]
    };
    let mut faults = Vec::new();
    let mut add = |what, message| faults.push(Fault::new(what, message));

    let away = Fixture::on(NOBODY);
    away.write("authType: none");
    add("Nobody listens at the address", called(&away, Request::new("{}"), Duration::from_secs(3)).await);
    let nowhere = Fixture::on("kafka.invalid:9092");
    nowhere.write("authType: none");
    add("The host has no such name", called(&nowhere, Request::new("{}"), Duration::from_secs(3)).await);
    let plain = secured.fixture("CLIENT", &[("authType", "none")]).await;
    let large = Request::new(vec![b'x'; 2 << 20]);
    add("The data is too large", called(&plain, large, Duration::from_secs(30)).await);
    let elsewhere = Request::new("{}").with("partitionNumber", "7");
    add("The partition does not exist", called(&plain, elsewhere, Duration::from_secs(30)).await);
    let fragile = server::fragile().await?;
    let missing = Fixture::on(fragile.bootstrap());
    add("The topic does not exist, and the broker makes none", refused(&missing).await);
    drop(fragile);

    let fixture = secured.fixture("CLEAR", &login(USER, WRONG)).await;
    add("The password is wrong", refused(&fixture).await);
    let fixture = secured.fixture("CLEAR", &[("authType", "none")]).await;
    add("The broker wants a login, and the component has none", refused(&fixture).await);
    let fixture = secured.fixture("CLEAR", &login(STRANGER, STRANGERS_PASSWORD)).await;
    add("The user may not write to the topic", refused(&fixture).await);
    let fixture = secured.fixture("CLEAR", &login(STRANGER, STRANGERS_PASSWORD)).await;
    secured.cluster.allow(STRANGER, "all", "topic", &fixture.topic).await;
    add("The user may not be in the group", received(&fixture).await);
    let stranger = secured.stranger.pem();
    let fixture = secured.fixture("PUBLIC", &[("authType", "certificate"), ("caCert", &stranger)]).await;
    add("The broker's certificate comes from an unknown authority", refused(&fixture).await);
    let fixture = secured.fixture("MISNAMED", &trusting).await;
    add("The broker's certificate is for another host", refused(&fixture).await);
    let fixture = secured.fixture("EXPIRED", &trusting).await;
    add("The broker's certificate has expired", refused(&fixture).await);
    let fixture = secured.fixture("MUTUAL", &trusting).await;
    add("The broker wants a client certificate", refused(&fixture).await);
    let expired = secured.authority.issue("client", &[], Valid::Formerly);
    let own = [("clientCert", &*expired.certificate), ("clientKey", &*expired.key)];
    let mtls = [&[("authType", "mtls"), ("caCert", &*authority)][..], &own].concat();
    let fixture = secured.fixture("MUTUAL", &mtls).await;
    add("The component's own certificate has expired", refused(&fixture).await);
    let fixture = secured.fixture("CLIENT", &trusting).await;
    add("The component speaks TLS, and the port does not", refused(&fixture).await);
    let fixture = secured.fixture("PUBLIC", &[("authType", "none")]).await;
    add("The port speaks TLS, and the component does not", refused(&fixture).await);
    let tokens = [
        ("authType", "oidc"),
        ("oidcTokenEndpoint", "http://127.0.0.1:9/token"),
        ("oidcClientID", "orders"),
        ("oidcClientSecret", WRONG),
        ("oidcScopes", "kafka"),
        ("disableTls", "true"),
    ];
    let fixture = secured.fixture("CLEAR", &tokens).await;
    add("The token server cannot be reached", refused(&fixture).await);
    Some(faults)
}
