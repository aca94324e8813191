//! Tokens of MSK IAM: credentials of AWS, from the settings or from where AWS's own tools look for them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, AssumeRoleWithWebIdentityCredentialProvider, Credential,
    ECSCredentialProvider, EnvCredentialProvider, IMDSv2CredentialProvider, ProfileCredentialProvider,
    RequestSigner, SSOCredentialProvider,
};
use reqsign_core::time::Timestamp;
use reqsign_core::{
    Context, ErrorKind, FileRead, HttpSend, OsEnv, ProvideCredential, ProvideCredentialDyn, Signer,
};

use super::{Fetch, Token, presign};
use crate::components::kafka::settings::Aws;
use crate::error::{Error, ErrorCode, Result};
use crate::http::HttpClient;
use crate::tls::Tls;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long the services of the machine itself may take to be there: elsewhere than in AWS nobody answers.
const LOCAL_PATIENCE: Duration = Duration::from_secs(2);

/// One identity at AWS.
pub(super) struct Iam {
    settings: Aws,
    context: Context,
    /// What the way to AWS itself suffered last. `reqsign` passes on only that there was something.
    trouble: Trouble,
}

type Trouble = Arc<Mutex<Option<Error>>>;

impl Iam {
    pub(super) fn new(settings: &Aws) -> Result<Self> {
        let trouble = Trouble::default();
        let http = Http { client: HttpClient::new(&Tls::default())?, trouble: trouble.clone() };
        let context = Context::new().with_env(OsEnv).with_file_read(Files).with_http_send(http);
        Ok(Self { settings: settings.clone(), context, trouble })
    }

    /// With another machine around it.
    #[cfg(test)]
    pub(super) fn within(settings: &Aws, context: Context) -> Self {
        Self { settings: settings.clone(), context, trouble: Trouble::default() }
    }

    async fn credential(&self) -> Result<Credential> {
        let settings = &self.settings;
        let own = find(settings, &self.context).await.map_err(|error| self.said(&error))?;
        let Some(role) = &settings.role else { return Ok(own) };
        let signer =
            Signer::new(self.context.clone(), Fixed(own), RequestSigner::new("sts", &settings.region));
        let role = AssumeRoleCredentialProvider::new(role.clone(), signer)
            .with_role_session_name(settings.session_name.clone())
            .with_region(settings.region.clone())
            .with_regional_sts_endpoint();
        let found = role.provide_credential(&self.context).await.map_err(|error| self.said(&error))?;
        found.ok_or_else(|| Error::new(ErrorCode::Unauthenticated, "no credentials of AWS"))
    }

    /// The error of a place where credentials were looked for. Its text has AWS's words, and no credentials.
    fn said(&self, error: &reqsign_core::Error) -> Error {
        if error.kind() == ErrorKind::Unexpected
            && let Some(trouble) = self.trouble.lock().take()
        {
            return trouble;
        }
        let (code, message) = match error.kind() {
            ErrorKind::RateLimited => (ErrorCode::Unavailable, "AWS gives no credentials now"),
            ErrorKind::Unexpected if error.is_retryable() => {
                (ErrorCode::Unavailable, "AWS gives no credentials now")
            }
            _ => (ErrorCode::Unauthenticated, "no credentials of AWS"),
        };
        let advice = "Set accessKey and secretKey, or check what the environment and the profile of this process offer.";
        Error::new(code, message).backend(error.to_string()).advice(advice)
    }
}

#[async_trait]
impl Fetch for Iam {
    async fn fetch(&self, _deadline: Instant) -> Result<Token> {
        self.trouble.lock().take();
        let credential = self.credential().await?;
        let now = Timestamp::now();
        let left = credential.expires_in.map_or(presign::LIFE, |end| {
            end.as_system_time().duration_since(now.as_system_time()).unwrap_or_default()
        });
        let token = presign::token(&credential, &self.settings.region, now).map_err(|error| {
            Error::new(ErrorCode::Internal, "the token cannot be signed").backend(error.to_string())
        })?;
        Token::new(token, presign::LIFE.min(left), "awsiam")
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

/// Where credentials are looked for, in the order of AWS's own tools but for processes, which are not started.
async fn find(settings: &Aws, context: &Context) -> reqsign_core::Result<Credential> {
    if let Some((access, secret)) = &settings.keys {
        return Ok(Credential {
            access_key_id: access.expose().to_owned(),
            secret_access_key: secret.expose().to_owned(),
            session_token: settings.session_token.as_ref().map(|token| token.expose().to_owned()),
            expires_in: None,
        });
    }
    let web_identity = AssumeRoleWithWebIdentityCredentialProvider::new()
        .with_region(settings.region.clone())
        .with_regional_sts_endpoint();
    let places: [&dyn ProvideCredentialDyn<Credential = Credential>; 6] = [
        &EnvCredentialProvider::new(),
        &ProfileCredentialProvider::new(),
        &SSOCredentialProvider::new(),
        &web_identity,
        &ECSCredentialProvider::new(),
        &IMDSv2CredentialProvider::new(),
    ];
    let mut first = None;
    for (index, place) in places.iter().enumerate() {
        match place.provide_credential_dyn(context).await {
            Ok(Some(credential)) => return Ok(credential),
            Ok(None) => {}
            // Nobody who answers at the address of the machine's own service is the usual case outside AWS, and
            // no fault worth telling.
            Err(_) if index + 1 == places.len() => {}
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| {
        reqsign_core::Error::credential_invalid(
            "looked in the environment, the profile, single sign-on, web identity, the container and the machine",
        )
    }))
}

/// Credentials that were found already.
#[derive(Debug)]
struct Fixed(Credential);

impl ProvideCredential for Fixed {
    type Credential = Credential;

    async fn provide_credential(&self, _: &Context) -> reqsign_core::Result<Option<Credential>> {
        Ok(Some(self.0.clone()))
    }
}

/// Our way to send for `reqsign`.
struct Http {
    client: HttpClient,
    trouble: Trouble,
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Http")
    }
}

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let local = request.uri().scheme_str() == Some("http");
        let patience = if local { LOCAL_PATIENCE } else { PATIENCE };
        self.client.send(request, Instant::now() + patience).await.map_err(|error| {
            let passed_on = reqsign_core::Error::unexpected(error.to_string()).set_retryable(true);
            if !local {
                *self.trouble.lock() = Some(error);
            }
            passed_on
        })
    }
}

/// Profiles and tokens in files.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        let read = read.map_err(|error| reqsign_core::Error::unexpected(error.to_string()))?;
        read.map_err(|error| reqsign_core::Error::unexpected(format!("a file cannot be read: {error}")))
    }
}
