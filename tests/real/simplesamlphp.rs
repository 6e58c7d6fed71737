//! Sign-in at SimpleSAMLphp, through the whole gateway to an app, with the account made.

use crate::harness::{App, Gateway, Person, Reply, ScimServer, SimpleSaml, Site};
use serde_json::json;

/// The ways in which the provider signs and encrypts, each a provider, and an app, of the gateway's.
const WAYS: [&str; 7] = ["both", "assertion", "response", "encrypted", "encrypted-alone", "signs", "unsigned"];

struct House {
    site: Site,
    app: App,
    directory: ScimServer,
    gateway: Gateway,
    _provider: SimpleSaml,
}

async fn house() -> House {
    let site = Site::new();
    let provider = SimpleSaml::start(&site).await;
    let app = App::start().await;
    let directory = ScimServer::start(&site).await;
    let token = site.secret("scim-token", ScimServer::TOKEN);
    let idps: String = WAYS.iter().map(|way| provider.idp(way)).collect();
    let policies: Vec<(&str, String)> = WAYS.iter().map(|way| (*way, policy(way, &app, &directory, &token))).collect();
    let gateway = Gateway::start_with(&site, &idps, &policies).await;
    House { site, app, directory, gateway, _provider: provider }
}

/// The app `both` makes accounts; the same person would be the same account in all of them.
fn policy(way: &str, app: &App, directory: &ScimServer, token: &str) -> String {
    let provision = format!("[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:{}/v2\"\ntoken = \"{token}\"\n", directory.port);
    let provision = if way == "both" { provision } else { String::new() };
    format!(
        r#"
host     = "{way}.vestibule.test"
upstream = "http://127.0.0.1:{app}"

[login]
idp = ["{way}"]

[access]
groups  = ["staff"]
contact = "it-apps@example.com"

[user]
name    = "{way}-{{slug(given_name)}}"
email   = "{{lower(email)}}"
display = "{{given_name}} {{family_name}}"

{provision}
[headers]
X-Remote-User   = "{{user.name}}"
X-Remote-Email  = "{{user.email}}"
X-Remote-Groups = "{{join(groups, ',')}}"
"#,
        app = app.port,
    )
}

impl House {
    /// The page of the provider that posts its response.
    async fn response_for(&self, person: &mut Person, way: &str, name: &str) -> Reply {
        let page = person.open(&self.site.url(way, "/deep?x=1")).await;
        if page.body.contains("SAMLResponse") {
            // Signed in at the provider already.
            return page;
        }
        assert!(page.body.contains("name=\"password\""), "the provider's form: {} {} {}", page.url, page.status, page.body);
        let page = person.submit(&page, &[("username", name), ("password", name)]).await;
        assert!(page.body.contains("SAMLResponse"), "the provider's response: {} {} {}", page.url, page.status, page.body);
        page
    }

    /// As a browser does: the form comes from another site, so that it brings no cookie of `SameSite=Lax`; the redirect that follows does.
    async fn post(&self, person: &mut Person, body: String) -> Reply {
        let acs = self.site.url("auth", "/.vestibule/saml/acs");
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "cross-site"),
            ("accept", "text/html"),
        ];
        let answer = Person::new().send("POST", &acs, &form, Some(body)).await;
        if answer.status == 303 { person.open(answer.url.join(answer.header("location")).expect("an address").as_str()).await } else { answer }
    }

    fn reasons(&self) -> Vec<String> {
        let failed = self.gateway.audit().into_iter().filter(|event| event["action"] == "login.failed");
        failed.filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect()
    }
}

