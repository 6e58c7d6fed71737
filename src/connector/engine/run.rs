//! One step: sent, answered, understood.

use super::request::{Authority, Names, build};
use super::{Engine, classify, paginate, select};
use crate::connector::model::{Call, Effect, Paginate, Pointer, Verb};
use crate::connector::{Outcome, Trouble};
use crate::entropy::Entropy;
use crate::expr::{EvalError, Lookup};
use crate::outbound::OutboundResponse;
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

/// Where lists say how many elements there are on all pages.
const COUNTS: [&str; 5] = ["total_count", "totalResults", "total", "totalCount", "count"];

/// What a step came to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// What is meant: the selected element, or the answer at `at`.
    pub(super) element: Value,
    /// All selected elements, for lists.
    pub(super) elements: Vec<Value>,
    pub(super) headers: HeaderMap,
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) retry_after_ms: Option<u64>,
}

impl Answer {
    /// As trouble, for an outcome that ends the verb badly.
    pub(super) fn trouble(&self, step: &str) -> Trouble {
        Trouble {
            step: step.to_owned(),
            outcome: self.outcome,
            retry_after_ms: self.retry_after_ms,
            status: Some(self.status),
            detail: self.reason.clone(),
        }
    }
}

/// Trouble in our own words, before or instead of an answer.
pub(super) fn trouble(step: &str, outcome: Outcome, detail: impl Into<String>) -> Trouble {
    Trouble { step: step.to_owned(), outcome, retry_after_ms: None, status: None, detail: detail.into() }
}

impl Engine {
    /// Runs one step of `verb`; `None` when its `if` does not hold.
    pub(super) async fn run(&self, verb: &str, call: &Call, names: &mut Names<'_>) -> Result<Option<Answer>, Trouble> {
        let step = format!("{verb}/{}", call.name);
        if let Some(condition) = &call.condition {
            match condition.holds(names) {
                Ok(true) => {}
                Ok(false) | Err(EvalError::Absent(_)) => return Ok(None),
                Err(error @ EvalError::Type(_)) => return Err(trouble(&step, Outcome::Invalid, format!("if: {error}"))),
            }
        }
        let mut answer = match &call.paginate {
            Some(paginate) => self.pages(&step, call, paginate, names).await?,
            None => self.one(&step, call, names, &[]).await?.0,
        };
        if classify::is_success(answer.outcome) {
            self.choose(&step, call, names, &mut answer)?;
        }
        if classify::is_success(answer.outcome) {
            for (name, extract) in &call.save {
                if let Some(value) = select::extract(extract, &answer.element, &answer.headers) {
                    if names.scope.is_some() {
                        names.own.insert(name.clone(), value);
                    } else {
                        names.set("saved", name, value);
                    }
                }
            }
        }
        names.set("outcome", &call.name, Value::from(format!("{:?}", answer.outcome).to_ascii_lowercase()));
        Ok(Some(answer))
    }

    /// `select`: none is absent, several are ambiguous; an answer to a write that is about something else is no answer.
    fn choose(&self, step: &str, call: &Call, names: &Names<'_>, answer: &mut Answer) -> Result<(), Trouble> {
        let Some(select) = &call.select else { return Ok(()) };
        let candidates = match (&select.items, call.paginate.is_some()) {
            (_, true) => std::mem::take(&mut answer.elements),
            (None, false) => vec![answer.element.clone()],
            (Some(items), false) => match items.first(&answer.element) {
                Some(Value::Array(list)) => list.clone(),
                // RFC 7644 §3.4.2: without hits `Resources` may be left out; a count that says none is as good as an empty list.
                None if answer.element.get("totalResults").and_then(Value::as_u64) == Some(0) => Vec::new(),
                _ => {
                    answer.outcome = Outcome::Retry;
                    answer.reason = format!("the answer has no list at /{}", items.0.join("/"));
                    return Ok(());
                }
            },
        };
        let had = candidates.len();
        let found = select::select(select, candidates, names, &self.model.identity);
        let mut found = found.map_err(|error| trouble(step, Outcome::Invalid, format!("select: {error}")))?;
        let single = select.items.is_none() && had == 1;
        if call.effect != Effect::Read && found.is_empty() {
            answer.outcome = Outcome::InDoubt;
            "the answer is about something else".clone_into(&mut answer.reason);
        } else if single && found.is_empty() {
            // A path that names one account and shows another: not an absence, somebody is wrong about who is who.
            answer.outcome = Outcome::Conflict;
            "the answer is about another account than the one asked for".clone_into(&mut answer.reason);
        } else {
            if found.is_empty()
                && call.paginate.is_none()
                && COUNTS.iter().any(|name| answer.element.get(name).and_then(Value::as_u64) > u64::try_from(had).ok())
            {
                // The app says that there is more than it showed: that is no "none".
                answer.outcome = Outcome::Unsupported;
                "the search has more pages than were looked at; it needs `paginate`, or a narrower search".clone_into(&mut answer.reason);
                return Ok(());
            }
            answer.outcome = match (found.len(), answer.outcome) {
                (0, _) => Outcome::Absent,
                (1, outcome) => outcome,
                _ => Outcome::Ambiguous,
            };
            answer.elements.clone_from(&found);
            if let (1, Some(one)) = (found.len(), found.pop()) {
                answer.element = one;
            }
        }
        Ok(())
    }

