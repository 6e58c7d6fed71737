//! Signing in, being handed over, signing out: attacks.md C1 to C14 as far as the desk has a part in them.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "helpers of tests")]

use crate::fake_op::Answer;
use crate::house::{APP, AUTH, Browser, COOKIE, House, OTHER, Options, Seen};
use http::Method;
use serde_json::json;
use std::sync::Arc;
use vestibule::clock::Timestamp;
use vestibule::fault::PublicMessage;
use vestibule::pages::RequestKind;
use vestibule::provision::Ensured;
use vestibule::session::Pass;
use vestibule::state::{LoginStore as _, SecretHash};

const BINDING: &str = "__Host-vestibule-b";

fn set_cookies(seen: &Seen) -> Vec<String> {
    seen.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

async fn post(browser: &mut Browser, house: &House, host: &str, headers: &[(&'static str, &str)], body: &str) -> Seen {
    browser.ask(house, Method::POST, &house.url(host, "/.vestibule/logout"), RequestKind::Form, headers, body).await
}

#[tokio::test]
async fn c1_every_cookie_is_httponly_secure_lax_host_only_and_bounded() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let mut lines = Vec::new();
    let seen = browser.visit(&house, APP, "/issues", false).await;
    lines.extend(set_cookies(&seen));
    let seen = browser.get(&house, &seen.to()).await;
    lines.extend(set_cookies(&seen));
    let seen = browser.callback(&house, &house.op.sign_in(&seen.to())).await;
    lines.extend(set_cookies(&seen));
    let seen = browser.get(&house, &seen.to()).await;
    lines.extend(set_cookies(&seen));
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines {
        assert!(line.starts_with("__Host-vestibule"), "{line}");
        for attribute in ["; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax", "; Max-Age="] {
            assert!(line.contains(attribute), "{line}");
        }
        assert!(!line.to_lowercase().contains("domain"), "{line}");
    }
    assert_eq!(lines.iter().filter(|line| line.contains("Max-Age=86400")).count(), 2, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("Max-Age=3600")).count(), 2, "{lines:?}");
}

#[tokio::test]
async fn c1_the_demo_without_tls_gets_cookies_that_browsers_take_there() {
    let house = House::with(Options { scheme: "http", port: 8080, ..Options::default() }).await;
    let mut browser = Browser::default();
    let seen = browser.visit(&house, APP, "/", false).await;
    assert!(seen.location.as_deref().unwrap().starts_with("http://auth.example.com:8080/.vestibule/login?app=redmine.example.com&t="));
    let seen = browser.follow(&house, seen).await;
    assert_eq!(seen.location.as_deref(), Some("/"));
    assert!(set_cookies(&seen).iter().all(|line| line.starts_with("vestibule=") && !line.contains("Secure")), "{:?}", set_cookies(&seen));
    assert!(seen.headers.get("strict-transport-security").is_none());
}

#[tokio::test]
async fn c2_a_planted_cookie_is_useless_and_every_sign_in_has_new_ids() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let planted = "A".repeat(43);
    browser.plant(AUTH, COOKIE, &planted);
    browser.plant(APP, COOKIE, &planted);
    drop(browser.sign_in(&house, APP, "/").await);
    let first = (browser.cookie(AUTH, COOKIE).unwrap(), browser.cookie(APP, COOKIE).unwrap());
    assert!(first.0 != planted && first.1 != planted && first.0 != first.1);
    assert!(house.sessions.app_session(SecretHash::of(planted.as_bytes())).await.unwrap().is_none());
    // The same person again: a new sign-on, and the old one is dead.
    let old = browser.clone();
    house.advance_s(10);
    let seen = browser.visit(&house, APP, "/", true).await;
    drop(browser.follow(&house, seen).await);
    assert!(browser.cookie(AUTH, COOKIE).unwrap() != first.0 && browser.cookie(APP, COOKIE).unwrap() != first.1);
    assert!(house.session(&old, APP).await.is_none() && house.sign_on(&old).await.is_none());
    // Another person in this browser: the first one's sign-on is dead too.
    let ada = browser.clone();
    house.advance_s(10);
    house.op.set(|script| script.subject = json!("bob"));
    let seen = browser.visit(&house, APP, "/", true).await;
    drop(browser.follow(&house, seen).await);
    assert_eq!(house.session(&browser, APP).await.unwrap().sign_on.identity.subject.subject, "bob");
    assert!(house.session(&ada, APP).await.is_none() && house.sign_on(&ada).await.is_none());
}

