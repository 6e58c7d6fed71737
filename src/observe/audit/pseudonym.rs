//! `[audit] pii = "hash"`: who it was, without saying who.
//!
//! Lives here: [`Pseudonyms`]. The same value is the same pseudonym, in every field and after every restart, so that what one person did can be followed, and so
//! that somebody who is asked about can be looked for; without `[state] key` nobody can try addresses against it. Apart because it goes before every shape: a
//! shape cannot bring back what is gone.

use super::fields::Fields;
use crate::state::seal::Sealer;
use serde_json::{Map, Value};

/// Fields that say nothing of a person. Every other text is hashed: a field that somebody adds to an event is private until it is listed here.
const PLAIN: &[&str] = &[
    "action",
    "attempt",
    "incident",
    "trace_id",
    "app",
    "idp",
    "user.iss",
    "src.ip",
    "http.method",
    "policy.file",
    "policy.revision",
    "rule",
    "key.kid",
];
/// Free text, which may repeat what another field says.
const REASON: &str = "reason";
/// Shorter names are looked for as whole words only.
const PART_CHARS_MIN: usize = 4;

/// Makes pseudonyms under `[state] key`.
#[derive(Debug)]
pub struct Pseudonyms(Sealer);

impl Pseudonyms {
    /// Under a key of its own, derived from the key that `sealer` was made of.
    pub const fn new(sealer: Sealer) -> Self {
        Self(sealer)
    }

    /// `h:` and 128 bits in hex of an HMAC-SHA-256.
    pub fn of(&self, value: &str) -> String {
        let mac = self.0.lookup("audit pseudonym", &[value]);
        format!("h:{}", hex::encode(mac.get(..16).unwrap_or_default()))
    }

    /// Hashes everything that may say who somebody is.
    pub(super) fn hide(&self, event: &mut Fields) {
        let mut names = Vec::new();
        self.hide_within("", &mut event.0, &mut names);
        if let Some(Value::String(reason)) = event.0.get_mut(REASON) {
            *reason = self.scrub(reason, &names);
        }
    }

    /// What is hashed is noted in `names`, lower case.
    fn hide_within(&self, prefix: &str, fields: &mut Map<String, Value>, names: &mut Vec<String>) {
        for (name, value) in fields {
            let path = format!("{prefix}{name}");
            match value {
                Value::Object(group) => self.hide_within(&format!("{path}."), group, names),
                Value::String(text) if !text.is_empty() && path != REASON && !PLAIN.contains(&path.as_str()) => {
                    let lower = text.to_lowercase();
                    // A login is often what stands before the @; and words are what is looked for below (`CORP\ada`, `auth0|5f3`).
                    names.extend(
                        lower.split('@').next().into_iter().chain(lower.split(|c| !in_name(c))).filter(|name| !name.is_empty()).map(str::to_owned),
                    );
                    *text = self.of(text);
                }
                Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
            }
        }
    }

    /// `text` without addresses and without these names, whole or within a longer word (`ada2`, `team-ada`).
    fn scrub(&self, text: &str, names: &[String]) -> String {
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !in_name(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if is_private(word, names) {
                out.push_str(&self.of(word));
            } else {
                out.push_str(word);
            }
            let gap = after.find(in_name).unwrap_or(after.len());
            let (between, next) = after.split_at(gap);
            out.push_str(between);
            rest = next;
        }
        out
    }
}

/// Whether `word` is an address, or has one of `names` in it.
fn is_private(word: &str, names: &[String]) -> bool {
    let lower = word.to_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_alphanumeric());
    let within = |name: &String| name.chars().count() >= PART_CHARS_MIN && lower.contains(name.as_str());
    lower.contains('@') || names.iter().any(|name| bare == name || lower == *name || within(name))
}

/// What an address or a login may be made of.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@')
}