#[tokio::test]
async fn s1_s20_what_is_unsigned_changed_used_or_another_browsers_signs_nobody_in() {
    let house = house().await;
    let mut ada = Person::new();
    let page = house.response_for(&mut ada, "unsigned", "ada").await;
    let answer = house.post(&mut ada, page.form().1).await;
    assert_eq!((answer.status, answer.heading()), (403, "Sign-in could not be completed"), "{}", answer.body);

    let page = house.response_for(&mut ada, "both", "ada").await;
    let (action, body) = page.form();
    assert_eq!(action, house.site.url("auth", "/.vestibule/saml/acs"));
    // A letter in the middle of the base64 changes what is signed, or what it is written in.
    let at = body.len() / 2;
    let changed: String = body
        .chars()
        .enumerate()
        .map(|(n, letter)| {
            if n != at {
                letter
            } else if letter == 'A' {
                'B'
            } else {
                'A'
            }
        })
        .collect();
    let answer = house.post(&mut ada, changed).await;
    assert_eq!(answer.status, 403, "{}", answer.body);

    let mut mallory = Person::new();
    let answer = house.post(&mut mallory, body.clone()).await;
    assert!(
        house.app.seen().is_empty() && answer.status != 200 || answer.url.host_str() != Some("both.vestibule.test"),
        "{} {}",
        answer.url,
        answer.body
    );

    let answer = house.post(&mut ada, body.clone()).await;
    assert_eq!((answer.status, answer.url.path()), (200, "/deep"), "{} {}", answer.url, answer.body);
    let seen = house.app.seen().len();
    let answer = house.post(&mut mallory, body).await;
    assert_ne!(answer.url.host_str(), Some("both.vestibule.test"), "{}", answer.body);
    assert_eq!(house.app.seen().len(), seen, "nothing more reached the app");
    assert!(house.reasons().iter().any(|reason| reason == "signature"), "{:?}", house.reasons());
}

#[tokio::test]
async fn people_sign_in_however_the_provider_signs_and_get_an_account() {
    let house = house().await;
    for way in WAYS.into_iter().filter(|way| *way != "unsigned") {
        let mut zoe = Person::new();
        let page = house.response_for(&mut zoe, way, "zoë").await;
        let answer = house.post(&mut zoe, page.form().1).await;
        assert_eq!(
            (answer.status, answer.url.as_str()),
            (200, house.site.url(way, "/deep?x=1").as_str()),
            "{way}: {} {:?}",
            answer.body,
            house.reasons()
        );
        let seen = house.app.last();
        assert_eq!(seen.all("x-remote-user"), [format!("{way}-zoe")], "{way}");
        assert_eq!(seen.all("x-remote-email"), ["zoe@example.com"], "{way}");
    }
    let accounts = house.directory.users_named("both-zoe").await;
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0]["displayName"], "Zoë Brontë-Núñez");
    let mut con = Person::new();
    let page = house.response_for(&mut con, "both", "con").await;
    let answer = house.post(&mut con, page.form().1).await;
    assert_eq!(answer.status, 403, "signed in, and without the group: {}", answer.body);
    assert!(answer.heading().contains("have access"), "{}", answer.heading());
    assert!(house.directory.users_named("both-con").await.is_empty());
}

#[tokio::test]
async fn signing_out_goes_by_the_provider_and_back() {
    let house = house().await;
    let mut ada = Person::new();
    let page = house.response_for(&mut ada, "signs", "ada").await;
    let answer = house.post(&mut ada, page.form().1).await;
    assert_eq!(answer.status, 200, "{} {:?}", answer.body, house.reasons());
    let confirm = ada.open(&house.site.url("signs", "/.vestibule/logout")).await;
    let left = ada.submit(&confirm, &[]).await;
    assert_eq!((left.status, left.heading()), (200, "You are signed out"), "{} {:?}", left.body, ada.trail);
    assert!(!ada.went_through("SingleLogoutService").is_empty(), "{:?}", ada.trail);
    let page = ada.open(&house.site.url("signs", "/")).await;
    assert!(page.body.contains("name=\"password\""), "the provider's own session is over, too: {}", page.body);
}

#[tokio::test]
async fn a_browser_keeps_its_cookies_from_the_form_and_brings_them_after() {
    let house = house().await;
    let steps = crate::browser::journey(&house.site, "saml").await;
    let arrived = &steps[0];
    assert_eq!((&arrived["person"], &arrived["line"]), (&json!("both-ada"), &json!("GET /deep?x=1")), "{arrived}");
    let form = json!({ "method": "POST", "site": "cross-site", "cookies": false });
    let on = json!({ "method": "GET", "site": "cross-site", "cookies": true });
    assert_eq!(arrived["posted"], json!([form, on]), "{arrived}");
}
