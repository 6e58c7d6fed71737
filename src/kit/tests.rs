//! Every connector that is built in, through the kit; and a kit that can fail.

use super::{Dialect, ORDER, Row, Verdict, connector_of, dialects, run, scripted, show};
use crate::connector::builtin::{builtin, named};
use crate::connector::model::Model;
use crate::source::SourceFile;
use std::sync::Arc;

/// Plays everything; what does not apply is exactly `not`.
fn conforms(name: &str, not: &[&str]) {
    let model = named(connector_of(name)).expect("built in");
    let dialect = scripted(name).expect("scripted").expect("a dialect that reads");
    let rows = run(&model, &dialect).expect("a policy that compiles");
    assert!(show::is_good(&rows), "{}", show::table(name, &rows));
    let order: Vec<&str> = rows.iter().map(|row| row.scenario).collect();
    assert_eq!(order, ORDER);
    // What is said not to apply is looked at by a person, here.
    let none: Vec<&str> = rows.iter().filter(|row| matches!(row.verdict, Verdict::NotApplicable(_))).map(|row| row.scenario).collect();
    assert_eq!(none, not, "{}", show::table(name, &rows));
}

/// Two accounts may have one address there, or none is written there.
const ADDRESS: &str = "create, e-mail taken";
/// An account is made with its memberships, in one call.
const WHOLE: &str = "create, then a membership fails";
/// No connector classifies an answer about the last administrator, for none is known from the app's documents, source or behaviour: nothing is switched off, removed or taken
/// back there that the app would keep.
const LAST: &str = "disable, last administrator";
/// The admin API has no one list of everybody, whoever is switched off among them, with what an account is.
const LIST: &str = "list";
/// Accounts there show no such thing.
const HIDDEN: &str = "lookup, switched-off account";
/// Groups there are numbers.
const SPELLING: &str = "membership, other letter case";
/// Accounts there do not show who is an administrator.
const ADMIN: &str = "lookup, administrator";

