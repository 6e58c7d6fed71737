//! The way back from a SAML provider, which comes as a form that another site posts.
//!
//! Browsers keep `SameSite=Lax` cookies from such a form, ours among them, and a cookie with `SameSite=None` would be a weaker one for every sign-in to carry. So the
//! form is answered without knowing the browser: the response is verified, kept under a code for two minutes, and the browser sent on to the same path by a
//! redirect. That is a navigation by GET, which Lax cookies come along with, and from there the way is that of `callback.rs`: nothing is used up before it is known to be
//! this browser's. The response is verified once more then. There is no page in between that would need a script.
//!
//! Only what a provider has signed for a sign-in under way is ever kept. Who has such a response (everybody has their own) can post it as often as they like, dressed up
//! anew each time: all that carries one assertion is one row, a sign-in has few of them, and all together have a bound ([`ROOM`]). Beyond it the oldest makes way:
//! a bound that turned newcomers away would let the first to come lock all others out, while the way from form to request takes no longer than a redirect.

use super::begin::is_marked_token;
use super::cookies::is_token;
use super::respond::because;
use super::{Desk, OwnRequest, Purpose, has_parameter, key, parameter};
use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::sso::response::SamlResponse;
use crate::sso::{Answer, Finish, VerifiedAssertion};
use crate::state::{AnswerRoom, KeptAnswer, SecretHash, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};

/// Where SAML responses come, on the auth host.
pub const SAML_ACS: &str = "/.vestibule/saml/acs";
/// From the form to the browser's own request.
const ANSWER_MS: i64 = 2 * 60 * 1000;
/// What is kept at most. A provider gives one assertion for a sign-in, or a second when its page is sent again.
const ROOM: AnswerRoom = AnswerRoom { of_state: 4, all: 8_192, bytes: 64 << 20 };

impl Desk {
    /// [`SAML_ACS`]: POST from the provider's page, then GET with the code.
    pub(super) async fn saml_response(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        match request.method {
            Method::POST => self.saml_posted(request).await,
            Method::GET => self.saml_continued(request).await,
            // A HEAD must not use a sign-in up.
            _ => Ok(self.message(request, PublicMessage::BadRequest)),
        }
    }

    async fn saml_posted(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let response = match SamlResponse::parse(&request.body) {
            Ok(response) => response,
            Err(malformed) => {
                tracing::info!(incident = %request.incident, reason = %malformed, "a SAML response was refused unread");
                self.audit_failure(request, "", &malformed.to_string(), None);
                return Ok(because(self.message(request, PublicMessage::LinkExpired), "", &malformed.to_string(), None));
            }
        };
        let now = self.parts.clock.now();
        let pending =
            if is_marked_token(&response.state) { self.parts.logins.pending(key(Purpose::State, &response.state), now).await? } else { None };
        // Used up, too old, or nobody's: with its cookies the browser may have somewhere to go.
        let Some(pending) = pending else { return Ok(self.redirect(&continue_path(&response.state, None))) };
        let idp = pending.idp.clone().unwrap_or_default();
        let app = pending.app.as_deref().and_then(|name| self.parts.apps.by_name(name));
        let (Some(provider), Some(nonce), Some(code_verifier)) = (self.provider(&idp), pending.nonce.as_deref(), pending.code_verifier.as_deref())
        else {
            return Ok(self.message_about(request, PublicMessage::LinkExpired, app.as_deref(), None));
        };
        let redirect_uri = self.redirect_uri();
        let begun_at = Timestamp::from_millis(pending.begun_at_ms);
        let max_age_s = pending.max_age_s;
        let finish = Finish { response: Answer::Saml(&response), nonce, code_verifier, redirect_uri: &redirect_uri, max_age_s, begun_at };
        let assertion = match provider.finish(finish).await {
            Ok(assertion) => assertion,
            Err(fault) => return Ok(self.sso_fault(request, &fault, &idp, app.as_deref(), None)),
        };
        let code = code_for(&response, &assertion);
        let answer = KeptAnswer {
            state: key(Purpose::State, &response.state),
            code: key(Purpose::Answer, &code),
            document: response.document,
            expires_at: now.plus_ms(ANSWER_MS),
        };
        self.parts.logins.keep_answer(&answer, ROOM, now).await?;
        Ok(self.redirect(&continue_path(&response.state, Some(&code))))
    }

