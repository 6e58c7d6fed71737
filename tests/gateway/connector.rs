//! Connectors against scripted admin APIs: whom they find, what they send, and what they make of trouble.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should stop")]

use crate::fake_admin::{FakeAdmin, Fault, Flavour, User, scim_filter};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use vestibule::clock::{ManualClock, Timestamp};
use vestibule::connector::model::{Model, Steps};
use vestibule::connector::{Connector, Context, Engine, Limits, Observation, Outcome, ResolvedCredential, Trouble, builtin};
use vestibule::expr::{Env, Type};
use vestibule::outbound::HyperTransport;
use vestibule::plan::{Account, Desired, Step};
use vestibule::policy::MatchBy;
use vestibule::source::{self, Problem, SourceFile};

pub(crate) const TOKEN: &str = "swordfish-4711";

/// The provisioning part of the Redmine example.
pub(crate) const REDMINE: &str = r#"
[find]
get   = "/users.json?name={user.email}"
list  = "users"
where = "lower(item.mail) == user.email"
id    = "id"

[[step]]
name = "create the account"
on   = "create"
post = "/users.json"
save = { id = "user.id" }
[step.body]
send_information = false
[step.body.user]
login             = "{user.name}"
firstname         = "{given_name}"
lastname          = "{family_name}"
mail              = "{user.email}"
generate_password = true
custom_fields     = [
  { id = 3, value = "{user.extra.employee_id}" },
  { id = 4, value = "{user.extra.department}" },
]

[[step]]
name = "join groups"
on   = ["create", "update"]
each = "roles.added"
post = "/groups/{vars.group_id[item]}/users.json"
body = { user_id = "{id}" }
ok   = [204, 422]

[[step]]
name   = "leave groups"
on     = "update"
each   = "roles.removed"
delete = "/groups/{vars.group_id[item]}/users/{id}.json"
ok     = [204, 404]
"#;

pub(crate) fn vars() -> Map<String, Value> {
    let Value::Object(vars) = json!({ "group_id": { "Manager": 12, "Developer": 14 } }) else { panic!("an object") };
    vars
}

pub(crate) fn own_steps(text: &str) -> (Option<Steps>, Vec<Problem>) {
    let file = SourceFile { name: "policies/app.toml".into(), text: text.into() };
    let (table, problems) = source::parse(&file);
    assert!(problems.is_empty(), "{problems:?}");
    let env = Env::sign_in().with_user([("employee_id", Type::Text), ("department", Type::Text)]).with_roles().with_vars(&vars());
    let steps = table.get("step").and_then(|entry| entry.node.as_list()).unwrap_or_default();
    Steps::parse(&file, table.get("find").map(|entry| &entry.node), steps, &env)
}

fn render(problems: &[Problem]) -> String {
    problems.iter().map(Problem::render).collect()
}

pub(crate) fn engine(fake: &FakeAdmin, flavour: Flavour, settings: &Value) -> Engine {
    engine_at(fake, flavour, settings, Arc::new(ManualClock::new(Timestamp::from_seconds(784_111_777))))
}

/// As [`engine`], by this clock.
pub(crate) fn engine_at(fake: &FakeAdmin, flavour: Flavour, settings: &Value, clock: Arc<ManualClock>) -> Engine {
    let (name, steps) = match flavour {
        Flavour::Grafana => ("grafana", None),
        Flavour::Scim => ("scim", None),
        Flavour::Hub => ("jupyterhub", None),
        Flavour::Redmine => {
            let (steps, problems) = own_steps(REDMINE);
            assert!(problems.is_empty(), "{}", render(&problems));
            ("rest", steps)
        }
    };
    let model = builtin::named(name).expect("built in");
    let file = SourceFile { name: "policy".into(), text: "".into() };
    let (mut all, _) = model.settings(&file, None);
    all.extend(settings.as_object().cloned().unwrap_or_default());
    let credential = ResolvedCredential { token: Some(TOKEN.to_owned().into()), ..ResolvedCredential::default() };
    let limits = Limits { timeout_ms: 1_000, ..Limits::default() };
    Engine::new(model, steps, fake.url.clone(), credential, all, limits, Arc::new(HyperTransport::new([]).expect("transport")), clock)
}

async fn start(flavour: Flavour) -> (FakeAdmin, Engine) {
    let fake = FakeAdmin::start(flavour).await;
    let engine = engine(&fake, flavour, &json!({}));
    (fake, engine)
}

const ALL: [Flavour; 3] = [Flavour::Scim, Flavour::Hub, Flavour::Redmine];

/// A person: what a connector knows of them.
struct Person {
    scope: Map<String, Value>,
    login: String,
    email: String,
}

