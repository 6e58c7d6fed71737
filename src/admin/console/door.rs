//! Who stands at the console, and what they may.
//!
//! Lives here: from a request to [`Door`], and the two checks of a form ([`Console::is_own_form`]). It decides and does nothing else.

use super::Console;
use crate::clock::Timestamp;
use crate::config;
use crate::identity::Identity;
use crate::login::{Ask, OwnRequest};
use crate::state::{SecretHash, StoreError};
use http::header::ORIGIN;
use std::sync::{Arc, PoisonError};
use subtle::ConstantTimeEq as _;

/// A session of the console that was not used for so long is asked to prove who they are.
const IDLE_MS: i64 = 15 * 60 * 1000;
/// What cannot be taken back asks for a sign-in that is not older.
const FRESH_MS: i64 = 15 * 60 * 1000;
/// When a session was used is remembered for as long as one may last; one that is forgotten signs in anew.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

/// Somebody whom the console lets in.
#[derive(Debug)]
pub(super) struct Operator {
    /// What the audit log calls them: e-mail address, else user name, else subject.
    pub(super) name: String,
    /// Who they are.
    pub(super) identity: Arc<Identity>,
    /// Whether they may do more than look.
    pub(super) may_act: bool,
    /// What their forms carry.
    pub(super) form_token: String,
    /// When they proved who they are.
    pub(super) auth_time: Timestamp,
}

/// Whether it opens.
#[derive(Debug)]
pub(super) enum Door {
    /// For an operator.
    Open(Operator),
    /// After a sign-in.
    SignIn(Ask),
    /// Not for this person.
    Closed(Arc<Identity>),
}

impl Console {
    /// Who stands there.
    ///
    /// # Errors
    /// The store's: nobody is let in.
    pub(super) async fn door(&self, request: &OwnRequest) -> Result<Door, StoreError> {
        let Some(found) = self.parts.desk.at_console(request, &self.parts.policy).await? else { return Ok(Door::SignIn(Ask::Any)) };
        let now = self.parts.clock.now();
        if let Err(ask) = self.used(found.key, now) {
            return Ok(Door::SignIn(ask));
        }
        let sign_on = &found.session.sign_on;
        sign_on.seen(now);
        let identity = Arc::clone(&sign_on.identity);
        let Some(may_act) = may_act(&self.parts.settings, &identity) else { return Ok(Door::Closed(identity)) };
        let (form_token, auth_time) = (found.form_token, sign_on.auth_time);
        Ok(Door::Open(Operator { name: called(&identity), identity, may_act, form_token, auth_time }))
    }

    /// Notes that a session has begun.
    pub(super) fn note(&self, session: SecretHash) {
        let now = self.parts.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now.since_ms(*at).abs() < REMEMBERED_MS);
        seen.insert(session, now);
    }

    /// Notes that a session is used, or says which sign-in it needs: one that was left alone has to be proven, one of before a restart is begun anew.
    fn used(&self, session: SecretHash, now: Timestamp) -> Result<(), Ask> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let at = seen.get_mut(&session).ok_or(Ask::Any)?;
        if now.since_ms(*at).abs() >= IDLE_MS {
            return Err(Ask::Fresh);
        }
        *at = now;
        Ok(())
    }

    /// Whether a page of this console sent the form, in this session. Both must hold: the origin that the browser says, and the token of the page.
    pub(super) fn is_own_form(&self, request: &OwnRequest, operator: &Operator, token: Option<&str>) -> bool {
        let same_site = request.headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
        let mut origins = request.headers.get_all(ORIGIN).iter();
        let own_origin = origins.next().is_some_and(|origin| origin.as_bytes() == self.parts.origin.as_bytes()) && origins.next().is_none();
        let own_token = token.is_some_and(|token| bool::from(token.as_bytes().ct_eq(operator.form_token.as_bytes())));
        same_site && own_origin && own_token
    }
}

impl Operator {
    /// Whether they have proven who they are lately. A sign-in of unknown age is not recent.
    pub(super) const fn is_fresh(&self, now: Timestamp) -> bool {
        let age_ms = now.since_ms(self.auth_time);
        age_ms < FRESH_MS && age_ms > -60_000
    }
}

/// Whether this person may act (`Some(true)`), or look. Groups that the provider did not tell are none; people of other providers are nobody.
fn may_act(settings: &config::Console, identity: &Identity) -> Option<bool> {
    let is_in = |groups: &[String]| identity.idp == settings.idp && identity.groups.listed().iter().any(|group| groups.contains(group));
    if is_in(&settings.groups) { Some(true) } else { is_in(&settings.viewers).then_some(false) }
}

/// What operators call a person.
pub(super) fn called(identity: &Identity) -> String {
    identity.email.as_ref().or(identity.username.as_ref()).unwrap_or(&identity.subject.subject).clone()
}

/// For the audit log: somebody was told no.
pub(super) fn refused(request: &OwnRequest, operator: &str, identity: &Identity, reason: &'static str) {
    tracing::info!(
        target: "audit",
        action = "admin.refused",
        incident = %request.incident,
        operator,
        idp = identity.idp,
        user.iss = identity.subject.issuer,
        user.sub = identity.subject.subject,
        src.ip = %request.peer,
        http.method = %request.method,
        url.path = request.path,
        reason,
        source = "console",
    );
}

#[cfg(test)]
mod tests {
    use super::may_act;
    use crate::config::Console;
    use crate::identity::{Groups, Identity};

    fn person(idp: &str, groups: Groups) -> Identity {
        Identity { groups, ..Identity::bare(idp, "https://idp.example", "s") }
    }

    #[test]
    fn only_groups_of_the_one_provider_open_the_console() {
        let settings = Console {
            host: "ops.example.com".to_owned(),
            idp: "corp".to_owned(),
            groups: vec!["operators".to_owned()],
            viewers: vec!["helpdesk".to_owned()],
        };
        let check = |idp: &str, groups: Option<&[&str]>, expected: Option<bool>| {
            let groups = groups.map_or(Groups::Unknown, |groups| Groups::Known(groups.iter().map(|&group| group.to_owned()).collect()));
            assert_eq!(may_act(&settings, &person(idp, groups.clone())), expected, "{idp} {groups:?}");
        };
        check("corp", None, None);
        check("corp", Some(&[]), None);
        check("corp", Some(&["staff", "Operators", "operators "]), None);
        check("partner", Some(&["operators", "helpdesk"]), None);
        check("corp", Some(&["helpdesk"]), Some(false));
        check("corp", Some(&["helpdesk", "operators"]), Some(true));
        check("corp", Some(&["operators"]), Some(true));
    }
}
