//! Superset behind the gateway: accounts and roles by its admin API, people by a header that it reads at one address, and sessions of its own that belong to them.
//!
//! What stands at Superset is asked of Superset.

use super::{Facts, journey, seen};
use crate::harness::{Gateway, OidcProvider, Person, RealApp as _, Seen, Site, Superset, until};

const HOST: &str = "superset.vestibule.test";

#[tokio::test]
async fn superset() {
    let site = Site::new();
    let app = Superset::start(&site).await;
    let (name, password) = Superset::ADMIN;
    let facts = Facts {
        connector: "superset",
        provision: format!("username = \"{name}\"\npassword = \"{}\"", site.secret("superset-password", password)),
        mapping: "[roles]\nmap = { admins = \"Alpha\", staff = \"Gamma\" }\npick = \"all\"",
        mode: "header",
        unknown: Some("[roles]\nmap = { staff = \"Nowhere\" }"),
        new: seen(true, &["Alpha", "Gamma"]),
        less: seen(true, &["Gamma"]),
        off: seen(false, &["Gamma"]),
        back: seen(true, &["Gamma"]),
        minds_case: false,
        gives_names_again: true,
    };
    journey(&site, &app, facts).await;
}

struct House {
    site: Site,
    superset: Superset,
    provider: OidcProvider,
}

async fn house() -> House {
    let site = Site::new();
    let superset = Superset::start(&site).await;
    let provider = OidcProvider::start(&site).await;
    House { site, superset, provider }
}

impl House {
    fn policy(&self, admins: &str) -> String {
        let (name, password) = Superset::ADMIN;
        let password = self.site.secret("superset-password", password);
        format!(
            r#"
title    = "Charts"
host     = "{HOST}"
upstream = "http://127.0.0.1:{port}"

[access]
groups = ["staff"]

[user]
name = "{{lower(username)}}"

[roles]
map  = {{ admins = "{admins}", staff = "Gamma" }}
pick = "all"

[headers]
X-Remote-User = "{{user.name}}"

[provision]
connector = "superset"
url       = "http://127.0.0.1:{port}"
username  = "{name}"
password  = "{password}"
"#,
            port = self.superset.port
        )
    }

    async fn gateway(&self) -> Gateway {
        Gateway::start(&self.site, &self.provider, &[("superset", self.policy("Alpha"))]).await
    }

    fn url(&self, path: &str) -> String {
        self.site.url("superset", path)
    }

    /// Whom Superset takes this browser for: login, and how often they have signed in there.
    async fn me(&self, browser: &mut Person) -> (String, u64) {
        let me = browser.fetch(&self.url("/api/v1/me/")).await;
        assert_eq!(me.status, 200, "{} {}", me.status, me.body);
        let me = me.json()["result"].clone();
        (me["username"].as_str().expect("a name").to_owned(), me["login_count"].as_u64().expect("a number"))
    }

    /// Roles that Superset's own page reads; none while it does not know the browser.
    async fn roles(&self, browser: &mut Person) -> Vec<String> {
        let me = browser.fetch(&self.url("/api/v1/me/roles/")).await;
        if me.status == 401 {
            return Vec::new();
        }
        let mut roles: Vec<String> = me.json()["result"]["roles"].as_object().expect("roles").keys().cloned().collect();
        roles.sort();
        roles
    }
}

