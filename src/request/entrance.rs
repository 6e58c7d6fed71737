//! The way into an app that does not read on every request who it is, and the way out.
//!
//! Lives here: [`way_in`] and [`way_back`] (by `[sign_in] login_url` and back), [`basic`] (`Authorization: Basic`) and [`signs_out`] (`logout_paths`). What the page was that led
//! to the login address travels in the address, in [`BACK`], and not in the session: two tabs have two. It is taken out before the app sees it.

use super::{Bearings, Route};
use crate::policy::SignIn;
use crate::policy::landing::is_local;
use crate::session::{AppSession, Pass};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};

/// Parameter of the login address.
const BACK: &str = "vestibule-back";
/// Longest address that is led back to; beyond that the app decides where people land.
const BACK_BYTES_MAX: usize = 4096;

/// Where a page leads first: to the login address, once, when the app has not signed this session in yet.
pub(super) fn way_in(bearings: &Bearings, route: &Route, session: &AppSession, pass: &Pass) -> Option<String> {
    let sign_in = &route.policy.sign_in;
    let login = sign_in.login_url.as_deref().filter(|login| *login != bearings.path.as_str() && !sign_in.mode.enters())?;
    let keys = route.shared.cookies.as_ref()?;
    if bearings.method != Method::GET || session.binding(&keys.key, &pass.told).has_entered() {
        return None;
    }
    // A page that signs out must not sign in first.
    (!sign_in.signs_out_at(bearings.method.as_str(), &bearings.path)).then(|| address(login, bearings.target.as_str()))
}

/// Whether the gateway has to sign this session in at the app.
pub(super) fn is_to_be_entered(route: &Route, session: &AppSession, pass: &Pass) -> bool {
    let keys = route.shared.cookies.as_ref().filter(|_| route.policy.sign_in.mode.enters());
    keys.is_some_and(|keys| !session.binding(&keys.key, &pass.told).has_entered())
}

/// The login address, from `page` and back.
pub(crate) fn address(login: &str, page: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(BACK, page).finish();
    format!("{login}?{query}")
}

/// At the login address: takes our parameter out of the target, and says what page it names.
pub(super) fn way_back(target: &mut PathAndQuery, sign_in: &SignIn) -> Option<String> {
    let here = sign_in.login_url.as_deref().is_some_and(|login| login == target.path());
    let query = target.query().filter(|query| here && query.contains(BACK))?;
    let named = |pair: &&str| pair.split('=').next() == Some(BACK);
    let back = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == BACK).map(|(_, value)| value.into_owned());
    let rest: Vec<&str> = query.split('&').filter(|pair| !named(pair)).collect();
    let without = if rest.is_empty() { target.path().to_owned() } else { format!("{}?{}", target.path(), rest.join("&")) };
    // Somebody else may have written the link: it leads to a page of this app or nowhere, and not in a circle.
    let back = back
        .filter(|back| back.len() <= BACK_BYTES_MAX && is_local(back) && !sign_in.announces_at(back.split(['?', '#']).next().unwrap_or_default()));
    *target = without.parse().ok()?;
    back
}

/// `Authorization: Basic` (RFC 7617 2); `None` for a login that cannot be told from what follows it.
pub(super) fn basic(login: &str, password: &SecretString) -> Option<HeaderValue> {
    if login.contains(':') {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{login}:{}", password.expose_secret())))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether the app signs people out at this request; `Some(false)`: a page of another site may have sent the browser there, so that they are to be asked.
pub(super) fn signs_out(bearings: &Bearings, route: &Route) -> Option<bool> {
    let sign_in = &route.policy.sign_in;
    sign_in.signs_out_at(bearings.method.as_str(), &bearings.path).then(|| is_asked_for(bearings))
}

/// Whether the person asked for it: a page of this app, or what they typed. Browsers say so in `Sec-Fetch-Site`, which no page can forge; older ones show where the
/// request was made.
fn is_asked_for(bearings: &Bearings) -> bool {
    if let Some(site) = bearings.headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let shown = bearings.headers.get(header::ORIGIN).or_else(|| bearings.headers.get(header::REFERER));
    let place = shown.and_then(|value| value.to_str().ok()).and_then(|text| text.split_once("://"));
    place.is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|authority| authority.as_bytes() == bearings.authority.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{BACK, address, basic, way_back};
    use crate::policy::SignIn;

    #[test]
    fn the_way_back_leads_to_a_page_of_the_app_or_nowhere() {
        let sign_in = SignIn { login_url: Some("/hub/login".to_owned()), ..SignIn::default() };
        let check = |target: &str, expected: &str, back: Option<&str>| {
            let mut left = target.parse().unwrap();
            let found = way_back(&mut left, &sign_in);
            assert_eq!((left.as_str(), found.as_deref()), (expected, back), "{target}");
        };
        check(&address("/hub/login", "/a?b=c&d=%2F#"), "/hub/login", Some("/a?b=c&d=%2F#"));
        check(&format!("/hub/login?next=x&{BACK}=%2Fa&y"), "/hub/login?next=x&y", Some("/a"));
        for elsewhere in
            ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example", "evil", "", "%2F.vestibule%2Flogout", "%2Fhub%2Flogin%3Fx"]
        {
            check(&format!("/hub/login?{BACK}={elsewhere}"), "/hub/login", None);
        }
        check(&format!("/hub/home?{BACK}=%2Fa"), &format!("/hub/home?{BACK}=%2Fa"), None);
        check("/hub/login?next=%2Fa", "/hub/login?next=%2Fa", None);
    }

    #[test]
    fn a_login_with_a_colon_is_not_sent_and_a_password_is_not_shown() {
        assert_eq!(basic("ada:x", &"pw".to_owned().into()), None);
        let value = basic("ada", &"open:sesame".to_owned().into()).unwrap();
        assert_eq!(value, "Basic YWRhOm9wZW46c2VzYW1l");
        assert!(value.is_sensitive() && format!("{value:?}") == "Sensitive");
    }
}