impl Person {
    fn new(login: &str, email: &str) -> Self {
        let user = json!({ "name": login, "email": email, "display": "Ann Example", "extra": { "department": "R&D" } });
        let scope = json!({ "user": user, "given_name": "Ann", "family_name": "Example", "vars": vars(), "roles": [], "orgs": [] });
        let Value::Object(scope) = scope else { panic!("an object") };
        Self { scope, login: login.to_owned(), email: email.to_owned() }
    }

    fn context(&self) -> Context<'_> {
        Context { scope: &self.scope, external_id: "vst-0a1b2c", login: &self.login, email: Some(&self.email), account_id: None }
    }

    fn desired(&self) -> Desired {
        let attributes =
            [("email", json!(self.email)), ("displayName", json!("Ann Example")), ("givenName", json!("Ann")), ("familyName", json!("Example"))];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
        Desired { login: self.login.clone(), attributes, memberships: BTreeMap::default() }
    }

    async fn find(&self, engine: &Engine) -> Result<Observation, Trouble> {
        engine.find(self.context(), &engine.ways()).await
    }

    async fn create(&self, engine: &Engine) -> Result<Account, Trouble> {
        engine.apply(self.context(), &Step::Create(self.desired())).await.map(|(outcome, account)| {
            assert_eq!(outcome, Outcome::Created);
            account.expect("a create gives the account")
        })
    }

    async fn member(&self, engine: &Engine, id: &str, step: Step) -> Result<Outcome, Trouble> {
        engine.apply(Context { account_id: Some(id), ..self.context() }, &step).await.map(|(outcome, _)| outcome)
    }
}

fn ann() -> Person {
    Person::new("ann", "ann@example.com")
}

fn user(login: &str, email: &str) -> User {
    User { login: login.to_owned(), email: Some(email.to_owned()), ..User::default() }
}

fn outcome<T: std::fmt::Debug>(result: Result<T, Trouble>) -> Outcome {
    result.expect_err("trouble").outcome
}

fn found(observation: Observation) -> Account {
    match observation {
        Observation::Found(account, _) => *account,
        other @ (Observation::Absent | Observation::Ambiguous) => panic!("nobody found: {other:?}"),
    }
}

fn add(member: &str) -> Step {
    let kind = |member: &str| if member.starts_with(char::is_uppercase) { "role" } else { "group" }.to_owned();
    Step::Add { kind: kind(member), member: member.to_owned(), role: None }
}

fn remove(member: &str) -> Step {
    let Step::Add { kind, member, .. } = add(member) else { panic!("an add") };
    Step::Remove { kind, member }
}

// --- whom they find ------------------------------------------------------------------------------------

#[tokio::test]
async fn a_neighbour_is_never_taken_for_the_person() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        fake.add_user(user("anna", "anna@example.com"));
        fake.add_user(user("joann", "joann@example.com"));
        fake.add_user(user("ann.example", "x+ann@example.com"));
        // The name of one is the address of another.
        fake.add_user(user("eve", "ann@example.com.evil.example"));
        fake.add_user(user("ann@example.com", "other@example.com"));
        assert_eq!(ann().find(&engine).await, Ok(Observation::Absent), "{flavour:?}");
    }
}

#[tokio::test]
async fn the_person_is_found_among_neighbours_and_on_later_pages() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        for number in 0..5 {
            fake.add_user(user(&format!("ann{number}"), &format!("{number}ann@example.com")));
        }
        let id = fake.add_user(user("ann", "ann@example.com"));
        let account = found(ann().find(&engine).await.expect("an answer"));
        assert_eq!((account.id, account.login.as_str()), (id, "ann"), "{flavour:?}");
    }
}

#[tokio::test]
async fn half_a_list_does_not_say_that_there_is_nobody() {
    let (fake, engine) = start(Flavour::Redmine).await;
    for number in 0..30 {
        fake.add_user(user(&format!("u{number}"), &format!("{number}ann@example.com")));
    }
    fake.add_user(user("ann", "ann@example.com"));
    assert_eq!(outcome(ann().find(&engine).await), Outcome::Unsupported);
}

#[tokio::test]
async fn two_that_fit_are_nobody() {
    let (fake, engine) = start(Flavour::Scim).await;
    fake.add_user(user("Ann", "a@example.com"));
    fake.add_user(user("ANN", "b@example.com"));
    assert_eq!(ann().find(&engine).await, Ok(Observation::Ambiguous));
    let (fake, engine) = start(Flavour::Redmine).await;
    fake.add_user(user("a", "ann@example.com"));
    fake.add_user(user("b", "ANN@example.com"));
    assert_eq!(ann().find(&engine).await, Ok(Observation::Ambiguous));
}

