//! SAML 2.0, on `samael` behind our own guard: SP-initiated sign-on, Redirect or POST out, POST back, nothing else.
//!
//! Lives here: [`SamlProvider`], one configured `[[idp]]`. A response goes through `guard.rs` (what it may look like), `verify.rs` (the only caller of `samael`),
//! `assertion.rs` (what it must say), in that order, on a thread that may block, within a deadline. Around them: `xml.rs` and `names.rs` (what all read with),
//! `metadata.rs` and `source.rs` (the provider's side), `request.rs` and `key.rs` (ours), `decrypt.rs`, `logout.rs`. Start reading at [`Provider::finish`].
//!
//! Why `samael` is never bare: before any signature is checked it fetches what a document points at, and it believes metadata that has no certificate. The
//! library verifies what the guard has let through and written anew, and gives back the octets that were digested; everything that is believed is read from those.

mod assertion;
mod decrypt;
mod guard;
mod key;
mod logout;
mod metadata;
mod names;
mod request;
mod source;
mod verify;
mod xml;

pub use key::{KeyError, SpKey};

use super::response::SamlResponse;
use super::{Answer, Begin, Departure, Finish, LogoutAsked, Provider, SsoFault, VerifiedAssertion};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Saml, SamlSubject};
use crate::identity::Identity;
use crate::outbound::Transport;
use crate::sso::oidc;
use assertion::{Expected, Judged, NameId};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata::Metadata;
use names::{ASSERTION, PROTOCOL};
use request::{AuthnRequest, Parameter, SamlSp, redirect};
use serde_json::Value;
use source::Source;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;
use xml::Element;

/// Longest that reading one response may take; a plain one takes a millisecond.
const DEADLINE: Duration = Duration::from_secs(5);
/// Responses of one provider being read at the same time: a flood of slow ones does not take every thread (attacks.md D12).
const AT_ONCE: usize = 4;

/// Why a document is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    /// The exact check.
    check: &'static str,
    expected: String,
    /// What came; never a whole document.
    found: String,
}

impl Refused {
    fn new(check: &'static str, found: impl Into<String>) -> Self {
        Self::expected(check, "a response as SAML has them", found)
    }

    fn expected(check: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check, expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.found)
    }
}

/// A provider of type `saml`.
#[derive(Debug)]
pub struct SamlProvider {
    settings: config::Idp,
    saml: Saml,
    sp: SamlSp,
    key: Option<Arc<SpKey>>,
    source: Source,
    clock: Arc<dyn Clock>,
    workers: Arc<Semaphore>,
}

/// What `check --online` tells of a provider.
#[derive(Debug, Clone)]
pub struct SamlFacts {
    /// Its entity id.
    pub entity_id: String,
    /// DER of the certificates that may verify its signatures, each with its fingerprint.
    pub certificates: Vec<(String, Vec<u8>)>,
    /// Whether they were compared with a pin.
    pub pinned: bool,
    /// Whether it wants signed requests, and we have no key to sign with.
    pub wants_a_key: bool,
    /// `validUntil`.
    pub valid_until: Option<Timestamp>,
}

