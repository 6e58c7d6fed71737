//! Refusing first: what must never be on a page. Then: every message for every kind. Then: what people read, as snapshots.
//!
//! `VESTIBULE_GALLERY=DIR cargo test --lib pages::` also writes each page to DIR, to look at in a browser.

mod languages;

use super::{Choice, PageContext, Pages, RequestKind, WhoAmI, Wish, html};
use crate::clock::Timestamp;
use crate::config;
use crate::expr::{Env, FirstOf, Template};
use crate::fault::{DenyReason, Incident, PublicMessage};
use crate::identity::{Groups, Identity, SubjectId};
use crate::policy::{Gate, Login, OnCollision, OnSuspect, Policy, Upstream, UserMapping};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value};

const KINDS: [RequestKind; 4] = [RequestKind::Page, RequestKind::Form, RequestKind::Socket, RequestKind::Api];
const REASONS: [DenyReason; 12] = [
    DenyReason::Groups,
    DenyReason::DenyGroups,
    DenyReason::Domains,
    DenyReason::EmailUnverified,
    DenyReason::Networks,
    DenyReason::When,
    DenyReason::MaxAge,
    DenyReason::Required,
    DenyReason::Methods,
    DenyReason::Idp,
    DenyReason::Origin,
    DenyReason::LocalSignIn,
];

fn messages() -> Vec<PublicMessage> {
    use PublicMessage as M;
    let mut all = vec![
        M::BadRequest,
        M::BodyTooLarge,
        M::HeadersTooLarge,
        M::MethodRefused,
        M::NoSuchHost,
        M::Misdirected,
        M::NoSuchPage,
        M::SignInRequired,
        M::SessionEnded,
        M::FreshSignInRequired,
        M::LinkExpired,
        M::SignInFailed,
        M::SignInDeclined,
        M::ProviderDown,
        M::StoreDown,
        M::Waiting,
        M::AccountFailed,
        M::AccountUnavailable,
        M::AccountExists,
        M::IncompleteSignIn,
        M::UnusableSignIn,
        M::AccountsOff,
        M::AccountsFull,
        M::AwaitingApproval,
        M::OpenInBrowser,
        M::AppClosed,
        M::AppUnreachable,
        M::AppTimeout,
        M::TooManyConnections,
        M::AppRejected,
        M::AppUnavailable,
        M::SignedOut,
        M::SignedIn,
        M::Internal,
    ];
    all.extend(REASONS.map(M::Denied));
    all
}

fn pages() -> Pages {
    let settings =
        config::Pages { name: "Example Corp sign-in".to_owned(), contact: Some("helpdesk@example.com".to_owned()), ..config::Pages::default() };
    Pages::new(settings, "https://auth.example.com")
}

fn app() -> Policy {
    Policy {
        name: "redmine".to_owned(),
        file: "policies/redmine.toml".to_owned(),
        revision: "0123456789ab".to_owned(),
        title: "Redmine".to_owned(),
        host: "redmine.example.com".to_owned(),
        upstream: Upstream { tls: false, host: "10.0.4.31".to_owned(), port: 3000, connect_timeout_ms: 1, response_timeout_ms: 1 },
        login: Login::default(),
        access: Gate::default(),
        contact: Some("it-apps@example.com".to_owned()),
        help: Some("https://intranet.example.com/redmine-access".to_owned()),
        paths: crate::policy::PathSections::default(),
        messages: crate::policy::messages::Messages::default(),
        encoded_slashes: crate::policy::EncodedSlashes::Refuse,
        bearer: None,
        user: UserMapping {
            name: FirstOf(Vec::new()),
            email: FirstOf(Vec::new()),
            display: FirstOf(Vec::new()),
            extra: Vec::new(),
            required: ["given_name", "family_name", "claims.employee_id"].map(str::to_owned).to_vec(),
            name_max: None,
            omit: Vec::new(),
            on_collision: OnCollision::Refuse,
            on_suspect: OnSuspect::Refuse,
        },
        roles: None,
        orgs: Vec::new(),
        vars: Map::new(),
        provision: None,
        headers: Vec::new(),
        secret_headers: Vec::new(),
        jwt: None,
        sign_in: crate::policy::SignIn::default(),
        login_place: String::new(),
        access_place: String::new(),
        tests: Vec::new(),
    }
}

