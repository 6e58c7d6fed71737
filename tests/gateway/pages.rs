//! Pages as the pipelines use them, through the public door only; languages, own words and own pages, through the gateway.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::whole::{APP, AUTH, Answer, Person, Whole, get, policy_with};
use http::StatusCode;
use std::fs;
use std::path::{Path, PathBuf};
use vestibule::config;
use vestibule::fault::{Incident, PublicMessage};
use vestibule::load::load;
use vestibule::pages::{LOGIN_PATH, PageContext, Pages, RequestKind, WAIT_PATH, Wish};

fn context(kind: RequestKind, continue_to: &str) -> PageContext<'_> {
    PageContext {
        kind,
        incident: Incident::from_bytes([1, 2, 3, 4, 5]),
        app: None,
        person: None,
        continue_to: Some(continue_to),
        language: Wish::default(),
    }
}

fn pages() -> Pages {
    Pages::new(config::Pages { name: "Example Corp sign-in".to_owned(), ..config::Pages::default() }, "https://auth.example.com:8443")
}

/// attacks.md O28: an error from the provider is a word of ours; what the provider wrote has nowhere to go.
#[test]
fn o28_a_declined_sign_in_shows_no_text_of_the_provider_and_does_not_loop() {
    let answer = pages().respond(PublicMessage::SignInDeclined, context(RequestKind::Page, "/?error=%3Cscript%3E&x=\"><script>alert(1)</script>"));
    let page = std::str::from_utf8(answer.body()).expect("UTF-8");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(!page.contains("<script") && !page.contains("x=\">") && page.contains("&#60;script"), "{page}");
    assert!(!page.contains("http-equiv=\"refresh\"") && answer.headers().get("location").is_none(), "a person decides to start again");
}

/// attacks.md C13 and A7: never kept, never framed, never sniffed, no referrer, and nothing about what runs here.
#[test]
fn c13_a7_every_kind_of_answer_is_private_and_says_nothing_of_the_machine() {
    for kind in [RequestKind::Page, RequestKind::Form, RequestKind::Socket, RequestKind::Api] {
        let answer = pages().respond(PublicMessage::Internal, context(kind, "/"));
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(header("strict-transport-security").starts_with("max-age="));
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(header("x-vestibule-incident"), "0410-6105");
        let body = std::str::from_utf8(answer.body()).expect("UTF-8");
        assert!(!body.contains("rust") && !body.contains(".rs:") && !body.contains("127.0.0.1"), "{body}");
    }
}

#[test]
fn the_wait_page_and_sign_in_carry_the_address_through() {
    let deep = "/issues?q=a&b=%20c";
    let wait = pages().respond(PublicMessage::Waiting, context(RequestKind::Page, deep));
    let page = String::from_utf8_lossy(wait.body()).into_owned();
    assert!(page.contains(&format!("0; url={WAIT_PATH}?to=/issues%3Fq%3Da%26b%3D%2520c")), "{page}");
    let sign_in = pages().respond(PublicMessage::SignInRequired, context(RequestKind::Page, deep));
    assert!(String::from_utf8_lossy(sign_in.body()).contains(&format!("{LOGIN_PATH}?to=/issues%3Fq%3Da%26b%3D%2520c")));
}

// --- through the gateway ----------------------------------------------------------------------------

const FROM_A_BROWSER: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";

/// One app that refuses `/admins` in words of its own, and a gateway with the `[pages]` of a file that was loaded from `folder`.
async fn whole(folder: &Path, pages: &str) -> Whole {
    let loaded = load(&config_file(folder, pages)).unwrap_or_else(|report| panic!("{}", report.render()));
    let own = "[messages]\ngroups = { en = \"Ask <Mia> for access.\", de = \"Bitte fragen Sie <Mia>.\" }\n";
    Whole::with(|app| vec![("app", policy_with(APP, app, "", own))], |gateway| gateway.pages = loaded.gateway.pages).await
}

