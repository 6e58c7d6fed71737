//! An answer, or the lack of one, made into an [`Outcome`].

use super::xml;
use crate::clock::Timestamp;
use crate::connector::model::{Body, Call, Effect, Rule, Test};
use crate::connector::{Outcome, Trouble};
use crate::outbound::{OutboundError, OutboundResponse};
use http::{HeaderMap, header};
use serde_json::Value;

/// What an answer says.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    /// The body, when it is JSON, or the XML that is expected.
    pub(super) json: Option<Value>,
}

/// First matching line wins; what no line matches is never taken for an answer about the account.
pub(super) fn classify(call: &Call, response: &OutboundResponse) -> Verdict {
    let status = response.status.as_u16();
    let blank = response.body.iter().all(u8::is_ascii_whitespace);
    let json = if blank { None } else { tree(call, &response.body) };
    // An answer that carries an error of the protocol is never a success, whatever its status and whatever else it shows.
    let failed = json.as_ref().is_some_and(|json| carries_error(&call.body, json));
    let wanted = |rule: &&Rule| fits(rule, response, status, json.as_ref()) && !(failed && is_success(rule.outcome));
    if let Some(rule) = call.classify.iter().find(wanted) {
        let garbled = response.status.is_success() && !call.any_body && json.is_none() && (!blank || needs_json(call));
        if garbled && is_success(rule.outcome) {
            // A login page, a proxy's error page, a cut-off body: 200 says nothing then.
            let kind = if call.xml.is_some() { "XML" } else { "JSON" };
            return Verdict { outcome: unknown(call.effect), reason: format!("{status} with a body that is not {kind}"), json: None };
        }
        let reason = rule.reason.clone().unwrap_or_else(|| format!("status {status}"));
        return Verdict { outcome: rule.outcome, reason, json };
    }
    let (outcome, reason) = match status {
        _ if failed => (unknown(call.effect), "an error that the connector does not know"),
        401 | 403 => (Outcome::Reauth, "the admin credential is not accepted"),
        // RFC 6585 §4: the request was not served.
        429 => (Outcome::Retry, "too many requests"),
        300..=399 => (unknown(call.effect), "unexpected redirect"),
        _ => (unknown(call.effect), "an answer that the connector does not know"),
    };
    Verdict { outcome, reason: format!("{reason} (status {status})"), json }
}

/// The body as a tree; `None`: it is none.
fn tree(call: &Call, body: &[u8]) -> Option<Value> {
    match &call.xml {
        Some(lists) => xml::parse(body, lists),
        None => serde_json::from_slice(body).ok(),
    }
}

/// A count in an answer; in XML all is text.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// JSON-RPC 2.0 §5.1 `error`; GraphQL (October 2021) §7.1.2 `errors`.
fn carries_error(body: &Body, json: &Value) -> bool {
    match body {
        Body::JsonRpc { .. } => json.get("error").is_some_and(|error| !error.is_null()),
        Body::GraphQl { .. } => json.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty()),
        Body::Empty | Body::Json(_) | Body::Form(_) | Body::Text(_) | Body::Signed { .. } => false,
    }
}

/// Whether an answer is to the request with this id (JSON-RPC 2.0 §5): an error that was met before the id was read has none.
pub(super) fn is_to(call: &Call, response: &OutboundResponse, id: u64) -> bool {
    if !matches!(call.body, Body::JsonRpc { .. }) || !response.status.is_success() {
        return true;
    }
    // What is no JSON object is told apart by `classify`.
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(&response.body) else { return true };
    match answer.get("id") {
        Some(Value::Null) => answer.get("error").is_some_and(|error| !error.is_null()),
        Some(Value::Number(number)) => number.as_u64() == Some(id),
        Some(Value::String(text)) => *text == id.to_string(),
        None | Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

pub(super) const fn unknown(effect: Effect) -> Outcome {
    match effect {
        Effect::Read => Outcome::Retry,
        Effect::Write | Effect::Destroy => Outcome::InDoubt,
    }
}

/// Whether nothing can be made of a success without a body.
fn needs_json(call: &Call) -> bool {
    call.effect == Effect::Read && (call.select.is_some() || call.paginate.is_some() || !call.save.is_empty())
}

/// Outcomes that end a step well.
pub(super) const fn is_success(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Found | Outcome::Created | Outcome::Updated | Outcome::Unchanged | Outcome::Done)
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Found,
    Absent,
    Ambiguous,
    /// The app cannot be asked in this way.
    Unsupported,
    Trouble,
}

pub(super) const fn look(outcome: Outcome) -> Look {
    match outcome {
        Outcome::Found | Outcome::Done | Outcome::Created | Outcome::Updated | Outcome::Unchanged => Look::Found,
        Outcome::Absent | Outcome::Gone => Look::Absent,
        Outcome::Ambiguous => Look::Ambiguous,
        Outcome::Unsupported => Look::Unsupported,
        Outcome::Exists | Outcome::Conflict | Outcome::Denied | Outcome::Invalid | Outcome::Retry | Outcome::Reauth | Outcome::InDoubt => {
            Look::Trouble
        }
    }
}

fn fits(rule: &Rule, response: &OutboundResponse, status: u16, json: Option<&Value>) -> bool {
    let shows = |(name, regex): &(http::HeaderName, regex::Regex)| {
        response.headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|text| regex.is_match(text)))
    };
    let status_fits = if rule.status.is_empty() {
        // A line about bodies never speaks about credentials, redirects, load or crashes.
        matches!(status, 200..=299 | 400..=499) && !matches!(status, 401 | 403 | 429)
    } else {
        rule.status.contains(&status)
    };
    status_fits
        && rule.json.iter().all(|(pointer, test)| json.is_some_and(|json| holds(test, pointer.first(json))))
        && rule.headers.iter().all(shows)
        && rule.body.as_ref().is_none_or(|regex| regex.is_match(&String::from_utf8_lossy(&response.body)))
}

fn holds(wanted: &Test, found: Option<&Value>) -> bool {
    match wanted {
        Test::Exists(there) => found.is_some_and(|value| !value.is_null()) == *there,
        Test::Equals(value) => found == Some(value),
        Test::Matches(regex) => match found {
            Some(Value::String(text)) => regex.is_match(text),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => regex.is_match(&value.to_string()),
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => false,
        },
    }
}

/// No answer: whether the write may have happened decides.
pub(super) fn no_answer(step: &str, effect: Effect, error: &OutboundError) -> Trouble {
    let outcome = match error {
        OutboundError::Connect(_) => Outcome::Retry,
        OutboundError::Interrupted(_) | OutboundError::Timeout(_) | OutboundError::TooLarge(_) => unknown(effect),
    };
    Trouble { step: step.to_owned(), outcome, retry_after_ms: None, status: None, detail: error.to_string() }
}

/// `Retry-After` in milliseconds: seconds or a date (RFC 9110 §10.2.3); at most a day.
pub(super) fn retry_after_ms(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    const DAY_MS: u64 = 86_400_000;
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000).min(DAY_MS));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at_ms = i64::try_from(at.as_millis()).ok()?;
    u64::try_from(at_ms.saturating_sub(now.millis()).max(0)).ok().map(|ms| ms.min(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::retry_after_ms;
    use crate::clock::Timestamp;
    use http::{HeaderMap, HeaderValue, header};

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_a_day() {
        let now = Timestamp::from_seconds(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let check = |text: &'static str, expected: Option<u64>| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after_ms(&headers, now), expected, "{text}");
        };
        check("soon", None);
        check("-3", None);
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("99999999999999", Some(86_400_000));
        check("7", Some(7000));
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30_000));
    }
}
