//! Synapse behind the gateway by an exchange of tokens: the gateway's, for one of Synapse's own, which no browser ever sees and which ends with the session.
//!
//! Whose token it is, and whether it is still good, is asked of Synapse.

use crate::harness::{Gateway, OidcProvider, Person, RealApp as _, Reply, Road, Site, Synapse, until};
use serde_json::json;

const HOST: &str = "matrix.vestibule.test";

struct House {
    site: Site,
    synapse: Synapse,
    provider: OidcProvider,
    /// Between the gateway and Synapse.
    road: Road,
}

async fn house() -> House {
    let site = Site::new();
    let synapse = Synapse::start(&site).await;
    let provider = OidcProvider::start(&site).await;
    let road = Road::to(synapse.port()).await;
    House { site, synapse, provider, road }
}

impl House {
    async fn gateway(&self, secret: &str) -> Gateway {
        let (token, secret) = (self.site.secret("synapse-token", &self.synapse.token), self.site.secret("synapse-jwt-secret", secret));
        let policy = format!(
            r#"
title    = "Matrix"
host     = "{HOST}"
upstream = "http://127.0.0.1:{road}"

[access]
groups = ["staff"]

[user]
name = "{{slug(username)}}"

[provision]
connector = "synapse"
url       = "http://127.0.0.1:{port}"
token     = "{token}"

[sign_in]
mode = "token_exchange"

[jwt]
secret   = "{secret}"
audience = "synapse"
ttl      = "30s"
"#,
            road = self.road.port,
            port = self.synapse.port(),
        );
        Gateway::start(&self.site, &self.provider, &[("matrix", policy)]).await
    }

    fn url(&self, path: &str) -> String {
        self.site.url("matrix", path)
    }

    async fn whoami(&self, browser: &mut Person) -> Reply {
        browser.fetch(&self.url("/_matrix/client/v3/account/whoami")).await
    }

