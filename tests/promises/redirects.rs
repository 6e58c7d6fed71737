//! promises.md, *Redirects*.
#![expect(clippy::panic, reason = "helpers of tests")]

use crate::house::{AUTH, Ask, Browser, CONTENT, House, Landed, Options, WIKI, be, encoded};
use serde_json::json;
use url::Url;

/// Addresses that a browser, or the next decoder down the line, takes to another host or to a script.
const ELSEWHERE: [&str; 46] = [
    "https://evil.example/",
    "http://evil.example",
    "http:evil.example",
    "https:/evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/%5cevil.example",
    "/%5C/evil.example",
    "/%2f/evil.example",
    "/%2fevil.example",
    "/%252f/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d/evil.example",
    "/%20/evil.example",
    "/%c2%a0/evil.example",
    " //evil.example",
    "\t//evil.example",
    "/ /evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/%2e%2e//evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "https://wiki.vestibule.test@evil.example/",
    "https://wiki.vestibule.test.evil.example/",
    "https://evil-wiki.vestibule.test/",
    "https://evilvestibule.test/",
    "//wiki.vestibule.test:1@evil.example/",
    "http://wiki.vestibule.test\\@evil.example/",
    "https://tickets.vestibule.test/",
    "https://auth.vestibule.test/",
    "/\u{0}//evil.example",
];

/// At the front page; or at an address of this host that it refuses itself, which is what becomes of an encoding of an encoding.
fn assert_home(landed: &Landed, home: &str, to: &str) {
    let here = landed.url.as_str().strip_prefix(home).unwrap_or_else(|| panic!("{to:?}: {:?}", landed.passed));
    let refused = landed.answer.status == 400 && (here.starts_with("%25") || landed.passed.is_empty());
    assert!(here.is_empty() && landed.answer.status == 200 || refused, "{to:?}: {:?}", landed.passed);
}

