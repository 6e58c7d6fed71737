//! promises.md, *Session*.

use crate::fake_op::Answer as OpAnswer;
use crate::fake_op::Signer;
use crate::house::{ADMIN_TOKEN, AUTH, Ask, Browser, CONTENT, House, MAX_MS, NOW_S, Options, TICKETS, WIKI, be};
use futures_util::future::join_all;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vestibule::entropy::{Entropy, OsEntropy};

/// Whether the session opens this app's page.
async fn opens(house: &House, browser: &Browser, host: &str, path: &str) -> bool {
    let answer = browser.clone().api(house, host, path).await;
    assert!(matches!(answer.status, 200 | 401 | 403), "{answer:?}");
    (answer.status == 200) && answer.body == CONTENT
}

/// `mod_auth_openidc` 2026-08-07, CVE-2026-34454 (GHSA-f24x-5g9q-753f), CVE-2024-21492, CVE-2024-28197.
#[tokio::test(flavor = "multi_thread")]
async fn every_sign_in_has_a_new_id_and_signing_out_kills_the_old_one_on_the_server() {
    let mut house = House::new().await;
    let name = house.cookie_name();
    let mut browser = Browser::default();
    // Planted before: useless, and not taken over.
    let planted = "P".repeat(43);
    for host in [AUTH, WIKI, TICKETS] {
        browser.plant(host, name, &planted);
    }
    assert_eq!(browser.open(&house, WIKI, "/page").await.answer.body, CONTENT);
    let first = browser.clone();
    let ids = |browser: &Browser| [AUTH, WIKI].map(|host| browser.cookie(host, name).unwrap());
    assert!(ids(&first).iter().all(|id| *id != planted && id.len() == 43) && ids(&first)[0] != ids(&first)[1]);
    let mut thief = Browser::default();
    thief.plant(WIKI, name, &planted);
    assert!(!opens(&house, &thief, WIKI, "/page").await);
    // Again, as the same person and then as another: new ids each time, and what was there before is dead.
    let mut old = first;
    for subject in ["ada", "bob"] {
        house.advance_s(5);
        be(&house, subject, json!({"email": format!("{subject}@example.com"), "groups": ["staff"]}));
        let landed = browser.open(&house, WIKI, "/.vestibule/login?to=/page&fresh=1").await;
        assert_eq!(landed.answer.body, CONTENT);
        assert!(ids(&browser).iter().all(|id| !ids(&old).contains(id)));
        assert!(!opens(&house, &old, WIKI, "/page").await, "the session from before {subject}");
        old = browser.clone();
    }
    // Signed out: dead on the server, for whoever copied the cookie; everywhere, and after a restart.
    drop(browser.open(&house, TICKETS, "/page").await);
    let stolen = browser.clone();
    assert!(opens(&house, &stolen, WIKI, "/page").await && opens(&house, &stolen, TICKETS, "/page").await);
    assert_eq!(browser.send(&house, &Ask::form(WIKI, "/.vestibule/logout", "")).await.status, 200);
    drop(house.arrived());
    for host in [WIKI, TICKETS] {
        assert!(!opens(&house, &stolen, host, "/page").await, "{host}");
    }
    assert!(browser.cookie(WIKI, name).is_none(), "the cookie is taken away too");
    house.restart().await;
    for host in [WIKI, TICKETS] {
        assert!(!opens(&house, &stolen, host, "/page").await, "{host} after a restart");
    }
    // The sign-on on the auth host went with it: going back there means the provider.
    let answer = stolen.clone().get(&house, WIKI, "/page").await;
    let login: url::Url = answer.location().unwrap().parse().unwrap();
    let next = stolen.clone().get(&house, AUTH, &crate::house::target_of(&login)).await;
    assert!(next.location().unwrap().starts_with(&house.op.issuer), "{next:?}");
    assert!(house.arrived().is_empty());
}

