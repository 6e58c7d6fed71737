//! A crowd at the door, through the whole gateway: sockets, proxy, desk, engine, and an admin API over HTTP.

use crate::fake_admin::{FakeAdmin, Fault, Flavour};
use crate::whole::{ADMIN_TOKEN, APP, Answer, Whole, answering, policy_with, within};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

const PEOPLE: usize = 50;
const REQUESTS: usize = 20;

/// Requests that reached the app by person, and those that should not have.
#[derive(Default)]
struct Arrived {
    by_person: BTreeMap<String, usize>,
    too_early: Vec<String>,
}

/// What an app says that looks, at every request, whether whoever is named has their account and their group.
fn look(admin: &FakeAdmin, arrived: &Mutex<Arrived>, request: &Answer) -> String {
    let who = request.all("x-remote-user").join(", ");
    let account = admin.users().into_iter().find(|user| user.login == who);
    let is_there = account.is_some_and(|user| admin.groups().iter().any(|group| group.members.contains(&user.id)));
    let mut arrived = arrived.lock().unwrap();
    if !is_there {
        arrived.too_early.push(format!("{who}: {}", request.line()));
    }
    *arrived.by_person.entry(who.clone()).or_default() += 1;
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{who}", who.len())
}

/// People who have signed in and have asked the app for nothing yet: there are no accounts.
struct Crowd {
    admin: FakeAdmin,
    arrived: Arc<Mutex<Arrived>>,
    doors: Vec<(String, String, http2::SendRequest<Full<Bytes>>)>,
    whole: Whole,
}

/// A navigation, as a browser sends it: what begins the making of an account.
fn page(path: &str, cookies: &str) -> Request<Full<Bytes>> {
    let request = Request::get(format!("https://{APP}{path}")).header("cookie", cookies);
    request.header("sec-fetch-mode", "navigate").header("accept", "text/html").body(Full::default()).unwrap()
}

impl Crowd {
    async fn at_the_door(people: usize, keys: &str) -> Self {
        let admin = FakeAdmin::start(Flavour::Scim).await;
        admin.require(&format!("Bearer {ADMIN_TOKEN}"));
        admin.add_group("g1", "devs");
        let arrived: Arc<Mutex<Arrived>> = Arc::default();
        let (looks, counted) = (admin.clone(), Arc::clone(&arrived));
        let app = answering(move |request| look(&looks, &counted, &request)).await;
        let sections = format!(
            "[user]\nname = \"{{username}}\"\n[roles]\nmap = {{ g-devs = \"devs\" }}\n\
             [provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\n{keys}\n",
            admin.url
        );
        let whole = Whole::with(|_| vec![("app", policy_with(APP, app, "", &sections))], |_| {}).await;
        let mut doors = Vec::new();
        for n in 0..people {
            whole.op.set(|script| {
                script.subject = json!(format!("s-{n}"));
                script.person =
                    json!({ "preferred_username": format!("p{n}"), "name": "P", "email": format!("p{n}@example.com"), "groups": ["g-devs"] });
            });
            let person = whole.sign_in(APP).await;
            let cookies = person.cookies(APP).trim().strip_prefix("Cookie: ").unwrap().to_owned();
            doors.push((format!("p{n}"), cookies, whole.street().h2(APP).await));
        }
        assert!(admin.take_seen().is_empty() && admin.users().is_empty());
        // No create is answered before the test says so.
        for _ in 0..people {
            admin.fail_next("POST /Users", Fault::Held);
        }
        Self { admin, arrived, doors, whole }
    }

