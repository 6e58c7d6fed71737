//! Read, change, write back: for an app whose change is the whole object.
//!
//! Apart because what is written back is what somebody else may have changed in between: it is read just before, sent with its `ETag` where there is one, and
//! read again when the app says that it has changed (RFC 9110 §13.1.1, 412).

use super::request::Names;
use super::run::{Answer, trouble};
use super::{Engine, classify, select};
use crate::connector::model::{Call, Verb};
use crate::connector::{Outcome, Trouble};
use serde_json::Value;

/// How often a change is laid over a fresh read before it is left for later.
const TRIES: u32 = 3;

impl Engine {
    /// Runs a step with `base = "get"`.
    pub(super) async fn over_base(&self, step: &str, call: &Call, names: &mut Names<'_>) -> Result<Answer, Trouble> {
        // Memberships that replace others were put together before this read: they are put together again as a whole (`members.rs`).
        let tries = if step.contains(".set/") { 1 } else { TRIES };
        let mut answer = None;
        for _try in 0..tries {
            let Some(read) = self.read_element(names).await? else {
                return Err(trouble(step, Outcome::Gone, "the account is no longer there"));
            };
            if let Some(etag) = select::etag(&self.model.account, &read.element, &read.headers) {
                names.set("account", "etag", Value::from(etag));
            }
            names.own.insert("base".to_owned(), read.element);
            let (came, _) = self.one(step, call, names, &[]).await?;
            let changed = came.status == 412;
            answer = Some(came);
            if !changed {
                break;
            }
        }
        names.own.remove("base");
        let mut answer = answer.ok_or_else(|| trouble(step, Outcome::Retry, "nothing was sent"))?;
        if answer.status == 412 && !classify::is_success(answer.outcome) {
            answer.outcome = Outcome::Retry;
            "somebody else changed the account in between".clone_into(&mut answer.reason);
        }
        Ok(answer)
    }

    /// The account of `account.id` in the app's own words; `None` when it is gone. Whoever answers for somebody else is not believed.
    pub(super) async fn read_element(&self, names: &Names<'_>) -> Result<Option<Answer>, Trouble> {
        let id = names.own.get("account").and_then(|account| account.get("id")).and_then(Value::as_str).unwrap_or_default().to_owned();
        // Read apart: what the read saves is not the change's.
        let mut own = Names { scope: names.scope, own: names.own.clone() };
        let mut is_absent = false;
        for call in self.verb(&Verb::Get) {
            // Boxed: a read is a step like any other, though never one over a base.
            let Some(answer) = Box::pin(self.run("get", call, &mut own)).await? else { continue };
            let step = format!("get/{}", call.name);
            match classify::look(answer.outcome) {
                // The next step may show accounts that this one hides.
                classify::Look::Absent => {
                    is_absent = true;
                    continue;
                }
                classify::Look::Found => {}
                classify::Look::Ambiguous | classify::Look::Unsupported | classify::Look::Trouble => return Err(answer.trouble(&step)),
            }
            let account = select::account(&self.model, &self.model.account, &answer.element, &answer.headers);
            if account.id != id {
                return Err(trouble(&step, Outcome::Conflict, "the answer is about another account than the one asked for"));
            }
            return Ok(Some(answer));
        }
        if is_absent { Ok(None) } else { Err(trouble("get", Outcome::Unsupported, "the connector cannot read an account by its id")) }
    }
}