    /// One exchange; also the next page's headers.
    async fn one(&self, step: &str, call: &Call, names: &Names<'_>, extra: &[(String, String)]) -> Result<(Answer, Value), Trouble> {
        let response = self.send(step, call, names, extra).await?;
        let verdict = classify::classify(call, &response);
        let whole = verdict.json.unwrap_or(Value::Null);
        let element = call.at.first(&whole).cloned().unwrap_or(Value::Null);
        let answer = Answer {
            outcome: verdict.outcome,
            element,
            elements: Vec::new(),
            retry_after_ms: classify::retry_after_ms(&response.headers, self.clock.now()),
            status: response.status.as_u16(),
            headers: response.headers,
            reason: verdict.reason,
        };
        Ok((answer, whole))
    }

    /// All pages of a list, or no list at all: half a list would make "absent" out of "on the next page".
    async fn pages(&self, step: &str, call: &Call, paginate: &Paginate, names: &Names<'_>) -> Result<Answer, Trouble> {
        let mut elements: Vec<Value> = Vec::new();
        let mut extra = paginate::first(paginate);
        let mut address = None;
        for page in 1..=paginate.pages_max {
            let (mut answer, whole) = match address.take() {
                None => self.one(step, call, names, &extra).await?,
                Some(url) => self.at_address(step, call, names, url).await?,
            };
            if !classify::is_success(answer.outcome) {
                return Ok(answer);
            }
            let here = match list_at(&paginate.items, &whole) {
                Some(list) => list,
                None if total_of(paginate, &whole) == Some(0) => Vec::new(),
                None => {
                    answer.outcome = Outcome::Retry;
                    "the answer has no list".clone_into(&mut answer.reason);
                    return Ok(answer);
                }
            };
            let count = here.len();
            elements.extend(here);
            match paginate::next(paginate, &self.base, &answer.headers, page, count, elements.len(), total_of(paginate, &whole)) {
                paginate::Next::End => {
                    answer.elements = elements;
                    return Ok(answer);
                }
                paginate::Next::Parameters(next) => extra = next,
                paginate::Next::Address(url) => address = Some(url),
                paginate::Next::Elsewhere => return Err(trouble(step, Outcome::Retry, "the next page is said to be elsewhere")),
            }
        }
        Err(trouble(step, Outcome::Unsupported, format!("more than {} pages: the list cannot be looked through", paginate.pages_max)))
    }

    async fn at_address(&self, step: &str, call: &Call, names: &Names<'_>, url: url::Url) -> Result<(Answer, Value), Trouble> {
        let only = Call { query: Vec::new(), ..call.clone() };
        let response = self.exchange(step, &only, names, &[], Some(url)).await?;
        let verdict = classify::classify(call, &response);
        let whole = verdict.json.unwrap_or(Value::Null);
        let answer = Answer {
            outcome: verdict.outcome,
            element: Value::Null,
            elements: Vec::new(),
            retry_after_ms: classify::retry_after_ms(&response.headers, self.clock.now()),
            status: response.status.as_u16(),
            headers: response.headers,
            reason: verdict.reason,
        };
        Ok((answer, whole))
    }

    async fn send(&self, step: &str, call: &Call, names: &Names<'_>, extra: &[(String, String)]) -> Result<OutboundResponse, Trouble> {
        self.exchange(step, call, names, extra, None).await
    }

