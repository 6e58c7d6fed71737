//! Running a connector's steps for show.
//!
//! Lives here: [`Stage`], which may answer for the application, and [`Cue`], what it is told of a step. Apart because `plan` and the tests of policies must
//! send what live traffic would send, step by step, without sending it: they use this engine, and only the far end is another. It never decides
//! anything about accounts, and it cannot make the engine send a step that writes.

use super::request::Names;
use super::{Engine, classify, select, xml};
use crate::connector::model::{AccountShape, Attribute, Call, Effect, Extract, Filter, Model, Pointer};
use crate::connector::{Outcome, Trouble};
use crate::expr::Lookup as _;
use crate::outbound::{OutboundRequest, OutboundResponse};
use http::{HeaderMap, Method};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Stands between the engine and the application.
pub trait Stage: Send + Sync + fmt::Debug {
    /// What becomes of a request: [`Staged::Answer`] for one that must not be sent, or whose answer is known.
    fn cue(&self, cue: &Cue<'_>, request: &OutboundRequest) -> Staged;
    /// The application's own answer to a request that was [`Staged::Send`].
    fn answered(&self, cue: &Cue<'_>, request: &OutboundRequest, response: &OutboundResponse);
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Staged {
    /// This is the answer; nothing is sent.
    Answer(OutboundResponse),
    /// It may be sent. The engine does so only for steps that declare to read, by a method that can.
    Send,
}

/// A step that is about to run.
#[derive(Clone, Copy)]
pub struct Cue<'a> {
    /// The verb: `find`, `lookup.login`, `create`, `members.group.add`, `token`.
    pub verb: &'a str,
    /// The step.
    pub call: &'a Call,
    /// Where an account's parts stand in an answer to it.
    pub shape: &'a AccountShape,
    /// Whether it is one of the policy's own steps.
    pub own: bool,
    model: &'a Model,
    names: &'a Names<'a>,
}

impl fmt::Debug for Cue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the names: a credential may be among them.
        f.debug_struct("Cue").field("verb", &self.verb).field("call", &self.call.name).finish_non_exhaustive()
    }
}

