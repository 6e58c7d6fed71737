//! A person's journeys in Debian's Chromium. `journey.mjs` drives and tells, one JSON line a step; what must be true is said here.

use crate::harness::{App, Gateway, OidcProvider, Part, Road, ScimServer, Site, lab, repository};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::Duration;

struct House {
    site: Site,
    provider: OidcProvider,
    app: App,
    directory: ScimServer,
    road: Road,
    _gateway: Gateway,
}

/// Two apps for one directory: `wiki` makes accounts, `tickets` needs none.
async fn house() -> House {
    let site = Site::new();
    let provider = OidcProvider::start(&site).await;
    let app = App::start().await;
    let directory = ScimServer::start(&site).await;
    let road = Road::to(directory.port).await;
    let token = site.secret("scim-token", ScimServer::TOKEN);
    let common = |label: &str| {
        format!(
            r#"
host     = "{label}.vestibule.test"
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

[headers]
X-Remote-User = "{{user.name}}"
"#,
            port = app.port
        )
    };
    let provision = format!("\n[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:{}/v2\"\ntoken = \"{token}\"\n", road.port);
    let policies = [("wiki", common("wiki") + &provision), ("tickets", common("tickets"))];
    let gateway = Gateway::start(&site, &provider, &policies).await;
    House { site, provider, app, directory, road, _gateway: gateway }
}

impl House {
    async fn journey(&self, name: &str) -> Vec<Value> {
        journey(&self.site, name).await
    }
}

/// Runs one journey of `journey.mjs` to its end and returns what it told, step by step.
pub(crate) async fn journey(site: &Site, name: &str) -> Vec<Value> {
    let shots = repository().join("target/lab/shots");
    fs::create_dir_all(&shots).expect("target takes folders");
    let certificate = repository().join("certs/vestibule.test.pem");
    let asked = json!({ "journey": name, "port": site.port(), "shots": shots, "certificate": certificate });
    let mut node = Command::new(lab("node_modules/.bin/node"));
    node.arg(repository().join("tests/real/journey.mjs")).arg(asked.to_string());
    let mut part = Part::start("chromium", &node, site.folder());
    let status = part.finished().await;
    let steps: Vec<Value> = part.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(status.success(), "the journey broke off after {steps:#?}\n{}", part.log());
    steps
}

/// The step of this name.
fn step<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name} in {steps:#?}"))
}

fn text<'a>(steps: &'a [Value], name: &str, field: &str) -> &'a str {
    let step = step(steps, name);
    step[field].as_str().unwrap_or_else(|| panic!("no text {field} in {step}"))
}

#[tokio::test]
async fn a_person_without_access_reads_why_and_whom_to_ask_and_may_use_another_account() {
    let house = house().await;
    let steps = house.journey("denied").await;
    let page = step(&steps, "denied");
    assert_eq!(page["status"], 403, "{page}");
    assert!(text(&steps, "denied", "heading").contains("have access"), "{page}");
    let words = text(&steps, "denied", "text");
    for part in ["it-apps@example.com", "con@vendor.example", page["incident"].as_str().expect("a code")] {
        assert!(words.contains(part), "{part} is not on the page: {words}");
    }
    assert_eq!(text(&steps, "another account", "person"), "ada");
    let people: Vec<_> = house.app.seen().iter().flat_map(|seen| seen.all("x-remote-user")).collect();
    assert!(people.iter().all(|person| person == "ada"), "nothing was forwarded for the other one: {people:?}");
    assert!(house.directory.users_named("con").await.is_empty());
}

#[tokio::test]
async fn a_newcomer_waits_a_moment_and_is_in() {
    let house = house().await;
    house.road.delay(Duration::from_secs(2));
    let steps = house.journey("first_visit").await;
    assert!(text(&steps, "waiting", "heading").contains("Setting up your Wiki account"), "{steps:#?}");
    assert_eq!((&step(&steps, "waiting")["scripts"], &step(&steps, "waiting")["painted"]), (&json!(0), &json!(1)), "seen, and no JavaScript needed");
    let held: Vec<_> = steps.iter().filter(|step| step["step"] == "held").collect();
    assert_eq!(held.len(), 1, "one answer that was held, no polling: {held:?}");
    assert_eq!(held[0]["status"], 303, "{held:?}");
    assert!(held[0]["ms"].as_f64().is_some_and(|ms| ms > 1000.0), "held until the account was there: {held:?}");
    assert!(text(&steps, "arrived", "url").ends_with("/deep/link?x=1"), "{steps:#?}");
    assert_eq!(text(&steps, "arrived", "person"), "ada");
    assert_eq!(house.directory.users_named("ada").await.len(), 1);
    assert_eq!(house.road.count("POST /v2/Users"), 1);
    assert_eq!(house.app.seen().iter().filter(|seen| seen.line == "GET /deep/link?x=1").count(), 1, "nothing was forwarded before");
    let cookies = step(&steps, "cookies")["cookies"].as_array().expect("a list");
    assert!(!cookies.is_empty());
    for cookie in cookies {
        assert!(cookie["name"].as_str().is_some_and(|name| name.starts_with("__Host-")), "{cookie}");
        assert_eq!((&cookie["secure"], &cookie["httpOnly"]), (&json!(true), &json!(true)), "{cookie}");
    }
}

#[tokio::test]
async fn a_second_app_opens_without_a_second_sign_in() {
    let house = house().await;
    let steps = house.journey("second_app").await;
    assert_eq!(text(&steps, "first", "person"), "ada");
    assert_eq!(text(&steps, "second", "person"), "ada");
    assert!(text(&steps, "second", "url").contains("//tickets."), "{steps:#?}");
    assert_eq!(house.provider.events("granted").len(), 1);
}

#[tokio::test]
async fn signing_out_signs_out_of_both_apps() {
    let house = house().await;
    let steps = house.journey("logout").await;
    assert!(text(&steps, "signed out", "heading").contains("signed out"), "{steps:#?}");
    for app in ["wiki again", "tickets again"] {
        assert!(text(&steps, app, "url").contains("/interaction/"), "{app}: the provider asks again: {steps:#?}");
    }
    assert_eq!(house.provider.events("signed out").len(), 1);
}

#[tokio::test]
async fn twenty_tabs_at_once_all_end_where_they_started() {
    let house = house().await;
    let steps = house.journey("twenty_tabs").await;
    let tabs: Vec<_> = steps.iter().filter(|step| step["step"] == "tab").collect();
    assert_eq!(tabs.len(), 20);
    for tab in tabs {
        assert_eq!((&tab["line"], &tab["person"]), (&json!(format!("GET /tab/{}", tab["number"])), &json!("ada")), "{tab}");
    }
    assert_eq!(house.road.count("POST /v2/Users"), 1);
}

#[tokio::test]
async fn a_text_typed_while_the_session_ended_is_sent_by_reload() {
    let house = house().await;
    let steps = house.journey("typed_text").await;
    assert_eq!(step(&steps, "ended")["status"], 401, "{steps:#?}");
    assert!(text(&steps, "ended", "heading").contains("session has ended"), "{steps:#?}");
    assert!(text(&steps, "new tab", "text").contains("go back to where you were"), "{steps:#?}");
    assert_eq!(text(&steps, "signed in beside", "person"), "ada");
    assert_eq!(text(&steps, "reloaded", "line"), "POST /form");
    assert_eq!(text(&steps, "reloaded", "sent"), "text=three+hours+of+work");
    assert_eq!(house.app.seen().iter().filter(|seen| seen.line == "POST /form").count(), 1, "the app got it once");
}
