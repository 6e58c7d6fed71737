//! What an upstream's policy file means.
//!
//! Lives here: [`Policy`] and its parts, compiled and ready to evaluate. `schema.rs` is the table of keys, `compile.rs` turns a file as
//! written into these types, `evaluate.rs` decides, `explain.rs` says why, `mapping.rs` makes the account an identity should have. Pure: no IO, no
//! clock, no random source. A value of type [`Policy`] cannot be wrong; every problem was reported when it was compiled.

pub mod compile;
mod domains;
pub mod evaluate;
pub mod explain;
pub mod glob;
pub mod landing;
pub mod leavers;
pub mod mapping;
pub mod messages;
pub mod path;
mod reads;
pub mod request_pattern;
pub mod schema;
pub mod sections;
pub mod sign_in;
pub mod switches;

pub use compile::{Surroundings, compile};
pub(crate) use compile::{compile_parsed, connector_file, revision, written_roles};
pub use evaluate::{Admitted, Facts, Refusal, Rule, SignedIn, evaluate, evaluate_by, ways};
pub use glob::Glob;
pub use landing::{Arrival, Landing};
pub use leavers::{Drift, Freshness, Leavers};
pub use path::{CanonicalPath, EncodedSlashes, PathPattern, PathProblem};
pub use request_pattern::{RequestPattern, RequestProblem};
pub use sections::PathSections;
pub use sign_in::SignIn;
pub use switches::Switches;

use crate::config::SecretRef;
use crate::connector::model::{Credential, InitialPassword, Model, Steps};
use crate::expr::{Condition, FirstOf};
use crate::identity::Way;
use crate::source::Span;
use core::fmt;
use core::net::IpAddr;
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The provider of a policy that is looked at without its gateway.
pub const ANY_IDP: &str = "any";

/// One upstream's policy.
#[derive(Debug)]
pub struct Policy {
    /// File stem, e.g. `redmine`: names the app in metrics, logs, records.
    pub name: String,
    /// File as printed in messages, e.g. `policies/redmine.toml`.
    pub file: String,
    /// First 12 hex digits of the SHA-256 of the file; stamped on records and audit events.
    pub revision: String,
    /// The app's name on pages: `title`, else the file stem with a capital.
    pub title: String,
    /// Host that people type, lower case, without port.
    pub host: String,
    /// Where requests go.
    pub upstream: Upstream,
    /// How to sign in.
    pub login: Login,
    /// What every request must satisfy.
    pub access: Gate,
    /// `policies/redmine.toml:12`: where `[login]` stands (the file, when it is left out).
    pub login_place: String,
    /// Where `[access]` stands.
    pub access_place: String,
    /// `[access] contact`, printed on refusals.
    pub contact: Option<String>,
    /// `[access] help`, a link printed on refusals.
    pub help: Option<String>,
    /// `[messages]`: own words for refusals.
    pub messages: messages::Messages,
    /// `[[path]]` sections, all of which apply where they match.
    pub paths: PathSections,
    /// `encoded_slashes`.
    pub encoded_slashes: EncodedSlashes,
    /// `[bearer]`; absent means that tokens are nothing here.
    pub bearer: Option<Bearer>,
    /// `[user]`.
    pub user: UserMapping,
    /// `[roles]`.
    pub roles: Option<Roles>,
    /// `[[org]]` sections.
    pub orgs: Vec<Org>,
    /// `[vars]`, as JSON.
    pub vars: Map<String, Value>,
    /// `[provision]`; absent means that the app needs no account made.
    pub provision: Option<Provision>,
    /// `[headers]`, in the order of the file.
    pub headers: Vec<Header>,
    /// Headers of `[headers]` whose value is a secret that gateway and application share; sent with every request, public ones too.
    pub secret_headers: Vec<SecretHeader>,
    /// `[jwt]`.
    pub jwt: Option<Jwt>,
    /// `[sign_in]`, and what the connector knows of it.
    pub sign_in: SignIn,
    /// `[[test]]` blocks, as written; `rehearse/` runs them.
    pub tests: Vec<PolicyTest>,
}