#[tokio::test]
async fn case_follows_the_app() {
    let (fake, engine) = start(Flavour::Scim).await;
    fake.add_user(user("Ann", "a@example.com"));
    assert_eq!(found(ann().find(&engine).await.expect("an answer")).login, "Ann");
    // JupyterHub's API keeps `Ann` and `ann` apart and signs everybody in as `ann`.
    let (fake, engine) = start(Flavour::Hub).await;
    let account = Person::new("Ann", "a@example.com").create(&engine).await.expect("made");
    assert_eq!((account.login.as_str(), fake.take_lines()), ("ann", vec!["POST /hub/api/users/ann".to_owned()]));
}

#[tokio::test]
async fn an_external_id_goes_before_a_login_and_must_be_whole() {
    let (fake, engine) = start(Flavour::Scim).await;
    fake.add_user(User { external_id: Some("vst-0a1b2c3d".to_owned()), ..user("longer", "l@example.com") });
    assert_eq!(ann().find(&engine).await, Ok(Observation::Absent));
    fake.add_user(User { external_id: Some("vst-0a1b2c".to_owned()), ..user("renamed", "r@example.com") });
    fake.add_user(user("ann", "ann@example.com"));
    match ann().find(&engine).await.expect("an answer") {
        Observation::Found(account, by) => assert_eq!((account.login.as_str(), by), ("renamed", MatchBy::ExternalId)),
        other @ (Observation::Absent | Observation::Ambiguous) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_address_counts_only_whole() {
    let (fake, engine) = start(Flavour::Scim).await;
    fake.add_user(user("bob", "xann@example.com"));
    fake.add_user(user("bill", "ann@example.com.evil.example"));
    assert_eq!(engine.find(ann().context(), &[MatchBy::Email]).await, Ok(Observation::Absent));
    fake.add_user(user("bert", "Ann@EXAMPLE.com"));
    assert_eq!(found(engine.find(ann().context(), &[MatchBy::Email]).await.expect("an answer")).login, "bert");
}

#[tokio::test]
async fn a_locked_account_is_seen_and_can_be_switched_on() {
    let (fake, engine) = start(Flavour::Scim).await;
    let id = fake.add_user(User { disabled: true, ..user("ann", "ann@example.com") });
    assert!(found(ann().find(&engine).await.expect("an answer")).disabled);
    assert_eq!(ann().member(&engine, &id, Step::Enable).await, Ok(Outcome::Updated));
    assert!(!fake.users()[0].disabled);
}

#[tokio::test]
async fn j7_the_built_in_admin_is_known_for_one_in_every_spelling() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        for login in ["admin", "Admin", "ADMIN", " admin", "admin ", "ad\u{200b}min", "ａｄｍｉｎ", "adm\u{131}n", "root", "Administrator"] {
            let refused = outcome(Person::new(login, "eve@example.com").create(&engine).await);
            assert_eq!(refused, Outcome::Invalid, "{flavour:?} {login:?}");
        }
        assert_eq!(fake.take_lines(), Vec::<String>::new(), "{flavour:?}: nothing was sent");
        fake.add_user(user("admin", "admin@example.com"));
        let person = Person::new("admin", "admin@example.com");
        assert!(found(person.find(&engine).await.expect("an answer")).admin, "{flavour:?}");
    }
    let (fake, engine) = start(Flavour::Hub).await;
    fake.add_user(User { admin: true, ..user("ann", "") });
    assert!(found(ann().find(&engine).await.expect("an answer")).admin);
}

// --- what they send ------------------------------------------------------------------------------------

/// Names that try to be something else (J10).
const HOSTILE: [&str; 24] = [
    "\"",
    "\\",
    "*",
    "a|b",
    "~a",
    ")",
    "%2F",
    "../x",
    "..",
    ".",
    "?x=1",
    "#",
    "&admin=1",
    "a;b",
    "{}",
    "${jndi}",
    "{user.email}",
    "'; drop table users;--",
    "\" or userName pr \"",
    "a\\\" or \\\"b",
    "😀",
    "a/b",
    "a b",
    "<x>",
];

