//! What policies say of roles, organisations, attributes, logins and passwords, done to scripted admin APIs: rows of jit-behaviours.md, by number.

use super::world::{World, header, key_at, person, ready, refused};
use crate::fake_admin::{FakeAdmin, Fault, Flavour, User};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use vestibule::clock::{Clock as _, ManualClock};
use vestibule::connector::builtin::builtin;
use vestibule::connector::model::InitialPassword;
use vestibule::connector::{Connector, Engine, Limits, Outcome, ResolvedCredential};
use vestibule::entropy::SeededEntropy;
use vestibule::fault::PublicMessage;
use vestibule::identity::{Groups, Identity};
use vestibule::outbound::HyperTransport;
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::provision::{Cause, Departure};
use vestibule::source::{Problem, SourceFile};
use vestibule::state::AccountState;

const HEAD: &str = "host = \"wiki.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n";

fn compiled(sections: &str) -> (Option<Policy>, Vec<Problem>) {
    let file = SourceFile::new("policies/wiki.toml", format!("{HEAD}{sections}"));
    compile(&file, Surroundings { idps: None, connectors: builtin() })
}

/// A policy that has to be in order, without a warning.
fn good(sections: &str) -> Arc<Policy> {
    let (policy, problems) = compiled(sections);
    assert!(problems.is_empty(), "{}", problems.iter().map(Problem::render).collect::<String>());
    Arc::new(policy.unwrap())
}

/// What `check` says of a policy: code, then message and helps.
fn said(sections: &str) -> Vec<String> {
    compiled(sections).1.iter().map(|problem| format!("{} {} {}", problem.code, problem.message, problem.helps.join(" "))).collect()
}

fn engine(policy: &Policy) -> Engine {
    let provision = policy.provision.as_ref().unwrap();
    let credential = ResolvedCredential { basic: Some(("vestibule".to_owned(), "pw".to_owned().into())), ..ResolvedCredential::default() };
    let transport = Arc::new(HyperTransport::new([]).unwrap());
    let limits = Limits { timeout_ms: 1_000, ..Limits::default() };
    let (model, steps, url) = (Arc::clone(&provision.connector), provision.steps.clone(), provision.url.clone());
    let settings = provision.settings.clone();
    let engine = Engine::new(model, steps, url, credential, settings, limits, transport, Arc::new(ManualClock::default()));
    match provision.initial_password {
        InitialPassword::Random => engine.with_passwords(Arc::new(SeededEntropy::new(1))),
        InitialPassword::None => engine,
    }
}

/// The desk, an app, and whatever is logged and audited.
struct Scene {
    world: World,
    fake: FakeAdmin,
    log: Arc<Mutex<Vec<u8>>>,
    _listening: tracing::subscriber::DefaultGuard,
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Scene {
    async fn new(flavour: Flavour) -> Self {
        let log: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Arc::clone(&log);
        let make = move || Writer(Arc::clone(&writer));
        let listener = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE).with_writer(make).finish();
        let listening = tracing::subscriber::set_default(listener);
        let fake = FakeAdmin::start(flavour).await;
        if flavour == Flavour::Grafana {
            fake.require("Basic dmVzdGlidWxlOnB3");
            for (id, name) in [("1", "Main Org."), ("4", "Data"), ("7", "Ops")] {
                fake.add_group(id, name);
            }
        }
        Self { world: World::new().await, fake, log, _listening: listening }
    }

    /// The policy with these sections, `[provision] url` added, and a desk that speaks by it.
    fn policy(&self, connector: &str, sections: &str) -> Arc<Policy> {
        let policy = good(&format!("{sections}\n[provision]\nconnector = \"{connector}\"\nurl = \"{}\"\n{}", self.fake.url, CREDENTIAL));
        self.serve(&policy);
        policy
    }

    fn serve(&self, policy: &Policy) {
        self.world.desk.install(HashMap::from([("wiki".to_owned(), Arc::new(engine(policy)) as Arc<dyn Connector>)]));
    }

    async fn enters(&self, identity: &Identity, policy: &Arc<Policy>) -> String {
        ready(&self.world.sign_in(identity, policy).await).login.clone()
    }

    /// Somebody who is an organisation's administrator besides.
    fn boss_of(&self, org: &str) {
        self.fake.add_user(User { login: "boss".into(), email: Some("boss@example.com".into()), admin: true, ..User::default() });
        self.fake.set_org(org, "boss", "Admin");
    }

    fn log(&self) -> String {
        String::from_utf8(self.log.lock().unwrap().clone()).unwrap()
    }

    fn org(&self, id: &str) -> Vec<(String, String)> {
        self.fake.org(id)
    }
}

const CREDENTIAL: &str = "username = \"vestibule\"\npassword = \"cred:x\"\n";

fn ada(groups: &[&str]) -> Identity {
    Identity { given_name: Some("Ada".into()), family_name: Some("Lovelace".into()), ..person("ada", "ada", groups) }
}

fn claims(identity: Identity, value: Value) -> Identity {
    let Value::Object(claims) = value else { panic!("an object") };
    Identity { claims, ..identity }
}

fn members(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(login, role)| ((*login).to_owned(), (*role).to_owned())).collect()
}

const ROLES: &str = "[roles]\nmap = { sre = \"Admin\", \"dev-*\" = \"Editor\", staff = \"Viewer\" }\n";
const EVERYONE: &str = "[[org]]\nid = 1\nrole = \"{role}\"\n";

