//! What a change of each kind of file does, and above all what a bad one does not do.

use super::Followed;
use crate::fake_admin::{FakeAdmin, Flavour};
use crate::whole::{APP, AUTH, Person, Tls, WIKI, Wire, cert, get, leaf, policy, policy_with, within};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio_rustls::rustls::pki_types::CertificateDer;
use vestibule::load::no_gate;
use vestibule::policy::Policy;
use vestibule::source::{Problem, SourceFile};

const TENANT: &str = "[headers]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_policy_keeps_its_last_good_version_and_touches_no_other_app() {
    let followed = Followed::new().await;
    let (at_app, at_wiki) = (followed.street.sign_in(APP).await, followed.street.sign_in(WIKI).await);
    let token = |header: &str| followed.app.one().get(header).unwrap();
    assert_eq!(followed.get(&at_wiki, WIKI, "/").await.status(), 200);
    let before = token("x-wiki-jwt");
    for broken in ["everyone = tru", "evryone = true", "everyone = true\ngroups = 1"] {
        followed.edit("policies/app.toml", "everyone = true", broken);
        assert_eq!(followed.reloaded().await, ["app.toml changed not"], "{broken}");
        assert_eq!(followed.reloaded().await, ["app.toml unchanged not"], "as long as it is broken it is said");
        for (person, host) in [(&at_app, APP), (&at_wiki, WIKI)] {
            assert_eq!(followed.get(person, host, "/").await.status(), 200, "{broken}: {host}");
        }
        assert_eq!(followed.get(&at_app, APP, "/admins").await.status(), 403, "it never opens");
        followed.edit("policies/app.toml", broken, "everyone = true");
        assert_eq!(followed.reloaded().await, ["app.toml unchanged loaded"]);
    }
    followed.app.take();
    followed.write("policies/app.toml", "");
    followed.write("policies/new.toml", "host = \"new.vestibule.test\"\n");
    assert_eq!(followed.reloaded().await, ["app.toml changed not", "new.toml added not"]);
    assert_eq!(followed.get(&at_wiki, WIKI, "/").await.status(), 200);
    // The pass was not rendered anew: the very token of before.
    assert_eq!(token("x-wiki-jwt"), before);
    let nobody = Person::default();
    assert_eq!(followed.get(&nobody, "new.vestibule.test", "/").await.status(), 503, "never good: unavailable, as at the start");
    assert_eq!(followed.get(&nobody, "other.vestibule.test", "/").await.status(), 404);
    let metrics = followed.metrics().await;
    for line in [
        "vestibule_config_last_reload_successful 0",
        "vestibule_policy_stale{app=\"app\"} 1",
        "vestibule_policy_loaded{app=\"app\"} 1",
        "vestibule_policy_stale{app=\"wiki\"} 0",
        "vestibule_policy_loaded{app=\"new\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    // A host that is served is not taken away, whoever comes first by name.
    followed.write("policies/aaa.toml", policy(WIKI, followed.app.at));
    fs::remove_file(followed.path("policies/new.toml")).unwrap();
    assert_eq!(followed.reloaded().await, ["aaa.toml added not", "app.toml unchanged not"]);
    assert_eq!(followed.get(&at_wiki, WIKI, "/").await.status(), 200);
    fs::remove_file(followed.path("policies/aaa.toml")).unwrap();
    followed.write("policies/app.toml", policy(APP, followed.app.at));
    assert_eq!(followed.reloaded().await, ["app.toml unchanged loaded"]);
    let metrics = followed.metrics().await;
    assert!(metrics.contains("vestibule_config_last_reload_successful 1\n") && !metrics.contains("app=\"new\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_gateway_file_changes_nothing_at_all() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    followed.edit("vestibule.toml", "workers = 1", "wrokers = 1");
    followed.edit("policies/app.toml", "everyone = true", "groups = [\"nobody\"]");
    fs::remove_file(followed.path("policies/wiki.toml")).unwrap();
    let reloaded = followed.reload().await;
    assert!(!reloaded.ok && reloaded.entries.len() == 1 && reloaded.unchanged == 2, "{reloaded:?}");
    assert!(reloaded.problems.contains("unknown key `wrokers`") && reloaded.problems.ends_with("Nothing was changed.\n"), "{reloaded:?}");
    assert_eq!(followed.get(&person, APP, "/").await.status(), 200);
    assert_eq!(followed.get(&Person::default(), WIKI, "/").await.status(), 401);
    fs::remove_file(followed.path("vestibule.toml")).unwrap();
    assert!(!followed.reload().await.ok);
    assert_eq!(followed.get(&person, APP, "/").await.status(), 200);
    assert!(followed.metrics().await.contains("vestibule_config_last_reload_successful 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_file_unloads_its_app_and_ends_its_streams_and_an_added_one_is_served() {
    let followed = Followed::new().await;
    let (person, other) = (followed.street.sign_in(APP).await, followed.street.sign_in(WIKI).await);
    followed.app.by_hand();
    let (mut gone, mut stays) = (followed.street.connect(APP).await, followed.street.connect(WIKI).await);
    let mut ends = Vec::new();
    for (wire, person, host) in [(&mut gone, &person, APP), (&mut stays, &other, WIKI)] {
        wire.send(get(person, host, "/stream", "")).await;
        let (mut upstream, _) = followed.app.accept_request().await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
        assert_eq!(wire.head().await.unwrap().status(), 200);
        assert_eq!(wire.chunk().await.as_deref(), Some(&b"first"[..]));
        ends.push(upstream);
    }
    fs::remove_file(followed.path("policies/app.toml")).unwrap();
    let text = policy("third.vestibule.test", followed.app.at);
    followed.write("policies/third.toml", text);
    assert_eq!(followed.reloaded().await, ["third.toml added loaded", "app.toml removed loaded"]);
    assert_eq!(gone.chunk().await, None, "whose app is gone does not go on receiving from it");
    ends[1].send("6\r\nsecond\r\n0\r\n\r\n").await;
    assert_eq!(stays.chunk().await.as_deref(), Some(&b"second"[..]), "streams of other apps stay");
    assert_eq!(followed.get(&person, APP, "/").await.status(), 404);
    assert_eq!(followed.get(&Person::default(), "third.vestibule.test", "/").await.status(), 401);
    assert!(!followed.metrics().await.contains("vestibule_policy_loaded{app=\"app\"}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_enter_any_more_is_out_at_once_and_so_are_their_streams() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    followed.app.by_hand();
    let mut wire = followed.street.connect(APP).await;
    wire.send(get(&person, APP, "/stream", "")).await;
    let (mut upstream, _) = followed.app.accept_request().await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    assert_eq!(wire.chunk().await.as_deref(), Some(&b"first"[..]));
    followed.edit("policies/app.toml", "everyone = true", "groups = [\"nobody\"]");
    assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
    assert_eq!(followed.get(&person, APP, "/").await.status(), 403);
    assert_eq!(wire.chunk().await, None);
}

/// A stream that has begun; the application's end of it stays open as long as it is held.
async fn streaming(followed: &Followed, person: &Person, host: &str, path: &str) -> (Wire, Wire) {
    let mut wire = followed.street.connect(host).await;
    wire.send(get(person, host, path, "")).await;
    let (mut upstream, _) = followed.app.accept_request().await;
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    assert_eq!(wire.chunk().await.as_deref(), Some(&b"first"[..]));
    (wire, upstream)
}

/// Whatever it is of a policy that closes the way: streams that came by it end, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_sockets_end_by_whatever_key_closes_their_way_and_stay_by_any_other() {
    let followed = Followed::new().await;
    let (person, other) = (followed.street.sign_in(APP).await, followed.street.sign_in(WIKI).await);
    followed.app.by_hand();
    let [app, wiki] = ["policies/app.toml", "policies/wiki.toml"].map(|file| fs::read_to_string(followed.path(file)).unwrap());
    let everyone = |keys: &str| app.replacen("everyone = true", &format!("everyone = true\n{keys}"), 1);
    let section = |keys: &str| format!("{app}\n[[path]]\nmatch = [\"/stream\"]\n{keys}\n");
    let closed = wiki.replacen("everyone = true", "groups = [\"nobody\"]", 1);
    for (text, stays) in [
        (everyone("when = \"email != 'ada@example.com'\""), false),
        (everyone("when = \"request.path == '/elsewhere'\""), false),
        (everyone("when = \"request.path == '/stream'\""), true),
        (everyone("networks = [\"192.0.2.0/24\"]"), false),
        (everyone("networks = [\"127.0.0.0/8\"]"), true),
        (section("groups = [\"nobody\"]"), false),
        (section("networks = [\"192.0.2.0/24\"]"), false),
        (section("methods = [\"GET\"]\nmax_age = \"1s\""), true),
        (format!("{app}\n[[path]]\nmatch = [\"/elsewhere\"]\ngroups = [\"nobody\"]\n"), true),
    ] {
        let (mut wire, mut upstream) = streaming(&followed, &person, APP, "/stream").await;
        let (mut ends, _held) = streaming(&followed, &other, WIKI, "/stream").await;
        let mut socket = followed.street.connect(APP).await;
        let ask = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        socket.send(get(&person, APP, "/stream", ask)).await;
        let (mut far, _) = followed.app.accept_request().await;
        far.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        assert_eq!(socket.head().await.unwrap().status(), 101);

        followed.write("policies/app.toml", &text);
        followed.write("policies/wiki.toml", &closed);
        assert_eq!(followed.reloaded().await, ["app.toml changed loaded", "wiki.toml changed loaded"], "{text}");
        // They are all looked at together: when this one has ended, the others have been decided.
        assert_eq!(ends.chunk().await, None);
        if stays {
            upstream.send("6\r\nsecond\r\n0\r\n\r\n").await;
            assert_eq!(wire.chunk().await.as_deref(), Some(&b"second"[..]), "{text}");
            far.send("frames").await;
            assert_eq!(socket.exactly(6).await, b"frames", "{text}");
        } else {
            assert_eq!(wire.chunk().await, None, "{text}");
            assert!(socket.is_over().await, "{text}");
        }
        followed.write("policies/app.toml", &app);
        followed.write("policies/wiki.toml", &wiki);
        assert_eq!(followed.reloaded().await, ["app.toml changed loaded", "wiki.toml changed loaded"]);
    }
}

/// Nobody is signed in on a public page; when it is public no longer, its streams end too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_public_page_ends_when_the_page_is_public_no_longer() {
    let followed = Followed::new().await;
    followed.app.by_hand();
    let plain = fs::read_to_string(followed.path("policies/app.toml")).unwrap();
    let public = format!("{plain}\n[[path]]\nmatch = [\"/news\"]\npublic = true\n");
    followed.write("policies/app.toml", &public);
    assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
    let (mut wire, _upstream) = streaming(&followed, &Person::default(), APP, "/news").await;
    followed.write("policies/app.toml", &plain);
    assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
    assert_eq!(wire.chunk().await, None);
}

/// A changed header, mapping or rule holds from the next request of people who are signed in already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_configuration_may_be_changed_at_any_time() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    let mut wire = followed.street.connect(APP).await;
    for (from, to, status, tenant) in [
        (TENANT, "[headers]\nX-Tenant = \"one\"\n", 200, Some("one")),
        ("X-Tenant = \"one\"", "X-Tenant = \"two\"", 200, Some("two")),
        ("everyone = true", "groups = [\"nobody\"]", 403, None),
        ("groups = [\"nobody\"]", "everyone = true", 200, Some("two")),
    ] {
        followed.edit("policies/app.toml", from, to);
        assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
        // On a connection that was open before.
        wire.send(get(&person, APP, "/", "")).await;
        assert_eq!(wire.answer(false).await.status(), status, "{to}");
        let seen = followed.app.take();
        assert_eq!(seen.len(), usize::from(status == 200));
        assert_eq!(seen.first().and_then(|request| request.get("x-tenant")).as_deref(), tenant, "{to}");
    }
}

/// The revision of the policy that made an account what it is stands on its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_the_policy_revision_is_stamped_on_every_record() {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    let url = admin.url.clone();
    let provision = format!("[provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = \"file:../admin.token\"\nretries = 0\n");
    let followed = Followed::with(Arc::new(no_gate), |app| vec![("app", policy_with(APP, app, "", &provision))]).await;
    assert_eq!(followed.get(&Person::default(), APP, "/").await.status(), 503, "without its secret it is unavailable");
    // The secret comes later, and that is enough.
    admin.require("Bearer first");
    followed.write("admin.token", "first\n");
    assert_eq!(followed.reloaded().await, ["app.toml secret loaded"]);
    let person = followed.street.sign_in(APP).await;
    assert_eq!(followed.open(&person, APP).await.status(), 200);
    let stamped = || async {
        let mut store = SqliteConnection::connect(&format!("sqlite:{}", followed.path("v.db").display())).await.unwrap();
        let row = sqlx::query("select policy_revision from account").fetch_one(&mut store).await.unwrap();
        row.get::<String, _>(0)
    };
    let first = stamped().await;
    assert_eq!(first.len(), 12);
    // Another secret is used from the next call on; nothing else is different.
    admin.require("Bearer second");
    followed.write("admin.token", "second");
    assert_eq!(followed.reloaded().await, ["app.toml secret loaded"]);
    assert_eq!(stamped().await, first);
    followed.edit("policies/app.toml", TENANT, "[headers]\nX-Tenant = \"one\"\n");
    assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
    drop(admin.take_seen());
    assert_eq!(followed.open(&person, APP).await.status(), 200);
    let seen = admin.take_seen();
    assert!(!seen.is_empty() && seen.iter().all(|call| call.header("authorization") == Some("Bearer second")), "{seen:?}");
    let second = stamped().await;
    assert!(second != first && second.len() == 12, "{first} {second}");
    // A secret that is gone is not missed: the one that was read stays.
    fs::remove_file(followed.path("admin.token")).unwrap();
    let reloaded = followed.reload().await;
    assert!(!reloaded.ok && reloaded.problems.contains("provision.token: secret file:"), "{reloaded:?}");
    assert_eq!(followed.open(&person, APP).await.status(), 200);
}

/// `[jwt] secret`: nothing is signed under a short one, and a new one is used at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_for_tokens_is_long_is_one_app_s_and_may_be_changed() {
    let shared = "prefix = \"Bearer \"\nsecret = \"file:../app.secret\"\n";
    let followed = Followed::with(Arc::new(no_gate), |app| vec![("app", policy_with(APP, app, "", shared)), ("wiki", policy(WIKI, app))]).await;
    assert_eq!(followed.get(&Person::default(), APP, "/").await.status(), 503, "without its secret it is unavailable");
    followed.write("app.secret", "short\n");
    let reloaded = followed.reload().await;
    assert!(!reloaded.ok && reloaded.problems.contains("jwt.secret: a secret of 5 bytes is too short"), "{reloaded:?}");
    assert_eq!(followed.get(&Person::default(), APP, "/").await.status(), 503);

    let verified = |secret: &str, token: &str| {
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.set_audience(&["app"]);
        let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::decode::<serde_json::Value>(token.strip_prefix("Bearer ").unwrap(), &key, &validation).is_ok()
    };
    for secret in ["one secret of thirty-two bytes, at least", "another secret of thirty-two bytes and more"] {
        followed.write("app.secret", secret);
        assert_eq!(followed.reloaded().await[0], "app.toml secret loaded");
        let person = followed.street.sign_in(APP).await;
        assert_eq!(followed.get(&person, APP, "/").await.status(), 200);
        let token = followed.app.take().pop().unwrap().get("x-app-jwt").unwrap();
        assert!(verified(secret, &token) && !verified("one secret of thirty-two bytes, at most!", &token), "{token}");
    }
    // Another app's is the gateway's own, as before.
    let person = followed.street.sign_in(WIKI).await;
    followed.get(&person, WIKI, "/").await;
    let token = followed.app.take().pop().unwrap().get("x-wiki-jwt").unwrap();
    assert_eq!(jsonwebtoken::decode_header(token).unwrap().alg, jsonwebtoken::Algorithm::ES256);
}

/// The gateway file decides which policies make accounts: one that it takes that from does not go on with its last good version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_09_what_the_gateway_file_withdraws_is_withdrawn_at_once() {
    let provision = "[provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:9\"\ntoken = \"file:../admin.token\"\nretries = 0\n";
    let followed = Followed::with(Arc::new(no_gate), |app| vec![("app", policy_with(APP, app, "", provision)), ("wiki", policy(WIKI, app))]).await;
    followed.write("admin.token", "token");
    assert!(followed.reload().await.ok);
    let nobody = Person::default();
    assert_eq!(followed.get(&nobody, APP, "/").await.status(), 401);
    followed.edit("vestibule.toml", "[pages]", "[provisioning]\nallow = [\"wiki\"]\n[pages]");
    let found = followed.reload().await;
    assert!(!found.ok && found.problems.contains("[provision] is not available to `app`"), "{found:?}");
    assert_eq!((followed.get(&nobody, APP, "/").await.status(), followed.get(&nobody, WIKI, "/").await.status()), (503, 401));
    followed.edit("vestibule.toml", "allow = [\"wiki\"]", "allow = [\"wiki\", \"app\"]");
    assert!(followed.reload().await.ok);
    assert_eq!(followed.get(&nobody, APP, "/").await.status(), 401);
}