fn percent(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[tokio::test]
async fn j10_no_name_changes_the_shape_of_a_scim_request() {
    let (fake, engine) = start(Flavour::Scim).await;
    for name in HOSTILE {
        let person = Person::new(name, "ann@example.com");
        assert_eq!(engine.find(person.context(), &[MatchBy::Login]).await, Ok(Observation::Absent), "{name}");
        let filter = format!("userName eq {}", Value::from(name));
        assert_eq!(scim_filter(&filter), Some(("userName".to_owned(), name.to_owned())));
        assert_eq!(fake.take_lines(), [format!("GET /Users?filter={}&startIndex=1&count=50", percent(&filter))], "{name}");
        let account = person.create(&engine).await.expect(name);
        let seen = fake.take_seen().pop().expect("a request");
        assert_eq!(seen.line(), "POST /Users");
        let name_json = Value::from(name);
        let expected = format!(
            r#"{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":{name_json},"externalId":"vst-0a1b2c","active":true,"displayName":"Ann Example","name":{{"givenName":"Ann","familyName":"Example"}},"emails":[{{"value":"ann@example.com","type":"work","primary":true}}]}}"#
        );
        assert_eq!(seen.body, expected);
        assert_eq!(account.login, name);
        // Group names are values too.
        assert_eq!(
            outcome(person.member(&engine, &account.id, Step::Add { kind: "group".to_owned(), member: name.to_owned(), role: None }).await),
            Outcome::Absent
        );
        let filter = percent(&format!("displayName eq {name_json}"));
        assert_eq!(fake.take_lines(), [format!("GET /Groups?filter={filter}&excludedAttributes=members&startIndex=1&count=50")], "{name}");
    }
    // Control characters are not a login anywhere: refused before anything is sent.
    for name in ["a\nb", "a\0b", "a\r\nX: y", "\u{202e}nna"] {
        assert_eq!(outcome(Person::new(name, "ann@example.com").create(&engine).await), Outcome::Invalid);
        assert_eq!(fake.take_lines(), Vec::<String>::new());
        assert_eq!(engine.find(Person::new(name, "a@b").context(), &[MatchBy::Login]).await, Ok(Observation::Absent));
        assert_eq!(
            fake.take_lines(),
            [format!("GET /Users?filter={}&startIndex=1&count=50", percent(&format!("userName eq {}", Value::from(name))))]
        );
    }
}

#[tokio::test]
async fn j10_no_name_leaves_its_place_in_a_path() {
    let (fake, engine) = start(Flavour::Hub).await;
    for name in HOSTILE.into_iter().chain(["a\nb", "a\0b"]) {
        let person = Person::new(name, "ann@example.com");
        let looked = person.find(&engine).await;
        if matches!(name, "." | "..") {
            assert_eq!(outcome(looked), Outcome::Invalid, "{name}");
            assert_eq!(fake.take_lines(), Vec::<String>::new(), "{name}: nothing was sent");
        } else {
            assert_eq!(looked, Ok(Observation::Absent), "{name}");
            assert_eq!(fake.take_lines(), [format!("GET /hub/api/users/{}", percent(&name.to_lowercase()))], "{name}");
        }
        assert_eq!(outcome(person.create(&engine).await), Outcome::Invalid, "{name}: not a login there");
        assert_eq!(fake.take_lines(), Vec::<String>::new(), "{name}: nothing was sent");
        if !matches!(name, "." | "..") {
            fake.add_user(user("ann", ""));
            let step = Step::Add { kind: "group".to_owned(), member: name.to_owned(), role: None };
            assert_eq!(ann().member(&engine, "ann", step).await, Ok(Outcome::Updated), "{name}");
            let group = percent(name);
            assert_eq!(
                fake.take_lines(),
                [format!("GET /hub/api/groups/{group}"), format!("POST /hub/api/groups/{group}"), format!("POST /hub/api/groups/{group}/users")]
            );
        }
    }
}

#[tokio::test]
async fn j10_no_name_changes_the_shape_of_a_policy_s_own_request() {
    let (fake, engine) = start(Flavour::Redmine).await;
    for (number, name) in HOSTILE.into_iter().enumerate() {
        let person = Person::new(name, &format!("{name}{number}@example.com"));
        assert_eq!(person.find(&engine).await, Ok(Observation::Absent), "{name}");
        assert_eq!(fake.take_lines(), [format!("GET /users.json?name={}", percent(&person.email))], "{name}");
        person.create(&engine).await.expect(name);
        let seen = fake.take_seen().pop().expect("a request");
        let expected = format!(
            r#"{{"send_information":false,"user":{{"login":{},"firstname":"Ann","lastname":"Example","mail":{},"generate_password":true,"custom_fields":[{{"id":4,"value":"R&D"}}]}}}}"#,
            Value::from(name),
            Value::from(person.email.clone()),
        );
        assert_eq!((seen.line().as_str(), seen.body.as_str()), ("POST /users.json", expected.as_str()));
    }
}

#[tokio::test]
async fn a_credential_goes_along_and_shows_nowhere() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        fake.require("something else");
        let trouble = ann().find(&engine).await.expect_err("refused");
        assert_eq!(trouble.outcome, Outcome::Reauth);
        let sent = fake.take_seen().pop().expect("a request");
        let expected = if flavour == Flavour::Hub { format!("token {TOKEN}") } else { format!("Bearer {TOKEN}") };
        assert_eq!(sent.header("authorization"), Some(expected.as_str()));
        for text in [format!("{engine:?}"), format!("{trouble:?}"), trouble.to_string()] {
            assert!(!text.contains(TOKEN), "{text}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_reads_and_never_writes() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        let engine = engine.read_only();
        assert_eq!(ann().find(&engine).await, Ok(Observation::Absent));
        fake.take_seen();
        assert_eq!(outcome(ann().create(&engine).await), Outcome::Denied);
        assert_eq!(fake.take_lines(), Vec::<String>::new());
        assert_eq!(fake.users().len(), 0);
    }
}

#[tokio::test]
async fn an_update_sends_what_changed_and_minds_somebody_else_s_change() {
    let (fake, engine) = start(Flavour::Scim).await;
    let account = ann().create(&engine).await.expect("made");
    let context = ann();
    let context = Context { account_id: Some(&account.id), ..context.context() };
    fake.take_seen();
    let change = |name: &str, value: Value| Step::Update([(name.to_owned(), value)].into());
    assert_eq!(engine.apply(context, &change("email", json!("new@example.com"))).await, Ok((Outcome::Updated, None)));
    let sent = fake.take_seen().pop().expect("a request");
    assert_eq!(sent.header("if-match"), Some("W/\"1\""));
    let operations = r#"[{"op":"replace","path":"emails","value":[{"value":"new@example.com","type":"work","primary":true}]}]"#;
    assert_eq!(sent.body, format!(r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":{operations}}}"#));
    // 412: somebody was faster. The tag is forgotten, so that the next look brings the right one.
    fake.fail_next("PATCH", Fault::Status(412));
    assert_eq!(outcome(engine.apply(context, &change("givenName", json!("Anna"))).await), Outcome::Retry);
    fake.take_seen();
    found(engine.get(context).await.expect("an answer"));
    assert_eq!(engine.apply(context, &change("givenName", json!("Anna"))).await, Ok((Outcome::Updated, None)));
    assert_eq!(fake.take_seen().pop().expect("a request").header("if-match"), Some("W/\"2\""));
    assert_eq!(engine.apply(context, &Step::Update(BTreeMap::default())).await, Ok((Outcome::Unchanged, None)));
    assert_eq!(fake.take_lines(), Vec::<String>::new());
}

// --- memberships ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_group_that_is_missing_is_named_and_made_only_when_the_policy_says_so() {
    let (fake, engine) = start(Flavour::Scim).await;
    fake.add_group("7", "developers-old");
    let account = ann().create(&engine).await.expect("made");
    let trouble = ann().member(&engine, &account.id, add("developers")).await.expect_err("no such group");
    assert_eq!((trouble.outcome, trouble.detail.as_str()), (Outcome::Absent, "the app has no group called `developers`"));
    // To take back what is not there is done; nothing is made for it.
    assert_eq!(ann().member(&engine, &account.id, remove("developers")).await, Ok(Outcome::Done));
    assert_eq!(fake.groups().len(), 1);
    let engine = self::engine(&fake, Flavour::Scim, &json!({ "create_groups": true }));
    assert_eq!(ann().member(&engine, &account.id, add("developers")).await, Ok(Outcome::Updated));
    assert_eq!(fake.groups()[1].members, [account.id]);
}

#[tokio::test]
async fn memberships_are_granted_and_taken_back_once_or_twice() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        let name = if flavour == Flavour::Redmine { "Developer" } else { "devs" };
        fake.add_group("14", name);
        let account = ann().create(&engine).await.expect("made");
        for step in [add(name), add(name)] {
            ann().member(&engine, &account.id, step).await.expect("granted");
            assert_eq!(fake.groups()[0].members, std::slice::from_ref(&account.id), "{flavour:?}");
        }
        if flavour != Flavour::Redmine {
            let account = found(ann().find(&engine).await.expect("an answer"));
            assert_eq!(account.memberships["group"], [("devs".to_owned(), None)].into());
        }
        for step in [remove(name), remove(name)] {
            ann().member(&engine, &account.id, step).await.expect("taken back");
            assert!(fake.groups()[0].members.is_empty(), "{flavour:?}");
        }
    }
}

