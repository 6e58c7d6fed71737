//! Somebody in too many groups for a token, through the whole gateway: asked of the directory, or unknown.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::whole::{ADMIN_TOKEN, APP, WIKI, Whole, policy_with};
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
             [provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n",
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_does_not_answer_grants_nothing_and_takes_nothing_back() {
    let street = Street::new().await;
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_too_many_groups_for_a_token_gets_what_the_directory_says_and_loses_what_it_does_not() {
    let street = Street::new().await;
    // Whoever's groups fit into the token is nobody's question.
    street.whole.op.set(|script| script.person = json!({ "preferred_username": "bea", "email": "b@example.com", "groups": ["staff"] }));
    assert_eq!(street.enters(APP).await, 200);
    assert_eq!(street.directory.take(), Vec::<String>::new());
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
}
