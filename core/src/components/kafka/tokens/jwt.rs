//! What is worth knowing of a JSON Web Token that somebody else made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::encoding::from_base64_url;

/// Claims of a token that somebody else signed for somebody else: read, never trusted.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) subject: Option<String>,
    /// How long it is worth something from now.
    pub(super) life: Option<Duration>,
}

impl Claims {
    /// Nothing is found in what is no JWT.
    pub(super) fn of(token: &str) -> Self {
        let mut parts = token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::default();
        };
        let claims = from_base64_url(claims).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(claims) = claims else { return Self::default() };
        let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // A span between two moments of the same clock does not mind that ours is another one.
        let life = seconds("exp").map(|end| end - seconds("iat").unwrap_or(now));
        Self {
            subject: claims.get("sub").and_then(Value::as_str).map(str::to_owned),
            life: life.map(|life| Duration::try_from_secs_f64(life.clamp(0.0, 1e9)).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Claims;
    use crate::components::kafka::tokens::encoding::base64_url;

    fn token(claims: &str) -> String {
        format!("{}.{}.sig", base64_url(b"{}"), base64_url(claims.as_bytes()))
    }

    #[test]
    fn a_life_is_the_span_between_two_claims_of_the_same_clock() {
        let claims = Claims::of(&token(r#"{"sub":"billing","iat":1000,"exp":1300}"#));
        assert_eq!(claims.life, Some(Duration::from_mins(5)));
        assert_eq!(claims.subject.as_deref(), Some("billing"));
        assert_eq!(Claims::of(&token(r#"{"iat":1300,"exp":1000}"#)).life, Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_token_of_this_kind_says_nothing() {
        for text in ["", "opaque", "a.b", "a.b.c.d", "..", "a.!!.c", &token("7"), &token(r#"{"exp":"x"}"#)] {
            let claims = Claims::of(text);
            assert!(claims.life.is_none() && claims.subject.is_none(), "{text}");
        }
    }
}
