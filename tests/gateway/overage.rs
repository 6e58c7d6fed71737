//! Somebody in too many groups for a token, through the whole gateway: asked of the directory, or unknown.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use crate::ear::Ear;
use crate::fake_admin::{FakeAdmin, Flavour};
use crate::fake_op::{Signer, sign};
use crate::whole::{ADMIN_TOKEN, APP, Person, WIKI, Whole, get, policy_with};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use vestibule::config::GroupsLookup;

/// A directory, its token endpoint, and a trap beside them.
#[derive(Default)]
struct Directory {
    /// `None`: it is down.
    groups: Mutex<Option<Vec<&'static str>>>,
    asked: Mutex<Vec<String>>,
}

impl Directory {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let directory = Arc::new(Self::default());
        let served = Arc::clone(&directory);
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let directory = Arc::clone(&served);
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let directory = Arc::clone(&directory);
                    async move { Ok::<_, Infallible>(directory.answer(request).await) }
                });
                drop(tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service)));
            }
        }));
        (directory, at)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        self.asked.lock().unwrap().push(format!("{} {}", head.method, head.uri.path()));
        let json = |status: u16, value: Value| Response::builder().status(status).body(Full::new(Bytes::from(value.to_string()))).unwrap();
        match head.uri.path() {
            "/token" => {
                let form = String::from_utf8_lossy(&body);
                assert!(form.contains("grant_type=client_credentials") && form.contains("client_id=gateway"), "{form}");
                json(200, json!({ "access_token": "graph-token", "token_type": "Bearer", "expires_in": 3599 }))
            }
            "/v1.0/users/oid-of-ada/getMemberObjects" => {
                assert_eq!(head.headers["authorization"], "Bearer graph-token");
                match self.groups.lock().unwrap().clone() {
                    Some(groups) => json(200, json!({ "value": groups })),
                    None => json(503, json!({})),
                }
            }
            _ => json(200, json!({ "value": ["staff", "g-devs", "g-ops"] })),
        }
    }

    fn says(&self, groups: Option<&[&'static str]>) {
        *self.groups.lock().unwrap() = groups.map(<[_]>::to_vec);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

struct Street {
    whole: Whole,
    admin: FakeAdmin,
    directory: Arc<Directory>,
    at: String,
}

impl Street {
    /// `app` is for everyone, `wiki` for staff.
    async fn new() -> Self {
        let admin = FakeAdmin::start(Flavour::Scim).await;
        admin.require(&format!("Bearer {ADMIN_TOKEN}"));
        admin.add_group("g1", "devs");
        let (directory, at) = Directory::start().await;
        let sections = format!(
            "[user]\nname = \"{{username}}\"\n[roles]\nmap = {{ g-devs = \"devs\" }}\n\
             [provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n\
             [[path]]\nmatch = [\"/api/*\"]\nauth = [\"bearer\"]\ngroups = [\"staff\"]\n[bearer]\nidp = \"corp\"\naudience = \"api://app\"\n",
            admin.url
        );
        let policies = |upstream| {
            let staff = policy_with(WIKI, upstream, "", "").replace("everyone = true", "groups = [\"staff\"]");
            vec![("app", policy_with(APP, upstream, "", &sections)), ("wiki", staff)]
        };
        let base = at.clone();
        let whole = Whole::with(policies, |gateway| {
            gateway.idps[0].groups_lookup = Some(GroupsLookup {
                url: format!("{base}/v1.0").parse().unwrap(),
                token_url: Some(format!("{base}/token").parse().unwrap()),
                scope: "all".into(),
                client_id: None,
                client_secret: None,
                security_only: true,
                timeout_ms: 5_000,
            });
        })
        .await;
        Self { whole, admin, directory, at }
    }

    /// The provider says that ada is in more groups than it lists, and names an address of its own for them.
    fn too_many(&self) {
        let elsewhere = format!("{}/trap", self.at);
        self.whole.op.set(|script| {
            script.person = json!({ "preferred_username": "ada", "name": "Ada", "email": "ada@example.com", "email_verified": true });
            script.claims = Arc::new(move |claims| {
                claims["oid"] = json!("oid-of-ada");
                claims["_claim_names"] = json!({ "groups": "src1" });
                claims["_claim_sources"] = json!({ "src1": { "endpoint": elsewhere } });
            });
        });
    }

    /// Signs in anew and opens the front page.
    async fn enters(&self, host: &str) -> u16 {
        self.whole.advance_s(60);
        let mut person = self.whole.sign_in(host).await;
        self.whole.street().visit(&mut person, &format!("https://{host}/").parse().unwrap()).await.status()
    }

    fn members(&self) -> Vec<String> {
        self.admin.groups().into_iter().filter(|group| !group.members.is_empty()).map(|group| group.name).collect()
    }
}

/// What was told of lookups: provider, person, and what it came to. Never which groups.
fn looked_up(ear: &Ear) -> Vec<String> {
    let line = |event: &Value| {
        assert!(!event.to_string().contains("g-devs") && !event.to_string().contains("graph-token"), "{event}");
        format!("{} {} {}", event["idp"].as_str().unwrap(), event["user.sub"].as_str().unwrap(), event["reason"].as_str().unwrap())
    };
    ear.heard("groups.looked_up").iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_does_not_answer_grants_nothing_and_takes_nothing_back() {
    let listening = Ear::listen();
    let street = Street::new().await;
    let ear = listening.to(&street.whole.op.issuer);
    street.too_many();
    // Somebody new: they get in where everyone does, without a group; nowhere else.
    street.directory.says(None);
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!((street.admin.users().len(), street.members()), (1, Vec::<String>::new()));
    assert_eq!(street.enters(WIKI).await, 403);
    // It says what they have.
    street.directory.says(Some(&["staff", "g-devs"]));
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!(street.members(), ["devs"]);
    assert_eq!(street.enters(WIKI).await, 200);
    // It is down again: what was granted stays, and a group that decides who may enter is not believed to be there still.
    street.directory.says(None);
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!(street.members(), ["devs"]);
    assert_eq!(street.enters(WIKI).await, 403);
    let asked = street.directory.take();
    assert!(asked.iter().all(|line| !line.contains("trap")), "an address in a token is followed nowhere: {asked:?}");
    assert_eq!(asked.iter().filter(|line| line.ends_with("/token")).count(), 1, "{asked:?}");
    // Of each sign-in it is told whether the directory said.
    assert_eq!(looked_up(&ear), ["corp ada refused", "corp ada refused", "corp ada known", "corp ada known", "corp ada refused", "corp ada refused"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_too_many_groups_for_a_token_gets_what_the_directory_says_and_loses_what_it_does_not() {
    let listening = Ear::listen();
    let street = Street::new().await;
    let ear = listening.to(&street.whole.op.issuer);
    // Whoever's groups fit into the token is nobody's question.
    street.whole.op.set(|script| script.person = json!({ "preferred_username": "bea", "email": "b@example.com", "groups": ["staff"] }));
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!((street.directory.take(), looked_up(&ear)), (Vec::new(), Vec::<String>::new()));
    street.whole.op.set(|script| script.subject = json!("s-ada"));
    street.too_many();
    street.directory.says(Some(&["staff", "g-devs"]));
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!(street.members(), ["devs"]);
    assert_eq!(street.directory.take(), ["POST /token", "POST /v1.0/users/oid-of-ada/getMemberObjects"]);
    street.directory.says(Some(&["staff"]));
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!(street.members(), Vec::<String>::new(), "known, and not among them any more");
    street.directory.says(Some(&[]));
    assert_eq!(street.enters(WIKI).await, 403);
    assert_eq!(looked_up(&ear), ["corp s-ada known"; 3]);
}

/// A script's token has no more room than one of a sign-in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_of_somebody_in_too_many_groups_is_asked_about_once() {
    let listening = Ear::listen();
    let street = Street::new().await;
    let ear = listening.to(&street.whole.op.issuer);
    // Somebody with an account: tokens make none.
    street.too_many();
    street.directory.says(Some(&["staff"]));
    assert_eq!(street.enters(APP).await, 200);
    let now = vestibule::clock::Clock::now(&*street.whole.clock).seconds();
    let calls = async |token_id: &str, times: usize| {
        let claims = json!({
            "iss": street.whole.op.issuer, "sub": "ada", "aud": "api://app", "client_id": "ci", "iat": now, "exp": now + 300, "jti": token_id,
            "preferred_username": "ada", "oid": "oid-of-ada",
            "_claim_names": { "groups": "src1" }, "_claim_sources": { "src1": { "endpoint": format!("{}/trap", street.at) } },
        });
        let token = sign(&json!({"alg": "RS256", "kid": "rsa1", "typ": "at+jwt"}), &claims, Signer::Rsa);
        let mut statuses = Vec::new();
        for _ in 0..times {
            let request = get(&Person::default(), APP, "/api/x", &format!("Authorization: Bearer {token}\r\n"));
            statuses.push(street.whole.ask(APP, request).await.status());
        }
        statuses
    };
    street.directory.says(None);
    assert_eq!(calls("unknown", 1).await, [403]);
    street.directory.says(Some(&["other"]));
    assert_eq!(calls("not among them", 1).await, [403]);
    street.directory.says(Some(&["staff"]));
    street.directory.take();
    assert_eq!(calls("among them", 3).await, [200, 200, 200]);
    assert_eq!(street.directory.take(), ["POST /v1.0/users/oid-of-ada/getMemberObjects"], "once, and never where the token says");
    assert_eq!(looked_up(&ear), ["corp ada known", "corp ada refused", "corp ada known", "corp ada known"]);
}