#[tokio::test]
async fn a_role_without_a_group_id_is_an_error_before_anything_is_sent() {
    let (fake, engine) = start(Flavour::Redmine).await;
    assert_eq!(outcome(ann().member(&engine, "7", add("Stranger")).await), Outcome::Invalid);
    assert_eq!(fake.take_lines(), Vec::<String>::new());
}

// --- trouble -------------------------------------------------------------------------------------------

#[tokio::test]
async fn j4_every_fault_is_a_clean_error_and_the_next_try_is_good() {
    let elsewhere = FakeAdmin::start(Flavour::Scim).await;
    let away = || Fault::Redirect(format!("{}Users", elsewhere.url));
    // fault, what it is on a read, what it is on a create
    let cases: Vec<(Fault, Outcome, Outcome)> = vec![
        (Fault::Status(500), Outcome::Retry, Outcome::InDoubt),
        (Fault::Status(503), Outcome::Retry, Outcome::InDoubt),
        // The credential is good all the same, by a probe or by the call just before.
        (Fault::Status(401), Outcome::Denied, Outcome::Denied),
        (Fault::Status(403), Outcome::Denied, Outcome::Denied),
        (Fault::Status(409), Outcome::Retry, Outcome::Exists),
        (Fault::RetryAfter(429, "7"), Outcome::Retry, Outcome::Retry),
        (Fault::Html, Outcome::Retry, Outcome::InDoubt),
        (Fault::Truncated, Outcome::Retry, Outcome::InDoubt),
        (Fault::Huge(64 << 20), Outcome::Retry, Outcome::InDoubt),
        (away(), Outcome::Retry, Outcome::InDoubt),
        (Fault::WrongUser, Outcome::Conflict, Outcome::InDoubt),
        (Fault::DropBefore, Outcome::Retry, Outcome::InDoubt),
        (Fault::DropAfter, Outcome::Retry, Outcome::InDoubt),
        (Fault::Slow, Outcome::Retry, Outcome::InDoubt),
    ];
    for flavour in ALL {
        for (fault, on_read, on_create) in &cases {
            let (fake, clock) = (FakeAdmin::start(flavour).await, Arc::<ManualClock>::default());
            let engine = engine_at(&fake, flavour, &json!({}), Arc::clone(&clock));
            fake.add_user(user("ann0", "0ann@example.com"));
            assert_eq!(ann().find(&engine).await, Ok(Observation::Absent));
            fake.fail_next("GET", fault.clone());
            let read = ann().find(&engine).await;
            match (&read, flavour, fault) {
                // A search that shows somebody else only has simply not found anybody.
                (Ok(Observation::Absent), Flavour::Scim | Flavour::Redmine, Fault::WrongUser) => {}
                _ => assert_eq!(read.as_ref().map_err(|trouble| trouble.outcome), Err(*on_read), "{flavour:?} {fault:?} on a read"),
            }
            // What the app wishes is waited out.
            clock.advance_ms(7_000);
            assert_eq!(ann().find(&engine).await, Ok(Observation::Absent), "{flavour:?} after {fault:?}");
            fake.fail_next("POST", fault.clone());
            let trouble = ann().create(&engine).await.expect_err("trouble");
            assert_eq!(trouble.outcome, *on_create, "{flavour:?} {fault:?} on a create");
            if matches!(fault, Fault::RetryAfter(..)) {
                assert_eq!(trouble.retry_after_ms, Some(7_000));
                clock.advance_ms(7_000);
            }
            // One account in the end, whatever happened: look, and make it only if it is not there.
            if ann().find(&engine).await == Ok(Observation::Absent) {
                ann().create(&engine).await.expect("made");
            }
            let made = fake.users().iter().filter(|user| user.login == "ann").count();
            assert_eq!(made, 1, "{flavour:?} after {fault:?}");
        }
    }
    assert_eq!(elsewhere.take_lines(), Vec::<String>::new(), "no redirect is followed");
}