#[tokio::test]
async fn c3_c4_tampered_and_malformed_cookies_are_signed_out_and_never_a_fault() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    let good = browser.cookie(AUTH, COOKIE).unwrap();
    let mut values: Vec<String> = (0..good.len())
        .flat_map(|at| [1_u8, 2, 32].map(|bit| (at, bit)))
        .map(|(at, bit)| String::from_utf8(good.bytes().enumerate().map(|(n, byte)| if n == at { byte ^ bit } else { byte }).collect()).unwrap())
        .collect();
    values.extend(["", "=", "a b", "\"", "%00", &"x".repeat(60_000), &format!("{good}{good}")].map(str::to_owned));
    for value in values.iter().filter(|value| value.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b';')) {
        let mut tampered = Browser::default();
        tampered.plant(AUTH, COOKIE, value);
        tampered.plant(AUTH, BINDING, value);
        let seen = tampered.visit(&house, APP, "/", false).await;
        let seen = tampered.get(&house, &seen.to()).await;
        assert!(seen.to().as_str().starts_with(&house.op.issuer), "{value}: handed over or failed: {}", seen.status);
    }
}

#[tokio::test]
async fn c5_two_cookies_of_the_name_are_none() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    let good = browser.cookie(APP, COOKIE).unwrap();
    let url = house.url(APP, "/.vestibule/whoami");
    for (line, status) in [
        (format!("{COOKIE}={good}; {COOKIE}={}", "A".repeat(43)), 401),
        (format!("{COOKIE}={}; {COOKIE}={good}", "A".repeat(43)), 401),
        (format!("{COOKIE}={good}"), 200),
    ] {
        let seen = Browser::default().ask(&house, Method::GET, &url, RequestKind::Api, &[("cookie", &line)], "").await;
        assert_eq!(seen.status, status, "{line}");
    }
}

#[tokio::test]
async fn c7_signing_out_kills_the_session_in_the_store_and_everywhere() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    drop(browser.sign_in(&house, OTHER, "/").await);
    assert_eq!(house.token_requests(), 1);
    let stolen = browser.clone();
    let seen = post(&mut browser, &house, APP, &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(seen.status, 200);
    for host in [APP, OTHER] {
        assert!(house.session(&stolen, host).await.is_none(), "{host}");
    }
    assert!(house.sign_on(&stolen).await.is_none());
    assert!(browser.cookie(APP, COOKIE).is_none() && browser.cookie(APP, BINDING).is_none());
    // Another process over the same store finds nothing either.
    let limits = vestibule::config::Session { idle_ms: 1_000_000, max_ms: 1_000_000, cookie: COOKIE.into(), same_site: "Lax" };
    let elsewhere = vestibule::session::LiveSessions::new(house.store.clone(), house.clock.clone(), limits);
    let cookie = SecretHash::of(stolen.cookie(APP, COOKIE).unwrap().as_bytes());
    assert!(elsewhere.app_session(cookie).await.unwrap().is_none());
    // On by the auth host to the provider, with what the specification asks for.
    let at = seen.body.find("https://auth.example.com/.vestibule/logout/done?t=").unwrap();
    let done: String = seen.body[at..].chars().take_while(|c| !matches!(c, '"' | '&' | '<')).collect();
    let done = done.parse().unwrap();
    let seen = browser.get(&house, &done).await;
    let url = seen.to();
    let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/end?", house.op.issuer)));
    assert_eq!(get("post_logout_redirect_uri"), "https://auth.example.com/.vestibule/signed-out");
    assert_eq!(get("id_token_hint").split('.').count(), 3);
    assert_eq!(get("state"), "redmine,wiki");
    assert!(browser.cookie(AUTH, COOKIE).is_none());
    let seen = browser.get(&house, &house.url(AUTH, "/.vestibule/signed-out?state=redmine,wiki,%3Cscript%3E")).await;
    assert!(seen.status == 200 && seen.body.contains("Redmine") && !seen.body.contains("<script"), "{}", seen.body);
    // The same link again does nothing more.
    let seen = browser.get(&house, &done).await;
    assert_eq!(seen.location.as_deref(), Some("https://auth.example.com/.vestibule/signed-out"));
}

