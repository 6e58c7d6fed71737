//! An admin API that is in trouble: it is left alone, and asked again by a probe.

use super::{ACCOUNT, HEAD, House, Sent, answer, house, outcome, parse, with_headers};
use async_trait::async_trait;
use serde_json::{Map, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use vestibule::clock::{Clock, ManualClock};
use vestibule::connector::{Bounds, BreakerState, Connector, Engine, Limits, Outcome, ResolvedCredential};
use vestibule::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use vestibule::plan::Step;

const PROBE: &str = r#"
[[probe]]
name     = "ping"
effect   = "read"
get      = "/ping"
classify = [{ status = 200, outcome = "done" }]
[attributes.email]
[[update]]
name     = "put"
effect   = "write"
put      = "/users/{account.id}"
body     = { email = "{want.email}" }
classify = [{ status = 200, outcome = "updated" }, { status = 500, json = { "/e" = "taken" }, outcome = "conflict" }]
"#;

/// An app that answers everything with the status that is set; 0 is no answer at all.
fn app() -> (House, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let shown = Arc::clone(&status);
    let house = house(&format!("{PROBE}{ACCOUNT}"), move |_: &Sent, _| -> Result<OutboundResponse, OutboundError> {
        match shown.load(Ordering::SeqCst) {
            0 => Err(OutboundError::Timeout(5)),
            429 => with_headers(429, &[("retry-after", "20")], "{}"),
            status => answer(status, &json!({})),
        }
    });
    (house, status)
}

fn state(house: &House) -> BreakerState {
    house.engine.health().state
}

#[tokio::test]
async fn an_app_that_fails_is_left_alone_and_then_probed_by_one() {
    for failing in [503, 500, 0] {
        let (house, status) = app();
        status.store(failing, Ordering::SeqCst);
        for _ in 0..10 {
            assert_eq!(outcome(house.update("x@example.com").await), Outcome::InDoubt);
        }
        assert_eq!((house.wire.lines().len(), state(&house)), (10, BreakerState::Open));
        let refused = house.update("x@example.com").await.expect_err("left alone");
        assert!(refused.is_unsent() && refused.retry_after_ms == Some(5_000), "{refused:?}");
        assert!(house.wire.lines().is_empty(), "nothing is sent");
        house.clock.advance_ms(5_000);
        assert_eq!(state(&house), BreakerState::HalfOpen);
        let refused = house.update("x@example.com").await.expect_err("the probe fails");
        assert!(refused.is_unsent(), "{refused:?}");
        assert_eq!((house.wire.lines(), state(&house)), (vec!["GET /base/ping".to_owned()], BreakerState::Open));
        status.store(200, Ordering::SeqCst);
        house.clock.advance_ms(9_999);
        assert!(house.update("x@example.com").await.is_err(), "twice as long this time");
        house.clock.advance_ms(1);
        assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
        assert_eq!((house.wire.lines(), state(&house)), (vec!["GET /base/ping".to_owned(), "PUT /base/users/7".to_owned()], BreakerState::Closed));
    }
}

#[tokio::test]
async fn few_failures_among_many_calls_close_nothing() {
    let (house, status) = app();
    for call in 0..40 {
        status.store(if call % 3 == 0 { 503 } else { 200 }, Ordering::SeqCst);
        drop(house.update("x@example.com").await);
    }
    assert_eq!((house.wire.lines().len(), state(&house)), (40, BreakerState::Closed));
}

#[tokio::test]
async fn j4_a_refused_credential_is_not_shown_again_until_a_probe_works() {
    let (house, status) = app();
    status.store(401, Ordering::SeqCst);
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    assert_eq!((house.wire.lines().len(), state(&house)), (1, BreakerState::Quarantined));
    // What was refused may have been one call: a probe tells, and nothing else is sent.
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    assert_eq!(house.wire.lines(), ["GET /base/ping"]);
    for _ in 0..5 {
        assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    }
    assert!(house.wire.lines().is_empty());
    // An app that does not answer has not said that the credential is good.
    status.store(503, Ordering::SeqCst);
    house.clock.advance_ms(30_000);
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Retry);
    assert_eq!(state(&house), BreakerState::Quarantined);
    status.store(200, Ordering::SeqCst);
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth, "too soon");
    house.clock.advance_ms(30_000);
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    assert_eq!(state(&house), BreakerState::Closed);
}

#[tokio::test]
async fn somebody_who_asks_for_a_probe_opens_the_gate() {
    let (house, status) = app();
    status.store(403, Ordering::SeqCst);
    assert_eq!(outcome(house.engine.probe().await), Outcome::Reauth);
    assert_eq!(state(&house), BreakerState::Quarantined);
    status.store(200, Ordering::SeqCst);
    assert_eq!(house.engine.probe().await, Ok(()));
    assert_eq!(state(&house), BreakerState::Closed);
}

#[tokio::test]
async fn work_that_nobody_waits_for_does_as_the_app_wishes() {
    let (house, status) = app();
    let background = house.engine.background().expect("a lane");
    status.store(429, Ordering::SeqCst);
    let told = house.update("x@example.com").await.expect_err("too many");
    assert_eq!((told.outcome, told.retry_after_ms), (Outcome::Retry, Some(20_000)));
    status.store(200, Ordering::SeqCst);
    drop(house.wire.lines());
    let scope = super::nowhere();
    let later = background.get(super::ann(&scope, Some("7"))).await.expect_err("later");
    assert!(later.is_unsent() && later.retry_after_ms == Some(20_000), "{later:?}");
    assert!(house.wire.lines().is_empty());
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated), "a person is not kept waiting");
    house.clock.advance_ms(20_000);
    drop(background.get(super::ann(&scope, Some("7"))).await);
    assert_eq!(house.wire.lines().len(), 2);
}