#[tokio::test]
async fn j3_a_lost_reply_leaves_one_account_that_is_known_again() {
    for flavour in ALL {
        for fault in [Fault::DropAfter, Fault::Slow, Fault::Truncated] {
            let (fake, engine) = start(flavour).await;
            fake.fail_next("POST", fault.clone());
            assert_eq!(outcome(ann().create(&engine).await), Outcome::InDoubt, "{flavour:?} {fault:?}");
            let account = found(ann().find(&engine).await.expect("an answer"));
            assert_eq!(account.login, "ann");
            if flavour == Flavour::Scim {
                assert_eq!(account.external_id.as_deref(), Some("vst-0a1b2c"), "ours");
            }
            assert_eq!(outcome(ann().create(&engine).await), Outcome::Exists, "{flavour:?}");
            assert_eq!(fake.users().len(), 1);
        }
    }
}

#[tokio::test]
async fn j5_an_answer_about_somebody_else_is_not_believed() {
    for flavour in ALL {
        let (fake, engine) = start(flavour).await;
        fake.fail_next("POST", Fault::WrongUser);
        assert_eq!(outcome(ann().create(&engine).await), Outcome::InDoubt, "{flavour:?}");
        fake.fail_next("GET", Fault::WrongUser);
        let looked = ann().find(&engine).await;
        match looked {
            // A search that shows only somebody else has not found anybody; the next way may find the person.
            Ok(Observation::Absent) => assert_ne!(flavour, Flavour::Hub),
            Ok(Observation::Found(account, _)) => assert_eq!(account.login, "ann"),
            Ok(Observation::Ambiguous) => panic!("{flavour:?}"),
            Err(trouble) => assert_eq!(trouble.outcome, Outcome::Conflict),
        }
        if flavour != Flavour::Redmine {
            let person = ann();
            fake.fail_next("GET", Fault::WrongUser);
            let read = engine.get(Context { account_id: Some("ann"), ..person.context() }).await;
            assert_eq!(outcome(read), Outcome::Conflict, "{flavour:?}");
        }
    }
}