macro_rules! connectors {
    ($($name:ident $app:literal [$($not:expr),*];)*) => {
        $(#[test]
        fn $name() {
            conforms($app, &[$($not),*]);
        })*

        #[test]
        fn every_connector_that_is_built_in_is_played() {
            let played = [$($app),*];
            // `rest` has no app.
            let missing: Vec<&str> = builtin().iter().map(|model| model.name.as_str()).filter(|name| *name != "rest" && !played.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
            let unplayed: Vec<&str> = dialects().into_iter().filter(|name| !played.contains(name)).collect();
            assert!(unplayed.is_empty(), "{unplayed:?}");
        }
    };
}

connectors! {
    scim "scim" [ADDRESS, LAST];
    scim_as_entra_id_has_it "scim-entra" [ADDRESS, LAST];
    scim_as_okta_has_it "scim-okta" [ADDRESS, LAST];
    scim_without_filters "scim-nofilter" [ADDRESS, LAST];
    grafana "grafana" [SPELLING];
    jupyterhub "jupyterhub" [HIDDEN, ADDRESS, "update", LAST, "enable"];
    forgejo "forgejo" [];
    gitea "gitea" [];
    gitlab "gitlab" [LAST];
    keycloak "keycloak" [ADMIN, LAST];
    nexus3 "nexus3" [ADDRESS, WHOLE, LAST];
    netbox "netbox" [ADDRESS, WHOLE, LAST];
    nextcloud "nextcloud" [LIST, ADDRESS, WHOLE, LAST];
    mattermost "mattermost" [LAST];
    jenkins "jenkins" [HIDDEN, ADMIN, LIST, ADDRESS, "update", LAST, "enable"];
    sonarqube "sonarqube" [ADMIN, LIST, ADDRESS, "update"];
    metabase "metabase" ["lookup, somebody else's e-mail", ADDRESS];
    discourse "discourse" [LIST, LAST];
    airflow "airflow" [HIDDEN, WHOLE, LAST, "enable"];
    redmine "redmine" [LAST];
    zabbix "zabbix" [ADDRESS, WHOLE, LAST];
    synapse "synapse" [ADDRESS, WHOLE, "membership, granted twice", "membership, taken back twice", "membership, unknown group", SPELLING, "membership, given by hand", LAST];
    influxdb "influxdb" [HIDDEN, ADDRESS, "update", LAST, "enable"];
    superset "superset" [WHOLE, LAST];
}

/// The verdict of one scenario with a connector that was changed for the worse.
fn spoiled(name: &str, good: &str, bad: &str, scenario: &str) -> Verdict {
    let text = std::fs::read_to_string(format!("policies/connectors/{name}.toml")).expect("a connector file");
    assert!(text.contains(good), "{good}");
    let (model, problems) = Model::parse(&SourceFile::new("spoiled.toml", text.replace(good, bad)));
    let model = Arc::new(model.unwrap_or_else(|| panic!("{problems:?}")));
    let rows = run(&model, &scripted(name).expect("scripted").expect("reads")).expect("compiles");
    rows.into_iter().find(|row: &Row| row.scenario == scenario).expect("the scenario").verdict
}

#[test]
fn a_connector_that_is_wrong_fails() {
    let check = |good: &str, bad: &str, scenario: &str| {
        let verdict = spoiled("jupyterhub", good, bad, scenario);
        assert!(matches!(verdict, Verdict::Failed(_)), "{bad} in `{scenario}`: {verdict:?}");
    };
    check(
        "{ status = 409, outcome = \"exists\" },\n  { status = 400, outcome = \"invalid\" },",
        "{ status = 409, outcome = \"created\" },",
        "create, exists",
    );
    check("delete   = \"/groups/{member.id}/users\"", "delete   = \"/groups/{member.id}/nobody\"", "membership, taken back twice");
    check("get      = \"/users?limit=1\"", "get      = \"/nothing\"", "probe");
}

/// What the apps that no document describes well are known for.
#[test]
fn a_connector_that_takes_an_app_for_another_fails() {
    let check = |name: &str, good: &str, bad: &str, scenario: &str| {
        let verdict = spoiled(name, good, bad, scenario);
        assert!(matches!(verdict, Verdict::Failed(_)), "{name}: {bad} in `{scenario}`: {verdict:?}");
    };
    // Redmine hides whoever is locked, lists a page at a time, and has one answer for "in it already" and "gone".
    check("redmine", "status = \"\", \"f[]\"", "\"f[]\"", "lookup, switched-off account");
    check("redmine", "outcome.join == 'exists'", "outcome.join == 'never'", "gone out of band");
    // Zabbix refuses with 200; nobody is in no group.
    check(
        "zabbix",
        "matches = \"already exists\" } }, outcome = \"exists\"",
        "matches = \"already exists\" } }, outcome = \"invalid\"",
        "create, exists",
    );
    check("zabbix", "kind = \"group\"\nname = \"{settings.disabled_group}\"", "kind = \"group\"\nname = \"{settings.group}\"", "disable");
    // Synapse lists nobody who is locked, unless asked to.
    check("synapse", "guests=false&locked=true", "guests=false", "list");
    check("synapse", "\"M_USER_IN_USE\" }, outcome = \"exists\"", "\"M_USER_IN_USE\" }, outcome = \"conflict\"", "create, exists");
    // InfluxDB refuses with 200, and keeps what was taken back in the list.
    check(
        "influxdb",
        "matches = \"already exists\" } }, outcome = \"exists\"",
        "matches = \"already exists\" } }, outcome = \"created\"",
        "create, exists",
    );
    check("influxdb", "'NO PRIVILEGES'", "'NOTHING'", "disable");
    // Who is an administrator stands in a list of roles or groups, or in a text.
    check("airflow", "map = { Admin = true }", "map = { Op = true }", "lookup, administrator");
    check("nextcloud", "\"/groups/*\", map", "\"/groups/0/name\", map", "lookup, administrator");
    check("mattermost", "(system_admin)", "(system_user)", "lookup, administrator");
    check("netbox", "admin    = [\"/is_superuser\", \"/is_staff\"]", "admin    = \"/is_active\"", "lookup, administrator");
    // A group that is found in any letters, and listed in its own, would never be taken back.
    check(
        "gitea",
        "where = { \"/name\" = \"{member.name}\" }",
        "where = { \"/name\" = \"{member.name}\" }, fold = \"ascii_lower\"",
        "membership, other letter case",
    );
    // Metabase shows by id only who is active.
    check(
        "metabase",
        "name     = \"among_all\"\neffect   = \"read\"",
        "name     = \"among_all\"\neffect   = \"read\"\nif       = \"false\"",
        "lookup, switched-off account",
    );
    // Grafana's list has a name of its own for its administrators.
    check("grafana", "[\"/isGrafanaAdmin\", \"/isAdmin\"]", "\"/isGrafanaAdmin\"", "lookup, administrator");
    // What an app keeps is refused, and not gone or in doubt.
    check("metabase", "(?i)last admin", "(?i)the very last", "disable, last administrator");
    check(
        "gitea",
        "status = 422, outcome = \"denied\", reason = \"it owns",
        "status = 422, outcome = \"done\", reason = \"it owns",
        "disable, last administrator",
    );
    // A change that says it was made, and was not.
    check("gitlab", "name = \"{want.name}\"", "nickname = \"{want.name}\"", "update");
}

#[test]
fn an_administrator_is_told_by_any_of_several_places() {
    // Staff who are no superusers: the first place says no, and the second is looked at.
    let verdict = spoiled("discourse", "[\"/admin\", \"/moderator\"]", "[\"/moderator\", \"/admin\"]", "lookup, administrator");
    assert!(matches!(verdict, Verdict::Held(_)), "{verdict:?}");
    let verdict = spoiled("discourse", "[\"/admin\", \"/moderator\"]", "\"/moderator\"", "lookup, administrator");
    assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
}

/// The subgroup `/Archive/Developers` is called as the group is that the policy means, and is none of the gateway's business.
#[tokio::test]
async fn a_subgroup_is_not_the_group_of_the_same_name() {
    use super::backstage::Backstage;
    use super::table::User;
    use crate::connector::{Connector as _, Observation};
    use crate::plan::Step;
    let stage = Backstage::new(&named("keycloak").unwrap(), &scripted("keycloak").unwrap().unwrap()).unwrap();
    let (set, ann) = (stage.set(), stage.person("ann", &[]).unwrap());
    let id = set.put(&stage.dialect, User { external_id: Some(ann.external_id.clone()), ..ann.user() });
    set.app.table().join("group", "g-4", &id, None);
    let seen = async || match set.engine.get(ann.context(Some(&id))).await {
        Ok(Observation::Found(account, _)) => account.memberships["group"].keys().cloned().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let is_in = |group: &str| set.app.table().is_member("group", group, &id);
    assert_eq!(seen().await, Vec::<String>::new());
    let (kind, member) = ("group".to_owned(), "Developers".to_owned());
    set.engine.apply(ann.context(Some(&id)), &Step::Add { kind: kind.clone(), member: member.clone(), role: None }).await.unwrap();
    assert_eq!((seen().await, is_in("g-1"), is_in("g-4")), (vec![member.clone()], true, true));
    set.engine.apply(ann.context(Some(&id)), &Step::Remove { kind, member }).await.unwrap();
    assert_eq!((seen().await, is_in("g-1"), is_in("g-4")), (Vec::new(), false, true), "that one stays");
}

/// Whoever answers in one way to two things is known for it.
#[test]
fn apps_that_answer_a_login_and_an_address_alike_or_as_if_they_had_crashed_are_these() {
    let (mut alike, mut crashes) = (Vec::new(), Vec::new());
    for name in dialects() {
        let dialect = scripted(name).expect("scripted").expect("reads");
        if dialect.route.iter().any(|route| route.taken.is_some() && route.taken == route.exists) {
            alike.push(name);
        }
        if dialect.route.iter().any(|route| route.exists.as_ref().is_some_and(|say| say.status >= 500)) {
            crashes.push(name);
        }
    }
    assert_eq!(
        alike,
        ["grafana", "superset"],
        "Grafana says 412 and \"user already exists\" to both, Superset's SQLite names the address when both are taken"
    );
    assert_eq!(crashes, ["nexus3"], "Nexus says 500 to a login that is taken");
}

#[test]
fn a_dialect_that_does_not_read_is_refused_in_words() {
    let check = |text: &str, expected: &str| {
        let said = Dialect::parse(&SourceFile::new("mine.toml", text)).expect_err("refused");
        assert!(said.contains(expected), "{said}");
    };
    check("user = 1", "missing field `route`");
    check("user = {}\nroute = []\nrout = []", "unknown field `rout`");
    check("user = {}\n[[route]]\non = \"GET /x\"\ndo = \"dance\"", "unknown variant `dance`");
    check("user = {", "mine.toml");
}
