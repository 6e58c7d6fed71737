//! What a scenario needs: the connector's real engine, the scripted app in front of it, people, and the policy that makes accounts of them.

use super::dialect::{Dialect, Member, Say};
use super::server::Server;
use super::table::User;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::connector::engine::{Engine, Limits, ResolvedCredential};
use crate::connector::model::{InitialPassword, MemberVerb, Model, Verb};
use crate::connector::{Context, Trouble};
use crate::entropy::SeededEntropy;
use crate::identity::{Groups, Identity, SubjectId};
use crate::outbound::Transport;
use crate::plan::Desired;
use crate::policy::mapping::{Mapped, desire};
use crate::policy::{Policy, Surroundings, compile};
use crate::source::{Problem, Severity, SourceFile};
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::sync::Arc;

/// When scenarios are played: 2027-01-15.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A connector, its scripted app, and the policy between them.
#[derive(Debug)]
pub(super) struct Backstage {
    pub(super) model: Arc<Model>,
    pub(super) dialect: Arc<Dialect>,
    pub(super) policy: Arc<Policy>,
    base: url::Url,
    settings: Map<String, Value>,
    initial_password: InitialPassword,
}

/// One scenario's app, with the engine that speaks to it.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) app: Arc<Server>,
    pub(super) engine: Arc<Engine>,
    pub(super) clock: Arc<ManualClock>,
}

/// Somebody, and what the policy makes of them.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) identity: Identity,
    pub(super) mapped: Mapped,
    pub(super) external_id: String,
}

impl Person {
    pub(super) fn login(&self) -> &str {
        &self.mapped.desired.login
    }

    pub(super) fn desired(&self) -> &Desired {
        &self.mapped.desired
    }

    /// For the engine; `id` once the account is known.
    pub(super) fn context<'a>(&'a self, id: Option<&'a str>) -> Context<'a> {
        Context {
            scope: &self.mapped.scope,
            external_id: &self.external_id,
            login: self.login(),
            email: self.mapped.email.as_deref(),
            account_id: id,
        }
    }

    /// The account as somebody else made it.
    pub(super) fn user(&self) -> User {
        let named = [("name", &self.identity.name), ("first", &self.identity.given_name), ("last", &self.identity.family_name)];
        let fields = named.into_iter().map(|(field, name)| (field.to_owned(), Value::from(name.clone()))).collect();
        User { login: self.login().to_owned(), email: self.mapped.email.clone(), fields, ..User::default() }
    }
}

impl Backstage {
    pub(super) fn new(model: &Arc<Model>, dialect: &Arc<Dialect>) -> Result<Self, String> {
        let text = policy_text(model, dialect);
        let file = SourceFile::new("policies/kit.toml", text);
        let (policy, problems) = compile(&file, Surroundings { idps: None, connectors: std::slice::from_ref(model) });
        let errors: Vec<String> = problems.iter().filter(|problem| problem.severity == Severity::Error).map(Problem::render).collect();
        let policy = policy.ok_or_else(|| errors.join("\n"))?;
        let provision = policy.provision.as_ref().ok_or("the policy has no [provision]")?;
        Ok(Self {
            model: Arc::clone(model),
            dialect: Arc::clone(dialect),
            base: provision.url.clone(),
            settings: provision.settings.clone(),
            initial_password: provision.initial_password,
            policy: Arc::new(policy),
        })
    }

    /// A fresh app.
    pub(super) fn set(&self) -> Set {
        self.set_with(&|secret| secret.to_owned())
    }

    /// A fresh app, and a credential that it does not know.
    pub(super) fn set_with_bad_credential(&self) -> Set {
        self.set_with(&|_| "not-the-secret".to_owned())
    }

