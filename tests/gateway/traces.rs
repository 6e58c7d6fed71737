//! Traces of the whole gateway, as a collector gets them: what hangs from what, what is told to those who are asked, and that a collector that is down costs nobody
//! anything.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::listen::Port;
use crate::whole::{ADMIN_TOKEN, APP, Person, Whole, get, policy_with, within};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Keeps every span that it is sent; says no, or nothing at all, when told to.
struct Collector {
    at: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    down: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
}

impl Collector {
    async fn start() -> Self {
        let port = Port::free().await;
        let at = port.at;
        let (spans, asked) = (Arc::<Mutex<Vec<Span>>>::default(), Arc::<Mutex<Vec<(String, String)>>>::default());
        let (down, stalled) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let collector = Self { at, spans: Arc::clone(&spans), asked: Arc::clone(&asked), down: Arc::clone(&down), stalled: Arc::clone(&stalled) };
        port.serve(move |stream| {
            let (spans, asked, down, stalled) = (Arc::clone(&spans), Arc::clone(&asked), Arc::clone(&down), Arc::clone(&stalled));
            let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                let (spans, asked, down, stalled) = (Arc::clone(&spans), Arc::clone(&asked), Arc::clone(&down), Arc::clone(&stalled));
                async move {
                    let kind = request.headers()["content-type"].to_str().unwrap().to_owned();
                    asked.lock().unwrap().push((format!("{} {}", request.method(), request.uri().path()), kind));
                    if stalled.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let status = if down.load(Ordering::SeqCst) { 503 } else { 200 };
                    if status == 200 {
                        let sent = ExportTraceServiceRequest::decode(body).unwrap();
                        for resource in sent.resource_spans {
                            let service = resource.resource.unwrap().attributes.into_iter().find(|pair| pair.key == "service.name").unwrap();
                            assert_eq!(service.value.unwrap().value, Some(Value::StringValue("vestibule".to_owned())));
                            spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                        }
                    }
                    Ok::<_, std::convert::Infallible>(http::Response::builder().status(status).body(Full::new(Bytes::new())).unwrap())
                }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            async move { drop(connection.await) }
        });
        collector
    }

    /// A gateway that sends its traces here.
    async fn whole(&self, sections: &str, proxies: &[&str]) -> Whole {
        let policies = |at: SocketAddr| vec![("app", policy_with(APP, at, "", sections))];
        Whole::with(policies, |gateway| {
            gateway.telemetry.otlp = Some(format!("http://{}", self.at).parse().unwrap());
            gateway.server.trusted_proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        })
        .await
    }

    /// What has arrived once the gateway has stopped.
    async fn after(&self, whole: Whole) -> Vec<Span> {
        within("the end of the gateway", whole.running.stop()).await;
        self.spans.lock().unwrap().clone()
    }
}

fn values(span: &Span) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    span.attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.clone().unwrap().value.unwrap()))).collect()
}

