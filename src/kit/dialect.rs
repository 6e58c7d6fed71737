//! A scripted app as data: what an account looks like there, and what each request does.
//!
//! Apart because this is what somebody writes who has an app's documents and no app: shapes and answers, no logic. It never knows what the requests come from.

use crate::source::{self, Node, SourceFile, Written};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The scripted apps that are built in, by connector; `CONNECTOR-VARIANT` is one that speaks it in another way.
const FILES: [(&str, &str); 24] = [
    ("scim", include_str!("dialects/scim.toml")),
    ("scim-entra", include_str!("dialects/scim-entra.toml")),
    ("scim-okta", include_str!("dialects/scim-okta.toml")),
    ("scim-nofilter", include_str!("dialects/scim-nofilter.toml")),
    ("grafana", include_str!("dialects/grafana.toml")),
    ("jupyterhub", include_str!("dialects/jupyterhub.toml")),
    ("forgejo", include_str!("dialects/gitea.toml")),
    ("gitea", include_str!("dialects/gitea.toml")),
    ("gitlab", include_str!("dialects/gitlab.toml")),
    ("keycloak", include_str!("dialects/keycloak.toml")),
    ("nexus3", include_str!("dialects/nexus3.toml")),
    ("netbox", include_str!("dialects/netbox.toml")),
    ("nextcloud", include_str!("dialects/nextcloud.toml")),
    ("mattermost", include_str!("dialects/mattermost.toml")),
    ("jenkins", include_str!("dialects/jenkins.toml")),
    ("sonarqube", include_str!("dialects/sonarqube.toml")),
    ("metabase", include_str!("dialects/metabase.toml")),
    ("discourse", include_str!("dialects/discourse.toml")),
    ("airflow", include_str!("dialects/airflow.toml")),
    ("redmine", include_str!("dialects/redmine.toml")),
    ("zabbix", include_str!("dialects/zabbix.toml")),
    ("synapse", include_str!("dialects/synapse.toml")),
    ("influxdb", include_str!("dialects/influxdb.toml")),
    ("superset", include_str!("dialects/superset.toml")),
];

/// Names of the scripted apps that are built in: those of connectors, and their variants (`scim-okta`).
pub fn dialects() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// The scripted app called `name`, which is a connector's or `CONNECTOR-VARIANT`; `None`: there is none.
///
/// # Errors
/// As [`Dialect::parse`].
pub fn scripted(name: &str) -> Option<Result<Arc<Dialect>, String>> {
    let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
    Some(Dialect::parse(&SourceFile::new(format!("{name}.toml"), *text)).map(Arc::new))
}

/// The connector that a scripted app is for: its own name, or what stands before its variant.
pub fn connector_of(name: &str) -> &str {
    name.split_once('-').map_or(name, |(connector, _)| connector)
}

/// A scripted app.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// Path of the admin API, e.g. `/hub/api`.
    #[serde(default)]
    pub(super) base: String,
    /// What ids are.
    #[serde(default)]
    pub(super) ids: Ids,
    /// An id that is made of the login: `@{login}:kit.example`. With `ids = "login"`.
    pub(super) id: Option<String>,
    /// When the app takes two logins for one.
    #[serde(default)]
    pub(super) same_login: SameLogin,
    /// Whether an e-mail address may be only one account's.
    #[serde(default = "yes")]
    pub(super) unique_email: bool,
    /// What a login may be there; absent: anything.
    pub(super) logins: Option<String>,
    /// A login that the app does not take.
    #[serde(default = "bad_login")]
    pub(super) bad_login: String,
    /// What `{status}` is of an account that is on, and of one that is off.
    #[serde(default = "status")]
    pub(super) status: (Value, Value),
    /// What `{rank}` is of an account like any other, and of an administrator's.
    #[serde(default = "rank")]
    pub(super) rank: (Value, Value),
    /// Fields that every account has from its beginning.
    #[serde(default)]
    pub(super) fields: Map<String, Value>,
    /// What the gateway is given.
    #[serde(default)]
    pub(super) credential: Credential,
    /// What each admin request must carry: header (lower case) and what it must contain.
    #[serde(default)]
    pub(super) demands: BTreeMap<String, String>,
    /// Answer to a request without that.
    #[serde(default = "refused")]
    pub(super) refuse: Say,
    /// Answer to a request that no route knows.
    #[serde(default = "not_found")]
    pub(super) nothing: Say,
    /// Sections of the policy: `[user]`, `[roles]`, `[[org]]`.
    #[serde(default)]
    pub(super) policy: String,
    /// Lines of `[provision]` besides connector, url and credential.
    #[serde(default)]
    pub(super) provision: String,
    /// Lines of `[provision.settings]` besides its secrets.
    #[serde(default)]
    pub(super) settings: String,
    /// The membership that is granted.
    pub(super) member: Option<Member>,
    /// Groups that are there, by kind.
    #[serde(default)]
    pub(super) groups: BTreeMap<String, Vec<Group>>,
    /// An account, as shown.
    pub(super) user: Value,
    /// An account as some routes show it, by name.
    #[serde(default)]
    pub(super) shapes: BTreeMap<String, Value>,
    /// A group, as shown, by kind.
    #[serde(default)]
    pub(super) group: BTreeMap<String, Value>,
    /// A membership, as the account shows it, by kind; names `id name role`.
    #[serde(default)]
    pub(super) membership: BTreeMap<String, Value>,
    /// What requests do.
    pub(super) route: Vec<Route>,
}

