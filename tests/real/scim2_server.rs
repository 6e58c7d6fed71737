//! Accounts in scim2-server, made by the gateway before anybody reaches the app.
//!
//! scim2-server is an admin API without an app around it: the app behind the gateway is the tests' own, which shows what it is told.

use crate::harness::{App, Gateway, OidcProvider, Person, Reply, Road, ScimServer, Site, until};
use serde_json::json;
use std::time::Duration;

struct House {
    site: Site,
    provider: OidcProvider,
    app: App,
    directory: ScimServer,
    road: Road,
}

async fn house() -> House {
    let site = Site::new();
    let provider = OidcProvider::start(&site).await;
    let app = App::start().await;
    let directory = ScimServer::start(&site).await;
    let road = Road::to(directory.port).await;
    House { site, provider, app, directory, road }
}

impl House {
    /// The gateway with `wiki`, which makes accounts (and has more keys in `[provision]`), and `tickets`, which does not.
    async fn gateway(&self, provision: &str) -> Gateway {
        let token = self.site.secret("scim-token", ScimServer::TOKEN);
        let policy = format!(
            r#"
host     = "wiki.vestibule.test"
upstream = "http://127.0.0.1:{port}"

[login]
idp = ["corp"]

[access]
groups  = ["staff"]
contact = "it-apps@example.com"

[user]
name    = "{{slug(username)}}"
email   = "{{lower(email)}}"
display = "{{name}}"

[provision]
connector = "scim"
url       = "http://127.0.0.1:{road}/v2"
token     = "{token}"
settings  = {{ create_groups = true }}
{provision}

[roles]
map = {{ admins = "Wiki Admins", staff = "Wiki People" }}
pick = "all"

[headers]
X-Remote-User  = "{{user.name}}"
X-Remote-Email = "{{user.email}}"
"#,
            port = self.app.port,
            road = self.road.port
        );
        let tickets = format!("host = \"tickets.vestibule.test\"\nupstream = \"http://127.0.0.1:{}\"\n[access]\neveryone = true\n", self.app.port);
        Gateway::start(&self.site, &self.provider, &[("wiki", policy), ("tickets", tickets)]).await
    }

    fn wiki(&self, path: &str) -> String {
        self.site.url("wiki", path)
    }
}

fn expect_reached(page: &Reply, address: &str) {
    assert_eq!((page.url.as_str(), page.status), (address, 200), "{}", page.body);
}

