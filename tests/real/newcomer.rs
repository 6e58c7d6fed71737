//! The page of the manual that writes a policy for an app without a connector, taken at its word: that very file, and OctoPrint.

use crate::harness::{Gateway, OctoPrint, OidcProvider, Person, RealApp as _, Seen, Site, repository, toml_of_page, until, until_shown};
use std::fs;

/// The policy of the page, with the addresses and the groups of this test.
fn policy(site: &Site, app: &OctoPrint) -> String {
    let key = site.secret("octoprint-api-key", OctoPrint::KEY);
    let text = toml_of_page("first_policy.md");
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 60, "{lines} lines are more than the page promises");
    let changes = [
        ("printers.example.com", "printers.vestibule.test".to_owned()),
        ("http://10.0.4.60:5000", format!("http://127.0.0.1:{}", app.port)),
        ("cred:octoprint-api-key", key),
        ("workshop-keepers", "admins".to_owned()),
        ("\"workshop\"", "\"staff\"".to_owned()),
        ("workshop = ", "staff = ".to_owned()),
    ];
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "the page no longer says {from}");
        text.replace(from, to)
    })
}

#[test]
fn the_page_is_linked_where_people_begin() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    assert!(readme.contains("src/manual/first_policy.md"));
}

#[tokio::test]
async fn the_policy_of_the_page_does_what_the_page_says() {
    let site = Site::new();
    let app = OctoPrint::start(&site).await;
    let mut provider = OidcProvider::start(&site).await;
    let gateway = Gateway::start(&site, &provider, &[("octoprint", policy(&site, &app))]).await;
    let address = site.url("printers", "/api/currentuser");
    let seen = |groups: &[&str]| Some(Seen { active: true, groups: groups.iter().map(|group| (*group).to_owned()).collect() });
    app.add("adaline").await;
    app.add("bob").await;

    // "Whoever is not in the two groups is refused, and no account is made."
    assert_eq!(Person::new().sign_in(&address, "con").await.status, 403);
    assert_eq!(app.show("con").await, None);

    // "An account that was there before is nobody's."
    assert_eq!(Person::new().sign_in(&address, "bob").await.status, 409);

    // "It is made, she is put into her groups, and only then does her first request arrive there."
    let mut ada = Person::new();
    let page = ada.sign_in(&address, "ada").await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, gateway.log());
    assert_eq!(page.json()["name"], "ada", "OctoPrint knows who it is: {}", page.body);
    assert_eq!(app.show("ada").await, seen(&["readonly", "users"]));

    // Not who a header says, but who signed in.
    let forged = [("x-remote-user", "adaline"), ("x_remote_user", "adaline"), ("accept", "application/json")];
    assert_eq!(ada.send("GET", &address, &forged, None).await.json()["name"], "ada");

    // "When she loses a group at the directory, OctoPrint is told at her next sign-in."
    provider.move_to_groups("ada", &["staff"]);
    provider.restart().await;
    assert_eq!(Person::new().sign_in(&address, "ada").await.status, 200);
    until_shown(&app, "ada", seen(&["readonly"]).as_ref()).await;

    // "When somebody removes her account there, it is made again when she comes."
    app.remove("ada").await;
    let mut ada = Person::new();
    until("the account is made again", async || {
        ada.sign_in(&site.url("printers", "/"), "ada").await;
        app.show("ada").await.is_some()
    })
    .await;
    until_shown(&app, "ada", seen(&["readonly"]).as_ref()).await;
    assert_eq!(app.show("adaline").await, seen(&["users"]), "the neighbour is untouched");
}
