//! Apps that keep sessions of their own: whose they are, how people get into them and out of them, and what becomes of people whom an app does not know.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "sign_in/bridge.rs"]
mod bridge;
#[path = "sign_in/keeper.rs"]
mod keeper;

use crate::ear::Ear;
use crate::fake_admin::{FakeAdmin, Flavour, User};
use crate::whole::{ADMIN_TOKEN, APP, AUTH, Answer, COOKIE, Person, Whole, compiled};
use keeper::{Denies, Keeper, Manners};
use serde_json::json;
use url::Url;
use vestibule::identity::SubjectId;
use vestibule::state::AccountKey;

/// A policy for a keeper: `[sign_in]` as given, and sections of the test's own.
fn policy(keeper: &Keeper, sign_in: &str, sections: &str) -> String {
    format!(
        "host = \"{APP}\"\nupstream = \"http://{}\"\n[access]\neveryone = true\n[[path]]\nmatch = [\"/public/*\"]\npublic = true\n\
         [user]\nname = \"{{lower(username)}}\"\n[headers]\nX-Remote-User = \"{{user.name}}\"\nX-Role = \"{{role}}\"\n\
         [sign_in]\n{sign_in}\n{sections}",
        keeper.at
    )
}

struct World {
    whole: Whole,
    keeper: Keeper,
}

async fn world(manners: Manners, sign_in: &str) -> World {
    world_with(manners, sign_in, "[roles]\nmap = { admins = \"Admin\", \"*\" = \"Viewer\" }\n").await
}

async fn world_with(manners: Manners, sign_in: &str, sections: &str) -> World {
    let keeper = Keeper::start(manners).await;
    let text = policy(&keeper, sign_in, sections);
    let whole = Whole::loaded(|_| vec![compiled("app", &text)], |_| {}).await;
    World { whole, keeper }
}

impl World {
    fn be(&self, who: &str, groups: &[&str]) {
        let (name, groups) = (who.to_owned(), groups.to_vec());
        self.whole.op.set(|script| {
            script.subject = json!(name);
            script.person = json!({"preferred_username": name, "email": format!("{name}@example.com"), "email_verified": true, "groups": groups});
        });
    }

    async fn sign_in(&self, browser: &mut Person, who: &str) {
        self.sign_in_with(browser, who, &["staff"]).await;
    }

    /// With these groups; whoever was signed in before, is not any more, but what the app has set is still there.
    async fn sign_in_with(&self, browser: &mut Person, who: &str, groups: &[&str]) {
        browser.forget_sessions();
        self.be(who, groups);
        self.whole.street().sign_in_as(browser, APP).await;
    }

    /// A page, and those that it leads to on this host; the last answer.
    async fn page(&self, browser: &mut Person, path: &str) -> Answer {
        let mut url: Url = format!("https://{APP}{path}").parse().unwrap();
        for _ in 0..8 {
            let answer = self.whole.street().visit(browser, &url).await;
            let Some(to) = answer.get("location") else { return answer };
            url = url.join(&to).unwrap();
            if url.host_str() != Some(APP) {
                return answer;
            }
        }
        panic!("round and round: {url}");
    }

    /// What a script of a page asks for.
    async fn fetch(&self, browser: &mut Person, method: &str, path: &str, more: &str) -> Answer {
        let cookies = browser.cookies(APP);
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {APP}\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n{cookies}{more}\r\n");
        let answer = self.whole.ask(APP, request).await;
        browser.keep(APP, &answer);
        answer
    }
}

const BOUND: &str = "cookies = \"bound\"";

// --- app cookies belong to a person ---------------------------------------------------------------

#[tokio::test]
async fn two_people_at_one_browser_never_see_each_other_s_session_at_the_app() {
    // The control: this app goes by its cookie, whatever the header says.
    let free = world(Manners::default(), "cookies = \"free\"").await;
    let mut browser = Person::default();
    free.sign_in(&mut browser, "ada").await;
    assert_eq!(free.page(&mut browser, "/").await.text(), "you are ada");
    free.sign_in(&mut browser, "bob").await;
    assert_eq!(free.page(&mut browser, "/").await.text(), "you are ada", "bob sees what is ada's");

    let world = world(Manners::default(), BOUND).await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(world.keeper.begun(), 1, "one session: the cookie came back to the app");
    world.sign_in(&mut browser, "bob").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are bob");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are bob");
    // And back again: what was ada's in another session is not ada's in this one.
    world.sign_in(&mut browser, "ada").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(world.keeper.begun(), 3);
    for seen in world.keeper.seen() {
        assert!(!seen.mentions("~vestibule") && !seen.mentions("__host-vestibule"), "nothing of ours reaches the app: {seen:?}");
    }
}