#[tokio::test]
async fn an_account_with_this_name_is_nobodys_until_the_policy_says_so() {
    let house = house().await;
    let _gateway = house.gateway("").await;
    // Another case of the same name: scim2-server holds them for equal and answers 409 to a create.
    let old = house.directory.add_user(&json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ADA" })).await;

    let page = Person::new().sign_in(&house.wiki("/"), "ada").await;

    assert_eq!(page.status, 409, "{}", page.body);
    assert!(page.body.contains("it-apps@example.com"), "whom to ask");
    assert!(house.app.seen().is_empty());
    let now = house.directory.users_named("ada").await;
    assert_eq!(now.len(), 1);
    assert_eq!((&now[0]["id"], &now[0]["externalId"]), (&old["id"], &old["externalId"]), "untouched");
}

#[tokio::test]
async fn a_directory_that_refuses_is_a_page_with_a_code_and_trying_again_works() {
    let house = house().await;
    let gateway = house.gateway("retries = 0").await;
    house.road.close();
    let mut ada = Person::new();

    let page = ada.sign_in(&house.wiki("/deep?x=1"), "ada").await;

    assert_eq!(page.status, 503, "{}", page.body);
    assert!(page.body.contains("it-apps@example.com") || page.body.contains("could not be set up"), "{}", page.body);
    let incident = page.header("x-vestibule-incident").to_owned();
    assert!(!incident.is_empty() && page.body.contains(&incident));
    until("the code is in the log too", async || gateway.log().contains(&incident)).await;
    assert!(house.app.seen().is_empty());

    house.road.open();
    // A failure is the answer for a second more, so that Reload is no load.
    until("trying again works", async || ada.open(&house.wiki("/deep?x=1")).await.status == 200).await;
    assert_eq!(house.app.last().line, "GET /deep?x=1");
    assert_eq!(house.directory.users_named("ada").await.len(), 1);
}

#[tokio::test]
async fn a_newcomer_gets_an_account_before_the_app_hears_of_them() {
    let house = house().await;
    let gateway = house.gateway("").await;
    let mut ada = Person::new();

    let page = ada.sign_in(&house.wiki("/start"), "ada").await;

    expect_reached(&page, &house.wiki("/start"));
    let users = house.directory.users().await;
    assert_eq!(users.len(), 1);
    let user = &users[0];
    assert_eq!((&user["userName"], &user["displayName"]), (&json!("ada"), &json!("Ada Lovelace")), "{user}");
    assert_eq!(user["emails"][0]["value"], "ada@example.com", "{user}");
    let external_id = user["externalId"].as_str().expect("ours to recognise the account by");
    assert!(!external_id.contains('@'), "not an address: {external_id}");
    assert_eq!(house.app.last().all("x-remote-user"), ["ada"]);
    assert_eq!(house.road.count("POST /v2/Users"), 1);
    assert!(gateway.audit().iter().any(|event| event["action"] == "account.created"), "{:?}", gateway.audit());

    let before = house.road.calls().len();
    expect_reached(&ada.open(&house.wiki("/again")).await, &house.wiki("/again"));
    assert_eq!(house.road.calls().len(), before, "known by now: no admin call");
}

#[tokio::test]
async fn twenty_first_requests_at_once_make_one_account() {
    let house = house().await;
    let _gateway = house.gateway("").await;
    house.road.delay(Duration::from_millis(100));
    let mut ada = Person::new();
    // Signed in, but at another app: the account is made by the twenty below.
    ada.sign_in(&house.site.url("tickets", "/"), "ada").await;
    assert_eq!(house.road.count("POST"), 0);
    let address = house.wiki("/page");
    let tabs: Vec<_> = (0..20)
        .map(|_| {
            let (mut tab, address) = (ada.clone(), address.clone());
            tokio::spawn(async move { tab.open(&address).await })
        })
        .collect();
    for tab in tabs {
        expect_reached(&tab.await.expect("a page"), &address);
    }
    assert_eq!(house.road.count("POST /v2/Users"), 1, "{:?}", house.road.calls());
    assert_eq!(house.directory.users_named("ada").await.len(), 1);
}

#[tokio::test]
async fn two_people_at_once_are_not_mixed_up() {
    let house = house().await;
    let _gateway = house.gateway("").await;
    house.road.delay(Duration::from_millis(50));
    let visits = ["ada", "bob", "zoë"].map(|sub| {
        let address = house.wiki(&format!("/{sub}"));
        tokio::spawn(async move { (sub, Person::new().sign_in(&address, sub).await) })
    });
    for visit in visits {
        let (sub, page) = visit.await.expect("a page");
        assert_eq!(page.status, 200, "{sub}: {}", page.body);
    }
    for seen in house.app.seen() {
        let path = percent_encoding::percent_decode_str(seen.line.trim_start_matches("GET /")).decode_utf8().expect("UTF-8").into_owned();
        let expected = if path == "zoë" { "zoe" } else { path.as_str() };
        assert_eq!(seen.all("x-remote-user"), [expected], "{}", seen.line);
    }
    assert_eq!(house.directory.users().await.len(), 3);
}

#[tokio::test]
async fn a_slow_directory_shows_the_wait_page_and_then_the_app() {
    let house = house().await;
    let _gateway = house.gateway("").await;
    house.road.delay(Duration::from_millis(1500));
    let mut ada = Person::new();

    let page = ada.sign_in(&house.wiki("/deep?x=1"), "ada").await;

    expect_reached(&page, &house.wiki("/deep?x=1"));
    let waits = ada.went_through("/.vestibule/wait");
    assert!(!waits.is_empty(), "the wait page was shown on the way: {:?}", ada.trail);
    assert_eq!(house.app.seen().len(), 1, "nothing was forwarded before");
    assert_eq!(house.road.count("POST /v2/Users"), 1);
}

#[tokio::test]
async fn known_people_work_on_while_the_directory_is_down() {
    let house = house().await;
    let gateway = house.gateway("retries = 0").await;
    let mut ada = Person::new();
    ada.sign_in(&house.wiki("/"), "ada").await;
    house.road.close();
    expect_reached(&ada.open(&house.wiki("/work")).await, &house.wiki("/work"));
    let page = Person::new().sign_in(&house.wiki("/"), "bob").await;
    assert_eq!(page.status, 503, "{}", page.body);
    assert!(house.app.seen().iter().all(|seen| seen.all("x-remote-user") == ["ada"]), "{}", gateway.log());
}

#[tokio::test]
async fn an_account_from_before_is_adopted_when_the_policy_says_how_to_recognise_it() {
    let house = house().await;
    let _gateway = house.gateway("match = [\"login\"]\non_existing = \"adopt\"").await;
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"];
    let old = house.directory.add_user(&json!({ "schemas": schemas, "userName": "bob", "nickName": "Bobby", "title": "Builder" })).await;

    let page = Person::new().sign_in(&house.wiki("/"), "bob").await;

    expect_reached(&page, &house.wiki("/"));
    let now = house.directory.users_named("bob").await;
    assert_eq!(now.len(), 1, "no second account");
    assert_eq!(now[0]["id"], old["id"], "the same one");
    assert_eq!((&now[0]["nickName"], &now[0]["title"]), (&json!("Bobby"), &json!("Builder")), "what is not ours stays");
}

#[tokio::test]
async fn a_lost_group_is_taken_back_and_what_others_granted_stays() {
    let mut house = house().await;
    let gateway = house.gateway("").await;
    Person::new().sign_in(&house.wiki("/"), "ada").await;
    assert_eq!(house.directory.members_of("Wiki Admins").await, ["ada"]);
    assert_eq!(house.directory.members_of("Wiki People").await, ["ada"]);
    // Somebody puts her into a group by hand.
    let ada = house.directory.users_named("ada").await.remove(0);
    let by_hand = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Chess", "members": [{ "value": ada["id"] }] });
    house.directory.ask("POST", "/v2/Groups", Some(by_hand.to_string())).await;

    house.provider.move_to_groups("ada", &["staff"]);
    house.provider.restart().await;
    let page = Person::new().sign_in(&house.wiki("/"), "ada").await;

    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(house.directory.members_of("Wiki Admins").await, Vec::<String>::new(), "lost with the group: {}", gateway.log());
    assert_eq!(house.directory.members_of("Wiki People").await, ["ada"]);
    assert_eq!(house.directory.members_of("Chess").await, ["ada"], "not ours to take");
    assert_eq!(house.directory.users_named("ada").await.len(), 1);
}

#[tokio::test]
async fn a_change_that_somebody_made_in_between_is_not_overwritten() {
    let mut house = house().await;
    let gateway = house.gateway("").await;
    Person::new().sign_in(&house.wiki("/"), "ada").await;
    let ada = house.directory.users_named("ada").await.remove(0);
    let path = format!("/v2/Users/{}", ada["id"].as_str().expect("an id"));
    let change = |name: &str, value: &str| {
        let operation = json!({ "op": "replace", "path": name, "value": value });
        Some(json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] }).to_string())
    };
    // Something for the gateway to put right; and while its change is on the way, somebody else's.
    house.directory.ask("PATCH", &path, change("displayName", "Somebody Else")).await;
    house.road.hold("PATCH /v2/Users");
    // Other groups: her account is looked at again at once.
    house.provider.move_to_groups("ada", &["staff"]);
    house.provider.restart().await;
    let page = tokio::spawn({
        let address = house.wiki("/");
        async move { Person::new().sign_in(&address, "ada").await }
    });
    until("the change is on the way", async || house.road.waiting() == 1).await;
    house.directory.ask("PATCH", &path, change("nickName", "Countess")).await;
    house.road.open();
    let page = page.await.expect("a page");
    let now = async || house.directory.users_named("ada").await.remove(0);
    until("it is put right after all", async || now().await["displayName"] == "Ada Lovelace").await;

    assert_eq!(page.status, 200, "{}: {}", page.body, gateway.log());
    let now = now().await;
    assert_eq!(now["nickName"], "Countess", "what was changed in between stays: {now}");
    let sent: Vec<u16> = house.road.calls().iter().filter(|call| call.line.starts_with("PATCH /v2/Users")).map(|call| call.status).collect();
    assert_eq!(sent, [412, 204], "refused (RFC 7644 3.14), looked at again and sent once more: {:?}", house.road.calls());
}