fn ada() -> Identity {
    Identity {
        subject: SubjectId { issuer: "https://login.example.com".to_owned(), subject: "248289761001".to_owned() },
        idp: "corp".to_owned(),
        email: Some("ada@example.com".to_owned()),
        email_verified: true,
        name: Some("Ada Lovelace".to_owned()),
        given_name: Some("Ada".to_owned()),
        family_name: None,
        username: Some("ada".to_owned()),
        groups: Groups::Known(vec!["payroll-secret-group".to_owned()]),
        claims: Map::new(),
    }
}

fn context<'a>(kind: RequestKind, app: &'a Policy, person: &'a Identity) -> PageContext<'a> {
    let incident = Incident::from_bytes([0x3a, 0x5c, 0x91, 0x47, 0x2e]);
    PageContext { kind, incident, app: Some(app), person: Some(person), continue_to: Some("/issues?q=a&b=c"), language: Wish::default() }
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).expect("pages are UTF-8")
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("ASCII"))
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let (_, rest) = text.split_once(open).unwrap_or_else(|| panic!("no {open} in {text}"));
    rest.split_once(close).unwrap_or_else(|| panic!("no {close}")).0
}

/// Every address that the page loads, links to or goes to.
fn addresses(page: &str) -> Vec<&str> {
    let marks = ["href=\"", "src=\"", "action=\"", "; url="];
    marks.iter().flat_map(|mark| page.split(mark).skip(1)).map(|rest| rest.split('"').next().unwrap_or(rest)).collect()
}

/// What a reader without eyes for tags gets: lines of text, links as `[text](address)`.
fn as_read(page: &str) -> String {
    let mut out = page.split_once("</style>").map_or(page, |(_, body)| body).to_owned();
    if let Some((_, rest)) = page.split_once("http-equiv=\"refresh\"") {
        out = format!("(refresh: {})\n{out}", between(rest, "content=\"", "\""));
    }
    for (tag, shown) in
        [("<h1>", "\n# "), ("<li>", "\n- "), ("<p", "\n<p"), ("<dt>", "\n"), ("<dd>", ": "), ("<form", "\n<form"), ("<progress", "\n[progress]<x")]
    {
        out = out.replace(tag, shown);
    }
    let mut text = String::new();
    let mut link = String::new();
    for part in out.split('<') {
        let (tag, rest) = part.split_once('>').unwrap_or(("", part));
        if tag.starts_with("a ") {
            link = between(tag, "href=\"", "\"").to_owned();
            text.push_str(if tag.contains("button") { " [[" } else { " [" });
        } else if tag == "/a" {
            text.extend(["](", &link, ")"]);
        } else if tag.starts_with("form") {
            text.extend(["POST ", between(tag, "action=\"", "\""), " "]);
        }
        text.push_str(rest);
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

// --- what must never be on a page ----------------------------------------------------------------

#[test]
fn names_of_people_and_apps_are_text_never_markup() {
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "{{7*7}}${7*7}<%= 7*7 %>",
        "</title><script>alert(1)</script>",
        "\u{202e}moc.elpmaxe@ada",
        "a\r\nSet-Cookie: x=y",
    ];
    for name in hostile.map(str::to_owned).into_iter().chain(["<b>".repeat(3_400)]) {
        let mut person = ada();
        person.email = Some(name.clone());
        person.name = Some(name.clone());
        let mut app = app();
        app.title.clone_from(&name);
        app.contact = Some(name.clone());
        app.help = Some(format!("javascript:{name}"));
        app.user.required.push(format!("claims.{name}"));
        let pages = Pages::new(config::Pages { name: name.clone(), ..config::Pages::default() }, "https://auth.example.com");
        for kind in KINDS {
            let context = context(kind, &app, &person);
            let mut answers: Vec<_> = messages().into_iter().map(|message| pages.respond(message, context)).collect();
            let roles = [name.clone()];
            let headers = [("X-Remote-User", name.as_str())];
            let facts = WhoAmI { login: Some(&name), roles: &roles, provider: &name, signed_in_at: Timestamp::from_seconds(0), headers: &headers };
            answers.push(pages.whoami(context, facts));
            answers.push(pages.picker(context, &[Choice { id: "x", name: &name, href: "//evil.example", last_used: true }]));
            answers.push(pages.launcher(context, &[Choice { id: "x", name: &name, href: &format!("javascript:{name}"), last_used: false }]));
            answers.push(pages.logout_confirm(context, "https://evil.example/", "tok\"><script>"));
            answers.push(pages.signed_out(context, &[&name], Some((&name, None))));
            for answer in answers.iter().filter(|_| kind.is_read_by_a_person()) {
                let page = text(answer);
                assert!(page.len() < 15_000, "{} bytes", page.len());
                for sign in ["<script", "<img", "<b>", "onerror=alert(1)>", "\u{202e}", "Set-Cookie: x=y\n", "javascript:", "evil.example"] {
                    let escaped = sign == "onerror=alert(1)>";
                    assert!(!page.contains(sign) || escaped && !page.contains("<img"), "{sign} in {page}");
                }
                assert!(!page.contains("='alert") && !page.contains("' onmouseover"), "{page}");
            }
            for answer in answers.iter().filter(|_| !kind.is_read_by_a_person()) {
                serde_json::from_slice::<Value>(answer.body()).expect("whole JSON");
            }
        }
    }
}

#[test]
fn a_name_of_ten_thousand_letters_is_cut() {
    let mut person = ada();
    person.email = Some(format!("{}@example.com", "a".repeat(10_000)));
    let page = text(&pages().respond(PublicMessage::Denied(DenyReason::Groups), context(RequestKind::Page, &app(), &person)));
    assert!(page.contains(&format!("<bdi>{}…</bdi>", "a".repeat(80))), "{page}");
}

#[test]
fn links_that_leave_this_host_become_its_front_page() {
    for to in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "evil",
        "/a\r\nLocation: x",
        "/ a",
        "\\\\evil.example",
    ] {
        for message in messages() {
            let (app, person) = (app(), ada());
            let context = PageContext { continue_to: Some(to), ..context(RequestKind::Page, &app, &person) };
            let page = text(&pages().respond(message, context));
            for address in addresses(&page) {
                assert!(!address.contains("evil") && !address.contains("alert") && !address.contains('\\'), "{message:?} {to:?}: {address}");
            }
        }
    }
    let query = text(&pages().respond(PublicMessage::Waiting, context(RequestKind::Page, &app(), &ada())));
    assert!(query.contains("content=\"0; url=/.vestibule/wait?to=/issues%3Fq%3Da%26b%3Dc\""), "{query}");
}

