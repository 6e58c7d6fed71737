//! Signing a person in and out at the app itself: what `[[enter]]`, `[[set_password]]` and `[[leave]]` say.
//!
//! Lives here because the steps are those of a pre-step (pages, forms, cookies), but on whose behalf is another matter: nothing of the policy's own credential goes
//! along, the address is the app's and not that of its admin API, and what comes of it belongs to one person.

use super::jar::Jar;
use super::request::{Authority, Names, build};
use super::run::{Answer, applies, trouble};
use super::session::read;
use super::{Engine, ResolvedCredential, classify, select};
use crate::connector::model::{Call, Verb, plain};
use crate::connector::{Context, DoorKey, Entered, Outcome, Trouble};
use crate::outbound::OutboundResponse;
use http::{HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;

/// More cookies than any sign-in sets.
const COOKIES_MAX: usize = 32;

/// One sign-in under way.
#[derive(Default)]
struct Way {
    jar: Jar,
    set: Vec<(String, HeaderValue)>,
    token: Option<SecretString>,
}

impl Way {
    /// Takes what an answer sets, the latest of a name.
    fn note(&mut self, response: &OutboundResponse) {
        self.jar.note(&response.headers);
        for line in response.headers.get_all(header::SET_COOKIE) {
            let name = line.to_str().ok().and_then(|text| text.split(['=', ';']).next()).map(|name| name.trim().to_owned());
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            self.set.retain(|(known, _)| *known != name);
            if self.set.len() < COOKIES_MAX {
                let mut line = line.clone();
                line.set_sensitive(true);
                self.set.push((name, line));
            }
        }
    }
}

impl Engine {
    /// Runs `[[enter]]` against the app at `at`; `key` is `{secret}` and `{device}` there.
    pub(super) async fn enter_at(&self, context: Context<'_>, at: &Url, key: DoorKey<'_>) -> Result<Entered, Trouble> {
        if !self.model.can(&Verb::Enter) {
            return Err(trouble("enter", Outcome::Unsupported, "the connector knows no `enter`"));
        }
        let mut names = self.names_for(context);
        names.own.insert("secret".to_owned(), Value::from(key.secret.expose_secret()));
        names.own.insert("device".to_owned(), Value::from(key.device));
        let mut way = Way::default();
        for call in self.verb(&Verb::Enter) {
            let step = format!("enter/{}", call.name);
            if !applies(&step, call, &names)? {
                continue;
            }
            let response = self.at_the_app(&step, call, &names, at, &way).await?;
            way.note(&response);
            let (answer, _) = Answer::of(call, &response, self.clock.now());
            answer.note(call, &mut names);
            if !classify::is_success(answer.outcome) && !call.go_on.contains(&answer.outcome) {
                return Err(answer.trouble(&step));
            }
            if let Some(wanted) = &call.select {
                let fits = select::select(wanted, vec![answer.element.clone()], &names, &self.model.identity);
                if fits.map_err(|error| trouble(&step, Outcome::Invalid, format!("select: {error}")))?.is_empty() {
                    return Err(trouble(&step, Outcome::Conflict, "the app has signed somebody else in"));
                }
            }
            for (name, place) in &call.save {
                let Some(value) = read(place, &answer.element, &response) else {
                    return Err(trouble(&step, Outcome::Retry, format!("the answer does not show `{name}`")));
                };
                if name == "token" {
                    way.token = plain(&value).ok().filter(|token| !token.is_empty()).map(SecretString::from);
                }
                names.set("saved", name, value);
            }
        }
        Ok(Entered { cookies: way.set.into_iter().map(|(_, line)| line).collect(), token: way.token })
    }

    /// Runs `[[leave]]` against the app at `at`.
    pub(super) async fn leave_at(&self, context: Context<'_>, at: &Url, token: &SecretString) -> Result<Outcome, Trouble> {
        if !self.model.can(&Verb::Leave) {
            return Err(trouble("leave", Outcome::Unsupported, "the connector knows no `leave`"));
        }
        let mut names = self.names_for(context);
        names.own.insert("secret".to_owned(), Value::from(token.expose_secret()));
        let mut outcome = Outcome::Unchanged;
        for call in self.verb(&Verb::Leave) {
            let step = format!("leave/{}", call.name);
            if !applies(&step, call, &names)? {
                continue;
            }
            let response = self.at_the_app(&step, call, &names, at, &Way::default()).await?;
            // RFC 9110 15.5.2: the app does not accept the token, and nothing else was shown. Then there is none to give back.
            if response.status == http::StatusCode::UNAUTHORIZED {
                return Ok(Outcome::Unchanged);
            }
            let (answer, _) = Answer::of(call, &response, self.clock.now());
            if !classify::is_success(answer.outcome) {
                return Err(answer.trouble(&step));
            }
            outcome = answer.outcome;
        }
        Ok(outcome)
    }

    async fn at_the_app(&self, step: &str, call: &Call, names: &Names<'_>, at: &Url, way: &Way) -> Result<OutboundResponse, Trouble> {
        let nothing = ResolvedCredential::default();
        let id = self.state.next_id();
        let authority = Authority { credential: &nothing, token: None, cookies: way.jar.header(), is_pre_step: true, has_pre_steps: true, id };
        let mut request = build(step, call, names, names, &self.model.http, at, &authority, &[])?;
        request.timeout_ms = self.limits.timeout_ms;
        request.response_bytes_max = self.limits.response_bytes_max;
        if let Some(response) = self.on_stage(step, call, names, &request)? {
            return Ok(response);
        }
        self.past_the_gate(step, call.effect, request).await
    }

    /// Runs `[[set_password]]` through the admin API.
    pub(super) async fn set_password_to(&self, context: Context<'_>, password: &SecretString) -> Result<Outcome, Trouble> {
        if !self.model.can(&Verb::SetPassword) {
            return Err(trouble("set_password", Outcome::Unsupported, "the connector knows no `set_password`"));
        }
        let mut names = self.names_for(context);
        names.own.insert("secret".to_owned(), Value::from(password.expose_secret()));
        let answer = self.all("set_password", self.verb(&Verb::SetPassword), &mut names).await;
        self.forget_etag(context);
        Ok(answer?.map_or(Outcome::Unchanged, |answer| answer.outcome))
    }
}
