//! An app's own cookies, which belong to a person.
//!
//! An app that keeps a session of its own goes by its cookie, whatever the headers say by then: on a shared browser the next person would find the last one's
//! session there. So beside each cookie that the app sets goes another one, called the same and [`BESIDE`], with a tag of the gateway's: on the way back a cookie passes
//! only with a tag that was made for this session (`session/binding.rs`). Name, value and attributes of the app's cookie stay as they are: its scripts may read it, and
//! browsers' limits on the size of one cookie are the app's to use.
//!
//! What a script in the browser sets has no tag, and nobody knows for whom it was set: it passes only where the policy names it
//! (`[sign_in] script_cookies`).

use super::cookies;
use crate::policy::Glob;
use crate::session::{Binding, TAG_CHARS};
use http::{HeaderMap, HeaderValue, header};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Ends the name of a cookie that says whose another one is. No app's own cookie may be called so.
pub(super) const BESIDE: &[u8] = b"~vestibule";
/// So many of them are looked at; a browser keeps fewer for a host.
const BESIDE_MAX: usize = 200;

/// Whose the app's cookies of a request are, and those of its answer.
#[derive(Debug, Clone)]
pub enum CookieOwner {
    /// Nobody's in particular: the policy binds none.
    Unbound,
    /// Those of a session, or of whoever is on a public path without one.
    Bound(Arc<Binding>),
    /// It cannot be told: none passes, either way.
    Unknown,
}

impl CookieOwner {
    /// Whether the browser is to be given something that the gateway got for it.
    pub(super) fn is_owed(&self) -> bool {
        matches!(self, Self::Bound(binding) if binding.is_owed())
    }
}

/// The `Cookie` header for the app: without ours, and without what is not its owner's. `scripts` are names that pass without a tag.
pub(super) fn to_app(headers: &HeaderMap, ours: &str, owner: &CookieOwner, scripts: &[Glob]) -> Option<HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter().peekable();
    match owner {
        CookieOwner::Bound(binding) if binding.got().is_some() => {
            binding.left_of(lines, || with_got(sift(headers, ours, Some(binding), scripts).as_ref(), binding))
        }
        _ if lines.peek().is_none() => None,
        CookieOwner::Unbound => cookies::without_ours(headers, ours),
        CookieOwner::Bound(binding) => binding.left_of(lines, || sift(headers, ours, Some(binding), scripts)),
        CookieOwner::Unknown => sift(headers, ours, None, scripts),
    }
}

/// Marks the cookies that an app sets, or takes them out when nobody knows whose they would be.
pub(super) fn from_app(headers: &mut HeaderMap, owner: &CookieOwner) {
    let binding = match owner {
        CookieOwner::Unbound => return,
        CookieOwner::Bound(binding) => Some(binding),
        CookieOwner::Unknown => None,
    };
    let due = binding.and_then(|binding| binding.take_due());
    if due.is_none() && !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let name = |line: &HeaderValue| line.as_bytes().split(|&b| b == b'=').next().map(<[u8]>::to_vec);
    let mut set: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    for line in due.iter().flat_map(|got| &got.cookies) {
        // What the app sets by now is newer than what it set at the sign-in.
        if !set.iter().any(|known| name(known) == name(line)) {
            set.push(line.clone());
        }
    }
    headers.remove(header::SET_COOKIE);
    for cookie in set {
        if let Some(beside) = binding.and_then(|binding| beside(cookie.as_bytes(), binding)) {
            headers.append(header::SET_COOKIE, cookie);
            headers.append(header::SET_COOKIE, beside);
        }
    }
}

/// With what the gateway got for this session at the app, where the browser has no cookie of that name yet.
fn with_got(left: Option<&HeaderValue>, binding: &Binding) -> Option<HeaderValue> {
    let got = binding.got()?;
    let mut all: Vec<u8> = Vec::new();
    let own = left.into_iter().flat_map(|left| left.as_bytes().split(|&b| b == b';')).map(<[u8]>::trim_ascii);
    let theirs = got.cookies.iter().map(|line| line.as_bytes().split(|&b| b == b';').next().unwrap_or_default().trim_ascii());
    // Until the browser has what was got, what it sends is of the session before.
    let (own, theirs): (Vec<&[u8]>, Vec<&[u8]>) = (own.collect(), theirs.collect());
    let (first, second) = if binding.is_owed() { (theirs, own) } else { (own, theirs) };
    let name = |pair: &[u8]| pair.split(|&b| b == b'=').next().unwrap_or_default().to_vec();
    let known: Vec<Vec<u8>> = first.iter().map(|pair| name(pair)).collect();
    let further = second.into_iter().filter(|pair| !known.contains(&name(pair)));
    for pair in first.iter().copied().chain(further).filter(|pair| !pair.is_empty()) {
        if !all.is_empty() {
            all.extend_from_slice(b"; ");
        }
        all.extend_from_slice(pair);
    }
    if all.is_empty() { None } else { HeaderValue::from_bytes(&all).ok() }
}

