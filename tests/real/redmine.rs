//! Redmine behind the gateway: it reads no header, so the gateway fills in its form.

use crate::harness::{Gateway, OidcProvider, Person, Redmine, Site};

fn policy(site: &Site, redmine: &Redmine) -> String {
    let key = site.secret("redmine-key", Redmine::KEY);
    format!(
        r#"
title    = "Redmine"
host     = "redmine.vestibule.test"
upstream = "http://127.0.0.1:{port}"

[access]
groups = ["staff"]

[sign_in]
mode = "session_bridge"

[user]
name = "{{lower(username)}}"

[provision]
connector = "redmine"
url       = "http://127.0.0.1:{port}"
headers   = {{ X-Redmine-API-Key = {{ secret = "{key}" }} }}
"#,
        port = redmine.port
    )
}

#[tokio::test]
async fn people_get_in_by_the_form_that_they_never_see_and_never_into_each_other_s_account() {
    let site = Site::new();
    let redmine = Redmine::start(&site).await;
    let provider = OidcProvider::start(&site).await;
    let policy = policy(&site, &redmine);
    let gateway = Gateway::start(&site, &provider, &[("redmine", policy)]).await;
    let page = site.url("redmine", "/my/page");
    let shows = |body: &str, who: &str| body.contains("Logged in as") && body.contains(&format!(">{who}</a>"));

    // A newcomer: an account, a password of their own that they never see, a session.
    let mut browser = Person::new();
    let first = browser.sign_in(&page, "ada").await;
    assert!(first.status == 200 && shows(&first.body, "ada"), "{:?} {}", browser.trail, first.body);
    assert_eq!(browser.open(&site.url("redmine", "/login")).await.status, 403, "its own form is shut");

    // Somebody changes the password in Redmine, which ends the session there: it is begun anew before anybody sees it.
    redmine.set_password("ada", "Somebody-elses-1").await;
    let theirs = redmine.password_mark("ada");
    let again = browser.open(&page).await;
    assert!(again.status == 200 && shows(&again.body, "ada"), "{:?} {}", browser.trail, again.body);
    assert_ne!(redmine.password_mark("ada"), theirs, "what was set by somebody else is not theirs to keep");

    // The next person at this browser, with all that Redmine has set still in it.
    browser.walk_away_from("redmine.vestibule.test");
    let second = browser.sign_in(&page, "bob").await;
    assert!(shows(&second.body, "bob") && !second.body.contains(">ada</a>"), "{:?} {}", browser.trail, second.body);

    // Whose session Redmine ends is signed in again by the same password, which Redmine writes to nobody about.
    let mark = redmine.password_mark("bob");
    redmine.end_sessions("bob");
    let third = browser.open(&page).await;
    assert!(third.status == 200 && shows(&third.body, "bob"), "{:?} {}", browser.trail, third.body);
    assert_eq!(redmine.password_mark("bob"), mark, "two sign-ins, and one password that was set");

    let bridged: Vec<_> = gateway.audit().into_iter().filter(|event| event["action"] == "signin.bridged").collect();
    assert_eq!(bridged.len(), 4, "{bridged:?}");
    assert!(bridged.iter().all(|event| event["assurance"] == "lower"), "{bridged:?}");
    assert!(!gateway.log().contains("-aA1") && !gateway.log().contains(Redmine::KEY), "no password and no key in the log");
}