/// A policy's own connector is part of it, though it stands in a file of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_file_that_changes_is_a_change_of_its_policy() {
    let provision = "[provision]\nconnector = \"./own-scim.toml\"\nurl = \"http://127.0.0.1:9\"\ntoken = \"file:../admin.token\"\nretries = 0\n";
    let followed = Followed::with(Arc::new(no_gate), |app| vec![("app", policy_with(APP, app, "", provision)), ("wiki", policy(WIKI, app))]).await;
    let scim = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/connectors/scim.toml")).unwrap();
    followed.write("admin.token", "token");
    let own = scim.replace("connector = \"scim\"", "connector = \"own-scim\"").replace("name = \"scim\"", "name = \"own-scim\"");
    followed.write("policies/own-scim.toml", &own);
    let found = followed.reload().await;
    assert!(found.ok, "{found:?}");
    assert_eq!(followed.get(&Person::default(), APP, "/").await.status(), 401);
    for broken in ["connector = 1\n", "nonsense = 1\n"] {
        followed.write("policies/own-scim.toml", broken.to_owned() + &own);
        let found = followed.reload().await;
        let app = found.entries.iter().find(|entry| entry.app.as_deref() == Some("app")).unwrap_or_else(|| panic!("{found:?}"));
        assert!(!found.ok && !app.loaded && app.serving_since.is_some(), "{found:?}");
        assert_eq!(followed.get(&Person::default(), APP, "/").await.status(), 401, "its last good version keeps serving");
        followed.write("policies/own-scim.toml", &own);
        assert!(followed.reload().await.ok);
    }
}