/// GHSA-qqxw-m5fj-f7gv, GHSA-j7px-6hwj-hpjg, GHSA-5m6c-jp6f-2vcv, CVE-2021-21291, CVE-2019-3877, CVE-2019-13038, CVE-2022-23527, `mod_auth_openidc`
/// 2026-05-20 (suffix), CVE-2021-29651, CVE-2024-21497, CVE-2026-41569 (prefix).
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_to_our_own_hosts_and_back_to_the_same_origin_only() {
    let house = House::new().await;
    let mut known = Browser::signed_in(&house, WIKI).await;
    let home = format!("{}/", house.origin(WIKI));
    for to in ELSEWHERE {
        let query = encoded(to);
        // `follow` fails on its own when a redirect leads off the house.
        let landed = Browser::default().open(&house, WIKI, &format!("/.vestibule/login?to={query}")).await;
        assert_home(&landed, &home, to);
        let landed = known.open(&house, WIKI, &format!("/.vestibule/wait?to={query}")).await;
        assert_home(&landed, &home, to);
        // Names that other products use mean nothing here.
        for name in ["rd", "redirect", "redirect_uri", "return_to", "target_link_uri", "next", "url", "post_logout_redirect_uri", "RelayState"] {
            for path in ["/.vestibule/login", "/.vestibule/logout", "/.vestibule/signed-in"] {
                let answer = known.get(&house, WIKI, &format!("{path}?{name}={query}")).await;
                assert!(
                    answer.location().is_none_or(|to| Url::parse(&home).unwrap().join(&to).unwrap().host_str() != Some("evil.example")),
                    "{path} {name}"
                );
            }
        }
    }
    // Signing out with a way to elsewhere in every place.
    for to in ["https://evil.example/", "//evil.example"] {
        let mut browser = Browser::signed_in(&house, WIKI).await;
        let body = format!("to={0}&post_logout_redirect_uri={0}&rd={0}", encoded(to));
        let answer = browser.send(&house, &Ask::form(WIKI, &format!("/.vestibule/logout?to={}", encoded(to)), &body)).await;
        assert!(answer.status == 200 && !answer.body.contains("evil.example"), "{answer:?}");
    }
    // Where a request is sent to sign in from: its own address, however it was written, is never an address elsewhere afterwards.
    for target in [
        "//evil.example/",
        "/\\evil.example",
        "/%5cevil.example",
        "/%2f%2fevil.example",
        "http://evil.example/",
        "/.//evil.example",
        "/a?to=//evil.example",
    ] {
        let mut browser = Browser::default();
        let answer = browser.get(&house, WIKI, target).await;
        if answer.status == 303 {
            let landed = browser.follow(&house, WIKI, answer).await;
            assert_eq!(landed.url.host_str(), Some(WIKI), "{target}");
        } else {
            assert!((400..500).contains(&answer.status) && answer.location().is_none(), "{target}: {answer:?}");
        }
    }
    // On the auth host: neither the app nor the provider of a link can be chosen freely.
    for query in [
        "app=evil.example&t=x",
        "app=wiki.vestibule.test.evil.example&t=x",
        "idp=https://evil.example",
        "app=evil.example",
        "app=https://evil.example",
    ] {
        let answer = Browser::default().get(&house, AUTH, &format!("/.vestibule/login?{query}")).await;
        assert!(matches!(answer.status, 400 | 404) && answer.location().is_none() && !answer.body.contains("evil.example"), "{query}: {answer:?}");
    }
    // A sign-in at the auth host itself ends there, wherever a link would have it end.
    let mut browser = Browser::default();
    let answer = browser.get(&house, AUTH, "/.vestibule/login?to=https://evil.example&rd=//evil.example").await;
    let landed = browser.follow(&house, AUTH, answer).await;
    assert_eq!((landed.answer.status, landed.url.as_str()), (200, format!("{}/", house.origin(AUTH)).as_str()));
    assert!(!landed.passed.iter().any(|url| url.contains("evil.example")), "{:?}", landed.passed);
    drop(house.arrived());
    // The check can fail: deep links survive, byte for byte.
    let landed = Browser::default().open(&house, WIKI, "/issues/42?tab=history&q=a%20b&u=https://example.com//x").await;
    assert_eq!(landed.url.as_str(), format!("{home}issues/42?tab=history&q=a%20b&u=https://example.com//x"));
    assert_eq!(house.wiki.take().pop().unwrap().line, "GET /issues/42?tab=history&q=a%20b&u=https://example.com//x HTTP/1.1");
}

