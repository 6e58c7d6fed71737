//! An admin API that is in trouble: it is left alone, and asked again by a probe.

use super::{ACCOUNT, HEAD, House, Sent, answer, house, outcome, parse, with_headers};
use async_trait::async_trait;
use futures_util::future::join_all;
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
    // What was refused may have been one call: a probe tells.
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    assert_eq!((house.wire.lines(), state(&house)), (vec!["PUT /base/users/7".to_owned(), "GET /base/ping".to_owned()], BreakerState::Quarantined));
    for _ in 0..5 {
        assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    }
    assert!(house.wire.lines().is_empty() && house.engine.is_shut());
    // An app that does not answer has not said that the credential is good.
    status.store(503, Ordering::SeqCst);
    house.clock.advance_ms(30_000);
    assert!(!house.engine.is_shut(), "somebody has to ask");
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Retry);
    assert_eq!((house.wire.lines(), state(&house), house.engine.is_shut()), (vec!["GET /base/ping".to_owned()], BreakerState::Quarantined, true));
    status.store(200, Ordering::SeqCst);
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth, "too soon");
    house.clock.advance_ms(30_000);
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    assert_eq!((state(&house), house.engine.is_shut()), (BreakerState::Closed, false));
}

/// A firewall in front of the app, or the app itself, refuses calls about one person (403), and accepts the credential.
fn picky(probe: bool) -> House {
    let text = if probe { PROBE } else { PROBE.split_once("[attributes.email]").expect("a probe").1 };
    let head = if probe { "" } else { "[attributes.email]" };
    house(&format!("{head}{text}{ACCOUNT}"), |sent, _| {
        answer(if sent.body.contains("select") { 403 } else { 200 }, &json!({ "id": "7", "login": "ann" }))
    })
}

#[tokio::test]
async fn a_call_that_is_refused_while_the_credential_is_good_is_denied_to_this_person_alone() {
    for probe in [true, false] {
        let house = picky(probe);
        for _ in 0..20 {
            house.engine.get(super::ann(&super::nowhere(), Some("7"))).await.expect("ann");
            let denied = house.update("select@example.com").await.expect_err("refused");
            assert_eq!((denied.outcome, denied.status), (Outcome::Denied, Some(403)), "{denied:?}");
            assert_eq!((state(&house), house.engine.is_shut()), (BreakerState::Closed, false), "with a probe: {probe}");
            assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
        }
        // Nobody waits for it: tried again later, and never taken for a no of the app's.
        let background = house.engine.background().expect("a lane");
        background.get(super::ann(&super::nowhere(), Some("7"))).await.expect("ann");
        let step = Step::Update([("email".to_owned(), json!("select@example.com"))].into());
        let later = background.apply(super::ann(&super::nowhere(), Some("7")), &step).await.expect_err("refused");
        assert_eq!((later.outcome, state(&house)), (Outcome::Reauth, BreakerState::Closed));
    }
}

