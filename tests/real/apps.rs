//! Connectors against the apps they are for: every connector goes the same way, and after each step the app itself is asked what stands there.
//!
//! The app's admin API is the real one; behind the gateway stands the tests' own app, so that what is proven is the account. How people are let in is proven
//! apart, where the app can do it at all.

#[path = "superset.rs"]
mod superset;

use crate::harness::{
    App, Gateway, InfluxDb, OidcProvider, Person, Radicale, RealApp, Redmine, Seen, Site, Synapse, Zabbix, redmine_groups, repository, until,
    until_shown,
};
use serde_json::json;

/// What is particular about an app.
struct Facts {
    connector: &'static str,
    /// The rest of `[provision]`, of which the last part may be a section.
    provision: String,
    /// How `staff` and `admins` become memberships.
    mapping: &'static str,
    /// How the app would learn who it is: one of the connector's ways.
    mode: &'static str,
    /// The same with a group that is not there.
    unknown: Option<&'static str>,
    /// A newcomer of both groups.
    new: Seen,
    /// The same person, no longer of `admins`.
    less: Seen,
    /// Switched off.
    off: Seen,
    /// Back again.
    back: Seen,
    /// Whether the app takes `ada` and `ADA` for two.
    minds_case: bool,
    /// Whether a name is given again whose account was removed.
    gives_names_again: bool,
}

/// The file that is built in under this name; a policy may name it as one of its own.
fn connector_file(name: &str) -> String {
    repository().join(format!("policies/connectors/{name}.toml")).display().to_string()
}

fn seen(active: bool, groups: &[&str]) -> Seen {
    Seen { active, groups: groups.iter().map(|group| (*group).to_owned()).collect() }
}

impl Facts {
    fn policy(&self, label: &str, port: u16, app: &App, access: &str, more: &str, mapping: &str) -> String {
        let Self { provision, mode, .. } = self;
        let connector = connector_file(self.connector);
        format!(
            r#"
host     = "{label}.vestibule.test"
upstream = "http://127.0.0.1:{upstream}"

[access]
{access}

[user]
name = "{{slug(username)}}"

{mapping}

[headers]
X-Remote-User = "{{user.name}}"

[sign_in]
mode          = "{mode}"
login_url     = "none"
cookies       = "free"
rejected_when = []

[provision.leavers]
account = "disable"

[provision]
connector = "{connector}"
url       = "http://127.0.0.1:{port}"
fresh     = "1s"
verify    = "1s"
{more}
{provision}
"#,
            upstream = app.port,
        )
    }
}

