//! Two gateways on one store that sign one person in by a form at the same moment: who makes the password, who sets it, and whose session lives.

use super::world::{App, World, person, policy, ready};
use async_trait::async_trait;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use vestibule::clock::ManualClock;
use vestibule::connector::{Connector, Context, DoorKey, Entered, Observation, Outcome, Trouble};
use vestibule::fault::Incident;
use vestibule::plan::{Account, Step};
use vestibule::policy::{MatchBy, sign_in};
use vestibule::provision::Sleeper;
use vestibule::session::Got;

/// An app with a form, which ends a person's sessions when their password is set, be it the same one (Redmine does).
#[derive(Debug, Default)]
struct Form {
    password: Mutex<Option<String>>,
    sessions: Mutex<Vec<HeaderValue>>,
    /// Passwords that were set, and sign-ins that came to nothing.
    sets: Mutex<Vec<String>>,
    refusals: Mutex<usize>,
}

impl Form {
    fn set(&self, password: &SecretString) {
        *self.password.lock().unwrap() = Some(password.expose_secret().to_owned());
        self.sets.lock().unwrap().push(password.expose_secret().to_owned());
        self.sessions.lock().unwrap().clear();
    }

    fn begin(&self, name: &str, password: &SecretString) -> Option<HeaderValue> {
        if self.password.lock().unwrap().as_deref() != Some(password.expose_secret()) {
            *self.refusals.lock().unwrap() += 1;
            return None;
        }
        let cookie = HeaderValue::try_from(format!("sid={name}; Path=/")).unwrap();
        self.sessions.lock().unwrap().push(cookie.clone());
        Some(cookie)
    }

    fn knows(&self, got: &Got) -> bool {
        self.sessions.lock().unwrap().contains(&got.cookies[0])
    }
}

/// Where the second gateway is when the first one, which has made a password and was about to set it, does all that it has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It waits for the other one.
    Waiting,
    /// It has been refused at the form.
    Refused,
    /// Nowhere: the first one goes no further.
    Nowhere,
}

/// What holds the first gateway up.
#[derive(Debug)]
struct Turns {
    place: Place,
    clock: Arc<ManualClock>,
    /// The first one is about to set its password.
    made: Notify,
    /// …and may.
    go: Notify,
    done: Notify,
    waited_ms: Mutex<u64>,
    gone_on: Mutex<bool>,
}

impl Turns {
    /// The second one is at `place`.
    async fn at(&self, place: Place) {
        if self.place == place && !std::mem::replace(&mut *self.gone_on.lock().unwrap(), true) {
            self.go.notify_one();
            self.done.notified().await;
        }
    }
}

#[async_trait]
impl Sleeper for Turns {
    async fn sleep_ms(&self, ms: u64) {
        *self.waited_ms.lock().unwrap() += ms;
        self.clock.advance_ms(i64::try_from(ms).unwrap());
        self.at(Place::Waiting).await;
    }
}

/// The app as one of the two gateways sees it.
#[derive(Debug)]
struct Door {
    name: &'static str,
    is_first: bool,
    app: Arc<App>,
    form: Arc<Form>,
    turns: Arc<Turns>,
}

#[async_trait]
impl Connector for Door {
    fn ways(&self) -> Vec<MatchBy> {
        self.app.ways()
    }

    async fn probe(&self) -> Result<(), Trouble> {
        self.app.probe().await
    }

    async fn find(&self, context: Context<'_>, by: &[MatchBy]) -> Result<Observation, Trouble> {
        self.app.find(context, by).await
    }

    async fn get(&self, context: Context<'_>) -> Result<Observation, Trouble> {
        self.app.get(context).await
    }

    async fn apply(&self, context: Context<'_>, step: &Step) -> Result<(Outcome, Option<Account>), Trouble> {
        self.app.apply(context, step).await
    }

    async fn set_password(&self, _context: Context<'_>, password: &SecretString) -> Result<Outcome, Trouble> {
        if self.is_first {
            self.turns.made.notify_one();
            self.turns.go.notified().await;
        }
        self.form.set(password);
        Ok(Outcome::Updated)
    }