#[tokio::test]
async fn c7_a_sign_on_that_another_tab_left_on_the_auth_host_ends_too_and_a_strangers_does_not() {
    let house = House::new().await;
    let token = |seen: &Seen| {
        let at = seen.body.find("/.vestibule/logout/done?t=").unwrap();
        seen.body[at..].chars().take_while(|c| !matches!(c, '"' | '&' | '<')).collect::<String>()
    };
    // Two tabs signed in at the same moment: the app's session hangs from one sign-on, the auth host's cookie names the other.
    let (mut browser, mut other_tab) = (Browser::default(), Browser::default());
    drop(browser.sign_in(&house, APP, "/").await);
    drop(other_tab.sign_in(&house, APP, "/").await);
    browser.plant(AUTH, COOKIE, &other_tab.cookie(AUTH, COOKIE).unwrap());
    let seen = post(&mut browser, &house, APP, &[("sec-fetch-site", "same-origin")], "").await;
    assert!(house.sign_on(&browser).await.is_some());
    drop(browser.get(&house, &house.url(AUTH, &token(&seen))).await);
    assert!(house.sign_on(&other_tab).await.is_none());
    // A link from somebody else's sign-out leaves mine alone.
    let mut attacker = Browser::default();
    drop(attacker.sign_in(&house, APP, "/").await);
    let lure = token(&post(&mut attacker, &house, APP, &[("sec-fetch-site", "same-origin")], "").await);
    house.op.set(|script| script.subject = json!("bob"));
    let mut victim = Browser::default();
    drop(victim.sign_in(&house, APP, "/").await);
    drop(victim.get(&house, &house.url(AUTH, &lure)).await);
    assert!(house.sign_on(&victim).await.is_some() && house.session(&victim, APP).await.is_some());
}

#[tokio::test]
async fn c7_signing_out_here_works_while_the_provider_is_down() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    house.advance_s(3601);
    house.op.set(|script| {
        script.discovery_answer = Some(Answer::text(500, ""));
        script.token_answer = Some(Answer::text(500, ""));
    });
    let stolen = browser.clone();
    let seen = post(&mut browser, &house, AUTH, &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(seen.status, 200);
    assert!(house.session(&stolen, APP).await.is_none() && house.sign_on(&stolen).await.is_none());
}

#[tokio::test]
async fn c8_only_a_post_of_our_own_page_signs_out() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    let asked = browser.get(&house, &house.url(APP, "/.vestibule/logout")).await;
    assert_eq!(asked.status, 200);
    let at = asked.body.find("name=\"token\" value=\"").unwrap() + "name=\"token\" value=\"".len();
    let token: String = asked.body[at..].chars().take_while(|c| *c != '"').collect();
    let form = format!("token={token}");
    let own = "https://redmine.example.com";
    let other: &[(&'static str, &str)] = &[("origin", "https://evil.example")];
    for (case, headers, body) in [
        ("cross-site", &[("sec-fetch-site", "cross-site")] as &[(&'static str, &str)], form.as_str()),
        ("same-site", &[("sec-fetch-site", "same-site")], form.as_str()),
        ("odd", &[("sec-fetch-site", "Same-Origin")], form.as_str()),
        ("no token", &[("origin", own)], ""),
        ("wrong token", &[("origin", own)], "token=x"),
        ("empty token", &[], "token="),
        ("foreign origin", other, form.as_str()),
        ("null origin and no token", &[("origin", "null")], "token=x"),
    ] {
        drop(post(&mut browser, &house, APP, headers, body).await);
        assert!(house.session(&browser, APP).await.is_some(), "{case}");
    }
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
        let url = house.url(APP, &format!("/.vestibule/logout?{form}"));
        drop(browser.ask(&house, method.clone(), &url, RequestKind::Page, &[("sec-fetch-site", "same-origin")], &form).await);
        assert!(house.session(&browser, APP).await.is_some(), "{method}");
    }
    let before = browser.clone();
    drop(post(&mut browser, &house, APP, &[("origin", own)], &form).await);
    assert!(house.session(&before, APP).await.is_none());
    // Our own pages send no referrer, and browsers then no origin either: the token is what counts.
    drop(browser.sign_in(&house, APP, "/").await);
    let before = browser.clone();
    let asked = browser.get(&house, &house.url(APP, "/.vestibule/logout")).await;
    let at = asked.body.find("name=\"token\" value=\"").unwrap() + "name=\"token\" value=\"".len();
    let form = format!("token={}", &asked.body[at..at + 43]);
    drop(post(&mut browser, &house, APP, &[("origin", "null")], &form).await);
    assert!(house.session(&before, APP).await.is_none());
}

#[tokio::test]
async fn c10_twenty_abandoned_sign_ins_leave_one_cookie_on_each_host_and_lock_nobody_out() {
    let house = House::new().await;
    let mut browser = Browser::default();
    for n in 0..20 {
        drop(browser.to_provider(&house, APP, &format!("/{n}")).await);
    }
    assert_eq!((browser.cookie_names(APP), browser.cookie_names(AUTH)), (vec![BINDING.to_owned()], vec![BINDING.to_owned()]));
    assert_eq!(browser.sign_in(&house, APP, "/issues").await.location.as_deref(), Some("/issues"));
}

#[tokio::test]
async fn c11_twenty_tabs_in_turn_all_end_where_they_started() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let mut waiting = Vec::new();
    for n in 0..20 {
        let target = format!("/issues/{n}?tab=history&q=a%20b");
        waiting.push((house.op.sign_in(&browser.to_provider(&house, APP, &target).await), target));
    }
    for (query, target) in &waiting {
        let seen = browser.callback(&house, query).await;
        assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some(target.as_str()));
        assert!(house.session(&browser, APP).await.is_some());
    }
    assert_eq!(house.token_requests(), 1);
}

#[tokio::test]
async fn c11_twenty_tabs_at_the_same_moment_all_end_where_they_started() {
    // A browser restores its tabs: every first request leaves before any answer has set a cookie, so each tab is bound to a cookie of its own and
    // only the last one stays.
    let house = House::new().await;
    let mut browser = Browser::default();
    let mut on_app = Vec::new();
    for n in 0..20 {
        let mut tab = Browser::default();
        let target = format!("/issues/{n}");
        let seen = tab.visit(&house, APP, &target, false).await;
        browser.plant(APP, BINDING, &tab.cookie(APP, BINDING).unwrap());
        on_app.push((seen.to(), target));
    }
    let mut at_provider = Vec::new();
    for (url, target) in on_app {
        let mut tab = Browser::default();
        let seen = tab.get(&house, &url).await;
        browser.plant(AUTH, BINDING, &tab.cookie(AUTH, BINDING).unwrap());
        at_provider.push((house.op.sign_in(&seen.to()), target));
    }
    for (query, target) in &at_provider {
        let seen = browser.callback(&house, query).await;
        assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some(target.as_str()));
    }
    assert!(house.session(&browser, APP).await.is_some());
}