    async fn saml_continued(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        let sign_on = self.sign_on(request).await?;
        let state = parameter(&request.query, "state").unwrap_or_default();
        let code = parameter(&request.query, "code").filter(|code| is_token(code));
        let kept = match &code {
            Some(code) => self.parts.logins.kept_answer(key(Purpose::State, &state), key(Purpose::Answer, code), self.parts.clock.now()).await?,
            None => None,
        };
        let response = kept.map(|document| SamlResponse { state: state.clone(), document });
        self.came_back(request, sign_on, &state, response.as_ref().map(Answer::Saml)).await
    }

    /// `/.vestibule/saml/logout` on the auth host: a provider asks that this browser be signed out, or says that it is there.
    pub(super) async fn saml_logout(&self, request: &OwnRequest) -> Result<Response<Bytes>, StoreError> {
        // The answer to our own request: we are signed out already, and whether the provider is too is what its page said.
        if has_parameter(&request.query, "SAMLResponse") {
            let state = parameter(&request.query, "RelayState").unwrap_or_default();
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", &state).finish();
            return Ok(self.redirect(&format!("/.vestibule/signed-out?{query}")));
        }
        let sign_on = self.sign_on(request).await?;
        let providers: Vec<_> = self.providers.load().iter().filter(|provider| provider.saml_metadata().is_some()).cloned().collect();
        let mut why = None;
        for provider in providers {
            let here = sign_on.as_ref().filter(|sign_on| sign_on.identity.idp == provider.id());
            let known = here.and_then(|sign_on| sign_on.id_token.as_deref());
            let asked = match provider.logout_asked(&request.query, known).await {
                Ok(asked) => asked,
                Err(fault) => {
                    why = Some((provider, fault));
                    continue;
                }
            };
            let (shown, until) = &asked.once;
            let first = self.parts.logins.once(key(Purpose::Assertion, shown), *until).await?;
            let mut response = match &asked.answer {
                Some(answer) => self.redirect(answer.as_str()),
                None => self.redirect("/.vestibule/signed-out"),
            };
            if let Some(sign_on) = here.filter(|_| asked.meant && first) {
                drop(self.end(request, sign_on).await?);
                response = self.without_sign_on(response);
            }
            return Ok(response);
        }
        match why {
            Some((provider, fault)) => Ok(self.sso_fault(request, &fault, provider.id(), None, None)),
            None => Ok(self.message(request, PublicMessage::NoSuchPage)),
        }
    }

    /// `/.vestibule/saml/metadata?idp=` on the auth host: our own, for the provider that is named, else for the first that speaks SAML.
    pub(super) fn saml_metadata(&self, request: &OwnRequest) -> Response<Bytes> {
        let asked = parameter(&request.query, "idp");
        let providers = self.providers.load();
        let metadata = providers
            .iter()
            .filter(|provider| asked.as_deref().is_none_or(|asked| provider.id() == asked))
            .find_map(|provider| provider.saml_metadata());
        let Some(metadata) = metadata else { return self.message(request, PublicMessage::NoSuchPage) };
        let mut response = self.json(Bytes::from(metadata));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/samlmetadata+xml"));
        response
    }
}

/// The same for whatever carries this assertion in answer to this sign-in, so that posting it again brings nothing new. It need not be a secret: only the browser that
/// the sign-in belongs to can use it.
fn code_for(response: &SamlResponse, assertion: &VerifiedAssertion) -> String {
    let what = assertion.once().map_or(response.document.as_slice(), |(shown, _)| shown.as_bytes());
    URL_SAFE_NO_PAD.encode(SecretHash::of_parts(&[b"saml answer", response.state.as_bytes(), what]).0)
}

fn continue_path(state: &str, code: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", if is_marked_token(state) { state } else { "" });
    query.extend_pairs(code.map(|code| ("code", code)));
    format!("{SAML_ACS}?{}", query.finish())
}