fn config_file(folder: &Path, pages: &str) -> PathBuf {
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).unwrap();
    fs::write(policies.join("app.toml"), "host = \"x.vestibule.test\"\nupstream = \"http://127.0.0.1:9\"\n[access]\neveryone = true\n").unwrap();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nauth_host = \"auth.vestibule.test\"\n[tls]\ncert = \"c.pem\"\nkey = \"file:c.key\"\n\
         [state]\nurl = \"sqlite:v.db\"\nkey = \"env:KEY\"\n[[idp]]\nid = \"corp\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"v\"\n[pages]\n{pages}\n"
    );
    let file = folder.join("vestibule.toml");
    fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_in_the_policys_own_words_and_the_readers_language() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole(folder.path(), "languages = [\"en\", \"de\", \"fr\"]").await;
    let person = whole.sign_in(APP).await;
    let ask = async |more: &str| whole.ask(APP, get(&person, APP, "/admins", more)).await;
    let check = |answer: &Answer, language: &str, heading: &str, words: &str| {
        assert_eq!(answer.status(), 403, "{answer:?}");
        assert_eq!(answer.get("content-language").as_deref(), Some(language));
        assert_eq!(answer.get("vary").as_deref(), Some("accept-language"));
        let page = answer.text();
        assert!(page.contains(heading) && page.contains(words), "{page}");
        assert!(!page.contains("<Mia>") || answer.get("content-type").as_deref() == Some("application/problem+json"), "{page}");
    };
    let page = async |asked: &str| ask(&format!("{FROM_A_BROWSER}Accept-Language: {asked}\r\n")).await;
    check(&ask(FROM_A_BROWSER).await, "en", "<h1>You don&#39;t have access to App</h1>", "<p>Ask &#60;Mia&#62; for access.</p>");
    check(&page("it").await, "en", "<html lang=\"en\"", "<p>Ask &#60;Mia&#62; for access.</p>");
    check(&page("de-AT, en;q=0.5").await, "de", "<h1>Sie haben keinen Zugriff auf App</h1>", "<p>Bitte fragen Sie &#60;Mia&#62;.</p>");
    check(&page("fr, de;q=0.9").await, "fr", "<h1>Vous n’avez pas accès à App</h1>", "<p>Votre compte n’appartient à aucun groupe autorisé.</p>");
    let problem = ask("Accept: application/json\r\nAccept-Language: de\r\n").await;
    check(&problem, "de", "Sie haben keinen Zugriff auf App", "Bitte fragen Sie <Mia>.");
    let document = problem.json();
    assert_eq!(document["type"], format!("https://{AUTH}/problems/denied"));
    assert!(document["detail"].as_str().unwrap().starts_with("Bitte fragen Sie <Mia>."), "{document}");
    // Pages of our own, on both hosts, and refusals before anything is known of the request.
    let german = format!("{FROM_A_BROWSER}Accept-Language: de\r\n");
    assert!(whole.ask(APP, get(&person, APP, "/.vestibule/whoami", &german)).await.text().contains("Was App über Sie weiß"));
    assert!(whole.ask(AUTH, get(&person, AUTH, "/.vestibule/nothing", &german)).await.text().contains("Diese Seite gibt es nicht"));
    let trace = format!("TRACE / HTTP/1.1\r\nHost: {APP}\r\n{german}\r\n");
    assert!(whole.ask(APP, trace).await.text().contains("Diese Art von Anfrage wird nicht angenommen"));
    let nowhere = get(&Person::default(), "broken.vestibule.test", "/", &german);
    assert!(whole.ask("broken.vestibule.test", nowhere).await.text().contains("nicht verfügbar"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_does_not_answer_is_told_in_the_readers_language() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = load(&config_file(folder.path(), "languages = [\"de\", \"nl\"]")).unwrap_or_else(|report| panic!("{}", report.render()));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let whole = Whole::with(|_| vec![("app", policy_with(APP, nobody, "", ""))], |gateway| gateway.pages = loaded.gateway.pages).await;
    let ask = async |asked: &str| whole.ask(APP, get(&Person::default(), APP, "/public", &format!("{FROM_A_BROWSER}{asked}"))).await;
    let (german, dutch) = (ask("").await, ask("Accept-Language: nl\r\n").await);
    assert!(german.status() == 502 && german.text().contains("App antwortet nicht"), "{german:?}");
    assert!(dutch.status() == 502 && dutch.text().contains("App antwoordt niet"), "{dutch:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_pages_and_a_logo_are_served_with_a_security_policy_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("pages")).unwrap();
    let own = "<!doctype html><html lang=\"{lang}\"><head><title>{title}</title><style>b{color:red}</style></head><body>{logo}<b>{name}: {app}</b><h1>{title}</h1>{content}</body></html>";
    fs::write(folder.path().join("pages/denied.html"), own).unwrap();
    fs::write(folder.path().join("logo.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    let whole = whole(folder.path(), "name = \"House & Co\"\nlanguages = [\"en\", \"de\"]\ntemplates = \"pages\"\nlogo = \"logo.svg\"").await;
    let person = whole.sign_in(APP).await;
    let german = format!("{FROM_A_BROWSER}Accept-Language: de\r\n");
    let denied = whole.ask(APP, get(&person, APP, "/admins", &german)).await;
    let page = denied.text();
    assert!(
        denied.status() == 403 && page.starts_with("<!doctype html><html lang=\"de\"><head><title>Sie haben keinen Zugriff auf App</title>"),
        "{page}"
    );
    assert!(page.contains("<img src=\"data:image/svg+xml;base64,PHN2Zy") && page.contains("<b>House &amp; Co: App</b>"), "{page}");
    assert!(page.contains("<p>Bitte fragen Sie &#60;Mia&#62;.</p>") && page.contains("<p class=\"code\">"), "{page}");
    let allowed = denied.get("content-security-policy").unwrap();
    // SHA-256 of `b{color:red}`.
    let hash = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"b{color:red}"))
    };
    assert!(allowed.contains(&format!("style-src 'sha256-{hash}'; img-src 'self' data:;")), "{allowed}");
    let whoami = whole.ask(APP, get(&person, APP, "/.vestibule/whoami", &german)).await;
    assert!(whoami.text().contains("<header><img src=\"data:image/svg+xml;base64,"), "the built-in page has the logo as well");
    assert_ne!(whoami.get("content-security-policy").unwrap(), allowed);
}