#[expect(clippy::future_not_send, reason = "awaited by the test itself, never spawned")]
async fn journey(site: &Site, app: &impl RealApp, facts: Facts) {
    let behind = App::start().await;
    let mut provider = OidcProvider::start(site).await;
    let (port, staff) = (app.port(), "groups = [\"staff\"]");
    let mut policies = vec![
        ("app", facts.policy("app", port, &behind, staff, "", facts.mapping)),
        ("adopt", facts.policy("adopt", port, &behind, staff, "match = [\"login\"]\non_existing = \"adopt\"", facts.mapping)),
    ];
    if let Some(unknown) = facts.unknown {
        policies.push(("lost", facts.policy("lost", port, &behind, staff, "retries = 0", unknown)));
    }
    let mut gateway = Gateway::start(site, &provider, &policies).await;
    let address = site.url("app", "/");

    // Neighbours: a longer name that contains the wanted one, and the same in capitals.
    app.add("adaline").await;
    if facts.minds_case {
        app.add("ADA").await;
    }
    app.add("bob").await;
    let neighbours = (app.show("adaline").await, app.show("ADA").await, app.show("bob").await);

    // Refused: nothing is made.
    let page = Person::new().sign_in(&address, "con").await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert_eq!(app.show("con").await, None);

    // There before the gateway, and nobody said how to recognise it.
    let page = Person::new().sign_in(&address, "bob").await;
    assert_eq!(page.status, 409, "{}", page.body);
    assert!(behind.seen().is_empty());

    // Absent: made, exactly this one.
    let page = Person::new().sign_in(&address, "ada").await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, gateway.log());
    assert_eq!(behind.last().all("x-remote-user"), ["ada"]);
    assert_eq!(app.show("ada").await, Some(facts.new.clone()));
    assert_eq!((app.show("adaline").await, app.show("ADA").await, app.show("bob").await), neighbours, "neighbours are untouched");

    // Again, from another browser: nothing new.
    assert_eq!(Person::new().sign_in(&address, "ada").await.status, 200);
    assert_eq!(app.show("ada").await, Some(facts.new.clone()));
    let made = gateway.audit().iter().filter(|event| event["action"] == "account.created").count();
    assert_eq!(made, 1, "{:?}", gateway.audit());

    // Adopted, where the policy says how.
    let page = Person::new().sign_in(&site.url("adopt", "/"), "bob").await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, gateway.log());
    let bob = app.show("bob").await.expect("the same account");
    assert!(bob.active && facts.less.groups.iter().all(|group| bob.groups.contains(group)), "{bob:?}");

    // A group that the app does not have is no way in, and not silently nothing.
    if facts.unknown.is_some() {
        let page = Person::new().sign_in(&site.url("lost", "/"), "zoë").await;
        assert_eq!(page.status, 503, "{}", page.body);
        let told = async || gateway.log().contains("Nowhere") || gateway.audit().iter().any(|event| event.to_string().contains("Nowhere"));
        until("the group that is not there is told by name", told).await;
    }

    // Less: taken back, twice asked.
    provider.move_to_groups("ada", &["staff"]);
    provider.restart().await;
    gateway.crash_and_restart().await;
    for _again in 0..2 {
        assert_eq!(Person::new().sign_in(&address, "ada").await.status, 200, "{}", gateway.log());
        assert_eq!(app.show("ada").await, Some(facts.less.clone()));
    }

    // Left: switched off, and a second look finds it so.
    provider.move_to_groups("ada", &[]);
    provider.restart().await;
    gateway.crash_and_restart().await;
    for _again in 0..2 {
        assert_eq!(Person::new().sign_in(&address, "ada").await.status, 403);
        until_shown(app, "ada", Some(&facts.off)).await;
    }

    // Back: on again.
    provider.move_to_groups("ada", &["staff"]);
    provider.restart().await;
    gateway.crash_and_restart().await;
    let page = Person::new().sign_in(&address, "ada").await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, gateway.log());
    until_shown(app, "ada", Some(&facts.back)).await;

    // Gone, behind our back.
    app.remove("ada").await;
    if facts.gives_names_again {
        until("the account is made again", async || {
            Person::new().sign_in(&address, "ada").await;
            app.show("ada").await.is_some()
        })
        .await;
        until_shown(app, "ada", Some(&facts.less)).await;
    } else {
        until("nobody comes in on an account that is gone", async || Person::new().sign_in(&address, "ada").await.status != 200).await;
        assert!(app.show("ada").await.is_none_or(|account| !account.active));
    }
    assert_eq!((app.show("adaline").await, app.show("ADA").await), (neighbours.0, neighbours.1), "neighbours are untouched to the end");
}

#[tokio::test]
async fn influxdb() {
    let site = Site::new();
    let app = InfluxDb::start(&site).await;
    let (name, password) = InfluxDb::ADMIN;
    let facts = Facts {
        connector: "influxdb",
        provision: format!("username = \"{name}\"\npassword = \"{}\"", site.secret("influxdb-password", password)),
        mapping: "[[org]]\nid = \"basics\"\ngroups = [\"staff\"]\n[[org]]\nid = \"extras\"\ngroups = [\"admins\"]\nrole = \"ALL PRIVILEGES\"",
        mode: "header",
        unknown: Some("[[org]]\nid = \"Nowhere\""),
        new: seen(true, &["basics", "extras"]),
        less: seen(true, &["basics"]),
        off: seen(false, &[]),
        back: seen(true, &["basics"]),
        minds_case: true,
        gives_names_again: true,
    };
    journey(&site, &app, facts).await;
}