fn header(span: &Span) -> String {
    format!("00-{}-{}-01", hex::encode(&span.trace_id), hex::encode(&span.span_id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_page_is_one_trace_from_the_door_to_the_admin_api_and_the_app() {
    let collector = Collector::start().await;
    let admin = FakeAdmin::start(Flavour::Scim).await;
    admin.require(&format!("Bearer {ADMIN_TOKEN}"));
    let provision = format!("[provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\n", admin.url);
    let whole = collector.whole(&provision, &[]).await;
    whole.op.set(|script| {
        script.person =
            json!({"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true, "groups": ["staff"], "preferred_username": "ada"});
    });
    let mut person = whole.sign_in(APP).await;
    whole.app.take();
    let url = format!("https://{APP}/private/page?secret=1").parse().unwrap();
    let answer = whole.street().visit(&mut person, &url).await;
    assert_eq!(answer.status(), 200);
    let at_app = whole.app.one().get("traceparent").unwrap();
    let incident = whole.get(&person, APP, "/admins").await.get("x-vestibule-incident").unwrap();
    let spans = collector.after(whole).await;
    assert!(collector.asked.lock().unwrap().iter().all(|asked| *asked == ("POST /v1/traces".to_owned(), "application/x-protobuf".to_owned())));

    // The page: everything hangs from its one server span.
    let to_app = spans.iter().find(|span| header(span) == at_app).expect("the span that the app was told of");
    let trace: Vec<&Span> = spans.iter().filter(|span| span.trace_id == to_app.trace_id).collect();
    let named = |name: &str| trace.iter().filter(|span| span.name == name).copied().collect::<Vec<_>>();
    let [root] = named("GET /app")[..] else { panic!("{:?}", trace.iter().map(|span| &span.name).collect::<Vec<_>>()) };
    assert!(root.parent_span_id.is_empty() && root.kind == 2, "{root:?}");
    assert_eq!((to_app.name.as_str(), to_app.kind, &to_app.parent_span_id), ("GET", 3, &root.span_id));
    for name in ["vestibule.session", "vestibule.access", "vestibule.provision"] {
        let [one] = named(name)[..] else { panic!("{name}") };
        assert_eq!(one.parent_span_id, root.span_id, "{name}");
        assert!(one.start_time_unix_nano >= root.start_time_unix_nano && one.end_time_unix_nano <= root.end_time_unix_nano, "{name}");
    }
    let provisioning = &named("vestibule.provision")[0].span_id;
    let steps: Vec<String> = named("vestibule.provision.step").iter().map(|span| values(span)["vestibule.step"].clone()).collect();
    assert!(steps.contains(&"find".to_owned()) && steps.contains(&"create".to_owned()), "{steps:?}");
    let calls: Vec<&Span> =
        trace.iter().filter(|span| values(span).get("vestibule.purpose").is_some_and(|purpose| purpose == "admin_api")).copied().collect();
    assert!(calls.len() >= 2 && calls.iter().all(|call| call.parent_span_id == *provisioning && call.kind == 3), "{calls:?}");
    assert!(calls.iter().any(|call| call.name == "POST" && values(call)["http.response.status_code"] == "201"), "{calls:?}");

    let said = values(root);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("vestibule.app", "app"),
        ("vestibule.decision", "allowed"),
        ("server.address", APP),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name}");
    }
    // The admin API is told where its calls belong.
    let told: Vec<String> = admin.take_seen().iter().map(|seen| seen.header("traceparent").unwrap().to_owned()).collect();
    assert_eq!(told.len(), calls.len());
    assert!(calls.iter().all(|call| told.contains(&header(call))), "{told:?}");
    // The sign-in before it, and the refusal after it, each in traces of their own.
    let callback = spans.iter().find(|span| span.name == "vestibule.login.callback").expect("the callback");
    let token =
        spans.iter().find(|span| span.trace_id == callback.trace_id && values(span).get("vestibule.purpose").is_some_and(|purpose| purpose == "idp"));
    assert_eq!(token.expect("the provider was asked").parent_span_id, callback.span_id);
    let refused = spans.iter().find(|span| values(span).get("vestibule.incident") == Some(&incident)).unwrap();
    assert_eq!((&*values(refused)["vestibule.reason"], &*values(refused)["vestibule.decision"]), ("groups", "denied"));
    // Nobody is named, and no page.
    let all = format!("{spans:?}").to_lowercase();
    for private in ["ada", "lovelace", "example.com", "private", "secret", "admins", "staff", "code=", "bearer"] {
        assert!(!all.contains(private), "{private}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_continued_for_trusted_proxies_and_begun_for_everybody_else() {
    let ask = async |whole: &Whole, parent: &str| {
        whole.app.take();
        let lines = format!("traceparent: {parent}\r\ntracestate: vendor=1\r\n");
        assert_eq!(whole.ask(APP, get(&Person::default(), APP, "/public", &lines)).await.status(), 200);
        let seen = whole.app.one();
        (seen.get("traceparent").unwrap(), seen.get("tracestate"))
    };
    let collector = Collector::start().await;
    let whole = collector.whole("", &["192.0.2.0/24"]).await;
    let (told, state) = ask(&whole, PARENT).await;
    assert!(!told.contains("0af7651916cd43dd8448eb211c80319c") && state.is_none(), "anybody can write a header: {told} {state:?}");
    let spans = collector.after(whole).await;
    assert!(spans.iter().any(|span| span.name == "GET /app" && span.parent_span_id.is_empty()), "{spans:?}");

    let collector = Collector::start().await;
    let whole = collector.whole("", &["127.0.0.0/8"]).await;
    let (told, state) = ask(&whole, PARENT).await;
    assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-01") && told != PARENT, "{told}");
    assert_eq!(state.as_deref(), Some("vendor=1"));
    let (told, state) = ask(&whole, "00-xyz-b7ad6b7169203331-01").await;
    assert!(!told.contains("xyz") && state.is_none(), "what does not hold is not continued: {told}");
    let unseen = PARENT.replace("-01", "-00").replace("0af7", "0bf7");
    let (told, _) = ask(&whole, &unseen).await;
    assert!(told.starts_with("00-0bf7651916cd43dd8448eb211c80319c-") && told.ends_with("-00"), "{told}");
    let spans = collector.after(whole).await;
    let root = spans.iter().find(|span| span.name == "GET /app" && hex::encode(&span.trace_id) == "0af7651916cd43dd8448eb211c80319c").unwrap();
    assert_eq!(hex::encode(&root.parent_span_id), "b7ad6b7169203331");
    assert!(spans.iter().all(|span| !hex::encode(&span.trace_id).starts_with("0bf7")), "the proxy did not want to see it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_headers_pass_as_they_came() {
    let whole = Whole::app("", "").await;
    let lines = format!("traceparent: {PARENT}\r\ntracestate: vendor=1\r\n");
    assert_eq!(whole.ask(APP, get(&Person::default(), APP, "/public", &lines)).await.status(), 200);
    let seen = whole.app.one();
    assert_eq!((seen.get("traceparent").as_deref(), seen.get("tracestate").as_deref()), (Some(PARENT), Some("vendor=1")));
    assert_eq!(whole.ask(APP, get(&Person::default(), APP, "/public", "")).await.status(), 200);
    assert_eq!(whole.app.one().get("traceparent"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_or_stalls_holds_nobody_up() {
    let collector = Collector::start().await;
    collector.down.store(true, Ordering::SeqCst);
    let whole = collector.whole("", &[]).await;
    let person = whole.sign_in(APP).await;
    for _ in 0..20 {
        assert_eq!(whole.get(&person, APP, "/x").await.status(), 200);
    }
    let lost = async || {
        let mut wire = crate::whole::Wire::new(tokio::net::TcpStream::connect(whole.running.admin.unwrap()).await.unwrap());
        wire.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let text = wire.answer(false).await.text();
        text.lines().find_map(|line| line.strip_prefix("vestibule_spans_dropped_total ").map(|count| count.parse::<u64>().unwrap())).unwrap()
    };
    within("the loss to be counted", async {
        while lost().await < 40 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    collector.down.store(false, Ordering::SeqCst);
    collector.stalled.store(true, Ordering::SeqCst);
    let before = collector.asked.lock().unwrap().len();
    assert_eq!(whole.get(&person, APP, "/x").await.status(), 200);
    within("the collector to be asked again", async {
        while collector.asked.lock().unwrap().len() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..20 {
        assert_eq!(whole.get(&person, APP, "/x").await.status(), 200, "while it stalls");
    }
    // The end waits two seconds for it, at most.
    within("the end of the gateway", whole.running.stop()).await;
}
