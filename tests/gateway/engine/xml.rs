//! An app that answers in XML: Nextcloud's OCS API as it is without `format=json`.

use super::{House, Sent, house, outcome, with_headers};
use std::collections::BTreeSet;
use vestibule::connector::{Connector as _, Observation, Outcome};
use vestibule::outbound::{OutboundError, OutboundResponse};

const OCS: &str = r#"
[account]
id       = "/id"
login    = "/id"
email    = "/email"
admin    = { at = "/groups/*", map = { admin = true } }
disabled = { at = "/enabled", map = { "1" = false, "0" = true } }
members  = { group = { each = "/groups" } }
[attributes.email]
default = ["{user.email}"]
read    = "/email"
[[lookup.login]]
name     = "search"
effect   = "read"
get      = "/users?search={want.login}"
response = "xml"
lists    = ["users", "groups"]
select   = { items = "/ocs/data/users", where = { "/id" = "{want.login}" } }
classify = [{ status = 200, json = { "/ocs/meta/statuscode" = "100" }, outcome = "found" }]
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
response = "xml"
lists    = ["groups"]
at       = "/ocs/data"
classify = [
  { status = 200, json = { "/ocs/meta/statuscode" = { matches = "^100$" } }, outcome = "found" },
  { status = 200, json = { "/ocs/meta/statuscode" = "404" }, outcome = "absent" },
]
[[create]]
name     = "post"
effect   = "write"
post     = "/users"
form     = { userid = "{want.login}" }
response = "xml"
at       = "/ocs/data"
classify = [
  { status = 200, json = { "/ocs/meta/statuscode" = "100" }, outcome = "created" },
  { status = 200, json = { "/ocs/meta/statuscode" = "102" }, outcome = "exists" },
]
"#;

fn ocs(code: u16, data: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<ocs>\n <meta>\n  <status>ok</status>\n  <statuscode>{code}</statuscode>\n </meta>\n <data>{data}</data>\n</ocs>\n"
    )
}

fn user(id: &str, groups: &[&str]) -> String {
    let groups = groups.iter().map(|group| format!("<element>{group}</element>")).collect::<Vec<_>>().concat();
    format!("<id>{id}</id><enabled>1</enabled><email>{id}@example.com</email><groups>{groups}</groups>")
}

fn app(body: impl Fn(&Sent) -> String + Send + Sync + 'static) -> House {
    house(OCS, move |sent, _| -> Result<OutboundResponse, OutboundError> {
        assert_eq!(sent.header("accept"), Some("application/xml, text/xml;q=0.9"));
        with_headers(200, &[("content-type", "text/xml")], &body(sent))
    })
}

#[tokio::test]
async fn what_is_no_document_or_too_much_of_one_is_no_answer() {
    let bad = [
        "<!DOCTYPE ocs [<!ENTITY a \"x\"><!ENTITY b \"&a;&a;\">]><ocs><meta><statuscode>100</statuscode></meta><data>&b;</data></ocs>".to_owned(),
        "<!DOCTYPE ocs [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><ocs><meta><statuscode>100</statuscode></meta><data>&a;</data></ocs>".to_owned(),
        "<html><body>log in</body></html>".to_owned(),
        ocs(100, "").replace("</ocs>", ""),
        ocs(100, &"<a>".repeat(100_000)),
        ocs(997, ""),
        "{\"ocs\":{\"meta\":{\"statuscode\":\"100\"}}}".to_owned(),
        String::new(),
    ];
    for body in bad {
        let (read, made) = (body.clone(), body.clone());
        assert_eq!(outcome(app(move |_| read.clone()).find().await), Outcome::Retry, "{}", body.get(..60).unwrap_or(&body));
        assert_eq!(outcome(app(move |_| made.clone()).create(&[]).await), Outcome::InDoubt, "{}", body.get(..60).unwrap_or(&body));
    }
}

#[tokio::test]
async fn accounts_are_found_read_and_made_as_in_json() {
    let found = |seen: Observation| match seen {
        Observation::Found(account, _) => *account,
        Observation::Absent | Observation::Ambiguous => panic!("not found: {seen:?}"),
    };
    let search = |users: &str| ocs(100, &format!("<users>{users}</users>"));
    // One hit, none, and neighbours only: a list however few there are.
    let one = search(&format!("<element>{}</element>", user("ann", &["devs"])));
    let account = found(app(move |_| one.clone()).find().await.expect("an answer"));
    assert_eq!((account.id.as_str(), account.email.as_deref(), account.admin, account.disabled), ("ann", Some("ann@example.com"), false, false));
    let none = search("");
    assert_eq!(app(move |_| none.clone()).find().await, Ok(Observation::Absent));
    let others = search(&format!("<element>{}</element><element>{}</element>", user("anna", &[]), user("joann", &[])));
    assert_eq!(app(move |_| others.clone()).find().await, Ok(Observation::Absent));
    let gone = app(|_| ocs(404, "")).engine.get(super::ann(&super::nowhere(), Some("ann"))).await;
    assert_eq!(gone, Ok(Observation::Absent));
    for groups in [&[][..], &["admin"], &["devs", "ops"]] {
        let body = ocs(100, &user("ann", groups));
        let account = found(app(move |_| body.clone()).engine.get(super::ann(&super::nowhere(), Some("ann"))).await.expect("an answer"));
        let members: BTreeSet<&str> = account.memberships["group"].keys().map(String::as_str).collect();
        assert_eq!((members, account.admin), (groups.iter().copied().collect(), groups == ["admin"]));
    }
    assert_eq!(outcome(app(|_| ocs(102, "")).create(&[]).await), Outcome::Exists);
    let made = app(|_| ocs(100, "<id>ann</id>")).create(&[]).await.expect("made");
    assert_eq!((made.id.as_str(), made.login.as_str()), ("ann", "ann"));
}