// --- roles -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn row_04_whoever_no_group_maps_gets_the_default_role_and_without_one_nothing() {
    for (default, expected) in [("", members(&[])), ("default = \"Editor\"\n", members(&[("ada", "Editor")]))] {
        let scene = Scene::new(Flavour::Grafana).await;
        let policy = scene.policy("grafana", &format!("{ROLES}{default}{EVERYONE}"));
        scene.enters(&ada(&["other"]), &policy).await;
        assert_eq!(scene.org("1"), expected, "{default}");
    }
}

#[tokio::test]
async fn row_05_everyone_lands_in_the_default_workspace() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", "[[org]]\nid = 7\nrole = \"Viewer\"\n");
    scene.enters(&ada(&[]), &policy).await;
    scene.enters(&person("bo", "bo", &["dev-web"]), &policy).await;
    assert_eq!(scene.org("7"), members(&[("ada", "Viewer"), ("bo", "Viewer")]));
    // The organisation that Grafana puts everybody into is none that the policy names.
    assert_eq!(scene.org("1"), []);
}

#[tokio::test]
async fn row_12_groups_become_roles_and_the_highest_counts() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", &format!("{ROLES}{EVERYONE}[headers]\nX-Role = \"{{role}}\"\n"));
    let pass = ready(&scene.world.sign_in(&ada(&["staff", "dev-web", "sre"]), &policy).await);
    assert_eq!((header(&pass, "x-role").as_deref(), scene.org("1")), (Some("Admin"), members(&[("ada", "Admin")])));

    // Where the connector has no order, the policy has one; the order of its map is not it.
    let scene = Scene::new(Flavour::Hub).await;
    let roles = "[roles]\nmap = { viewers = \"Viewer\", creators = \"Creator\", admins = \"Admin\" }\n";
    for (order, expected) in [("", "Viewer"), ("order = [\"Admin\", \"Creator\", \"Viewer\"]\n", "Admin")] {
        let policy = scene.policy("jupyterhub", &format!("{roles}{order}[headers]\nX-Role = \"{{role}}\"\n"));
        let pass = ready(&scene.world.sign_in(&ada(&["viewers", "creators", "admins"]), &policy).await);
        assert_eq!(header(&pass, "x-role").as_deref(), Some(expected));
        let joined: Vec<String> = scene.fake.groups().into_iter().filter(|group| !group.members.is_empty()).map(|group| group.name).collect();
        assert_eq!(joined, [expected]);
    }
    // All of them, one group each.
    let policy = scene.policy("jupyterhub", &format!("{roles}pick = \"all\"\n"));
    scene.enters(&ada(&["viewers", "creators"]), &policy).await;
    assert_eq!(scene.fake.groups().iter().filter(|group| !group.members.is_empty()).count(), 2);
}

#[test]
fn row_12_an_order_that_leaves_a_role_out_is_an_error() {
    let hub = "[provision]\nconnector = \"jupyterhub\"\nurl = \"http://x\"\ntoken = \"cred:x\"\n";
    let roles = "[roles]\nmap = { a = \"Admn\", v = \"Viewer\" }\norder = [\"Admin\", \"Viewer\"]\n";
    assert_eq!(said(&format!("{roles}{hub}")), ["unknown-role `Admn` is not in roles.order did you mean \"Admin\"?"]);
    let grafana = "[provision]\nconnector = \"grafana\"\nurl = \"http://x\"\n";
    let said = said(&format!("[roles]\norder = [\"Admin\", \"Viewer\"]\ndefault = \"Viewer\"\n{EVERYONE}{grafana}{CREDENTIAL}"));
    assert_eq!(said, ["no-effect roles.order has no effect: connector `grafana` knows it leave it out; it is Admin > Editor > Viewer > None"]);
}

#[tokio::test]
async fn row_13_roles_and_memberships_are_kept_in_step_or_set_once_or_never() {
    let data = "[[org]]\nid = 4\ngroups = [\"dev-data\"]\nrole = \"Viewer\"\n";
    for (sync, first, promoted, lost) in [
        ("login", ("Editor", true), ("Admin", true), ("Viewer", false)),
        ("create", ("Editor", true), ("Editor", true), ("Editor", true)),
        // Grafana's own doing, and nobody else's.
        ("never", ("Viewer", false), ("Viewer", false), ("Viewer", false)),
    ] {
        let scene = Scene::new(Flavour::Grafana).await;
        scene.boss_of("1");
        let policy = scene.policy("grafana", &format!("{ROLES}sync = \"{sync}\"\n{EVERYONE}{data}"));
        for (groups, (role, in_data)) in [(&["dev-data"][..], first), (&["dev-data", "sre"], promoted), (&["staff"], lost)] {
            scene.enters(&ada(groups), &policy).await;
            assert_eq!(scene.org("1"), members(&[("boss", "Admin"), ("ada", role)]), "{sync} {groups:?}");
            assert_eq!(scene.org("4").len(), usize::from(in_data), "{sync} {groups:?}");
            scene.world.clock.advance_ms(2_000);
        }
    }
}

#[tokio::test]
async fn row_13_only_what_the_gateway_granted_is_taken_back() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", &format!("{ROLES}{EVERYONE}[[org]]\nid = 4\ngroups = [\"dev-data\"]\nrole = \"Viewer\"\n"));
    scene.enters(&ada(&["dev-data"]), &policy).await;
    scene.fake.set_org("7", "ada", "Admin");
    scene.world.clock.advance_ms(2 * 3_600_000);
    scene.enters(&ada(&["staff"]), &policy).await;
    assert_eq!((scene.org("1"), scene.org("4"), scene.org("7")), (members(&[("ada", "Viewer")]), vec![], members(&[("ada", "Admin")])));
    // Unknown groups take nothing away and give nothing.
    scene.fake.take_seen();
    scene.world.clock.advance_ms(2 * 3_600_000);
    scene.enters(&Identity { groups: Groups::Unknown, ..ada(&[]) }, &policy).await;
    assert!(scene.fake.take_lines().iter().all(|line| line.starts_with("GET ")));
    assert_eq!(scene.org("1"), members(&[("ada", "Viewer")]));
}