/// The `Cookie` header of somebody whose browser has nothing of the app: what the gateway got for them.
pub(super) fn got_alone(binding: &Binding) -> Option<HeaderValue> {
    with_got(None, binding)
}

/// What is left of a request's cookies, in the order they came.
fn sift(headers: &HeaderMap, ours: &str, binding: Option<&Arc<Binding>>, scripts: &[Glob]) -> Option<HeaderValue> {
    let tags: Vec<(&[u8], &[u8])> = match binding {
        Some(_) => cookies::pairs(headers).filter_map(|(name, tag)| Some((name.strip_suffix(BESIDE)?, tag))).take(BESIDE_MAX).collect(),
        None => Vec::new(),
    };
    let is_owned = |name: &[u8], value: &[u8]| {
        let mut shown = tags.iter().filter(|(of, tag)| *of == name && tag.len() == TAG_CHARS).peekable();
        // One MAC for a cookie, however many tags are shown for its name.
        let (Some(_), Some(binding)) = (shown.peek(), binding) else { return false };
        let wanted = binding.tag(name, value);
        shown.any(|(_, tag)| bool::from(tag.ct_eq(&wanted)))
    };
    let is_a_scripts = |name: &[u8]| !scripts.is_empty() && std::str::from_utf8(name).is_ok_and(|name| scripts.iter().any(|glob| glob.fits(name)));
    let mut kept: Vec<u8> = Vec::new();
    for (name, value) in cookies::pairs(headers) {
        if cookies::is_ours(name, ours) || name.ends_with(BESIDE) || !(is_owned(name, value) || is_a_scripts(name)) {
            continue;
        }
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(name);
        kept.push(b'=');
        kept.extend_from_slice(value);
    }
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept).ok() }
}

/// The cookie that goes beside one that the app sets: the same in everything but name and value, and nothing for scripts. `None` for what cannot be bound: a cookie
/// without a name, and one that is called like ours.
fn beside(cookie: &[u8], binding: &Binding) -> Option<HeaderValue> {
    // RFC 6265 5.2: name and value end at the first `;`, white space around them is not theirs.
    let end = cookie.iter().position(|&b| b == b';').unwrap_or(cookie.len());
    let (pair, attributes) = cookie.split_at_checked(end)?;
    let at = pair.iter().position(|&b| b == b'=')?;
    let (name, value) = (pair.get(..at)?.trim_ascii(), pair.get(at + 1..)?.trim_ascii());
    if name.is_empty() || name.ends_with(BESIDE) {
        return None;
    }
    let mut out = Vec::with_capacity(name.len() + BESIDE.len() + 1 + TAG_CHARS + attributes.len() + 10);
    out.extend_from_slice(name);
    out.extend_from_slice(BESIDE);
    out.push(b'=');
    out.extend_from_slice(&binding.tag(name, value));
    out.extend_from_slice(attributes);
    if !attributes.split(|&b| b == b';').any(|attribute| attribute.trim_ascii().eq_ignore_ascii_case(b"httponly")) {
        out.extend_from_slice(b"; HttpOnly");
    }
    HeaderValue::from_bytes(&out).ok()
}

#[cfg(test)]
mod tests {
    use super::{CookieOwner, from_app, to_app};
    use crate::entropy::SeededEntropy;
    use crate::policy::Glob;
    use crate::session::CookieKey;
    use crate::state::seal::Sealer;
    use http::{HeaderMap, HeaderValue, header};
    use std::sync::Arc;

    const OURS: &str = "__Host-vestibule";

    fn owner(app: &str) -> CookieOwner {
        let sealer = Sealer::new(&"0123456789abcdef0123456789abcdef".to_owned().into(), Arc::new(SeededEntropy::new(1))).unwrap();
        CookieOwner::Bound(Arc::new(CookieKey::new(&sealer, app, "http://10.0.4.20:8080").of_nobody()))
    }

