//! An OpenID Provider on 127.0.0.1 port 0 that does what the test says: any header, claim, signature, answer, in any place.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::unused_self, unreachable_pub, reason = "helpers of tests")]

use crate::listen::Port;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use url::Url;

pub const CLIENT_ID: &str = "gateway";
pub const CLIENT_SECRET: &str = "s3cret of the client";

/// What an endpoint answers in place of its own answer.
#[derive(Clone)]
pub enum Answer {
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    Stall,
}

impl Answer {
    pub fn json(status: u16, value: &Value) -> Self {
        Self::Whole(status, vec![("content-type", "application/json".into())], value.to_string().into_bytes())
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::Whole(status, Vec::new(), body.as_bytes().to_vec())
    }
}

/// Who signs, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signer {
    Rsa,
    /// A second RSA key that is not published until it is.
    Rsa2,
    Ec,
    Ed,
    Hmac(&'static [u8]),
    /// Under the PEM of the published RSA key.
    HmacPublicPem,
    /// Under the raw modulus of the published RSA key.
    HmacModulus,
    Zeros,
    Empty,
}

type Forge = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What the provider does; tests change it between steps.
pub struct Script {
    pub subject: Value,
    pub person: Value,
    pub userinfo: Option<Answer>,
    pub header: Forge,
    pub claims: Forge,
    pub tokens: Forge,
    pub token: Forge2,
    pub discovery: Forge,
    pub discovery_answer: Option<Answer>,
    pub jwks: Forge,
    pub jwks_answer: Option<Answer>,
    pub token_answer: Option<Answer>,
    pub signer: Signer,
    pub ignores_pkce: bool,
    pub auth_time: Option<i64>,
}

/// Changes the finished compact token.
pub type Forge2 = Arc<dyn Fn(String) -> String + Send + Sync>;