#[tokio::test]
async fn row_13_what_was_given_by_hand_before_the_gateway_is_raised_and_never_lowered() {
    let adopt = format!("{ROLES}{EVERYONE}[provision]\nconnector = \"grafana\"\non_existing = \"adopt\"\nmatch = [\"email\"]\n{CREDENTIAL}");
    for (by_hand, groups, expected) in [("Admin", "dev-web", "Admin"), ("Viewer", "dev-web", "Editor"), ("Editor", "dev-web", "Editor")] {
        let scene = Scene::new(Flavour::Grafana).await;
        scene.fake.add_user(User { login: "ada".into(), email: Some("ada@example.com".into()), ..User::default() });
        scene.fake.set_org("1", "ada", by_hand);
        let policy = good(&format!("{adopt}url = \"{}\"\n", scene.fake.url));
        scene.serve(&policy);
        scene.enters(&ada(&[groups]), &policy).await;
        assert_eq!(scene.org("1"), members(&[("ada", expected)]));
    }
}

#[test]
fn row_15_a_role_that_the_app_does_not_have_is_an_error_before_anything_runs() {
    let grafana = format!("[provision]\nconnector = \"grafana\"\nurl = \"http://x\"\n{CREDENTIAL}");
    let check = |sections: &str, expected: &[&str]| assert_eq!(said(&format!("{sections}{grafana}")), expected, "{sections}");
    let unknown = "unknown-role connector `grafana` knows no role";
    check(&format!("[roles]\nmap = {{ a = \"Editr\" }}\n{EVERYONE}"), &[&format!("{unknown} `Editr` did you mean \"Editor\"?")]);
    check(&format!("[roles]\ndefault = \"Collaborator\"\n{EVERYONE}"), &[&format!("{unknown} `Collaborator` one of: None, Viewer, Editor, Admin")]);
    check("[[org]]\nid = 1\nrole = [\"{claims.role}\", \"viewer\"]\n", &[&format!("{unknown} `viewer` did you mean \"Viewer\"?")]);
    // Whether one role counts, or all of them.
    check(
        &format!("[roles]\nmap = {{ a = \"Boss\" }}\npick = \"all\"\n{EVERYONE}"),
        &[&format!("{unknown} `Boss` one of: None, Viewer, Editor, Admin")],
    );
}

#[tokio::test]
async fn row_15_a_role_that_turns_out_not_to_exist_is_named_and_never_dropped() {
    // Out of a template, against a closed list: before anything is sent.
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", "[[org]]\nid = 1\nrole = \"{claims.level}\"\n");
    let boss = claims(ada(&[]), json!({ "level": "Boss" }));
    assert_eq!(refused(&scene.world.sign_in(&boss, &policy).await), PublicMessage::UnusableSignIn);
    assert!(scene.fake.take_seen().is_empty() && scene.log().contains("the app has no role `Boss`"), "{}", scene.log());

    // By asking the app: SCIM groups, and Grafana's organisations.
    let scene = Scene::new(Flavour::Scim).await;
    let policy = scene.policy("scim", "[roles]\nmap = { sre = \"Operators\" }\n");
    assert_eq!(refused(&scene.world.sign_in(&ada(&["sre"]), &policy).await), PublicMessage::AccountFailed);
    assert!(scene.log().contains("the app has no group called `Operators`"), "{}", scene.log());
    assert_eq!(scene.world.record("ada").await.unwrap().state, AccountState::Conflict);
    scene.fake.add_group("9", "Operators");
    scene.world.clock.advance_ms(2_000);
    assert_eq!(scene.enters(&ada(&["sre"]), &policy).await, "ada");

    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", "[[org]]\nid = 99\n");
    assert_eq!(refused(&scene.world.sign_in(&ada(&[]), &policy).await), PublicMessage::AccountFailed);
    assert!(scene.log().contains("the app has no org called `99`"), "{}", scene.log());
}

#[tokio::test]
async fn row_15_a_connector_can_be_asked_about_a_role_without_changing_anything() {
    let scene = Scene::new(Flavour::Scim).await;
    scene.fake.add_group("9", "Operators");
    let strict = engine(&scene.policy("scim", ""));
    assert_eq!((strict.knows_role("Operators").await, strict.knows_role("Operator").await), (Ok(true), Ok(false)));
    let making = "[provision]\nconnector = \"scim\"\nsettings = { create_groups = true }\n";
    let making = engine(&good(&format!("{making}url = \"{}\"\ntoken = \"cred:x\"\n", scene.fake.url)));
    assert_eq!(making.knows_role("Operator").await, Ok(true));
    assert!(scene.fake.take_lines().iter().all(|line| line.starts_with("GET ")));
    scene.fake.fail_next("GET /Groups", Fault::Status(500));
    assert_eq!(strict.knows_role("Operators").await.unwrap_err().outcome, Outcome::Retry);

    let scene = Scene::new(Flavour::Grafana).await;
    let grafana = engine(&scene.policy("grafana", EVERYONE_VIEWS));
    assert_eq!((grafana.knows_role("Editor").await, grafana.knows_role("editor").await), (Ok(true), Ok(false)));
    assert!(scene.fake.take_seen().is_empty());
    let rest = engine(&good(&format!("{OWN}url = \"http://127.0.0.1:1\"\n{OWN_STEPS}")));
    assert_eq!(rest.knows_role("x").await.unwrap_err().outcome, Outcome::Unsupported);
}