#[tokio::test]
async fn an_app_cookie_that_was_stolen_is_nobody_s() {
    let world = world(Manners::default(), BOUND).await;
    let (mut ada, mut bob) = (Person::default(), Person::default());
    world.sign_in(&mut ada, "ada").await;
    world.page(&mut ada, "/").await;
    let stolen = ada.cookies(APP).replace("Cookie: ", "").replace("\r\n", "");
    let stolen: Vec<&str> = stolen.split("; ").filter(|pair| !pair.starts_with("__Host-vestibule")).collect();
    assert!(stolen.iter().any(|pair| pair.starts_with("sid=")) && stolen.iter().any(|pair| pair.starts_with("sid~vestibule=")), "{stolen:?}");

    // Without a session of the gateway nothing gets to the app, but for what is public; and there it is nobody's.
    let alone = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {APP}\r\nCookie: {}\r\n\r\n", stolen.join("; "));
    assert_eq!(world.whole.ask(APP, alone("/")).await.status(), 401);
    assert_eq!(world.whole.ask(APP, alone("/public/who")).await.text(), "you are nobody");
    // With a session of somebody else's: whole, with its own tag, and with the thief's.
    world.sign_in(&mut bob, "bob").await;
    world.page(&mut bob, "/").await;
    let own = bob.session(APP);
    let tag = bob.cookies(APP).trim_end().split("; ").find_map(|pair| pair.strip_prefix("sid~vestibule=").map(str::to_owned)).unwrap();
    let sid = stolen.iter().find(|pair| pair.starts_with("sid=")).unwrap();
    for forged in [stolen.join("; "), (*sid).to_owned(), format!("{sid}; sid~vestibule={tag}"), format!("sid~vestibule={tag}; {}", stolen.join("; "))]
    {
        let request = format!("GET / HTTP/1.1\r\nHost: {APP}\r\nCookie: {COOKIE}={own}; {forged}\r\n\r\n");
        assert_eq!(world.whole.ask(APP, request).await.text(), "you are bob", "{forged}");
    }
}

#[tokio::test]
async fn a_sign_out_ends_the_session_at_the_app_and_so_does_the_end_of_the_session_here() {
    let world = world(Manners::default(), BOUND).await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.page(&mut browser, "/").await;
    let before = browser.clone();
    let out = format!(
        "POST /.vestibule/logout HTTP/1.1\r\nHost: {APP}\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n{}Content-Length: 0\r\n\r\n",
        browser.cookies(APP)
    );
    let answer = world.whole.ask(APP, out).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    // Somebody who kept all cookies has nothing.
    assert_eq!(world.whole.get(&before, APP, "/").await.status(), 401);
    // The same person again, with the app's cookies still in the browser.
    let mut again = before.clone();
    world.sign_in(&mut again, "ada").await;
    world.page(&mut again, "/").await;
    assert_eq!(world.keeper.begun(), 2, "the app's session of before was not gone on with");

    world.whole.advance_s(31 * 60);
    assert_eq!(world.whole.get(&again, APP, "/").await.status(), 401, "idle");
    world.sign_in(&mut again, "ada").await;
    world.page(&mut again, "/").await;
    assert_eq!(world.keeper.begun(), 3);
}

#[tokio::test]
async fn a_change_of_role_ends_the_session_at_the_app() {
    let world = world(Manners::default(), BOUND).await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    assert_eq!(world.page(&mut browser, "/role").await.text(), "ada is Viewer");
    // The control: the app remembers the role of the session's beginning.
    assert_eq!(world.page(&mut browser, "/role").await.text(), "ada is Viewer");
    assert_eq!(world.keeper.begun(), 1);
    world.sign_in_with(&mut browser, "ada", &["staff", "admins"]).await;
    assert_eq!(world.page(&mut browser, "/role").await.text(), "ada is Admin");
    assert_eq!(world.keeper.begun(), 2);
}

