//! Where people land when they have signed in.
//!
//! Lives here: [`Landing`], one of `[login] landing`, `landing_new`, `landing_existing`, and [`Login::landing_of`], which of the three counts for whom. A page of the same application or
//! nothing: what leads anywhere else is refused when the file is loaded and, because claims may stand in it, once more when it is rendered (promises.md, Redirects).

use super::{CanonicalPath, Login};
use crate::expr::{EvalError, Lookup, Template};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What a value keeps in an address: RFC 3986's unreserved characters. A slash in a claim does not make a folder.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The gateway's own pages.
const OURS: &str = "/.vestibule";

/// Whose arrival it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Their account was made just now.
    New,
    /// Their account was there before the gateway.
    Existing,
    /// Everybody else.
    Known,
}

/// Candidates in order; the first that can be rendered counts.
#[derive(Debug, Clone)]
pub struct Landing(pub Vec<Place>);

/// One candidate.
#[derive(Debug, Clone)]
pub enum Place {
    /// The page that was asked for.
    Requested,
    /// A path of the application.
    Page(Template),
}

impl Login {
    /// Where somebody lands; `None`: at the page that was asked for. `landing` counts for whomever no key of their own says otherwise.
    pub fn landing_of(&self, arrival: Arrival, names: &dyn Lookup) -> Option<String> {
        let own = match arrival {
            Arrival::New => self.landing_new.as_ref(),
            Arrival::Existing => self.landing_existing.as_ref(),
            Arrival::Known => None,
        };
        own.or(self.landing.as_ref())?.render(names)
    }
}

impl Landing {
    /// Paths that are the same for everybody, without query.
    pub fn fixed(&self) -> Vec<String> {
        let path = |template: &Template| template.shape("").split(['?', '#']).next().unwrap_or_default().to_owned();
        self.templates().filter(|template| template.names().is_empty()).map(path).collect()
    }

    /// Its candidates that are pages.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.0.iter().filter_map(|place| if let Place::Page(template) = place { Some(template) } else { None })
    }

    /// The path and query; `None`: the page that was asked for, also when no candidate can be rendered for this person.
    pub fn render(&self, names: &dyn Lookup) -> Option<String> {
        for place in &self.0 {
            match place {
                Place::Requested => return None,
                Place::Page(template) => {
                    if let Some(path) = template.render_escaped(names, &escaped).ok().filter(|path| is_local(path)) {
                        return Some(path);
                    }
                }
            }
        }
        None
    }
}

impl Place {
    /// The candidate that `template` writes; `None` when it could lead off the application whatever the claims are.
    pub fn of(template: Template) -> Option<Self> {
        match template.shape("x") {
            requested if requested == "requested" => Some(Self::Requested),
            shape => is_local(&shape).then_some(Self::Page(template)),
        }
    }
}

/// A value, as a part of an address.
fn escaped(value: &Value) -> Result<String, EvalError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(EvalError::Type("no text, which an address takes".to_owned())),
    };
    if text.trim().is_empty() {
        return Err(EvalError::Absent("blank".to_owned()));
    }
    Ok(utf8_percent_encode(&text, VALUE).to_string())
}

/// A path on the same host, whatever a browser makes of it: `/x`, never `//x`, `/\x`; and the application's, not ours.
pub(crate) fn is_local(written: &str) -> bool {
    let path = written.split(['?', '#']).next().unwrap_or_default();
    let Ok(path) = CanonicalPath::parse(path) else { return false };
    let ours = path.as_str().get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    !ours && written.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Landing, Place, is_local};
    use crate::expr::{Env, Template};
    use crate::policy::Login;
    use serde_json::{Map, Value, json};

    fn place(text: &str) -> Option<Place> {
        Place::of(Template::compile(text, &Env::sign_in().with_user([]).with_roles()).unwrap().0)
    }

    fn landing(texts: &[&str]) -> Landing {
        Landing(texts.iter().map(|text| place(text).unwrap()).collect())
    }

    fn names(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn row_31_no_landing_leaves_the_application() {
        for wrong in [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil",
            "/ a",
            "/a\r\nX: y",
            "/../x",
            "/a//b",
            "/%2f/evil.example",
            "/.vestibule/logout",
            "/.Vestibule/login",
            "/%2evestibule/logout",
            "/ü",
        ] {
            assert!(!is_local(wrong), "{wrong:?}");
            assert!(place(wrong).is_none(), "{wrong:?}");
        }
        for wrong in ["{claims.home}", "//{username}", "https://{idp}/"] {
            assert!(place(wrong).is_none(), "{wrong}");
        }
        // Rendered: a claim cannot climb, begin a host or add a folder.
        let check = |text: &str, username: &str, expected: Option<&str>| {
            let found = landing(&[text]).render(&names(&json!({"username": username})));
            assert_eq!(found.as_deref(), expected, "{text} {username:?}");
        };
        check("/{username}/evil.example", "", None);
        check("/{username}", "..", None);
        check("/u/{username}", ".", None);
        check("/u/{username}", "a/b", None);
        check("/{username}", "/evil.example", None);
        check("/{username}", "\\evil.example", None);
        check("/{username}", "a\r\nb", None);
        check("/{username}", ".vestibule", None);
        check("/u/{username}", "  ", None);
        check("/u/{username}", "ada lovelace?x=1#y", Some("/u/ada%20lovelace%3Fx%3D1%23y"));
        check("/u/{username}", "Zoë", Some("/u/Zo%C3%AB"));
        check("/u?name={username}", "a&b=c", Some("/u?name=a%26b%3Dc"));
    }

    #[test]
    fn row_31_the_first_candidate_that_has_a_value_counts_and_each_outcome_has_its_own() {
        let login = Login {
            landing: Some(landing(&["/org/{orgs[0]}", "/home"])),
            landing_new: Some(landing(&["/welcome?as={user.name}"])),
            landing_existing: Some(landing(&["requested"])),
            ..Login::default()
        };
        let check = |arrival: Arrival, orgs: Value, expected: Option<&str>| {
            let found = login.landing_of(arrival, &names(&json!({"orgs": orgs, "user": {"name": "ada"}})));
            assert_eq!(found.as_deref(), expected, "{arrival:?}");
        };
        check(Arrival::Known, json!([7, 9]), Some("/org/7"));
        check(Arrival::Known, json!(["a b"]), Some("/org/a%20b"));
        check(Arrival::Known, json!([]), Some("/home"));
        check(Arrival::New, json!([7]), Some("/welcome?as=ada"));
        check(Arrival::Existing, json!([7]), None);
        assert_eq!(Login::default().landing_of(Arrival::New, &Map::new()), None);
        let for_all = Login { landing: Some(landing(&["/home"])), ..Login::default() };
        for arrival in [Arrival::New, Arrival::Existing, Arrival::Known] {
            assert_eq!(for_all.landing_of(arrival, &Map::new()).as_deref(), Some("/home"), "{arrival:?}");
        }
    }
}
