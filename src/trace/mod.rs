//! What a request did and how long it took, for whoever draws it.
//!
//! Lives here: [`Recorder`], which takes finished spans and never waits; [`Open`], a span under way; and the one task-local of this crate, the span that a task works
//! under. Apart from `observe/`, which sends spans away, because every room may open one and none may know a collector. `traceparent.rs` is the header.
//!
//! Without `[telemetry] otlp` there is no recorder, no task has a span, and all of this comes to one look at an `Option`. What stands in a span: names of steps,
//! apps and outcomes, the incident code. Never a path, an address, a person.

mod outbound;
mod traceparent;

pub use outbound::Traced;
pub use traceparent::{Parent, TRACEPARENT, TRACESTATE};

use crate::clock::Clock;
use crate::entropy::Entropy;
use http::HeaderValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Spans that wait for the exporter; beyond that they are dropped and counted.
const WAITING_MAX: usize = 16_384;

tokio::task_local! {
    static CURRENT: Option<Context>;
}

/// Who a span talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request of somebody's.
    Server,
    /// A request of ours.
    Client,
    /// Neither.
    Internal,
}

/// A value of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// A span that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Of the trace.
    pub trace_id: [u8; 16],
    /// Its own.
    pub id: [u8; 8],
    /// Of the span it hangs from, and whether that is somebody else's.
    pub parent: Option<([u8; 8], bool)>,
    /// Low in cardinality: `GET /wiki`, `vestibule.provision.step`.
    pub name: Cow<'static, str>,
    /// Who it talked to.
    pub kind: Kind,
    /// Since the epoch.
    pub begun: Duration,
    /// Since the epoch.
    pub ended: Duration,
    /// Names as OpenTelemetry has them, else `vestibule.…`.
    pub values: Vec<(&'static str, Value)>,
    /// Whether it went wrong.
    pub failed: bool,
}

/// Takes spans. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Shelf>);

struct Shelf {
    sender: mpsc::Sender<Span>,
    lost: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// Where recorded spans come out.
#[derive(Debug)]
pub struct Recorded {
    /// The spans.
    pub receiver: mpsc::Receiver<Span>,
    /// How many found no room, since it was last looked.
    pub lost: Arc<AtomicUsize>,
}

/// The span that a task works under.
#[derive(Clone)]
pub struct Context {
    recorder: Recorder,
    trace_id: [u8; 16],
    id: [u8; 8],
    /// Whether anybody wants to see it: a trusted proxy may have decided otherwise.
    sampled: bool,
    /// One clock for the whole trace: the machine's when it began, and what passed since.
    anchor: (Duration, Instant),
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("sampled", &self.sampled).finish_non_exhaustive()
    }
}

impl Recorder {
    /// One that takes, and one that gives out.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> (Self, Recorded) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let lost = Arc::<AtomicUsize>::default();
        (Self(Arc::new(Shelf { sender, lost: Arc::clone(&lost), clock, entropy })), Recorded { receiver, lost })
    }

    /// Begins a request: under `parent` where somebody trusted named one, else a trace of its own.
    pub fn begin(&self, parent: Option<Parent>) -> Open {
        let since_epoch = Duration::from_millis(u64::try_from(self.0.clock.now().millis()).unwrap_or_default());
        let trace_id = parent.map_or_else(|| self.0.entropy.bytes(), |parent| parent.trace_id);
        let sampled = parent.is_none_or(|parent| parent.sampled);
        let context = Context { recorder: self.clone(), trace_id, id: self.0.entropy.bytes(), sampled, anchor: (since_epoch, Instant::now()) };
        Open::new(context, parent.map(|parent| (parent.id, true)), Cow::Borrowed(""), Kind::Server)
    }
}

impl Context {
    /// Begins a part of the work.
    pub fn child(&self, name: &'static str, kind: Kind) -> Open {
        let context = Self { id: self.recorder.0.entropy.bytes(), ..self.clone() };
        Open::new(context, Some((self.id, false)), Cow::Borrowed(name), kind)
    }

    /// What tells the next one down the line where it belongs.
    pub fn header(&self) -> HeaderValue {
        traceparent::header(self.trace_id, self.id, self.sampled)
    }

    fn now(&self) -> Duration {
        self.anchor.0 + self.anchor.1.elapsed()
    }
}

/// A span under way; over when it is dropped.
#[derive(Debug)]
pub struct Open {
    context: Context,
    span: Option<Span>,
}

impl Open {
    fn new(context: Context, parent: Option<([u8; 8], bool)>, name: Cow<'static, str>, kind: Kind) -> Self {
        let begun = context.now();
        let span = context.sampled.then(|| Span {
            trace_id: context.trace_id,
            id: context.id,
            parent,
            name,
            kind,
            begun,
            ended: begun,
            values: Vec::new(),
            failed: false,
        });
        Self { context, span }
    }