/// A `[[test]]` block, as written.
#[derive(Debug, Clone)]
pub struct PolicyTest {
    /// Where it stands, e.g. `policies/redmine.toml:140`.
    pub place: String,
    /// What it shows.
    pub name: String,
    /// The sign-in, by the names of policies; absent: nobody has signed in.
    pub user: Option<Map<String, Value>>,
    /// Path that is asked for.
    pub get: String,
    /// Address of the client.
    pub ip: Option<IpAddr>,
    /// How long ago they signed in, milliseconds.
    pub age_ms: i64,
    /// What must come of it: `access`, `because`, `name`, `role`, `roles`, `orgs`, `extra`, `landing`, `headers`…
    pub expect: Map<String, Value>,
    /// Calls to the admin API, in order.
    pub calls: Option<Vec<String>>,
    /// An account that is there already, as the app shows it, or a list of such.
    pub existing: Option<Value>,
    /// Where its parts stand in the file.
    pub spans: TestSpans,
}

/// Where the parts of a `[[test]]` stand. Prints nothing of it: the same policy in TOML and in JSON is the same.
#[derive(Clone, Default)]
pub struct TestSpans {
    /// Its name.
    pub name: Span,
    /// Its user.
    pub user: Option<Span>,
    /// Its path.
    pub get: Option<Span>,
    /// Values of `expect`, by key.
    pub expect: Vec<(String, Span)>,
    /// Its calls.
    pub calls: Option<Span>,
}

impl fmt::Debug for TestSpans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestSpans")
    }
}

impl Policy {
    /// Where a section stands, e.g. `policies/redmine.toml:23`: for logs and `explain`, never for the person.
    pub fn place(&self, rule: Rule) -> &str {
        match rule {
            Rule::Login => &self.login_place,
            Rule::Access => &self.access_place,
            Rule::Path(index) => self.paths.get(index).map_or(self.file.as_str(), |section| section.place.as_str()),
        }
    }

    /// `[access] recheck`: a refusal that rests on a sign-in older than this is looked at once more, milliseconds.
    pub fn recheck_ms(&self) -> i64 {
        self.access.recheck_ms.unwrap_or(RECHECK_MS)
    }
}

/// The application behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Whether to speak TLS to it.
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Milliseconds to wait for a connection.
    pub connect_timeout_ms: u64,
    /// Milliseconds to wait for the response head.
    pub response_timeout_ms: u64,
}

impl Upstream {
    /// Which server it is: `scheme://host:port`, an IPv6 address in brackets.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') { format!("{scheme}://[{}]:{}", self.host, self.port) } else { format!("{scheme}://{}:{}", self.host, self.port) }
    }
}

/// `[login]`.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Providers that may vouch, by id; one means no picker. Never empty after compilation.
    pub idp: Vec<String>,
    /// A sign-in older than this is repeated at the provider.
    pub max_age_ms: Option<i64>,
    /// Where people land after signing in; `None`: at the requested page.
    pub landing: Option<Landing>,
    /// Where a person whose account was just made lands; `None`: as everybody.
    pub landing_new: Option<Landing>,
    /// Where a person whose account was there before the gateway lands; `None`: as everybody.
    pub landing_existing: Option<Landing>,
    /// A path of the app, canonical, at which anybody may begin a sign-in; never forwarded.
    pub portal: Option<String>,
    /// The app's own sign-in: refused at the door, the connector's list included.
    pub block_paths: Vec<RequestPattern>,
    /// Group patterns of people who may use the app's own sign-in all the same.
    pub break_glass: Vec<Glob>,
}

/// How old a sign-in is at most that refuses somebody for good, where `[access] recheck` does not say, in milliseconds.
const RECHECK_MS: i64 = 60_000;

/// What a request must satisfy; `None` or an empty list asks nothing. Different keys: all must hold. Values in a list: any.
#[derive(Debug, Default)]
pub struct Gate {
    /// `everyone = true`: any signed-in person.
    pub everyone: bool,
    /// Verified e-mail domain, lower case: exact, or `*.example.com` for everything below it; any of.
    pub domains: Vec<String>,
    /// Group patterns; any of.
    pub groups: Vec<Glob>,
    /// Group patterns that always refuse.
    pub deny_groups: Vec<Glob>,
    /// Networks of the client; any of.
    pub networks: Vec<IpNet>,
    /// HTTP methods, upper case; any of.
    pub methods: Vec<String>,
    /// CEL condition.
    pub when: Option<Condition>,
    /// Sign-in no older than this.
    pub max_age_ms: Option<i64>,
    /// `[access] recheck` only: see [`Policy::recheck_ms`].
    pub recheck_ms: Option<i64>,
}