/// CVE-2017-6807 (a cookie of site A at site B), CVE-2014-8566 (data of another session).
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_of_one_app_and_its_data_is_never_anothers() {
    let house = House::new().await;
    let name = house.cookie_name();
    let mut browser = Browser::signed_in(&house, WIKI).await;
    drop(browser.open(&house, TICKETS, "/.vestibule/login?to=/.vestibule/whoami").await);
    let [wiki, tickets, auth] = [WIKI, TICKETS, AUTH].map(|host| browser.cookie(host, name).unwrap());
    for (host, cookie) in [(WIKI, &tickets), (WIKI, &auth), (TICKETS, &wiki), (TICKETS, &auth)] {
        let mut thief = Browser::default();
        thief.plant(host, name, cookie);
        assert!(!opens(&house, &thief, host, "/page").await, "{host}");
        assert_eq!(thief.api(&house, host, "/.vestibule/whoami").await.status, 401, "{host}");
    }
    for cookie in [&wiki, &tickets] {
        let mut thief = Browser::default();
        thief.plant(AUTH, name, cookie);
        assert_eq!(thief.api(&house, AUTH, "/.vestibule/signed-in").await.status, 401);
    }
    assert!(house.arrived().is_empty());
    // Twelve people at once, each in both apps: every request arrives as the one who sent it.
    let mut people = Vec::new();
    for n in 0..12 {
        be(
            &house,
            &format!("s{n}"),
            json!({"email": format!("p{n}@example.com"), "name": format!("Person {n}"), "groups": ["staff", format!("g{n}")]}),
        );
        let mut browser = Browser::signed_in(&house, WIKI).await;
        drop(browser.open(&house, TICKETS, "/.vestibule/login?to=/.vestibule/whoami").await);
        people.push(browser);
    }
    let house = &house;
    join_all(people.iter().enumerate().flat_map(|(n, person)| {
        (0..6).map(move |round| async move {
            let host = if round % 2 == 0 { WIKI } else { TICKETS };
            assert_eq!(person.clone().api(house, host, &format!("/of/{n}/{round}")).await.status, 200);
            let me = person.clone().api(house, host, "/.vestibule/whoami").await;
            assert!(me.body.contains(&format!("p{n}@example.com")), "{n}: {}", me.body);
        })
    }))
    .await;
    let (wiki, tickets) = (house.wiki.take(), house.tickets.take());
    assert_eq!((wiki.len(), tickets.len()), (36, 36));
    let owner = |line: &str| line.split('/').nth(2).unwrap().to_owned();
    for seen in &wiki {
        let n = owner(&seen.line);
        assert_eq!((seen.only("x-remote-user"), seen.only("x-remote-groups")), (format!("p{n}@example.com"), format!("staff,g{n}")));
        assert_eq!(seen.only("x-remote-name"), format!("Person {n}"));
    }
    for seen in &tickets {
        assert_eq!(seen.only("x-tickets-login"), format!("p{}@example.com", owner(&seen.line)));
    }
}

