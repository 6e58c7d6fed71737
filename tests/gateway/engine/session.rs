//! Signing in to an admin API that takes no lasting credential.

use super::{ACCOUNT, House, Sent, answer, house, house_with, outcome, with_headers};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use vestibule::connector::{Outcome, ResolvedCredential};
use vestibule::outbound::{OutboundError, OutboundResponse};

const FORM: &str = r#"
[http]
session_ttl = "10m"
headers     = { X-CSRF = "{session.csrf}" }
[attributes.email]
[[session]]
name     = "form"
effect   = "read"
get      = "/login"
response = "any"
save     = { csrf = { html = "input[name=authenticity_token]", attribute = "value" } }
classify = [{ status = 200, outcome = "done" }]
[[session]]
name     = "post"
effect   = "read"
post     = "/login"
form     = { authenticity_token = "{session.csrf}", username = "{credential.username}", password = "{credential.password}" }
classify = [{ status = 302, headers = { Location = "^/my/page" }, outcome = "done" }]
[[update]]
name     = "put"
effect   = "write"
put      = "/users/{account.id}"
body     = { email = "{want.email}" }
classify = [{ status = 200, outcome = "updated" }]
"#;

const PAGE: &str = "<html><form><input type=hidden name=\"authenticity_token\" value=\"a&amp;b\"></form></html>";

/// Answers for a form login: what each sign-in is, and what the app says to a change.
fn form_login(
    page: &'static str,
    landing: &'static str,
    put: impl Fn(&Sent, u32) -> Result<OutboundResponse, OutboundError> + Send + Sync + 'static,
) -> House {
    let sign_ins = Arc::new(AtomicU32::new(0));
    house(&format!("{FORM}{ACCOUNT}"), move |sent, _| match sent.line.as_str() {
        "GET /base/login" => with_headers(200, &[("set-cookie", "visit=1; Path=/"), ("content-type", "text/html")], page),
        "POST /base/login" => {
            let session = format!("sid=s{}; HttpOnly", sign_ins.fetch_add(1, Ordering::SeqCst) + 1);
            with_headers(302, &[("set-cookie", &session), ("location", landing)], "")
        }
        _ => put(sent, sign_ins.load(Ordering::SeqCst)),
    })
}

#[tokio::test]
async fn a_page_without_the_token_or_a_refused_password_changes_nothing() {
    let house = form_login("<html>maintenance</html>", "/my/page", |_, _| answer(200, &json!({})));
    let trouble = house.update("x@example.com").await.expect_err("trouble");
    assert_eq!((trouble.outcome, trouble.detail.as_str()), (Outcome::Retry, "the answer does not show `csrf`"));
    assert_eq!(house.wire.lines(), ["GET /base/login"]);
    // Back to the form: the password is not accepted, and the redirect is not followed.
    let house = form_login(PAGE, "/login", |_, _| answer(200, &json!({})));
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Retry);
    assert_eq!(house.wire.lines(), ["GET /base/login", "POST /base/login"]);
}

#[tokio::test]
async fn cookies_and_token_go_with_every_request_and_the_password_with_one() {
    let house = form_login(PAGE, "/my/page", |_, _| answer(200, &json!({})));
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    assert_eq!(house.update("y@example.com").await, Ok(Outcome::Updated));
    let sent = house.wire.take();
    let lines: Vec<&str> = sent.iter().map(|sent| sent.line.as_str()).collect();
    assert_eq!(lines, ["GET /base/login", "POST /base/login", "PUT /base/users/7", "PUT /base/users/7"], "one session for both");
    assert_eq!((sent[0].header("cookie"), sent[1].header("cookie")), (None, Some("visit=1")));
    assert_eq!((sent[2].header("cookie"), sent[2].header("x-csrf")), (Some("visit=1; sid=s1"), Some("a&b")));
    assert!(sent[1].form().contains(&("authenticity_token".to_owned(), "a&b".to_owned())));
    for other in [0, 2, 3] {
        assert_eq!(sent[other].header("authorization"), None, "the credential is the pre-step's alone");
        assert!(!sent[other].body.contains("swordfish"));
    }
    assert!(!format!("{:?}", house.engine).contains("sid=s1") && !format!("{:?}", house.engine).contains("swordfish"));
}

#[tokio::test]
async fn a_session_that_is_refused_is_begun_anew_once_and_once_only() {
    let ended = form_login(PAGE, "/my/page", |sent, _| {
        if sent.header("cookie").is_some_and(|cookie| cookie.contains("sid=s1")) { answer(401, &json!({})) } else { answer(200, &json!({})) }
    });
    assert_eq!(ended.update("x@example.com").await, Ok(Outcome::Updated));
    assert_eq!(ended.wire.take().iter().filter(|sent| sent.line.starts_with("POST")).count(), 2);
    let refused = form_login(PAGE, "/my/page", |_, _| answer(403, &json!({})));
    assert_eq!(outcome(refused.update("x@example.com").await), Outcome::Reauth);
    assert_eq!(refused.wire.take().iter().filter(|sent| sent.line.starts_with("PUT")).count(), 2);
}