#[tokio::test]
async fn scripts_read_the_app_s_cookies_as_it_set_them_and_their_own_pass_where_the_policy_names_them() {
    let world = world(Manners::default(), "cookies = \"bound\"\nscript_cookies = [\"theme\", \"side-*\"]").await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    let set = world.page(&mut browser, "/").await.all("set-cookie");
    assert!(set.contains(&"csrf=tok-1; Path=/; Secure; SameSite=Lax".to_owned()), "as the app wrote it: {set:?}");
    let beside = set.iter().find(|line| line.starts_with("csrf~vestibule=")).unwrap();
    assert!(beside.ends_with("; Path=/; Secure; SameSite=Lax; HttpOnly"), "{beside}");
    // What a page's script does: it reads the cookie, and sends it along in a header.
    let answer = world.fetch(&mut browser, "POST", "/form", "X-Csrf: tok-1\r\nContent-Length: 0\r\n").await;
    assert_eq!((answer.status(), answer.text()), (200, "done by ada".to_owned()));
    let cookies = format!("{}; theme=dark; side-bar=1; planted=x; csrf=forged", browser.cookies(APP).replace("\r\n", ""));
    world.keeper.seen();
    world.whole.ask(APP, format!("GET / HTTP/1.1\r\nHost: {APP}\r\n{cookies}\r\n\r\n")).await;
    assert_eq!(world.keeper.seen()[0].get("cookie").unwrap(), "csrf=tok-1; sid=1; theme=dark; side-bar=1");
}

#[tokio::test]
async fn public_pages_know_a_person_s_own_cookies_and_nobody_s_stay_nobody_s() {
    let world = world(Manners::default(), BOUND).await;
    let mut browser = Person::default();
    // Before anybody has signed in: a session of nobody's, on public pages only.
    assert_eq!(world.page(&mut browser, "/public/who").await.text(), "you are nobody");
    world.keeper.seen();
    assert_eq!(world.page(&mut browser, "/public/who").await.text(), "you are nobody");
    assert_eq!(world.keeper.seen()[0].get("cookie").as_deref(), Some("csrf=tok-1; sid=1"), "its cookies come back there");
    world.sign_in(&mut browser, "ada").await;
    world.keeper.seen();
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(world.keeper.seen()[0].get("cookie"), None, "and nowhere else: it may have been planted");
    // With a session, public pages are the person's own.
    assert_eq!(world.page(&mut browser, "/public/who").await.text(), "you are ada");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(world.keeper.begun(), 2);
    // A process that does not know yet what this app was told passes none, and lets none be set over them.
    let mut fresh = Person::default();
    world.sign_in(&mut fresh, "bob").await;
    let answer = world.page(&mut fresh, "/public/who").await;
    assert_eq!((answer.text(), answer.all("set-cookie")), ("you are nobody".to_owned(), Vec::new()));
}

// --- signing in at one address ---------------------------------------------------------------------

#[tokio::test]
async fn an_app_that_reads_the_header_at_its_login_address_is_entered_there_and_nowhere_else() {
    let world = world(Manners { reads_at: Some("/enter"), ..Manners::default() }, "login_url = \"/enter\"").await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.keeper.seen();
    let answer = world.page(&mut browser, "/deep/page?a=1&b=%2F").await;
    assert_eq!(answer.text(), "you are ada");
    let lines: Vec<String> = world.keeper.seen().iter().map(|seen| format!("{} {:?}", seen.line(), seen.get("x-remote-user"))).collect();
    assert_eq!(lines, ["GET /enter HTTP/1.1 Some(\"ada\")", "GET /deep/page?a=1&b=%2F HTTP/1.1 None"], "there and back, and the header only there");
    assert_eq!(world.page(&mut browser, "/other").await.text(), "you are ada");
    assert_eq!(world.keeper.seen().len(), 1, "once for a session");

    // Another person at the same browser is signed in anew.
    world.sign_in(&mut browser, "bob").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are bob");
    // A header of the client's own is nothing anywhere.
    let forged = format!(
        "GET /enter HTTP/1.1\r\nHost: {APP}\r\n{COOKIE_LINE}X-Remote-User: root\r\nX_Remote_User: root\r\n\r\n",
        COOKIE_LINE = browser.cookies(APP)
    );
    world.keeper.seen();
    world.whole.ask(APP, forged).await;
    assert_eq!(world.keeper.seen()[0].all("x-remote-user"), ["bob"]);
    // The way back leads nowhere else.
    for elsewhere in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F.vestibule%2Flogout"] {
        let url: Url = format!("https://{APP}/enter?vestibule-back={elsewhere}").parse().unwrap();
        let answer = world.whole.street().visit(&mut browser, &url).await;
        assert_eq!(answer.get("location").as_deref(), Some("/home"), "where the app itself leads");
    }
}

#[tokio::test]
async fn an_app_that_does_not_let_the_person_in_at_its_login_address_does_not_send_them_round() {
    let world =
        world(Manners { reads_at: Some("/enter"), denies: Denies::Unauthorized }, "login_url = \"/enter\"\nrejected_when = [{ status = 401 }]").await;
    world.keeper.forget("ada");
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.keeper.seen();
    let answer = world.page(&mut browser, "/").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert!(answer.mentions("did not accept your sign-in"), "{answer:?}");
    assert!(world.keeper.seen().len() <= 2, "the login address, and once more");
    world.page(&mut browser, "/").await;
    assert_eq!(world.keeper.seen().len(), 1, "afterwards once a page");
}

