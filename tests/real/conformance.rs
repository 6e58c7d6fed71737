//! `vestibule connectors test NAME --live`, as an operator calls it, against the apps themselves; afterwards each app is asked who is there.

use crate::harness::{Hub, InfluxDb, RealApp, Redmine, ScimServer, Site, Superset, Synapse, Zabbix, redmine_groups};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

/// How many scenarios there are.
const SCENARIOS: usize = 31;

/// Administrators of a running app are left alone.
const ADMINISTRATORS: [&str; 2] = ["lookup, administrator", "disable, last administrator"];

/// A policy of the app at `url`.
fn policy(site: &Site, connector: &str, url: &str, mapping: &str, provision: &str) -> String {
    let text = format!(
        "host = \"kit.vestibule.test\"\nupstream = \"http://127.0.0.1:1\"\n[access]\ngroups = [\"staff\", \"admins\"]\n[user]\nname = \"{{slug(username)}}\"\n{mapping}\n\
         [provision]\nconnector = \"{connector}\"\nurl = \"{url}\"\n{provision}\n"
    );
    let file = site.folder().join(format!("{connector}.toml"));
    fs::write(&file, text).expect("the test's folder takes files");
    file.display().to_string()
}

fn kit(connector: &str, policy: &str) -> Output {
    let mut vestibule = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    vestibule.args(["connectors", "test", connector, "--live", policy, "--group", "staff", "--group", "admins", "--json"]);
    vestibule.output().expect("the binary runs")
}

/// What a run came to.
struct Played {
    verdicts: BTreeMap<String, String>,
    left: Vec<String>,
}

/// A run in which everything holds but what does not apply, which is exactly `not` and what is about administrators.
fn conforms(connector: &str, policy: &str, not: &[&str]) -> Played {
    let output = kit(connector, policy);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{told}");
    let played = read(&output);
    assert_eq!(played.verdicts.len(), SCENARIOS, "{said}");
    let none: Vec<&str> = played.verdicts.iter().filter(|(_, verdict)| *verdict == "not applicable").map(|(scenario, _)| scenario.as_str()).collect();
    let mut not = [not, &ADMINISTRATORS].concat();
    not.sort_unstable();
    assert_eq!(none, not, "{said}");
    let held = played.verdicts.values().filter(|verdict| *verdict == "ok").count();
    assert_eq!(held + none.len(), SCENARIOS, "{said}");
    played
}

fn read(output: &Output) -> Played {
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)));
    let rows = shown["scenarios"].as_array().expect("rows");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let verdicts = rows.iter().map(|row| (text(&row["scenario"]), text(&row["verdict"]))).collect();
    Played { verdicts, left: shown["left"].as_array().expect("a list").iter().map(text).collect() }
}

#[tokio::test]
async fn influxdb() {
    let site = Site::new();
    let app = InfluxDb::start(&site).await;
    app.add("adaline").await;
    let before = app.everybody().await;
    let (name, password) = InfluxDb::ADMIN;
    let provision = format!("username = \"{name}\"\npassword = \"{}\"", site.secret("influxdb-password", password));
    let mapping = "[[org]]\nid = \"basics\"\ngroups = [\"staff\"]\n[[org]]\nid = \"extras\"\ngroups = [\"admins\"]";
    let policy = policy(&site, "influxdb", &format!("http://127.0.0.1:{}", app.port()), mapping, &provision);
    // There is neither an address nor a switch there, and nothing about an account but its name.
    let not = ["lookup, switched-off account", "create, e-mail taken", "update", "enable"];
    let played = conforms("influxdb", &policy, &not);
    assert_eq!(played.left, Vec::<String>::new());
    assert_eq!(app.everybody().await, before, "nobody is left behind, nobody else is gone");
}

