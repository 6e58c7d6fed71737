//! Languages, own words, own pages, a logo.

use super::*;
use crate::config::{Language, PageFiles};
use crate::policy::messages::Messages;

fn speaking(languages: &[Language]) -> Pages {
    let settings = config::Pages { name: "Example Corp sign-in".to_owned(), languages: languages.to_vec(), ..config::Pages::default() };
    Pages::new(settings, "https://auth.example.com")
}

fn asked<'a>(context: PageContext<'a>, value: &'a http::HeaderValue) -> PageContext<'a> {
    PageContext { language: Wish::Asked(Some(value)), ..context }
}

fn own_words(section: &str) -> Messages {
    Messages::read(&crate::source::parse(&crate::source::SourceFile::new("x.toml", section)).0)
}

// --- languages -----------------------------------------------------------------------------------

#[test]
fn what_cannot_be_read_or_is_not_configured_gets_the_first_language() {
    let (app, person) = (app(), ada());
    let check = |configured: &[Language], value: &[u8], expected: &str| {
        let value = http::HeaderValue::from_bytes(value).expect("a header value");
        for kind in KINDS {
            let answer = speaking(configured).respond(PublicMessage::Denied(DenyReason::Groups), asked(context(kind, &app, &person), &value));
            assert_eq!(header(&answer, "content-language"), Some(expected), "{configured:?} {value:?}");
            assert_eq!(header(&answer, "vary"), Some("accept-language"));
            if kind.is_read_by_a_person() {
                assert!(text(&answer).contains(&format!("<html lang=\"{expected}\" dir=\"ltr\">")));
            }
        }
    };
    check(&[], b"de", "en");
    check(&[Language::En], b"de", "en");
    check(&[Language::De, Language::En], b"\xff", "de");
    check(&[Language::De, Language::En], b"it;q=1", "de");
    check(&[Language::De, Language::En], b"en-GB, de;q=0.5", "en");
}

#[test]
fn every_message_in_every_language_is_a_whole_page() {
    let (app, person) = (app(), ada());
    for language in Language::ALL {
        let pages = speaking(&[language]);
        for message in messages() {
            for kind in KINDS {
                let context = context(kind, &app, &person);
                for context in [context, PageContext { app: None, person: None, continue_to: None, ..context }] {
                    let answer = pages.respond(message, context);
                    assert_eq!(header(&answer, "content-language"), Some(language.tag()));
                    check_answer(&answer, message, kind);
                }
            }
        }
    }
}

#[test]
fn no_language_borrows_from_english() {
    for language in Language::ALL.into_iter().filter(|language| *language != Language::En) {
        let (words, english) = (super::super::text::of(language), super::super::text::of(Language::En));
        assert_eq!(words.tag, language.tag());
        for message in messages() {
            let (said, of_english) = ((words.message)(message), (english.message)(message));
            assert_ne!(said.heading, of_english.heading, "{language:?} {message:?}");
            assert_eq!(said.text.len(), of_english.text.len(), "{language:?} {message:?}");
            assert!(said.text.iter().zip(of_english.text).all(|(ours, theirs)| ours != theirs), "{language:?} {message:?}");
        }
        for reason in REASONS.into_iter().filter(|reason| *reason != DenyReason::Required) {
            assert_ne!((words.reason)(reason), (english.reason)(reason), "{language:?} {reason:?}");
            assert!(!(words.reason)(reason).is_empty(), "{language:?} {reason:?}");
        }
        for name in ["email", "name", "given_name", "family_name", "username", "groups"] {
            assert!((words.attribute)(name).is_some_and(|word| !word.is_empty()), "{language:?} {name}");
        }
    }
}

/// `{contact}` and the like of each phrase; `{app}` may be where a language needs it.
fn holes(language: Language) -> Vec<(String, Vec<String>)> {
    let written = format!("{:#?}", super::super::text::of(language));
    let fields = written.lines().filter_map(|line| line.trim().split_once(": \""));
    fields
        .map(|(field, text)| {
            let mut holes: Vec<String> = text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(str::to_owned).collect();
            holes.retain(|hole| hole != "app");
            holes.sort();
            (field.to_owned(), holes)
        })
        .collect()
}

