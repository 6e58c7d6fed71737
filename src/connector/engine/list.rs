//! All accounts of an app, a page at a time.
//!
//! Apart because nothing is decided from a part of a list: whoever walks it knows where it is, and that it came to its end.

use super::run::{Answer, Page, Paged, trouble};
use super::{Engine, classify, select};
use crate::connector::model::Verb;
use crate::connector::{Listing, Outcome, PageMark, Trouble};
use crate::expr::EvalError;
use crate::plan::Account;
use serde_json::{Value, json};

impl Engine {
    /// One page; memberships as far as they stand in the list itself.
    pub(super) async fn list_page(&self, from: Option<&PageMark>) -> Result<Listing, Trouble> {
        let names = self.names();
        let runs = |call: &&crate::connector::model::Call| {
            call.condition.as_ref().is_none_or(|condition| !matches!(condition.holds(&names), Ok(false) | Err(EvalError::Absent(_))))
        };
        let Some(call) = self.verb(&Verb::List).iter().find(runs) else {
            return Err(trouble("list", Outcome::Unsupported, "the connector cannot list accounts"));
        };
        let step = format!("list/{}", call.name);
        self.admit(&step).await?;
        let Some(paginate) = &call.paginate else {
            let (answer, _) = self.one(&step, call, &names, &[]).await?;
            if !classify::is_success(answer.outcome) {
                return Err(answer.trouble(&step));
            }
            let list = answer.element.as_array().ok_or_else(|| trouble(&step, Outcome::Retry, "the answer has no list"))?;
            return Ok(Listing { accounts: self.listed_accounts(list, &answer).await?, next: None });
        };
        let at = match from {
            None => Page::first(paginate),
            Some(mark) => self.page_at(mark).ok_or_else(|| trouble(&step, Outcome::Invalid, "this is no place in the list"))?,
        };
        if at.pages >= paginate.pages_max {
            return Err(trouble(&step, Outcome::Unsupported, format!("more than {} pages: the list cannot be looked through", paginate.pages_max)));
        }
        match self.page(&step, call, paginate, &names, &at).await? {
            Paged::Ended(answer) => Err(answer.trouble(&step)),
            Paged::Page(answer, next) => {
                let accounts = self.listed_accounts(&answer.elements, &answer).await?;
                Ok(Listing { accounts, next: next.map(|next| mark_of(&next)) })
            }
        }
    }

    async fn listed_accounts(&self, elements: &[Value], answer: &Answer) -> Result<Vec<Account>, Trouble> {
        let mut accounts = Vec::new();
        for element in elements {
            let mut account = select::account(&self.model, &self.model.account, element, &answer.headers);
            self.name_memberships(&mut account).await?;
            self.note_disabled(&mut account);
            accounts.push(account);
        }
        Ok(accounts)
    }

    /// A mark may come from a record: it leads nowhere but below the admin base.
    fn page_at(&self, mark: &PageMark) -> Option<Page> {
        let whole: Value = serde_json::from_str(&mark.0).ok()?;
        let extra = whole.get("query")?.as_array()?.iter().map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())));
        let address = match whole.get("address").and_then(Value::as_str) {
            None => None,
            Some(text) => {
                let url = url::Url::parse(text).ok()?;
                let prefix = format!("{}/", self.base.path().trim_end_matches('/'));
                Some(Some(url).filter(|url| url.origin() == self.base.origin() && url.path().starts_with(&prefix))?)
            }
        };
        let number = |key: &str| whole.get(key).and_then(Value::as_u64);
        let (pages, elements) = (u32::try_from(number("pages")?).ok()?, usize::try_from(number("elements")?).ok()?);
        Some(Page { extra: extra.collect::<Option<_>>()?, address, pages, elements })
    }
}

fn mark_of(page: &Page) -> PageMark {
    let query: Vec<Value> = page.extra.iter().map(|(name, value)| json!([name, value])).collect();
    let address = page.address.as_ref().map(url::Url::as_str);
    PageMark(json!({ "query": query, "address": address, "pages": page.pages, "elements": page.elements }).to_string())
}
