//! Whose an application's cookie is.
//!
//! Lives here: [`CookieKey`], one for each app, and [`Binding`], which is made of it for one session (or for nobody) and says of a cookie whether it was given
//! to that session. Apart from `request/`, which knows what a `Cookie` header looks like, because this knows only names, values and tags. Nothing is kept of a cookie:
//! a tag is a MAC over name and value under a key of the session, so that it holds after a restart and in every replica, and in no other session.

use super::AppSession;
use crate::state::seal::Sealer;
use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::fast::RandomState;
use http::HeaderValue;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a tag before it is written: 128 bits cannot be guessed.
const TAG_BYTES: usize = 16;
/// The same in URL-safe base64 without padding.
pub const TAG_CHARS: usize = 22;

/// Tells equal `Cookie` headers; seeded anew by every process. Equal here is only ever a short cut to what this very session was found to own.
static SHORT: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// What the cookies of one app are bound with. A secret.
#[derive(Clone)]
pub struct CookieKey {
    key: Arc<hmac::Key>,
    /// Names the key, and says nothing of it.
    name: [u8; 32],
}

impl CookieKey {
    /// For the app called `app` on the server at `origin`, from `[state] key`. With another server it is another key: what the one has set is not shown to the other.
    pub fn new(sealer: &Sealer, app: &str, origin: &str) -> Self {
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &sealer.lookup("app cookies 2", &[app, origin])));
        Self { key, name: sealer.lookup("app cookies 2 name", &[app, origin]) }
    }

    /// The binding of `session`, by what its app is told of the person (`told`): another person, another sign-in, another role is another binding.
    pub(super) fn of_session(&self, session: &AppSession, told: &[u8; 32]) -> Binding {
        let subject = &session.sign_on.identity.subject;
        let parts: [&[u8]; 5] = [b"session", &session.sign_on.id.0, subject.issuer.as_bytes(), subject.subject.as_bytes(), told];
        Binding {
            key: self.derive(&parts),
            made_with: self.name,
            told: *told,
            entered: AtomicBool::new(false),
            unproven: AtomicBool::new(false),
            got: ArcSwapOption::empty(),
            due: AtomicBool::new(false),
            last: ArcSwapOption::empty(),
            keeps_last: true,
        }
    }

    /// The binding of whoever is on a public path without a session.
    pub fn of_nobody(&self) -> Binding {
        let key = self.derive(&[b"nobody"]);
        Binding {
            key,
            made_with: self.name,
            told: [0; 32],
            entered: AtomicBool::new(false),
            unproven: AtomicBool::new(false),
            got: ArcSwapOption::empty(),
            due: AtomicBool::new(false),
            last: ArcSwapOption::empty(),
            keeps_last: false,
        }
    }

    fn derive(&self, parts: &[&[u8]]) -> hmac::Key {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            // Length-prefixed, so that no two lists read the same.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey([redacted])")
    }
}

/// What binds an app's cookies to one session, and what is known of the session's way into the app.
pub struct Binding {
    key: hmac::Key,
    made_with: [u8; 32],
    told: [u8; 32],
    entered: AtomicBool,
    /// Whether the app has yet to show a page to the session that it let in at its login address.
    unproven: AtomicBool,
    got: ArcSwapOption<Got>,
    /// Whether the next answer brings the browser what it does not have yet.
    due: AtomicBool,
    last: ArcSwapOption<Sifted>,
    /// Whether all who use it are one person.
    keeps_last: bool,
}

/// What signing in at the app by the gateway gave this session. Secrets.
#[derive(Clone, Default)]
pub struct Got {
    /// `Set-Cookie` lines.
    pub cookies: Vec<HeaderValue>,
    /// `Authorization`.
    pub authorization: Option<HeaderValue>,
}

/// A `Cookie` header by its short name, and what was left of it.
struct Sifted {
    short: u64,
    left: Option<HeaderValue>,
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Got({} cookies)", self.cookies.len())
    }
}