    fn set_with(&self, secret: &dyn Fn(&str) -> String) -> Set {
        let hidden = |text: &String| SecretString::from(secret(text));
        let given = &self.dialect.credential;
        let credential = ResolvedCredential {
            token: given.token.as_ref().map(hidden),
            basic: given.username.clone().zip(given.password.as_ref().map(hidden)),
            headers: given.headers.iter().map(|(name, value)| (name.clone(), hidden(value))).collect(),
            settings: given.settings.iter().map(|(name, value)| (name.clone(), hidden(value))).collect(),
        };
        let app = Arc::new(Server::new(&self.dialect));
        let clock = Arc::new(ManualClock::new(NOW));
        let (transport, time) = (Arc::clone(&app) as Arc<dyn Transport>, Arc::clone(&clock) as Arc<dyn Clock>);
        let (base, settings) = (self.base.clone(), self.settings.clone());
        let engine = Engine::new(Arc::clone(&self.model), None, base, credential, settings, Limits::default(), transport, time);
        let engine = match self.initial_password {
            InitialPassword::Random => engine.with_passwords(Arc::new(SeededEntropy::new(1))),
            InitialPassword::None => engine,
        };
        Set { app, engine: Arc::new(engine), clock }
    }

    /// Somebody called `name`, in these groups of the sign-in.
    pub(super) fn person(&self, name: &str, groups: &[&str]) -> Result<Person, String> {
        let identity = Identity {
            subject: SubjectId { issuer: "https://idp.example".into(), subject: name.into() },
            idp: "corp".into(),
            email: Some(format!("{}@example.com", name.to_lowercase())),
            email_verified: true,
            name: Some(format!("{name} Example")),
            given_name: Some(name.to_owned()),
            family_name: Some("Example".to_owned()),
            username: Some(name.to_owned()),
            groups: Groups::Known(groups.iter().map(|&group| group.to_owned()).collect()),
            claims: Map::new(),
        };
        let mapped = desire(&self.policy, &identity, None).map_err(|error| error.to_string())?;
        Ok(Person { identity, mapped, external_id: format!("kit-{name}") })
    }

    /// As [`Self::person`], under a login of this scenario's choice.
    pub(super) fn called(&self, login: &str) -> Result<Person, String> {
        let mut person = self.person("ann", &[])?;
        login.clone_into(&mut person.mapped.desired.login);
        Ok(person)
    }

    /// The membership that is granted, if the connector grants any.
    pub(super) fn member(&self) -> Option<&Member> {
        let can = |kind: &str, verb| self.model.can(&Verb::Members(kind.to_owned(), verb));
        self.dialect.member.as_ref().filter(|member| can(&member.kind, MemberVerb::Add) || can(&member.kind, MemberVerb::Set))
    }

    /// Whether logins are addresses there.
    pub(super) fn is_login_an_address(&self) -> bool {
        self.person("ann", &[]).is_ok_and(|ann| ann.login().contains('@'))
    }
}

impl Set {
    /// Puts an account there, as somebody else's work; its id.
    pub(super) fn put(&self, dialect: &Dialect, user: User) -> String {
        self.app.table().add(dialect, user)
    }

    pub(super) fn count(&self) -> usize {
        self.app.table().users.len()
    }
}

/// What a call came to, in the words of the table.
pub(super) fn words(trouble: &Trouble) -> String {
    let outcome = trouble.outcome;
    if trouble.detail.is_empty() { outcome.to_string() } else { format!("{outcome}: {}", trouble.detail) }
}

/// An answer that is not the app's.
pub(super) fn html(status: u16) -> Say {
    let text = "<!doctype html><html><body><h1>Something went wrong</h1><form action=/login></form></body></html>";
    Say { status, text: Some(text.to_owned()), ..Say::default() }
}

/// The policy that a scenario's sign-ins go by.
fn policy_text(model: &Model, dialect: &Dialect) -> String {
    let mut out = format!(
        "host = \"kit.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n{}\n[provision]\nconnector = \"{}\"\nurl = \"http://app.example{}\"\n{}\n",
        dialect.policy, model.name, dialect.base, dialect.provision
    );
    let given = &dialect.credential;
    if given.token.is_some() {
        out.push_str("token = \"cred:kit\"\n");
    }
    if let Some(user) = &given.username {
        let _infallible = writeln!(out, "username = \"{user}\"\npassword = \"cred:kit\"");
    }
    if !given.headers.is_empty() {
        out.push_str("[provision.headers]\n");
        for name in given.headers.keys() {
            let _infallible = writeln!(out, "{name} = {{ secret = \"cred:kit\" }}");
        }
    }
    if !given.settings.is_empty() || !dialect.settings.is_empty() {
        let _infallible = writeln!(out, "[provision.settings]\n{}", dialect.settings);
        for name in given.settings.keys() {
            let _infallible = writeln!(out, "{name} = \"cred:kit\"");
        }
    }
    out
}