#[tokio::test]
async fn an_app_that_sends_whom_it_does_not_know_round_and_round_is_stopped() {
    let manners = Manners { reads_at: Some("/enter"), denies: Denies::Circles };
    let world = world(manners, "login_url = \"/enter\"\nrejected_when = [{ status = 401 }]").await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    // A session that has run out at the app is begun anew, and nobody takes that for a no.
    world.keeper.forget("ada");
    world.keeper.remember("ada");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");

    world.keeper.forget("ada");
    world.keeper.seen();
    let answer = world.page(&mut browser, "/").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert!(answer.mentions("did not accept your sign-in"), "{answer:?}");
    assert!(world.keeper.seen().len() <= 6, "to the login address and back, once more, and no more");
    world.keeper.remember("ada");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
}

#[tokio::test]
async fn basic_sends_the_recorded_login_with_the_shared_secret_and_never_the_client_s_own() {
    let world =
        world(Manners { reads_at: Some("/enter"), ..Manners::default() }, "mode = \"basic\"\npassword = \"env:ADMIN_TOKEN\"\nlogin_url = \"/enter\"")
            .await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    let seen = world.keeper.seen();
    let expected = format!("Basic {}", keeper::base64(&format!("ada:{ADMIN_TOKEN}")));
    let told: Vec<Option<String>> = seen.iter().map(|request| request.get("authorization")).collect();
    assert_eq!(told, [Some(expected.clone()), None], "{seen:?}");
    let own = format!("GET /enter HTTP/1.1\r\nHost: {APP}\r\n{}Authorization: Basic cm9vdDp4\r\n\r\n", browser.cookies(APP));
    world.whole.ask(APP, own).await;
    assert_eq!(world.keeper.seen()[0].all("authorization"), [expected]);
    // Without a login address it goes with every request, and never to public pages.
    let everywhere = world_with(Manners::default(), "mode = \"basic\"\npassword = \"env:ADMIN_TOKEN\"", "").await;
    let mut browser = Person::default();
    everywhere.sign_in(&mut browser, "ada").await;
    assert_eq!(everywhere.page(&mut browser, "/").await.text(), "you are ada");
    everywhere.page(&mut browser, "/public/x").await;
    let told: Vec<bool> = everywhere.keeper.seen().iter().map(|request| request.get("authorization").is_some()).collect();
    assert_eq!(told, [true, false]);
}

// --- where the app signs people out ------------------------------------------------------------------

const SIGNS_OUT: &str = "cookies = \"bound\"\nlogout_paths = [\"/logout\"]\nrejected_when = [{ redirect = \"^/login\" }]";

#[tokio::test]
async fn signing_out_in_the_app_signs_out_at_the_gateway_as_well() {
    let world = world(Manners::default(), SIGNS_OUT).await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.page(&mut browser, "/").await;
    let before = browser.clone();
    let request = format!(
        "GET /logout HTTP/1.1\r\nHost: {APP}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nAccept: text/html\r\n{}\r\n",
        browser.cookies(APP)
    );
    let answer = world.whole.ask(APP, request).await;
    assert_eq!(world.keeper.ended(), 1, "the app's own session has ended");
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.mentions(&format!("https://{AUTH}/.vestibule/logout/done?t=")), "and on to the auth host: {answer:?}");
    assert!(answer.all("set-cookie").iter().any(|line| line.starts_with(COOKIE) && line.contains("Max-Age=0")), "{answer:?}");
    assert!(answer.all("set-cookie").iter().any(|line| line.starts_with("sid=;")), "the app's own farewell comes along");
    assert_eq!(world.whole.get(&before, APP, "/").await.status(), 401);
    // A script reads what the application says, to the end.
    world.sign_in(&mut browser, "ada").await;
    world.page(&mut browser, "/").await;
    let answer = world.fetch(&mut browser, "POST", "/logout", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status(), answer.text(), world.keeper.ended()), (302, "signed out".to_owned(), 2), "{answer:?}");
    assert_eq!(world.whole.get(&browser, APP, "/").await.status(), 401);
    // Whoever comes back there without a session is not led back there by signing in.
    let mut later = Person::default();
    let first = world.whole.street().visit(&mut later, &format!("https://{APP}/logout").parse().unwrap()).await;
    let start: Url = first.get("location").unwrap().parse().unwrap();
    assert_eq!(start.host_str(), Some(AUTH), "{first:?}");
    assert_eq!(world.keeper.ended(), 2);
}

