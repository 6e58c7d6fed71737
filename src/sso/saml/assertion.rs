//! What a verified response must say, by our clock, and what it says about the person. Pure.
//!
//! Lives here: [`judge`] and [`Judged`]. It is handed the element that a signature was verified over, and the outer response, which may be unsigned: that
//! one is believed in nothing, and must still not contradict. Profiles 4.1.4.2 and 4.1.4.3 have the list; attacks.md S13 to S23 has what became of those who left one out.

use super::Refused;
use super::names::{ASSERTION, BEARER, ENTITY, PERSISTENT, TRANSIENT, parse_time};
use super::xml::Element;
use crate::clock::Timestamp;
use crate::config::SamlSubject;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Clocks may differ by this much.
pub(super) const SKEW_MS: i64 = 180_000;
/// Longest subject: what a column of an account table holds.
const SUBJECT_CHARS_MAX: usize = 256;
/// Values of one attribute.
const VALUES_MAX: usize = 10_000;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// The provider's entity id.
    pub(super) issuer: &'a str,
    /// Ours.
    pub(super) audience: &'a str,
    /// Where the browser was told to come.
    pub(super) acs: &'a str,
    /// `ID` of the `AuthnRequest`.
    pub(super) request_id: &'a str,
    /// As asked for.
    pub(super) max_age_s: Option<i64>,
    /// When the browser was sent to the provider.
    pub(super) begun_at: Timestamp,
    /// Our clock.
    pub(super) now: Timestamp,
    /// What names a person for good.
    pub(super) subject: &'a SamlSubject,
}

/// What a sign-out sends back to the provider: the name as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NameId {
    pub(super) value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name_qualifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sp_name_qualifier: Option<String>,
    /// Of the provider's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) session_index: Option<String>,
}

/// An assertion that holds.
#[derive(Debug)]
pub(super) struct Judged {
    /// What names the person.
    pub(super) subject: String,
    /// The name as it came.
    pub(super) name_id: Option<NameId>,
    /// Every attribute: one value as text, several or none as a list.
    pub(super) attributes: Map<String, Value>,
    /// When they proved who they are.
    pub(super) auth_time: Timestamp,
    /// `SessionIndex`.
    pub(super) session_index: Option<String>,
    /// `SessionNotOnOrAfter`.
    pub(super) session_until: Option<Timestamp>,
    /// `ID` of the assertion, which is good once.
    pub(super) id: String,
    /// How long it could be shown again.
    pub(super) until: Timestamp,
}

/// Judges. `outer`: the response; `response_signed`: whether what stands there was signed.
///
/// # Errors
/// [`Refused`]: the first check that does not hold.
pub(super) fn judge(outer: &Element, response_signed: bool, assertion: &Element, expected: &Expected<'_>) -> Result<Judged, Refused> {
    response(outer, response_signed, expected)?;
    version_and_issuer(assertion, expected)?;
    issued(assertion, expected)?;
    let id = assertion.attribute("ID").filter(|id| !id.is_empty()).ok_or_else(|| Refused::new("ID", "none"))?.to_owned();
    let conditions_until = conditions(assertion, expected)?;
    let subject_element = assertion.child(ASSERTION, "Subject").ok_or_else(|| Refused::new("subject", "none"))?;
    let confirmed_until = confirmed(subject_element, expected)?;
    let (auth_time, session_index, session_until) = authenticated(assertion, expected)?;
    let attributes = attributes(assertion)?;
    let name_id = subject_element.child(ASSERTION, "NameID").map(|element| name_id(element, session_index.clone()));
    let subject = subject(name_id.as_ref(), &attributes, expected)?;
    // Good for as long as a provider's clock that is late says so.
    let until = conditions_until.map_or(confirmed_until, |until| until.min(confirmed_until)).plus_ms(SKEW_MS);
    Ok(Judged { subject, name_id, attributes, auth_time, session_index, session_until, id, until })
}

