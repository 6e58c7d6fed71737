//! A policy's own tests.
//!
//! Lives here: [`run`], which plays every `[[test]]` of a policy through the functions of live traffic (decision, mapping, and the account where a test asks about
//! it), and [`gate`], what the loader does with the result: a policy whose tests fail is not loaded. Every difference is a [`Problem`] at the place in
//! the file that expects otherwise, and says what decided. `expect.rs` compares; this file finds out what came.

use super::app::App;
use super::because::Because;
use super::expect;
use super::perform::{Performance, Scene, perform};
use super::person::of_test_user;
use super::records::Records;
use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::policy::evaluate::{Facts, Refusal, Rule, SignedIn, evaluate};
use crate::policy::mapping::{Mapped, MappingError, desire};
use crate::policy::{CanonicalPath, Policy, PolicyTest};
use crate::source::{Problem, SourceFile};
use core::net::{IpAddr, Ipv4Addr};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When tests take place: no test depends on the day it is run.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// Where people are unless a test says otherwise (RFC 5737).
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A test that was run.
#[derive(Debug)]
pub struct Ran {
    /// What it shows.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// The path that is asked for.
    pub path: String,
    /// What was expected otherwise; empty: it passed.
    pub problems: Vec<Problem>,
    /// How long it took.
    pub took: Duration,
    /// What came.
    pub came: Came,
}

/// What came of a test's request.
#[derive(Debug)]
pub struct Came {
    /// The decision.
    pub verdict: Verdict,
    /// The person who asked.
    pub identity: Option<Arc<Identity>>,
    /// What the policy makes of them, when they may enter.
    pub mapped: Option<Mapped>,
    /// The account, when the test asks about it.
    pub performance: Option<Performance>,
}

/// A decision, with what a person without a usable account meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They enter.
    Allow(Rule),
    /// Anybody enters.
    Public(Rule),
    /// They are sent to sign in.
    Login,
    /// As [`Verdict::Login`], because the sign-in is too old.
    Again,
    /// They do not enter.
    Deny {
        /// The key of the policy that refuses, as `expect.because` has it.
        because: &'static str,
        /// The section, when one does.
        rule: Option<Rule>,
        /// In words, when the key does not say it all.
        why: Option<String>,
    },
    /// The test itself cannot be played.
    Unplayable(String),
}

impl Came {
    /// Calls to the admin API, `METHOD /path`.
    pub fn calls(&self) -> Vec<String> {
        let calls = self.performance.as_ref().map(|performance| performance.calls.as_slice()).unwrap_or_default();
        calls.iter().map(|call| format!("{} {}", call.method, call.path)).collect()
    }
}

/// Runs every test of `policy`, compiled from `file`, in the order of the file.
pub fn run(policy: &Arc<Policy>, file: &SourceFile) -> Vec<Ran> {
    let mut played: Vec<(Came, Duration)> = policy.tests.iter().map(|test| timed(|| decide(policy, test))).collect();
    let asked: Vec<usize> =
        policy.tests.iter().zip(&played).enumerate().filter(|(_, (test, (came, _)))| asks(policy, test, came)).map(|(at, _)| at).collect();
    for at in asked {
        let (Some(test), Some((came, took))) = (policy.tests.get(at), played.get_mut(at)) else { continue };
        let Some(scene) = scene(policy, test, came) else { continue };
        let (performance, more) = timed(|| perform(std::slice::from_ref(&scene), NOW).pop());
        *took += more;
        if let Some(performance) = performance {
            settle(came, performance);
        }
    }
    let ran = policy.tests.iter().zip(played).map(|(test, (came, took))| Ran {
        name: test.name.clone(),
        place: test.place.clone(),
        path: path_of(test).to_owned(),
        problems: expect::compare(file, policy, test, &came),
        took,
        came,
    });
    ran.collect()
}

/// What keeps `policy` from being loaded: the failures of its tests.
pub fn gate(policy: &Arc<Policy>, file: &SourceFile) -> Vec<Problem> {
    if policy.tests.is_empty() {
        return Vec::new();
    }
    run(policy, file).into_iter().flat_map(|ran| ran.problems).collect()
}

/// The path that a test asks for: no query ever takes part in a decision.
pub(super) fn path_of(test: &PolicyTest) -> &str {
    test.get.split('?').next().unwrap_or_default()
}

fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let done = what();
    (done, begun.elapsed())
}

/// The decision, and what the policy makes of the person.
fn decide(policy: &Policy, test: &PolicyTest) -> Came {
    let unplayable = |why: String| Came { verdict: Verdict::Unplayable(why), identity: None, mapped: None, performance: None };
    let identity = match test.user.as_ref().map(|user| of_test_user(user, &[], policy)).transpose() {
        Ok(identity) => identity.map(Arc::new),
        Err(problem) => return unplayable(problem.to_string()),
    };
    let raw = path_of(test);
    let path = match CanonicalPath::parse_as(raw, policy.encoded_slashes) {
        Ok(path) => path,
        Err(problem) => return unplayable(format!("`{raw}` is answered with 400: {problem}")),
    };
    let facts = Facts { method: "GET", path: &path, peer: test.ip.unwrap_or(PEER), host: &policy.host };
    let signed_in = identity.as_deref().map(|identity| SignedIn { identity, auth_time: NOW.plus_ms(-test.age_ms) });
    let mut mapped = None;
    let verdict = match evaluate(policy, signed_in, &facts, NOW) {
        Ok(admitted) if admitted.public => Verdict::Public(admitted.rule),
        Ok(admitted) => match identity.as_deref().map(|identity| desire(policy, identity, None)) {
            None => Verdict::Login,
            Some(Err(error)) => unmapped(&error),
            Some(Ok(made)) => {
                mapped = Some(made);
                Verdict::Allow(admitted.rule)
            }
        },
        Err(Refusal::LoginRequired) => Verdict::Login,
        Err(Refusal::TokenRequired) => Verdict::Deny { because: "auth", rule: None, why: Some("only access tokens are accepted here".to_owned()) },
        Err(Refusal::FreshLogin { .. }) => Verdict::Again,
        Err(Refusal::Denied { reason, rule }) => Verdict::Deny { because: reason.key(), rule: Some(rule), why: None },
    };
    Came { verdict, identity, mapped, performance: None }
}

fn unmapped(error: &MappingError) -> Verdict {
    let because = if matches!(error, MappingError::Missing(_)) { "required" } else { "unusable" };
    Verdict::Deny { because, rule: None, why: Some(error.to_string()) }
}

/// Whether the test asks about what only the account, or what the app is told, can answer.
fn asks(policy: &Policy, test: &PolicyTest, came: &Came) -> bool {
    let told = ["landing", "headers", "jwt"].iter().any(|key| test.expect.contains_key(*key));
    let because_of_it = test.expect.get("because").and_then(Value::as_str).is_some_and(Because::asks_the_account);
    // Where accounts are switched off, or not made, entering hangs on the account.
    let may_refuse = policy.provision.as_ref().is_some_and(|provision| !provision.switches.enabled || !provision.switches.mode.creates());
    matches!(came.verdict, Verdict::Allow(_)) && (test.calls.is_some() || test.existing.is_some() || told || because_of_it || may_refuse)
}

fn scene(policy: &Arc<Policy>, test: &PolicyTest, came: &Came) -> Option<Scene> {
    let accounts = match &test.existing {
        None => Vec::new(),
        Some(Value::Array(several)) => several.clone(),
        Some(one) => vec![one.clone()],
    };
    let base = policy.provision.as_ref().map(|provision| provision.url.clone()).or_else(|| url::Url::parse("http://localhost").ok())?;
    Some(Scene {
        policy: Arc::clone(policy),
        identity: Arc::clone(came.identity.as_ref()?),
        records: Arc::new(Records::default()),
        app: Arc::new(App::with(&base, accounts)),
        real: None,
    })
}

/// What became of the account is part of the answer.
fn settle(came: &mut Came, performance: Performance) {
    match (&performance.ensured, &performance.mapped) {
        (Ok(_), Ok(mapped)) => came.mapped = Some(mapped.clone()),
        (Ok(_), Err(error)) => came.verdict = unmapped(error),
        (Err(message), _) => {
            came.verdict = Verdict::Deny { because: Because::of(*message).word(), rule: None, why: performance.why() };
            came.mapped = None;
        }
    }
    came.performance = Some(performance);
}