#[cfg(test)]
mod tests {
    use super::Pseudonyms;
    use crate::entropy::OsEntropy;
    use crate::observe::audit::fields::fields;
    use crate::state::seal::Sealer;
    use secrecy::SecretString;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn pseudonyms(key: &str) -> Pseudonyms {
        Pseudonyms::new(Sealer::new(&SecretString::from(key), Arc::new(OsEntropy::default())).unwrap())
    }

    const KEY: &str = "a key for tests that is long enough to be one";

    #[test]
    fn a_pseudonym_is_stable_and_worth_nothing_without_the_key() {
        let (one, again, other) = (pseudonyms(KEY), pseudonyms(KEY), pseudonyms("another key for tests, long enough to be one"));
        let made = one.of("ada@example.com");
        let hex = made.strip_prefix("h:").unwrap();
        assert!(hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        assert_eq!(made, again.of("ada@example.com"), "a restart changes nothing");
        assert_ne!(made, other.of("ada@example.com"));
        assert_ne!(made, one.of("bob@example.com"));
    }

    #[test]
    fn who_it_was_is_hashed_and_what_it_was_is_not() {
        let made = pseudonyms(KEY);
        let private = [
            ("user.sub", "u-1"),
            ("user.email", "ada@example.com"),
            ("user.name", "Ada Lovelace"),
            ("account.login", "ada"),
            ("account.id", "4711"),
            ("actor", "root"),
            ("url.path", "/people/ada"),
            ("nickname", "countess"),
        ];
        let plain = [
            ("action", "account.failed"),
            ("attempt", "create"),
            ("incident", "7KQ4-M2XD"),
            ("app", "wiki"),
            ("idp", "corp"),
            ("user.iss", "https://idp.example"),
            ("src.ip", "192.0.2.7"),
            ("http.method", "GET"),
            ("policy.file", "wiki.toml"),
            ("rule", "wiki.toml:12"),
        ];
        let mut event = fields(&[private.as_slice(), plain.as_slice()].concat());
        event.0.insert("count".into(), json!(3));
        event.0.insert("empty".into(), json!(""));
        made.hide(&mut event);
        for (path, value) in private {
            assert_eq!(event.text(path), made.of(value), "{path}");
        }
        for (path, value) in plain {
            assert_eq!(event.text(path), value, "{path}");
        }
        assert_eq!((&event.0["count"], &event.0["empty"]), (&json!(3), &Value::from("")));
    }

    #[test]
    fn reasons_do_not_say_it_either() {
        let made = pseudonyms(KEY);
        let check = |reason: &str, expected: &str| {
            let mut event = fields(&[("user.sub", "al"), ("user.email", "Ada.L@example.com"), ("account.login", "adal"), ("reason", reason)]);
            made.hide(&mut event);
            assert_eq!(event.text("reason"), expected, "{reason}");
        };
        let h = |value: &str| made.of(value);
        check("groups", "groups");
        check("enabled = false, when_disabled = \"deny_all\"", "enabled = false, when_disabled = \"deny_all\"");
        check("create/post: conflict: taken (status 409)", "create/post: conflict: taken (status 409)");
        check("the login `adal` is taken", &format!("the login `{}` is taken", h("adal")));
        check("ADAL2: taken", &format!("{}: taken", h("ADAL2")));
        check("mail to somebody.else@example.org failed", &format!("mail to {} failed", h("somebody.else@example.org")));
        check("add group team-adal; add group al", &format!("add group {}; add group {}", h("team-adal"), h("al")));
        check("ada.l is not there", &format!("{} is not there", h("ada.l")));
        check("al.", &h("al."));
        let mut event = fields(&[("account.login", "CORP\\adal"), ("user.sub.alias", "zoe"), ("reason", "no CORP\\adal, no zoe - none")]);
        made.hide(&mut event);
        assert_eq!(event.text("reason"), format!("no {}\\{}, no {} - none", h("CORP"), h("adal"), h("zoe")));
        check("final", "final");
        check("", "");
    }
}