/// Profiles 4.1.4.2, Bindings 3.5.5.2.
fn response(outer: &Element, signed: bool, expected: &Expected<'_>) -> Result<(), Refused> {
    version(outer)?;
    match outer.attribute("Destination") {
        Some(destination) if destination == expected.acs => {}
        None if !signed => {}
        other => return Err(Refused::expected("Destination", expected.acs, shown(other))),
    }
    if outer.attribute("InResponseTo") != Some(expected.request_id) {
        return Err(Refused::expected("InResponseTo", "the request that this browser was sent with", shown(outer.attribute("InResponseTo"))));
    }
    if let Some(issuer) = outer.child(ASSERTION, "Issuer") {
        is_issuer(issuer, expected)?;
    }
    issued(outer, expected)
}

fn version(element: &Element) -> Result<(), Refused> {
    match element.attribute("Version") {
        Some("2.0") => Ok(()),
        other => Err(Refused::expected("Version", "2.0", shown(other))),
    }
}

fn version_and_issuer(assertion: &Element, expected: &Expected<'_>) -> Result<(), Refused> {
    version(assertion)?;
    let issuer = assertion.child(ASSERTION, "Issuer").ok_or_else(|| Refused::expected("Issuer", expected.issuer, "none"))?;
    is_issuer(issuer, expected)
}

fn is_issuer(issuer: &Element, expected: &Expected<'_>) -> Result<(), Refused> {
    let named = issuer.text();
    if named.trim_ascii() != expected.issuer || issuer.attribute("Format").is_some_and(|format| format != ENTITY) {
        return Err(Refused::expected("Issuer", expected.issuer, shown(Some(&named))));
    }
    Ok(())
}

/// Not before the browser was sent there, and not in time to come.
fn issued(element: &Element, expected: &Expected<'_>) -> Result<(), Refused> {
    let written = element.attribute("IssueInstant");
    let at = written.and_then(parse_time).ok_or_else(|| Refused::expected("IssueInstant", "a time in UTC", shown(written)))?;
    if at > expected.now.plus_ms(SKEW_MS) || at < expected.begun_at.plus_ms(-SKEW_MS) {
        return Err(Refused::expected("IssueInstant", "since the sign-in began", shown(written)));
    }
    Ok(())
}

/// Core 2.5.1: all of them hold, or nothing does. The end of the validity, if there is one.
fn conditions(assertion: &Element, expected: &Expected<'_>) -> Result<Option<Timestamp>, Refused> {
    let conditions = assertion.child(ASSERTION, "Conditions").ok_or_else(|| Refused::expected("Conditions", "some", "none"))?;
    let until = window(conditions, "Conditions", expected.now)?;
    // Core 2.5.1.4: several restrictions are all in force; the audiences of one are alternatives.
    let mut restrictions = conditions.all(ASSERTION, "AudienceRestriction").peekable();
    if restrictions.peek().is_none() {
        return Err(Refused::expected("audience", expected.audience, "no restriction"));
    }
    for restriction in restrictions {
        let audiences: Vec<String> = restriction.all(ASSERTION, "Audience").map(Element::text).collect();
        if !audiences.iter().any(|audience| audience.trim_ascii() == expected.audience) {
            return Err(Refused::expected("audience", expected.audience, shown(audiences.first().map(String::as_str))));
        }
    }
    Ok(until)
}

/// `NotBefore` and `NotOnOrAfter`, with the skew; the end, if there is one.
fn window(element: &Element, check: &'static str, now: Timestamp) -> Result<Option<Timestamp>, Refused> {
    let read = |name: &str| match element.attribute(name) {
        None => Ok(None),
        Some(written) => parse_time(written).map(Some).ok_or_else(|| Refused::expected(check, "times in UTC", shown(Some(written)))),
    };
    let (from, until) = (read("NotBefore")?, read("NotOnOrAfter")?);
    if from.is_some_and(|from| now.plus_ms(SKEW_MS) < from) {
        return Err(Refused::expected(check, "valid by now", shown(element.attribute("NotBefore"))));
    }
    if until.is_some_and(|until| now.plus_ms(-SKEW_MS) >= until) {
        return Err(Refused::expected(check, "still valid", shown(element.attribute("NotOnOrAfter"))));
    }
    Ok(until)
}

