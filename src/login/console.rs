//! The same desk for the operators' console.
//!
//! Lives here: what the console (`admin/console/`) asks of its own [`Desk`]. To a sign-in the console is an app like any other: its host begins it, the auth host
//! finishes it, a code hands it over. So a session of an app is worth nothing at the console, and one of the console nothing at an app: each hangs from the
//! name it was made for. Only the cookie has a name of its own.

use super::cookies::Kind;
use super::{Desk, DeskParts, OwnRequest, Purpose, key};
use crate::policy::Policy;
use crate::session::AppSession;
use crate::state::{SecretHash, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use http::header::SET_COOKIE;
use std::sync::Arc;

/// Who stands at the console.
#[derive(Debug)]
pub struct AtConsole {
    /// Names the session without being its cookie.
    pub key: SecretHash,
    /// The session.
    pub session: Arc<AppSession>,
    /// What every form of a page carries: derived from the cookie, which no other origin can read or set.
    pub form_token: String,
}

impl Desk {
    /// A desk for the host in `parts.addresses.elsewhere`.
    pub fn of_console(parts: DeskParts) -> Self {
        let secure = parts.addresses.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere.origin.starts_with("https://"));
        Self::with_cookies(parts, secure)
    }

    /// Whose session the request shows; `None` for nobody's and for one of an app.
    ///
    /// # Errors
    /// The store's.
    pub async fn at_console(&self, request: &OwnRequest, console: &Policy) -> Result<Option<AtConsole>, StoreError> {
        let Some(cookie) = self.cookies.read_token(&request.headers, Kind::Session) else { return Ok(None) };
        let Some(session) = self.app_session(request, console).await? else { return Ok(None) };
        let form_token = URL_SAFE_NO_PAD.encode(SecretHash::of(format!("console form:{cookie}").as_bytes()).0);
        Ok(Some(AtConsole { key: key(Purpose::Session, &cookie), session, form_token }))
    }

    /// The session that this answer of the desk begins, if it does.
    pub fn session_begun(&self, response: &Response<Bytes>) -> Option<SecretHash> {
        let cookie = response.headers().get_all(SET_COOKIE).iter().find_map(|line| self.cookies.value_set(line, Kind::Session))?;
        Some(key(Purpose::Session, &cookie))
    }
}