/// A `[[path]]` section.
#[derive(Debug)]
pub struct PathSection {
    /// `policies/redmine.toml:23`, for logs and `explain`.
    pub place: String,
    /// Patterns over the canonical path; any of.
    pub patterns: Vec<PathPattern>,
    /// No sign-in needed, no identity sent.
    pub public: bool,
    /// What else must hold here.
    pub gate: Gate,
    /// `auth`: how people may show who they are.
    pub auth: Ways,
    /// `headers`, besides those of `[headers]`.
    pub headers: Vec<Header>,
    /// `headers` whose value is a secret; sent to these paths and no others.
    pub secret_headers: Vec<SecretHeader>,
}

impl PathSection {
    /// Whether what the section *gives* (headers, the way in by a token) is given for `path`: only where its exact bytes fit, as a public section opens.
    pub fn gives(&self, path: &CanonicalPath<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.opens(path))
    }
}

/// Ways to show who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// The cookie of a session.
    pub session: bool,
    /// An access token.
    pub bearer: bool,
}

impl Ways {
    /// Browsers only: what a section says that says nothing.
    pub const SESSION: Self = Self { session: true, bearer: false };

    /// Whether `way` is one of them.
    pub const fn accept(self, way: Way) -> bool {
        match way {
            Way::Session => self.session,
            Way::Bearer => self.bearer,
        }
    }
}

impl Default for Ways {
    fn default() -> Self {
        Self::SESSION
    }
}

/// `[bearer]`: access tokens that the provider issued for this application's API (RFC 9068).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The provider, by id.
    pub idp: String,
    /// `aud` that a token must carry.
    pub audience: String,
    /// Scopes that a token must carry, all of them.
    pub scopes: Vec<String>,
    /// Whether a token may make an account, as a sign-in does.
    pub provision: bool,
}

/// `[user]`: the account as the app should see it.
#[derive(Debug)]
pub struct UserMapping {
    /// Login name.
    pub name: FirstOf,
    /// E-mail address.
    pub email: FirstOf,
    /// Display name.
    pub display: FirstOf,
    /// Further attributes by key, the connector's own attribute names included.
    pub extra: Vec<(String, FirstOf)>,
    /// Attributes that must be present before anything is created: names of the sign-in's attributes (`given_name`, `claims.x`).
    pub required: Vec<String>,
    /// Longest login, in characters; a longer one is cut. The connector's own limit counts besides.
    pub name_max: Option<usize>,
    /// Attributes of the connector that are not sent. (`email` and `display` of `[user]` have no template then.)
    pub omit: Vec<String>,
    /// What to do when the login is taken by an account that is not this person's.
    pub on_collision: OnCollision,
    /// What to do with a value that looks wrongly decoded.
    pub on_suspect: OnSuspect,
}

/// `on_suspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSuspect {
    /// No account is made of it.
    #[default]
    Refuse,
    /// It is taken as it is.
    Accept,
}

/// `on_collision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnCollision {
    /// A conflict, for a human.
    #[default]
    Refuse,
    /// `ada-lovelace-2`.
    Suffix,
    /// `ada-lovelace-9f2c01ab3d`: the same person always gets the same.
    Hash,
}

/// `[roles]`.
#[derive(Debug)]
pub struct Roles {
    /// Group pattern to role, in the order of the file.
    pub map: Vec<(Glob, String)>,
    /// One role, or all that apply.
    pub pick: Pick,
    /// Roles from highest to lowest, where the connector has no order; empty: the order of the map.
    pub order: Vec<String>,
    /// Given when no group maps.
    pub default: Option<String>,
    /// When roles are applied.
    pub sync: Sync,
    /// Whether nobody goes in whose role could not be given.
    pub required: bool,
}

/// `[roles] pick`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    /// The highest in the connector's order, else in the order of the map.
    #[default]
    Highest,
    /// Every role that a group maps to.
    All,
}

