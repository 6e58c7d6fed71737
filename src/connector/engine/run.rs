//! One step: sent, answered, understood.

use super::request::{Authority, Names, build};
use super::session::SignedIn;
use super::{Engine, classify, paginate, select};
use crate::clock::Timestamp;
use crate::connector::model::{Call, Effect, Paginate, Pointer};
use crate::connector::{Outcome, Trouble};
use crate::entropy::Entropy;
use crate::expr::{EvalError, Lookup};
use crate::outbound::OutboundResponse;
use http::{HeaderMap, header};
use serde_json::Value;

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
    /// Of what was sent for `call`, and the whole of its body.
    pub(super) fn of(call: &Call, response: &OutboundResponse, now: Timestamp) -> (Self, Value) {
        let verdict = classify::classify(call, response);
        let whole = verdict.json.unwrap_or(Value::Null);
        let answer = Self {
            outcome: verdict.outcome,
            element: call.at.first(&whole).cloned().unwrap_or(Value::Null),
            elements: Vec::new(),
            retry_after_ms: classify::retry_after_ms(&response.headers, now),
            status: response.status.as_u16(),
            headers: response.headers.clone(),
            reason: verdict.reason,
        };
        (answer, whole)
    }

    /// Leaves its outcome where later steps ask for it.
    pub(super) fn note(&self, call: &Call, names: &mut Names<'_>) {
        names.set("outcome", &call.name, Value::from(self.outcome.word()));
    }

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

/// Of an answer that shows something else than what its path names.
pub(super) const ANOTHER: &str = "the answer is about another account than the one asked for";

/// Trouble in our own words, before or instead of an answer.
pub(super) fn trouble(step: &str, outcome: Outcome, detail: impl Into<String>) -> Trouble {
    Trouble { step: step.to_owned(), outcome, retry_after_ms: None, status: None, detail: detail.into() }
}

/// Whether the `if` of a step holds.
pub(super) fn applies(step: &str, call: &Call, names: &Names<'_>) -> Result<bool, Trouble> {
    match call.condition.as_ref().map_or(Ok(true), |condition| condition.holds(names)) {
        Ok(holds) => Ok(holds),
        Err(EvalError::Absent(_)) => Ok(false),
        Err(error @ EvalError::Type(_)) => Err(trouble(step, Outcome::Invalid, format!("if: {error}"))),
    }
}