const EVERYONE_VIEWS: &str = "[[org]]\nid = 1\nrole = \"Viewer\"\n";

// --- organisations ---------------------------------------------------------------------------------------

#[tokio::test]
async fn row_20_a_person_is_put_into_one_or_more_organisations_by_their_numbers() {
    let scene = Scene::new(Flavour::Grafana).await;
    let orgs = "[[org]]\nid = 1\n[[org]]\nid = \"4\"\ngroups = [\"dev-*\"]\n[[org]]\nid = 7\ngroups = [\"sre\"]\n[headers]\nX-Orgs = \"{join(roles, ',')}{size(orgs)}\"\n";
    let policy = scene.policy("grafana", orgs);
    let pass = ready(&scene.world.sign_in(&ada(&["dev-web"]), &policy).await);
    assert_eq!(header(&pass, "x-orgs").as_deref(), Some("2"));
    assert_eq!((scene.org("1").len(), scene.org("4").len(), scene.org("7").len()), (1, 1, 0));
    // Grafana knows organisations by number, and says so before anybody signs in.
    let named = format!("[[org]]\nid = \"General\"\n[provision]\nconnector = \"grafana\"\nurl = \"http://x\"\n{CREDENTIAL}");
    assert_eq!(
        said(&named),
        ["bad-value connector `grafana` knows organisations by number the application shows the number of an organisation: id = 1"]
    );
}

#[tokio::test]
async fn row_21_each_organisation_has_its_own_role_and_one_that_changes_is_changed() {
    let scene = Scene::new(Flavour::Grafana).await;
    let orgs = "[[org]]\nid = 4\nrole = \"Viewer\"\n[[org]]\nid = 4\ngroups = [\"sre\"]\nrole = \"Editor\"\n[[org]]\nid = 7\ngroups = [\"sre\", \"dev-*\"]\nrole = \"Admin\"\n";
    let policy = scene.policy("grafana", &format!("{ROLES}{EVERYONE}{orgs}"));
    scene.boss_of("7");
    scene.enters(&ada(&["dev-web"]), &policy).await;
    let of_ada = |id: &str| scene.org(id).into_iter().find(|(login, _)| login == "ada").map(|(_, role)| role);
    assert_eq!((of_ada("1"), of_ada("4"), of_ada("7")), (Some("Editor".into()), Some("Viewer".into()), Some("Admin".into())));
    scene.world.clock.advance_ms(2_000);
    scene.fake.take_seen();
    scene.enters(&ada(&["sre"]), &policy).await;
    // Said twice for one organisation: the higher role counts.
    assert_eq!((of_ada("1"), of_ada("4"), of_ada("7")), (Some("Admin".into()), Some("Editor".into()), Some("Admin".into())));
    let writes: Vec<String> = scene.fake.take_lines().into_iter().filter(|line| !line.starts_with("GET ")).collect();
    let id = scene.world.record("ada").await.unwrap().account_id.unwrap();
    // Incremental: asked to join, told that the person is there, the role changed.
    let change = |org: u32| [format!("POST /api/orgs/{org}/users"), format!("PATCH /api/orgs/{org}/users/{id}")];
    assert_eq!(writes, [change(1), change(4)].concat());
}

#[tokio::test]
async fn row_27_a_membership_without_a_role_gets_the_connectors_default() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", "[[org]]\nid = 4\n");
    scene.enters(&ada(&[]), &policy).await;
    assert_eq!(scene.org("4"), members(&[("ada", "Viewer")]));
}

/// What should be taken back and cannot be keeps the person out, whether it is the whole membership or the role in it; so does a change that is not answered.
#[tokio::test]
async fn row_13_more_than_the_policy_gives_is_no_way_in() {
    let out = "[[org]]\nid = 7\ngroups = [\"sre\"]\nrole = \"Admin\"\n";
    let down = format!("{ROLES}[[org]]\nid = 7\nrole = \"{{role}}\"\n");
    for (sections, expected, fault) in
        [(out, PublicMessage::AccountFailed, false), (&*down, PublicMessage::AccountFailed, false), (&*down, PublicMessage::AccountUnavailable, true)]
    {
        let scene = Scene::new(Flavour::Grafana).await;
        let policy = scene.policy("grafana", sections);
        scene.enters(&ada(&["sre"]), &policy).await;
        scene.world.clock.advance_ms(2_000);
        // Without it, Ada is the organisation's last administrator.
        if fault {
            scene.boss_of("7");
            (0..3).for_each(|_| scene.fake.fail_next("PATCH /api/orgs/7", Fault::Status(503)));
        }
        assert_eq!(refused(&scene.world.sign_in(&ada(&["staff"]), &policy).await), expected, "{sections}");
        assert!(fault || scene.log().contains("last administrator"), "{}", scene.log());
    }
}

// --- Grafana's awkward answers ---------------------------------------------------------------------------