/// GHSA-7mhv-gr67-hq55 (a MAC over fields that run into each other), CVE-2021-29652 (a signature that nobody checked).
///
/// Nothing here is trusted for its MAC: what travels is 256 random bits, and their hash is taken with the purpose in front. So no secret of one
/// purpose stands in for one of another, and no two people have one fingerprint.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_for_another_and_every_signature_is_checked() {
    let house = House::new().await;
    let name = house.cookie_name();
    let mut browser = Browser::default();
    let provider = browser.to_provider(&house, WIKI, "/page").await;
    let ticket = {
        let answer = browser.get(&house, WIKI, "/page").await;
        let login: url::Url = answer.location().unwrap().parse().unwrap();
        login.query_pairs().find(|(key, _)| key == "t").unwrap().1.into_owned()
    };
    let state = provider.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let nonce = provider.query_pairs().find(|(key, _)| key == "nonce").unwrap().1.into_owned();
    let query = house.op.sign_in(&provider);
    let mut code = None;
    for (what, secret) in [("ticket", &ticket), ("state", &state), ("nonce", &nonce)] {
        for (host, target) in [
            (WIKI, format!("/.vestibule/callback?code={secret}")),
            (AUTH, format!("/.vestibule/logout/done?t={secret}")),
            (AUTH, format!("/.vestibule/login?app={WIKI}&t={}", if what == "ticket" { "x" } else { secret })),
            (AUTH, format!("/.vestibule/callback?code=x&state={}", if what == "state" { "x" } else { secret })),
        ] {
            let answer = browser.clone().get(&house, host, &target).await;
            let harmless = answer.location().is_none_or(|to| to.ends_with("/.vestibule/signed-out"));
            assert!(harmless && answer.all("set-cookie").iter().all(|cookie| cookie.contains("Max-Age=0")), "{what} at {target}: {answer:?}");
        }
        let mut thief = browser.clone();
        thief.plant(WIKI, name, secret);
        thief.plant(AUTH, name, secret);
        assert!(!opens(&house, &thief, WIKI, "/page").await, "{what} as a session");
    }
    let done = browser.callback(&house, &query).await;
    for part in done.location().unwrap().split("code=").skip(1) {
        code = Some(part.to_owned());
    }
    let code = code.unwrap();
    let mut thief = Browser::default();
    thief.plant(WIKI, name, &code);
    assert!(!opens(&house, &thief, WIKI, "/page").await, "a code as a session");
    assert_eq!(browser.follow(&house, AUTH, done).await.answer.body, CONTENT);
    // Two people whose issuer and subject run together in the same way are two people.
    let mut seen = HashSet::new();
    for subject in ["a", "a:", ":a", "1:a", "a\u{1f}b", "ab"] {
        be(&house, subject, json!({"email": format!("{}@example.com", subject.len()), "groups": ["staff"]}));
        let person = Browser::default().open(&house, WIKI, "/page").await;
        // A control character in a subject is refused altogether.
        assert_eq!(person.answer.status, if subject.contains('\u{1f}') { 403 } else { 200 }, "{subject:?}");
        seen.insert(subject);
    }
    // Every signature: each kind of broken one is a sign-in that fails.
    drop(house.arrived());
    for signer in [Signer::Zeros, Signer::Empty, Signer::Rsa2, Signer::HmacPublicPem, Signer::Ec] {
        house.op.reset();
        house.op.set(|script| script.signer = signer);
        let landed = Browser::default().open(&house, WIKI, "/page").await;
        assert_eq!((landed.answer.status, house.arrived().len()), (403, 0), "{signer:?}");
        house.advance_s(31);
    }
    house.op.reset();
    house.op.set(|script| script.token = Arc::new(|token| format!("{}.{}.", token.split('.').next().unwrap(), token.split('.').nth(1).unwrap())));
    assert_eq!(Browser::default().open(&house, WIKI, "/page").await.answer.status, 403);
}

/// CVE-2021-41230, GHSA-x883-2vmg-xwf7; CVE-2025-53942, CVE-2025-64521.
///
/// The bound today: claims are read at sign-in and never in between, so a change counts from the next sign-in on, which comes after `[session] max`
/// at the latest, after `[session] idle` without a request, and after `[login] max_age` where the policy has one.
#[tokio::test(flavor = "multi_thread")]
async fn claims_are_read_again_within_the_stated_bound_and_a_removal_ends_access() {
    let staff = |groups: serde_json::Value| json!({"email": "ada@example.com", "groups": groups});
    for (bound, wiki, seconds) in [("session max", "", MAX_MS / 1000), ("login max_age", "[login]\nmax_age = \"1h\"\n", 3600)] {
        let house = House::with(Options { wiki: wiki.into(), ..Options::default() }).await;
        be(&house, "ada", staff(json!(["staff", "admins"])));
        let mut browser = Browser::default();
        assert_eq!(browser.open(&house, WIKI, "/admin").await.answer.status, 200, "{bound}");
        be(&house, "ada", staff(json!(["other"])));
        // Right up to the bound, with a request often enough not to be idle.
        let mut passed = 0;
        while passed + 1200 < seconds {
            house.advance_s(1200);
            passed += 1200;
            assert!(opens(&house, &browser, WIKI, "/admin").await, "{bound}: {passed} s");
        }
        house.advance_s(seconds - passed + 1);
        drop(house.arrived());
        assert!(!opens(&house, &browser, WIKI, "/admin").await, "{bound}: past it");
        let landed = browser.open(&house, WIKI, "/page").await;
        assert_eq!((landed.answer.status, house.arrived().len()), (403, 0), "{bound}: {landed:?}");
    }
    // Idle: the same, without waiting for the maximum.
    let house = House::new().await;
    be(&house, "ada", staff(json!(["staff"])));
    let mut browser = Browser::signed_in(&house, WIKI).await;
    assert!(opens(&house, &browser, WIKI, "/page").await);
    be(&house, "ada", staff(json!([])));
    house.advance_s(1801);
    assert_eq!(browser.open(&house, WIKI, "/page").await.answer.status, 403);
    // A person whom the provider no longer vouches for comes in by no other door.
    let mut other = Browser::default();
    let url = other.to_provider(&house, TICKETS, "/page").await;
    let state = url.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    assert_eq!(other.callback(&house, &format!("error=access_denied&state={state}")).await.status, 403);
    house.op.set(|script| script.token_answer = Some(OpAnswer::text(400, "{\"error\":\"invalid_grant\"}")));
    assert_eq!(other.open(&house, TICKETS, "/page").await.answer.status, 403);
    drop(house.arrived());
    assert!(!opens(&house, &other, TICKETS, "/page").await && house.arrived().is_empty());
}