#[tokio::test]
async fn a_newcomer_gets_an_account_with_their_roles_and_superset_knows_them() {
    let house = house().await;
    // The control: Superset makes no account for whoever the header names. Whoever gets in below was made by the gateway.
    let (mut mallory, direct) = (Person::new(), format!("http://127.0.0.1:{}", house.superset.port));
    assert_eq!(mallory.send("GET", &format!("{direct}/login/"), &[("x-remote-user", "mallory")], None).await.status, 302);
    assert_eq!(mallory.send("GET", &format!("{direct}/api/v1/me/"), &[], None).await.status, 401);
    assert_eq!(house.superset.show("mallory").await, None);

    let gateway = house.gateway().await;
    assert_eq!(Person::new().sign_in(&house.url("/superset/welcome/"), "con").await.status, 403);
    assert_eq!(house.superset.show("con").await, None);

    let mut ada = Person::new();
    let page = ada.sign_in(&house.url("/superset/welcome/"), "ada").await;
    assert_eq!((page.url.path(), page.status), ("/superset/welcome/", 200), "{:?}\n{}", ada.trail, gateway.log());
    assert_eq!(ada.went_through("/login/?vestibule-back=").len(), 1, "{:?}", ada.trail);
    assert_eq!(house.me(&mut ada).await, ("ada".to_owned(), 1));
    assert_eq!(house.roles(&mut ada).await, ["Alpha", "Gamma"]);
    let account = house.superset.user("ada").await.expect("an account");
    assert_eq!((&account["first_name"], &account["last_name"], &account["email"]), (&"Ada".into(), &"Lovelace".into(), &"ada@example.com".into()));

    // Once for a session; and what somebody claims in a header is nothing to Superset.
    let forged = [("accept", "application/json"), ("x-remote-user", "labadmin"), ("x_remote_user", "labadmin")];
    for path in ["/login/", "/api/v1/me/"] {
        ada.send("GET", &house.url(path), &forged, None).await;
    }
    assert_eq!(house.me(&mut ada).await, ("ada".to_owned(), 1));
    // Without its cookie, so that it looks at the header.
    let ours: Vec<_> = ada.cookies_of(HOST).into_iter().filter(|cookie| cookie.starts_with("__Host-vestibule")).collect();
    let (mut imposter, ours) = (Person::new(), ours.join("; "));
    let headers = [("cookie", ours.as_str()), ("x-remote-user", "labadmin"), ("x_remote_user", "labadmin"), ("accept", "text/html")];
    assert_eq!(imposter.send("GET", &house.url("/login/"), &headers, None).await.status, 302);
    let cookies = format!("{ours}; {}", imposter.cookies_of(HOST).join("; "));
    let me = Person::new().send("GET", &house.url("/api/v1/me/"), &[("cookie", &cookies)], None).await;
    assert_eq!(me.json()["result"]["username"], "ada", "{}", me.body);

    // Its own ways in are shut.
    let login = serde_json::json!({ "username": Superset::ADMIN.0, "password": Superset::ADMIN.1, "provider": "db" });
    let shut = ada.send("POST", &house.url("/api/v1/security/login"), &[("content-type", "application/json")], Some(login.to_string())).await;
    assert_eq!(shut.status, 403, "{}", shut.body);
}