#[tokio::test]
async fn another_site_signs_nobody_out_and_an_app_that_refuses_keeps_its_person() {
    let world = world(Manners::default(), SIGNS_OUT).await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.page(&mut browser, "/").await;
    for (method, lines) in [
        ("GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n"),
        ("GET", "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n"),
        ("GET", "Accept: text/html\r\n"),
        ("POST", "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n"),
        ("GET", "Referer: https://evil.example/\r\nAccept: text/html\r\n"),
    ] {
        let request = format!("{method} /logout HTTP/1.1\r\nHost: {APP}\r\n{lines}{}\r\n", browser.cookies(APP));
        let answer = world.whole.ask(APP, request).await;
        assert_eq!((answer.status(), answer.get("location").as_deref()), (303, Some("/.vestibule/logout")), "{lines}: they are asked");
    }
    assert_eq!(world.keeper.ended(), 0);
    // The app's own check against forgeries: its answer counts.
    let refused = world.fetch(&mut browser, "POST", "/logout?refuse", "Content-Length: 0\r\n").await;
    assert_eq!(refused.status(), 422);
    assert_eq!(world.whole.get(&browser, APP, "/").await.text(), "you are ada");
    // A script gets the answer that it knows, and the session has ended all the same.
    let before = browser.clone();
    let answer = world.fetch(&mut browser, "POST", "/logout", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status(), answer.get("location").as_deref()), (302, Some("/login")));
    assert!(answer.all("set-cookie").iter().any(|line| line.starts_with(COOKIE)), "{answer:?}");
    assert_eq!(world.whole.get(&before, APP, "/").await.status(), 401);
}

/// Discourse signs out by a DELETE below the path at which it signs in, Nexus and Metabase by one to that very path.
#[tokio::test]
async fn a_method_tells_a_sign_out_from_a_sign_in_at_the_same_path() {
    let sign_in = "cookies = \"bound\"\nlogout_paths = [\"DELETE /session/*\", \"DELETE /api/session\"]";
    let world = world_with(Manners::default(), sign_in, "[login]\nblock_paths = [\"POST /api/session\"]\n").await;
    for path in ["/session/ada", "/api/session"] {
        let mut browser = Person::default();
        world.sign_in(&mut browser, "ada").await;
        let ended = world.keeper.ended();
        world.page(&mut browser, "/").await;
        for (method, elsewhere) in [("GET", "/session/sso"), ("POST", "/session/ada"), ("GET", "/api/session"), ("DELETE", "/notes/1")] {
            let answer = world.fetch(&mut browser, method, elsewhere, "Content-Length: 0\r\n").await;
            assert_eq!((answer.status(), answer.text()), (200, "you are ada".to_owned()), "{method} {elsewhere}: {answer:?}");
        }
        let refused = world.fetch(&mut browser, "POST", "/api/session", "Content-Length: 0\r\n").await;
        assert_eq!(refused.status(), 403, "the app's own sign-in: {refused:?}");
        assert_eq!(world.whole.get(&browser, APP, "/").await.status(), 200, "still signed in");
        let before = browser.clone();
        let answer = world.fetch(&mut browser, "DELETE", path, "Content-Length: 0\r\n").await;
        assert_eq!((answer.status(), answer.text()), (302, "signed out".to_owned()), "a script gets the answer that it knows: {answer:?}");
        assert!(answer.all("set-cookie").iter().any(|line| line.starts_with(COOKIE) && line.contains("Max-Age=0")), "{answer:?}");
        assert_eq!(world.keeper.ended(), ended + 1, "{path}");
        assert_eq!(world.whole.get(&before, APP, "/").await.status(), 401, "{path}: here as well");
    }
    // Another site's page is asked about, whatever the method.
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    let request = format!("DELETE /session/ada HTTP/1.1\r\nHost: {APP}\r\nSec-Fetch-Site: cross-site\r\n{}\r\n", browser.cookies(APP));
    let answer = world.whole.ask(APP, request).await;
    assert_eq!((answer.status(), answer.get("location").as_deref()), (303, Some("/.vestibule/logout")));
}

// --- self-heal --------------------------------------------------------------------------------------

/// A keeper whose accounts are made over SCIM.
async fn healing(denies: Denies, sign_in: &str) -> (World, FakeAdmin) {
    healing_with(denies, sign_in, "").await
}

/// With sections of the test's own.
async fn healing_with(denies: Denies, sign_in: &str, sections: &str) -> (World, FakeAdmin) {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    let provision =
        format!("{sections}[provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n", admin.url);
    let world = world_with(Manners { denies, ..Manners::default() }, sign_in, &provision).await;
    (world, admin)
}