#[tokio::test]
async fn a_session_ends_by_the_clock_and_is_begun_by_one_for_all() {
    let house = form_login(PAGE, "/my/page", |_, _| answer(200, &json!({})));
    let (a, b, c) = tokio::join!(house.update("a@example.com"), house.update("b@example.com"), house.update("c@example.com"));
    assert_eq!((a, b, c), (Ok(Outcome::Updated), Ok(Outcome::Updated), Ok(Outcome::Updated)));
    assert_eq!(house.wire.take().iter().filter(|sent| sent.line.starts_with("POST")).count(), 1, "one sign-in");
    house.clock.advance_ms(10 * 60_000);
    assert_eq!(house.update("d@example.com").await, Ok(Outcome::Updated));
    assert_eq!(house.wire.take().iter().filter(|sent| sent.line.starts_with("POST")).count(), 1, "and another");
}

const CRUMB: &str = r#"
[http]
auth    = "basic"
headers = { Jenkins-Crumb = "{session.crumb}" }
[[session]]
name     = "crumb"
effect   = "read"
get      = "/crumbIssuer/api/json"
save     = { crumb = "/crumb" }
classify = [{ status = 200, outcome = "done" }, { status = 404, outcome = "unsupported" }]
continue = ["unsupported"]
[attributes.email]
[[update]]
name     = "put"
effect   = "write"
post     = "/user/{account.id}"
body     = { email = "{want.email}" }
classify = [{ status = 200, outcome = "updated" }]
"#;

#[tokio::test]
async fn a_crumb_is_bound_to_its_cookie_and_to_basic() {
    let house = house(&format!("{CRUMB}{ACCOUNT}"), |sent, _| match sent.line.as_str() {
        "GET /base/crumbIssuer/api/json" => {
            with_headers(200, &[("set-cookie", "JSESSIONID.5=abc; Path=/base")], "{\"crumb\":\"c0ffee\",\"crumbRequestField\":\"Jenkins-Crumb\"}")
        }
        _ => answer(200, &json!({})),
    });
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    let sent = house.wire.take();
    let basic = Some("Basic Z2F0ZXdheTpzd29yZGZpc2g=");
    assert_eq!((sent[0].header("authorization"), sent[0].header("jenkins-crumb")), (basic, None));
    assert_eq!((sent[1].header("authorization"), sent[1].header("jenkins-crumb")), (basic, Some("c0ffee")));
    assert_eq!(sent[1].header("cookie"), Some("JSESSIONID.5=abc"));
}

const TOKEN: &str = r#"
[http]
auth = { header = "X-Metabase-Session", prefix = "" }
[[token]]
name     = "log_in"
effect   = "read"
post     = "/session"
body     = { username = "{credential.username}", password = "{credential.password}" }
save     = { token = "/id", expires_in = "/expires_in" }
classify = [{ status = 200, outcome = "done" }]
[attributes.email]
[[update]]
name     = "put"
effect   = "write"
put      = "/users/{account.id}"
body     = { email = "{want.email}" }
classify = [{ status = 200, outcome = "updated" }]
"#;

#[tokio::test]
async fn a_token_is_used_until_shortly_before_it_expires() {
    let count = AtomicU32::new(0);
    let house = house(&format!("{TOKEN}{ACCOUNT}"), move |sent, _| match sent.line.as_str() {
        "POST /base/session" => answer(200, &json!({ "id": format!("t{}", count.fetch_add(1, Ordering::SeqCst)), "expires_in": 300 })),
        _ => answer(200, &json!({})),
    });
    for (wait_ms, expected) in [(0, "t0"), (269_000, "t0"), (2_000, "t1"), (0, "t1")] {
        house.clock.advance_ms(wait_ms);
        assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
        let sent = house.wire.take();
        let last = sent.last().unwrap();
        assert_eq!((last.header("x-metabase-session"), last.header("authorization")), (Some(expected), None), "after {wait_ms}");
    }
}

#[tokio::test]
async fn auth_none_shows_a_credential_to_nobody_but_a_pre_step() {
    let seen: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let text = format!(
        "[http]\nauth = \"none\"\n{}{ACCOUNT}",
        TOKEN.split_once("[[token]]").unwrap().1.split_once("[attributes.email]").unwrap().1.replace("[[update]]", "[attributes.email]\n[[update]]")
    );
    let noted = Arc::clone(&seen);
    let token = ResolvedCredential { token: Some("static".to_owned().into()), ..super::credential() };
    let house = house_with(&text, token, move |sent, _| {
        noted.lock().unwrap().push(sent.header("authorization").map(str::to_owned));
        answer(200, &json!({}))
    });
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    assert_eq!(*seen.lock().unwrap(), [None]);
}