#[tokio::test]
async fn what_is_done_again_has_a_budget() {
    let (house, _) = app();
    assert_eq!((0..50).filter(|_| house.engine.may_retry()).count(), 10);
    for _ in 0..30 {
        assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    }
    assert_eq!((0..50).filter(|_| house.engine.may_retry()).count(), 1, "one for thirty calls");
}

#[tokio::test]
async fn an_app_without_a_probe_is_asked_by_the_next_call() {
    let text = PROBE.split_once("[attributes.email]").expect("a probe").1;
    let house = house(&format!("[attributes.email]{text}{ACCOUNT}"), |_, before| answer(if before == 0 { 401 } else { 200 }, &json!({})));
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    assert_eq!(state(&house), BreakerState::Quarantined);
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    assert_eq!(state(&house), BreakerState::Closed);
}

// --- concurrency and rate of [provision] ----------------------------------------------------------

/// An app that answers when it is let, and counts who is inside.
#[derive(Debug, Default)]
struct Slow {
    inside: AtomicUsize,
    most: AtomicUsize,
    go: AtomicBool,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, _: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        while !self.go.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
        answer(200, &json!({}))
    }
}

/// An engine whose callers wait at most so long.
fn bounded(bounds: Bounds, timeout_ms: u64, transport: Arc<dyn Transport>, clock: &Arc<ManualClock>) -> Engine {
    let model = Arc::new(parse(&format!("{HEAD}{PROBE}{ACCOUNT}")).expect("a connector"));
    let (limits, base) = (Limits { bounds, timeout_ms, ..Limits::default() }, "http://app.example/base".parse().expect("url"));
    let at = Arc::clone(clock) as Arc<dyn Clock>;
    Engine::new(model, None, base, ResolvedCredential::default(), Map::new(), limits, transport, at)
}

#[tokio::test]
async fn concurrency_bounds_what_is_under_way_at_once_and_the_background_has_half_as_many_of_its_own() {
    let slow = Arc::new(Slow::default());
    let engine = bounded(Bounds { concurrency: 4, per_second: None }, 5_000, slow.clone(), &Arc::default());
    let background = engine.background().expect("a lane");
    let (scope, mut asked) = (super::nowhere(), tokio::task::JoinSet::new());
    for n in 0..20 {
        let (engine, background, scope) = (engine.clone(), Arc::clone(&background), scope.clone());
        asked.spawn(async move {
            let context = super::ann(&scope, Some("7"));
            drop(if n % 2 == 0 { engine.get(context).await } else { background.get(context).await });
        });
    }
    // Everybody has had their turn many times over, and nobody is answered.
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.inside.load(Ordering::SeqCst), 4 + 2);
    slow.go.store(true, Ordering::SeqCst);
    asked.join_all().await;
    assert_eq!((slow.most.load(Ordering::SeqCst), slow.inside.load(Ordering::SeqCst)), (6, 0));
}

#[tokio::test]
async fn rate_is_so_many_calls_a_second_and_what_finds_no_second_is_not_sent() {
    let (app, _) = app();
    let clock = Arc::clone(&app.clock);
    let engine = bounded(Bounds { concurrency: 8, per_second: Some(4) }, 20, app.wire.clone(), &clock);
    let scope = super::nowhere();
    let calls = async |engine: &dyn Connector, times: usize| {
        let mut in_vain = 0;
        for _ in 0..times {
            let step = Step::Update([("email".to_owned(), json!("x@example.com"))].into());
            in_vain += match engine.apply(super::ann(&scope, Some("7")), &step).await {
                Ok((came, _)) => usize::from(came != Outcome::Updated),
                Err(trouble) => usize::from(trouble.outcome == Outcome::Retry),
            };
        }
        (app.wire.lines().len(), in_vain)
    };
    // A second's worth at once, and none more while the clock stands still.
    assert_eq!(calls(&engine, 6).await, (4, 2));
    for (wait_ms, sent) in [(249, 0), (1, 1), (500, 2), (9_000, 4)] {
        clock.advance_ms(wait_ms);
        assert_eq!(calls(&engine, 5).await, (sent, 5 - sent), "{wait_ms} ms later");
    }
    // Work that nobody waits for leaves half of it to people.
    clock.advance_ms(1_000);
    let background = engine.background().expect("a lane");
    assert_eq!(calls(background.as_ref(), 4).await, (2, 2));
    assert_eq!(calls(&engine, 4).await, (2, 2));
    // Whoever waits when their second comes is sent then.
    let patient = bounded(Bounds { concurrency: 8, per_second: Some(50) }, 5_000, app.wire.clone(), &clock);
    assert_eq!(calls(&patient, 50).await, (50, 0));
    let (waited, ()) = tokio::join!(calls(&patient, 1), async {
        tokio::task::yield_now().await;
        assert!(app.wire.lines().is_empty(), "not before");
        clock.advance_ms(20);
    });
    assert_eq!(waited, (1, 0));
}