#[tokio::test]
async fn a_person_whom_the_app_has_lost_is_looked_at_and_their_page_comes_after_all() {
    for (denies, sign) in [
        (Denies::Unauthorized, "rejected_when = [{ status = 401 }]"),
        (Denies::Redirects, "rejected_when = [{ redirect = \"^/login\" }]"),
        (Denies::Says, "rejected_when = [{ status = 200, body = \"You are not logged in\" }]"),
    ] {
        let (world, admin) = healing(denies, &format!("cookies = \"bound\"\n{sign}")).await;
        let mut browser = Person::default();
        world.sign_in(&mut browser, "ada").await;
        assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada", "{sign}");
        admin.take_lines();
        // The app has forgotten them for one request: its account is there again once somebody looks.
        world.keeper.forget_until_asked_twice("ada");
        let answer = world.page(&mut browser, "/notes?x=1").await;
        assert_eq!((answer.status(), answer.text()), (200, "you are ada".to_owned()), "{sign}");
        assert!(!admin.take_lines().is_empty(), "{sign}: the account was looked at");
        let last = world.keeper.seen().pop().unwrap();
        assert_eq!(
            (last.line(), last.get("cookie")),
            ("GET /notes?x=1 HTTP/1.1".to_owned(), None),
            "{sign}: sent again, without what the app does not know"
        );
        let metrics = world.metrics().await;
        assert!(metrics.contains("vestibule_sign_in_rejected_total{app=\"app\",result=\"healed\"} 1"), "{metrics}");
    }
}

#[tokio::test]
async fn an_app_that_goes_on_refusing_is_asked_twice_and_then_once_a_page() {
    let (world, admin) = healing(Denies::Unauthorized, "rejected_when = [{ status = 401 }]").await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.page(&mut browser, "/").await;
    world.keeper.forget("ada");
    world.keeper.seen();
    admin.take_lines();
    let answer = world.page(&mut browser, "/").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert!(answer.mentions("did not accept your sign-in") && answer.get("x-vestibule-incident").is_some(), "{answer:?}");
    assert_eq!(world.keeper.seen().len(), 2, "once, and once more");
    assert!(!admin.take_lines().is_empty(), "the account was looked at");
    for _ in 0..5 {
        assert_eq!(world.page(&mut browser, "/").await.status(), 502);
    }
    assert_eq!((world.keeper.seen().len(), admin.take_lines().len()), (5, 0), "no more than what is asked for");
    // A script gets the app's own answer.
    let answer = world.fetch(&mut browser, "GET", "/api", "").await;
    assert_eq!((answer.status(), answer.text()), (401, "who are you?".to_owned()));
    // A form is never sent twice; whoever sends one is told.
    world.whole.advance_s(61);
    world.keeper.seen();
    let form = format!(
        "POST /form HTTP/1.1\r\nHost: {APP}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nAccept: text/html\r\nContent-Type: application/x-www-form-urlencoded\r\n{}Content-Length: 3\r\n\r\na=b",
        browser.cookies(APP)
    );
    let answer = world.whole.ask(APP, form).await;
    assert_eq!((answer.status(), world.keeper.seen().len()), (502, 1), "{answer:?}");
    // After a minute, and when the app knows them again, all is well.
    world.whole.advance_s(61);
    world.keeper.remember("ada");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
}

#[tokio::test]
async fn somebody_whose_account_is_gone_for_good_is_told_why() {
    let (world, admin) = healing(Denies::Unauthorized, "rejected_when = [{ status = 401 }]").await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    world.page(&mut browser, "/").await;
    world.keeper.forget("ada");
    // The admin API refuses the gateway's credential by now: nothing can be said of the account, and no stale answer passes for a look.
    admin.require("Bearer another-token");
    let answer = world.page(&mut browser, "/").await;
    assert!((500..=599).contains(&answer.status()), "{answer:?}");
    assert!(!answer.mentions("you are") && answer.get("x-vestibule-incident").is_some(), "{answer:?}");
}

