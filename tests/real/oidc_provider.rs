//! Sign-in at panva's oidc-provider, by an HTTP client that behaves as a browser does.

use crate::harness::{App, Client, Gateway, OidcProvider, Person, Site, until};
use std::collections::HashMap;

/// An app that needs no account made and is told who comes.
fn policy(label: &str, app: &App, idp: &str) -> String {
    format!(
        r#"
host     = "{label}.vestibule.test"
upstream = "http://127.0.0.1:{port}"

[login]
idp = ["{idp}"]

[access]
groups  = ["staff"]
contact = "it-apps@example.com"

[headers]
X-Remote-User   = "{{claims.sub}}"
X-Remote-Name   = "{{name}}"
X-Remote-Groups = "{{join(groups, ',')}}"
"#,
        port = app.port
    )
}

struct House {
    site: Site,
    provider: OidcProvider,
    app: App,
    gateway: Gateway,
}

/// A gateway with the apps `wiki` and `tickets`.
async fn house() -> House {
    let site = Site::new();
    let provider = OidcProvider::start(&site).await;
    house_at(site, provider).await
}

async fn house_at(site: Site, provider: OidcProvider) -> House {
    let app = App::start().await;
    let gateway = Gateway::start(&site, &provider, &[("wiki", policy("wiki", &app, "corp")), ("tickets", policy("tickets", &app, "corp"))]).await;
    House { site, provider, app, gateway }
}

fn query(url: &url::Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    // RFC 9207 section 2.4: compared with the issuer the request went to, before the code is used.
    let house = house().await;
    let mut ada = Person::new();
    let form = ada.open(&house.site.url("wiki", "/")).await;
    let typed = Some("prompt=login&login=ada&password=x".to_owned());
    let resume =
        ada.send("POST", form.url.as_str(), &[("content-type", "application/x-www-form-urlencoded")], typed).await.header("location").to_owned();
    let callback = ada.send("GET", &resume, &[], None).await.header("location").to_owned();
    assert!(callback.contains("iss="), "oidc-provider names itself in its answers: {callback}");
    let mut forged: url::Url = callback.parse().expect("an address");
    let pairs: Vec<_> =
        query(&forged).into_iter().map(|(name, value)| if name == "iss" { (name, "http://127.0.0.1:1".into()) } else { (name, value) }).collect();
    forged.query_pairs_mut().clear().extend_pairs(pairs);

    let answer = ada.open(forged.as_str()).await;

    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(house.provider.events("granted").is_empty(), "the code must not be redeemed");
    assert!(house.app.seen().is_empty(), "nothing reaches the app");
}

#[tokio::test]
async fn a_person_who_cancels_at_the_provider_is_told_so_and_may_start_again() {
    let house = house().await;
    let mut ada = Person::new();
    let form = ada.open(&house.site.url("wiki", "/deep")).await;

    let page = ada.open(&format!("{}/abort", form.url)).await;

    assert_eq!((page.status, page.heading()), (403, "You are not signed in"), "{:?}", ada.trail);
    assert!(house.provider.events("granted").is_empty());
    assert!(house.app.seen().is_empty());
    let incident = page.header("x-vestibule-incident");
    let told = |event: serde_json::Value| event["action"] == "login.failed" && event["incident"] == incident;
    until("the audit log says that it failed, with the code of the page", async || house.gateway.audit().into_iter().any(&told)).await;
    assert_eq!(ada.sign_in(&house.site.url("wiki", "/deep"), "ada").await.status, 200, "the answer used nothing up that is still needed");
}

#[tokio::test]
async fn a_person_without_the_group_gets_a_page_and_the_app_gets_nothing() {
    let house = house().await;
    let page = Person::new().sign_in(&house.site.url("wiki", "/secret"), "con").await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(page.heading().contains("have access"), "{}", page.heading());
    assert!(page.body.contains("it-apps@example.com"), "whom to ask");
    assert!(page.body.contains("con@vendor.example"), "who is signed in");
    let incident = page.header("x-vestibule-incident");
    assert!(!incident.is_empty() && page.body.contains(incident), "the incident code is on the page");
    assert!(!page.body.contains("staff"), "the policy's groups are not the person's business");
    assert!(house.app.seen().is_empty());
    // Nobody waits for the writers of audit and log.
    let told = |event: serde_json::Value| event["action"] == "access.denied" && event["incident"] == incident;
    until("page and audit carry the same code", async || house.gateway.audit().into_iter().any(&told)).await;
    until("and the log", async || house.gateway.log().contains(incident)).await;
}

