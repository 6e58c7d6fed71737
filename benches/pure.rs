//! Pure functions of the hot path: the decision, and the walk of an authenticated request from its head to the head that goes upstream. Time and
//! allocations per call; `cargo bench --bench pure`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot be set up is over")]

use divan::{AllocProfiler, Bencher, black_box};
use http::{HeaderName, HeaderValue, Request};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::fault::Incident;
use vestibule::identity::{Groups, Identity, SubjectId};
use vestibule::policy::evaluate::{Facts, SignedIn, evaluate};
use vestibule::policy::path::CanonicalPath;
use vestibule::policy::{Policy, Surroundings, compile};
use vestibule::provision::{Asking, Ensured};
use vestibule::request::{Arrival, Doors, Limits, Route, Routes, Walked, walk};
use vestibule::session::{AppSession, LiveSessions, Pass};
use vestibule::source::{Problem, SourceFile};
use vestibule::state::{SecretHash, SignOn, SignOnId, StoreError};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const COOKIE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn main() {
    divan::main();
}

/// A policy with `sections` path sections that do not match `/d/home`.
fn policy(sections: usize) -> Policy {
    policy_with((0..sections).map(|number| format!("match = [\"/area-{number}/*\", \"/admin-{number}\"]\ngroups = [\"team-{number}\"]\n")))
}

/// A policy with these path sections.
fn policy_with(sections: impl Iterator<Item = String>) -> Policy {
    let mut text = String::from(
        "host = \"wiki.example.com\"\nupstream = \"http://127.0.0.1:9000\"\n[access]\ngroups = [\"staff\", \"dev-*\"]\n[headers]\nX-Remote-User = \"{username}\"\n",
    );
    for section in sections {
        let _infallible = write!(text, "[[path]]\n{section}");
    }
    let idps = ["corp".to_owned()];
    let (policy, problems) = compile(&SourceFile::new("wiki.toml", text), Surroundings { idps: Some(&idps), connectors: &[] });
    policy.unwrap_or_else(|| panic!("{}", problems.iter().map(Problem::render).collect::<String>()))
}

fn identity() -> Identity {
    Identity {
        subject: SubjectId { issuer: "https://idp.example".to_owned(), subject: "ada".to_owned() },
        idp: "corp".to_owned(),
        email: Some("ada@example.com".to_owned()),
        email_verified: true,
        name: None,
        given_name: None,
        family_name: None,
        username: Some("ada".to_owned()),
        groups: Groups::Known(vec!["everyone".to_owned(), "dev-data".to_owned(), "staff".to_owned()]),
        claims: serde_json::Map::new(),
    }
}

/// The decision for a policy of so many path sections; the goal is at most 2 µs and no allocation at 200.
#[divan::bench(args = [0, 10, 200])]
fn decision(bencher: Bencher<'_, '_>, sections: usize) {
    decided(bencher, &policy(sections), "/d/home");
}

/// As [`decision`] at 200, where eight of the sections match.
#[divan::bench]
fn decision_where_eight_match(bencher: Bencher<'_, '_>) {
    let (near, far) = ((0..8).map(|_| "/d/*".to_owned()), (8..200).map(|number| format!("/d{number}/*")));
    let sections = near.chain(far).map(|pattern| format!("match = [\"{pattern}\"]\ngroups = [\"staff\"]\n"));
    decided(bencher, &policy_with(sections), "/d/home");
}

/// As [`decision`] at 200, where every pattern begins with a wildcard: only their ends tell them apart.
#[divan::bench]
fn decision_with_leading_wildcards(bencher: Bencher<'_, '_>) {
    decided(bencher, &policy_with((0..200).map(|number| format!("match = [\"*.x{number}\"]\ngroups = [\"staff\"]\n"))), "/d/home");
}

/// As [`decision`] at 200, of a path that is not plain: every reading of it is looked up. Making it canonical allocates; the decision does not.
#[divan::bench]
fn decision_of_an_encoded_path(bencher: Bencher<'_, '_>) {
    decided(bencher, &policy(200), "/d/caf%C3%A9;x=1/home");
}

fn decided(bencher: Bencher<'_, '_>, policy: &Policy, path: &str) {
    let identity = identity();
    bencher.bench_local(|| {
        let path = CanonicalPath::parse(black_box(path)).unwrap();
        let facts = Facts { method: "GET", path: &path, peer: IpAddr::V4(Ipv4Addr::LOCALHOST), host: "wiki.example.com" };
        let signed_in = SignedIn { identity: &identity, auth_time: NOW };
        evaluate(policy, Some(signed_in), &facts, NOW).is_ok()
    });
}