    /// Everybody asks for so many pages at once. A page that is not their own fails the test.
    fn ask(&mut self, requests: usize) -> JoinSet<()> {
        let mut asked = JoinSet::new();
        for (who, cookies, door) in &self.doors {
            for n in 0..requests {
                let (who, mut door) = (who.clone(), door.clone());
                let request = page(&format!("/first/{n}"), cookies);
                asked.spawn(async move {
                    loop {
                        let answer = within("an answer", door.send_request(request.clone())).await.unwrap();
                        let status = answer.status();
                        let body = within("its body", answer.into_body().collect()).await.unwrap().to_bytes();
                        // Whoever waits long is shown so by the gateway, and asks again.
                        if status == 200
                            && body.starts_with(b"<!doctype html>")
                            && String::from_utf8_lossy(&body).contains("Setting up your App account")
                        {
                            continue;
                        }
                        assert_eq!((status.as_u16(), String::from_utf8_lossy(&body).as_ref()), (200, who.as_str()));
                        return;
                    }
                });
            }
        }
        asked
    }

    /// Waits for so many accounts at the app.
    async fn accounts(&self, count: usize) {
        let there = async {
            while self.admin.users().len() < count {
                tokio::task::yield_now().await;
            }
        };
        within("accounts at the app", there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j1_fifty_people_with_twenty_first_requests_each_through_the_whole_gateway_are_fifty_creates_and_nobody_is_forwarded_before_theirs() {
    let mut crowd = Crowd::at_the_door(PEOPLE, "").await;
    let asked = crowd.ask(REQUESTS);
    // As many creates as there may be calls at once are done, and unanswered.
    crowd.accounts(8).await;
    assert!(crowd.arrived.lock().unwrap().by_person.is_empty(), "accounts are there, and the gateway has not heard so");
    for _ in 0..PEOPLE {
        crowd.admin.release();
    }
    asked.join_all().await;

    let arrived = crowd.arrived.lock().unwrap();
    assert_eq!(arrived.too_early, Vec::<String>::new());
    let everybody = |times: usize| (0..PEOPLE).map(|n| (format!("p{n}"), times)).collect::<BTreeMap<_, _>>();
    assert_eq!(arrived.by_person, everybody(REQUESTS));
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for user in crowd.admin.users() {
        *made.entry(user.login).or_default() += 1;
    }
    assert_eq!(made, everybody(1));
    let lines = crowd.admin.take_lines();
    let count = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
    assert_eq!((count("POST /Users"), count("PATCH /Groups/g1"), count("PATCH /Users")), (PEOPLE, PEOPLE, 0));
    let joined: Vec<String> = crowd.admin.groups().into_iter().flat_map(|group| group.members).collect();
    assert_eq!(joined.len(), PEOPLE);
}

/// `[provision] concurrency`, from the policy's file to the app's own count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_never_has_more_calls_under_way_than_concurrency_says() {
    let mut crowd = Crowd::at_the_door(12, "concurrency = 3").await;
    let asked = crowd.ask(1);
    for answered in 0..12 {
        crowd.accounts((answered + 3).min(12)).await;
        assert!(crowd.admin.users().len() <= answered + 3, "{} creates are done and {answered} answered", crowd.admin.users().len());
        crowd.admin.release();
    }
    asked.join_all().await;
    assert_eq!((crowd.admin.users().len(), crowd.arrived.lock().unwrap().by_person.len()), (12, 12));
}

/// `[provision] rate`, from the policy's file: the clock stands still, and so there is one call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_called_no_more_often_than_rate_says() {
    for (keys, status, calls) in [("rate = 1\ntimeout = \"400ms\"\nretries = 0", 503, 1..=1), ("rate = 100", 200, 3..=100)] {
        let crowd = Crowd::at_the_door(1, keys).await;
        crowd.admin.release();
        let (who, cookies, mut door) = crowd.doors[0].clone();
        let answer = within("an answer", door.send_request(page("/", &cookies))).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{keys}");
        assert!(calls.contains(&crowd.admin.take_seen().len()), "{keys}");
        assert_eq!(crowd.arrived.lock().unwrap().by_person.get(&who).copied(), (status == 200).then_some(1), "{keys}");
        drop(crowd.whole);
    }
}