#[tokio::test]
async fn a_credential_that_the_app_refuses_is_said_so_and_nobody_is_made() {
    let site = Site::new();
    let app = InfluxDb::start(&site).await;
    let before = app.everybody().await;
    let url = format!("http://127.0.0.1:{}", app.port());
    let provision = format!("username = \"labadmin\"\npassword = \"{}\"", site.secret("influxdb-password", "another-password-than-it-has"));
    let wrong = policy(&site, "influxdb", &url, "", &provision);
    let output = kit("influxdb", &wrong);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let played = read(&output);
    assert_eq!(played.verdicts["probe"], "failed");
    assert_eq!(played.verdicts.values().filter(|verdict| *verdict == "ok").count(), 0, "{:?}", played.verdicts);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("another-password"), "no secret is shown");
    // A policy of another app, and one that makes no accounts, come to no run at all.
    assert_eq!(kit("redmine", &wrong).status.code(), Some(2));
    assert_eq!(app.everybody().await, before);
}

#[tokio::test]
async fn redmine() {
    let site = Site::new();
    let app = Redmine::start(&site).await;
    redmine_groups(&app).await;
    app.add("adaline").await;
    let before = app.everybody().await;
    let provision = format!("headers = {{ X-Redmine-API-Key = {{ secret = \"{}\" }} }}", site.secret("redmine-key", Redmine::KEY));
    let mapping = "[roles]\nmap = { staff = \"Basics\", admins = \"Extras\" }\npick = \"all\"";
    let policy = policy(&site, "redmine", &format!("http://127.0.0.1:{}", app.port()), mapping, &provision);
    let played = conforms("redmine", &policy, &[]);
    assert_eq!(played.left, Vec::<String>::new());
    assert_eq!(app.everybody().await, before, "nobody is left behind, nobody else is gone");
}

#[tokio::test]
async fn zabbix() {
    let site = Site::new();
    let app = Zabbix::start(&site).await;
    app.add("adaline").await;
    let before = app.everybody().await;
    let provision = format!("token = \"{}\"\nsettings = {{ token_in_body = true }}", site.secret("zabbix-token", &app.token().await));
    let mapping = "[[org]]\nid = \"Basics\"\ngroups = [\"staff\"]\n[[org]]\nid = \"Extras\"\ngroups = [\"admins\"]";
    let policy = policy(&site, "zabbix", &format!("http://127.0.0.1:{}", app.port()), mapping, &provision);
    // Users have no address of their own there, and are made with their groups.
    let played = conforms("zabbix", &policy, &["create, e-mail taken", "create, then a membership fails"]);
    assert_eq!(played.left, Vec::<String>::new());
    assert_eq!(app.everybody().await, before, "nobody is left behind, nobody else is gone");
}

#[tokio::test]
async fn synapse() {
    let site = Site::new();
    let app = Synapse::start(&site).await;
    app.add("adaline").await;
    let before = app.everybody().await;
    let provision = format!("token = \"{}\"", site.secret("synapse-token", &app.token));
    let policy = policy(&site, "synapse", &format!("http://127.0.0.1:{}", app.port()), "", &provision);
    // The admin API takes nobody out of a room, so that the connector grants none.
    let not = [
        "create, e-mail taken",
        "create, then a membership fails",
        "membership, granted twice",
        "membership, taken back twice",
        "membership, unknown group",
        "membership, other letter case",
        "membership, given by hand",
    ];
    let played = conforms("synapse", &policy, &not);
    assert_eq!(app.everybody().await, before, "nobody is left behind, nobody else is gone");
    // Synapse gives no name again, and the kit says whose stay taken: those accounts are no longer anybody's.
    assert_eq!(played.left.len(), 2, "{:?}", played.left);
    for left in &played.left {
        let (login, how) = left.split_once(' ').expect("a login, and how it was left");
        assert_eq!(how, "(removed; the app keeps the name)");
        assert!(app.show(login).await.is_some_and(|account| !account.active), "{login}");
    }
}