impl SamlProvider {
    /// A provider as configured; `auth_origin` is what browsers call the auth host. Nothing is fetched yet. `None`: `settings` are not of SAML.
    pub fn new(settings: config::Idp, key: Option<SpKey>, auth_origin: &str, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Option<Self> {
        let saml = settings.saml.clone()?;
        let place = |name: &str| format!("{auth_origin}/.vestibule/saml/{name}");
        let sp = SamlSp { entity_id: saml.entity_id.clone().unwrap_or_else(|| place("metadata")), acs: place("acs"), slo: place("logout") };
        let entity_id = Some(settings.issuer.clone()).filter(|issuer| !issuer.is_empty());
        let source = Source::new(saml.clone(), entity_id, transport, Arc::clone(&clock));
        Some(Self { settings, saml, sp, key: key.map(Arc::new), source, clock, workers: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Reads the metadata, for `check --online`; no person takes part.
    ///
    /// # Errors
    /// [`SsoFault::Unavailable`]: it is not to be had, or nobody could sign in by it.
    pub async fn probe(&self) -> Result<SamlFacts, SsoFault> {
        let metadata = self.metadata().await?;
        Ok(SamlFacts {
            entity_id: metadata.entity_id.clone(),
            certificates: metadata.certificates.iter().map(|der| (metadata::fingerprint(der), der.clone())).collect(),
            pinned: !self.saml.pins.is_empty(),
            wants_a_key: metadata.wants_signed_requests && self.key.is_none(),
            valid_until: metadata.valid_until,
        })
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, SsoFault> {
        self.source.metadata().await.map_err(|why| self.unavailable("metadata", why))
    }

    fn unavailable(&self, what: &'static str, why: String) -> SsoFault {
        SsoFault::Unavailable { idp: self.settings.id.clone(), what, why }
    }

    fn refused(&self, refused: Refused) -> SsoFault {
        let Refused { check, expected, found } = refused;
        // The two that mean "the person, or the provider, said no".
        if check == "status"
            && let Some(code) = ["AuthnFailed", "RequestDenied"].into_iter().find(|code| *code == found)
        {
            return SsoFault::Declined { idp: self.settings.id.clone(), code };
        }
        SsoFault::Check { idp: self.settings.id.clone(), check, expected, found }
    }

    /// Runs `work` where it may block, within the deadline and beside few others.
    async fn worked<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, Refused> + Send + 'static) -> Result<T, SsoFault> {
        let permit = Arc::clone(&self.workers).acquire_owned();
        let running = async {
            let permit = permit.await.map_err(|closed| self.unavailable("worker", closed.to_string()))?;
            let worked = tokio::task::spawn_blocking(move || {
                // Given back when the work is done, not when nobody waits for it any more.
                let _permit = permit;
                work()
            });
            let outcome = worked.await.map_err(|died| self.unavailable("worker", died.to_string()))?;
            outcome.map_err(|refused| self.refused(refused))
        };
        tokio::time::timeout(DEADLINE, running).await.map_err(|_elapsed| self.unavailable("worker", "no result in time".to_owned()))?
    }

    async fn judged(&self, response: &SamlResponse, finish: &Finish<'_>, metadata: Arc<Metadata>) -> Result<Judged, SsoFault> {
        let (document, key, sp, saml) = (response.document.clone(), self.key.clone(), self.sp.clone(), self.saml.clone());
        let (request_id, max_age_s, begun_at, now) = (request_id(finish.nonce), finish.max_age_s, finish.begun_at, self.clock.now());
        self.worked(move || {
            let expected = Expected {
                issuer: &metadata.entity_id,
                audience: &sp.entity_id,
                acs: &sp.acs,
                request_id: &request_id,
                max_age_s,
                begun_at,
                now,
                subject: &saml.subject,
            };
            read(&document, saml.response_bytes_max, &metadata.certificates, key.as_deref(), &expected)
        })
        .await
    }

    /// The person. Attributes are read as claims are: one way of mapping, of groups, of what is blank.
    fn identity(&self, issuer: &str, judged: &Judged) -> Identity {
        let mut claims = judged.attributes.clone();
        claims.insert("iss".to_owned(), Value::String(issuer.to_owned()));
        claims.insert("sub".to_owned(), Value::String(judged.subject.clone()));
        let mut settings = self.settings.clone();
        issuer.clone_into(&mut settings.issuer);
        oidc::identity_of(&settings, judged.subject.clone(), claims)
    }
}

/// The way of a response: guard, signature, checks. Pure but for the calls into `samael`; blocks.
fn read(document: &[u8], bytes_max: usize, certificates: &[Vec<u8>], key: Option<&SpKey>, expected: &Expected<'_>) -> Result<Judged, Refused> {
    let guarded = guard::response(document, bytes_max)?;
    let verified = guarded.signed.as_ref().map(|_| verify::verified(&guarded, certificates)).transpose()?;
    let (outer, response_signed) = match &verified {
        Some(verified) if verified.is(PROTOCOL, "Response") => (verified, true),
        _ => (&guarded.root, false),
    };
    // Nothing of an unsigned response but its assertion, and that only where it was verified itself.
    let plain = |verified: &Element| {
        if verified.is(ASSERTION, "Assertion") { Some(verified.clone()) } else { verified.child(ASSERTION, "Assertion").cloned() }
    };
    let assertion = match (verified.as_ref().and_then(plain), outer.child(ASSERTION, "EncryptedAssertion")) {
        (Some(assertion), None) => assertion,
        (None, Some(encrypted)) => decrypted(encrypted, response_signed, bytes_max, certificates, key)?,
        _ => return Err(Refused::new("assertions", "not exactly one")),
    };
    assertion::judge(outer, response_signed, &assertion, expected)
}

/// What was encrypted goes through the guard like what was not, and carries a signature of its own unless the response around it does.
fn decrypted(
    encrypted: &Element,
    response_signed: bool,
    bytes_max: usize,
    certificates: &[Vec<u8>],
    key: Option<&SpKey>,
) -> Result<Element, Refused> {
    let key = key.ok_or_else(|| Refused::expected("encryption", "a readable assertion, for idp.key is not set", "an encrypted one"))?;
    let opened = decrypt::opened(encrypted, key)?;
    // One answer for all that the guard finds: see `decrypt.rs`.
    let uniform = |_refused: Refused| Refused::expected("encryption", "an assertion for this gateway's key", "another, or a changed one");
    let guarded = guard::assertion(&opened, bytes_max).map_err(uniform)?;
    match guarded.signed {
        Some(_) => verify::verified(&guarded, certificates).map_err(uniform),
        None if response_signed => Ok(guarded.root),
        None => Err(uniform(Refused::new("signature", "none"))),
    }
}

/// `ID` of the request of a sign-in: 256 bits that only its pending login knows (attacks.md S32). A name in XML begins with no digit.
fn request_id(nonce: &str) -> String {
    format!("_{nonce}")
}

#[async_trait]
impl Provider for SamlProvider {
    fn id(&self) -> &str {
        &self.settings.id
    }

    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn begin(&self, begin: Begin<'_>) -> Result<Departure, SsoFault> {
        let metadata = self.metadata().await?;
        if metadata.wants_signed_requests && self.key.is_none() {
            return Err(self.unavailable("metadata", "the provider wants signed requests: idp.cert and idp.key are not set".to_owned()));
        }
        let id = request_id(begin.nonce);
        // Core 3.4.1: there is no "at most so old"; what is older than asked for would be refused, so it is asked anew.
        let (force, persistent) = (begin.max_age_s.is_some(), self.saml.subject == SamlSubject::Persistent);
        let asked = |destination: &Url| {
            let asked = AuthnRequest { id: &id, destination, now: self.clock.now(), force, persistent };
            self.sp.authn_request(&asked)
        };
        if let Some(sso) = &metadata.sso_redirect {
            let url = redirect(sso, Parameter::Request, &asked(sso), Some(begin.state), self.key.as_deref());
            return url.map(Departure::Redirect).ok_or_else(|| self.unavailable("request", "it cannot be written".to_owned()));
        }
        let Some(sso) = &metadata.sso_post else { return Err(self.unavailable("metadata", "no single sign-on address".to_owned())) };
        if metadata.wants_signed_requests {
            return Err(self.unavailable("metadata", "the provider wants signed requests and takes them by POST only".to_owned()));
        }
        let fields = vec![("SAMLRequest", STANDARD.encode(asked(sso))), ("RelayState", begin.state.to_owned())];
        Ok(Departure::Post { to: sso.clone(), fields })
    }

    async fn finish(&self, finish: Finish<'_>) -> Result<VerifiedAssertion, SsoFault> {
        let Answer::Saml(response) = finish.response else {
            return Err(self.refused(Refused::expected("protocol", "a SAML response", "one of OpenID Connect")));
        };
        let metadata = self.metadata().await?;
        let judged = self.judged(response, &finish, Arc::clone(&metadata)).await?;
        let identity = self.identity(&metadata.entity_id, &judged);
        let for_logout = judged.name_id.as_ref().and_then(|name| serde_json::to_string(name).ok());
        let Judged { auth_time, session_index, session_until, id, until, .. } = judged;
        let once = format!("{}:{}{id}", metadata.entity_id.len(), metadata.entity_id);
        Ok(VerifiedAssertion::vouch(identity, auth_time, for_logout, session_index).good_once(once, until).ending(session_until))
    }

    fn issuer(&self) -> Option<String> {
        self.source.entity_id()
    }

    fn keys_fetched_at(&self) -> Option<Timestamp> {
        self.source.read_at()
    }

    async fn logout_asked(&self, query: &str, signed_on: Option<&str>) -> Result<LogoutAsked, SsoFault> {
        let metadata = self.metadata().await?;
        let (query, sp, now, known) = (query.to_owned(), self.sp.clone(), self.clock.now(), Arc::clone(&metadata));
        let asked = self.worked(move || logout::asked(&query, &sp, &known, now)).await?;
        let name = signed_on.and_then(|kept| serde_json::from_str::<NameId>(kept).ok());
        let meant = name.is_some_and(|name| asked.means(&name));
        let answer = metadata.slo_response.as_ref().and_then(|to| {
            let xml = self.sp.logout_response(&logout::message_id(&asked.id, now), to, now, &asked.id);
            redirect(to, Parameter::Response, &xml, asked.relay_state.as_deref(), self.key.as_deref())
        });
        Ok(LogoutAsked { meant, answer, once: (format!("logout:{}:{}{}", metadata.entity_id.len(), metadata.entity_id, asked.id), asked.until) })
    }

    fn saml_metadata(&self) -> Option<String> {
        Some(self.sp.metadata(self.key.as_deref()))
    }

    async fn logout_url(&self, id_token: Option<&str>, _back_to: &str, state: &str) -> Option<Url> {
        let name: NameId = serde_json::from_str(id_token?).ok()?;
        let metadata = match self.source.metadata().await {
            Ok(metadata) => metadata,
            Err(why) => {
                tracing::warn!(idp = self.settings.id, why, "signed out here only: the provider's metadata is not to be had");
                return None;
            }
        };
        let to = metadata.slo_redirect.as_ref()?;
        let id = logout::message_id(&name.value, self.clock.now());
        let xml = self.sp.logout_request(&id, to, self.clock.now(), &name);
        // Bindings 3.4.3: at most 80 bytes. Without it the page says less.
        let relay_state = Some(state).filter(|state| !state.is_empty() && state.len() <= 80);
        redirect(to, Parameter::Request, &xml, relay_state, self.key.as_deref())
    }
}

#[cfg(test)]
mod tests;
