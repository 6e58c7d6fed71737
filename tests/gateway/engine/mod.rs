//! The connector engine against scripted answers: what a connector file can say, one file a noun. The far end is a function, so that every wrong and awkward
//! answer can be given at every step, in order, without a socket; `bounds.rs` has the sockets.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on should stop")]

mod base;
mod bodies;
mod bounds;
mod gate;
mod lists;
mod members;
mod names;
mod off;
mod session;
mod xml;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::{Arc, Mutex};
use vestibule::clock::{Clock, ManualClock, Timestamp};
use vestibule::connector::model::Model;
use vestibule::connector::{Connector, Context, Engine, Limits, Observation, Outcome, ResolvedCredential, Trouble};
use vestibule::outbound::{OutboundError, OutboundRequest, OutboundResponse, Transport};
use vestibule::plan::{Account, Desired, Step, Wanted};
use vestibule::policy::MatchBy;
use vestibule::source::{Problem, SourceFile};

/// The beginning of every connector here.
const HEAD: &str = r#"
connector = "app"
version   = 1
roles_as  = "group"
"#;

const ACCOUNT: &str = r#"
[account]
id    = "/id"
login = "/login"
[[get]]
name     = "one"
effect   = "read"
get      = "/users/{account.id}"
classify = [{ status = 200, outcome = "found" }, { status = 404, outcome = "absent" }]
"#;

/// One request, as it would go out.
#[derive(Debug, Clone)]
struct Sent {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sent {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

type Answers = dyn Fn(&Sent, usize) -> Result<OutboundResponse, OutboundError> + Send + Sync;

/// The far end: a function of the request and of how many came before.
struct Wire {
    answers: Box<Answers>,
    sent: Mutex<Vec<Sent>>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let header =
            |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        let sent = Sent {
            line: format!("{} {}{query}", request.method, request.url.path()),
            headers: request.headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        let before = {
            let mut all = self.sent.lock().unwrap();
            all.push(sent.clone());
            all.len() - 1
        };
        // Others get their turn between a request and its answer, as on a network.
        tokio::task::yield_now().await;
        (self.answers)(&sent, before)
    }
}

impl Wire {
    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.sent.lock().unwrap()).into_iter().map(|sent| sent.line).collect()
    }

    fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}

fn answer(status: u16, body: &Value) -> Result<OutboundResponse, OutboundError> {
    with_headers(status, &[], &body.to_string())
}

#[expect(clippy::unnecessary_wraps, reason = "what a scripted far end answers with")]
fn with_headers(status: u16, headers: &[(&str, &str)], body: &str) -> Result<OutboundResponse, OutboundError> {
    let header = |(name, value): &(&str, &str)| (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap());
    Ok(OutboundResponse { status: status.try_into().unwrap(), headers: headers.iter().map(header).collect(), body: body.to_owned().into() })
}

/// An engine, its far end, and its clock.
struct House {
    engine: Engine,
    wire: Arc<Wire>,
    clock: Arc<ManualClock>,
}

fn render(problems: &[Problem]) -> String {
    problems.iter().map(Problem::render).collect()
}

fn parse(text: &str) -> Result<Model, String> {
    let (model, problems) = Model::parse(&SourceFile { name: "app.toml".into(), text: text.into() });
    model.filter(|_| problems.is_empty()).ok_or_else(|| render(&problems))
}

fn credential() -> ResolvedCredential {
    ResolvedCredential {
        basic: Some(("gateway".to_owned(), "swordfish".to_owned().into())),
        settings: vec![("sso_secret".to_owned(), "d836444a9e4084d5b224a60c208dce14".to_owned().into())],
        ..ResolvedCredential::default()
    }
}

fn house_with(
    text: &str,
    credential: ResolvedCredential,
    answers: impl Fn(&Sent, usize) -> Result<OutboundResponse, OutboundError> + Send + Sync + 'static,
) -> House {
    let model = Arc::new(parse(&format!("{HEAD}{text}")).unwrap_or_else(|problems| panic!("{problems}")));
    let (settings, _) = model.settings(&SourceFile { name: "policy".into(), text: "".into() }, None);
    let wire = Arc::new(Wire { answers: Box::new(answers), sent: Mutex::default() });
    let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(784_111_777)));
    let base = "http://app.example/base".parse().unwrap();
    let (transport, at) = (Arc::clone(&wire) as Arc<dyn Transport>, Arc::clone(&clock) as Arc<dyn Clock>);
    let engine = Engine::new(model, None, base, credential, settings, Limits::default(), transport, at);
    House { engine, wire, clock }
}

fn house(text: &str, answers: impl Fn(&Sent, usize) -> Result<OutboundResponse, OutboundError> + Send + Sync + 'static) -> House {
    house_with(text, credential(), answers)
}

/// Nothing is there that is not asked for by name.
fn nowhere() -> Map<String, Value> {
    Map::new()
}

fn ann<'a>(scope: &'a Map<String, Value>, id: Option<&'a str>) -> Context<'a> {
    Context { scope, external_id: "vst-1", login: "ann", email: Some("ann@example.com"), account_id: id }
}

fn desired(members: &[(&str, &[&str])]) -> Desired {
    let memberships = members.iter().map(|(kind, names)| {
        let names = names.iter().map(|name| ((*name).to_owned(), None)).collect();
        ((*kind).to_owned(), Wanted::Known(names))
    });
    Desired { login: "ann".to_owned(), attributes: [("email".to_owned(), json!("ann@example.com"))].into(), memberships: memberships.collect() }
}

impl House {
    async fn find(&self) -> Result<Observation, Trouble> {
        self.engine.find(ann(&nowhere(), None), &[MatchBy::Login]).await
    }

    async fn create(&self, members: &[(&str, &[&str])]) -> Result<Account, Trouble> {
        let made = self.engine.apply(ann(&nowhere(), None), &Step::Create(desired(members))).await;
        made.map(|(_, account)| account.expect("a create gives the account"))
    }

    async fn apply(&self, step: Step) -> Result<Outcome, Trouble> {
        self.engine.apply(ann(&nowhere(), Some("7")), &step).await.map(|(outcome, _)| outcome)
    }

    async fn add(&self, member: &str) -> Result<Outcome, Trouble> {
        self.apply(Step::Add { kind: "group".to_owned(), member: member.to_owned(), role: None }).await
    }

    async fn remove(&self, member: &str) -> Result<Outcome, Trouble> {
        self.apply(Step::Remove { kind: "group".to_owned(), member: member.to_owned() }).await
    }

    async fn update(&self, email: &str) -> Result<Outcome, Trouble> {
        self.apply(Step::Update([("email".to_owned(), json!(email))].into())).await
    }
}

fn outcome<T: fmt::Debug>(result: Result<T, Trouble>) -> Outcome {
    result.expect_err("trouble").outcome
}