/// Doors that answer from memory, as a core's own do.
struct Memory(Arc<AppSession>);

impl Doors for Memory {
    async fn session(&self, _cookie: SecretHash, _now: Timestamp) -> Result<Option<Arc<AppSession>>, StoreError> {
        Ok(Some(Arc::clone(&self.0)))
    }

    async fn token(&self, _: &str, _: &Arc<Route>, _: Incident, _: IpAddr) -> Result<Arc<AppSession>, vestibule::fault::PublicMessage> {
        unreachable!("no policy here takes tokens")
    }

    async fn ensure(&self, _: &Arc<AppSession>, _: &Arc<Route>, _: Incident, _: Asking) -> Ensured {
        unreachable!("the pass is good")
    }
}

/// A signed-in person's session, with a pass.
fn session(runtime: &tokio::runtime::Runtime, revision: &str) -> Arc<AppSession> {
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let entropy: Arc<dyn vestibule::entropy::Entropy> = Arc::new(vestibule::entropy::SeededEntropy::new(1));
        let sealer = vestibule::state::seal::Sealer::new(&"0123456789abcdef0123456789abcdef".to_owned().into(), entropy).unwrap();
        let url = format!("sqlite:{}", folder.path().join("bench.db").display());
        let store = Arc::new(vestibule::state::sqlite::Store::open(&url, sealer).await.unwrap());
        let limits = vestibule::config::Session { idle_ms: 1_800_000, max_ms: 43_200_000, cookie: "__Host-vestibule".to_owned(), same_site: "Lax" };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
        let live = LiveSessions::new(store, clock, limits);
        let sign_on = SignOn {
            id: SignOnId([1; 16]),
            identity: identity(),
            auth_time: NOW,
            created_at: NOW,
            last_seen: NOW,
            expires_at: NOW.plus_ms(43_200_000),
            id_token: None,
            idp_session: None,
        };
        live.begin_sign_on(SecretHash::of(b"auth"), sign_on).await.unwrap();
        let session = live.begin_app_session(SecretHash::of(COOKIE.as_bytes()), SignOnId([1; 16]), "wiki").await.unwrap().unwrap();
        let headers = vec![(HeaderName::from_static("x-remote-user"), HeaderValue::from_static("ada"))];
        let pass = Pass {
            policy_revision: revision.to_owned(),
            login: "ada".to_owned(),
            roles: Vec::new(),
            headers,
            path_headers: Vec::new(),
            good_until: NOW.plus_ms(3_600_000),
            landing: None,
            told: [0; 32],
        };
        session.pass.store(Some(Arc::new(pass)));
        session
    })
}

/// An authenticated request, from the head as a browser sends it to the head that goes to the application.
#[divan::bench]
fn walk_of_an_authenticated_request(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let policy = Arc::new(policy(0));
    let doors = Memory(session(&runtime, &policy.revision));
    let routes = Routes::new("auth.example.com", &[policy], [], Vec::new());
    let limits = Limits {
        body_bytes_max: 1 << 20,
        trusted_proxies: Vec::new(),
        cookie: "__Host-vestibule".to_owned(),
        idle_ms: 1_800_000,
        scheme: "https",
        bounds: vestibule::config::Bounds::default(),
    };
    let request = || {
        Request::get("/d/home?tab=1")
            .header("host", "wiki.example.com")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")
            .header("accept", "text/html,application/xhtml+xml")
            .header("accept-language", "en")
            .header("accept-encoding", "gzip, br")
            .header("sec-fetch-mode", "navigate")
            .header("referer", "https://wiki.example.com/")
            .header("cookie", format!("theme=dark; __Host-vestibule={COOKIE}"))
            .body(())
            .unwrap()
            .into_parts()
            .0
    };
    let here = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bencher.with_inputs(request).bench_local_values(|head| {
        let arrival = Arrival {
            head,
            body: (),
            body_bytes: Some(0),
            sni: Some("wiki.example.com".into()),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            peer_text: HeaderValue::from_static("127.0.0.1"),
            incident: Incident::from_bytes([1, 2, 3, 4, 5]),
        };
        let walked = here.block_on(walk(arrival, &routes, &limits, &doors, NOW));
        let Walked::Forward(upstream) = walked else { panic!("it is let through") };
        (upstream.errand().head(&limits), upstream)
    });
}
