//! What is done with steps: looking, making, changing, granting.

use super::classify::Look;
use super::request::Names;
use super::run::{Answer, trouble};
use super::{Engine, classify, select};
use crate::connector::model::{Call, Each, Effect, FOR_SHOW, OwnFind, OwnStep, Verb, Way, plain, same_email};
use crate::connector::{Context, Observation, Outcome, Trouble};
use crate::plan::{Account, Desired};
use crate::policy::MatchBy;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Engine {
    /// Names of every verb.
    pub(super) fn names(&self) -> Names<'static> {
        let mut own = Map::new();
        own.insert("settings".to_owned(), Value::Object(self.settings.clone()));
        own.insert("saved".to_owned(), json!({}));
        own.insert("outcome".to_owned(), json!({}));
        if self.stage.is_some() {
            own.insert(FOR_SHOW.to_owned(), Value::Bool(true));
        }
        Names { scope: None, own }
    }

    /// With `want` and `account`.
    pub(super) fn names_for(&self, context: Context<'_>) -> Names<'static> {
        let mut names = self.names();
        names.set("want", "login", Value::from(self.model.identity.canonical(context.login)));
        names.set("want", "external_id", Value::from(context.external_id));
        if let Some(email) = context.email {
            names.set("want", "email", Value::from(email));
        }
        names.set("account", "login", Value::from(context.login));
        if let Some(id) = context.account_id {
            names.set("account", "id", Value::from(id));
            if let Some(etag) = self.etag(id) {
                names.set("account", "etag", Value::from(etag));
            }
        }
        names
    }

    /// Names of a policy's own steps: the sign-in's, and `id`.
    pub(super) fn own_names(context: Context<'_>) -> Names<'_> {
        let mut own = Map::new();
        if let Some(id) = context.account_id {
            own.insert("id".to_owned(), Value::from(id));
        }
        Names { scope: Some(context.scope), own }
    }

    pub(super) fn verb(&self, verb: &Verb) -> &[Call] {
        self.model.verbs.get(verb).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) async fn probe_admin_api(&self) -> Result<(), Trouble> {
        let mut names = self.names();
        let came = self.all("probe", self.verb(&Verb::Probe), &mut names).await.map(|_| ());
        // Without a probe of its own nothing was asked, and nothing is known.
        if self.model.can(&Verb::Probe) {
            self.note_probe(&came);
        }
        came
    }

    /// Runs all steps; each must end well, or in an outcome it may go on from. The last answer.
    pub(super) async fn all(&self, verb: &str, calls: &[Call], names: &mut Names<'_>) -> Result<Option<Answer>, Trouble> {
        let mut last = None;
        let mut wrote = false;
        for call in calls {
            for item in items(verb, call, names)? {
                if let Some(item) = item {
                    names.own.insert("item".to_owned(), item);
                }
                let Some(answer) = self.run(verb, call, names).await.map_err(|trouble| half_done(trouble, verb, wrote))? else { continue };
                let before = wrote;
                wrote |= call.effect != Effect::Read;
                if !classify::is_success(answer.outcome) && !call.go_on.contains(&answer.outcome) {
                    return Err(half_done(answer.trouble(&format!("{verb}/{}", call.name)), verb, before));
                }
                last = Some(answer);
            }
        }
        Ok(last)
    }

    /// Looks in one way.
    pub(super) async fn look(&self, context: Context<'_>, way: Way) -> Result<Observation, Trouble> {
        if way == Way::Email && context.email.is_none() {
            return Ok(Observation::Absent);
        }
        if let Some(find) = self.steps.as_ref().and_then(|steps| steps.0.find.as_ref()).filter(|find| find.by == way) {
            return self.look_own(context, find).await;
        }
        let verb = match way {
            Way::ExternalId => "lookup.external_id",
            Way::Login => "lookup.login",
            Way::Email => "lookup.email",
        };
        let mut names = self.names_for(context);
        for call in self.verb(&Verb::Lookup(way)) {
            let Some(answer) = self.run(verb, call, &mut names).await? else { continue };
            let step = format!("{verb}/{}", call.name);
            match classify::look(answer.outcome) {
                Look::Absent => {}
                Look::Ambiguous => return Ok(Observation::Ambiguous),
                Look::Found => {
                    let account = self.account_in(&step, &answer, Outcome::Retry)?;
                    self.check_same(&step, &account, context, way)?;
                    if call.then_get {
                        return self.read_whole(context, account, way).await;
                    }
                    return Ok(Observation::Found(Box::new(account), way.into()));
                }
                // A dialect that cannot be searched in this way: the next way may do.
                Look::Unsupported => return Ok(Observation::Absent),
                Look::Trouble => return Err(answer.trouble(&step)),
            }
        }
        Ok(Observation::Absent)
    }

    /// The account that a lookup has found, read again by its id: the lookup's own answer leaves parts out (`then = "get"`).
    async fn read_whole(&self, context: Context<'_>, seen: Account, way: Way) -> Result<Observation, Trouble> {
        // Boxed: without a `get`, reading by id comes down to looking.
        match Box::pin(self.read_one(Context { account_id: Some(&seen.id), ..context })).await? {
            Observation::Found(account, _) if self.model.identity.fold.same(&account.login, &seen.login) => {
                Ok(Observation::Found(account, way.into()))
            }
            Observation::Found(..) => Err(trouble("get", Outcome::Conflict, "the answer is about another account than the one asked for")),
            gone @ (Observation::Absent | Observation::Ambiguous) => Ok(gone),
        }
    }

    /// `[provision.find]`.
    async fn look_own(&self, context: Context<'_>, find: &OwnFind) -> Result<Observation, Trouble> {
        let mut names = Self::own_names(context);
        let Some(answer) = self.run("find", &find.call, &mut names).await? else { return Ok(Observation::Absent) };
        match classify::look(answer.outcome) {
            Look::Absent => return Ok(Observation::Absent),
            Look::Ambiguous => return Ok(Observation::Ambiguous),
            Look::Found => {}
            Look::Unsupported | Look::Trouble => return Err(answer.trouble("find")),
        }
        let mut account = select::account(&self.model, &find.shape, &answer.element, &answer.headers);
        let shown = match find.by {
            Way::Login => (!account.login.is_empty()).then(|| self.model.identity.fold.same(&account.login, context.login)),
            Way::Email => account.email.as_deref().map(|email| context.email.is_some_and(|wanted| same_email(email, wanted))),
            Way::ExternalId => account.external_id.as_deref().map(|id| id == context.external_id),
        };
        if shown == Some(false) || (shown.is_none() && !find.exact) {
            return Err(trouble("find", Outcome::Conflict, "the answer is about another account than the one asked for"));
        }
        if account.id.is_empty() {
            return Err(trouble("find", Outcome::Invalid, "the answer shows no id; say where it stands: [provision.find] id"));
        }
        if account.login.is_empty() {
            if find.by != Way::Login {
                // Announcing this person by a guessed login could announce somebody else.
                return Err(trouble("find", Outcome::Invalid, "the answer shows no login; say where it stands: [provision.find] login"));
            }
            context.login.clone_into(&mut account.login);
            account.admin |= self.model.identity.is_reserved(context.login);
        }
        Ok(Observation::Found(Box::new(account), find.by.into()))
    }

    /// The account in an answer. Without an id nothing can be done with it.
    fn account_in(&self, step: &str, answer: &Answer, otherwise: Outcome) -> Result<Account, Trouble> {
        let account = select::account(&self.model, &self.model.account, &answer.element, &answer.headers);
        if account.id.is_empty() || account.login.is_empty() {
            return Err(trouble(step, otherwise, "the answer shows no account"));
        }
        self.note_etag(&account.id, select::etag(&self.model.account, &answer.element, &answer.headers));
        Ok(account)
    }

    /// Whoever answers for somebody else than was asked for is not believed. (By e-mail the filter of the lookup has compared.)
    fn check_same(&self, step: &str, account: &Account, context: Context<'_>, way: Way) -> Result<(), Trouble> {
        let same = match way {
            Way::ExternalId => account.external_id.as_deref() == Some(context.external_id),
            Way::Login => self.model.identity.fold.same(&account.login, context.login),
            Way::Email => true,
        };
        if same { Ok(()) } else { Err(trouble(step, Outcome::Conflict, "the answer is about another account than the one asked for")) }
    }

    /// `get`, or where an app has none, the lookup whose answer shows the same id.
    pub(super) async fn read_one(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        let Some(id) = context.account_id else { return Err(trouble("get", Outcome::Invalid, "no account id is known")) };
        if !self.model.can(&Verb::Get) {
            for by in crate::connector::Connector::ways(self) {
                if let Observation::Found(account, by) = self.look(context, by.into()).await?
                    && account.id == id
                {
                    return Ok(Observation::Found(account, by));
                }
            }
            return Ok(Observation::Absent);
        }
        let mut names = self.names_for(context);
        for call in self.verb(&Verb::Get) {
            let Some(answer) = self.run("get", call, &mut names).await? else { continue };
            let step = format!("get/{}", call.name);
            match classify::look(answer.outcome) {
                // The next step may show accounts that this one hides.
                Look::Absent => continue,
                Look::Ambiguous => return Ok(Observation::Ambiguous),
                Look::Found => {}
                Look::Unsupported | Look::Trouble => return Err(answer.trouble(&step)),
            }
            let account = self.account_in(&step, &answer, Outcome::Retry)?;
            if account.id != id {
                return Err(trouble(&step, Outcome::Conflict, "the answer is about another account than the one asked for"));
            }
            let ours = account.external_id.as_deref() == Some(context.external_id);
            return Ok(Observation::Found(Box::new(account), if ours { MatchBy::ExternalId } else { MatchBy::Login }));
        }
        Ok(Observation::Absent)
    }

    pub(super) async fn create(&self, context: Context<'_>, desired: &Desired) -> Result<Account, Trouble> {
        self.model
            .identity
            .accepts(&self.model.identity.canonical(&desired.login))
            .map_err(|problem| trouble("create", Outcome::Invalid, problem.to_string()))?;
        let mut names = self.names_for(Context { login: &desired.login, ..context });
        for (name, value) in &desired.attributes {
            names.set("want", name, value.clone());
        }
        if self.verb(&Verb::Create).iter().any(|call| call.body.reads("members")) {
            names.own.insert("members".to_owned(), self.members_for_create(desired).await?);
        }
        let mut made = Account::default();
        if let Some(answer) = self.all("create", self.verb(&Verb::Create), &mut names).await? {
            made = select::account(&self.model, &self.model.account, &answer.element, &answer.headers);
            if !made.id.is_empty() {
                self.note_etag(&made.id, select::etag(&self.model.account, &answer.element, &answer.headers));
            }
        }
        if made.id.is_empty()
            && let Some(id) = names.own.get("saved").and_then(|saved| saved.get("id")).and_then(|id| plain(id).ok())
        {
            // An answer that shows an id and no account (`Location`, a list of ids).
            made.id = id;
        }
        made = self.create_own(context, made).await?;
        let login_differs = !made.login.is_empty() && !self.model.identity.fold.same(&made.login, &desired.login);
        let id_differs = made.external_id.as_deref().is_some_and(|id| id != context.external_id);
        if login_differs || id_differs {
            return Err(trouble("create", Outcome::InDoubt, "the answer is about another account than the one that was made"));
        }
        if made.id.is_empty() {
            // 201 without a body: look, as after any write that says too little.
            return self.look_again(context, desired).await;
        }
        if made.login.is_empty() {
            made.login = self.model.identity.canonical(&desired.login);
        }
        Ok(made)
    }

    /// A policy's own steps on create, run after the connector's.
    async fn create_own(&self, context: Context<'_>, mut made: Account) -> Result<Account, Trouble> {
        let steps: Vec<&OwnStep> =
            self.steps.iter().flat_map(|steps| &steps.0.steps).filter(|step| step.on_create && !per_member(&step.call)).collect();
        let id = (!made.id.is_empty()).then(|| made.id.clone());
        let mut names = Self::own_names(Context { account_id: id.as_deref().or(context.account_id), ..context });
        let mut is_first = made.id.is_empty();
        let mut wrote = self.model.can(&Verb::Create);
        for step in steps {
            let answer = self.all("create", std::slice::from_ref(&step.call), &mut names).await.map_err(|trouble| {
                let mut trouble = half_done(trouble, "create", wrote);
                // After the account is there, "exists" can only be about something else, and is no reason to look for the account.
                if !is_first && matches!(trouble.outcome, Outcome::Exists) {
                    trouble.outcome = Outcome::Conflict;
                }
                trouble
            })?;
            wrote |= step.call.effect != Effect::Read;
            let Some(answer) = answer else { continue };
            if let (true, Some(id)) = (is_first, names.own.get("id").and_then(|id| plain(id).ok())) {
                is_first = false;
                made.id = id;
                // What the answer says of the login stands beside the id.
                let place = step.call.save.iter().find(|(name, _)| name == "id").map(|(_, place)| place);
                made.login = place.and_then(|place| beside(place, &answer.element)).unwrap_or_default();
            }
        }
        Ok(made)
    }

    async fn look_again(&self, context: Context<'_>, desired: &Desired) -> Result<Account, Trouble> {
        let context = Context { login: &desired.login, ..context };
        for by in crate::connector::Connector::ways(self) {
            match self.look(context, by.into()).await.map_err(|trouble| Trouble { outcome: Outcome::InDoubt, ..trouble })? {
                Observation::Found(account, _) if self.model.identity.fold.same(&account.login, &desired.login) => return Ok(*account),
                Observation::Found(..) | Observation::Ambiguous => break,
                Observation::Absent => {}
            }
        }
        Err(trouble("create", Outcome::InDoubt, "the app says that the account was made, and does not show it"))
    }

    pub(super) async fn update(&self, context: Context<'_>, changes: &BTreeMap<String, Value>) -> Result<Outcome, Trouble> {
        if changes.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        let mut names = self.names_for(context);
        let mut listed = Vec::new();
        for (name, value) in changes {
            names.set("want", name, value.clone());
            listed.push(self.change(name, value)?);
        }
        names.own.insert("changes".to_owned(), Value::Array(listed));
        let mut outcome = Outcome::Unchanged;
        let calls = self.verb(&Verb::Update);
        if let Some(answer) = self.all("update", calls, &mut names).await.inspect_err(|_| self.forget_etag(context))? {
            outcome = answer.outcome;
            if let Some(id) = context.account_id {
                self.note_etag(id, select::etag(&self.model.account, &answer.element, &answer.headers));
            }
        }
        let own = self.steps.iter().flat_map(|steps| &steps.0.steps).filter(|step| step.on_update && !per_member(&step.call));
        let mut names = Self::own_names(context);
        for step in own {
            if let Some(answer) = self.all("update", std::slice::from_ref(&step.call), &mut names).await? {
                outcome = answer.outcome;
            }
        }
        Ok(outcome)
    }

    pub(super) fn forget_etag(&self, context: Context<'_>) {
        if let Some(id) = context.account_id {
            self.note_etag(id, None);
        }
    }

    /// One element of `changes`.
    fn change(&self, name: &str, value: &Value) -> Result<Value, Trouble> {
        let Some(attribute) = self.model.attribute(name) else { return Ok(json!({ "name": name, "path": name, "value": value })) };
        let mut out = value.clone();
        if let Some(write) = &attribute.write {
            let names = Map::from_iter([("value".to_owned(), value.clone())]);
            let written = write.render(&names).map_err(|error| trouble("update", Outcome::Invalid, error.to_string()))?;
            out = written.unwrap_or(Value::Null);
        }
        Ok(json!({ "name": name, "path": attribute.path, "value": out }))
    }
}

/// Runs for memberships, not with create or update itself.
const fn per_member(call: &Call) -> bool {
    matches!(call.each, Some(Each::Added(_) | Each::Removed(_)))
}

/// A create of several steps that stops after the first write: part of it has happened, whatever the step that stopped it says of itself.
fn half_done(mut trouble: Trouble, verb: &str, wrote: bool) -> Trouble {
    // A login may be another one by then, whatever the call after it came to.
    if wrote && (verb == "create" && trouble.outcome == Outcome::Retry || verb == "rename") {
        trouble.outcome = Outcome::InDoubt;
    }
    trouble
}

/// What a step runs for: once without `item`, or once for each element.
fn items(verb: &str, call: &Call, names: &Names<'_>) -> Result<Vec<Option<Value>>, Trouble> {
    let Some(Each::List(template)) = &call.each else { return Ok(vec![None]) };
    match template.render(names) {
        Ok(Value::Array(list)) => Ok(list.into_iter().map(Some).collect()),
        Ok(_) => Err(trouble(&format!("{verb}/{}", call.name), Outcome::Invalid, "`each` needs a list")),
        // A list that the sign-in does not have has no elements.
        Err(_) => Ok(Vec::new()),
    }
}

/// The login that stands beside an id in an answer.
fn beside(place: &crate::connector::model::Extract, element: &Value) -> Option<String> {
    use crate::connector::model::{Place, Pointer};
    let Some(Place::Json(pointer)) = place.from.first() else { return None };
    let around = pointer.0.split_last().map(|(_, around)| Pointer(around.to_vec()))?;
    let record = around.first(element)?;
    ["login", "username", "userName", "user_name"].iter().find_map(|name| record.get(name)?.as_str().map(str::to_owned))
}