#[test]
fn what_is_wrong_with_own_pages_and_the_logo_stops_the_load_and_names_the_file() {
    let check = |pages: &str, files: &[(&str, &str)], expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("pages")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let config = config_file(folder.path(), pages);
        let loaded = load(&config);
        assert_eq!(loaded.is_err(), !expected.is_empty(), "{pages}");
        let report = loaded.map_or_else(|report| report, |loaded| loaded.report).render();
        for part in expected {
            assert!(report.contains(part), "{part} in {report}");
        }
        assert_eq!(vestibule::load::check(&config).errors() > 0, !expected.is_empty());
    };
    let templates = "templates = \"pages\"";
    check("templates = \"nowhere\"", &[], &["nowhere", "cannot be read"]);
    check("logo = \"nowhere.svg\"", &[], &["nowhere.svg", "cannot be read"]);
    check("logo = \"logo.svg\"", &[("logo.svg", "<svg><script>alert(1)</script></svg>")], &["logo.svg", "carries <script>"]);
    check("logo = \"logo.svg\"", &[("logo.svg", "<svg><image href=\"https://evil.example/x.png\"/></svg>")], &["logo.svg", "outside itself"]);
    check("logo = \"logo.svg\"", &[("logo.svg", &format!("<svg>{}</svg>", " ".repeat(70_000)))], &["logo.svg", "65536 are allowed"]);
    check(templates, &[("pages/denid.html", "{title}{content}")], &["pages/denid.html", "did you mean denied.html?"]);
    check(
        templates,
        &[("pages/denied.html", "<h1>{title}</h1>\n<p>{contnet}</p>"), ("pages/onward.html", "{title}{content}")],
        &["pages/denied.html:2:4", "did you mean {content}?", "pages/onward.html", "{refresh} is missing"],
    );
    check(templates, &[("pages/denied.html", "{title}{content}<script src=/x.js></script>")], &["pages/denied.html:1:17", "<script>"]);
    check("languages = [\"en\", \"tlh\"]", &[], &["vestibule.toml:15", "tlh"]);
    check("languages = []", &[], &["empty list"]);
    check(
        &format!("{templates}\nlogo = \"logo.svg\"\nlanguages = [\"ja\", \"en\"]"),
        &[("pages/page.html", "{refresh}{title}{content}"), ("pages/README.md", "{nonsense}"), ("logo.svg", "<svg/>")],
        &[],
    );
}