const fn yes() -> bool {
    true
}

fn bad_login() -> String {
    "no good\u{1}name".to_owned()
}

fn status() -> (Value, Value) {
    ("active".into(), "disabled".into())
}

fn rank() -> (Value, Value) {
    ("user".into(), "admin".into())
}

fn refused() -> Say {
    Say { status: 401, ..Say::default() }
}

fn not_found() -> Say {
    Say { status: 404, ..Say::default() }
}

/// What ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ids {
    #[default]
    Number,
    Text,
    /// The login is the id.
    Login,
}

/// When two logins are one, there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SameLogin {
    Exact,
    #[default]
    AsciiLower,
}

/// What the gateway is given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) token: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Settings of the connector that are secrets.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
}

/// The membership that the kit grants, and one that somebody gives by hand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) kind: String,
    /// As the policy calls it.
    pub(super) name: String,
    pub(super) role: Option<String>,
    /// Another one.
    pub(super) other: String,
    /// Group of the sign-in that brings it.
    pub(super) from: String,
}

/// A group that is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) id: Value,
    pub(super) name: String,
    /// Whether whoever is in it is switched off.
    #[serde(default)]
    pub(super) off: bool,
    /// Whether whoever is in it is an administrator.
    #[serde(default)]
    pub(super) admin: bool,
    /// What else of it is shown.
    #[serde(default)]
    pub(super) more: Map<String, Value>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    #[serde(default = "ok")]
    pub(super) status: u16,
    /// JSON, over the names of the request and the account.
    pub(super) body: Option<Value>,
    /// HTML instead.
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

const fn ok() -> u16 {
    200
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// Nothing.
    Say,
    User,
    Users,
    Create,
    /// Makes the account, or changes it.
    Upsert,
    Update,
    Delete,
    Group,
    Groups,
    MakeGroup,
    Join,
    Leave,
    /// Of an account.
    Memberships,
}

/// By what an account is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    #[default]
    Id,
    Login,
    Email,
    ExternalId,
    /// Login or e-mail address.
    Either,
    /// Any of them, and the full name.
    Any,
}

/// How a search compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    #[default]
    Exact,
    Fold,
    Prefix,
    Contains,
    /// As a filter in short: `*` is everybody, `~ann` contains, `!ann` is not, `ann|bob` is either.
    Short,
}

/// Pages of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pages {
    /// Where the request says which page.
    pub(super) at: String,
    /// The first page's number, or the first element's.
    #[serde(default)]
    pub(super) first: u64,
    /// Whether it counts elements.
    #[serde(default)]
    pub(super) elements: bool,
    /// Most on a page, whatever is asked for.
    pub(super) most: usize,
}

/// Memberships in a body: the whole list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whole {
    pub(super) kind: String,
    pub(super) from: String,
    /// Where an element shows the id; absent: it is the id.
    pub(super) id: Option<String>,
    /// Whether it names them instead.
    #[serde(default)]
    pub(super) named: bool,
    /// Whether they come besides what is there.
    #[serde(default)]
    pub(super) adds: bool,
    /// Whether they are taken away.
    #[serde(default)]
    pub(super) removes: bool,
}

