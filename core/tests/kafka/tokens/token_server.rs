//! A small token server: gives RS256 tokens for client credentials over http or https, and can be away.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::sign::{Signer, Verifier};
use openssl::ssl::SslAcceptor;
use parking_lot::Mutex;
use serde_json::{Value, json};

pub const CLIENT: &str = "billing";
pub const SECRET: &str = "s3cret+/=& not to be seen";
pub const AUDIENCE: &str = "kafka";

/// What a client asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub form: BTreeMap<String, String>,
    pub authorization: Option<String>,
}

pub struct TokenServer {
    state: Arc<State>,
    port: u16,
    scheme: &'static str,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    key: PKey<Private>,
    tls: Option<SslAcceptor>,
    life_s: AtomicU64,
    /// Takes the secret in the header only.
    header_only: AtomicBool,
    /// Accepts connections and never answers.
    silent: AtomicBool,
    away: AtomicBool,
    /// What assertions are verified with.
    client_key: Mutex<Option<PKey<Public>>>,
    asked: Mutex<Vec<Asked>>,
    given: Mutex<Vec<String>>,
}

impl TokenServer {
    /// Starts with the key that tokens are signed with.
    pub fn start(key: &PKey<Private>, tls: Option<SslAcceptor>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            key: key.clone(),
            tls,
            life_s: AtomicU64::new(300),
            header_only: AtomicBool::default(),
            silent: AtomicBool::default(),
            away: AtomicBool::default(),
            client_key: Mutex::default(),
            asked: Mutex::default(),
            given: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let thread = Mutex::new(Some(serve(listener, state.clone())));
        Self { state, port, scheme, thread }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port)
    }

    pub fn set_life(&self, seconds: u64) {
        self.state.life_s.store(seconds, Ordering::Relaxed);
    }

    pub fn take_the_secret_in_the_header_only(&self) {
        self.state.header_only.store(true, Ordering::Relaxed);
    }

    pub fn be_silent(&self) {
        self.state.silent.store(true, Ordering::Relaxed);
    }

    pub fn expect_assertions_of(&self, key: PKey<Public>) {
        *self.state.client_key.lock() = Some(key);
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().clone()
    }

    /// The tokens that were given so far.
    pub fn given(&self) -> Vec<String> {
        self.state.given.lock().clone()
    }

    /// Connections are refused from now on.
    pub fn go_away(&self) {
        self.state.away.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().take() {
            thread.join().expect("ended");
        }
    }

    pub fn come_back(&self) {
        self.state.away.store(false, Ordering::Relaxed);
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("the port is still free");
        *self.thread.lock() = Some(serve(listener, self.state.clone()));
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.go_away();
    }
}

fn serve(listener: TcpListener, state: Arc<State>) -> JoinHandle<()> {
    listener.set_nonblocking(true).expect("set");
    std::thread::spawn(move || {
        while !state.away.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("set");
                    let state = state.clone();
                    std::thread::spawn(move || state.converse(stream));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    })
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl State {
    fn converse(&self, stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            // A client that does not trust us goes away here.
            Some(tls) => match tls.accept(stream) {
                Ok(stream) => Box::new(stream),
                Err(_) => return,
            },
        };
        let Some((path, asked)) = read(&mut BufReader::new(&mut stream)) else { return };
        if self.silent.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(40));
            return;
        }
        let (status, body) = if path == "/jwks" { (200, self.jwks()) } else { self.token(&asked) };
        let body = body.to_string();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
        let _ = stream.flush();
    }

    fn jwks(&self) -> Value {
        let rsa = self.key.rsa().expect("RSA");
        let (n, e) = (base64_url(&rsa.n().to_vec()), base64_url(&rsa.e().to_vec()));
        json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "test", "n": n, "e": e}]})
    }

    fn token(&self, asked: &Asked) -> (u16, Value) {
        self.asked.lock().push(asked.clone());
        if let Err(why) = self.check(asked) {
            // As no server should, but some do.
            let sent = ["client_secret", "client_assertion"].map(|name| asked.form.get(name).cloned());
            let description = format!("{why}; we were sent {sent:?}");
            return (401, json!({"error": "invalid_client", "error_description": description}));
        }
        let life = self.life_s.load(Ordering::Relaxed);
        let now = now_s();
        let claims = json!({
            "iss": "test", "sub": CLIENT, "aud": AUDIENCE, "scope": asked.form["scope"],
            "iat": now, "exp": now + life,
        });
        let token = sign(&self.key, &json!({"alg": "RS256", "kid": "test"}), &claims);
        self.given.lock().push(token.clone());
        (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": life}))
    }

    fn check(&self, asked: &Asked) -> Result<(), String> {
        let form = |name: &str| asked.form.get(name).map(String::as_str).unwrap_or_default();
        if form("grant_type") != "client_credentials" {
            return Err("another grant".to_owned());
        }
        if let Some(key) = &*self.client_key.lock() {
            return check_assertion(form("client_assertion"), key);
        }
        let both = format!("{}:{}", percent(CLIENT), percent(SECRET));
        let basic = format!("Basic {}", openssl::base64::encode_block(both.as_bytes()));
        let in_header = asked.authorization.as_deref() == Some(&*basic);
        let in_form = form("client_id") == CLIENT && form("client_secret") == SECRET;
        let header_only = self.header_only.load(Ordering::Relaxed);
        if in_header || (in_form && !header_only) { Ok(()) } else { Err("wrong secret".to_owned()) }
    }
}

fn check_assertion(assertion: &str, key: &PKey<Public>) -> Result<(), String> {
    let (text, signature) = assertion.rsplit_once('.').ok_or("no assertion")?;
    let mut verifier = Verifier::new(MessageDigest::sha256(), key).expect("a verifier");
    let right = verifier.verify_oneshot(&from_base64_url(signature), text.as_bytes());
    if !right.unwrap_or(false) {
        return Err("the assertion was signed by somebody else".to_owned());
    }
    let claims = claims(assertion);
    let lives = claims["exp"].as_u64().unwrap_or(0) - claims["iat"].as_u64().unwrap_or(0);
    if claims["iss"] != CLIENT || claims["sub"] != CLIENT || lives != 60 || claims["jti"].as_str().is_none() {
        return Err(format!("wrong claims: {claims}"));
    }
    Ok(())
}

/// Reads one request: its path and what it asks.
fn read(stream: &mut impl BufRead) -> Option<(String, Asked)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut asked) = (0, Asked::default());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => asked.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    asked.form = pairs.map(|(name, value)| (name.to_owned(), from_percent(value))).collect();
    Some((path, asked))
}

pub fn rsa_key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn sign(key: &PKey<Private>, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64_url(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signer = Signer::new(MessageDigest::sha256(), key).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(text.as_bytes()).expect("signed");
    format!("{text}.{}", base64_url(&signature))
}

/// The claims of a token.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The header (0) or the claims (1) of a token.
pub fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap_or_default();
    serde_json::from_slice(&from_base64_url(part)).unwrap_or_default()
}

fn base64_url(bytes: &[u8]) -> String {
    let text = openssl::base64::encode_block(bytes);
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

pub fn from_base64_url(text: &str) -> Vec<u8> {
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    let text = format!("{}{padding}", text.replace('-', "+").replace('_', "/"));
    openssl::base64::decode_block(&text).expect("base64url")
}

fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub fn from_percent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