impl Engine {
    /// Runs one step of `verb`; `None` when its `if` does not hold.
    pub(super) async fn run(&self, verb: &str, call: &Call, names: &mut Names<'_>) -> Result<Option<Answer>, Trouble> {
        let step = format!("{verb}/{}", call.name);
        if !applies(&step, call, names)? {
            return Ok(None);
        }
        self.admit(&step).await?;
        if call.select.is_some() && self.has_pre_steps() {
            // What is looked for may be made of what the pre-step saved, such as the server's own name.
            let values = self.signed_in(&step, None).await?.values;
            names.own.insert("session".to_owned(), Value::Object(values));
        }
        let mut answer = match (&call.paginate, &call.base) {
            (Some(paginate), _) => self.pages(&step, call, paginate, names).await?,
            (None, Some(_)) => self.over_base(&step, call, names).await?,
            (None, None) => self.one(&step, call, names, &[]).await?.0,
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
        answer.note(call, names);
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
                None if answer.element.get("totalResults").and_then(classify::number) == Some(0) => Vec::new(),
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
            ANOTHER.clone_into(&mut answer.reason);
        } else {
            if found.is_empty()
                && call.paginate.is_none()
                && COUNTS.iter().any(|name| answer.element.get(name).and_then(classify::number) > u64::try_from(had).ok())
            {
                // The app says that there is more than it showed: that is no "none", and no other way of looking makes it one.
                let why = "the search has more pages than were looked at; it needs `paginate`, or a narrower search";
                return Err(trouble(step, Outcome::Unsupported, why));
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

    /// One exchange, and the whole of its answer.
    pub(super) async fn one(&self, step: &str, call: &Call, names: &Names<'_>, extra: &[(String, String)]) -> Result<(Answer, Value), Trouble> {
        self.exchange(step, call, names, extra, None).await
    }

    /// All pages of a list, or no list at all: half a list would make "absent" out of "on the next page".
    async fn pages(&self, step: &str, call: &Call, paginate: &Paginate, names: &Names<'_>) -> Result<Answer, Trouble> {
        let mut elements: Vec<Value> = Vec::new();
        let mut at = Page::first(paginate);
        for _page in 0..paginate.pages_max {
            let (mut answer, next) = match self.page(step, call, paginate, names, &at).await? {
                Paged::Ended(answer) => return Ok(answer),
                Paged::Page(answer, next) => (answer, next),
            };
            elements.append(&mut answer.elements);
            let Some(next) = next else {
                answer.elements = elements;
                return Ok(answer);
            };
            at = next;
        }
        Err(trouble(step, Outcome::Unsupported, format!("more than {} pages: the list cannot be looked through", paginate.pages_max)))
    }

    /// One page of a list, and where the next one is.
    pub(super) async fn page(&self, step: &str, call: &Call, paginate: &Paginate, names: &Names<'_>, at: &Page) -> Result<Paged, Trouble> {
        let (mut answer, whole) = match &at.address {
            None => self.exchange(step, call, names, &at.extra, None).await?,
            Some(url) => self.exchange(step, &Call { query: Vec::new(), ..call.clone() }, names, &[], Some(url.clone())).await?,
        };
        if !classify::is_success(answer.outcome) {
            return Ok(Paged::Ended(answer));
        }
        answer.elements = match list_at(&paginate.items, &whole) {
            Some(list) => list,
            None if total_of(paginate, &whole) == Some(0) => Vec::new(),
            None => {
                answer.outcome = Outcome::Retry;
                "the answer has no list".clone_into(&mut answer.reason);
                return Ok(Paged::Ended(answer));
            }
        };
        let (pages, here) = (at.pages + 1, answer.elements.len());
        let seen =
            paginate::Seen { headers: &answer.headers, whole: &whole, pages, here, elements: at.elements + here, total: total_of(paginate, &whole) };
        let next = match paginate::next(paginate, &self.base, &seen) {
            paginate::Next::End => None,
            paginate::Next::Parameters(extra) => Some(Page { extra, address: None, pages, elements: at.elements + here }),
            paginate::Next::Address(url) => Some(Page { extra: Vec::new(), address: Some(url), pages, elements: at.elements + here }),
            paginate::Next::Elsewhere => return Err(trouble(step, Outcome::Retry, "the next page is said to be elsewhere")),
        };
        if next.as_ref().is_some_and(|next| next.extra == at.extra && next.address == at.address) {
            return Err(trouble(step, Outcome::Retry, "the next page is said to be this one"));
        }
        Ok(Paged::Page(answer, next))
    }

    /// Sends; once more, signed in afresh, when there is a pre-step and the first was refused: a refused credential says that nothing was done.
    async fn exchange(
        &self,
        step: &str,
        call: &Call,
        names: &Names<'_>,
        extra: &[(String, String)],
        address: Option<url::Url>,
    ) -> Result<(Answer, Value), Trouble> {
        if self.read_only && call.effect != Effect::Read {
            return Err(trouble(step, Outcome::Denied, "a dry run sends nothing that writes"));
        }
        let mut stale = None;
        loop {
            let signed_in = self.signed_in(step, stale).await?;
            let response = self.sent(step, call, names, extra, address.as_ref(), &signed_in).await?;
            let (mut answer, whole) = Answer::of(call, &response, self.clock.now());
            if answer.outcome == Outcome::Reauth && stale.is_none() && self.has_pre_steps() {
                stale = Some(signed_in.generation);
                continue;
            }
            self.heard(step, &mut answer).await;
            return Ok((answer, whole));
        }
    }

    /// One request and its answer.
    async fn sent(
        &self,
        step: &str,
        call: &Call,
        names: &Names<'_>,
        extra: &[(String, String)],
        address: Option<&url::Url>,
        signed_in: &SignedIn,
    ) -> Result<OutboundResponse, Trouble> {
        let id = self.state.next_id();
        let authority = Authority {
            credential: &self.credential,
            token: signed_in.token.as_ref(),
            cookies: signed_in.cookies(),
            is_pre_step: false,
            has_pre_steps: self.has_pre_steps(),
            id,
        };
        let session = Value::Object(signed_in.values.clone());
        let names = WithSession { names, session: &session };
        // Made for this one request, and dropped with it: no name, record, log or answer ever holds it.
        let password = self.passwords.as_ref().filter(|_| call.random).map(|entropy| password(entropy.as_ref()));
        let mut request = match &password {
            Some(password) => {
                let in_body = BodyNames { names: &names, password };
                build(step, call, &names, &in_body, &self.model.http, &self.base, &authority, extra)?
            }
            None => build(step, call, &names, &names, &self.model.http, &self.base, &authority, extra)?,
        };
        drop(password);
        if let Some(url) = address {
            request.url = url.clone();
        }
        if let (Some(_), Some(etag)) = (&call.base, names.name("account").and_then(|account| account.get("etag")).and_then(Value::as_str)) {
            // RFC 9110 §13.1.1: whoever changed it since it was read is not overwritten.
            if let Ok(value) = http::HeaderValue::from_str(etag) {
                request.headers.entry(header::IF_MATCH).or_insert(value);
            }
        }
        request.timeout_ms = self.limits.timeout_ms;
        request.response_bytes_max = self.limits.response_bytes_max;
        if let Some(response) = self.on_stage(step, call, names.names, &request)? {
            return Ok(response);
        }
        let shown = self.stage.is_some().then(|| request.clone());
        let response = self.through_the_gate(step, call.effect, self.lane, request).await?;
        signed_in.note(&response);
        if !classify::is_to(call, &response, id) {
            return Err(trouble(step, classify::unknown(call.effect), "the answer is to another request"));
        }
        if let Some(request) = shown {
            self.tell_stage(step, call, names.names, &request, &response);
        }
        Ok(response)
    }
}

/// A page of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    /// Query parameters.
    pub(super) extra: Vec<(String, String)>,
    /// Or its address.
    pub(super) address: Option<url::Url>,
    /// Pages before it.
    pub(super) pages: u32,
    /// Elements on them.
    pub(super) elements: usize,
}

impl Page {
    pub(super) fn first(paginate: &Paginate) -> Self {
        Self { extra: paginate::first(paginate), ..Self::default() }
    }
}

/// What asking for a page came to.
#[derive(Debug)]
pub(super) enum Paged {
    /// No page: an answer that says something else.
    Ended(Answer),
    /// Its elements are the page; and where the next one is.
    Page(Answer, Option<Page>),
}

/// Names with `session` over them.
struct WithSession<'a> {
    names: &'a Names<'a>,
    session: &'a Value,
}

impl Lookup for WithSession<'_> {
    fn name(&self, name: &str) -> Option<&Value> {
        if name == "session" { Some(self.session) } else { self.names.name(name) }
    }
}