#[tokio::test]
async fn redmine() {
    let site = Site::new();
    let app = Redmine::start(&site).await;
    redmine_groups(&app).await;
    let facts = Facts {
        connector: "redmine",
        provision: format!("headers = {{ X-Redmine-API-Key = {{ secret = \"{}\" }} }}", site.secret("redmine-key", Redmine::KEY)),
        mapping: "[roles]\nmap = { admins = \"Extras\", staff = \"Basics\" }\npick = \"all\"",
        mode: "header",
        unknown: Some("[roles]\nmap = { staff = \"Nowhere\" }"),
        new: seen(true, &["Basics", "Extras"]),
        less: seen(true, &["Basics"]),
        off: seen(false, &["Basics"]),
        back: seen(true, &["Basics"]),
        minds_case: false,
        gives_names_again: true,
    };
    journey(&site, &app, facts).await;
}

#[tokio::test]
async fn zabbix() {
    let site = Site::new();
    let app = Zabbix::start(&site).await;
    let facts = Facts {
        connector: "zabbix",
        provision: format!("token = \"{}\"\nsettings = {{ token_in_body = true }}", site.secret("zabbix-token", &app.token().await)),
        mapping: "[[org]]\nid = \"Basics\"\ngroups = [\"staff\"]\n[[org]]\nid = \"Extras\"\ngroups = [\"admins\"]\n[roles]\nmap = { admins = \"Admin role\", staff = \"User role\" }",
        mode: "basic",
        unknown: Some("[[org]]\nid = \"Nowhere\""),
        new: seen(true, &["Basics", "Extras"]),
        less: seen(true, &["Basics"]),
        off: seen(false, &["Disabled"]),
        back: seen(true, &["Basics", "Guests"]),
        minds_case: true,
        gives_names_again: true,
    };
    journey(&site, &app, facts).await;
}

