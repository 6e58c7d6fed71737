//! A small OpenID Provider: authorization code with PKCE, RS256 ID tokens, userinfo, RP-initiated logout. People sign in by a click.
//!
//! Strict where a relying party relies on it (single-use codes bound to client, redirect URI and verifier; exact redirect URIs; `iss` in
//! every answer), and nothing more: no consent, no refresh tokens, no dynamic clients. State lives in memory. Never for real use: it
//! believes whoever clicks.

use super::Persona;
use super::http::{Body, Call, Site, answer, escape, html, json, only, pairs, see_other};
use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;
use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq as _;

/// A code is used within a minute or not at all (RFC 6749 4.1.2 allows ten).
const CODE_MS: i64 = 60_000;
/// Lifetime of ID and access tokens.
const TOKEN_S: i64 = 300;
/// Name of the provider's own session cookie.
const COOKIE: &str = "demo_provider";
/// Things remembered at once, of each kind: the demo may run for days.
const REMEMBERED_MAX: usize = 10_000;

/// The relying party that may use the provider.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`, for `client_secret_basic`.
    pub secret: String,
    /// Redirect URIs, compared byte for byte.
    pub redirect_uris: Vec<String>,
    /// Where people may be sent after signing out; any address of one of these origins.
    pub logout_origins: Vec<String>,
}