/// CVE-2026-33496, CVE-2021-32701, CVE-2026-71326.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_remembered_with_everything_that_decided_it() {
    let mut house = House::new().await;
    house.op.set(|script| script.auth_time = Some(NOW_S));
    be(&house, "ada", json!({"email": "ada@example.com", "groups": ["staff"]}));
    let ada = Browser::signed_in(&house, WIKI).await;
    be(&house, "bob", json!({"email": "bob@example.com", "groups": ["staff", "admins"]}));
    let mut bob = Browser::signed_in(&house, WIKI).await;
    drop(bob.open(&house, TICKETS, "/.vestibule/login?to=/.vestibule/whoami").await);
    // Path, method and group are looked at on a hit as on a miss, in either order.
    for _ in 0..3 {
        assert!(opens(&house, &bob, WIKI, "/admin").await && !opens(&house, &ada, WIKI, "/admin").await);
        assert!(opens(&house, &ada, WIKI, "/page").await && opens(&house, &bob, WIKI, "/page").await);
        assert!(!opens(&house, &Browser::default(), WIKI, "/page").await && !opens(&house, &Browser::default(), WIKI, "/admin").await);
    }
    // The age of the sign-in too.
    assert!(opens(&house, &bob, WIKI, "/recent").await);
    house.advance_s(601);
    assert!(!opens(&house, &bob, WIKI, "/recent").await && opens(&house, &bob, WIKI, "/page").await);
    // One person at two apps: each gets its own header and its own audience.
    drop(house.arrived());
    assert!(opens(&house, &bob, WIKI, "/page").await && opens(&house, &bob, TICKETS, "/page").await);
    let (wiki, tickets) = (house.wiki.take().pop().unwrap(), house.tickets.take().pop().unwrap());
    assert!(wiki.folded("x-tickets-login").is_empty() && tickets.folded("x-remote-user").is_empty());
    assert_ne!(wiki.only("x-assertion"), tickets.only("x-assertion"));
    // Everything forgotten, and everybody at once: what is loaded together is not mixed up.
    house.restart().await;
    let house = &house;
    let people = [(&ada, "ada@example.com"), (&bob, "bob@example.com")];
    join_all((0..40).map(|n| {
        let (person, email) = people[n % 2];
        async move { assert_eq!(person.clone().api(house, WIKI, &format!("/{email}/{n}")).await.status, 200) }
    }))
    .await;
    let seen = house.wiki.take();
    assert_eq!(seen.len(), 40);
    for seen in seen {
        assert!(seen.line.contains(&seen.only("x-remote-user")), "{}", seen.text());
    }
}