#[tokio::test]
async fn c11_only_a_navigation_starts_a_sign_in() {
    let house = House::new().await;
    let url = house.url(APP, "/.vestibule/login?to=/issues");
    for kind in [RequestKind::Api, RequestKind::Socket, RequestKind::Form] {
        let seen = Browser::default().ask(&house, Method::GET, &url, kind, &[], "").await;
        assert_eq!((seen.status, seen.location), (401, None), "{kind:?}");
    }
    assert_eq!(house.store.pending_count().await.unwrap(), 0);
}

#[tokio::test]
async fn c12_no_return_address_leaves_the_host() {
    let house = House::new().await;
    for to in [
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/%5Cevil.example",
        "/\\evil.example",
        "http:evil.example",
        "/%09/evil.example",
        "/%20/evil.example",
        "/.//evil.example",
        "javascript:alert(1)",
    ] {
        let encoded: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let mut browser = Browser::default();
        let seen = browser.get(&house, &house.url(APP, &format!("/.vestibule/login?to={encoded}"))).await;
        assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some("/"), "{to}");
        let seen = Browser::default().visit(&house, APP, to, false).await;
        assert!(seen.location.unwrap().starts_with("https://auth.example.com/.vestibule/login?app=redmine.example.com&t="), "{to}");
        *house.doorman.answer.lock().unwrap() = Some(Ensured::Ready(pass(None)));
        let seen = browser.get(&house, &house.url(APP, &format!("/.vestibule/wait?to={encoded}"))).await;
        assert_eq!(seen.location.as_deref(), Some("/"), "{to}");
    }
    // The host in the link only chooses what the page about an expired link says.
    let seen = Browser::default().get(&house, &house.url(AUTH, "/.vestibule/login?app=evil.example&t=x")).await;
    assert!(seen.status == 400 && !seen.body.contains("evil.example"));
    let seen = Browser::default().get(&house, &house.url(AUTH, &format!("/.vestibule/login?app={APP}&t={}", "A".repeat(43)))).await;
    assert!(seen.status == 400 && seen.body.contains("https://redmine.example.com"), "{}", seen.body);
}

#[tokio::test]
async fn c13_every_answer_of_a_sign_in_is_uncacheable_and_sends_no_referrer() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let mut answers = vec![browser.visit(&house, APP, "/issues", false).await];
    let at_login = browser.get(&house, &answers[0].to()).await;
    let query = house.op.sign_in(&at_login.to());
    answers.push(at_login);
    let handed_over = browser.callback(&house, &query).await;
    answers.push(browser.get(&house, &handed_over.to()).await);
    answers.push(handed_over);
    for (host, path) in [
        (APP, "/.vestibule/whoami"),
        (APP, "/.vestibule/logout"),
        (APP, "/.vestibule/wait?to=/"),
        (APP, "/.vestibule/jwks"),
        (APP, "/.vestibule/nothing"),
        (APP, "/.vestibule/callback?code=x"),
        (AUTH, "/.vestibule/signed-out"),
        (AUTH, "/.vestibule/callback"),
        (AUTH, "/.vestibule/logout/done?t=x"),
        (AUTH, "/"),
    ] {
        answers.push(browser.get(&house, &house.url(host, path)).await);
    }
    for seen in &answers {
        let get = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        assert_eq!(
            (get("cache-control").as_str(), get("referrer-policy").as_str()),
            ("no-store", "no-referrer"),
            "{} {:?}",
            seen.status,
            seen.location
        );
        assert_eq!(get("x-content-type-options"), "nosniff");
        assert!(get("content-security-policy").contains("frame-ancestors 'none'") && !get("strict-transport-security").is_empty());
    }
}