#[test]
fn a_page_tells_nothing_about_policy_upstream_or_version() {
    for message in messages() {
        for kind in KINDS {
            let answer = pages().respond(message, context(kind, &app(), &ada()));
            let page = text(&answer);
            for secret in
                ["policies/", "10.0.4.31", "3000", "0123456789ab", "payroll-secret-group", env!("CARGO_PKG_VERSION"), "248289761001", "panicked"]
            {
                let of_css = secret == "3000" || secret == env!("CARGO_PKG_VERSION");
                let page = if of_css { page.split_once("</style>").map_or(page.as_str(), |(_, body)| body) } else { &page };
                assert!(!page.contains(secret), "{message:?} {kind:?}: {secret} in {page}");
            }
            assert!(header(&answer, "server").is_none());
        }
    }
}

#[test]
fn no_page_loads_or_runs_anything() {
    for message in messages() {
        for kind in [RequestKind::Page, RequestKind::Form] {
            let page = text(&pages().respond(message, context(kind, &app(), &ada())));
            for address in addresses(&page) {
                let allowed = address.starts_with('/') && !address.starts_with("//")
                    || ["data:,", "mailto:it-apps@example.com", "mailto:helpdesk@example.com", "https://intranet.example.com/redmine-access"]
                        .contains(&address)
                    || address.starts_with("https://redmine.example.com/");
                assert!(allowed, "{message:?}: {address}");
            }
            for word in ["<script", "src=", " style=", "@import", "url(", "<iframe", "<object"] {
                assert!(!page.contains(word), "{message:?}: {word}");
            }
            let tags = page.split('<').skip(1).filter_map(|part| part.split('>').next());
            let handlers: Vec<_> =
                tags.flat_map(|tag| tag.split_whitespace().skip(1)).filter(|word| word.starts_with("on") && word.contains('=')).collect();
            assert!(handlers.is_empty(), "{handlers:?}");
        }
    }
}