/// CVE-2024-21493 (input that panics), CVE-2024-21500 (attempts without end).
#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_never_panics_and_nothing_can_be_tried_twice() {
    let house = House::new().await;
    let mut known = Browser::signed_in(&house, WIKI).await;
    let long = "a".repeat(7000);
    let junk = [
        "",
        "=",
        "&",
        "&&&=",
        "%",
        "%%",
        "%0",
        "%00",
        "%ff",
        "%c3%28",
        "%f0%9f%92%a9",
        "%ed%a0%80",
        "\u{7f}",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        "{{7*7}}",
        "..",
        "-1",
        "0",
        "99999999999999999999",
        "NaN",
        "null",
        "true",
        "a=b=c",
        "a&a&a",
        ";",
        ",",
        "+",
        "\\",
        "|",
        "^",
        "`",
        "~",
        "*",
        "(",
        ")",
        "x.y.z",
        "eyJ.eyJ.",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.",
        ".",
        "wiki",
        "wiki,wiki,",
        "corp",
        &long,
    ];
    let places = [
        (WIKI, "/.vestibule/login?to="),
        (WIKI, "/.vestibule/login?fresh=1&again=1&to="),
        (WIKI, "/.vestibule/callback?code="),
        (WIKI, "/.vestibule/wait?to="),
        (WIKI, "/.vestibule/whoami?"),
        (WIKI, "/.vestibule/"),
        (WIKI, "/public/"),
        (WIKI, "/page?"),
        (AUTH, "/.vestibule/login?t="),
        (AUTH, "/.vestibule/login?app="),
        (AUTH, "/.vestibule/callback?state="),
        (AUTH, "/.vestibule/callback?code=x&state="),
        (AUTH, "/.vestibule/callback?error="),
        (AUTH, "/.vestibule/signed-out?state="),
        (AUTH, "/.vestibule/signed-out?idp="),
        (AUTH, "/.vestibule/logout/done?t="),
        (AUTH, "/"),
    ];
    for (host, place) in places {
        for junk in junk {
            let target = format!("{place}{junk}");
            for browser in [&mut Browser::default(), &mut known.clone()] {
                let answer = browser.send(&house, &Ask::page(host, &target)).await;
                assert!(answer.status < 500, "{host}{target}: {answer:?}");
            }
        }
    }
    for junk in junk {
        for header in [
            "Cookie",
            "Origin",
            "Sec-Fetch-Site",
            "Sec-Fetch-Mode",
            "Accept",
            "X-Forwarded-For",
            "Forwarded",
            "Authorization",
            "Connection",
            "Range",
            "If-None-Match",
        ] {
            let ask = Ask::form(WIKI, "/.vestibule/logout", junk).with(header, junk);
            let answer = Browser::default().send(&house, &ask).await;
            assert!(answer.status < 500, "{header}: {junk}: {answer:?}");
            let ask = Ask::bare("GET", WIKI, "/public/x").with(header, junk);
            assert!(known.clone().send(&house, &ask).await.status < 500, "{header}: {junk}");
        }
        let mut odd = Browser::default();
        odd.plant(WIKI, "vestibule-b", junk);
        odd.plant(AUTH, "vestibule-b", junk);
        odd.plant(AUTH, "vestibule-idp", junk);
        if junk.len() < 1000 && !junk.contains([';', '\u{7f}']) {
            assert_eq!(odd.open(&house, WIKI, "/page").await.answer.body, CONTENT, "a cookie {junk:?} locks out");
        }
    }
    // On the wire: a refusal or a closed connection, and the next one is served.
    for raw in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: wiki.vestibule.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: wiki.vestibule.test\r\nCookie: \xff\xfe=\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: wiki.vestibule.test\r\n: x\r\n\r\n",
        b"POST /.vestibule/logout HTTP/1.1\r\nHost: wiki.vestibule.test\r\nContent-Length: -1\r\n\r\n",
        b"POST /.vestibule/logout HTTP/1.1\r\nHost: wiki.vestibule.test\r\nContent-Length: 2\r\n\r\n\xff\xfe",
        b"POST /.vestibule/logout HTTP/1.1\r\nHost: wiki.vestibule.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = house.raw(raw, WIKI).await;
        assert!(answer.as_ref().is_none_or(|answer| answer.status < 500), "{}: {answer:?}", String::from_utf8_lossy(raw));
        assert_eq!(known.api(&house, WIKI, "/page").await.status, 200, "after {}", String::from_utf8_lossy(raw));
    }
    // Attempts: a state and a code are used up by the first one, right or wrong; guessing reaches nobody.
    let before = house.op.hits("/token");
    let mut browser = Browser::default();
    let query = house.op.sign_in(&browser.to_provider(&house, WIKI, "/page").await);
    house.op.set(|script| script.token_answer = Some(OpAnswer::text(400, "{}")));
    for _ in 0..5 {
        assert!(browser.callback(&house, &query).await.status >= 400);
    }
    assert_eq!(house.op.hits("/token") - before, 1);
    house.op.reset();
    let done = {
        let query = house.op.sign_in(&browser.to_provider(&house, WIKI, "/page").await);
        browser.callback(&house, &query).await.location().unwrap()
    };
    let target = crate::house::target_of(&done.parse().unwrap());
    // Tried in another browser first: spent, and worth nothing.
    let mut thief = Browser::default();
    assert!(thief.get(&house, WIKI, &target).await.all("set-cookie").iter().all(|cookie| !cookie.starts_with("vestibule=")));
    assert!(browser.clone().get(&house, WIKI, &target).await.status >= 400);
    for n in 0..50 {
        assert_eq!(Browser::default().api(&house, AUTH, &format!("/.vestibule/callback?code=x&state={n:043}")).await.status, 400);
        assert_eq!(Browser::default().api(&house, WIKI, &format!("/.vestibule/callback?code={n:043}")).await.status, 400);
    }
    assert_eq!(house.op.hits("/token") - before, 2);
}