#[tokio::test]
async fn nothing_is_forwarded_for_a_stranger() {
    let house = house().await;
    let mut stranger = Person::new();
    let answer = stranger.fetch(&house.site.url("wiki", "/api/pages")).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert!(answer.header("content-type").starts_with("application/problem+json"), "{}", answer.header("content-type"));
    let spoofed = stranger.send("GET", &house.site.url("wiki", "/"), &[("x-remote-user", "ada"), ("accept", "text/html")], None).await;
    assert_eq!(spoofed.status, 303, "{}", spoofed.body);
    assert!(house.app.seen().is_empty());
}

#[tokio::test]
async fn code_flow_with_pkce_ends_at_the_deep_link() {
    let house = house().await;
    let mut ada = Person::new();
    let deep = house.site.url("wiki", "/pages/7?q=a%26b&x=%C3%BC");

    let page = ada.sign_in(&deep, "ada").await;

    assert_eq!((page.url.as_str(), page.status), (deep.as_str(), 200), "{}", page.body);
    assert_eq!(ada.trail.first().map(|hop| hop.status), Some(303), "a navigation is sent to sign in");
    let request = house.provider.events("authorized").pop().expect("one authorization")["query"].clone();
    assert_eq!(request["response_type"], "code");
    assert_eq!(request["code_challenge_method"], "S256");
    assert_eq!(request["redirect_uri"], house.site.url("auth", "/.vestibule/callback"));
    for parameter in ["state", "nonce", "code_challenge"] {
        assert!(request[parameter].as_str().is_some_and(|value| value.len() >= 22), "{parameter} has 128 bits: {request}");
    }
    let seen = house.app.last();
    assert_eq!(seen.line, "GET /pages/7?q=a%26b&x=%C3%BC");
    assert_eq!(seen.all("x-remote-user"), ["ada"]);
    assert_eq!(seen.all("x-remote-name"), ["Ada Lovelace"], "from userinfo: the ID token has sub alone");
    assert_eq!(seen.all("x-remote-groups"), ["staff,admins"]);
    assert!(seen.all("cookie").is_empty(), "our cookies stay here: {:?}", seen.all("cookie"));
    assert_eq!(house.app.seen().len(), 1, "one page, one request");
}