/// The provider.
pub struct Provider {
    issuer: String,
    client: Client,
    personas: &'static [Persona],
    key: EncodingKey,
    jwk: Jwk,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    state: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    codes: HashMap<String, Grant>,
    tokens: HashMap<String, (&'static Persona, Timestamp)>,
    sessions: HashMap<String, (&'static Persona, Timestamp)>,
}

/// What a code stands for.
struct Grant {
    persona: &'static Persona,
    auth_time: Timestamp,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    until: Timestamp,
}

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No signing key could be made.
    #[error("no signing key: {0}")]
    Key(String),
}

impl Provider {
    /// A provider with a fresh 2048-bit RSA key.
    ///
    /// # Errors
    /// [`ProviderError::Key`]: the key could not be made.
    pub fn new(
        issuer: &str,
        client: Client,
        personas: &'static [Persona],
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ProviderError> {
        let failed = |what: &dyn std::fmt::Display| ProviderError::Key(what.to_string());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|problem| failed(&problem))?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|problem| failed(&problem))?;
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|problem| failed(&problem))?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).map_err(|problem| failed(&problem))?;
        jwk.common.key_id = Some("demo".to_owned());
        jwk.common.key_algorithm = Some(KeyAlgorithm::RS256);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { issuer: issuer.to_owned(), client, personas, key, jwk, clock, entropy, state: Mutex::default() })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// OpenID Connect Discovery 1.0 section 3.
    fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/jwks"),
            "end_session_endpoint": at("/end_session"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "profile", "email", "groups"],
            "claims_supported": ["sub", "name", "given_name", "family_name", "preferred_username", "email", "email_verified", "groups", "auth_time"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// The page where a person clicks who they are, or straight back when they are signed in here already.
    fn authorize(&self, call: &Call) -> Response<Body> {
        let asked = match self.check(call) {
            Ok(asked) => asked,
            Err(refusal) => return *refusal,
        };
        let now = self.clock.now();
        let prompts: Vec<_> = call.param("prompt").unwrap_or("").split(' ').collect();
        let session = call.cookie(COOKIE).and_then(|id| self.state().sessions.get(id).copied());
        let young = |at: Timestamp| {
            call.param("max_age").and_then(|s| s.parse::<i64>().ok()).is_none_or(|s| s > 0 && now.since_ms(at) <= s.saturating_mul(1000))
        };
        if let Some(id) = call.param("as") {
            return match self.personas.iter().find(|persona| persona.id == id) {
                Some(persona) => self.sign_in(&asked, persona, now),
                None => asked.refuse("access_denied"),
            };
        }
        match session {
            Some((persona, at)) if young(at) && !prompts.contains(&"login") && !prompts.contains(&"select_account") => {
                self.grant(&asked, persona, at)
            }
            _ if prompts.contains(&"none") => asked.refuse("login_required"),
            _ => html(StatusCode::OK, self.choose(call)),
        }
    }

    /// Everything that must hold before anybody is asked anything. A wrong client or redirect URI is told to the person, never to the
    /// address (RFC 6749 4.1.2.1: that would be an open redirector).
    fn check(&self, call: &Call) -> Result<Asked, Box<Response<Body>>> {
        let told = |text: &str| Box::new(page(StatusCode::BAD_REQUEST, "This sign-in request is not valid", &format!("<p>{}</p>", escape(text))));
        if call.param("client_id") != Some(&self.client.id) {
            return Err(told("The client is not known here."));
        }
        let Some(redirect_uri) = call.param("redirect_uri").filter(|uri| self.client.redirect_uris.iter().any(|known| known == uri)) else {
            return Err(told("The redirect address is not registered."));
        };
        let text = |name: &str| call.param(name).map(str::to_owned);
        let challenge = text("code_challenge").unwrap_or_default();
        let asked =
            Asked { issuer: self.issuer.clone(), redirect_uri: redirect_uri.to_owned(), state: text("state"), nonce: text("nonce"), challenge };
        if call.param("response_type") != Some("code") {
            return Err(Box::new(asked.refuse("unsupported_response_type")));
        }
        if !call.param("scope").unwrap_or("").split(' ').any(|scope| scope == "openid") {
            return Err(Box::new(asked.refuse("invalid_scope")));
        }
        // RFC 7636 4.3: a SHA-256 in base64url has 43 characters; `plain` is not offered.
        if call.param("code_challenge_method") != Some("S256") || asked.challenge.len() != 43 {
            return Err(Box::new(asked.refuse("invalid_request")));
        }
        Ok(asked)
    }

    fn sign_in(&self, asked: &Asked, persona: &'static Persona, now: Timestamp) -> Response<Body> {
        let id = self.entropy.token();
        {
            let mut state = self.state();
            bound(&mut state.sessions);
            state.sessions.insert(id.clone(), (persona, now));
        }
        let mut response = self.grant(asked, persona, now);
        if let Ok(cookie) = HeaderValue::try_from(format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax")) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    fn grant(&self, asked: &Asked, persona: &'static Persona, auth_time: Timestamp) -> Response<Body> {
        let code = self.entropy.token();
        let grant = Grant {
            persona,
            auth_time,
            redirect_uri: asked.redirect_uri.clone(),
            challenge: asked.challenge.clone(),
            nonce: asked.nonce.clone(),
            until: self.clock.now().plus_ms(CODE_MS),
        };
        let mut state = self.state();
        bound(&mut state.codes);
        state.codes.insert(code.clone(), grant);
        asked.back(&[("code", &code)])
    }

    fn choose(&self, call: &Call) -> String {
        let card = |persona: &Persona| {
            let query = escape(&query(&call.query, &[("as", persona.id)]));
            format!("<li><a href=\"/authorize?{query}\"><b>{}</b><span>{}</span></a></li>", escape(persona.title), escape(persona.story))
        };
        let cards: Vec<String> = self.personas.iter().map(card).collect();
        let cards = cards.concat();
        let cancel = escape(&query(&call.query, &[("as", "nobody")]));
        layout(
            "Who are you today?",
            &format!(
                "<p>This provider is part of the demo: it believes whoever clicks.</p><ul class=\"cards\">{cards}</ul><p><a href=\"/authorize?{cancel}\">Cancel</a></p>"
            ),
        )
    }

    /// RFC 6749 4.1.3 with RFC 7636 4.6. A code is taken out before it is looked at: whatever is wrong, it is used.
    fn token(&self, call: &Call) -> Response<Body> {
        let refuse = |status: StatusCode, error: &str| json(status, &json!({ "error": error }));
        if call.method != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "invalid_request");
        }
        if !self.is_client(call.header(AUTHORIZATION.as_str())) {
            let mut response = refuse(StatusCode::UNAUTHORIZED, "invalid_client");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"token\""));
            return response;
        }
        let form = pairs(&call.body);
        if only(&form, "grant_type") != Some("authorization_code") {
            return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
        }
        let grant = only(&form, "code").and_then(|code| self.state().codes.remove(code));
        let now = self.clock.now();
        let verifier = only(&form, "code_verifier").unwrap_or_default();
        let digest = URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()));
        let Some(grant) = grant.filter(|grant| {
            now < grant.until
                && only(&form, "redirect_uri") == Some(&grant.redirect_uri)
                && bool::from(digest.as_bytes().ct_eq(grant.challenge.as_bytes()))
        }) else {
            return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
        };
        let access_token = self.entropy.token();
        {
            let mut state = self.state();
            bound(&mut state.tokens);
            state.tokens.insert(access_token.clone(), (grant.persona, now.plus_ms(TOKEN_S * 1000)));
        }
        match self.id_token(&grant, now, &access_token) {
            Ok(id_token) => {
                json(StatusCode::OK, &json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": TOKEN_S, "id_token": id_token }))
            }
            Err(problem) => {
                tracing::error!(%problem, "the demo provider could not sign");
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "server_error")
            }
        }
    }

    fn id_token(&self, grant: &Grant, now: Timestamp, access_token: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let mut claims = grant.persona.claims();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access_token.as_bytes());
        // OIDC Core 3.1.3.6: the left half of the hash of the access token.
        let at_hash = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default());
        let protocol = json!({
            "iss": self.issuer, "aud": self.client.id, "iat": now.seconds(), "exp": now.seconds() + TOKEN_S,
            "auth_time": grant.auth_time.seconds(), "nonce": grant.nonce, "at_hash": at_hash,
        });
        if let Value::Object(protocol) = protocol {
            claims.extend(protocol.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let header = Header { kid: Some("demo".to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &self.key)
    }

    /// RFC 6749 2.3.1: id and secret are form-encoded before they are joined.
    fn is_client(&self, authorization: Option<&str>) -> bool {
        let decoded = authorization.and_then(|value| value.strip_prefix("Basic ")).and_then(|value| STANDARD.decode(value).ok());
        let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else { return false };
        let Some((id, secret)) = text.split_once(':') else { return false };
        let plain = |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        plain(id) == self.client.id && bool::from(plain(secret).as_bytes().ct_eq(self.client.secret.as_bytes()))
    }

    fn userinfo(&self, call: &Call) -> Response<Body> {
        let token = call.header(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let found = token.and_then(|token| self.state().tokens.get(token).copied());
        if let Some((persona, _)) = found.filter(|(_, until)| self.clock.now() < *until) {
            return json(StatusCode::OK, &Value::Object(persona.claims()));
        }
        let mut response = json(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_token" }));
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        response
    }

    /// OpenID Connect RP-Initiated Logout 1.0: ends the session here; goes on only to a registered origin.
    fn end_session(&self, call: &Call) -> Response<Body> {
        if let Some(id) = call.cookie(COOKIE) {
            self.state().sessions.remove(id);
        }
        let form = pairs(&call.body);
        let param = |name: &str| call.param(name).or_else(|| only(&form, name));
        let origin_known = |uri: &url::Url| self.client.logout_origins.contains(&uri.origin().ascii_serialization());
        let back = param("post_logout_redirect_uri").and_then(|uri| url::Url::parse(uri).ok()).filter(origin_known);
        let mut response = match back {
            Some(mut uri) => {
                if let Some(state) = param("state") {
                    uri.query_pairs_mut().append_pair("state", state);
                }
                see_other(uri.as_str())
            }
            None => page(StatusCode::OK, "You are signed out of the demo provider", ""),
        };
        response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("demo_provider=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
        response
    }
}

#[async_trait]
impl Site for Provider {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let Some(call) = Call::read(request).await else { return answer(StatusCode::BAD_REQUEST, "text/plain", "") };
        match call.path.as_str() {
            "/.well-known/openid-configuration" => json(StatusCode::OK, &self.discovery()),
            "/jwks" => json(StatusCode::OK, &json!({ "keys": [self.jwk] })),
            "/authorize" if call.method == Method::GET => self.authorize(&call),
            "/token" => self.token(&call),
            "/userinfo" => self.userinfo(&call),
            "/end_session" => self.end_session(&call),
            "/" => page(StatusCode::OK, "Demo provider", "<p>It signs people in for the gateway. Open one of the apps.</p>"),
            _ => page(StatusCode::NOT_FOUND, "There is no such page", ""),
        }
    }
}

/// A request that holds.
struct Asked {
    issuer: String,
    redirect_uri: String,
    state: Option<String>,
    nonce: Option<String>,
    challenge: String,
}

impl Asked {
    fn refuse(&self, error: &str) -> Response<Body> {
        self.back(&[("error", error)])
    }

    /// Back to the relying party, with `state`, and `iss` (RFC 9207).
    fn back(&self, params: &[(&str, &str)]) -> Response<Body> {
        let mut all: Vec<(&str, &str)> = params.to_vec();
        all.push(("iss", &self.issuer));
        if let Some(state) = &self.state {
            all.push(("state", state));
        }
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        see_other(&format!("{}{joint}{}", self.redirect_uri, query(&[], &all)))
    }
}

/// Forgets everything of a kind when there is too much of it: sign-ins under way then start again.
fn bound<T>(remembered: &mut HashMap<String, T>) {
    if remembered.len() >= REMEMBERED_MAX {
        remembered.clear();
    }
}

fn query(given: &[(String, String)], more: &[(&str, &str)]) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(given.iter().filter(|(name, _)| !more.iter().any(|(new, _)| new == name)));
    out.extend_pairs(more);
    out.finish()
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    html(status, layout(title, body))
}

fn layout(title: &str, body: &str) -> String {
    super::look::page(title, "Demo provider", "provider", body)
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