impl Cue<'_> {
    /// The value of a dotted name of the step (`want.login`, `account.id`, `user.email`); `None` when it is absent.
    pub fn value(&self, dotted: &str) -> Option<&Value> {
        let (first, rest) = dotted.split_once('.').unwrap_or((dotted, ""));
        let value = self.names.name(first)?;
        if rest.is_empty() { Some(value) } else { Pointer::parse(rest).first(value) }
    }

    /// The attributes that the connector knows.
    pub fn attributes(&self) -> &[Attribute] {
        if self.own { &[] } else { &self.model.attributes }
    }

    /// What an extractor reads from an element.
    pub fn read(&self, place: &Extract, element: &Value) -> Option<Value> {
        select::extract(place, element, &HeaderMap::new())
    }

    /// Whether the step's `select` takes `candidate` for the one that is meant; without `select` it takes any.
    pub fn takes(&self, candidate: &Value) -> bool {
        let Some(chosen) = &self.call.select else { return true };
        select::select(chosen, vec![candidate.clone()], self.names, &self.model.identity).is_ok_and(|found| !found.is_empty())
    }

    /// What `select` wants to see, and where.
    pub fn wanted(&self) -> Vec<(Pointer, Value)> {
        let Some(Filter::Equal(all, _)) = self.call.select.as_ref().map(|chosen| &chosen.filter) else { return Vec::new() };
        all.iter().filter_map(|(pointer, template)| Some((pointer.clone(), template.render(self.names).ok()?))).collect()
    }

    /// Names below `item` that the step's own condition reads, as pointers into an element.
    pub fn looked_at(&self) -> Vec<Pointer> {
        let Some(Filter::When(condition)) = self.call.select.as_ref().map(|chosen| &chosen.filter) else { return Vec::new() };
        condition.names().iter().filter_map(|name| name.strip_prefix("item.").map(Pointer::parse)).collect()
    }

    /// An answer that shows this, as the step reads it.
    pub fn written(&self, whole: &Value) -> String {
        self.call.xml.as_ref().map_or_else(|| whole.to_string(), |lists| xml::write(whole, lists))
    }

    /// What the step makes of an answer.
    pub fn means(&self, response: &OutboundResponse) -> Outcome {
        classify::classify(self.call, response).outcome
    }

    /// The name of the membership it is about, as the policy says it.
    pub fn member(&self) -> Option<String> {
        let item = self.value("item").map(|item| item.get("id").unwrap_or(item));
        match self.value("member.name").or(item)? {
            Value::String(name) => Some(name.clone()),
            other @ (Value::Number(_) | Value::Bool(_)) => Some(other.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Engine {
    /// The same engine with `stage` at its far end.
    #[must_use]
    pub fn staged(mut self, stage: Arc<dyn Stage>) -> Self {
        self.stage = Some(stage);
        self
    }

    /// The stage's answer; `None`: it is to be sent, which only what reads may be.
    pub(super) fn on_stage(
        &self,
        step: &str,
        call: &Call,
        names: &Names<'_>,
        request: &OutboundRequest,
    ) -> Result<Option<OutboundResponse>, Trouble> {
        let Some(stage) = &self.stage else { return Ok(None) };
        match stage.cue(&self.cue(step, call, names), request) {
            Staged::Answer(response) => Ok(Some(response)),
            Staged::Send if call.effect == Effect::Read && matches!(request.method, Method::GET | Method::HEAD | Method::POST) => Ok(None),
            Staged::Send => Err(super::run::trouble(step, Outcome::Denied, "a dry run sends nothing that writes")),
        }
    }

    pub(super) fn tell_stage(&self, step: &str, call: &Call, names: &Names<'_>, request: &OutboundRequest, response: &OutboundResponse) {
        if let Some(stage) = &self.stage {
            stage.answered(&self.cue(step, call, names), request, response);
        }
    }

    fn cue<'c>(&'c self, step: &'c str, call: &'c Call, names: &'c Names<'c>) -> Cue<'c> {
        let own = names.scope.is_some();
        let find = self.steps.as_ref().and_then(|steps| steps.0.find.as_ref());
        let shape = find.filter(|_| own).map_or(&self.model.account, |find| &find.shape);
        let verb = step.split_once('/').map_or(step, |(verb, _)| verb);
        Cue { verb, call, shape, own, model: &self.model, names }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cue, Stage, Staged};
    use crate::clock::{ManualClock, Timestamp};
    use crate::connector::builtin::named;
    use crate::connector::engine::{Engine, Limits, ResolvedCredential};
    use crate::connector::{Connector as _, Context, Outcome};
    use crate::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
    use crate::plan::Step;
    use async_trait::async_trait;
    use serde_json::Map;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// A stage that would have everything sent.
    #[derive(Debug)]
    struct Careless;

    impl Stage for Careless {
        fn cue(&self, _cue: &Cue<'_>, _request: &OutboundRequest) -> Staged {
            Staged::Send
        }

        fn answered(&self, _cue: &Cue<'_>, _request: &OutboundRequest, _response: &OutboundResponse) {}
    }

    #[derive(Debug, Default)]
    struct Wire(Mutex<Vec<String>>);

    #[async_trait]
    impl Transport for Wire {
        async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
            self.0.lock().unwrap().push(format!("{} {}", request.method, request.url.path()));
            Err(OutboundError::Connect("nobody there".to_owned()))
        }
    }

    #[tokio::test]
    async fn what_writes_is_not_sent_however_careless_the_stage() {
        let wire = Arc::new(Wire::default());
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1)));
        let model = named("jupyterhub").unwrap();
        let (settings, _) = model.settings(&crate::source::SourceFile::new("x", ""), None);
        let base = "http://hub/api".parse().unwrap();
        let engine = Engine::new(model, None, base, ResolvedCredential::default(), settings, Limits::default(), Arc::clone(&wire) as _, clock);
        let engine = engine.staged(Arc::new(Careless));
        let scope = Map::new();
        let context = Context { scope: &scope, external_id: "x", login: "ada", email: None, account_id: Some("ada") };
        let remove = Step::Remove { kind: "group".to_owned(), member: "devs".to_owned() };
        let desired = crate::plan::Desired { login: "ada".to_owned(), attributes: BTreeMap::default(), memberships: BTreeMap::default() };
        let made = engine.apply(context, &Step::Create(desired)).await.unwrap_err();
        assert_eq!((made.outcome, made.detail.as_str()), (Outcome::Denied, "a dry run sends nothing that writes"));
        assert_eq!(engine.apply(context, &remove).await.unwrap_err().outcome, Outcome::Retry, "the group is looked up first, and nobody answers");
        assert_eq!(engine.get(context).await.unwrap_err().outcome, Outcome::Retry);
        assert_eq!(*wire.0.lock().unwrap(), ["GET /api/groups/devs", "GET /api/users/ada"]);
    }
}