/// Sections' headers as well: an account key beside the old name would be a key to somebody else's account.
#[tokio::test]
async fn who_was_relinked_meanwhile_is_told_by_the_new_name_alone_when_a_page_is_asked_for_once_more() {
    let section = "[[path]]\nmatch = [\"/api/*\"]\nheaders = { X-Api-User = \"{user.name}\", X-Api-Key = { secret = \"env:CLIENT_SECRET\" } }\n";
    let (world, admin) = healing_with(Denies::Unauthorized, "rejected_when = [{ status = 401 }]", section).await;
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    let names = |seen: &Answer| ["x-remote-user", "x-api-user"].map(|name| seen.all(name).join(","));
    assert_eq!(world.page(&mut browser, "/api/notes").await.status(), 200);
    let before = world.keeper.seen().pop().unwrap();
    assert_eq!(names(&before), ["ada", "ada"]);
    let secret = before.get("x-api-key").unwrap();
    // An operator links her to the account that she really has, at another gateway on the store: this one is not told. The app knows the other account no more.
    let url = format!("sqlite:{}", world.whole.folder.path().join("v.db").display());
    let sign_in = policy(&world.keeper, "rejected_when = [{ status = 401 }]", "");
    let elsewhere = Whole::loaded(|_| vec![compiled("app", &sign_in)], |gateway| gateway.state.url = url).await;
    admin.add_user(User { id: "42".into(), login: "lovelace".into(), ..User::default() });
    let key = AccountKey { upstream: "app".to_owned(), subject: SubjectId { issuer: world.whole.op.issuer.clone(), subject: "ada".to_owned() } };
    elsewhere.running.swap().people().relink(&key, "42", "root").await.unwrap();
    world.keeper.forget("ada");
    let answer = world.page(&mut browser, "/api/notes").await;
    assert_eq!((answer.status(), answer.text()), (200, "you are lovelace".to_owned()));
    let seen = world.keeper.seen();
    let [first, again] = seen.as_slice() else { panic!("once, and once more: {seen:?}") };
    assert_eq!((names(first), names(again)), (["ada", "ada"].map(str::to_owned), ["lovelace", "lovelace"].map(str::to_owned)));
    assert_eq!(again.all("x-api-key"), [secret], "with the new name, and once");
}

/// What was told of people whom the app did not know: person, its answer, and what a look at their account came to.
fn rejected(ear: &Ear) -> Vec<String> {
    let line = |event: &serde_json::Value| {
        assert_eq!((&event["app"], &event["idp"], &event["http.status"]), (&json!("app"), &json!("corp"), &json!(401)), "{event}");
        assert!(event["incident"].as_str().is_some_and(|code| code.len() == 9) && event["policy.revision"].is_string(), "{event}");
        format!("{} {} {}", event["user.sub"].as_str().unwrap(), event["user.email"].as_str().unwrap(), event["reason"].as_str().unwrap())
    };
    ear.heard("signin.rejected").iter().map(line).collect()
}

#[tokio::test]
async fn a_person_whom_the_app_does_not_know_is_told_once_for_every_look_at_their_account() {
    let listening = Ear::listen();
    let (world, admin) = healing(Denies::Unauthorized, "rejected_when = [{ status = 401 }]").await;
    let ear = listening.to(&world.whole.op.issuer);
    let mut browser = Person::default();
    world.sign_in(&mut browser, "ada").await;
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(rejected(&ear), Vec::<String>::new(), "who is known is nobody's event");
    // Looked at, and let in after all.
    world.keeper.forget_until_asked_twice("ada");
    assert_eq!(world.page(&mut browser, "/").await.text(), "you are ada");
    assert_eq!(rejected(&ear), ["ada ada@example.com looked"]);
    // Refused again and again: the account is not looked at for every page, and the log is not filled.
    world.whole.advance_s(61);
    world.keeper.forget("ada");
    for _ in 0..5 {
        assert_eq!(world.page(&mut browser, "/").await.status(), 502);
    }
    assert_eq!(rejected(&ear), ["ada ada@example.com looked"; 2]);
    // Nothing can be said of the account: that is what they are told, under the incident that the page shows.
    world.whole.advance_s(61);
    admin.require("Bearer another-token");
    let answer = world.page(&mut browser, "/").await;
    assert_eq!(rejected(&ear), ["ada ada@example.com looked", "ada ada@example.com looked", "ada ada@example.com refused"]);
    let last = ear.heard("signin.rejected").pop().unwrap();
    assert_eq!(answer.get("x-vestibule-incident").as_deref(), last["incident"].as_str(), "{answer:?}");
}

