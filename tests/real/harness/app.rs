//! Servers of the tests' own: an app that shows what it is told, and a road to an admin API that can be slow, closed or cut.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// An app without sign-in of its own: it believes its headers.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Where it listens.
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that reached the app.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path with query, `GET /a?b`.
    pub(crate) line: String,
    /// Headers as they came.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: String,
}

impl Seen {
    /// The values of a header, in the order they came.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }
}

impl App {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let port = serve(move |request| {
            let log = Arc::clone(&log);
            async move { page(request, &log).await }
        })
        .await;
        Self { port, seen }
    }

    /// Everything that reached it so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// The last request that reached it.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request reached the app")
    }
}

/// What a legacy app does with a header: it puts it on the page. A form to type into, and what was sent.
async fn page(request: Request<Incoming>, log: &Mutex<Vec<Seen>>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
    let line = format!("{} {}", head.method, head.uri);
    let seen = Seen { line, headers: head.headers, body };
    let person = escape(&seen.all("x-remote-user").join(" and "));
    let mut told = String::new();
    for (name, value) in &seen.headers {
        writeln!(told, "{name}: {}", escape(&String::from_utf8_lossy(value.as_bytes()))).expect("a string takes it");
    }
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>The app</title><h1>Hello {person}</h1>\
         <p id=\"person\">{person}</p><p id=\"line\">{}</p><pre id=\"told\">{told}</pre><pre id=\"sent\">{}</pre>\
         <form method=\"post\" action=\"/form\"><textarea name=\"text\"></textarea><button>Send</button></form></html>",
        escape(&seen.line),
        escape(&seen.body),
    );
    lock(log).push(seen);
    let answer = Response::builder().header("content-type", "text/html; charset=utf-8").header("cache-control", "no-store");
    answer.body(Full::new(Bytes::from(html))).expect("a response")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The road from the gateway to an admin API: passes everything on, keeps a list, and does what the test says.
#[derive(Debug, Clone)]
pub(crate) struct Road {
    /// Where it listens.
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    closed: bool,
    cut_after: Option<String>,
    held: Option<String>,
    waiting: usize,
    calls: Vec<Call>,
}

/// A call that went along the road.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Method and path without query, `POST /v2/Users`.
    pub(crate) line: String,
    /// Path with query, as sent.
    pub(crate) target: String,
    /// `Authorization`; empty when there was none.
    pub(crate) authorization: String,
    /// What was answered at its end, or on the way.
    pub(crate) status: u16,
}

impl Road {
    /// A road to a port on 127.0.0.1.
    pub(crate) async fn to(target: u16) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let port = serve(move |request| {
            let shared = Arc::clone(&shared);
            async move { travel(request, target, &shared).await }
        })
        .await;
        Self { port, state }
    }

    /// Every call takes so much longer from now on.
    pub(crate) fn delay(&self, by: Duration) {
        lock(&self.state).delay = by;
    }

    /// From now on every call is answered with 503 and goes nowhere.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// Undoes [`Self::close`], [`Self::delay`], [`Self::hold`] and [`Self::cut_answers_to`].
    pub(crate) fn open(&self) {
        let mut state = lock(&self.state);
        state.closed = false;
        state.delay = Duration::ZERO;
        state.cut_after = None;
        state.held = None;
    }

    /// Calls that begin with `line` wait on the way until the road is opened.
    pub(crate) fn hold(&self, line: &str) {
        lock(&self.state).held = Some(line.to_owned());
    }

    /// How many calls have come to wait so far.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.state).waiting
    }

    /// Calls that begin with `line` arrive and take effect; their answers never come back.
    pub(crate) fn cut_answers_to(&self, line: &str) {
        lock(&self.state).cut_after = Some(line.to_owned());
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.state).calls.clone()
    }

    /// How many calls begin with `line`, such as `POST /v2/Users`.
    pub(crate) fn count(&self, line: &str) -> usize {
        lock(&self.state).calls.iter().filter(|call| call.line.starts_with(line)).count()
    }
}

async fn travel(request: Request<Incoming>, port: u16, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let line = format!("{} {}", request.method(), request.uri().path());
    let target = request.uri().to_string();
    let authorization =
        request.headers().get("authorization").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default();
    let (delay, closed) = {
        let state = lock(state);
        (state.delay, state.closed)
    };
    let note = |status: StatusCode| {
        let (line, target, authorization) = (line.clone(), target.clone(), authorization.clone());
        lock(state).calls.push(Call { line, target, authorization, status: status.as_u16() });
    };
    if closed {
        note(StatusCode::SERVICE_UNAVAILABLE);
        return refusal(StatusCode::SERVICE_UNAVAILABLE);
    }
    tokio::time::sleep(delay).await;
    let is_held = || lock(state).held.as_ref().is_some_and(|held| line.starts_with(held.as_str()));
    if is_held() {
        lock(state).waiting += 1;
        while is_held() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let answer = pass_on(request, port).await;
    note(answer.as_ref().map_or(StatusCode::BAD_GATEWAY, Response::status));
    let cut = lock(state).cut_after.as_ref().is_some_and(|cut| line.starts_with(cut.as_str()));
    if cut {
        std::future::pending::<()>().await;
    }
    answer.unwrap_or_else(|_| refusal(StatusCode::BAD_GATEWAY))
}

async fn pass_on(request: Request<Incoming>, port: u16) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(Request::from_parts(head, Full::new(body))).await?.into_parts();
    Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from_static(b"{}"))).expect("a response")
}

/// Serves HTTP/1.1 on a free port of 127.0.0.1 until the test's runtime ends.
async fn serve<F, A>(answer: F) -> u16
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