/// Two people, one browser: whom Superset takes the second for at `label`, and whom when they look again.
async fn second_person(house: &House, label: &str) -> String {
    let (host, address) = (format!("{label}.vestibule.test"), house.site.url(label, "/login/?next=/superset/welcome/"));
    let mut browser = Person::new();
    let page = browser.sign_in(&address, "ada").await;
    assert_eq!(page.status, 200, "{:?} {}", browser.trail, page.body);
    let me = house.site.url(label, "/api/v1/me/");
    assert_eq!(browser.fetch(&me).await.json()["result"]["username"], "ada");
    assert!(browser.cookies_of(&host).iter().any(|cookie| cookie.starts_with("session=")), "Superset keeps a session of its own");
    browser.walk_away_from(&host);
    let page = browser.sign_in(&address, "bob").await;
    assert_eq!(page.status, 200, "{:?} {}", browser.trail, page.body);
    browser.fetch(&me).await.json()["result"]["username"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn two_people_at_one_browser_never_see_each_other_s_superset() {
    let house = house().await;
    // The control, beside it: Superset goes by its own cookie, whatever the header says.
    let free = format!(
        "host = \"free.vestibule.test\"\nupstream = \"http://127.0.0.1:{}\"\n[access]\ngroups = [\"staff\"]\n[user]\nname = \"{{lower(username)}}\"\n\
         [headers]\nX-Remote-User = \"{{user.name}}\"\n[sign_in]\ncookies = \"free\"\n",
        house.superset.port
    );
    let policies = [("superset", house.policy("Alpha")), ("free", free)];
    let _gateway = Gateway::start(&house.site, &house.provider, &policies).await;
    assert_eq!(second_person(&house, "superset").await, "bob");
    assert_eq!(second_person(&house, "free").await, "ada", "bob is shown what is ada's");
}

#[tokio::test]
async fn a_change_of_role_lands_within_the_session_and_superset_s_own_session_is_begun_anew() {
    let house = house().await;
    let gateway = house.gateway().await;
    let mut ada = Person::new();
    ada.sign_in(&house.url("/superset/welcome/"), "ada").await;
    assert_eq!(house.roles(&mut ada).await, ["Alpha", "Gamma"]);
    let before = ada.cookies_of(HOST);

    // The policy now says otherwise about administrators; nobody signs in again.
    gateway.rewrite("superset", &house.policy("sql_lab"));
    until("the new role has landed", async || {
        let page = ada.open(&house.url("/superset/welcome/")).await;
        assert_eq!(page.status, 200, "{:?} {}", ada.trail, page.body);
        assert!(ada.trail.iter().all(|hop| hop.url.host_str() == Some(HOST)), "in the same session of the gateway: {:?}", ada.trail);
        house.roles(&mut ada).await == ["Gamma", "sql_lab"]
    })
    .await;
    assert_eq!(house.superset.show("ada").await, Some(seen(true, &["Gamma", "sql_lab"])));
    assert_eq!(house.me(&mut ada).await, ("ada".to_owned(), 2), "Superset's session of before was not gone on with");

    // What it gave then is nothing now, whoever kept it.
    let me = Person::new().send("GET", &house.url("/api/v1/me/"), &[("cookie", &before.join("; "))], None).await;
    assert_eq!(me.status, 401, "{}", me.body);
}

#[tokio::test]
async fn signing_out_at_superset_or_at_the_gateway_ends_both() {
    let house = house().await;
    let gateway = house.gateway().await;
    let click = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin")];

    // By Superset's own link.
    let mut ada = Person::new();
    ada.sign_in(&house.url("/superset/welcome/"), "ada").await;
    let mut kept = ada.clone();
    let answer = ada.send("GET", &house.url("/logout/"), &click, None).await;
    assert!(answer.status == 200 && answer.body.contains("/.vestibule/logout/done?t="), "{} {}", answer.status, answer.body);
    assert_eq!(kept.fetch(&house.url("/api/v1/me/")).await.status, 401, "the session is over for whoever kept its cookies");

    // By the gateway's page. Superset's cookie would be good for weeks: it is of no use to the same person either.
    let mut ada = Person::new();
    ada.sign_in(&house.url("/superset/welcome/"), "ada").await;
    assert_eq!(house.me(&mut ada).await, ("ada".to_owned(), 2));
    let mut kept = ada.clone();
    let post = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin")];
    assert_eq!(ada.send("POST", &house.url("/.vestibule/logout"), &post, None).await.status, 200);
    assert_eq!(kept.fetch(&house.url("/api/v1/me/")).await.status, 401);
    kept.walk_away_from(HOST);
    assert!(kept.cookies_of(HOST).iter().any(|cookie| cookie.starts_with("session=")));
    kept.sign_in(&house.url("/superset/welcome/"), "ada").await;
    assert_eq!(house.me(&mut kept).await, ("ada".to_owned(), 3), "a session of its own");
    assert_eq!(gateway.audit().iter().filter(|event| event["action"] == "logout").count(), 2, "{:?}", gateway.audit());
}

#[tokio::test]
async fn somebody_whom_superset_no_longer_knows_is_not_sent_round_and_round() {
    let house = house().await;
    let gateway = house.gateway().await;
    let mut ada = Person::new();
    ada.sign_in(&house.url("/superset/welcome/"), "ada").await;

    // Removed behind the gateway's back: made again, and let in.
    house.superset.remove("ada").await;
    let page = ada.open(&house.url("/superset/welcome/")).await;
    assert_eq!((page.url.path(), page.status), ("/superset/welcome/", 200), "{:?}\n{}", ada.trail, gateway.log());
    let me = ada.fetch(&house.url("/api/v1/me/")).await;
    assert_eq!(me.json()["result"]["username"], "ada", "{}", me.body);
    assert_eq!(house.superset.show("ada").await, Some(seen(true, &["Alpha", "Gamma"])));

    // Switched off there: Superset sends from /login/ to the page and from the page to /login/, and the gateway puts an end to it.
    house.superset.switch("ada", false).await;
    let page = ada.open(&house.url("/superset/welcome/")).await;
    assert!(page.status >= 400, "{:?} {}", ada.trail, page.body);
    assert!(matches!(house.superset.show("ada").await, Some(Seen { active: false, .. })), "what an administrator switched off stays off");
}