#[test]
fn every_phrase_has_the_same_holes_in_every_language() {
    let english = holes(Language::En);
    assert!(english.len() > 50 && english.iter().any(|(field, holes)| field == "ask" && holes == &["contact"]), "{english:?}");
    for language in Language::ALL {
        assert_eq!(holes(language), english, "{language:?}");
    }
}

#[test]
fn what_people_read_in_german() {
    let settings = config::Pages { contact: Some("helpdesk@example.com".to_owned()), languages: vec![Language::De], ..config::Pages::default() };
    let shown: Vec<String> = gallery_of(&Pages::new(settings, "https://auth.example.com"))
        .iter()
        .map(|(name, answer)| format!("=== {name}: {}\n{}", answer.status().as_u16(), as_read(&text(answer))))
        .collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

// --- own words -------------------------------------------------------------------------------------

#[test]
fn own_words_are_text_in_place_of_the_explanation() {
    let mut app = app();
    app.messages = own_words("groups = \"<b>Ask</b> Mia & co.\\n\\u202eNow.\"\naccounts_off = { de = \"Fragen Sie Mia.\" }\nmax_age = \"Again!\"");
    let (person, pages) = (ada(), speaking(&[Language::En, Language::De]));
    let page = |message| text(&pages.respond(message, context(RequestKind::Page, &app, &person)));
    let denied = page(PublicMessage::Denied(DenyReason::Groups));
    assert!(denied.contains("<h1>You don&#39;t have access to Redmine</h1>\n<p>&#60;b&#62;Ask&#60;/b&#62; Mia &#38; co. Now.</p>"), "{denied}");
    assert!(!denied.contains("not in a group") && denied.contains("signed in as") && denied.contains("it-apps@example.com"), "{denied}");
    assert!(page(PublicMessage::Denied(DenyReason::Networks)).contains("network you are on"));
    assert!(page(PublicMessage::FreshSignInRequired).contains("<p>Again!</p>"));
    assert!(page(PublicMessage::AccountsOff).contains("New accounts are made by"), "not in a language of its own");
    let german = http::HeaderValue::from_static("de");
    let off = text(&pages.respond(PublicMessage::AccountsOff, asked(context(RequestKind::Page, &app, &person), &german)));
    assert!(off.contains("<p>Fragen Sie Mia.</p>") && !off.contains("Neue Konten") && off.contains("it-apps@example.com"), "{off}");
    let problem = pages.respond(PublicMessage::Denied(DenyReason::Groups), context(RequestKind::Api, &app, &person));
    let problem: Value = serde_json::from_slice(problem.body()).expect("JSON");
    assert_eq!(problem["title"], "You don't have access to Redmine");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.starts_with("<b>Ask</b> Mia & co. Now. You are")), "{problem}");
}

#[test]
fn own_words_keep_what_a_form_needs() {
    let mut app = app();
    app.messages = own_words("account_failed = \"We are on it.\"");
    let page = text(&pages().respond(PublicMessage::AccountFailed, context(RequestKind::Form, &app, &ada())));
    assert!(page.contains("<p>We are on it.</p>") && page.contains("What you typed is not lost") && !page.contains("recorded"), "{page}");
}

// --- own pages and the logo --------------------------------------------------------------------------

const OWN: &str = "<!doctype html><html lang=\"{lang}\"><head><title>{title}</title>{refresh}<style>b{color:red}</style><style>{style}</style></head>\
                   <body>{logo}<b>{name}|{app}|{person}|{contact}|{incident}</b><h1>{title}</h1>{content}</body></html>";

fn with_files(templates: &[(&str, &str)], logo: Option<&str>) -> config::Pages {
    let templates = templates.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let files = PageFiles { logo: logo.map(str::to_owned), templates };
    config::Pages { name: "Example <sign-in>".to_owned(), files, ..config::Pages::default() }
}

fn hash(style: &str) -> String {
    use base64::Engine as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(digest))
}

