//! JupyterHub behind the gateway: accounts by its own admin API, sign-in by the header at its login address.

use crate::harness::{Gateway, Hub, OidcProvider, Person, Road, Site, until};

struct House {
    site: Site,
    hub: Hub,
    road: Road,
    provider: OidcProvider,
}

async fn house() -> House {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    let road = Road::to(hub.api_port).await;
    let provider = OidcProvider::start(&site).await;
    House { site, hub, road, provider }
}

impl House {
    async fn gateway(&self, token: &str) -> Gateway {
        self.gateway_with(token, "").await
    }

    /// With sections of the test's own.
    async fn gateway_with(&self, token: &str, sections: &str) -> Gateway {
        Gateway::start(&self.site, &self.provider, &[("hub", self.policy(token, "notebook-admins", sections))]).await
    }

    /// Administrators become members of `admins`.
    fn policy(&self, token: &str, admins: &str, sections: &str) -> String {
        let token = self.site.secret("hub-token", token);
        format!(
            r#"
title    = "Notebooks"
host     = "hub.vestibule.test"
upstream = "http://127.0.0.1:{port}"

[login]
idp = ["corp"]

[access]
groups  = ["staff"]
contact = "it-apps@example.com"

[user]
name = "{{lower(username)}}"

[provision]
connector = "jupyterhub"
url       = "http://127.0.0.1:{road}/hub/api"
token     = "{token}"

[roles]
map  = {{ admins = "{admins}", staff = "notebooks" }}
pick = "all"

[headers]
X-Remote-User = "{{user.name}}"

{sections}
"#,
            port = self.hub.port,
            road = self.road.port
        )
    }

    fn home(&self) -> String {
        self.site.url("hub", "/hub/login?next=%2Fhub%2Fhome")
    }
}