    async fn devices(&self, login: &str) -> Vec<String> {
        let devices = self.synapse.ask("GET", &format!("/v2/users/@{login}:lab.test/devices"), None).await.json();
        devices["devices"].as_array().expect("a list").iter().map(|device| device["device_id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Synapse's tokens that went from the gateway with requests for `path`, in order.
    fn tokens_for(&self, path: &str) -> Vec<String> {
        let calls = self.road.calls();
        calls.iter().filter(|call| call.line.contains(path)).map(|call| call.authorization.replace("Bearer ", "")).collect()
    }
}

#[tokio::test]
async fn people_are_themselves_at_synapse_by_a_token_that_they_never_see_and_that_ends_with_their_session() {
    let house = house().await;
    let gateway = house.gateway(Synapse::JWT_SECRET).await;
    let whoami = house.url("/_matrix/client/v3/account/whoami");
    // Synapse's own word for a token that went by.
    let good = async |token: &str| {
        let url = format!("http://127.0.0.1:{}/_matrix/client/v3/account/whoami", house.synapse.port());
        let reply = Person::new().send("GET", &url, &[("authorization", &format!("Bearer {token}"))], None).await;
        (reply.status == 200).then(|| reply.json()["user_id"].as_str().expect("a name").to_owned())
    };

    // Refused: no account, no token.
    assert_eq!(Person::new().sign_in(&whoami, "con").await.status, 403);
    assert_eq!(house.synapse.show("con").await, None);
    assert_eq!(house.road.count("POST /_matrix/client/v3/login"), 0);

    // A newcomer.
    let mut ada = Person::new();
    let page = ada.sign_in(&whoami, "ada").await;
    assert_eq!((page.status, &page.json()["user_id"]), (200, &json!("@ada:lab.test")), "{}\n{}", page.body, gateway.log());
    assert_eq!(house.whoami(&mut ada).await.json()["user_id"], "@ada:lab.test");
    assert_eq!(house.road.count("POST /_matrix/client/v3/login"), 1, "once for a session");
    let first = house.tokens_for("/account/whoami").pop().expect("a token");
    assert_eq!(good(&first).await.as_deref(), Some("@ada:lab.test"));

    // The browser has nothing of it, and what it says of itself is nothing to Synapse.
    assert!(!ada.cookies_of(HOST).join(";").contains(&first) && !page.body.contains(&first) && !format!("{:?}", page.headers).contains(&first));
    let own = [("accept", "application/json"), ("authorization", &*format!("Bearer {}", house.synapse.token))];
    let forged = ada.send("GET", &whoami, &own, None).await;
    assert!(forged.status != 200 || forged.json()["user_id"] == "@ada:lab.test", "{}", forged.body);

    // Another browser of hers has a token of its own, and the next person at this one is somebody else.
    let mut laptop = Person::new();
    assert_eq!(laptop.sign_in(&whoami, "ada").await.json()["user_id"], "@ada:lab.test");
    let second = house.tokens_for("/account/whoami").pop().expect("a token");
    assert_ne!(first, second);
    assert_eq!(house.devices("ada").await.len(), 2);
    let mut shared = laptop.clone();
    shared.walk_away_from(HOST);
    assert_eq!(shared.sign_in(&whoami, "bob").await.json()["user_id"], "@bob:lab.test");

    // Signed out: that token is dead at Synapse, and her other session goes on.
    let click = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin")];
    assert_eq!(ada.send("POST", &house.url("/.vestibule/logout"), &click, None).await.status, 200);
    until("the token is dead", async || good(&first).await.is_none()).await;
    assert_eq!(good(&second).await.as_deref(), Some("@ada:lab.test"));
    assert_eq!(house.whoami(&mut laptop).await.json()["user_id"], "@ada:lab.test");
    assert_eq!(house.devices("ada").await.len(), 1);

    // A Matrix client's own way out ends the session here as well.
    let script = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];
    assert_eq!(laptop.clone().send("POST", &house.url("/_matrix/client/v3/logout"), &script, Some("{}".to_owned())).await.status, 200);
    assert_eq!(house.whoami(&mut laptop).await.status, 401, "nobody is signed in at the gateway");
    until("the token is dead", async || good(&second).await.is_none()).await;
    assert!(house.devices("ada").await.is_empty());
    assert_eq!(house.whoami(&mut shared).await.json()["user_id"], "@bob:lab.test", "and bob is still bob");

    until("the audit log has it all", async || {
        let audit = gateway.audit();
        let count = |action: &str| audit.iter().filter(|event| event["action"] == action && event["mode"] == "token_exchange").count();
        count("signin.bridged") == 3 && count("signout.bridged") == 2
    })
    .await;
    for token in [&first, &second] {
        assert!(!gateway.log().contains(token.as_str()) && !gateway.audit().iter().any(|event| event.to_string().contains(token.as_str())));
    }
}

#[tokio::test]
async fn a_token_that_synapse_has_forgotten_is_replaced_and_a_locked_person_gets_none() {
    let house = house().await;
    let mut gateway = house.gateway(Synapse::JWT_SECRET).await;
    let mut ada = Person::new();
    ada.sign_in(&house.url("/_matrix/client/v3/account/whoami"), "ada").await;
    let devices = house.devices("ada").await;

    // The gateway begins anew, and knows no token: the one for the same session takes the other's place at Synapse.
    gateway.crash_and_restart().await;
    assert_eq!(house.whoami(&mut ada).await.json()["user_id"], "@ada:lab.test");
    assert_eq!(house.devices("ada").await, devices, "the same device");

    // An administrator of Synapse ends it.
    let gone = house.synapse.ask("DELETE", &format!("/v2/users/@ada:lab.test/devices/{}", devices[0]), None).await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    assert_eq!(house.whoami(&mut ada).await.json()["user_id"], "@ada:lab.test", "{}", gateway.log());

    let locked = house.synapse.ask("PUT", "/v2/users/@ada:lab.test", Some(json!({ "locked": true }))).await;
    assert_eq!(locked.status, 200, "{}", locked.body);
    let refused = house.whoami(&mut ada).await;
    assert!(refused.status >= 400, "{}", refused.body);
}

#[tokio::test]
async fn a_token_under_another_secret_opens_nothing() {
    let house = house().await;
    let gateway = house.gateway("test-only-secret-that-synapse-does-not-have").await;
    let page = Person::new().sign_in(&house.url("/_matrix/client/v3/account/whoami"), "ada").await;
    assert_eq!(page.status, 502, "{}", page.body);
    assert_eq!(house.road.count("GET /_matrix"), 0, "nothing is forwarded for somebody who is nobody there");
    assert!(gateway.audit().iter().any(|event| event["action"] == "signin.failed"), "{:?}", gateway.audit());
    assert!(!gateway.log().contains("test-only-secret") && !page.body.contains("test-only-secret"));
}