    fn set(owner: &CookieOwner, lines: &[&str]) -> Vec<String> {
        let mut headers: HeaderMap = lines.iter().map(|line| (header::SET_COOKIE, HeaderValue::from_str(line).unwrap())).collect();
        from_app(&mut headers, owner);
        headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    fn sent(owner: &CookieOwner, lines: &[&str], scripts: &[&str]) -> Option<String> {
        let headers: HeaderMap = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap())).collect();
        let scripts: Vec<Glob> = scripts.iter().map(|glob| Glob::new(*glob)).collect();
        to_app(&headers, OURS, owner, &scripts).map(|line| line.to_str().unwrap().to_owned())
    }

    /// What a browser sends of what it was told to keep.
    fn kept(lines: &[String]) -> String {
        lines.iter().map(|line| line.split(';').next().unwrap().trim()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_cookie_that_was_not_given_to_this_owner_is_not_sent() {
        let (ada, bob) = (owner("wiki"), owner("another"));
        let of_ada = kept(&set(&ada, &["sid=abc; Path=/; HttpOnly", "big=x=y"]));
        assert_eq!(sent(&ada, &[&of_ada], &[]).as_deref(), Some("sid=abc; big=x=y"));
        assert_eq!(sent(&bob, &[&of_ada], &[]), None, "somebody else's");
        assert_eq!(sent(&CookieOwner::Unknown, &[&of_ada], &[]), None, "nobody can tell whose");
        for planted in [
            "sid=abc".to_owned(),
            "sid".to_owned(),
            "sid=abc; sid~vestibule=".to_owned(),
            "sid=abc; sid~vestibule=AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            of_ada.replace("sid=abc", "sid=abd"),
            of_ada.replace("sid", "sie").replace("big", "bih"),
            of_ada.replace("sid~vestibule", "Sid~vestibule").replace("big~", "Big~"),
            "~vestibule=AAAAAAAAAAAAAAAAAAAAAA; =abc".to_owned(),
        ] {
            let left = sent(&ada, &[&planted], &[]);
            assert!(left.as_deref().is_none_or(|left| !left.contains("sid") && !left.contains("sie")), "{planted}: {left:?}");
        }
        // Two of a name, as of two paths: the one that was given passes, in lines of HTTP/2 as well.
        assert_eq!(sent(&ada, &["sid=planted", &of_ada], &[]).as_deref(), Some("sid=abc; big=x=y"));
    }

    #[test]
    fn a_script_s_cookie_passes_where_the_policy_names_it_and_ours_never() {
        let ada = owner("wiki");
        let line = format!("theme=dark; {OURS}=secret; theme~vestibule=x; {OURS}-b=secret; side=1");
        assert_eq!(sent(&ada, &[&line], &[]), None);
        assert_eq!(sent(&ada, &[&line], &["the*"]).as_deref(), Some("theme=dark"));
        assert_eq!(sent(&CookieOwner::Unknown, &[&line], &["*"]).as_deref(), Some("theme=dark; side=1"));
        assert_eq!(sent(&CookieOwner::Unbound, &["a=1; b"], &[]).as_deref(), Some("a=1; b"), "an app without it is left alone");
    }

    #[test]
    fn the_app_s_own_cookie_keeps_its_attributes_and_its_tag_has_them_too() {
        let ada = owner("wiki");
        let lines = set(&ada, &["_xsrf=2|a; expires=Sat, 21 Nov 2026 10:00:00 GMT; Path=/hub; Domain=example.com; Secure; SameSite=Lax"]);
        let [cookie, beside] = &*lines else { panic!("{lines:?}") };
        assert_eq!(cookie, "_xsrf=2|a; expires=Sat, 21 Nov 2026 10:00:00 GMT; Path=/hub; Domain=example.com; Secure; SameSite=Lax");
        let (pair, attributes) = beside.split_once("; ").unwrap();
        assert_eq!(attributes, "expires=Sat, 21 Nov 2026 10:00:00 GMT; Path=/hub; Domain=example.com; Secure; SameSite=Lax; HttpOnly");
        assert_eq!(pair.strip_prefix("_xsrf~vestibule=").map(str::len), Some(22), "{pair}");
        assert_eq!(set(&ada, &["a=1; httpONLY"])[1].matches("ttp").count(), 1, "once is enough");
        for unbindable in ["nameless", "=nameless; Path=/", "a~vestibule=x; Path=/"] {
            assert_eq!(set(&ada, &[unbindable]), Vec::<String>::new(), "{unbindable}");
        }
        assert_eq!(set(&CookieOwner::Unknown, &["a=1"]), Vec::<String>::new());
        assert_eq!(set(&CookieOwner::Unbound, &["a=1", "nameless"]), ["a=1", "nameless"]);
    }
}
