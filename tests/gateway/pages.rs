//! Pages as the pipelines use them, through the public door only.

use http::StatusCode;
use vestibule::config;
use vestibule::fault::{Incident, PublicMessage};
use vestibule::pages::{LOGIN_PATH, PageContext, Pages, RequestKind, WAIT_PATH, Wish};

fn context(kind: RequestKind, continue_to: &str) -> PageContext<'_> {
    PageContext { kind, incident: Incident::from_bytes([1, 2, 3, 4, 5]), app: None, person: None, continue_to: Some(continue_to), language: Wish::default() }
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