/// Counts what is drawn from the operating system's source.
#[derive(Debug, Default)]
struct Counting(OsEntropy, AtomicUsize);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        self.1.fetch_add(buffer.len(), Ordering::SeqCst);
        self.0.fill(buffer);
    }
}

/// CVE-2024-21495, `mod_auth_openidc` 2026-05-20. That failure is fatal is in the type: `Entropy::fill` has no way to fail, and the operating system's
/// source aborts the process.
#[tokio::test(flavor = "multi_thread")]
async fn every_secret_is_drawn_whole_from_the_one_source() {
    let entropy = Arc::new(Counting::default());
    let house = House::with(Options { entropy: Arc::clone(&entropy) as Arc<dyn Entropy>, ..Options::default() }).await;
    let mut secrets = HashSet::new();
    for n in 0..20 {
        let before = entropy.1.load(Ordering::SeqCst);
        let mut browser = Browser::default();
        let url = browser.to_provider(&house, WIKI, "/page").await;
        let mut made: Vec<String> =
            ["state", "nonce"].iter().map(|name| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()).collect();
        let query = house.op.sign_in(&url);
        let done = browser.callback(&house, &query).await;
        made.push(done.location().unwrap().split("code=").nth(1).unwrap().to_owned());
        made.push(house.op.last_token_request().1["code_verifier"].clone());
        drop(browser.follow(&house, AUTH, done).await);
        made.extend(browser.jars.values().flat_map(|jar| jar.values().cloned()));
        assert_eq!(made.len(), 8, "state, nonce, code, verifier, two bindings, two sessions");
        for secret in made {
            assert!(secret.len() == 43 && secrets.insert(secret.clone()), "{n}: {secret}");
        }
        // Nine tokens of 256 bits (a ticket is among them); none is derived from another.
        assert!(entropy.1.load(Ordering::SeqCst) - before >= 9 * 32);
    }
    // No constant at any place, as a counter, a time or a truncated source would leave one.
    let columns = (0..42).filter(|&at| secrets.iter().map(|secret| secret.as_bytes()[at]).collect::<HashSet<_>>().len() < 32);
    assert_eq!(columns.count(), 0);
    // The source of the real thing.
    assert_ne!(OsEntropy::default().bytes_of_two().0, OsEntropy::default().bytes_of_two().0);
}

trait TwoDraws {
    fn bytes_of_two(&self) -> ([u8; 32], [u8; 32]);
}

impl TwoDraws for OsEntropy {
    fn bytes_of_two(&self) -> ([u8; 32], [u8; 32]) {
        let source: &dyn Entropy = self;
        (source.bytes(), source.bytes())
    }
}

/// CVE-2024-47616. The one service account that there is today is the gateway's own at an admin API.
#[tokio::test(flavor = "multi_thread")]
async fn the_credential_of_the_admin_api_opens_nothing_here() {
    let house = House::new().await;
    for host in [WIKI, TICKETS, AUTH] {
        for path in ["/page", "/admin", "/.vestibule/whoami", "/.vestibule/signed-in"] {
            for (name, value) in [
                ("Authorization", format!("Bearer {ADMIN_TOKEN}")),
                ("Cookie", format!("vestibule={ADMIN_TOKEN}")),
                ("X-Api-Key", ADMIN_TOKEN.to_owned()),
            ] {
                let answer = Browser::default().send(&house, &Ask::api(host, path).with(name, &value)).await;
                assert!(matches!(answer.status, 401 | 404), "{host}{path} {name}: {answer:?}");
            }
        }
    }
    assert!(house.arrived().is_empty());
}