#[tokio::test]
async fn zabbix_lets_in_whom_the_gateway_names() {
    let site = Site::new();
    let app = Zabbix::start(&site).await;
    let provider = OidcProvider::start(&site).await;
    let token = site.secret("zabbix-token", &app.token().await);
    let policy = |label: &str, sign_in: &str| {
        format!(
            "host = \"{label}.vestibule.test\"\nupstream = \"http://127.0.0.1:{port}\"\n[access]\ngroups = [\"staff\"]\n[user]\nname = \"{{slug(username)}}\"\n\
             {sign_in}[[org]]\nid = \"Basics\"\n[provision]\nconnector = \"{connector}\"\nurl = \"http://127.0.0.1:{port}\"\ntoken = \"{token}\"\nsettings = {{ token_in_body = true }}\n",
            port = app.port,
            connector = connector_file("zabbix"),
        )
    };
    // The control, beside it: Zabbix goes by its own cookie, whatever it is told. Whoever has an account by the one has one by the other.
    let adopt = "match = [\"login\"]\non_existing = \"adopt\"\n";
    let free = policy("free", "[sign_in]\ncookies = \"free\"\nlogin_url = \"none\"\nrejected_when = []\n") + adopt;
    let gateway = Gateway::start(&site, &provider, &[("app", policy("app", "")), ("free", free)]).await;
    let profile = |label: &str| site.url(label, "/zabbix.php?action=userprofile.edit");
    let mut browser = Person::new();
    let page = browser.sign_in(&profile("app"), "ada").await;
    assert_eq!(page.status, 200, "{:?}\n{}", browser.trail, gateway.log());
    assert!(page.body.contains("Ada Lovelace"), "Zabbix shows the person: {:?} {}", browser.trail, page.body);

    // The next person at this browser, with all that Zabbix has set still in it.
    let theirs = |browser: &Person, host: &str| browser.cookies_of(host).into_iter().find(|cookie| cookie.starts_with("zbx_session="));
    let host = "app.vestibule.test";
    browser.walk_away_from(host);
    let left = theirs(&browser, host).expect("Zabbix keeps a session of its own");
    let bob = browser.sign_in(&profile("app"), "bob").await;
    assert!(bob.body.contains("Bob Builder") && !bob.body.contains("Ada Lovelace"), "{:?} {}", browser.trail, bob.body);
    assert_ne!(theirs(&browser, host), Some(left), "a session of his own");
    let again = browser.open(&profile("app")).await;
    assert!(again.body.contains("Bob Builder") && !again.body.contains("Ada Lovelace"), "{:?} {}", browser.trail, again.body);

    let mut browser = Person::new();
    browser.sign_in(&site.url("free", "/index_http.php"), "ada").await;
    let page = browser.open(&profile("free")).await;
    assert!(page.body.contains("Ada Lovelace"), "{:?} {}\n{}", browser.trail, page.body, gateway.log());
    browser.walk_away_from("free.vestibule.test");
    let bob = browser.sign_in(&profile("free"), "bob").await;
    assert!(
        bob.body.contains("Ada Lovelace") && !bob.body.contains("Bob Builder"),
        "the control: bob is shown what is ada's: {:?} {}",
        browser.trail,
        bob.body
    );
    let roles = app.ask("user.get", json!({ "filter": { "username": ["ada"] }, "selectRole": ["name"] })).await;
    assert_eq!(roles[0]["role"]["name"], "User role", "nobody said which: the connector's");
}

#[tokio::test]
async fn synapse() {
    let site = Site::new();
    let app = Synapse::start(&site).await;
    let facts = Facts {
        connector: "synapse",
        provision: format!("token = \"{}\"", site.secret("synapse-token", &app.token)),
        mapping: "",
        mode: "header",
        unknown: None,
        new: seen(true, &[]),
        less: seen(true, &[]),
        off: seen(false, &[]),
        back: seen(true, &[]),
        minds_case: false,
        gives_names_again: false,
    };
    journey(&site, &app, facts).await;
}

#[tokio::test]
async fn radicale_is_told_by_header_and_by_nothing_else() {
    // It reads X_Remote_User for X-Remote-User (WSGI): what a client sends in either spelling never arrives.
    let site = Site::new();
    let app = Radicale::start(&site).await;
    let provider = OidcProvider::start(&site).await;
    let policy = std::fs::read_to_string(repository().join("policies/radicale.toml")).expect("the example");
    let policy =
        policy.replace("calendar.example.com", "app.vestibule.test").replace("http://10.0.4.70:5232", &format!("http://127.0.0.1:{}", app.port));
    let _gateway = Gateway::start(&site, &provider, &[("app", policy)]).await;
    let direct = async |user: &str| {
        let url = format!("http://127.0.0.1:{}/{user}/", app.port);
        Person::new().send("PROPFIND", &url, &[("x-remote-user", user), ("depth", "0")], None).await.status
    };
    assert_eq!(direct("ada").await, 207, "the control: Radicale believes whoever it is told");

    let mut bob = Person::new();
    bob.sign_in(&site.url("app", "/.web/"), "bob").await;
    for forged in ["x-remote-user", "x_remote_user"] {
        let headers = [(forged, "ada"), ("depth", "0")];
        assert_eq!(bob.send("PROPFIND", &site.url("app", "/ada/"), &headers, None).await.status, 403, "{forged}: bob is not ada");
        assert_eq!(bob.send("PROPFIND", &site.url("app", "/bob/"), &headers, None).await.status, 207, "{forged}: and still bob");
    }
}