#[tokio::test]
async fn c14_a_session_or_a_code_of_one_app_is_worthless_at_another() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    let mut thief = Browser::default();
    thief.plant(OTHER, COOKIE, &browser.cookie(APP, COOKIE).unwrap());
    assert!(house.session(&thief, OTHER).await.is_none());
    let whoami = thief.ask(&house, Method::GET, &house.url(OTHER, "/.vestibule/whoami"), RequestKind::Api, &[], "").await;
    assert_eq!(whoami.status, 401);
    // The auth host's cookie is none at an app, nor the other way round.
    thief.plant(OTHER, COOKIE, &browser.cookie(AUTH, COOKIE).unwrap());
    thief.plant(AUTH, COOKIE, &browser.cookie(APP, COOKIE).unwrap());
    assert!(house.session(&thief, OTHER).await.is_none() && house.sign_on(&thief).await.is_none());
    // A code for one app at the other, with a binding planted to fit.
    let seen = browser.visit(&house, APP, "/", false).await;
    let code = browser.get(&house, &seen.to()).await.to();
    browser.plant(OTHER, BINDING, &browser.cookie(APP, BINDING).unwrap());
    let seen = browser.get(&house, &house.url(OTHER, &format!("{}?{}", code.path(), code.query().unwrap()))).await;
    assert_eq!(seen.status, 400);
    assert!(house.session(&browser, OTHER).await.is_none());
}

#[tokio::test]
async fn a_hand_over_code_is_for_one_browser_one_use_and_one_minute() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    let code = |seen: &Seen| seen.to();
    // Stolen: the other browser is sent to sign in as itself, and the code is spent.
    let seen = browser.visit(&house, APP, "/a", false).await;
    let stolen = code(&browser.get(&house, &seen.to()).await);
    let mut thief = Browser::default();
    let seen = thief.get(&house, &stolen).await;
    assert_eq!(seen.to().path(), "/.vestibule/login");
    assert!(house.session(&thief, APP).await.is_none());
    // The second time round there is a page, not another round.
    let again = seen.to();
    let mut forgetful = Browser::default();
    forgetful.plant(AUTH, COOKIE, &browser.cookie(AUTH, COOKIE).unwrap());
    let seen = forgetful.get(&house, &again).await;
    assert_eq!(forgetful.get(&house, &seen.to()).await.status, 400);
    // Too late.
    let seen = browser.visit(&house, APP, "/a", false).await;
    let late = code(&browser.get(&house, &seen.to()).await);
    house.advance_s(60);
    assert_eq!(browser.get(&house, &late).await.status, 400);
    // Twice: whoever has the session goes on, nobody gets a second one.
    let seen = browser.visit(&house, APP, "/a", false).await;
    let used = code(&browser.get(&house, &seen.to()).await);
    assert_eq!(browser.get(&house, &used).await.location.as_deref(), Some("/a"));
    let seen = browser.get(&house, &used).await;
    assert_eq!((seen.location.as_deref(), set_cookies(&seen).len()), (Some("/a"), 0));
    browser.forget(APP, COOKIE);
    assert_eq!(browser.get(&house, &used).await.status, 400);
    // A sign-on that ended between code and arrival: begins again.
    let seen = browser.visit(&house, APP, "/a", false).await;
    let orphan = code(&browser.get(&house, &seen.to()).await);
    let id = house.sign_on(&browser).await.unwrap().id;
    house.sessions.end(id).await.unwrap();
    let seen = browser.get(&house, &orphan).await;
    assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some("/a"));
}

#[tokio::test]
async fn a_ticket_expires_and_a_sign_in_stays_usable_at_the_provider_for_half_an_hour() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let seen = browser.visit(&house, APP, "/a", false).await;
    house.advance_s(10 * 60);
    let late = browser.get(&house, &seen.to()).await;
    assert!(late.status == 400 && late.body.contains("https://redmine.example.com"), "{}", late.body);
    let url = browser.to_provider(&house, APP, "/a").await;
    house.advance_s(29 * 60);
    let seen = browser.callback(&house, &house.op.sign_in(&url)).await;
    assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some("/a"));
}