#[test]
fn a_template_that_is_not_in_order_leaves_the_built_in_page() {
    let settings = with_files(&[("denied", "{titel}")], None);
    assert_eq!(super::super::check(&settings).len(), 1);
    let page = text(
        &Pages::new(settings, "https://auth.example.com")
            .respond(PublicMessage::Denied(DenyReason::Groups), context(RequestKind::Page, &app(), &ada())),
    );
    assert!(page.contains("<main>") && !page.contains("{titel}"), "{page}");
}

#[test]
fn names_in_a_template_are_text_never_markup() {
    let pages = Pages::new(with_files(&[("page", OWN)], None), "https://auth.example.com");
    let mut person = ada();
    person.email = Some("<script>alert(1)</script>{content}".to_owned());
    let page = text(&pages.respond(PublicMessage::Denied(DenyReason::Groups), context(RequestKind::Page, &app(), &person)));
    assert!(!page.contains("<script") && page.matches("<h1>").count() == 1, "{page}");
    assert!(page.contains("Example &lt;sign-in&gt;|Redmine|&lt;script&gt;alert(1)&lt;/script&gt;{content}|it-apps@example.com|79E9-2HSE"), "{page}");
}

#[test]
fn every_message_in_an_own_page_shows_its_text_under_a_policy_of_its_own() {
    let pages = Pages::new(with_files(&[("page", OWN), ("account-exists", "<h2>{title}</h2>{content}")], None), "https://auth.example.com");
    let expected = format!("style-src {} {};", hash("b{color:red}"), hash(html::STYLE));
    for message in messages() {
        let answer = pages.respond(message, context(RequestKind::Page, &app(), &ada()));
        let (page, policy) = (text(&answer), header(&answer, "content-security-policy").expect("a policy"));
        if message == PublicMessage::AccountExists {
            assert!(page.starts_with("<h2>") && policy.contains("style-src 'none';"), "{policy} {page}");
            continue;
        }
        assert!(policy.contains(&expected) && policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let title = between(&page, "<h1>", "</h1>");
        assert_eq!(title, between(&page, "<title>", "</title>"));
        assert_eq!(page.contains("http-equiv=\"refresh\""), message == PublicMessage::Waiting);
        let built_in = super::pages().respond(message, context(RequestKind::Page, &app(), &ada()));
        assert_eq!(answer.status(), built_in.status());
    }
    let api = pages.respond(PublicMessage::Internal, context(RequestKind::Api, &app(), &ada()));
    assert_eq!(header(&api, "content-type"), Some("application/problem+json"));
}

#[test]
fn every_page_has_a_name_that_a_template_can_have() {
    for message in messages() {
        let name = super::super::problem::slug(message);
        assert!(super::super::template::NAMES.contains(&name), "{message:?}: {name}");
    }
    for name in super::super::template::NAMES.iter().skip(6) {
        assert!(messages().into_iter().chain(TOKENS).any(|message| super::super::problem::slug(message) == *name), "{name}");
    }
}

/// Messages that only programs get.
const TOKENS: [PublicMessage; 6] = [
    PublicMessage::SignInOrTokenRequired,
    PublicMessage::TokenRequired,
    PublicMessage::TokenInvalid,
    PublicMessage::TokenScope,
    PublicMessage::TokenTooOld,
    PublicMessage::TokenWithoutAccount,
];

#[test]
fn a_logo_stands_beside_the_name_and_settings_can_change() {
    let pages = Pages::new(with_files(&[], Some("data:image/png;base64,AA==")), "https://auth.example.com");
    let page = text(&pages.respond(PublicMessage::Internal, context(RequestKind::Page, &app(), &ada())));
    assert!(page.contains("<header><img src=\"data:image/png;base64,AA==\" alt=\"\">Example &#60;sign-in&#62;</header>"), "{page}");
    pages.change(with_files(&[("internal", OWN)], Some("data:image/png;base64,BB==")));
    let page = text(&pages.respond(PublicMessage::Internal, context(RequestKind::Page, &app(), &ada())));
    assert!(page.contains("<body><img src=\"data:image/png;base64,BB==\" alt=\"\"><b>"), "{page}");
}