impl World {
    async fn metrics(&self) -> String {
        let at = self.whole.running.admin.unwrap();
        // The admin port speaks plain HTTP.
        let tcp = tokio::net::TcpStream::connect(at).await.unwrap();
        let mut wire = crate::whole::Wire::new(tcp);
        wire.send(format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")).await;
        wire.answer(false).await.text()
    }
}

// --- problems of policies -----------------------------------------------------------------------------

#[test]
fn combinations_that_cannot_work_are_found_when_the_policy_is_read() {
    use vestibule::connector::builtin::builtin;
    use vestibule::policy::{Surroundings, compile};
    use vestibule::source::SourceFile;
    let check = |rest: &str, expected: &[&str]| {
        let text = format!("host = \"a.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n{rest}");
        let (_, problems) = compile(&SourceFile::new("policies/a.toml", &*text), Surroundings { idps: None, connectors: builtin() });
        let shown: Vec<String> = problems.iter().map(vestibule::source::Problem::render).collect();
        assert_eq!(shown.len(), expected.len(), "{rest}: {shown:#?}");
        for (shown, expected) in shown.iter().zip(expected) {
            assert!(shown.contains(expected), "{rest}: {shown}");
        }
    };
    let hub =
        "[provision]\nconnector = \"jupyterhub\"\nurl = \"http://127.0.0.1:1\"\ntoken = \"cred:t\"\n[headers]\nX-Remote-User = \"{user.name}\"\n";
    check(hub, &[]);
    check(&format!("[login]\nblock_paths = [\"/hub/login*\"]\n{hub}"), &["login.block_paths and sign_in.login_url contradict each other"]);
    check(
        &format!("[login]\nportal = \"/hub/login\"\n[sign_in]\nlogin_url = \"/hub/login\"\n{hub}"),
        &["sign_in.login_url and login.portal contradict each other"],
    );
    check(
        &format!("[sign_in]\nmode = \"basic\"\npassword = \"cred:p\"\n{hub}"),
        &["connector `jupyterhub` says that its app signs nobody in by \"basic\""],
    );
    check("[sign_in]\nmode = \"session_bridge\"\n", &["mode = \"session_bridge\" needs [provision]"]);
    let scim = "[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:1\"\ntoken = \"cred:t\"\n";
    let lacks = ["needs `[[enter]]`, which connector `scim` does not have", "needs `[[set_password]]`"];
    check(&format!("[sign_in]\nmode = \"session_bridge\"\n{scim}"), &lacks);
    check(&format!("[sign_in]\nmode = \"token_exchange\"\n{scim}"), &[lacks[0], "mode = \"token_exchange\" needs [jwt]"]);
    check("[sign_in]\nmode = \"basic\"\n", &["mode = \"basic\" needs sign_in.password"]);
    check("[sign_in]\nmode = \"basic\"\npassword = \"hunter2\"\n", &["sign_in.password"]);
    check("[sign_in]\nmode = \"basic\"\npassword = \"cred:p\"\n[headers]\nAuthorization = \"{user.name}\"\n", &["both set `Authorization`"]);
    check("[sign_in]\npassword = \"cred:p\"\n", &["sign_in.password has no effect"]);
    check("[sign_in]\nlogin_url = \"/enter\"\n", &["sign_in.login_url has nothing to send there"]);
    check("[sign_in]\nlogin_url = \"enter?x\"\n", &["`enter?x` is not a value of sign_in.login_url"]);
    check("[sign_in]\nrotate = \"7d\"\n", &["sign_in.rotate has no effect"]);
    let redmine = "[provision]\nconnector = \"redmine\"\nurl = \"http://127.0.0.1:1\"\nheaders = { X-Redmine-API-Key = { secret = \"cred:k\" } }\n";
    check(redmine, &["`redmine` signs people in by the application's own form: lower assurance than a header"]);
    check(&format!("[sign_in]\nmode = \"session_bridge\"\n{redmine}"), &[]);
    check("[sign_in]\nscript_cookies = [\"theme\"]\n", &["sign_in.script_cookies has no effect"]);
    check("[sign_in]\nlogout_paths = [\"logout\"]\n", &["no request could match this"]);
    check("[sign_in]\nlogout_paths = [\"DELTE /session\"]\n", &["no request could match this: `DELTE` is none of the methods GET HEAD POST"]);
    let airflow = |settings: &str| {
        let provision = "[provision]\nconnector = \"airflow\"\nurl = \"http://127.0.0.1:1\"\nusername = \"a\"\npassword = \"cred:p\"\n";
        format!("[login]\nblock_paths = [\"/auth/login/\"]\n{provision}{settings}[headers]\nX-Remote-User = \"{{user.name}}\"\n")
    };
    // Airflow 3 reads there who it is; Airflow 2 elsewhere.
    check(&airflow(""), &["nobody could get in at /auth/login/"]);
    check(&airflow("settings = { version = \"2\" }\n"), &[]);
    check("[sign_in]\nrejected_when = [{ status = 401, redirect = \"^/login\" }]\n", &["this is no sign that an answer could show"]);
    check("[sign_in]\nrejected_when = [{ body = \"(\" }]\n", &["not a regular expression"]);
    check("[sign_in]\nrejected_when = [{ status = 4010 }]\n", &["an HTTP status is expected here"]);
    check("[sign_in]\ncookies = \"sticky\"\n", &["sign_in.cookies"]);
}