#[tokio::test]
async fn one_sign_on_serves_every_app_without_the_provider() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    house.op.set(|script| script.token_answer = Some(Answer::text(500, "")));
    let seen = browser.sign_in(&house, OTHER, "/page?x=1").await;
    assert_eq!((seen.location.as_deref(), house.token_requests()), (Some("/page?x=1"), 1));
    assert!(house.session(&browser, OTHER).await.is_some());
    assert!(browser.cookie(APP, COOKIE) != browser.cookie(OTHER, COOKIE));
}

#[tokio::test]
async fn a_policys_max_age_is_asked_for_and_repeated_when_it_has_passed() {
    let house = House::with(Options { max_age_ms: Some(3_600_000), ..Options::default() }).await;
    let mut browser = Browser::default();
    let url = browser.to_provider(&house, APP, "/").await;
    assert!(url.query().unwrap().contains("max_age=3600") && !url.query().unwrap().contains("prompt="));
    let seen = browser.callback(&house, &house.op.sign_in(&url)).await;
    drop(browser.follow(&house, seen).await);
    house.advance_s(3600);
    drop(browser.sign_in(&house, OTHER, "/").await);
    assert_eq!(house.token_requests(), 1);
    house.advance_s(1);
    drop(browser.sign_in(&house, OTHER, "/").await);
    assert_eq!(house.token_requests(), 2);
}

#[tokio::test]
async fn several_providers_give_a_picker_that_remembers() {
    let house = House::with(Options { providers: vec!["corp", "partners"], ..Options::default() }).await;
    let mut browser = Browser::default();
    let seen = browser.visit(&house, APP, "/a", false).await;
    let login = seen.to();
    let picker = browser.get(&house, &login).await;
    assert!(picker.status == 200 && picker.body.find("corp account").unwrap() < picker.body.find("partners account").unwrap(), "{}", picker.body);
    // Unknown, empty or doubled: the picker again, never a provider that the policy does not name.
    for idp in ["&idp=evil", "&idp=", "&idp=corp&idp=partners"] {
        let seen = browser.get(&house, &format!("{login}{idp}").parse().unwrap()).await;
        assert_eq!(seen.status, 200, "{idp}");
    }
    let seen = browser.get(&house, &format!("{login}&idp=partners").parse().unwrap()).await;
    let seen = browser.callback(&house, &house.op.sign_in(&seen.to())).await;
    assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some("/a"));
    assert_eq!(house.session(&browser, APP).await.unwrap().sign_on.identity.idp, "partners");
    browser.forget(AUTH, COOKIE);
    let seen = browser.visit(&house, APP, "/a", false).await;
    let picker = browser.get(&house, &seen.to()).await;
    assert!(picker.body.find("partners account").unwrap() < picker.body.find("corp account").unwrap(), "{}", picker.body);
}

#[tokio::test]
async fn d9_at_the_cap_new_sign_ins_are_turned_away_and_expired_ones_make_room() {
    let house = House::with(Options { pending_max: 5, ..Options::default() }).await;
    for _ in 0..5 {
        assert_eq!(Browser::default().visit(&house, APP, "/", false).await.status, 303);
    }
    assert_eq!(Browser::default().visit(&house, APP, "/", false).await.status, 503);
    assert_eq!(house.store.pending_count().await.unwrap(), 5);
    house.advance_s(10 * 60);
    assert_eq!(Browser::default().sign_in(&house, APP, "/a").await.location.as_deref(), Some("/a"));
    // One ticket shown over and over fills nothing either.
    let mut browser = Browser::default();
    let login = browser.visit(&house, APP, "/", false).await.to();
    let mut turned_away = 0;
    for _ in 0..8 {
        turned_away += usize::from(browser.get(&house, &login).await.status == 503);
    }
    assert!(turned_away > 0 && house.store.pending_count().await.unwrap() <= 5);
}

/// A ticket is read, not used up, by whoever shows it: that must not be a way to fill the store with one of them.
#[tokio::test]
async fn d9_one_ticket_keeps_few_ways_to_the_provider_and_the_newest_works() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let login = browser.visit(&house, APP, "/a", false).await.to();
    let mut ways = Vec::new();
    for _ in 0..40 {
        house.clock.advance_ms(1);
        ways.push(house.op.sign_in(&browser.get(&house, &login).await.to()));
    }
    assert_eq!(house.store.pending_count().await.unwrap(), 17, "the ticket, and sixteen ways");
    let seen = browser.callback(&house, &ways[0]).await;
    assert_eq!(seen.status, 400, "the oldest is forgotten: {}", seen.body);
    for way in [&ways[24], &ways[39]] {
        let seen = browser.callback(&house, way).await;
        assert_eq!(browser.follow(&house, seen).await.location.as_deref(), Some("/a"));
    }
}