#[tokio::test]
async fn grafana_is_believed_only_about_the_person_who_was_asked_for() {
    let policy_of = |scene: &Scene, more: &str| scene.policy("grafana", &format!("{EVERYONE_VIEWS}{more}"));
    // Somebody's address is Ada's login, somebody's login is her address: nobody is taken for anybody.
    for other in
        [User { login: "eve".into(), email: Some("ada".into()), ..User::default() }, User { login: "ada@example.com".into(), ..User::default() }]
    {
        let scene = Scene::new(Flavour::Grafana).await;
        scene.fake.add_user(other);
        assert_eq!(refused(&scene.world.sign_in(&ada(&[]), &policy_of(&scene, "")).await), PublicMessage::AccountExists);
        assert_eq!(scene.fake.users().len(), 1);
    }
    // 404 from something that is not Grafana is no "none".
    let scene = Scene::new(Flavour::Grafana).await;
    for _ in 0..3 {
        scene.fake.fail_next("GET /api/users/lookup", Fault::Status(404));
    }
    assert_eq!(refused(&scene.world.sign_in(&ada(&[]), &policy_of(&scene, "")).await), PublicMessage::AccountUnavailable);
    assert!(scene.fake.users().is_empty());
    // The lookup never shows that somebody is disabled; the account itself does. A server administrator stays one.
    for change in [|user: &mut User| user.disabled = true, |user: &mut User| user.admin = true] {
        let scene = Scene::new(Flavour::Grafana).await;
        scene.fake.add_user(User { login: "ada".into(), email: Some("ada@example.com".into()), ..User::default() });
        scene.fake.change("ada", change);
        let adopt = format!("[provision]\nconnector = \"grafana\"\non_existing = \"adopt\"\nmatch = [\"email\"]\nurl = \"{}\"\n", scene.fake.url);
        let policy = good(&format!("{EVERYONE_VIEWS}{adopt}{CREDENTIAL}"));
        scene.serve(&policy);
        assert_eq!(refused(&scene.world.sign_in(&ada(&[]), &policy).await), PublicMessage::AccountExists);
        assert_eq!(scene.org("1"), []);
    }
}

#[tokio::test]
async fn grafana_s_refusals_to_change_an_external_user_do_not_close_the_app() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", &format!("{ROLES}{EVERYONE}"));
    scene.enters(&ada(&["staff"]), &policy).await;
    scene.fake.change("ada", |user| user.record["external"] = json!(true));
    scene.world.clock.advance_ms(2_000);
    let renamed = Identity { name: Some("Countess".into()), ..ada(&["staff"]) };
    assert_eq!(scene.enters(&renamed, &policy).await, "ada");
    // A role that Grafana syncs by itself: less than wanted, and the log says which setting it is.
    scene.fake.change("ada", |user| user.record["synced"] = json!(true));
    scene.world.clock.advance_ms(2_000);
    assert_eq!(scene.enters(&ada(&["dev-web"]), &policy).await, "ada");
    assert!(scene.log().contains("skip_org_role_sync"), "{}", scene.log());
    assert_eq!(scene.world.record("ada").await.unwrap().state, AccountState::Degraded);
    // Others are served as ever.
    assert_eq!(scene.enters(&person("bo", "bo", &["staff"]), &policy).await, "bo");
}

#[tokio::test]
async fn a_create_at_grafana_whose_answer_is_lost_makes_one_account_in_the_right_organisation() {
    for fault in [Fault::DropAfter, Fault::Truncated, Fault::DropBefore, Fault::Html, Fault::Status(500), Fault::Status(503)] {
        let scene = Scene::new(Flavour::Grafana).await;
        let policy = scene.policy("grafana", "[[org]]\nid = 4\nrole = \"Editor\"\n");
        scene.fake.fail_next("POST /api/admin/users", fault.clone());
        assert_eq!(scene.enters(&ada(&[]), &policy).await, "ada", "{fault:?}");
        assert_eq!((scene.fake.users().len(), scene.org("4"), scene.org("1")), (1, members(&[("ada", "Editor")]), vec![]), "{fault:?}");
    }
}

/// Whoever has come in by the header is external to Grafana, and no external user can be switched off there: what they may is taken away instead.
#[tokio::test]
async fn a_leaver_whom_grafana_does_not_switch_off_is_in_no_organisation_and_gets_theirs_again_on_return() {
    for drift in ["report", "correct"] {
        let scene = Scene::new(Flavour::Grafana).await;
        let sections = "drift = \"report\"\n[provision.leavers]\naccount = \"disable\"\ndelete_after = \"30d\"\n".replace("report", drift);
        let orgs = "[[org]]\nid = 1\n[[org]]\nid = 4\ngroups = [\"dev-*\"]\nrole = \"Editor\"\n";
        let policy = good(&format!("{orgs}\n[provision]\nconnector = \"grafana\"\nurl = \"{}\"\n{CREDENTIAL}{sections}", scene.fake.url));
        scene.serve(&policy);
        scene.enters(&ada(&["dev-web"]), &policy).await;
        let before = (members(&[("ada", "Viewer")]), members(&[("ada", "Editor")]));
        assert_eq!((scene.org("1"), scene.org("4")), before);
        scene.fake.change("ada", |user| user.record["external"] = json!(true));
        let leaves = async || {
            scene.world.clock.advance_ms(2_000);
            let cause = Cause::Access { as_of: scene.world.clock.now() };
            assert_eq!(scene.world.desk.leaves(&key_at("wiki", "ada"), &policy, cause, None).await, Departure::Left);
        };
        leaves().await;
        assert_eq!((scene.org("1"), scene.org("4"), scene.fake.users().len()), (vec![], vec![], 1), "{drift}: {}", scene.log());
        assert_eq!(scene.world.record("ada").await.unwrap().state, AccountState::Suspended);
        scene.world.clock.advance_ms(2_000);
        scene.enters(&ada(&["dev-web"]), &policy).await;
        assert_eq!((scene.org("1"), scene.org("4")), before, "{drift}");
        assert!(!scene.log().contains("drift.detected"), "{}", scene.log());
        // For good.
        leaves().await;
        scene.world.clock.advance_ms(31 * 86_400_000);
        scene.world.desk.tend(&[Arc::clone(&policy)], true).await;
        assert_eq!(scene.fake.users().len(), 0, "{}", scene.log());
    }
}

// --- login and password ----------------------------------------------------------------------------------