/// A request, and what becomes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "a file says each of them by its name")]
pub(super) struct Route {
    /// `GET /users/{id}`.
    pub(super) on: String,
    /// Only when the request has all of these, e.g. `query.username`.
    #[serde(default)]
    pub(super) when: Vec<String>,
    /// Only when these are so, whole, as regular expressions: `"body.method" = "user.get"`. What their groups hold is `found.NAME`.
    #[serde(default)]
    pub(super) having: BTreeMap<String, String>,
    /// What a body must have and not be empty; else the answer is `invalid`.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    /// One of `shapes`: how accounts are shown here; absent: as everywhere.
    pub(super) shape: Option<String>,
    /// Refused unless these are so.
    #[serde(default)]
    pub(super) expect: BTreeMap<String, String>,
    /// Part of signing in to the admin API: what is demanded of the others is not demanded of it, and no fault befalls it.
    #[serde(default)]
    pub(super) open: bool,
    #[serde(rename = "do")]
    pub(super) act: Act,
    #[serde(default)]
    pub(super) kind: String,
    /// Where the account is named.
    #[serde(default)]
    pub(super) who: String,
    #[serde(default)]
    pub(super) by: By,
    #[serde(default)]
    pub(super) how: How,
    /// Accounts that are switched off are not there: a list leaves them out, and a path that names one is answered with `absent`.
    #[serde(default)]
    pub(super) hides_disabled: bool,
    /// Where a list is asked for those who are on (`true`) or those who are off (`false`).
    #[serde(default)]
    pub(super) only: String,
    /// Where the group is named.
    #[serde(default)]
    pub(super) group: String,
    /// Whether by its name.
    #[serde(default)]
    pub(super) group_named: bool,
    #[serde(default)]
    pub(super) role: String,
    /// The role that is given, whatever the request says.
    pub(super) gives: Option<String>,
    /// As what a membership still stands in lists that was taken back.
    pub(super) leaves: Option<String>,
    /// Fields of the account, and where the request has them.
    #[serde(default)]
    pub(super) read: BTreeMap<String, String>,
    /// Fields of the account as they become.
    #[serde(default)]
    pub(super) set: Map<String, Value>,
    #[serde(default)]
    pub(super) members: Vec<Whole>,
    pub(super) pages: Option<Pages>,
    #[serde(default = "fine")]
    pub(super) ok: Say,
    #[serde(default = "not_found")]
    pub(super) absent: Say,
    /// A create of an account that is switched off switches it on.
    #[serde(default)]
    pub(super) revives: bool,
    /// Of an upsert that made the account.
    pub(super) made: Option<Say>,
    /// Of a list with nothing on it.
    pub(super) empty: Option<Say>,
    pub(super) exists: Option<Say>,
    pub(super) taken: Option<Say>,
    pub(super) invalid: Option<Say>,
    pub(super) no_group: Option<Say>,
    pub(super) member: Option<Say>,
    pub(super) not_member: Option<Say>,
    /// To a change of an account with the field `external`: one that the app takes for somebody else's to change.
    pub(super) external: Option<Say>,
    /// The role in a group whose last holder `last_admin` is about; absent: administrators of the app.
    pub(super) admins: Option<String>,
    /// The app keeps its last administrator.
    pub(super) last_admin: Option<Say>,
}

fn fine() -> Say {
    Say { status: 200, ..Say::default() }
}

impl Dialect {
    /// Reads a dialect file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(file: &SourceFile) -> Result<Self, String> {
        let (table, problems) = source::parse(file);
        if let Some(problem) = problems.first() {
            return Err(problem.render());
        }
        let value = Value::Object(table.entries.iter().map(|entry| (entry.key.clone(), plain(&entry.node))).collect());
        serde_json::from_value(value).map_err(|error| format!("{}: {error}", file.name))
    }
}

fn plain(node: &Node) -> Value {
    match &node.value {
        Written::Text(text) | Written::Date(text) => Value::from(text.clone()),
        Written::Integer(number) => Value::from(*number),
        Written::Float(number) => Value::from(*number),
        Written::Bool(yes) => Value::from(*yes),
        Written::List(list) => Value::Array(list.iter().map(plain).collect()),
        Written::Table(table) => Value::Object(table.entries.iter().map(|entry| (entry.key.clone(), plain(&entry.node))).collect()),
    }
}