impl Default for Script {
    fn default() -> Self {
        let same: Forge = Arc::new(|_| {});
        Self {
            subject: json!("ada"),
            person: json!({"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true, "groups": ["staff"]}),
            userinfo: None,
            header: Arc::clone(&same),
            claims: Arc::clone(&same),
            tokens: Arc::clone(&same),
            token: Arc::new(|token| token),
            discovery: Arc::clone(&same),
            discovery_answer: None,
            jwks: same,
            jwks_answer: None,
            token_answer: None,
            signer: Signer::Rsa,
            ignores_pkce: false,
            auth_time: None,
        }
    }
}

#[derive(Default)]
struct State {
    now_s: i64,
    codes: HashMap<String, HashMap<String, String>>,
    hits: HashMap<String, usize>,
    last_token_request: Option<(Option<String>, HashMap<String, String>)>,
}

/// The provider.
pub struct FakeOp {
    pub issuer: String,
    pub script: Mutex<Script>,
    state: Mutex<State>,
}

impl FakeOp {
    pub async fn start(now_s: i64) -> Arc<Self> {
        let port = Port::free().await;
        let issuer = format!("http://{}", port.at);
        let op = Arc::new(Self { issuer, script: Mutex::default(), state: Mutex::new(State { now_s, ..State::default() }) });
        let served = Arc::clone(&op);
        port.serve(move |stream| {
            let op = Arc::clone(&served);
            let service = hyper::service::service_fn(move |request| {
                let op = Arc::clone(&op);
                async move { Ok::<_, std::convert::Infallible>(op.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            async move { drop(connection.await) }
        });
        op
    }

    pub fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub fn reset(&self) {
        *self.script.lock().unwrap() = Script::default();
    }

    pub fn set_now(&self, now_s: i64) {
        self.state.lock().unwrap().now_s = now_s;
    }

    pub fn hits(&self, path: &str) -> usize {
        self.state.lock().unwrap().hits.get(path).copied().unwrap_or(0)
    }

    pub fn last_token_request(&self) -> (Option<String>, HashMap<String, String>) {
        self.state.lock().unwrap().last_token_request.clone().unwrap()
    }

    /// What a person does at the provider: signs in. Gives the query that the browser brings back.
    pub fn sign_in(&self, authorization_url: &Url) -> String {
        let asked: HashMap<String, String> = authorization_url.query_pairs().into_owned().collect();
        let mut state = self.state.lock().unwrap();
        let code = format!("code-{}", state.codes.len());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", &asked["state"])
            .append_pair("iss", &self.issuer)
            .finish();
        drop(state.codes.insert(code, asked));
        query
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let path = head.uri.path().to_owned();
        *self.state.lock().unwrap().hits.entry(path.clone()).or_default() += 1;
        let authorization = head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let answer = match (&head.method, path.as_str()) {
            (&Method::GET, "/.well-known/openid-configuration") => self.discovery(),
            (&Method::GET, "/jwks") => self.jwks(),
            (&Method::POST, "/token") => self.token(authorization, &body),
            (&Method::GET, "/userinfo") => self.script.lock().unwrap().userinfo.clone().unwrap_or(Answer::text(404, "")),
            _ => Answer::text(404, ""),
        };
        match answer {
            Answer::Stall => std::future::pending().await,
            Answer::Whole(status, headers, body) => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Full::new(body.into())).unwrap()
            }
        }
    }

    fn discovery(&self) -> Answer {
        let script = self.script.lock().unwrap();
        if let Some(answer) = script.discovery_answer.clone() {
            return answer;
        }
        let issuer = &self.issuer;
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "end_session_endpoint": format!("{issuer}/end"),
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        });
        if script.userinfo.is_some() {
            document["userinfo_endpoint"] = json!(format!("{issuer}/userinfo"));
        }
        (script.discovery)(&mut document);
        Answer::json(200, &document)
    }

    fn jwks(&self) -> Answer {
        let script = self.script.lock().unwrap();
        if let Some(answer) = script.jwks_answer.clone() {
            return answer;
        }
        let mut set = json!({"keys": [keys().rsa_jwk("rsa1", &keys().rsa), keys().ec_jwk(), keys().ed_jwk()]});
        (script.jwks)(&mut set);
        Answer::json(200, &set)
    }

    fn token(&self, authorization: Option<String>, body: &Bytes) -> Answer {
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let mut state = self.state.lock().unwrap();
        state.last_token_request = Some((authorization, form.clone()));
        let script = self.script.lock().unwrap();
        if let Some(answer) = script.token_answer.clone() {
            return answer;
        }
        let Some(asked) = form.get("code").and_then(|code| state.codes.get(code).cloned()) else {
            return Answer::json(400, &json!({"error": "invalid_grant"}));
        };
        let verifier = form.get("code_verifier").cloned().unwrap_or_default();
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref());
        if !script.ignores_pkce && asked.get("code_challenge") != Some(&challenge) {
            return Answer::json(400, &json!({"error": "invalid_grant"}));
        }
        let now = state.now_s;
        let mut claims = json!({
            "iss": self.issuer, "sub": script.subject, "aud": CLIENT_ID, "exp": now + 300, "iat": now, "nonce": asked.get("nonce"), "sid": "op-session",
        });
        if let Some(auth_time) = script.auth_time.or_else(|| asked.contains_key("max_age").then_some(now)) {
            claims["auth_time"] = json!(auth_time);
        }
        for (name, value) in script.person.as_object().unwrap() {
            claims[name] = value.clone();
        }
        (script.claims)(&mut claims);
        let mut header = match script.signer {
            Signer::Ec => json!({"alg": "ES256", "kid": "ec1"}),
            Signer::Ed => json!({"alg": "EdDSA", "kid": "ed1"}),
            Signer::Rsa2 => json!({"alg": "RS256", "kid": "rsa2"}),
            Signer::Hmac(_) | Signer::HmacPublicPem | Signer::HmacModulus => json!({"alg": "HS256", "kid": "rsa1"}),
            Signer::Rsa | Signer::Zeros | Signer::Empty => json!({"alg": "RS256", "kid": "rsa1"}),
        };
        (script.header)(&mut header);
        let id_token = (script.token)(sign(&header, &claims, script.signer));
        let mut tokens = json!({"access_token": "at", "token_type": "Bearer", "expires_in": 300, "id_token": id_token});
        (script.tokens)(&mut tokens);
        Answer::json(200, &tokens)
    }
}

/// A compact JWS by hand.
pub fn sign(header: &Value, claims: &Value, signer: Signer) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let message = input.as_bytes();
    let rng = SystemRandom::new();
    let rsa = |key: &RsaKeyPair| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).unwrap();
        signature
    };
    let hmac = |key: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec();
    let keys = keys();
    let signature = match signer {
        Signer::Rsa => rsa(&keys.rsa),
        Signer::Rsa2 => rsa(&keys.rsa2),
        Signer::Ec => keys.ec.sign(&rng, message).unwrap().as_ref().to_vec(),
        Signer::Ed => keys.ed.sign(message).as_ref().to_vec(),
        Signer::Hmac(key) => hmac(key),
        Signer::HmacPublicPem => hmac(keys.rsa_pem().as_bytes()),
        Signer::HmacModulus => hmac(keys.rsa.public_key().modulus().big_endian_without_leading_zero()),
        Signer::Zeros => vec![0; 64],
        Signer::Empty => Vec::new(),
    };
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Keys of the test provider; made once a process.
pub struct Keys {
    pub rsa: RsaKeyPair,
    pub rsa2: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        rsa: RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap(),
        rsa2: RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap(),
        ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        ed: Ed25519KeyPair::generate().unwrap(),
    })
}

impl Keys {
    pub fn rsa_jwk(&self, kid: &str, key: &RsaKeyPair) -> Value {
        let public = key.public_key();
        json!({
            "kty": "RSA", "use": "sig", "kid": kid,
            "n": URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
            "e": URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    pub fn ec_jwk(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": "ec1", "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..])})
    }

    pub fn ed_jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed1", "x": URL_SAFE_NO_PAD.encode(self.ed.public_key().as_ref())})
    }

    fn rsa_pem(&self) -> String {
        let der = self.rsa.public_key().as_ref();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }
}