/// Nor a way to fill it with many of them: other people go on signing in, and so does whoever stands where the flood comes from.
#[tokio::test]
async fn d9_one_client_does_not_fill_the_room_of_all_others() {
    const MAX: u64 = 1_000;
    for (flooding, beside) in [("192.0.2.66", "192.0.2.66"), ("2001:db8::66", "2001:db8::7:1")] {
        let house = House::with(Options { pending_max: MAX, ..Options::default() }).await;
        let early = house.op.sign_in(&Browser::at("192.0.2.9").to_provider(&house, APP, "/early").await);
        let mut most = 0;
        for n in 0..600 {
            house.clock.advance_ms(1);
            let mut flood = Browser::at(flooding);
            let seen = flood.visit(&house, APP, "/", false).await;
            assert_eq!(seen.status, 303, "{n}");
            assert_eq!(flood.get(&house, &seen.to()).await.status, 303, "{n}");
            most = most.max(house.store.pending_count().await.unwrap());
        }
        // An eighth before anybody is counted, and no more than an eighth of what is free after that.
        assert!((MAX / 9..=MAX / 8 + 5).contains(&most), "{most}");
        for place in ["192.0.2.8", "2001:db8:0:1::1", flooding, beside] {
            assert_eq!(Browser::at(place).sign_in(&house, APP, "/a").await.location.as_deref(), Some("/a"), "{place}");
        }
        // Whoever began before the flood is still on their way; this is another browser, and so it begins anew rather than failing.
        let seen = Browser::at("192.0.2.9").callback(&house, &early).await;
        assert_eq!(seen.status, 303, "{}", seen.body);
    }
}

/// Callbacks that end in nothing use their sign-in up; what they used up is still room that somebody takes.
#[tokio::test]
async fn d9_what_is_used_up_counts_until_it_is_forgotten() {
    let house = House::with(Options { pending_max: 4, ..Options::default() }).await;
    assert_eq!(Browser::default().sign_in(&house, APP, "/a").await.location.as_deref(), Some("/a"));
    let used = house.store.pending_count().await.unwrap();
    assert!(used > 0);
    for _ in used..4 {
        assert_eq!(Browser::default().visit(&house, APP, "/", false).await.status, 303);
    }
    assert_eq!(Browser::default().visit(&house, APP, "/", false).await.status, 503);
    // Five minutes later what was used up has made room; what may still be used has not.
    house.advance_s(5 * 60);
    assert_eq!(Browser::default().visit(&house, APP, "/", false).await.status, 303);
    // Gone: the state that the callback used up. Its ticket has another five minutes.
    assert_eq!(house.store.pending_count().await.unwrap(), 4);
}