#[tokio::test]
async fn of_many_who_are_refused_at_once_one_asks_by_a_probe() {
    let (house, status) = app();
    status.store(403, Ordering::SeqCst);
    let (a, b, c) = tokio::join!(house.update("a@example.com"), house.update("b@example.com"), house.update("c@example.com"));
    assert_eq!([outcome(a), outcome(b), outcome(c)], [Outcome::Reauth; 3]);
    assert_eq!(house.wire.lines().iter().filter(|line| line.ends_with("/ping")).count(), 1);
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
async fn an_app_that_asks_to_be_left_alone_is_left_alone() {
    let (app, status) = app();
    // Whoever waits does so for 20 ms here.
    let engine = bounded(Bounds::default(), 20, app.wire.clone(), &app.clock);
    let background = engine.background().expect("a lane");
    let scope = super::nowhere();
    let step = Step::Update([("email".to_owned(), json!("x@example.com"))].into());
    let update = async || engine.apply(super::ann(&scope, Some("7")), &step).await.map(|(outcome, _)| outcome);
    status.store(429, Ordering::SeqCst);
    let told = update().await.expect_err("too many");
    assert_eq!((told.outcome, told.retry_after_ms, app.wire.lines().len()), (Outcome::Retry, Some(20_000), 1));
    let later = background.get(super::ann(&scope, Some("7"))).await.expect_err("later");
    assert!(later.is_unsent() && later.retry_after_ms == Some(20_000), "{later:?}");
    // Fifty people come: they wait in their lane, and are told how much longer it is.
    for held in join_all((0..50).map(|_| update())).await {
        let held = held.expect_err("held");
        assert!(held.is_unsent() && held.retry_after_ms == Some(10_000), "{held:?}");
    }
    assert!(app.wire.lines().is_empty(), "nothing is sent");
    assert_eq!(outcome(engine.probe().await), Outcome::Retry);
    assert_eq!(app.wire.lines(), ["GET /base/ping"], "but for whoever asks how it is");
    // One of them is let through after ten seconds, and is told the same.
    app.clock.advance_ms(10_000);
    let came = join_all((0..50).map(|_| update())).await;
    assert_eq!((app.wire.lines().len(), came.iter().filter(|came| came.is_err()).count()), (1, 50));
    // The next one is served: so are all who wait.
    status.store(200, Ordering::SeqCst);
    app.clock.advance_ms(10_000);
    let came = join_all((0..50).map(|_| update())).await;
    assert_eq!((app.wire.lines().len(), came), (50, vec![Ok(Outcome::Updated); 50]));
    // The background keeps the longest wish to its end.
    assert!(background.get(super::ann(&scope, Some("7"))).await.expect_err("later").is_unsent());
    app.clock.advance_ms(20_000);
    drop(background.get(super::ann(&scope, Some("7"))).await);
    assert_eq!(app.wire.lines().len(), 1);
}

/// A short wish is simply waited out.
#[tokio::test]
async fn people_who_wait_in_their_lane_are_served_when_the_wish_is_over() {
    let (app, status) = app();
    status.store(429, Ordering::SeqCst);
    assert_eq!(outcome(app.update("x@example.com").await), Outcome::Retry);
    app.clock.advance_ms(19_990);
    status.store(200, Ordering::SeqCst);
    // The second trial of the twenty seconds is due: taken by one, who is served at once, and the others with them.
    let came = join_all((0..20).map(|_| app.update("x@example.com"))).await;
    assert_eq!(came, vec![Ok(Outcome::Updated); 20]);
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
async fn j4_an_app_without_a_probe_is_asked_by_one_call_after_a_while() {
    let text = PROBE.split_once("[attributes.email]").expect("a probe").1;
    let status = Arc::new(AtomicU16::new(401));
    let shown = Arc::clone(&status);
    let house = house(&format!("[attributes.email]{text}{ACCOUNT}"), move |_, _| answer(shown.load(Ordering::SeqCst), &json!({})));
    for round in 0..3 {
        assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
        assert_eq!((house.wire.lines().len(), state(&house), house.engine.is_shut()), (1, BreakerState::Quarantined, true), "round {round}");
        for _ in 0..5 {
            assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
        }
        assert!(house.wire.lines().is_empty(), "round {round}");
        house.clock.advance_ms(30_000);
    }
    status.store(200, Ordering::SeqCst);
    // Several at once: one of them is the trial. (What it shows is no account, but that it shows something.)
    let scope = super::nowhere();
    let get = || house.engine.get(super::ann(&scope, Some("7")));
    let (a, b) = tokio::join!(get(), get());
    assert_eq!((outcome(a), outcome(b), house.wire.lines().len(), state(&house)), (Outcome::Retry, Outcome::Reauth, 1, BreakerState::Closed));
    assert_eq!(house.update("x@example.com").await, Ok(Outcome::Updated));
    drop(house.wire.lines());
    // Ends while people are at work.
    status.store(401, Ordering::SeqCst);
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Denied);
    assert_eq!(outcome(house.update("x@example.com").await), Outcome::Reauth);
    assert_eq!((house.wire.lines().len(), state(&house)), (2, BreakerState::Quarantined));
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

/// What is given back to the app itself goes through the same lane.
#[tokio::test]
async fn signing_people_out_at_an_app_that_hangs_holds_few_connections() {
    const LEAVE: &str = "[[leave]]\nname = \"out\"\neffect = \"write\"\npost = \"/logout\"\nclassify = [{ status = 200, outcome = \"done\" }]\n";
    let slow = Arc::new(Slow::default());
    let model = Arc::new(parse(&format!("{HEAD}{PROBE}{ACCOUNT}{LEAVE}")).expect("a connector"));
    let limits = Limits { bounds: Bounds { concurrency: 4, per_second: None }, ..Limits::default() };
    let (base, clock) = ("http://app.example/base".parse().expect("url"), Arc::<ManualClock>::default() as Arc<dyn Clock>);
    let engine = Engine::new(model, None, base, ResolvedCredential::default(), Map::new(), limits, slow.clone(), clock);
    let background = engine.background().expect("a lane");
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let background = Arc::clone(&background);
        asked.spawn(async move {
            let (scope, at) = (super::nowhere(), "http://app.example/".parse().expect("url"));
            background.leave(super::ann(&scope, Some("7")), &at, &"theirs".to_owned().into()).await.map_err(|trouble| trouble.outcome)
        });
    }
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.inside.load(Ordering::SeqCst), 2);
    slow.go.store(true, Ordering::SeqCst);
    assert!(asked.join_all().await.iter().all(|came| *came == Ok(Outcome::Done)));
    assert_eq!(slow.most.load(Ordering::SeqCst), 2);
}