/// A reload of its neighbour is no reason to knock again where a credential was refused; another credential is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_was_refused_stays_refused_until_it_is_another_one() {
    let admin = FakeAdmin::start(Flavour::Scim).await;
    let url = admin.url.clone();
    let provision = format!("[provision]\nconnector = \"scim\"\nurl = \"{url}\"\ntoken = \"file:../admin.token\"\nretries = 0\n");
    let policies = |app| vec![("app", policy_with(APP, app, "", &provision)), ("wiki", policy(WIKI, app))];
    let followed = Followed::with(Arc::new(no_gate), policies).await;
    admin.require("Bearer right");
    followed.write("admin.token", "wrong");
    assert!(followed.reload().await.ok);
    let person = followed.street.sign_in(APP).await;
    assert_eq!(followed.open(&person, APP).await.status(), 503);
    assert!(!admin.take_seen().is_empty());
    followed.edit("policies/wiki.toml", TENANT, "[headers]\nX-Tenant = \"one\"\n");
    assert_eq!(followed.reloaded().await, ["wiki.toml changed loaded"]);
    followed.advance_s(3);
    assert_eq!(followed.open(&person, APP).await.status(), 503);
    assert!(admin.take_seen().is_empty(), "it is left alone");
    followed.write("admin.token", "right");
    assert_eq!(followed.reloaded().await, ["app.toml secret loaded"]);
    followed.advance_s(3);
    assert_eq!(followed.open(&person, APP).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_shared_secret_goes_along_with_the_next_request() {
    let text = |app| policy_with(APP, app, "", "").replace(TENANT, "[headers]\nX-From-Gateway = { secret = \"file:../shared\" }\n");
    let followed = Followed::with(Arc::new(no_gate), |app| vec![("app", text(app))]).await;
    for secret in ["first", "second"] {
        followed.write("shared", secret);
        assert!(followed.reload().await.ok);
        assert_eq!(followed.get(&Person::default(), APP, "/public").await.status(), 200);
        assert_eq!(followed.app.one().get("x-from-gateway").as_deref(), Some(secret));
    }
}

async fn served(followed: &Followed) -> CertificateDer<'static> {
    let stream = followed.street.tls(Tls::for_name(APP)).await.unwrap();
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().unwrap()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_certificate_is_served_from_the_next_handshake_on_and_a_bad_one_is_not() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    let mut open = followed.street.connect(APP).await;
    assert_eq!(served(&followed).await, leaf("vestibule.test.pem"));
    // The certificate is there before its key, as when somebody copies one after the other.
    fs::copy(cert("other.test.pem"), followed.path("tls.pem")).unwrap();
    assert_eq!(followed.reloaded().await, ["[tls] secret not"]);
    assert_eq!(served(&followed).await, leaf("vestibule.test.pem"));
    fs::copy(cert("other.test.key"), followed.path("tls.key")).unwrap();
    assert_eq!(followed.reloaded().await, ["[tls] secret loaded"]);
    assert_eq!(served(&followed).await, leaf("other.test.pem"));
    assert_eq!(followed.reloaded().await, Vec::<String>::new(), "nothing has changed");
    open.send(get(&person, APP, "/", "")).await;
    assert_eq!(open.answer(false).await.status(), 200, "connections stay");
    for (file, text) in [("tls.pem", "no certificate"), ("tls.key", "no key")] {
        let fine = fs::read(followed.path(file)).unwrap();
        followed.write(file, text);
        assert_eq!(followed.reloaded().await, ["[tls] secret not"], "{file}");
        assert_eq!(served(&followed).await, leaf("other.test.pem"));
        followed.write(file, fine);
    }
    fs::remove_file(followed.path("tls.key")).unwrap();
    assert_eq!(followed.reloaded().await, ["[tls] secret not"]);
    assert_eq!(served(&followed).await, leaf("other.test.pem"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_file_changes_what_it_can_and_names_what_it_cannot() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    followed.edit("vestibule.toml", "workers = 1", "workers = 2\npublic_port = 8443");
    followed.edit("vestibule.toml", "sqlite:v.db", "sqlite:w.db");
    followed.edit("vestibule.toml", "[pages]", "[session]\nidle = \"1m\"\n[pages]\nname = \"Corp\"");
    followed.edit("vestibule.toml", "drain = \"2s\"", "drain = \"2s\"\nmax_body = \"1 KiB\"");
    let reloaded = followed.reload().await;
    assert_eq!(reloaded.restart, ["server.public_port", "server.workers", "state"]);
    assert!(reloaded.ok && reloaded.unchanged == 2, "{reloaded:?}");
    assert_eq!(reloaded.entries[0].why, "only a restart changes server.public_port, server.workers, state");
    assert_eq!(followed.reload().await.restart, reloaded.restart, "for as long as it waits");
    assert_eq!(followed.get(&person, APP, "/").await.status(), 200, "sessions stay");
    let large = format!("POST / HTTP/1.1\r\nHost: {APP}\r\n{}Content-Length: 2000\r\n\r\n{}", person.cookies(APP), "x".repeat(2000));
    assert_eq!(followed.street.ask(APP, large).await.status(), 413);
    let page = followed
        .street
        .ask(AUTH, "GET /nothing HTTP/1.1\r\nHost: auth.vestibule.test\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n\r\n")
        .await;
    assert!(page.text().contains("Corp"), "{page:?}");
    followed.advance_s(61);
    assert_eq!(followed.get(&person, APP, "/").await.status(), 401, "idle for longer than now allowed");
    // An absolute limit that is tightened holds for those who are signed in.
    let person = followed.street.sign_in(APP).await;
    followed.edit("vestibule.toml", "idle = \"1m\"", "idle = \"1m\"\nmax = \"2m\"");
    assert!(followed.reload().await.ok);
    for (s, status) in [(50, 200), (50, 200), (50, 401)] {
        followed.advance_s(s);
        assert_eq!(followed.get(&person, APP, "/").await.status(), status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_provider_is_asked_from_the_next_sign_in_on() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    followed.write("client.secret", "not the one that the provider knows");
    assert_eq!(followed.reloaded().await, ["[[idp]] corp changed loaded"]);
    followed.write("client.secret", "");
    assert_eq!(followed.reloaded().await, ["[[idp]] corp secret not"], "the provider of before stays");
    assert_eq!(followed.get(&person, APP, "/").await.status(), 200);
    followed.write("client.secret", crate::fake_op::CLIENT_SECRET);
    assert_eq!(followed.reloaded().await, ["[[idp]] corp changed loaded"]);
    let again = followed.street.sign_in(APP).await;
    assert_eq!(followed.get(&again, APP, "/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gate_does_not_let_through_is_not_served_and_it_is_asked_about_changed_files_only() {
    let (asked, names) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (count, note) = (Arc::clone(&asked), Arc::clone(&names));
    let gate = move |policy: &Arc<Policy>, file: &SourceFile| {
        count.fetch_add(1, Ordering::SeqCst);
        note.lock().unwrap().push(policy.name.clone());
        let failed = file.text.contains("/fails");
        if failed { vec![Problem::error("test-failed", file, 0..0, "a test of this policy fails")] } else { Vec::new() }
    };
    let followed = Followed::gated(Arc::new(gate)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let person = followed.street.sign_in(APP).await;
    names.lock().unwrap().clear();
    followed.edit("policies/app.toml", "\"/public\",", "\"/public\", \"/fails\",");
    let reloaded = followed.reload().await;
    assert!(!reloaded.ok && reloaded.problems.contains("error[test-failed]: a test of this policy fails"), "{reloaded:?}");
    assert_eq!(*names.lock().unwrap(), ["app"]);
    assert_eq!(followed.get(&Person::default(), APP, "/fails").await.status(), 401, "what it opens is not open");
    assert_eq!(followed.get(&person, APP, "/").await.status(), 200);
    followed.edit("policies/app.toml", "/fails", "/passes");
    assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
    assert_eq!(followed.get(&Person::default(), APP, "/passes").await.status(), 200);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

/// However a file is replaced, it is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_change_are_noticed_without_being_told() {
    let followed = Followed::new().await;
    let person = followed.street.sign_in(APP).await;
    followed.following.watch();
    let tenant = |value: &str| policy(APP, followed.app.at).replace(TENANT, &format!("[headers]\nX-Tenant = \"{value}\"\n"));
    let is_served = |value: &'static str| {
        let (followed, person) = (&followed, &person);
        within(value, async move {
            loop {
                followed.app.take();
                assert_eq!(followed.get(person, APP, "/").await.status(), 200);
                if followed.app.one().get("x-tenant").as_deref() == Some(value) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    followed.write("policies/app.toml", tenant("written"));
    is_served("written").await;
    // As editors do it.
    followed.write("policies/.app.toml.new", tenant("renamed"));
    fs::rename(followed.path("policies/.app.toml.new"), followed.path("policies/app.toml")).unwrap();
    is_served("renamed").await;
    // A link to a file elsewhere, which is replaced there.
    fs::create_dir(followed.path("elsewhere")).unwrap();
    followed.write("elsewhere/tls.pem", fs::read(cert("vestibule.test.pem")).unwrap());
    fs::remove_file(followed.path("tls.pem")).unwrap();
    std::os::unix::fs::symlink(followed.path("elsewhere/tls.pem"), followed.path("tls.pem")).unwrap();
    followed.write("policies/app.toml", tenant("linked"));
    is_served("linked").await;
    fs::copy(cert("other.test.key"), followed.path("tls.key")).unwrap();
    fs::copy(cert("other.test.pem"), followed.path("elsewhere/tls.pem")).unwrap();
    within("the other certificate", async {
        while served(&followed).await != leaf("other.test.pem") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // As Kubernetes does it: a link to a folder is replaced.
    for round in ["one", "two"] {
        fs::create_dir(followed.path(&format!("policies/..{round}"))).unwrap();
        followed.write(&format!("policies/..{round}/app.toml"), tenant(round));
        std::os::unix::fs::symlink(format!("..{round}"), followed.path("policies/..data_tmp")).unwrap();
        fs::rename(followed.path("policies/..data_tmp"), followed.path("policies/..data")).unwrap();
        if round == "one" {
            std::os::unix::fs::symlink("..data/app.toml", followed.path("policies/.link")).unwrap();
            fs::rename(followed.path("policies/.link"), followed.path("policies/app.toml")).unwrap();
        }
        is_served(if round == "one" { "one" } else { "two" }).await;
    }
}

/// What the connection to an admin API is made of, and what goes along to the application, is a file like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_an_admin_connection_are_followed_too() {
    let provision = "[sign_in]\nmode = \"basic\"\npassword = \"file:../everybody\"\n[provision]\nconnector = \"scim\"\nurl = \"https://127.0.0.1:9\"\n\
                     token = \"file:../admin.token\"\nca = \"../ca.pem\"\nclient_cert = \"../us.pem\"\nclient_key = \"file:../us.key\"\n";
    let followed = Followed::with(Arc::new(no_gate), |app| vec![("app", policy_with(APP, app, "", provision))]).await;
    // Nothing of it is there yet.
    assert_eq!(followed.get(&Person::default(), APP, "/public").await.status(), 503);
    for (file, bytes) in
        [("everybody", b"secret".to_vec()), ("admin.token", b"token".to_vec()), ("us.key", fs::read(cert("vestibule.test.key")).unwrap())]
    {
        followed.write(file, bytes);
    }
    fs::copy(cert("vestibule.test.pem"), followed.path("us.pem")).unwrap();
    let watched = followed.following.reloader.files().0;
    for file in ["everybody", "admin.token", "ca.pem", "us.pem", "us.key"] {
        let is_it = |path: &std::path::PathBuf| path.parent().unwrap().canonicalize().unwrap().join(path.file_name().unwrap()) == followed.path(file);
        assert!(watched.iter().any(is_it), "{file}: {watched:?}");
    }
    followed.following.watch();
    fs::copy(cert("ca.pem"), followed.path("ca.pem")).unwrap();
    within("the authority", async {
        while followed.get(&Person::default(), APP, "/public").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // One that is no certificate is noticed as well, and what was there keeps serving.
    let mut count = followed.following.reloader.count();
    count.mark_unchanged();
    followed.write("us.pem", "nonsense");
    within("a reload", count.changed()).await.unwrap();
    assert_eq!(followed.get(&Person::default(), APP, "/public").await.status(), 200);
}