/// Profiles 4.1.4.2: a bearer confirmation for us, for this request, that ends. The end.
fn confirmed(subject: &Element, expected: &Expected<'_>) -> Result<Timestamp, Refused> {
    let mut why = Refused::expected("SubjectConfirmation", "bearer", "none");
    for confirmation in subject.all(ASSERTION, "SubjectConfirmation") {
        match bearer(confirmation, expected) {
            Ok(until) => return Ok(until),
            Err(refused) => why = refused,
        }
    }
    Err(why)
}

fn bearer(confirmation: &Element, expected: &Expected<'_>) -> Result<Timestamp, Refused> {
    const CHECK: &str = "SubjectConfirmation";
    if confirmation.attribute("Method") != Some(BEARER) {
        return Err(Refused::expected(CHECK, "bearer", shown(confirmation.attribute("Method"))));
    }
    let mut all = confirmation.all(ASSERTION, "SubjectConfirmationData");
    let (Some(data), None) = (all.next(), all.next()) else { return Err(Refused::expected(CHECK, "data", "none, or twice")) };
    if data.attribute("Recipient") != Some(expected.acs) {
        return Err(Refused::expected("Recipient", expected.acs, shown(data.attribute("Recipient"))));
    }
    if data.attribute("InResponseTo") != Some(expected.request_id) {
        let found = shown(data.attribute("InResponseTo"));
        return Err(Refused::expected("InResponseTo", "the request that this browser was sent with", found));
    }
    if data.attribute("NotBefore").is_some() {
        return Err(Refused::expected(CHECK, "no NotBefore", "one"));
    }
    window(data, CHECK, expected.now)?.ok_or_else(|| Refused::expected(CHECK, "NotOnOrAfter", "none"))
}

/// Core 2.7.2: when, in which session, and until when that lasts.
fn authenticated(assertion: &Element, expected: &Expected<'_>) -> Result<(Timestamp, Option<String>, Option<Timestamp>), Refused> {
    let mut newest: Option<(Timestamp, Option<String>)> = None;
    let mut session_until: Option<Timestamp> = None;
    for statement in assertion.all(ASSERTION, "AuthnStatement") {
        let written = statement.attribute("AuthnInstant");
        let at = written.and_then(parse_time).ok_or_else(|| Refused::expected("AuthnInstant", "a time in UTC", shown(written)))?;
        if at > expected.now.plus_ms(SKEW_MS) {
            return Err(Refused::expected("AuthnInstant", "in the past", shown(written)));
        }
        if let Some(written) = statement.attribute("SessionNotOnOrAfter") {
            let until = parse_time(written).ok_or_else(|| Refused::expected("SessionNotOnOrAfter", "a time in UTC", shown(Some(written))))?;
            if expected.now.plus_ms(-SKEW_MS) >= until {
                return Err(Refused::expected("SessionNotOnOrAfter", "a session that lasts", shown(Some(written))));
            }
            session_until = Some(session_until.map_or(until, |other| other.min(until)));
        }
        if newest.as_ref().is_none_or(|(other, _)| at > *other) {
            newest = Some((at, statement.attribute("SessionIndex").map(str::to_owned)));
        }
    }
    let (at, session_index) = newest.ok_or_else(|| Refused::expected("AuthnStatement", "one", "none"))?;
    Ok((fresh_enough(at, expected)?, session_index, session_until))
}

/// Core 3.4.1, `ForceAuthn`: who was asked to prove themselves anew has done so since.
fn fresh_enough(at: Timestamp, expected: &Expected<'_>) -> Result<Timestamp, Refused> {
    let Some(max_age_s) = expected.max_age_s else { return Ok(at) };
    let oldest = expected.begun_at.plus_ms(max_age_s.saturating_mul(-1000));
    if at >= oldest {
        Ok(at)
    } else if at >= oldest.plus_ms(-SKEW_MS) {
        // A clock that is a little late must not send people in circles.
        Ok(oldest)
    } else {
        Err(Refused::expected("AuthnInstant", "a sign-in as recent as was asked for", "an older one"))
    }
}

fn name_id(element: &Element, session_index: Option<String>) -> NameId {
    let optional = |name| element.attribute(name).map(str::to_owned);
    NameId {
        value: element.text().trim().to_owned(),
        format: optional("Format"),
        name_qualifier: optional("NameQualifier"),
        sp_name_qualifier: optional("SPNameQualifier"),
        session_index,
    }
}