#[test]
fn basic_is_never_asked_for() {
    let mut app = app();
    for name in ["redmine", "we\"ird\r\nname"] {
        app.name = name.to_owned();
        for kind in KINDS {
            let answer = pages().respond(PublicMessage::SignInRequired, context(kind, &app, &ada()));
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            let expected = if name == "redmine" { "Vestibule realm=\"redmine\"" } else { "Vestibule realm=\"weirdname\"" };
            assert_eq!(header(&answer, "www-authenticate"), Some(expected));
        }
    }
}

// --- every message, every kind --------------------------------------------------------------------

#[test]
fn every_message_is_an_answer_for_every_kind() {
    let (app, person, pages) = (app(), ada(), pages());
    for message in messages() {
        for kind in KINDS {
            let context = context(kind, &app, &person);
            for context in [context, PageContext { app: None, person: None, continue_to: None, ..context }] {
                check_answer(&pages.respond(message, context), message, kind);
            }
        }
    }
}

fn check_answer(answer: &Response<Bytes>, message: PublicMessage, kind: RequestKind) {
    let body = text(answer);
    assert_eq!(header(answer, "x-vestibule-incident"), Some("79E9-2HSE"), "{message:?} {kind:?}");
    assert_eq!(header(answer, "cache-control"), Some("no-store"));
    assert_eq!(header(answer, "referrer-policy"), Some("no-referrer"));
    assert_eq!(header(answer, "x-robots-tag"), Some("noindex"));
    assert_eq!(header(answer, "x-content-type-options"), Some("nosniff"));
    assert_eq!(header(answer, "x-frame-options"), Some("DENY"));
    assert_eq!(header(answer, "strict-transport-security"), Some("max-age=31536000"));
    let status = answer.status();
    if matches!(status.as_u16(), 502..=504) {
        assert!(header(answer, "retry-after").is_some_and(|s| s.parse::<u32>().is_ok()), "{message:?}");
    }
    assert_eq!(status == StatusCode::UNAUTHORIZED, header(answer, "www-authenticate").is_some());
    if !kind.is_read_by_a_person() {
        let problem: Value = serde_json::from_str(&body).expect("JSON");
        if status.is_success() {
            assert_eq!(header(answer, "content-type"), Some("application/json"));
            return;
        }
        assert_eq!(header(answer, "content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(problem["incident"], "79E9-2HSE");
        assert!(problem["type"].as_str().is_some_and(|t| t.starts_with("https://auth.example.com/problems/")));
        assert!(problem["title"].as_str().is_some_and(|t| !t.is_empty()) && problem["detail"].as_str().is_some_and(|t| !t.is_empty()), "{problem}");
        assert!(!body.contains('{') || !body.contains("{app}"), "{body}");
        return;
    }
    assert_eq!(header(answer, "content-type"), Some("text/html; charset=utf-8"));
    assert!(body.len() < 15_000, "{message:?}: {} bytes", body.len());
    let title = between(&body, "<title>", "</title>");
    assert!(!title.is_empty() && title.chars().next().is_some_and(|first| !first.is_lowercase()), "{title:?}");
    assert_eq!(title, between(&body, "<h1>", "</h1>"));
    assert_eq!(body.matches("<h1").count(), 1);
    assert_eq!(body.matches("<main>").count(), 1);
    let read = as_read(&body);
    assert!(!read.contains('{') && !read.contains('}'), "a hole was left: {read}");
    assert!(!read.contains(" ."), "{read}");
}

#[test]
fn statuses_are_those_of_the_table() {
    use PublicMessage as M;
    let check = |message, kind, expected: u16| {
        assert_eq!(pages().respond(message, context(kind, &app(), &ada())).status().as_u16(), expected, "{message:?} {kind:?}");
    };
    for kind in KINDS {
        check(M::BadRequest, kind, 400);
        check(M::SignInRequired, kind, 401);
        check(M::Denied(DenyReason::Groups), kind, 403);
        check(M::SignInFailed, kind, 403);
        check(M::NoSuchHost, kind, 404);
        check(M::MethodRefused, kind, 405);
        check(M::AccountExists, kind, 409);
        check(M::BodyTooLarge, kind, 413);
        check(M::Misdirected, kind, 421);
        check(M::HeadersTooLarge, kind, 431);
        check(M::Internal, kind, 500);
        check(M::AppUnreachable, kind, 502);
        check(M::StoreDown, kind, 503);
        check(M::AccountFailed, kind, 503);
        check(M::AppTimeout, kind, 504);
        check(M::TooManyConnections, kind, 503);
        check(M::AppRejected, kind, 502);
    }
    check(M::Waiting, RequestKind::Page, 200);
    check(M::Waiting, RequestKind::Form, 503);
    check(M::Waiting, RequestKind::Api, 503);
    check(M::Waiting, RequestKind::Socket, 503);
}

#[test]
fn the_security_policy_names_the_style_sheet_that_is_sent() {
    use base64::Engine as _;
    let answer = pages().respond(PublicMessage::Internal, context(RequestKind::Page, &app(), &ada()));
    let page = text(&answer);
    let sent = between(&page, "<style>", "</style>");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sent.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    let expected =
        format!("default-src 'none'; style-src 'sha256-{hash}'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    assert_eq!(header(&answer, "content-security-policy"), Some(expected.as_str()));
}

#[test]
fn a_plain_origin_promises_no_tls() {
    let pages = Pages::new(config::Pages::default(), "http://auth.localhost:8080");
    let answer = pages.respond(PublicMessage::SignInRequired, context(RequestKind::Api, &app(), &ada()));
    assert_eq!(header(&answer, "strict-transport-security"), None);
    let problem: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(problem["login"], "http://redmine.example.com:8080/.vestibule/login");
}

#[test]
fn text_can_be_read_in_both_colour_schemes() {
    let (light, dark) = html::STYLE.split_once("(prefers-color-scheme:dark)").expect("two schemes");
    for scheme in [light, dark] {
        let colour = |name: &str| luminance(up_to(scheme, &format!("--{name}:#")));
        for (text, ground) in [
            ("text", "card"),
            ("text", "bg"),
            ("soft", "bg"),
            ("soft", "card"),
            ("accent", "card"),
            ("on", "accent"),
            ("on", "hover"),
            ("accent", "wash"),
            ("text", "wash"),
            ("hover", "card"),
        ] {
            let (a, b) = (colour(text), colour(ground));
            let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
        }
    }
}

/// From behind `open` to the end of a declaration.
fn up_to<'a>(text: &'a str, open: &str) -> &'a str {
    text.split_once(open).and_then(|(_, rest)| rest.split([';', '}']).next()).unwrap_or_else(|| panic!("no {open}"))
}

/// Relative luminance (WCAG 2.2) of `rgb` or `rrggbb`.
fn luminance(hex: &str) -> f64 {
    let digits: Vec<f64> = hex.chars().map(|c| f64::from(c.to_digit(16).expect("hex"))).collect();
    let channels: Vec<f64> = match digits.len() {
        3 => digits.iter().map(|d| d * 17.0).collect(),
        _ => digits.chunks(2).map(|d| d[0] * 16.0 + d[1]).collect(),
    };
    let linear = |c: f64| if c / 255.0 <= 0.04045 { c / 255.0 / 12.92 } else { ((c / 255.0 + 0.055) / 1.055).powf(2.4) };
    0.2126 * linear(channels[0]) + 0.7152 * linear(channels[1]) + 0.0722 * linear(channels[2])
}

// --- what people read -------------------------------------------------------------------------------

fn gallery() -> Vec<(&'static str, Response<Bytes>)> {
    gallery_of(&pages())
}

fn gallery_of(pages: &Pages) -> Vec<(&'static str, Response<Bytes>)> {
    use PublicMessage as M;
    let (app, person) = (app(), ada());
    let page = context(RequestKind::Page, &app, &person);
    let form = context(RequestKind::Form, &app, &person);
    let nobody = PageContext { app: None, person: None, continue_to: None, ..page };
    let provider = url::Url::parse("https://login.example.com/logout?client_id=vestibule&state=x").expect("address");
    let roles = ["Developer".to_owned(), "Reporter".to_owned()];
    let headers = [("X-Forwarded-User", "ada-lovelace"), ("X-Forwarded-Email", "ada@example.com")];
    let facts = WhoAmI {
        login: Some("ada-lovelace"),
        roles: &roles,
        provider: "Example Corp account",
        signed_in_at: Timestamp::from_seconds(1_700_000_000),
        headers: &headers,
    };
    let choices = [
        Choice { id: "corp", name: "Example Corp account", href: "/.vestibule/login?idp=corp", last_used: true },
        Choice { id: "adfs", name: "Partner sign-in (ADFS)", href: "/.vestibule/login?idp=adfs", last_used: false },
    ];
    let mut shows_names = self::app();
    shows_names.user.required.clear();
    shows_names.user.display = FirstOf(vec![Template::compile("{given_name}", &Env::sign_in()).expect("a template").0]);
    let garbled = Identity { given_name: Some("ZoÃ«".to_owned()), ..ada() };
    let apps = [
        Choice { id: "grafana", name: "Grafana", href: "https://grafana.example.com/grafana/login", last_used: false },
        Choice { id: "redmine", name: "Redmine", href: "https://redmine.example.com/", last_used: false },
    ];
    vec![
        ("waiting", pages.respond(M::Waiting, page)),
        ("still_waiting", pages.still_waiting(page)),
        ("waiting_form", pages.respond(M::Waiting, form)),
        ("failed", pages.respond(M::AccountFailed, page)),
        ("failed_form", pages.respond(M::AccountUnavailable, form)),
        ("denied", pages.respond(M::Denied(DenyReason::Groups), page)),
        ("incomplete", pages.respond(M::IncompleteSignIn, page)),
        ("unusable", pages.respond(M::UnusableSignIn, PageContext { app: Some(&shows_names), person: Some(&garbled), ..page })),
        ("local_sign_in", pages.respond(M::Denied(DenyReason::LocalSignIn), page)),
        ("local_sign_in_nobody", pages.respond(M::Denied(DenyReason::LocalSignIn), PageContext { person: None, ..page })),
        ("exists", pages.respond(M::AccountExists, page)),
        ("accounts_off", pages.respond(M::AccountsOff, page)),
        ("accounts_full", pages.respond(M::AccountsFull, page)),
        ("awaiting_approval", pages.respond(M::AwaitingApproval, page)),
        ("app_closed", pages.respond(M::AppClosed, page)),
        ("fresh", pages.respond(M::FreshSignInRequired, page)),
        ("session_ended", pages.respond(M::SignInRequired, form)),
        ("provider_down", pages.respond(M::ProviderDown, page)),
        ("app_down", pages.respond(M::AppUnreachable, page)),
        ("link_expired", pages.respond(M::LinkExpired, PageContext { continue_to: None, person: None, ..page })),
        ("sign_in_failed", pages.respond(M::SignInFailed, nobody)),
        ("no_such_host", pages.respond(M::NoSuchHost, nobody)),
        ("internal", pages.respond(M::Internal, page)),
        ("picker", pages.picker(page, &choices)),
        ("picker_here", pages.picker(nobody, &choices)),
        ("launcher", pages.launcher(PageContext { app: None, ..page }, &apps)),
        ("launcher_empty", pages.launcher(PageContext { app: None, ..page }, &[])),
        ("whoami", pages.whoami(page, facts)),
        ("logout", pages.logout_confirm(page, "/.vestibule/logout", "tok")),
        ("onward", pages.onward(page, &provider)),
        ("signed_out", pages.signed_out(nobody, &["Redmine", "Wiki", "Grafana"], Some(("Example Corp account", Some(&provider))))),
        ("signed_in", pages.signed_in(page)),
    ]
}

#[test]
fn what_people_read() {
    let shown: Vec<String> =
        gallery().iter().map(|(name, answer)| format!("=== {name}: {}\n{}", answer.status().as_u16(), as_read(&text(answer)))).collect();
    if let Some(folder) = std::env::var_os("VESTIBULE_GALLERY") {
        for (name, answer) in gallery() {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), answer.body()).expect("gallery folder is writable");
        }
    }
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn what_programs_read() {
    let (app, person, pages) = (app(), ada(), pages());
    let api = context(RequestKind::Api, &app, &person);
    let shown: Vec<String> = [
        PublicMessage::SignInRequired,
        PublicMessage::Denied(DenyReason::Groups),
        PublicMessage::Waiting,
        PublicMessage::OpenInBrowser,
        PublicMessage::SignedOut,
    ]
    .iter()
    .map(|message| {
        let value: Value = serde_json::from_slice(pages.respond(*message, api).body()).expect("JSON");
        serde_json::to_string_pretty(&value).expect("JSON")
    })
    .collect();
    insta::assert_snapshot!(shown.join("\n"));
}