/// `sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// Kept in step at every sign-in.
    #[default]
    Login,
    /// Only when the account is made.
    Create,
    /// Never.
    Never,
}

/// `[[org]]`.
#[derive(Debug)]
pub struct Org {
    /// The app's id of the organisation.
    pub id: Value,
    /// Whom it is for; empty: everyone.
    pub groups: Vec<Glob>,
    /// Role in it; may use `{role}`. No candidate at all: the connector's default role.
    pub role: FirstOf,
    /// Whether nobody goes in who could not be made a member.
    pub required: bool,
}

/// `[provision]`.
#[derive(Debug)]
pub struct Provision {
    /// The connector that speaks to the app; a policy's own steps are compiled into one.
    pub connector: Arc<Model>,
    /// Base of the admin API, no trailing slash.
    pub url: url::Url,
    /// Credentials and headers that every admin call carries.
    pub credential: Credential,
    /// A connector's settings that this policy gave (`[provision.settings]`).
    pub settings: Map<String, Value>,
    /// What to do with an account that was there before.
    pub on_existing: OnExisting,
    /// How an existing account is recognised; empty: an existing account is a conflict.
    pub match_by: Vec<MatchBy>,
    /// Who gets an account, when, and what may be done with one that is there.
    pub switches: Switches,
    /// What becomes of the accounts of people who leave.
    pub leavers: Leavers,
    /// How long it is believed that an account is as it was.
    pub freshness: Freshness,
    /// What becomes of what somebody has changed at the app.
    pub drift: Drift,
    /// Milliseconds for one admin call.
    pub timeout_ms: u64,
    /// Further tries after a transient failure.
    pub retries: u32,
    /// The policy's own find and steps, for `connector = "rest"`.
    pub steps: Option<Steps>,
    /// What becomes of the password of a new account.
    pub initial_password: InitialPassword,
    /// An authority or a certificate of its own, for the connection to the admin API.
    pub tls: Option<AdminTls>,
    /// Calls under way at once while somebody waits.
    pub concurrency: usize,
    /// Calls a second; `None`: as fast as it answers.
    pub rate: Option<u32>,
}

/// `[provision] ca`, `client_cert`, `client_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// Authorities besides those of the system.
    pub ca: Option<std::path::PathBuf>,
    /// What this gateway shows of itself: chain and private key.
    pub client: Option<(std::path::PathBuf, SecretRef)>,
}

/// `on_existing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExisting {
    /// Take it over: keep attributes and roles in step.
    Adopt,
    /// Let the person in, change nothing.
    Leave,
    /// A conflict, with a page.
    #[default]
    Refuse,
}

/// `match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchBy {
    /// The id this gateway wrote into the app.
    ExternalId,
    /// The login name.
    Login,
    /// The e-mail address, verified only.
    Email,
}

/// A header to inject.
#[derive(Debug)]
pub struct Header {
    /// Lower-case name.
    pub name: http::HeaderName,
    /// Name as written, for apps that mind case.
    pub written: String,
    /// Value; nothing set means that the header is left out.
    pub value: FirstOf,
    /// How non-ASCII is written.
    pub encoding: Encoding,
}

/// `X-From-Gateway = { secret = "cred:NAME" }`: tells the application that a request came through the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// Lower-case name.
    pub name: http::HeaderName,
    /// Where the value is; read whenever the configuration is loaded.
    pub secret: SecretRef,
}

/// `encoding` of header values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Raw UTF-8 bytes.
    #[default]
    Utf8,
    /// RFC 2047 encoded words.
    Rfc2047,
    /// Percent-encoded UTF-8.
    Percent,
}

/// `[jwt]`.
#[derive(Debug)]
pub struct Jwt {
    /// Header that carries the token.
    pub header: http::HeaderName,
    /// What stands before it there.
    pub prefix: String,
    /// Signed under this secret, with HS256; `None`: with the gateway's own key.
    pub secret: Option<SecretRef>,
    /// `aud`.
    pub audience: String,
    /// Lifetime in milliseconds, at most 5 minutes.
    pub ttl_ms: i64,
    /// Further claims.
    pub claims: Vec<(String, FirstOf)>,
}