#[tokio::test]
async fn a_forged_header_does_not_reach_the_app_in_any_spelling() {
    let house = house().await;
    let mut ada = Person::new();
    ada.sign_in(&house.site.url("wiki", "/"), "ada").await;
    let forged =
        [("x-remote-user", "root"), ("x_remote_user", "root"), ("X-REMOTE-USER", "root"), ("x-remote_user", "root"), ("connection", "x-remote-user")];
    let answer = ada.send("GET", &house.site.url("wiki", "/"), &forged, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = house.app.last();
    assert_eq!(seen.all("x-remote-user"), ["ada"]);
    let others: Vec<_> =
        seen.headers.keys().filter(|name| name.as_str().replace('_', "-") == "x-remote-user" && name.as_str() != "x-remote-user").collect();
    assert!(others.is_empty(), "{others:?}");
}

#[tokio::test]
async fn a_second_app_asks_for_no_second_sign_in_and_a_cookie_of_the_first_opens_nothing_there() {
    let house = house().await;
    let mut ada = Person::new();
    ada.sign_in(&house.site.url("wiki", "/"), "ada").await;

    let there = house.site.url("tickets", "/mine");
    let page = ada.open(&there).await;

    assert_eq!((page.url.as_str(), page.status), (there.as_str(), 200), "{:?}", ada.trail);
    assert_eq!(house.provider.events("granted").len(), 1, "signed in once");
    let (wiki, tickets) = (ada.cookies_of("wiki.vestibule.test"), ada.cookies_of("tickets.vestibule.test"));
    assert!(wiki.iter().all(|cookie| !tickets.contains(cookie)), "each host has a session cookie of its own");
    let stolen =
        Person::new().send("GET", &house.site.url("tickets", "/"), &[("cookie", &wiki.join("; ")), ("accept", "application/json")], None).await;
    assert_eq!(stolen.status, 401, "{}", stolen.body);
}

#[tokio::test]
async fn twenty_tabs_at_once_all_end_where_they_started() {
    let house = house().await;
    let mut ada = Person::new();
    let mut forms = Vec::new();
    for tab in 0..20 {
        let address = house.site.url("wiki", &format!("/tab/{tab}?n={tab}"));
        forms.push((address.clone(), ada.open(&address).await));
    }
    let most = ["wiki.vestibule.test", "auth.vestibule.test"].map(|host| ada.cookies_of(host).join("; ").len());
    assert!(most.iter().all(|bytes| *bytes < 1024), "state lives on the server: {most:?} bytes of cookies");
    for (address, form) in forms {
        let page = ada.answer_provider(&form, "ada").await;
        assert_eq!((page.url.as_str(), page.status), (address.as_str(), 200), "{:?}", ada.trail);
    }
    assert_eq!(house.app.seen().len(), 20);
}

#[tokio::test]
async fn a_callback_that_comes_again_goes_home_and_signs_nobody_else_in() {
    let house = house().await;
    let mut ada = Person::new();
    let deep = house.site.url("wiki", "/deep");
    ada.sign_in(&deep, "ada").await;
    let callback = ada.went_through("/.vestibule/callback").last().expect("a callback").url.clone();

    let again = ada.open(callback.as_str()).await;
    assert_eq!((again.url.as_str(), again.status), (deep.as_str(), 200), "a late callback with a live session goes home: {:?}", ada.trail);

    let mut thief = Person::new();
    let page = thief.open(callback.as_str()).await;
    assert!(page.status >= 400 || page.is_provider_form(), "{}", page.body);
    assert!(thief.fetch(&house.site.url("wiki", "/")).await.status == 401);
    assert_eq!(house.provider.events("granted").len(), 1);
}

#[tokio::test]
async fn logout_ends_the_session_here_and_at_the_provider() {
    let house = house().await;
    let mut ada = Person::new();
    ada.sign_in(&house.site.url("wiki", "/"), "ada").await;
    ada.open(&house.site.url("tickets", "/")).await;
    let before = ada.clone();

    let confirm = ada.open(&house.site.url("wiki", "/.vestibule/logout")).await;
    assert_eq!(ada.fetch(&house.site.url("wiki", "/")).await.status, 200, "looking at the page signs nobody out");
    let asked = ada.submit(&confirm, &[]).await;
    assert!(asked.body.contains("op.logoutForm"), "the provider asks whether to sign out there too: {} {}", asked.url, asked.body);
    let end = ada.submit(&asked, &[("logout", "yes")]).await;

    assert_eq!(end.status, 200, "{}", end.body);
    assert_eq!(end.url.host_str(), Some("auth.vestibule.test"), "back from the provider: {:?}", ada.trail);
    assert!(end.heading().contains("signed out"), "{}", end.heading());
    let requests = house.provider.events("asked to sign out");
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0]["hint"], "ada", "an id_token_hint says whose session it is (RP-Initiated Logout 1.0 section 2)");
    assert_eq!(house.provider.events("signed out").len(), 1);
    for app in ["wiki", "tickets"] {
        let address = house.site.url(app, "/");
        assert_eq!(before.clone().fetch(&address).await.status, 401, "{app}: the old cookies are dead in the store, not only forgotten");
        assert!(ada.clone().open(&address).await.is_provider_form(), "{app}: the provider asks who it is again");
    }
}

#[tokio::test]
async fn a_provider_that_cannot_sign_out_is_named_on_the_page_that_says_so() {
    let site = Site::new();
    let provider = OidcProvider::without_logout(&site).await;
    let house = house_at(site, provider).await;
    let mut ada = Person::new();
    ada.sign_in(&house.site.url("wiki", "/"), "ada").await;
    let before = ada.clone();

    let confirm = ada.open(&house.site.url("wiki", "/.vestibule/logout")).await;
    let end = ada.submit(&confirm, &[]).await;

    assert_eq!((end.status, end.heading()), (200, "You are signed out"), "{:?}", ada.trail);
    assert!(end.body.contains("You may still be signed in at") && end.body.contains("Company account"), "{}", end.body);
    assert_eq!(before.clone().fetch(&house.site.url("wiki", "/")).await.status, 401, "signed out here all the same");
    assert_eq!(house.gateway.audit().iter().filter(|event| event["action"] == "logout").count(), 1);
}