    async fn enter(&self, _context: Context<'_>, _at: &url::Url, key: DoorKey<'_>) -> Result<Entered, Trouble> {
        if let Some(cookie) = self.form.begin(self.name, key.secret) {
            return Ok(Entered { cookies: vec![cookie], token: None });
        }
        if !self.is_first {
            self.turns.at(Place::Refused).await;
        }
        Err(Trouble { step: "enter".to_owned(), outcome: Outcome::Denied, retry_after_ms: None, status: None, detail: "wrong password".to_owned() })
    }
}

/// What became of both, and of the app: sign-ins that were refused, milliseconds that the second one waited.
async fn both_at_once(place: Place) -> (usize, u64) {
    let world = World::new().await;
    let bridged = policy(|policy| (policy.sign_in.mode, policy.sign_in.rotate_ms) = (sign_in::Mode::SessionBridge, 30 * 86_400_000));
    let (form, identity) = (Arc::new(Form::default()), person("ada", "ada", &["g-devs"]));
    let (laptop, phone) = (world.session(&identity).await, world.session(&identity).await);
    let pass = ready(&world.ensure(&laptop, &bridged).await);
    let turns = Arc::new(Turns {
        place,
        clock: Arc::clone(&world.clock),
        made: Notify::new(),
        go: Notify::new(),
        done: Notify::new(),
        waited_ms: Mutex::default(),
        gone_on: Mutex::default(),
    });
    let gateway = |name: &'static str, is_first: bool, dice| {
        let door = Door { name, is_first, app: Arc::clone(&world.app), form: Arc::clone(&form), turns: Arc::clone(&turns) };
        world.another_with(name, dice, Arc::new(door), turns.clone())
    };
    let (first, second) = (gateway("first", true, 1), gateway("second", false, 2));
    let incident = Incident::from_bytes([1; 5]);
    let (policy, told, ended) = (Arc::clone(&bridged), Arc::clone(&pass), Arc::clone(&turns));
    let entering = tokio::spawn(async move {
        let got = first.enter(&laptop, &policy, &told, None, incident).await;
        ended.done.notify_one();
        got
    });
    turns.made.notified().await;
    let on_phone = second.enter(&phone, &bridged, &pass, None, incident).await.expect("the second one lets them in");
    if place != Place::Nowhere {
        // Where it has not been already.
        turns.go.notify_one();
        let on_laptop = entering.await.unwrap().expect("the first one lets them in");
        assert!(form.knows(&on_laptop), "{place:?}: the second one ended what the first had begun");
    }
    assert!(form.knows(&on_phone), "{place:?}");
    let sets = form.sets.lock().unwrap().clone();
    assert_eq!(sets.len(), 1, "{place:?}: it was set once: {sets:?}");
    (*form.refusals.lock().unwrap(), *turns.waited_ms.lock().unwrap())
}

#[tokio::test]
async fn of_two_gateways_that_sign_a_person_in_at_once_one_sets_the_password_and_the_other_waits_for_it() {
    // Told as soon as the other one looks: nobody tries a password that the app does not have yet.
    let (refusals, waited_ms) = both_at_once(Place::Waiting).await;
    assert!(refusals == 0 && waited_ms < 1_000, "{refusals} {waited_ms}");
    // The first one is so slow that the second tries, and is quicker than the second sees that it was refused.
    let (refusals, waited_ms) = both_at_once(Place::Refused).await;
    assert!(refusals == 1 && (5_000..30_000).contains(&waited_ms), "{refusals} {waited_ms}");
}

#[tokio::test]
async fn a_password_whose_maker_was_killed_is_set_by_whoever_waited_long_enough() {
    let (refusals, waited_ms) = both_at_once(Place::Nowhere).await;
    assert!(refusals == 1 && (5_000..30_000).contains(&waited_ms), "{refusals} {waited_ms}");
}