const FIRST_LAST: &str = "[user]\nname = \"{slug(given_name)}-{slug(family_name)}\"\n";

fn named(subject: &str, given: &str, family: &str) -> Identity {
    Identity { given_name: Some(given.into()), family_name: Some(family.into()), ..person(subject, subject, &[]) }
}

#[tokio::test]
async fn row_24_a_login_is_first_name_and_last_name_in_plain_letters() {
    for (given, family, expected) in
        [("Ada", "Lovelace", "ada-lovelace"), ("Zoë", "Brontë-Núñez", "zoe-bronte-nunez"), ("Łukasz", "Groß", "lukasz-gross")]
    {
        let scene = Scene::new(Flavour::Grafana).await;
        let policy = scene.policy("grafana", &format!("{FIRST_LAST}{EVERYONE_VIEWS}"));
        assert_eq!(scene.enters(&named("s1", given, family), &policy).await, expected);
        assert_eq!(scene.fake.users()[0].login, expected);
    }
}

#[tokio::test]
async fn row_24_namesakes_are_refused_or_told_apart() {
    let one = named("s1", "Ada", "Lovelace");
    let others = [named("s2", "Ada", "Lovelace"), named("s3", "Ada", "Lovelace")];
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", &format!("{FIRST_LAST}{EVERYONE_VIEWS}"));
    scene.enters(&one, &policy).await;
    assert_eq!(refused(&scene.world.sign_in(&others[0], &policy).await), PublicMessage::AccountExists);

    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", &format!("{FIRST_LAST}on_collision = \"suffix\"\n{EVERYONE_VIEWS}"));
    scene.enters(&one, &policy).await;
    assert_eq!(
        (scene.enters(&others[0], &policy).await, scene.enters(&others[1], &policy).await),
        ("ada-lovelace-2".into(), "ada-lovelace-3".into())
    );

    // The hash is the person's: the same at every app, in whatever order they come.
    let mut seen = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let scene = Scene::new(Flavour::Grafana).await;
        let policy = scene.policy("grafana", &format!("{FIRST_LAST}on_collision = \"hash\"\n{EVERYONE_VIEWS}"));
        assert_eq!(scene.enters(&one, &policy).await, "ada-lovelace");
        let mut names = [String::new(), String::new()];
        for at in order {
            names[at] = scene.enters(&others[at], &policy).await;
        }
        let hashed =
            |name: &String| name.strip_prefix("ada-lovelace-").is_some_and(|hash| hash.len() == 10 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(names.iter().all(hashed) && names[0] != names[1], "{names:?}");
        assert_eq!(scene.enters(&others[0], &policy).await, names[0], "and at the next sign-in");
        seen.push(names);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn row_24_a_long_login_is_cut_and_a_suffix_still_fits() {
    let check = |max: usize, on_collision: &str| format!("{FIRST_LAST}name_max = {max}\non_collision = \"{on_collision}\"\n{EVERYONE_VIEWS}");
    let scene = Scene::new(Flavour::Grafana).await;
    // Cut behind a dash, which goes too.
    let policy = scene.policy("grafana", &check(4, "suffix"));
    assert_eq!(scene.enters(&named("s1", "Ada", "Lovelace"), &policy).await, "ada");
    assert_eq!(scene.enters(&named("s2", "Ada", "King"), &policy).await, "ad-2");
    let policy = scene.policy("grafana", &check(12, "hash"));
    let login = scene.enters(&named("s3", "Ada", "King"), &policy).await;
    assert_eq!(login, "ada-king");
    let login = scene.enters(&named("s4", "Ada", "King"), &policy).await;
    assert!(login.starts_with("a-") && login.len() == 12, "{login}");
    // Characters, not bytes.
    let policy = scene.policy("grafana", &format!("[user]\nname = \"{{name}}\"\nname_max = 3\n{EVERYONE_VIEWS}"));
    assert_eq!(scene.enters(&Identity { name: Some("ΑΒΓΔ".into()), ..person("s5", "s5", &[]) }, &policy).await, "ΑΒΓ");
}

#[tokio::test]
async fn row_25_a_password_that_an_app_insists_on_is_random_and_nobody_ever_sees_it() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", &format!("{EVERYONE_VIEWS}[headers]\nX-User = \"{{user.name}}\"\n"));
    let mut passwords = Vec::new();
    for name in ["ada", "bo"] {
        let pass = ready(&scene.world.sign_in(&person(name, name, &[]), &policy).await);
        let seen = scene.fake.take_seen();
        let made: Vec<Value> =
            seen.iter().filter(|seen| seen.line() == "POST /api/admin/users").map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
        let password = made[0]["password"].as_str().unwrap().to_owned();
        assert!(made.len() == 1 && password.len() >= 43 && password.len() <= 72, "{made:?}");
        for class in
            [|c: char| c.is_ascii_uppercase(), |c: char| c.is_ascii_lowercase(), |c: char| c.is_ascii_digit(), |c: char| c.is_ascii_punctuation()]
        {
            assert!(password.contains(class));
        }
        let elsewhere =
            seen.iter().any(|seen| seen.target.contains(&password) || (seen.line() != "POST /api/admin/users" && seen.body.contains(&password)));
        let record = format!("{:?}", scene.world.record(name).await);
        assert!(!elsewhere && !record.contains(&password) && !format!("{pass:?}").contains(&password) && !scene.log().contains(&password));
        passwords.push(password);
    }
    assert_ne!(passwords[0], passwords[1]);
    // Nor is it set again at a later sign-in.
    scene.world.clock.advance_ms(2 * 3_600_000);
    scene.enters(&Identity { name: Some("New Name".into()), ..ada(&[]) }, &policy).await;
    assert!(scene.fake.take_seen().iter().all(|seen| !seen.body.contains("password")));
}