/// CVE-2024-21496, CVE-2023-52430, `mod_auth_openidc` 2026-05-20 and 2026-08-07, CVE-2026-42849, CVE-2026-29191.
#[tokio::test(flavor = "multi_thread")]
async fn every_value_in_our_pages_is_escaped_for_its_place() {
    let payloads = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title><svg/onload=alert(1)>",
        "javascript:alert(1)",
    ];
    for payload in payloads {
        let options = Options { title: format!("Wiki {payload}"), idp_name: format!("Corp {payload}"), ..Options::default() };
        let house = House::with(options).await;
        be(
            &house,
            payload,
            json!({"email": "ada@example.com", "name": payload, "given_name": payload, "preferred_username": payload, "groups": ["staff", payload]}),
        );
        let mut browser = Browser::signed_in(&house, WIKI).await;
        let q = encoded(payload);
        let mut pages = Vec::new();
        for target in [
            "/.vestibule/whoami".to_owned(),
            "/.vestibule/logout".to_owned(),
            "/.vestibule/signed-in".to_owned(),
            format!("/.vestibule/{q}"),
            format!("/.vestibule/wait?to=/{q}"),
            format!("/.vestibule/login?to={q}&fresh={q}"),
            format!("/.vestibule/callback?code={q}"),
            format!("/admin/{}?{q}", q.replace('+', "%20")),
            format!("/admin?{q}"),
            format!("/recent?x={q}"),
        ] {
            pages.push(browser.get(&house, WIKI, &target).await);
            pages.push(browser.api(&house, WIKI, &target).await);
            pages.push(Browser::default().get(&house, WIKI, &target).await);
            pages.push(Browser::default().send(&house, &Ask::form(WIKI, &target, &format!("text={q}"))).await);
        }
        for target in [
            format!("/.vestibule/callback?error={q}&error_description={q}&error_uri={q}&state={q}"),
            format!("/.vestibule/signed-out?state={q}&idp={q}"),
            "/.vestibule/signed-out?state=wiki&idp=corp".to_owned(),
            format!("/.vestibule/login?app={q}&t={q}"),
            format!("/{q}"),
        ] {
            pages.push(Browser::default().get(&house, AUTH, &target).await);
        }
        pages.push(Browser::default().get(&house, &format!("{}.test", "x".repeat(20)), &format!("/?{q}")).await);
        pages.push(browser.send(&house, &Ask::form(WIKI, "/.vestibule/logout", &format!("token={q}"))).await);
        assert!(pages.iter().any(|page| page.status == 403), "nobody was refused");
        assert!(pages.iter().any(|page| page.body.contains("alert")), "the payload is nowhere at all: {}", pages[0].body);
        for page in pages.iter().filter(|page| page.get("content-type").is_some_and(|kind| kind.starts_with("text/html"))) {
            if page.body == CONTENT {
                continue;
            }
            assert!(unescaped(&page.body, payload).is_none(), "{payload} in {:?}\n{}", unescaped(&page.body, payload), page.body);
            let policy = page.get("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
    }
}

/// What of `payload` could act on a page.
fn unescaped(page: &str, payload: &str) -> Option<String> {
    let tags = || page.split('<').filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag));
    let acts = |tag: &str| {
        ["script", "img", "svg/"].iter().any(|start| tag.starts_with(start)) || ["=\"javascript:", " on"].iter().any(|part| tag.contains(part))
    };
    if let Some(tag) = tags().find(|tag| acts(tag)) {
        return Some(tag.to_owned());
    }
    (payload.contains(['<', '"', '\'']) && page.contains(payload)).then(|| payload.to_owned())
}

/// GHSA-59jp-rwph-878r.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_shown_instead_of_content_has_nothing_of_it() {
    let house = House::new().await;
    let mut nobody = Browser::default();
    let mut ada = Browser::signed_in(&house, WIKI).await;
    for ask in [Ask::page(WIKI, "/page"), Ask::api(WIKI, "/page"), Ask::form(WIKI, "/page", "text=x"), Ask::bare("HEAD", WIKI, "/page")] {
        let answer = nobody.send(&house, &ask).await;
        assert!(answer.status != 200 && !answer.body.contains(CONTENT), "{answer:?}");
    }
    for ask in [Ask::page(WIKI, "/admin"), Ask::api(WIKI, "/admin/x"), Ask::form(WIKI, "/admin/x", "a=b"), Ask::page(WIKI, "/Admin")] {
        let answer = ada.send(&house, &ask).await;
        assert!(answer.status == 403 && !answer.body.contains(CONTENT), "{answer:?}");
    }
    // The application was not even asked.
    assert!(house.arrived().is_empty());
    // Once more by another way: the page in place of an answer that broke has neither its body nor its headers.
    for broken in [
        format!("HTTP/1.1 200 OK\r\nX-Secret: {CONTENT}\r\nContent-Length: x\r\n\r\n{CONTENT}"),
        format!("HTTP/9.9 200 OK\r\n\r\n{CONTENT}"),
        format!("{CONTENT}\r\n\r\n"),
        format!("HTTP/1.1 101 Switching\r\nX-Secret: {CONTENT}\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n{CONTENT}"),
    ] {
        house.wiki.answer(&broken);
        let answer = ada.get(&house, WIKI, "/page").await;
        assert!(answer.status == 502 && !format!("{answer:?}").contains(CONTENT), "{broken}: {answer:?}");
    }
    house.wiki.answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{CONTENT}", CONTENT.len()));
    assert_eq!(ada.get(&house, WIKI, "/page").await.body, CONTENT);
}
