//! InfluxDB 1.x behind the gateway by a token under a secret that both share (`[jwt] secret`).
//!
//! Who somebody is, InfluxDB itself says, by what it lets them do.

use crate::harness::{Gateway, InfluxDb, OidcProvider, Person, RealApp as _, Reply, Road, Seen, Site};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

struct House {
    site: Site,
    influxdb: InfluxDb,
    provider: OidcProvider,
    /// Between the gateway and InfluxDB.
    road: Road,
}

impl House {
    async fn gateway(&self, secret: &str) -> Gateway {
        let (name, password) = InfluxDb::ADMIN;
        let (password, secret) = (self.site.secret("influxdb-password", password), self.site.secret("influxdb-secret", secret));
        let policy = format!(
            r#"
title    = "Metrics"
host     = "metrics.vestibule.test"
upstream = "http://127.0.0.1:{road}"

[access]
groups = ["staff"]

[user]
name = "{{slug(username)}}"

[[org]]
id     = "basics"
groups = ["staff"]

[[org]]
id     = "extras"
groups = ["admins"]
role   = "ALL PRIVILEGES"

[provision]
connector = "influxdb"
url       = "http://127.0.0.1:{port}"
username  = "{name}"
password  = "{password}"

[jwt]
header = "Authorization"
prefix = "Bearer "
secret = "{secret}"
ttl    = "1m"
claims = {{ username = "{{user.name}}" }}
"#,
            road = self.road.port,
            port = self.influxdb.port(),
        );
        Gateway::start(&self.site, &self.provider, &[("metrics", policy)]).await
    }

    fn url(&self, path: &str) -> String {
        self.site.url("metrics", path)
    }

    async fn write(&self, browser: &mut Person, database: &str) -> Reply {
        let script = [("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin"), ("content-type", "text/plain")];
        browser.send("POST", &self.url(&format!("/write?db={database}")), &script, Some("visits value=1".to_owned())).await
    }
}

async fn house() -> House {
    let site = Site::new();
    let influxdb = InfluxDb::start(&site).await;
    let provider = OidcProvider::start(&site).await;
    let road = Road::to(influxdb.port()).await;
    House { site, influxdb, provider, road }
}

/// The parts of a token that anybody can read.
fn read(token: &str) -> (Value, Value) {
    let parts: Vec<Value> =
        token.split('.').take(2).map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")).collect();
    (parts[0].clone(), parts[1].clone())
}

#[tokio::test]
async fn people_are_themselves_at_influxdb_by_a_token_under_the_shared_secret() {
    let house = house().await;
    let gateway = house.gateway(InfluxDb::SHARED_SECRET).await;
    let databases = house.url("/query?q=SHOW+DATABASES");
    // The control: it lets in nobody without one.
    let direct = format!("http://127.0.0.1:{}/query?q=SHOW+DATABASES", house.influxdb.port());
    assert_eq!(Person::new().send("GET", &direct, &[], None).await.status, 401);

    assert_eq!(Person::new().sign_in(&databases, "con").await.status, 403);
    assert_eq!(house.influxdb.show("con").await, None);

    let mut ada = Person::new();
    let page = ada.sign_in(&databases, "ada").await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, gateway.log());
    assert_eq!(page.json()["results"][0]["series"][0]["values"], serde_json::json!([["basics"], ["extras"]]), "what ada may see");
    assert_eq!(house.influxdb.show("ada").await, Some(Seen { active: true, groups: vec!["basics".to_owned(), "extras".to_owned()] }));
    assert_eq!(house.write(&mut ada, "extras").await.status, 204, "who has all privileges writes");
    let users = ada.fetch(&house.url("/query?q=SHOW+USERS")).await;
    assert!(users.status == 403 && users.body.contains("ada"), "InfluxDB says who it is, and that they are no administrator: {}", users.body);

    // What the browser says of itself is nothing.
    let (name, password) = InfluxDb::ADMIN;
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")));
    let forged = ada.send("GET", &house.url("/query?q=SHOW+USERS"), &[("authorization", &basic), ("accept", "application/json")], None).await;
    assert_ne!(forged.status, 200, "{}", forged.body);

    let mut bob = Person::new();
    let page = bob.sign_in(&databases, "bob").await;
    assert_eq!(page.json()["results"][0]["series"][0]["values"], serde_json::json!([["basics"]]), "what bob may see: {}", page.body);
    for database in ["basics", "extras"] {
        let refused = house.write(&mut bob, database).await;
        assert!(refused.status == 403 && refused.body.contains("bob"), "{database}: {} {}", refused.status, refused.body);
    }

    // The token: for a minute, for this app, under the shared secret and no other key; and the gateway believes none of its kind.
    let token = house.road.calls().last().expect("a call").authorization.replace("Bearer ", "");
    let (header, claims) = read(&token);
    assert_eq!((&header["alg"], header.get("kid")), (&"HS256".into(), None));
    assert_eq!((&claims["username"], &claims["aud"]), (&"bob".into(), &"metrics.vestibule.test".into()));
    assert_eq!(claims["exp"].as_i64().expect("a time") - claims["iat"].as_i64().expect("a time"), 60);
    let bearer = [("authorization", &*format!("Bearer {token}")), ("accept", "application/json")];
    assert_eq!(Person::new().send("GET", &databases, &bearer, None).await.status, 401);
    let keys = Person::new().send("GET", &house.url("/.vestibule/jwks"), &[], None).await;
    assert!(!keys.body.contains("oct") && !keys.body.contains("HS256"), "{}", keys.body);
    assert!(!gateway.log().contains(InfluxDb::SHARED_SECRET));
}

#[tokio::test]
async fn a_token_under_another_secret_is_nobody_s() {
    let house = house().await;
    let gateway = house.gateway("test-only-secret-that-influxdb-does-not-have").await;
    let page = Person::new().sign_in(&house.url("/query?q=SHOW+DATABASES"), "ada").await;
    assert_eq!(page.status, 502, "{}", page.body);
    assert!(!gateway.log().contains("test-only-secret") && !page.body.contains("test-only-secret"));
}
