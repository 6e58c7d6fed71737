//! The operators' listener of the whole gateway: health, readiness, counters; and that it is no way in.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::whole::{APP, AUTH, Answer, COOKIE, Person, Whole, Wire, get, within};
use sqlx::{Connection as _, SqliteConnection};
use tokio::net::TcpStream;

/// Asks the operators' listener.
async fn ask(whole: &Whole, method: &str, path: &str) -> Answer {
    let mut wire = Wire::new(TcpStream::connect(whole.running.admin.unwrap()).await.unwrap());
    wire.send(format!("{method} {path} HTTP/1.1\r\nHost: {APP}\r\n\r\n")).await;
    wire.answer(method == "HEAD").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_health_says_that_the_process_runs_and_nothing_else() {
    let whole = Whole::new().await;
    for (method, path, status, body) in [
        ("GET", "/healthz", 200, "ok\n"),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/readyz", 200, "ready\n"),
        ("POST", "/healthz", 405, "method not allowed\n"),
        ("DELETE", "/metrics", 405, "method not allowed\n"),
        ("GET", "/", 404, "not found\n"),
        ("GET", "/.vestibule/login", 404, "not found\n"),
        ("GET", "/healthz/../metrics", 404, "not found\n"),
    ] {
        let answer = ask(&whole, method, path).await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, body), "{method} {path}");
        assert_eq!(answer.get("cache-control").as_deref(), Some("no-store"));
        assert!(answer.get("set-cookie").is_none() && answer.get("server").is_none(), "{answer:?}");
    }
    assert_eq!(whole.app.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_none_of_it_is_on_the_public_listener() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(whole.get(&Person::default(), APP, path).await.status(), 401, "a health check opens nothing (CVE-2026-34457)");
        assert_eq!(whole.get(&person, AUTH, path).await.status(), 404);
        assert_eq!(whole.get(&person, APP, path).await.text(), "ok", "the application's own page");
        assert_eq!(whole.app.one().line(), format!("GET {path} HTTP/1.1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_and_decisions_and_name_nobody() {
    let whole = Whole::new().await;
    let person = whole.sign_in(APP).await;
    whole.app.answer("/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    for (who, path) in [
        (&person, "/a"),
        (&person, "/b?secret=1"),
        (&person, "/missing"),
        (&person, "/admins"),
        (&Person::default(), "/a"),
        (&Person::default(), "/public"),
    ] {
        drop(whole.get(who, APP, path).await);
    }
    let expected = [
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"200\",server_address=\"app.vestibule.test\"} 3",
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"404\",server_address=\"app.vestibule.test\"} 1",
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"403\",server_address=\"app.vestibule.test\"} 1",
        "vestibule_access_decisions_total{app=\"app\",decision=\"allowed\",reason=\"\"} 3",
        "vestibule_access_decisions_total{app=\"app\",decision=\"public\",reason=\"\"} 1",
        "vestibule_access_decisions_total{app=\"app\",decision=\"denied\",reason=\"groups\"} 1",
        "vestibule_policy_loaded{app=\"wiki\"} 1",
    ];
    // Cores hand their counts over once a second.
    let text = within("the counts", async {
        loop {
            let metrics = ask(&whole, "GET", "/metrics").await;
            assert_eq!(metrics.get("content-type").as_deref(), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
            let text = metrics.text();
            if expected.iter().all(|line| text.lines().any(|found| found == *line)) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(text.ends_with("# EOF\n"));
    let text = text.replace("metadata", "");
    for private in ["ada", "/missing", "secret", "127.0.0.1"] {
        assert!(!text.contains(private), "{private}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_can_be_turned_off() {
    let whole = Whole::with(|_| Vec::new(), |gateway| gateway.telemetry.metrics = false).await;
    assert_eq!(ask(&whole, "GET", "/metrics").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_it_is_alive_but_not_ready_and_lets_in_nobody_it_does_not_know() {
    let whole = Whole::new().await;
    let (known, unknown) = (whole.sign_in(APP).await, whole.sign_in(APP).await);
    assert_eq!(whole.get(&known, APP, "/").await.status(), 200);
    let file = format!("sqlite:{}", whole.folder.path().join("v.db").display());
    let mut store = SqliteConnection::connect(&file).await.unwrap();
    sqlx::query("alter table app_session rename to gone").execute(&mut store).await.unwrap();
    assert_eq!((ask(&whole, "GET", "/healthz").await.status(), ask(&whole, "GET", "/readyz").await.status()), (200, 503));
    assert_eq!(whole.get(&known, APP, "/").await.status(), 200, "memory knows this one");
    whole.app.take();
    let stolen = format!("Cookie: {COOKIE}=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n");
    let stranger = whole.ask(APP, get(&Person::default(), APP, "/", &stolen)).await;
    assert_eq!((stranger.status(), stranger.get("retry-after").as_deref()), (503, Some("10")));
    assert_eq!(whole.get(&Person::default(), APP, "/").await.status(), 401, "nobody is nobody, store or not");
    assert_eq!(whole.get(&Person::default(), APP, "/public").await.status(), 200);
    assert_eq!(whole.app.take().len(), 1);
    sqlx::query("alter table gone rename to app_session").execute(&mut store).await.unwrap();
    assert_eq!(ask(&whole, "GET", "/readyz").await.status(), 200);
    assert_eq!(whole.get(&unknown, APP, "/").await.status(), 200);
}