/// Names of a body that makes an account.
struct BodyNames<'a> {
    names: &'a WithSession<'a>,
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
    paginate.total.as_ref().and_then(|total| total.first(whole)).and_then(classify::number)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Names};
    use crate::connector::Outcome;
    use crate::connector::model::{Model, Verb};
    use crate::expr::Lookup as _;
    use crate::source::SourceFile;
    use http::HeaderMap;
    use serde_json::{Map, Value, json};

    #[test]
    fn every_outcome_is_noted_by_the_word_that_files_write() {
        let text = "connector = \"a\"\nversion = 1\n[account]\nid = \"/id\"\nlogin = \"/login\"\n[[probe]]\nname = \"ask\"\neffect = \"read\"\nget = \"/\"\nclassify = [{ status = 200, outcome = \"found\" }]";
        let (model, problems) = Model::parse(&SourceFile::new("a.toml", text));
        let model = model.unwrap_or_else(|| panic!("{problems:?}"));
        let [call] = model.verbs[&Verb::Probe].as_slice() else { panic!("one step") };
        for (word, outcome) in Outcome::WORDS {
            let answer = Answer {
                outcome,
                element: Value::Null,
                elements: Vec::new(),
                headers: HeaderMap::new(),
                status: 200,
                reason: String::new(),
                retry_after_ms: None,
            };
            let mut names = Names { scope: None, own: Map::new() };
            answer.note(call, &mut names);
            assert_eq!(names.name("outcome"), Some(&json!({ "ask": word })), "{outcome:?}");
            assert_eq!(outcome.to_string(), word.replace('_', " "));
        }
    }
}