#[tokio::test]
async fn j13_an_account_that_is_gone_is_absent_and_its_steps_say_gone() {
    for flavour in [Flavour::Scim, Flavour::Hub] {
        let (fake, engine) = start(flavour).await;
        fake.add_group("7", "devs");
        let person = ann();
        let account = person.create(&engine).await.expect("made");
        fake.remove_user("ann");
        let context = Context { account_id: Some(&account.id), ..person.context() };
        assert_eq!(engine.get(context).await, Ok(Observation::Absent), "{flavour:?}");
    }
    let (fake, engine) = start(Flavour::Scim).await;
    let person = ann();
    let account = person.create(&engine).await.expect("made");
    fake.remove_user("ann");
    assert_eq!(outcome(person.member(&engine, &account.id, Step::Enable).await), Outcome::Gone);
}

#[tokio::test]
async fn an_admin_api_that_is_not_there_is_retried_because_nothing_was_sent() {
    for flavour in ALL {
        let (fake, _) = start(flavour).await;
        let mut nowhere = fake.clone();
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        nowhere.url.set_port(Some(port)).expect("a port");
        let engine = engine(&nowhere, flavour, &json!({}));
        assert_eq!(outcome(ann().find(&engine).await), Outcome::Retry);
        assert_eq!(outcome(ann().create(&engine).await), Outcome::Retry, "nothing was sent: not in doubt");
    }
}

#[tokio::test]
async fn probing_tells_a_good_credential_from_a_bad_one() {
    for flavour in [Flavour::Scim, Flavour::Hub] {
        let (fake, engine) = start(flavour).await;
        assert_eq!(engine.probe().await, Ok(()));
        fake.fail_next("GET", Fault::Html);
        assert_eq!(outcome(engine.probe().await), Outcome::Retry);
        fake.require("nobody");
        assert_eq!(outcome(engine.probe().await), Outcome::Reauth);
    }
}

// --- a token of a pre-step -----------------------------------------------------------------------------

#[tokio::test]
async fn j4_a_refused_token_is_fetched_again_once_and_once_only() {
    const APP: &str = r#"
connector = "app"
version   = 1
[account]
id    = "/name"
login = "/name"
[[token]]
name     = "log_in"
effect   = "read"
get      = "/users/{credential.username}"
save     = { token = "/name" }
classify = [{ status = 200, outcome = "done" }]
[[lookup.login]]
name     = "one"
effect   = "read"
get      = "/users/{want.login}"
select   = { where = { "/name" = "{want.login}" } }
classify = [{ status = 200, outcome = "found" }, { status = 404, outcome = "absent" }]
"#;
    let fake = FakeAdmin::start(Flavour::Hub).await;
    fake.add_user(user("gateway", ""));
    fake.add_user(user("ann", ""));
    let (model, problems) = Model::parse(&SourceFile { name: "app.toml".into(), text: APP.into() });
    let model = Arc::new(model.unwrap_or_else(|| panic!("{}", render(&problems))));
    let credential = ResolvedCredential { basic: Some(("gateway".to_owned(), "pw".to_owned().into())), ..ResolvedCredential::default() };
    let (transport, clock) = (Arc::new(HyperTransport::new([]).expect("transport")), Arc::new(ManualClock::default()));
    let engine = Engine::new(model, None, fake.url.clone(), credential, Map::new(), Limits::default(), transport, clock);
    found(ann().find(&engine).await.expect("an answer"));
    let seen = fake.take_seen();
    assert_eq!(seen[0].header("authorization"), None, "the pre-step carries no token");
    assert_eq!(seen[1].header("authorization"), Some("Bearer gateway"));
    fake.fail_next("GET /hub/api/users/ann", Fault::Status(401));
    found(ann().find(&engine).await.expect("an answer"));
    let expected = ["GET /hub/api/users/ann", "GET /hub/api/users/gateway", "GET /hub/api/users/ann"];
    assert_eq!(fake.take_lines(), expected);
    fake.fail_next("GET /hub/api/users/ann", Fault::Status(401));
    fake.fail_next("GET /hub/api/users/ann", Fault::Status(401));
    // Accepted a moment ago: it is this call.
    assert_eq!(outcome(ann().find(&engine).await), Outcome::Denied);
    assert_eq!(fake.take_lines(), expected);
}

// --- files ---------------------------------------------------------------------------------------------