#[test]
fn row_25_what_cannot_be_done_about_a_password_is_an_error() {
    let check = |connector: &str, written: &str, expected: &[&str]| {
        let policy = format!("[provision]\nconnector = \"{connector}\"\nurl = \"http://x\"\ntoken = \"cred:x\"\ninitial_password = \"{written}\"\n");
        assert_eq!(said(&policy), expected, "{connector} {written}");
    };
    check(
        "grafana",
        "none",
        &["bad-value connector `grafana` makes no account without a password leave the key out: one that nobody knows is set, and never kept"],
    );
    check("scim", "random", &["bad-value connector `scim` has no place for a password leave the key out: people sign in through the gateway"]);
    check("grafana", "random", &[]);
    check("scim", "none", &[]);
    // Only where an account is made, and only in its body.
    for bad in ["get = \"/users?x={random}\"", "get = \"/users/{random}\""] {
        let steps = OWN_STEPS.replacen("get = \"/users.json?name={user.name}\"", bad, 1);
        let said = said(&format!("{OWN}url = \"http://x\"\n{steps}"));
        assert!(said.len() == 1 && said[0].starts_with("unknown-name there is no `random`"), "{said:?}");
    }
    let update = OWN_STEPS.replacen("on = \"create\"", "on = [\"create\", \"update\"]", 1).replacen("mail = ", "password = \"{random}\"\nmail = ", 1);
    assert!(said(&format!("{OWN}url = \"http://x\"\n{update}"))[0].starts_with("unknown-name there is no `random`"));
}

const OWN: &str = "[provision]\nconnector = \"rest\"\n";
const OWN_STEPS: &str = r#"
[provision.find]
get = "/users.json?name={user.name}"
list = "users"
where = "item.login == user.name"
[[provision.step]]
name = "make"
on = "create"
post = "/users.json"
save = { id = "user.id" }
[provision.step.body.user]
login = "{user.name}"
mail = "{user.email}"
"#;

#[tokio::test]
async fn row_25_a_policy_s_own_steps_may_set_one_too() {
    for (key, expected) in [("", true), ("initial_password = \"none\"\n", false)] {
        let scene = Scene::new(Flavour::Redmine).await;
        let steps = OWN_STEPS.replacen("mail = ", "password = \"{random}\"\nmail = ", 1);
        let policy = good(&format!("{OWN}{key}url = \"{}\"\n{steps}", scene.fake.url));
        scene.serve(&policy);
        assert_eq!(scene.enters(&ada(&[]), &policy).await, "ada");
        let sent = scene.fake.users()[0].record["user"]["password"].as_str().map(str::len);
        assert_eq!(sent.is_some_and(|length| length > 40), expected, "{key}");
    }
}

// --- attributes ------------------------------------------------------------------------------------------

/// What Grafana was sent when the account was made.
async fn made_with(sections: &str, identity: Identity) -> Value {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", sections);
    scene.enters(&identity, &policy).await;
    scene.fake.users()[0].record.clone()
}

#[tokio::test]
async fn row_41_an_attribute_that_the_app_requires_is_asked_for_by_name_before_any_call() {
    let scene = Scene::new(Flavour::Grafana).await;
    let policy = scene.policy("grafana", EVERYONE_VIEWS);
    assert_eq!(refused(&scene.world.sign_in(&Identity { email: None, ..ada(&[]) }, &policy).await), PublicMessage::IncompleteSignIn);
    assert!(scene.fake.take_seen().is_empty());
    assert!(scene.log().contains("`email` is missing from the sign-in"), "{}", scene.log());
}

#[test]
fn row_42_an_attribute_that_the_app_does_not_have_is_an_error_with_a_way_out() {
    let check = |extra: &str, more: &str, expected: &[&str]| {
        let policy = format!("[user.extra]\n{extra}\n{EVERYONE_VIEWS}[provision]\nconnector = \"grafana\"\nurl = \"http://x\"\n{CREDENTIAL}{more}");
        assert_eq!(said(&policy), expected, "{extra}");
    };
    let unknown = |name: &str, near: &str| {
        let message = format!("unknown-attribute connector `grafana` has no attribute `{name}`, and nothing else uses it");
        format!("{message} {near}attributes: email, name use it as {{user.extra.{name}}}, or leave it out")
    };
    check("nmae = \"{name}\"", "", &[&unknown("nmae", "did you mean `name`? ")]);
    check("phone = \"{claims.phone}\"", "", &[&unknown("phone", "")]);
    check("phone = \"{claims.phone}\"", "[headers]\nX-Phone = \"{user.extra.phone}\"\n", &[]);
    check("name = \"{name}\"", "", &[]);
}

#[tokio::test]
async fn row_44_an_attribute_may_be_a_constant() {
    let made = made_with(&format!("[user.extra]\nname = \"ACME staff\"\n{EVERYONE_VIEWS}"), ada(&[])).await;
    assert_eq!(made["name"], "ACME staff");
}

#[tokio::test]
async fn row_45_an_attribute_may_come_from_any_claim() {
    let identity = claims(ada(&[]), json!({ "custom_profile": { "id": "P-17" } }));
    let made = made_with(&format!("[user.extra]\nname = \"{{claims.custom_profile.id}}\"\n{EVERYONE_VIEWS}"), identity).await;
    assert_eq!(made["name"], "P-17");
}

