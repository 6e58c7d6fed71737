//! Reloads under load: counted, not timed.

use super::Followed;
use crate::whole::{APP, WIKI, get, policy};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const CLIENTS: usize = 6;
const RELOADS: usize = 100;

/// Clients ask without pause while the configuration changes a hundred times, every fifth time for the worse: no request fails, and each is of one version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_configuration_changes_under_it() {
    let followed = Arc::new(Followed::new().await);
    let version = |number: usize| policy(APP, followed.app.at).replace("[headers]\n", &format!("[headers]\nX-Version = \"{number}\"\n"));
    followed.write("policies/app.toml", version(0));
    assert_eq!(followed.reloaded().await, ["app.toml changed loaded"]);
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        // One of them at the app whose policy nobody touches.
        let host = if number == 0 { WIKI } else { APP };
        let (followed, over, asked) = (Arc::clone(&followed), Arc::clone(&over), Arc::clone(&asked));
        clients.push(tokio::spawn(async move {
            let person = followed.street.sign_in(host).await;
            let mut wire = followed.street.connect(host).await;
            let mut statuses = Vec::new();
            while !over.load(Ordering::Relaxed) {
                wire.send(get(&person, host, "/", "")).await;
                statuses.push(wire.answer(false).await.status());
                asked.fetch_add(1, Ordering::Relaxed);
            }
            statuses
        }));
    }
    for round in 0..RELOADS {
        let before = asked.load(Ordering::Relaxed);
        let broken = round % 5 == 4;
        followed.write("policies/app.toml", if broken { "host = ".to_owned() } else { version(round % 2) });
        assert_eq!(followed.reload().await.ok, !broken, "{round}");
        // Each version is asked for something before the next one comes.
        while asked.load(Ordering::Relaxed) < before + CLIENTS {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for client in clients {
        let statuses = client.await.unwrap();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        answered += statuses.len();
    }
    assert!(answered >= RELOADS * CLIENTS, "{answered}");
    let mut versions = [0; 2];
    let mut others = 0;
    for seen in followed.app.take() {
        match seen.get("x-version").as_deref() {
            Some("0") => versions[0] += 1,
            Some("1") => versions[1] += 1,
            _ => {
                assert_eq!(seen.get("host").as_deref(), Some(WIKI), "of neither version: {seen:?}");
                others += 1;
            }
        }
    }
    assert_eq!(versions[0] + versions[1] + others, answered, "every answer is the application's");
    assert!(versions.iter().all(|count| *count > 0) && others > 0, "{versions:?} {others}");
}
