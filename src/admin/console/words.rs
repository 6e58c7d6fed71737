//! Words and addresses of the console's pages.

use crate::clock::Timestamp;
use crate::fault::PublicMessage;
use crate::observe::audit::rfc3339;
use crate::provision::Off;
use crate::state::{AccountState, Awaiting};
use serde::Serialize;

/// A value of the query, decoded; `None` when it is absent, empty or there twice.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let value = values.next().filter(|value| !value.trim().is_empty())?;
    values.next().is_none().then_some(value)
}

/// `/person?issuer=…&subject=…`.
pub(super) fn address<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The page of a person.
pub(super) fn person(issuer: &str, subject: &str) -> String {
    address("/person", [("issuer", issuer), ("subject", subject)])
}

/// `2026-11-21 22:20:17 UTC`.
pub(super) fn moment(at: Timestamp) -> String {
    let written = rfc3339(at);
    let (day, time) = written.split_once('T').unwrap_or((&written, ""));
    format!("{day} {} UTC", time.get(..8).unwrap_or_default())
}

/// `2026-11-21 22:20:17 UTC` of what others have written by RFC 3339.
pub(super) fn written(at: &str) -> String {
    let (day, time) = at.split_once('T').unwrap_or((at, ""));
    format!("{day} {} UTC", time.get(..8).unwrap_or(time))
}

/// `3 h`: one unit is enough for people.
pub(super) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The word of a closed set, as its JSON has it: `awaiting_approval` is `awaiting approval`.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(|word| word.replace('_', " "))).unwrap_or_default()
}

/// What a human is asked to say yes to, as a question about it begins.
pub(super) const fn asked_for(awaiting: Awaiting) -> &'static str {
    match awaiting {
        Awaiting::Account => "an account, beyond max_accounts",
        Awaiting::Join => "memberships for an account that was there before",
        Awaiting::Leave => "switching the account off, or removing it: too many at once",
    }
}

/// A state, as people read it, and whether somebody should look.
pub(super) const fn state(state: AccountState) -> (&'static str, bool) {
    match state {
        AccountState::Provisioning => ("being made", false),
        AccountState::Active => ("active", false),
        AccountState::Degraded => ("in part", true),
        AccountState::LinkedUnmanaged => ("linked, left as it was", false),
        AccountState::Pending => ("to be tried again", true),
        AccountState::AwaitingApproval => ("awaiting approval", true),
        AccountState::Conflict => ("needs a human", true),
        AccountState::Suspending => ("left, still on at the app", false),
        AccountState::Suspended => ("left, switched off", false),
        AccountState::Deprovisioned => ("left, removed at the app", false),
    }
}

/// Why somebody has left, of the word that is recorded.
pub(super) fn why_left(word: &str) -> &str {
    match word {
        "access" => "may not enter any more",
        "idle" => "has not come for a long time",
        other => other,
    }
}

/// What came of switching somebody's account off.
pub(super) const fn switched_off(off: Option<Off>) -> &'static str {
    match off {
        None => "nothing yet at the app",
        Some(Off::Done) => "the account is off, or gone",
        Some(Off::Unsupported) => "this app cannot switch it off: only the gateway's door is shut",
        Some(Off::Before) => "it was off already, and not by this gateway",
        Some(Off::Refused) => "it was not switched off or removed: only the gateway's door is shut",
    }
}

/// What a page said, in a word or two; its reason has a column of its own.
pub(super) fn said(message: PublicMessage) -> String {
    if matches!(message, PublicMessage::Denied(_)) { "denied".to_owned() } else { message.words() }
}

/// `3 apps`, `1 app`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::{duration, moment, parameter, person};
    use crate::clock::Timestamp;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let query = person("https://idp/a?b&c", "ada \"&<");
        let query = query.strip_prefix("/person?").unwrap();
        assert_eq!(parameter(query, "issuer").as_deref(), Some("https://idp/a?b&c"));
        assert_eq!(parameter(query, "subject").as_deref(), Some("ada \"&<"));
        assert_eq!((parameter("a=1&a=2", "a"), parameter("a=+", "a")), (None, None));
    }

    #[test]
    fn times_and_words_are_for_people() {
        assert_eq!(moment(Timestamp::from_millis(1_795_299_617_123)), "2026-11-21 22:20:17 UTC");
        assert_eq!([-5, 59_999, 3_599_000, 7_200_000, 900_000_000].map(duration), ["0 s", "59 s", "59 min", "2 h", "10 days"]);
    }
}