#[test]
fn what_must_not_be_said_in_a_connector_is_a_problem_where_it_stands() {
    const GOOD: &str = r#"
connector = "app"
version   = 1
[account]
id    = "/id"
login = "/login"
[[lookup.login]]
name     = "by_login"
effect   = "read"
get      = "/users/{want.login}"
select   = { where = { "/login" = "{want.login}" } }
classify = [{ status = 200, outcome = "found" }, { status = 404, outcome = "absent" }]
[[create]]
name     = "post"
effect   = "write"
post     = "/users"
body     = { login = "{want.login}" }
classify = [{ status = 201, outcome = "created" }]
"#;
    let check = |from: &str, to: &str, expected: &str| {
        assert!(GOOD.contains(from), "{from}");
        let (model, problems) = Model::parse(&SourceFile { name: "app.toml".into(), text: GOOD.replacen(from, to, 1).into() });
        let text = render(&problems);
        assert!(model.is_none() && text.contains(expected), "{to}: {text}");
    };
    check("status = 404, outcome = \"absent\"", "status = 403, outcome = \"absent\"", "never about the account");
    check("status = 404, outcome = \"absent\"", "status = [404, 401], outcome = \"absent\"", "never about the account");
    check("status = 404, outcome = \"absent\"", "status = 500, outcome = \"absent\"", "does not say that there is none");
    check("status = 201, outcome = \"created\"", "status = 503, outcome = \"created\"", "no success");
    check("status = 201, outcome = \"created\"", "status = 404, outcome = \"absent\"", "a write cannot come to this");
    check("outcome = \"found\"", "outcome = \"created\"", "a read cannot come to this");
    check("outcome = \"found\"", "outcome = \"fuond\"", "did you mean \"found\"?");
    check("select   = { where = { \"/login\" = \"{want.login}\" } }", "", "exact match");
    check("{ where = { \"/login\" = \"{want.login}\" } }", "{ items = \"/users\" }", "needs `where`");
    check("effect   = \"read\"", "", "must say its `effect`");
    check("effect   = \"read\"", "effect   = \"write\"", "this verb only reads");
    check("effect   = \"read\"", "efect    = \"read\"", "did you mean `effect`?");
    check("{ login = \"{want.login}\" }", "\"login={want.login}\"", "a body is a table");
    check("{ login = \"{want.login}\" }", "{ login = \"{want.logn}\" }", "logn");
    check("post     = \"/users\"", "post     = \"/a/../users\"", "not a plain path");
    check("post     = \"/users\"", "post     = \"http://evil/users\"", "must begin with /");
    check("post     = \"/users\"", "post     = \"/users\"\nput = \"/users\"", "one request");
    check("[{ status = 201, outcome = \"created\" }]", "[]", "must `classify`");
    check("version   = 1", "version   = 2", "version");
    check("id    = \"/id\"", "", "`[account]`");
    let (model, problems) = Model::parse(&SourceFile { name: "app.toml".into(), text: GOOD.into() });
    assert!(model.is_some() && problems.is_empty(), "{}", render(&problems));
}

#[test]
fn what_must_not_be_said_in_a_policy_s_steps_is_a_problem_where_it_stands() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(REDMINE.contains(from), "{from}");
        let (steps, problems) = own_steps(&REDMINE.replacen(from, to, 1));
        let text = render(&problems);
        assert!(steps.is_none() && text.contains(expected), "{to}: {text}");
    };
    check("where = \"lower(item.mail) == user.email\"", "", "never trusted to be exact");
    check("where = \"lower(item.mail) == user.email\"", "where = \"lower(itme.mail) == user.email\"", "itme");
    check("save = { id", "saev = { id", "did you mean `save`?");
    check("on   = \"create\"", "on   = \"login\"", "`on` cannot be `login`");
    check("on   = [\"create\", \"update\"]", "on   = \"create\"", "sync = \"create\"");
    check("ok   = [204, 422]", "ok   = [204, 403]", "never a success");
    check("{ user_id = \"{id}\" }", "{ user_id = \"{ide}\" }", "ide");
    let (steps, problems) = own_steps(REDMINE);
    assert!(steps.is_some() && problems.is_empty(), "{}", render(&problems));
}

#[test]
fn settings_are_checked_by_the_connector_that_has_them() {
    let scim = builtin::named("scim").expect("built in");
    let check = |text: &str, expected: Result<(&str, Value), &str>| {
        let file = SourceFile { name: "policy".into(), text: text.into() };
        let (table, _) = source::parse(&file);
        let (settings, problems) = scim.settings(&file, Some(&table));
        match expected {
            Ok((name, value)) => assert_eq!((settings.get(name), problems.len()), (Some(&value), 0)),
            Err(message) => assert!(render(&problems).contains(message), "{}", render(&problems)),
        }
    };
    check("create_group = true", Err("did you mean `create_groups`?"));
    check("create_groups = \"yes\"", Err("`create_groups` is a string here"));
    check("create_groups = true", Ok(("create_groups", json!(true))));
    check("", Ok(("create_groups", json!(false))));
}