#[tokio::test]
async fn a_session_that_runs_out_is_told_once() {
    let house = House::new().await;
    let mut browser = Browser::default();
    browser.sign_in(&house, APP, "/a").await;
    house.sessions.flush().await.unwrap();
    assert!(!house.log().contains("session.expired"));
    house.advance_s(9 * 3600);
    house.sessions.flush().await.unwrap();
    assert!(house.sign_on(&browser).await.is_none());
    house.sessions.flush().await.unwrap();
    let log = house.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("session.expired")).collect();
    assert!(matches!(told.as_slice(), [one] if one.contains(r#"reason="idle""#) && one.contains("user.sub=")), "{told:?}");
}

#[tokio::test]
async fn d10_a_flood_of_callbacks_causes_no_outgoing_request() {
    let house = House::new().await;
    for n in 0..50 {
        let seen = Browser::default().callback(&house, &format!("code=x&state={n:043}")).await;
        assert_eq!(seen.status, 400);
    }
    assert_eq!((house.token_requests(), house.op.hits("/.well-known/openid-configuration"), house.op.hits("/jwks")), (0, 0, 0));
}

#[tokio::test]
async fn o36_a_provider_that_is_down_is_a_page_with_a_way_to_try_again_and_sessions_go_on() {
    let house = House::new().await;
    let mut known = Browser::default();
    drop(known.sign_in(&house, APP, "/").await);
    house.advance_s(3601);
    let down = House::new().await;
    down.op.set(|script| script.discovery_answer = Some(Answer::text(503, "")));
    let mut browser = Browser::default();
    let seen = browser.visit(&down, APP, "/a", false).await;
    let seen = browser.get(&down, &seen.to()).await;
    assert!(seen.status == 503 && seen.body.contains("/.vestibule/login?app="), "{}", seen.body);
    assert!(house.session(&known, APP).await.is_some());
}

fn pass(landing: Option<&str>) -> Arc<Pass> {
    Arc::new(Pass {
        policy_revision: "r".into(),
        login: "ada".into(),
        roles: vec!["Editor".into()],
        headers: vec![(http::HeaderName::from_static("x-user"), http::HeaderValue::from_static("ada"))],
        path_headers: Vec::new(),
        good_until: Timestamp::from_seconds(i64::MAX / 1000),
        landing: landing.map(str::to_owned),
        told: [0; 32],
    })
}

#[tokio::test]
async fn the_waiting_page_holds_and_then_goes_on_or_says_why_not() {
    let house = House::new().await;
    let wait = house.url(APP, "/.vestibule/wait?to=/issues%3Fq%3D1");
    // Without a session there is nothing to wait for.
    let seen = Browser::default().get(&house, &wait).await;
    assert_eq!(seen.to().path(), "/.vestibule/login");
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    let seen = browser.get(&house, &wait).await;
    assert!(seen.status == 200 && seen.body.contains("/.vestibule/wait?to="), "{}", seen.body);
    let seen = browser.ask(&house, Method::GET, &wait, RequestKind::Api, &[], "").await;
    assert!(seen.status == 200 || seen.status == 503);
    assert_eq!(*house.doorman.asked.lock().unwrap(), [("/issues?q=1".to_owned(), 20_000), ("/issues?q=1".to_owned(), 10_000)]);
    for (answer, status, location) in [
        (Ensured::Ready(pass(None)), 303, Some("/issues?q=1")),
        (Ensured::Ready(pass(Some("/welcome"))), 303, Some("/welcome")),
        (Ensured::Ready(pass(Some("//evil.example"))), 303, Some("/")),
        (Ensured::Refused(PublicMessage::AccountFailed), 503, None),
        (Ensured::Refused(PublicMessage::AccountExists), 409, None),
    ] {
        *house.doorman.answer.lock().unwrap() = Some(answer);
        house.session(&browser, APP).await.unwrap().expect_landing();
        let seen = browser.get(&house, &wait).await;
        assert_eq!((seen.status, seen.location.as_deref()), (status, location));
    }
    // Only the first page after a sign-in is a landing: whoever waits in the middle of their work goes on with it.
    let session = house.session(&browser, APP).await.unwrap();
    assert!(session.land() && !session.land());
    *house.doorman.answer.lock().unwrap() = Some(Ensured::Ready(pass(Some("/welcome"))));
    assert_eq!(browser.get(&house, &wait).await.location.as_deref(), Some("/issues?q=1"));
}

#[tokio::test]
async fn whoami_shows_people_what_the_app_is_told() {
    let house = House::new().await;
    let mut browser = Browser::default();
    drop(browser.sign_in(&house, APP, "/").await);
    house.session(&browser, APP).await.unwrap().pass.store(Some(pass(None)));
    let url = house.url(APP, "/.vestibule/whoami");
    let seen = browser.get(&house, &url).await;
    assert!(seen.status == 200 && seen.body.contains("ada@example.com") && seen.body.contains("corp account"), "{}", seen.body);
    let seen = browser.ask(&house, Method::GET, &url, RequestKind::Api, &[], "").await;
    let said: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
    assert!(said.to_string().contains("x-user") && !said.to_string().contains("eyJ"), "{said}");
    let seen = Browser::default().ask(&house, Method::GET, &url, RequestKind::Api, &[], "").await;
    assert_eq!(seen.status, 401);
}

#[tokio::test]
async fn everything_else_under_our_path_is_no_page() {
    let house = House::new().await;
    for (host, path) in [
        (APP, "/.vestibule/"),
        (APP, "/.vestibule/signed-out"),
        (APP, "/.vestibule/logout/done"),
        (APP, "/.vestibule/login/"),
        (APP, "/.vestibule/../"),
        (AUTH, "/.vestibule/whoami"),
        (AUTH, "/.vestibule/wait"),
        (AUTH, "/favicon.ico"),
    ] {
        let mut url = house.url(host, "/");
        url.set_path(path);
        if url.path() == path {
            assert_eq!(Browser::default().get(&house, &url).await.status, 404, "{host}{path}");
        }
    }
    for host in [APP, OTHER, AUTH] {
        let seen = Browser::default().get(&house, &house.url(host, "/.vestibule/jwks")).await;
        assert_eq!((seen.status, seen.body.as_str()), (200, "{\"keys\":[]}"), "{host}");
    }
}