#[tokio::test]
async fn killed_between_the_create_and_our_record_the_next_sign_in_adopts() {
    // jit-behaviours J15.
    let house = house().await;
    let mut gateway = house.gateway("").await;
    house.road.cut_answers_to("POST /v2/Users");
    let first = tokio::spawn({
        let address = house.wiki("/");
        async move {
            let mut ada = Person::new();
            // Ends with the gateway, one way or another.
            let form = ada.open(&address).await;
            ada.answer_provider(&form, "ada").await
        }
    });
    until("the account was made", async || house.road.count("POST /v2/Users") == 1).await;
    gateway.crash_and_restart().await;
    first.abort();
    house.road.open();
    assert_eq!(house.directory.users_named("ada").await.len(), 1, "made before the crash");

    let page = Person::new().sign_in(&house.wiki("/"), "ada").await;

    expect_reached(&page, &house.wiki("/"));
    assert_eq!(house.directory.users_named("ada").await.len(), 1, "and adopted after it: {:?}", house.road.calls());
    assert_eq!(house.road.count("POST /v2/Users"), 1, "without a second create: {:?}", house.road.calls());
    assert_eq!(house.app.last().all("x-remote-user"), ["ada"]);
    let told: Vec<_> = gateway.audit().into_iter().filter(|event| event["action"] == "account.created").collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_looked_for_and_not_sent_again() {
    let house = house().await;
    let _gateway = house.gateway("timeout = \"1s\"").await;
    house.road.cut_answers_to("POST /v2/Users");
    let mut ada = Person::new();
    let page = ada.sign_in(&house.wiki("/"), "ada").await;
    house.road.open();
    let page = if page.status == 200 { page } else { ada.open(&house.wiki("/")).await };
    expect_reached(&page, &house.wiki("/"));
    assert_eq!(house.directory.users_named("ada").await.len(), 1);
    assert_eq!(house.road.count("POST /v2/Users"), 1, "in doubt means looking, not sending again: {:?}", house.road.calls());
}

#[tokio::test]
async fn a_person_refused_by_the_policy_is_never_looked_up() {
    let house = house().await;
    let _gateway = house.gateway("").await;
    let before = house.road.calls().len();
    let page = Person::new().sign_in(&house.wiki("/"), "con").await;
    assert_eq!(page.status, 403, "{}", page.body);
    let about: Vec<_> =
        house.road.calls().into_iter().skip(before).filter(|call| call.target.contains("con") || call.line.starts_with("POST")).collect();
    assert!(about.is_empty(), "{about:?}");
    assert!(house.directory.users().await.is_empty());
}
