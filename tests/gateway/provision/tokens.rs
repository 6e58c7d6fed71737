//! Tokens of an app's own, which are given back when the sessions that they were got for have ended.

use super::world::{World, person, policy, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use vestibule::fault::Incident;
use vestibule::policy::{Jwt, Policy, sign_in};

/// An app that exchanges a token for one of its own.
fn exchanging() -> Arc<Policy> {
    policy(|policy| {
        policy.sign_in.mode = sign_in::Mode::TokenExchange;
        let header = http::HeaderName::from_static("authorization");
        policy.jwt = Some(Jwt { header, prefix: String::new(), secret: None, audience: "wiki".into(), ttl_ms: 300_000, claims: Vec::new() });
    })
}

/// Everybody's session ends at once, and the app hangs.
#[tokio::test]
async fn tokens_are_given_back_two_at_a_time_and_hold_up_nothing_else() {
    let (world, policy) = (World::new().await, exchanging());
    let mut sign_ons = Vec::new();
    for _ in 0..40 {
        let session = world.session(&person("ada", "ada", &[])).await;
        let pass = ready(&world.ensure(&session, &policy).await);
        world.desk.enter(&session, &policy, &pass, None, Incident::from_bytes([1; 5])).await.unwrap();
        sign_ons.push(session.sign_on.id);
    }
    world.app.slow.store(true, Ordering::SeqCst);
    for id in sign_ons {
        world.desk.leave_ended(id);
    }
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.app.count("leave"), 2);
    // Whoever comes now is served, and so is what else nobody waits for.
    world.app.slow.store(false, Ordering::SeqCst);
    assert_eq!(ready(&world.sign_in(&person("bob", "bob", &[]), &policy).await).login, "bob");
    assert!(world.desk.take_stock(&policy).await.unwrap().is_some());
    assert_eq!(world.app.count("leave"), 2);
    while world.app.count("leave") < 40 {
        world.app.go.notify_waiters();
        tokio::task::yield_now().await;
    }
}