    /// For tasks that work under it.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Another name, by what it turned out to be.
    pub fn rename(&mut self, name: String) {
        if let Some(span) = &mut self.span {
            span.name = Cow::Owned(name);
        }
    }

    /// Notes a value; empty texts are none.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        if let Some(span) = &mut self.span
            && value != Value::Text(Cow::Borrowed(""))
        {
            span.values.push((name, value));
        }
    }

    /// It went wrong, in a word.
    pub fn fail(&mut self, why: impl Into<Value>) {
        self.note("error.type", why);
        if let Some(span) = &mut self.span {
            span.failed = true;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(mut span) = self.span.take() else { return };
        span.ended = self.context.now();
        let queue = &self.context.recorder.0;
        if queue.sender.try_send(span).is_err() {
            queue.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The span that this task works under.
pub fn current() -> Option<Context> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Begins a part of what this task works under, if it does.
pub fn child(name: &'static str, kind: Kind) -> Option<Open> {
    CURRENT.try_with(|current| current.as_ref().map(|context| context.child(name, kind))).ok().flatten()
}

/// Notes a part that is over by now and took `ms` milliseconds.
pub fn past(name: &'static str, ms: i64, values: impl IntoIterator<Item = (&'static str, Value)>) {
    let Some(mut open) = child(name, Kind::Internal) else { return };
    if let Some(span) = &mut open.span {
        span.begun = span.begun.saturating_sub(Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
        span.values.extend(values);
    }
}

/// `work` under `context`.
pub async fn under<F: Future>(context: Option<Context>, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

/// `work`, to be done by another task, under what this one works under.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(current(), work)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Parent, Recorder, Value, WAITING_MAX, carried, child, current, past, under};
    use crate::clock::{ManualClock, Timestamp};
    use crate::entropy::SeededEntropy;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    fn recorder() -> (Recorder, super::Recorded) {
        Recorder::new(Arc::new(ManualClock::new(Timestamp::from_seconds(1_000))), Arc::new(SeededEntropy::new(7)))
    }

    #[tokio::test]
    async fn spans_hang_from_the_one_that_their_task_works_under() {
        assert!(current().is_none() && child("x", Kind::Internal).is_none());
        let (recorder, mut inbox) = recorder();
        let mut root = recorder.begin(None);
        root.rename("GET /wiki".to_owned());
        let context = root.context().clone();
        let work = async {
            let inner = child("inner", Kind::Client);
            let spawned = carried(async { drop(child("spawned", Kind::Internal)) });
            tokio::spawn(spawned).await.unwrap();
            tokio::spawn(async { assert!(child("lost", Kind::Internal).is_none()) }).await.unwrap();
            past("past", 250, [("step", Value::from("find"))]);
            drop(inner);
        };
        under(Some(context.clone()), work).await;
        root.note("http.response.status_code", 200);
        root.note("vestibule.reason", "");
        drop(root);
        let mut spans = Vec::new();
        while let Ok(span) = inbox.receiver.try_recv() {
            spans.push(span);
        }
        let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["spawned", "past", "inner", "GET /wiki"]);
        assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id && span.begun <= span.ended));
        assert!(spans[..3].iter().all(|span| span.parent == Some((context.id, false))));
        assert_eq!((spans[3].parent, spans[3].kind), (None, Kind::Server));
        assert_eq!(spans[3].values, [("http.response.status_code", Value::Number(200))], "an empty text is none");
        assert!(spans[1].ended.saturating_sub(spans[1].begun) >= Duration::from_millis(250));
        assert!(spans[3].begun >= Duration::from_secs(1_000) && spans[3].ended < Duration::from_mins(17));
    }

    #[test]
    fn what_a_trusted_proxy_does_not_want_to_see_is_named_and_not_recorded() {
        let (recorder, mut inbox) = recorder();
        let parent = |sampled| Some(Parent { trace_id: [1; 16], id: [2; 8], sampled });
        let mut unseen = recorder.begin(parent(false));
        unseen.fail("x");
        assert!(unseen.context().header().to_str().unwrap().starts_with("00-01010101010101010101010101010101-"));
        assert!(unseen.context().header().to_str().unwrap().ends_with("-00"));
        drop(unseen.context().child("inner", Kind::Internal));
        drop(unseen);
        assert!(inbox.receiver.try_recv().is_err());
        drop(recorder.begin(parent(true)));
        let span = inbox.receiver.try_recv().unwrap();
        assert_eq!((span.trace_id, span.parent), ([1; 16], Some(([2; 8], true))));
    }

    #[test]
    fn a_collector_that_is_down_costs_spans_and_no_time() {
        let (recorder, inbox) = recorder();
        for _ in 0..WAITING_MAX + 3 {
            drop(recorder.begin(None));
        }
        assert_eq!((inbox.lost.load(Ordering::Relaxed), inbox.receiver.len()), (3, WAITING_MAX));
    }
}
