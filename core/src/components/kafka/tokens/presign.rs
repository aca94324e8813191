//! The token of MSK IAM: a presigned request to `kafka.<region>.amazonaws.com`, signed with AWS Signature Version 4.
//!
//! Signed by hand, because the signer of `reqsign` refuses credentials that end before the token would, and those are
//! good until they end.

use std::fmt::Write as _;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use reqsign_aws_v4::{Credential, EMPTY_STRING_SHA256};
use reqsign_core::time::Timestamp;

use super::encoding::base64_url;
use crate::http::percent;

/// What AWS grants at most.
pub(super) const LIFE: Duration = Duration::from_mins(15);
const SERVICE: &str = "kafka-cluster";
/// Added after signing, as AWS's own libraries do, so that the owner of a cluster sees who connects.
const USER_AGENT: &str = concat!("bindwright/", env!("CARGO_PKG_VERSION"));

/// The token of some credentials at some time.
///
/// # Errors
/// Those of the cryptography library, which has no reason to fail.
pub(super) fn token(credential: &Credential, region: &str, now: Timestamp) -> Result<String, ErrorStack> {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let host = format!("kafka.{region}.{suffix}");
    let (date, time) = (now.format_date(), now.format_iso8601());
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let owner = format!("{}/{scope}", credential.access_key_id);
    let life = LIFE.as_secs().to_string();
    // In the order of their names, which is how they are signed.
    let mut parameters = vec![
        ("Action", "kafka-cluster:Connect"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", &owner),
        ("X-Amz-Date", &time),
        ("X-Amz-Expires", &life),
    ];
    if let Some(session) = &credential.session_token {
        parameters.push(("X-Amz-Security-Token", session));
    }
    parameters.push(("X-Amz-SignedHeaders", "host"));
    let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
    let query = query.join("&");
    let request = format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{EMPTY_STRING_SHA256}");
    let print = hex(&openssl::hash::hash(MessageDigest::sha256(), request.as_bytes())?);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{print}");
    let mut key = format!("AWS4{}", credential.secret_access_key).into_bytes();
    for step in [&*date, region, SERVICE, "aws4_request"] {
        key = hmac(&key, step)?;
    }
    let signature = hex(&hmac(&key, &text)?);
    let agent = percent(USER_AGENT);
    let url = format!("https://{host}/?{query}&X-Amz-Signature={signature}&User-Agent={agent}");
    Ok(base64_url(url.as_bytes()))
}

fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key)?;
    Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
