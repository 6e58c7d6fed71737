//! Names to the app's ids of groups, roles and organisations, and back: asked once, by one, and believed for a while.

use super::classify::Look;
use super::request::Names;
use super::resolved::Known;
use super::run::{ANOTHER, trouble};
use super::{Engine, classify};
use crate::connector::model::{Call, Effect, MemberVerb, Verb, plain};
use crate::connector::{Outcome, Trouble};
use serde_json::{Map, Value};

impl Engine {
    /// The app's id of a group, role or organisation, or its name where ids are names; `None` when there is none, which is never believed for longer than
    /// this call. What the steps saved is in `names`.
    pub(super) async fn resolve(&self, kind: &str, member: &str, names: &mut Names<'_>, may_create: bool) -> Result<Option<String>, Trouble> {
        let verb = format!("resolve.{kind}");
        let calls = self.verb(&Verb::Resolve(kind.to_owned()));
        let found = self.remembered(&verb, kind, member, names, calls, may_create).await?;
        Ok(found.map(|found| {
            for (name, value) in found.saved {
                names.set("saved", &name, value);
            }
            found.id
        }))
    }

    /// The name of one whose id is known; `None` when the app has none.
    pub(super) async fn name_of(&self, kind: &str, id: &str) -> Result<Option<String>, Trouble> {
        let verb = format!("members.{kind}.name");
        let mut names = self.names();
        names.set("member", "id", Value::from(id));
        names.set("member", "name", Value::from(id));
        let calls = self.verb(&Verb::Members(kind.to_owned(), MemberVerb::Name));
        let found = self.remembered(&verb, &format!("{kind} by id"), id, &mut names, calls, false).await?;
        Ok(found.and_then(|found| found.saved.get("name").and_then(|name| plain(name).ok())))
    }

    async fn remembered(
        &self,
        verb: &str,
        kind: &str,
        key: &str,
        names: &mut Names<'_>,
        calls: &[Call],
        may_create: bool,
    ) -> Result<Option<Known>, Trouble> {
        // For show every step is shown.
        let ttl_ms = calls.iter().find_map(|call| call.cache_ms).filter(|_| self.stage.is_none()).and_then(|ms| i64::try_from(ms).ok());
        let Some(ttl_ms) = ttl_ms else { return self.asked(verb, kind, key, names, calls, may_create).await };
        if let Some(known) = self.state.resolved.get(kind, key, self.clock.now()) {
            return Ok(Some(known));
        }
        let _turn = self.state.resolving.take(&format!("{:?}\u{0}{kind}\u{0}{key}", self.lane)).await;
        if let Some(known) = self.state.resolved.get(kind, key, self.clock.now()) {
            return Ok(Some(known));
        }
        let found = self.asked(verb, kind, key, names, calls, may_create).await?;
        if let Some(found) = &found {
            self.state.resolved.put(kind, key, found.clone(), self.clock.now().plus_ms(ttl_ms));
        }
        Ok(found)
    }

    async fn asked(
        &self,
        verb: &str,
        kind: &str,
        key: &str,
        names: &mut Names<'_>,
        calls: &[Call],
        may_create: bool,
    ) -> Result<Option<Known>, Trouble> {
        // What an earlier name has saved is not this one's.
        names.own.insert("saved".to_owned(), Value::Object(Map::new()));
        // Twice, because somebody else may make it between our looking and our making.
        for _attempt in 0..2 {
            let mut raced = false;
            for call in calls.iter().filter(|call| may_create || call.effect == Effect::Read) {
                // Boxed: resolving is a step of steps.
                let Some(answer) = Box::pin(self.run(verb, call, names)).await? else { continue };
                // An app that does not look at letter case shows the group of another name. What is granted under this one would be listed under that, and never taken
                // back.
                let shows_another = verb.starts_with("resolve.") && answer.outcome == Outcome::Conflict && answer.reason == ANOTHER;
                match classify::look(answer.outcome) {
                    Look::Absent => {}
                    Look::Trouble if shows_another => {}
                    Look::Found => {
                        let saved = names.own.get("saved").and_then(Value::as_object).cloned().unwrap_or_default();
                        let id = saved.get("id").and_then(|id| plain(id).ok()).unwrap_or_else(|| key.to_owned());
                        return Ok(Some(Known { id, saved }));
                    }
                    Look::Ambiguous => {
                        return Err(trouble(verb, Outcome::Ambiguous, format!("the app has more than one {kind} called `{key}`")));
                    }
                    Look::Trouble if answer.outcome == Outcome::Exists => raced = true,
                    Look::Unsupported | Look::Trouble => return Err(answer.trouble(&format!("{verb}/{}", call.name))),
                }
            }
            if !raced {
                break;
            }
        }
        Ok(None)
    }
}