#[tokio::test]
async fn row_46_an_attribute_may_come_from_the_first_of_several_that_is_there() {
    let sections = format!("[user.extra]\nname = [\"{{claims.profileID}}\", \"{{claims.employeeNumber}}\", \"unknown\"]\n{EVERYONE_VIEWS}");
    for (given, expected) in [
        (json!({ "profileID": "p", "employeeNumber": "e" }), "p"),
        (json!({ "profileID": " ", "employeeNumber": 4711 }), "4711"),
        (json!({}), "unknown"),
    ] {
        let made = made_with(&sections, claims(ada(&[]), given)).await;
        assert_eq!(made["name"].as_str().map_or_else(|| made["name"].to_string(), str::to_owned), expected);
    }
}

#[tokio::test]
async fn row_48_a_connector_brings_its_mapping_and_a_policy_only_overrides() {
    let identity = || Identity { name: Some("Ada Lovelace".into()), ..ada(&[]) };
    let made = made_with(EVERYONE_VIEWS, identity()).await;
    assert_eq!((&made["login"], &made["email"], &made["name"]), (&json!("ada"), &json!("ada@example.com"), &json!("Ada Lovelace")));
    let made = made_with(&format!("[user.extra]\nname = \"{{family_name}}\"\n{EVERYONE_VIEWS}"), identity()).await;
    assert_eq!((&made["email"], &made["name"]), (&json!("ada@example.com"), &json!("Lovelace")));
}

#[test]
fn row_49_what_the_app_cannot_be_without_cannot_be_left_out() {
    let check = |omit: &str, expected: &[&str]| {
        let policy = format!("[user]\nomit = [{omit}]\n{EVERYONE_VIEWS}[provision]\nconnector = \"grafana\"\nurl = \"http://x\"\n{CREDENTIAL}");
        assert_eq!(said(&policy), expected, "{omit}");
    };
    check("\"email\"", &["attribute-locked connector `grafana` cannot be without `email` where it comes from is free: [user] email = \"…\""]);
    check("\"name\"", &["attribute-locked the login cannot be left out: it is who the account is where it comes from is free: [user] name = \"…\""]);
    check("\"dispaly\"", &["unknown-attribute there is no attribute `dispaly` to leave out did you mean \"display\"?"]);
    check("\"display\"", &[]);
    // Another name for the address is no way around it.
    let own = "[user]\nomit = [\"email\"]\n[user.extra]\nemail = \"{claims.mail}\"\n";
    let said = said(&format!("{own}{EVERYONE_VIEWS}[provision]\nconnector = \"grafana\"\nurl = \"http://x\"\n{CREDENTIAL}"));
    assert!(said[0].starts_with("attribute-locked"), "{said:?}");
}

#[tokio::test]
async fn row_50_where_a_locked_attribute_comes_from_is_free() {
    let identity = || claims(ada(&[]), json!({ "mail2": "countess@example.org" }));
    let made = made_with(&format!("[user]\nemail = \"{{claims.mail2}}\"\n{EVERYONE_VIEWS}"), identity()).await;
    assert_eq!(made["email"], "countess@example.org");
    let made = made_with(&format!("[user.extra]\nemail = \"noreply+{{username}}@example.com\"\n{EVERYONE_VIEWS}"), identity()).await;
    assert_eq!(made["email"], "noreply+ada@example.com");
}

#[tokio::test]
async fn row_51_an_attribute_can_be_switched_off() {
    let identity = || Identity { name: Some("Ada Lovelace".into()), ..ada(&[]) };
    let made = made_with(&format!("[user]\nomit = [\"display\"]\n{EVERYONE_VIEWS}"), identity()).await;
    assert_eq!((made.get("name"), &made["email"]), (None, &json!("ada@example.com")));
    // By the connector's own name for it, where [user] has none; headers may still say it.
    let scene = Scene::new(Flavour::Scim).await;
    let policy = scene.policy("scim", "[user]\nomit = [\"givenName\", \"displayName\"]\n[headers]\nX-Name = \"{user.display}\"\n");
    let pass = ready(&scene.world.sign_in(&identity(), &policy).await);
    let record = scene.fake.users()[0].record.clone();
    assert_eq!((record.get("displayName"), record["name"].get("givenName"), &record["name"]["familyName"]), (None, None, &json!("Lovelace")));
    assert_eq!(header(&pass, "x-name").as_deref(), Some("Ada Lovelace"));
}

#[test]
fn row_52_what_a_connector_can_do_is_data() {
    let of = |name: &str| builtin().iter().find(|model| model.name == name).unwrap();
    let (grafana, hub, scim) = (of("grafana"), of("jupyterhub"), of("scim"));
    let can = |what: &str| [grafana, hub, scim].map(|model| model.supports(what));
    assert_eq!(can("create"), [true, true, true]);
    assert_eq!(can("disable"), [true, false, true]);
    assert_eq!(can("members"), [true, true, true]);
    assert_eq!(can("members.org"), [true, false, false]);
    assert_eq!(can("member"), [false, false, false]);
    assert_eq!(can("lookup.email"), [true, false, true]);
    assert!(grafana.capabilities().iter().any(|can| can == "members.org.remove"), "{:?}", grafana.capabilities());
    // Whether the app makes accounts by itself, and what to switch off.
    let advice = grafana.sign_in.native_jit.as_ref().unwrap();
    assert_eq!((advice.settings.len(), advice.want.as_str()), (2, "false"));
    assert!(advice.to_string().starts_with("[auth.jwt] auto_sign_up, [auth.proxy] auto_sign_up should be false: "), "{advice}");
    assert!(hub.sign_in.native_jit.as_ref().is_some_and(|advice| advice.to_string().contains("allow_existing_users")));
    assert!(scim.sign_in.native_jit.as_ref().is_some_and(|advice| advice.settings.is_empty() && advice.to_string().contains("switch that off")));
}