impl Binding {
    /// The tag of a cookie, as written beside it.
    pub fn tag(&self, name: &[u8], value: &[u8]) -> [u8; TAG_CHARS] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(name);
        context.update(value);
        let mut out = [b'A'; TAG_CHARS];
        let written = context.sign().as_ref().get(..TAG_BYTES).map(|tag| URL_SAFE_NO_PAD.encode_slice(tag, &mut out));
        // Sixteen bytes are twenty-two characters; were they not, no cookie would be anybody's.
        if written == Some(Ok(TAG_CHARS)) { out } else { [b'!'; TAG_CHARS] }
    }

    /// Whether it was made for what the app is told now, where it is now.
    pub(super) fn is_for(&self, key: &CookieKey, told: &[u8; 32]) -> bool {
        self.is_of(key) && self.told == *told
    }

    /// Whether it was made with this key: for this app, where it is now.
    pub(super) fn is_of(&self, key: &CookieKey) -> bool {
        self.made_with == key.name
    }

    /// Whether the app has signed this session in, as far as this process knows.
    pub fn has_entered(&self) -> bool {
        self.entered.load(Ordering::Relaxed)
    }

    /// The app has signed this session in.
    pub fn enter(&self) {
        self.entered.store(true, Ordering::Relaxed);
    }

    /// The app was told at its login address who it is, and did not refuse: what it shows next will say whether it knows them.
    pub fn enter_by_login(&self) {
        self.unproven.store(true, Ordering::Relaxed);
        self.enter();
    }

    /// Whether nothing but redirects has come since.
    pub fn is_unproven(&self) -> bool {
        self.unproven.load(Ordering::Relaxed)
    }

    /// The app has shown this session something.
    pub fn prove(&self) {
        if self.is_unproven() {
            self.unproven.store(false, Ordering::Relaxed);
        }
    }

    /// The gateway has signed this session in at the app, and got this for it.
    pub fn enter_with(&self, got: Arc<Got>) {
        self.due.store(!got.cookies.is_empty(), Ordering::Relaxed);
        self.got.store(Some(got));
        // What was sifted before lacks what there is now.
        self.last.store(None);
        self.enter();
    }

    /// What it got.
    pub fn got(&self) -> Option<Arc<Got>> {
        self.got.load_full()
    }

    /// Whether there is something that the browser does not have yet.
    pub fn is_owed(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// What the browser does not have yet, once.
    pub fn take_due(&self) -> Option<Arc<Got>> {
        if self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed) { self.got() } else { None }
    }

    /// The app does not know this session any more.
    pub fn leave(&self) {
        self.entered.store(false, Ordering::Relaxed);
    }

    /// What is left of the `Cookie` lines of a request: found by `sift` once, and remembered while a browser sends the same again.
    pub fn left_of<'l>(&self, lines: impl Iterator<Item = &'l HeaderValue>, sift: impl FnOnce() -> Option<HeaderValue>) -> Option<HeaderValue> {
        if !self.keeps_last {
            return sift();
        }
        let short = lines.fold(0_u64, |so_far, line| SHORT.hash_one((so_far, line.as_bytes())));
        if let Some(known) = self.last.load().as_ref().filter(|known| known.short == short) {
            return known.left.clone();
        }
        let left = sift();
        self.last.store(Some(Arc::new(Sifted { short, left: left.clone() })));
        left
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("entered", &self.has_entered()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{CookieKey, Got, TAG_CHARS};
    use crate::clock::Timestamp;
    use crate::entropy::SeededEntropy;
    use crate::identity::{Identity, Way};
    use crate::session::{AppSession, LiveSignOn};
    use crate::state::SignOnId;
    use crate::state::seal::Sealer;
    use http::HeaderValue;
    use std::sync::Arc;

    fn key(secret: &str, app: &str) -> CookieKey {
        key_at(secret, app, "http://10.0.4.20:8080")
    }

    fn key_at(secret: &str, app: &str, origin: &str) -> CookieKey {
        CookieKey::new(&Sealer::new(&secret.to_owned().into(), Arc::new(SeededEntropy::new(1))).unwrap(), app, origin)
    }

    fn session(id: u8, subject: &str) -> AppSession {
        let identity = Identity::bare("corp", "https://idp.example", subject);
        let at = Timestamp::from_seconds(1_000_000);
        let sign_on = LiveSignOn::passing(SignOnId([id; 16]), Arc::new(identity), at, at, at.plus_ms(1_000), at);
        AppSession::of("wiki", Arc::new(sign_on), Way::Session)
    }

    #[test]
    fn a_tag_holds_in_one_session_for_one_name_and_value_and_nowhere_else() {
        let secret = "0123456789abcdef0123456789abcdef";
        let ours = key(secret, "wiki");
        let tag = |key: &CookieKey, session: &AppSession, told: u8, name: &str, value: &str| {
            key.of_session(session, &[told; 32]).tag(name.as_bytes(), value.as_bytes())
        };
        let ada = session(1, "ada");
        let known = tag(&ours, &ada, 1, "sid", "abc");
        assert_eq!(known.len(), TAG_CHARS);
        assert_eq!(known, tag(&key(secret, "wiki"), &session(1, "ada"), 1, "sid", "abc"), "after a restart, in another replica");
        for (what, other) in [
            ("another name", tag(&ours, &ada, 1, "sie", "abc")),
            ("another value", tag(&ours, &ada, 1, "sid", "abd")),
            ("name and value cut elsewhere", tag(&ours, &ada, 1, "sida", "bc")),
            ("another role", tag(&ours, &ada, 2, "sid", "abc")),
            ("another sign-in", tag(&ours, &session(2, "ada"), 1, "sid", "abc")),
            ("another person", tag(&ours, &session(1, "bob"), 1, "sid", "abc")),
            ("another app", tag(&key(secret, "hub"), &ada, 1, "sid", "abc")),
            ("another server", tag(&key_at(secret, "wiki", "http://10.0.4.21:8080"), &ada, 1, "sid", "abc")),
            ("another gateway", tag(&key("another key of enough characters", "wiki"), &ada, 1, "sid", "abc")),
            ("nobody", ours.of_nobody().tag(b"sid", b"abc")),
        ] {
            assert_ne!(known, other, "{what}");
        }
    }

    #[test]
    fn what_one_server_gave_a_session_is_not_there_for_another() {
        let secret = "0123456789abcdef0123456789abcdef";
        let (here, there) = (key_at(secret, "wiki", "http://10.0.4.20:8080"), key_at(secret, "wiki", "http://10.0.4.21:8080"));
        let ada = session(1, "ada");
        let got = Got { authorization: Some(HeaderValue::from_static("Bearer of-here")), ..Got::default() };
        ada.binding(&here, &[1; 32]).enter_with(Arc::new(got));
        assert!(ada.bound(&there).is_none(), "nor on public pages");
        assert!(ada.bound(&here).is_some_and(|binding| binding.got().is_some()));
        let moved = ada.binding(&there, &[1; 32]);
        assert!(!moved.has_entered() && moved.got().is_none());
        assert!(ada.bound(&here).is_none() && ada.bound(&there).is_some());
    }

    #[test]
    fn what_was_sifted_is_remembered_for_a_person_and_never_for_nobody() {
        let ours = key("0123456789abcdef0123456789abcdef", "wiki");
        let line = |text: &'static str| HeaderValue::from_static(text);
        let (one, two) = (line("a=1"), line("a=2"));
        let person = ours.of_session(&session(1, "ada"), &[1; 32]);
        assert_eq!(person.left_of([&one].into_iter(), || Some(line("x"))), Some(line("x")));
        assert_eq!(person.left_of([&one].into_iter(), || panic!("sifted twice")), Some(line("x")));
        assert_eq!(person.left_of([&two].into_iter(), || None), None);
        assert_eq!(person.left_of([&one].into_iter(), || Some(line("y"))), Some(line("y")), "only the last");
        let nobody = ours.of_nobody();
        assert_eq!(nobody.left_of([&one].into_iter(), || Some(line("x"))), Some(line("x")));
        assert_eq!(nobody.left_of([&one].into_iter(), || None), None);
        assert!(!format!("{ours:?} {person:?}").contains("key:"), "nothing of the key is printed");
    }
}