    /// Sends, once more with a fresh token when there is a pre-step and the first was refused: 401 and 403 say that nothing was done.
    async fn exchange(
        &self,
        step: &str,
        call: &Call,
        names: &Names<'_>,
        extra: &[(String, String)],
        address: Option<url::Url>,
    ) -> Result<OutboundResponse, Trouble> {
        if self.read_only && call.effect != Effect::Read {
            return Err(trouble(step, Outcome::Denied, "a dry run sends nothing that writes"));
        }
        let mut fresh = false;
        loop {
            let token = self.token(fresh).await?;
            let authority = Authority::Credential(&self.credential, token.as_ref());
            // Made for this one request, and dropped with it: no name, record, log or answer ever holds it.
            let password = self.passwords.as_ref().filter(|_| call.random).map(|entropy| password(entropy.as_ref()));
            let mut request = match &password {
                Some(password) => {
                    let names = BodyNames { names, password };
                    build(step, call, names.names, &names, &self.model.http, &self.base, &authority, extra)?
                }
                None => build(step, call, names, names, &self.model.http, &self.base, &authority, extra)?,
            };
            drop(password);
            if let Some(url) = &address {
                request.url = url.clone();
            }
            request.timeout_ms = self.limits.timeout_ms;
            request.response_bytes_max = self.limits.response_bytes_max;
            if let Some(response) = self.on_stage(step, call, names, &request)? {
                return Ok(response);
            }
            let shown = self.stage.is_some().then(|| request.clone());
            let response = self.transport.send(request).await.map_err(|error| classify::no_answer(step, call.effect, &error))?;
            if let Some(request) = shown {
                self.tell_stage(step, call, names, &request, &response);
            }
            if fresh || token.is_none() || !matches!(response.status.as_u16(), 401 | 403) {
                return Ok(response);
            }
            fresh = true;
        }
    }

    /// The token of the pre-step, if the connector has one; `fresh` fetches it again.
    async fn token(&self, fresh: bool) -> Result<Option<SecretString>, Trouble> {
        let Some(calls) = self.model.verbs.get(&Verb::Token) else { return Ok(None) };
        let mut held = self.token.lock().await;
        if let (Some(token), false) = (held.as_ref(), fresh) {
            return Ok(Some(token.clone()));
        }
        let mut credential = Map::new();
        if let Some((user, password)) = &self.credential.basic {
            credential.insert("username".to_owned(), Value::from(user.clone()));
            credential.insert("password".to_owned(), Value::from(password.expose_secret()));
        }
        if let Some(token) = &self.credential.token {
            credential.insert("token".to_owned(), Value::from(token.expose_secret()));
        }
        let mut names = self.names();
        names.own.insert("credential".to_owned(), Value::Object(credential));
        *held = None;
        for call in calls {
            let step = format!("token/{}", call.name);
            let mut request = build(&step, call, &names, &names, &self.model.http, &self.base, &Authority::None, &[])?;
            request.timeout_ms = self.limits.timeout_ms;
            request.response_bytes_max = self.limits.response_bytes_max;
            let response = match self.on_stage(&step, call, &names, &request)? {
                Some(response) => response,
                None => self.transport.send(request).await.map_err(|error| classify::no_answer(&step, call.effect, &error))?,
            };
            let verdict = classify::classify(call, &response);
            if !classify::is_success(verdict.outcome) {
                return Err(trouble(&step, verdict.outcome, verdict.reason));
            }
            let body = verdict.json.unwrap_or(Value::Null);
            let found = call.save.iter().find(|(name, _)| name == "token").and_then(|(_, place)| select::extract(place, &body, &response.headers));
            if let Some(Value::String(token)) = found {
                *held = Some(SecretString::from(token));
            }
        }
        match held.as_ref() {
            Some(token) => Ok(Some(token.clone())),
            None => Err(trouble("token", Outcome::Reauth, "the pre-step gave no token")),
        }
    }
}

/// Names of a body that makes an account.
struct BodyNames<'a> {
    names: &'a Names<'a>,
    password: &'a Value,
}

impl Lookup for BodyNames<'_> {
    fn name(&self, name: &str) -> Option<&Value> {
        if name == "random" { Some(self.password) } else { self.names.name(name) }
    }
}

/// A password that nobody will ever type: 256 random bits, with a character of each class that apps ask for, and short enough for bcrypt's 72 bytes.
fn password(entropy: &dyn Entropy) -> Value {
    Value::from(format!("{}-aA1", entropy.token()))
}

fn list_at(pointer: &Pointer, whole: &Value) -> Option<Vec<Value>> {
    pointer.first(whole).and_then(Value::as_array).cloned()
}

fn total_of(paginate: &Paginate, whole: &Value) -> Option<u64> {
    paginate.total.as_ref().and_then(|total| total.first(whole)).and_then(Value::as_u64)
}