#[tokio::test]
async fn jupyterhub() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    for path in ["/users/adaline", "/groups/notebooks", "/groups/notebook-admins"] {
        hub.make(path).await;
    }
    let (people, groups) = (hub.accounts().await, hub.ask("/groups").await);
    let provision = format!("token = \"{}\"", site.secret("hub-token", Hub::TOKEN));
    let mapping = "[roles]\nmap = { staff = \"notebooks\", admins = \"notebook-admins\" }\npick = \"all\"";
    let policy = policy(&site, "jupyterhub", &format!("http://127.0.0.1:{}/hub/api", hub.api_port), mapping, &provision);
    // There are neither addresses nor switches there; a group that is missing is made.
    let not = [
        "lookup, switched-off account",
        "create, e-mail taken",
        "update",
        "membership, unknown group",
        "membership, other letter case",
        "disable",
        "disable, twice",
        "enable",
    ];
    let played = conforms("jupyterhub", &policy, &not);
    assert_eq!(played.left, Vec::<String>::new());
    assert_eq!(hub.accounts().await, people, "nobody is left behind, nobody else is gone");
    assert_eq!(hub.ask("/groups").await, groups, "no group is made, and nobody is left in one");
}

#[tokio::test]
async fn superset() {
    let site = Site::new();
    let app = Superset::start(&site).await;
    app.add("adaline").await;
    let before = app.everybody().await;
    let (name, password) = Superset::ADMIN;
    let provision = format!("username = \"{name}\"\npassword = \"{}\"", site.secret("superset-password", password));
    let mapping = "[roles]\nmap = { staff = \"Gamma\", admins = \"Alpha\" }\npick = \"all\"";
    let policy = policy(&site, "superset", &format!("http://127.0.0.1:{}", app.port()), mapping, &provision);
    // Nobody is without a role, so that an account is made with its roles.
    let played = conforms("superset", &policy, &["create, then a membership fails"]);
    assert_eq!(played.left, Vec::<String>::new());
    assert_eq!(app.everybody().await, before, "nobody is left behind, nobody else is gone");
}

#[tokio::test]
async fn scim2_server_as_the_rfc_has_it_and_without_filters() {
    let site = Site::new();
    let server = ScimServer::start(&site).await;
    for group in ["Wiki People", "Wiki Admins"] {
        let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": group });
        server.ask("POST", "/v2/Groups", Some(body.to_string())).await;
    }
    server.add_user(&json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "adaline" })).await;
    let before = server.users().await;
    let token = site.secret("scim-token", ScimServer::TOKEN);
    let url = format!("http://127.0.0.1:{}/v2", server.port);
    let mapping = "[roles]\nmap = { staff = \"Wiki People\", admins = \"Wiki Admins\" }\npick = \"all\"";
    for settings in ["", "settings = { search = \"list\", memberships = \"list\" }", "settings = { update = \"put\", external_id = false }"] {
        let policy = policy(&site, "scim", &url, mapping, &format!("token = \"{token}\"\n{settings}"));
        let played = conforms("scim", &policy, &["create, e-mail taken"]);
        assert_eq!(played.left, Vec::<String>::new(), "{settings}");
        assert_eq!(server.users().await, before, "{settings}: nobody is left behind, nobody else is gone");
        for group in ["Wiki People", "Wiki Admins"] {
            assert_eq!(server.members_of(group).await, Vec::<String>::new(), "{settings}: {group}");
        }
        assert_eq!(server.ask("GET", "/v2/Groups", None).await["totalResults"], 2, "{settings}: no group is made");
    }
    // Without groups of its own, the run makes none: what would is said, and not played.
    let lacking =
        policy(&site, "scim", &url, "[roles]\nmap = { staff = \"Nowhere\" }", &format!("token = \"{token}\"\nsettings = {{ create_groups = true }}"));
    let output = kit("scim", &lacking);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(read(&output).verdicts["membership, granted twice"], "not applicable");
    assert_eq!(server.ask("GET", "/v2/Groups", None).await["totalResults"], 2, "no group is made");
    assert_eq!(server.users().await, before);
}
