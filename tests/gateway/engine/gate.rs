//! An admin API that is in trouble: it is left alone, and asked again by a probe.

use super::{ACCOUNT, House, Sent, answer, house, outcome, with_headers};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use vestibule::connector::{BreakerState, Connector as _, Outcome};
use vestibule::outbound::{OutboundError, OutboundResponse};

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