#[tokio::test]
async fn a_person_whose_name_is_not_ascii_is_told_to_the_app_as_they_are() {
    let house = house().await;
    let page = Person::new().sign_in(&house.site.url("wiki", "/"), "zoë").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let seen = house.app.last();
    assert_eq!(seen.all("x-remote-user"), ["zoë"]);
    assert_eq!(seen.all("x-remote-name"), ["Zoë Brontë-Núñez"]);
    assert_eq!(seen.all("x-remote-groups"), ["staff,façade"]);
}

#[tokio::test]
async fn id_tokens_signed_with_rs256_es256_and_eddsa_are_taken() {
    let site = Site::new();
    let clients = [Client { id: "rsa", alg: "RS256" }, Client { id: "ec", alg: "ES256" }, Client { id: "ed", alg: "EdDSA" }];
    let provider = OidcProvider::with_clients(&site, &clients).await;
    let app = App::start().await;
    let policies = clients.map(|client| (client.id, policy(client.id, &app, client.id)));
    let _gateway = Gateway::start(&site, &provider, &policies).await;
    for client in clients {
        let page = Person::new().sign_in(&site.url(client.id, "/"), "ada").await;
        assert_eq!(page.status, 200, "{}: {}", client.alg, page.body);
        assert_eq!(app.last().all("x-remote-user"), ["ada"], "{}", client.alg);
    }
}

#[tokio::test]
async fn known_people_go_on_while_the_provider_is_down_and_its_new_keys_are_fetched_when_it_is_back() {
    let mut house = house().await;
    let mut ada = Person::new();
    ada.sign_in(&house.site.url("wiki", "/"), "ada").await;
    house.provider.stop();

    assert_eq!(ada.open(&house.site.url("wiki", "/still")).await.status, 200);
    let page = ada.open(&house.site.url("tickets", "/other")).await;
    assert_eq!(page.status, 200, "the sign-on here is enough for another app: {:?}", ada.trail);

    house.provider.restart().await;
    let page = Person::new().sign_in(&house.site.url("wiki", "/"), "bob").await;
    assert_eq!(page.status, 200, "signed with a key the gateway had never seen: {}", page.body);
    assert_eq!(house.app.last().all("x-remote-user"), ["bob"]);
}

#[tokio::test]
async fn tokens_and_codes_are_in_no_log() {
    let house = house().await;
    let mut ada = Person::new();
    ada.sign_in(&house.site.url("wiki", "/"), "ada").await;
    let callback = query(&ada.went_through("/.vestibule/callback").last().expect("a callback").url);
    let mut secrets = vec![callback["code"].clone(), OidcProvider::SECRET.to_owned()];
    for host in ["wiki.vestibule.test", "auth.vestibule.test"] {
        secrets.extend(ada.cookies_of(host).iter().filter_map(|cookie| Some(cookie.split_once('=')?.1.to_owned())));
    }
    let told = format!("{}{:?}", house.gateway.log(), house.gateway.audit());
    assert!(told.contains("login.succeeded"), "the audit log tells of the sign-in: {told}");
    for secret in secrets {
        assert!(!told.contains(&secret), "a log has the secret {secret}");
    }
}

#[tokio::test]
async fn readiness_and_metrics_answer_on_the_admin_listener_alone() {
    let house = house().await;
    for (path, expected) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200)] {
        assert_eq!(house.gateway.admin(path).await.status, expected, "{path}");
    }
    let metrics = house.gateway.admin("/metrics").await.body;
    assert!(metrics.contains("vestibule_build_info"), "{metrics}");
    let mut stranger = Person::new();
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(stranger.fetch(&house.site.url("wiki", path)).await.status, 401, "{path} at an app's host is the app's");
    }
}