#[tokio::test]
async fn the_hub_alone_lets_in_no_person_without_an_account() {
    // The control for the tests below: whoever gets in there was made by the gateway.
    let site = Site::new();
    let hub = Hub::start(&site).await;
    let login = format!("http://127.0.0.1:{}/hub/login?next=%2Fhub%2Fhome", hub.port);
    let answer = Person::new().send("GET", &login, &[("x-remote-user", "mallory")], None).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(hub.accounts().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_person_who_may_not_come_in_is_not_made_either() {
    let house = house().await;
    let _gateway = house.gateway(Hub::TOKEN).await;
    let page = Person::new().sign_in(&house.home(), "con").await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(house.hub.accounts().await.is_empty());
    assert!(house.road.calls().iter().all(|call| !call.line.starts_with("POST")), "{:?}", house.road.calls());
}

#[tokio::test]
async fn a_refused_admin_token_lets_nobody_through() {
    let house = house().await;
    let gateway = house.gateway("a-token-that-the-hub-does-not-know").await;
    let page = Person::new().sign_in(&house.home(), "ada").await;
    assert_eq!(page.status, 503, "{}", page.body);
    assert!(!page.body.contains("a-token-that"), "the credential is on no page");
    assert!(!gateway.log().contains("a-token-that"), "and in no log");
    assert!(house.hub.accounts().await.is_empty());
}

#[tokio::test]
async fn a_newcomer_gets_an_account_and_is_signed_in_by_header() {
    let house = house().await;
    let _gateway = house.gateway(Hub::TOKEN).await;
    let mut ada = Person::new();

    let page = ada.sign_in(&house.home(), "ada").await;

    assert_eq!((page.url.path(), page.status), ("/hub/home", 200), "{:?}", ada.trail);
    assert!(page.body.contains(r#"user: "ada""#), "the hub shows the person: {}", page.body);
    assert_eq!(house.hub.accounts().await, ["ada"]);
    assert_eq!(house.road.count("POST /hub/api/users/ada"), 1);
    // What the hub's own pages do: the value of its `_xsrf` cookie, which must have come through the gateway, in a header.
    let cookies = ada.cookies_of("hub.vestibule.test");
    let token = cookies.iter().find_map(|cookie| cookie.strip_prefix("_xsrf=")).expect("the hub's cookie");
    let fetch = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin"), ("x-xsrftoken", token)];
    let account = ada.send("GET", &house.site.url("hub", "/hub/api/user"), &fetch, None).await;
    assert_eq!(account.json()["name"], "ada", "the hub's own cookie passes through the gateway: {}", account.body);
    assert_eq!(house.hub.ask("/groups/notebook-admins").await["users"], serde_json::json!(["ada"]));
}

#[tokio::test]
async fn a_forged_header_at_the_login_address_signs_in_nobody_else() {
    let house = house().await;
    let _gateway = house.gateway(Hub::TOKEN).await;
    Person::new().sign_in(&house.home(), "ada").await;
    let mut bob = Person::new();
    bob.sign_in(&house.home(), "bob").await;
    // Without the hub's own cookies, so that it looks at the header.
    let ours: Vec<_> = bob.cookies_of("hub.vestibule.test").into_iter().filter(|cookie| cookie.starts_with("__Host-vestibule")).collect();
    let forged = [("cookie", ours.join("; ")), ("x-remote-user", "ada".into()), ("x_remote_user", "ada".into()), ("accept", "text/html".into())];
    let forged: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut imposter = Person::new();
    let answer = imposter.send("GET", &house.home(), &forged, None).await;
    assert_eq!(answer.status, 302, "{}", answer.body);
    let hub_cookies = imposter.cookies_of("hub.vestibule.test").join("; ");
    let page =
        Person::new().send("GET", &house.site.url("hub", "/hub/home"), &[("cookie", &format!("{}; {hub_cookies}", ours.join("; ")))], None).await;
    assert!(page.body.contains(r#"user: "bob""#), "{}", page.body);
}

#[tokio::test]
async fn an_account_from_before_is_a_conflict_until_the_policy_says_how_to_recognise_it() {
    let house = house().await;
    let _gateway = house.gateway(Hub::TOKEN).await;
    let token = format!("token {}", Hub::TOKEN);
    let made = format!("http://127.0.0.1:{}/hub/api/users/ada", house.hub.api_port);
    assert_eq!(Person::new().send("POST", &made, &[("authorization", &token)], None).await.status, 201);
    let page = Person::new().sign_in(&house.home(), "ada").await;
    assert_eq!(page.status, 409, "{}", page.body);
    assert_eq!(house.hub.accounts().await, ["ada"]);
}

/// Two people, one browser: what the hub shows the second, and what it does not.
async fn second_person(house: &House) -> String {
    let hub = "hub.vestibule.test";
    let mut browser = Person::new();
    let page = browser.sign_in(&house.home(), "ada").await;
    assert!(page.body.contains(r#"user: "ada""#), "{:?} {}", browser.trail, page.body);
    assert!(browser.cookies_of(hub).iter().any(|cookie| cookie.starts_with("jupyterhub-")), "the hub keeps a session of its own");
    browser.walk_away_from(hub);
    browser.sign_in(&house.site.url("hub", "/hub/home"), "bob").await.body
}

#[tokio::test]
async fn two_people_at_one_browser_never_see_each_other_s_hub() {
    // The control: the hub goes by its own cookie, whatever the header says.
    let control = house().await;
    let _free = control.gateway_with(Hub::TOKEN, "[sign_in]\ncookies = \"free\"\nlogin_url = \"none\"").await;
    let page = second_person(&control).await;
    assert!(page.contains(r#"user: "ada""#), "bob is shown what is ada's: {page}");

    let house = house().await;
    let _bound = house.gateway(Hub::TOKEN).await;
    let page = second_person(&house).await;
    assert!(page.contains(r#"user: "bob""#) && !page.contains("ada"), "{page}");
}

#[tokio::test]
async fn any_page_leads_into_the_hub_and_signing_out_there_signs_out_here() {
    let house = house().await;
    let gateway = house.gateway(Hub::TOKEN).await;
    let mut ada = Person::new();
    let page = ada.sign_in(&house.site.url("hub", "/hub/token"), "ada").await;
    assert_eq!((page.url.path(), page.status), ("/hub/token", 200), "{:?}", ada.trail);
    assert!(page.body.contains(r#"user: "ada""#), "{}", page.body);
    assert_eq!(ada.went_through("/hub/login?vestibule-back=").len(), 1, "{:?}", ada.trail);
    let again = ada.open(&house.site.url("hub", "/hub/home")).await;
    assert!(again.status == 200 && ada.trail.len() == 1, "once for a session: {:?}", ada.trail);

    let before = ada.clone();
    let click = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin")];
    let answer = ada.send("GET", &house.site.url("hub", "/hub/logout"), &click, None).await;
    assert!(answer.status == 200 && answer.body.contains("/.vestibule/logout/done?t="), "{} {}", answer.status, answer.body);
    let script = before.clone().fetch(&house.site.url("hub", "/hub/api/user")).await;
    assert_eq!(script.status, 401, "the session is over for whoever kept its cookies: {}", script.body);
    assert!(gateway.audit().iter().any(|event| event["action"] == "logout"), "{:?}", gateway.audit());
}

#[tokio::test]
async fn a_change_of_role_lands_within_the_session_and_the_hub_s_own_session_is_begun_anew() {
    let house = house().await;
    let gateway = house.gateway(Hub::TOKEN).await;
    let (mut ada, home) = (Person::new(), house.site.url("hub", "/hub/home"));
    let page = ada.sign_in(&home, "ada").await;
    assert!(page.body.contains(r#"user: "ada""#), "{:?} {}", ada.trail, page.body);
    assert_eq!(house.hub.ask("/groups/notebook-admins").await["users"], serde_json::json!(["ada"]));
    let before = ada.cookies_of("hub.vestibule.test").join("; ");

    // The policy now says otherwise about administrators; nobody signs in again.
    gateway.rewrite("hub", &house.policy(Hub::TOKEN, "notebook-owners", ""));
    let mut entered = 0;
    until("the hub has let her in anew", async || {
        let page = ada.open(&home).await;
        assert!(page.status == 200 && page.body.contains(r#"user: "ada""#), "{:?} {}", ada.trail, page.body);
        assert!(ada.trail.iter().all(|hop| hop.url.host_str() == Some("hub.vestibule.test")), "in the same session of the gateway: {:?}", ada.trail);
        entered += ada.went_through("/hub/login?vestibule-back=").len();
        entered > 0
    })
    .await;
    assert_eq!(house.hub.ask("/groups/notebook-owners").await["users"], serde_json::json!(["ada"]));
    assert_eq!(house.hub.ask("/groups/notebook-admins").await["users"], serde_json::json!([]), "what the gateway granted is taken back");

    // What the hub gave then is nothing now, whoever kept it.
    let kept = Person::new().send("GET", &house.site.url("hub", "/hub/api/user"), &[("cookie", &before), ("accept", "application/json")], None).await;
    assert!(kept.status >= 400 || kept.json().get("name").is_none(), "{} {}", kept.status, kept.body);
}

/// A token of the hub's own, as its pages get one, and whether the hub's API still knows whose it is.
async fn token_of(house: &House, person: &mut Person, name: &str) -> String {
    let cookies = person.cookies_of("hub.vestibule.test");
    let xsrf = cookies.iter().find_map(|cookie| cookie.strip_prefix("_xsrf=")).expect("the hub's cookie").to_owned();
    let fetch = [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-origin"),
        ("x-xsrftoken", xsrf.as_str()),
    ];
    let made = person.send("POST", &house.site.url("hub", &format!("/hub/api/users/{name}/tokens")), &fetch, Some("{}".to_owned())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["token"].as_str().expect("a token").to_owned()
}

async fn is_good(house: &House, token: &str) -> bool {
    let url = format!("http://127.0.0.1:{}/hub/api/user", house.hub.api_port);
    Person::new().send("GET", &url, &[("authorization", &format!("token {token}")), ("accept", "application/json")], None).await.status == 200
}

#[tokio::test]
async fn who_leaves_is_removed_from_the_hub_with_their_tokens_and_made_anew_and_an_account_from_before_stays() {
    let mut house = house().await;
    house.hub.make("/users/bob").await;
    let policy = house.policy(Hub::TOKEN, "notebook-admins", "[provision.leavers]\naccount = \"delete\"");
    let policy = policy.replace("[provision]\n", "[provision]\nmatch = [\"login\"]\non_existing = \"adopt\"\n");
    let mut gateway = Gateway::start(&house.site, &house.provider, &[("hub", policy)]).await;
    let mut tokens = Vec::new();
    for name in ["ada", "bob"] {
        let mut person = Person::new();
        let page = person.sign_in(&house.home(), name).await;
        assert_eq!(page.status, 200, "{:?}\n{}", person.trail, gateway.log());
        tokens.push(token_of(&house, &mut person, name).await);
        assert!(is_good(&house, &tokens[tokens.len() - 1]).await, "the control: it opens the hub's API beside the gateway");
    }
    assert_eq!(house.hub.accounts().await, ["bob", "ada"]);

    for name in ["ada", "bob"] {
        house.provider.move_to_groups(name, &[]);
    }
    house.provider.restart().await;
    gateway.crash_and_restart().await;
    for name in ["ada", "bob"] {
        assert_eq!(Person::new().sign_in(&house.home(), name).await.status, 403, "{}", gateway.log());
    }
    until("ada is removed", async || house.hub.accounts().await == ["bob"]).await;
    assert!(!is_good(&house, &tokens[0]).await, "and what she had got for her scripts");
    let of = |name: &'static str, action: &'static str| {
        let is_it = move |event: &serde_json::Value| event["action"] == action && event.to_string().contains(&format!("\"{name}\""));
        gateway.audit().iter().any(is_it)
    };
    until("it is told why bob's stays", async || gateway.audit().iter().any(|event| event.to_string().contains("did not make is not removed"))).await;
    assert!(of("ada", "account.deleted") && !of("bob", "account.deleted"), "{:?}", gateway.audit());
    assert!(is_good(&house, &tokens[1]).await && house.hub.accounts().await == ["bob"]);

    house.provider.move_to_groups("ada", &["staff", "admins"]);
    house.provider.restart().await;
    gateway.crash_and_restart().await;
    let mut ada = Person::new();
    let page = ada.sign_in(&house.home(), "ada").await;
    assert!(page.status == 200 && page.body.contains(r#"user: "ada""#), "{:?}\n{}", ada.trail, gateway.log());
    assert_eq!(house.hub.ask("/groups/notebook-admins").await["users"], serde_json::json!(["ada"]));
    assert!(!is_good(&house, &tokens[0]).await, "what was hers before is nobody's");
}