/// What names the person: the same at every sign-in, and never another's.
fn subject(name_id: Option<&NameId>, attributes: &Map<String, Value>, expected: &Expected<'_>) -> Result<String, Refused> {
    let found = match expected.subject {
        SamlSubject::Attribute(name) => match attributes.get(name) {
            Some(Value::String(one)) => one.clone(),
            Some(_) => return Err(Refused::expected("subject", format!("one value of {name}"), "several, or none")),
            None => return Err(Refused::expected("subject", format!("the attribute {name}"), "none")),
        },
        SamlSubject::Persistent | SamlSubject::NameId => {
            let name_id = name_id.ok_or_else(|| Refused::expected("subject", "a NameID", "none"))?;
            let format = name_id.format.as_deref();
            // Core 8.3.8: a transient name is another one at the next sign-in.
            let fits = match expected.subject {
                SamlSubject::Persistent => format == Some(PERSISTENT),
                SamlSubject::NameId | SamlSubject::Attribute(_) => format != Some(TRANSIENT),
            };
            if !fits {
                let wanted = "a persistent NameID (or idp.subject: the attribute that names a person for good)";
                return Err(Refused::expected("subject", wanted, shown(format)));
            }
            // Core 8.3.7: a name is unique among those of its qualifier.
            if name_id.name_qualifier.as_deref().is_some_and(|qualifier| qualifier != expected.issuer) {
                return Err(Refused::expected("subject", "a name of this provider", shown(name_id.name_qualifier.as_deref())));
            }
            name_id.value.clone()
        }
    };
    let proper = !found.trim().is_empty() && found.chars().count() <= SUBJECT_CHARS_MAX && !found.chars().any(char::is_control);
    if proper { Ok(found) } else { Err(Refused::expected("subject", "a name of one line", "an empty, a long or an odd one")) }
}

/// Core 2.7.3. Two attributes of one name are one attribute.
fn attributes(assertion: &Element) -> Result<Map<String, Value>, Refused> {
    /// Names of the protocol, which no attribute may give itself.
    const PROTOCOL: [&str; 8] = ["sub", "iss", "aud", "exp", "iat", "nbf", "auth_time", "sid"];
    let mut found: Map<String, Value> = Map::new();
    let statements = assertion.all(ASSERTION, "AttributeStatement");
    for attribute in statements.flat_map(|statement| statement.all(ASSERTION, "Attribute")) {
        let name = attribute.attribute("Name").unwrap_or_default();
        if name.is_empty() || PROTOCOL.contains(&name) {
            continue;
        }
        let mut values: Vec<Value> = attribute.all(ASSERTION, "AttributeValue").filter_map(value).collect();
        if let Some(before) = found.remove(name) {
            match before {
                Value::Array(mut list) => {
                    list.append(&mut values);
                    values = list;
                }
                one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => values.insert(0, one),
            }
        }
        if values.len() > VALUES_MAX {
            return Err(Refused::new("attributes", format!("more than {VALUES_MAX} values")));
        }
        let read = if values.len() == 1 { values.swap_remove(0) } else { Value::Array(values) };
        found.insert(name.to_owned(), read);
    }
    Ok(found)
}

/// Text; what is nil is not there; a name in a value (`eduPersonTargetedID`) is its text.
fn value(element: &Element) -> Option<Value> {
    const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
    let typed = |name: &str| {
        element.attributes.iter().find(|attribute| attribute.ns == XSI && attribute.name == name).map(|attribute| attribute.value.as_str())
    };
    if matches!(typed("nil"), Some("true" | "1")) {
        return None;
    }
    let text = element.child(ASSERTION, "NameID").unwrap_or(element).text();
    let is_boolean = typed("type").is_some_and(|typed| typed.rsplit(':').next() == Some("boolean"));
    Some(match (is_boolean, text.trim_ascii()) {
        (true, "true" | "1") => Value::Bool(true),
        (true, "false" | "0") => Value::Bool(false),
        _ => Value::String(text),
    })
}

fn shown(found: Option<&str>) -> String {
    found.map_or_else(|| "none".to_owned(), |text| text.chars().take(200).flat_map(char::escape_debug).collect())
}
