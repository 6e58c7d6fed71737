//! From a sign-in to the account that the policy wants.
//!
//! Lives here: [`desire`], which reads an [`Identity`] through a [`Policy`] into a [`Desired`] and the names that templates may use ([`scope`]). Pure, and
//! the only reader: the admin call, the injected header and the JWT of one person all come from one [`Mapped`] of one identity. A
//! claim reaches an app only where the policy names it: `is_admin`, `role` or `id` in a token mean nothing by themselves.
//!
//! It never knows what the app holds (`plan/`) nor whose an existing account is (`provision/linking.rs`).

pub use crate::identity::text::{TextProblem, clean};

use super::{MatchBy, OnSuspect, Pick, Policy, Provision, Roles, Sync};
use crate::connector::model::{LoginProblem, MemberVerb, Model, Verb, same_email};
use crate::expr::{FirstOf, Template, is_set};
use crate::fault::PublicMessage;
use crate::identity::text::is_mojibake;
use crate::identity::{Groups, Identity};
use crate::plan::{Desired, Members, Wanted};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Longest login where no connector says otherwise, in characters.
const LOGIN_CHARS_MAX: usize = 255;

/// Names that are somebody's everywhere: never made and never taken over, whatever a connector lists besides.
const RESERVED: [&str; 5] = ["admin", "administrator", "root", "superuser", "system"];

/// What one identity comes to under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The account as the policy wants it.
    pub desired: Desired,
    /// Names for templates: the sign-in's, then `user`, `role`, `roles`, `orgs`, `vars`.
    pub scope: Map<String, Value>,
    /// The e-mail address the account should have.
    pub email: Option<String>,
    /// Whether the provider vouches for exactly this address.
    pub email_verified: bool,
    /// When memberships of a kind are applied.
    pub sync: BTreeMap<String, Sync>,
    /// Memberships without which nobody goes in: kind, name.
    pub required: BTreeSet<(String, String)>,
}

/// Why a sign-in cannot become an account. Found before anything is created; the attribute is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// An attribute that the policy or the app requires is not in the sign-in.
    #[error("{0}")]
    Missing(Missing),
    /// A value that no app should be given.
    #[error("`{attribute}` {problem}{}", from_claims(.from))]
    Unusable {
        /// Which.
        attribute: String,
        /// What is wrong with it.
        problem: TextProblem,
        /// Names of the sign-in that it was made of.
        from: Vec<String>,
    },
    /// A role in an organisation that the app does not have: it came out of a template.
    #[error("the app has no role `{0}`")]
    UnknownRole(String),
    /// A login that this app does not take, or that is not to be had.
    #[error("`user.name`: {0}")]
    Login(LoginProblem),
}

/// An attribute without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// By its key in the policy, or a name of the sign-in.
    pub attribute: String,
    /// Names of the sign-in that it would be made of and that are absent or blank; empty when it is such a name itself.
    pub absent: Vec<String>,
}

impl Missing {
    fn itself(name: &str) -> Self {
        Self { attribute: name.to_owned(), absent: Vec::new() }
    }

    /// What the provider should send.
    pub fn wanted(&self) -> String {
        if self.absent.is_empty() { self.attribute.clone() } else { self.absent.join(" or ") }
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is missing from the sign-in", self.attribute)?;
        match self.absent.as_slice() {
            [] => Ok(()),
            [one] => write!(f, ": `{one}` is absent"),
            [most @ .., last] => write!(f, ": `{}` and `{last}` are absent", most.join("`, `")),
        }
    }
}

impl MappingError {
    /// What the person is told.
    pub const fn public(&self) -> PublicMessage {
        match self {
            Self::Missing(_) => PublicMessage::IncompleteSignIn,
            Self::Unusable { .. } | Self::UnknownRole(_) | Self::Login(_) => PublicMessage::UnusableSignIn,
        }
    }

    /// The attribute, by its key in the policy: `user.display`, `user.extra.office`, a connector's `title`, or a name of the sign-in.
    pub fn attribute(&self) -> &str {
        match self {
            Self::Missing(Missing { attribute, .. }) | Self::Unusable { attribute, .. } => attribute,
            Self::UnknownRole(_) => "role",
            Self::Login(_) => "user.name",
        }
    }
}

fn from_claims(from: &[String]) -> String {
    if from.is_empty() { String::new() } else { format!(" (from {})", from.join(", ")) }
}

/// Reads `identity` through `policy`.
///
/// `recorded_login` is the name the account has at the app; it wins over whatever the claims say now, because a claim may be renamed, and reused by
/// somebody else.
///
/// # Errors
/// * [`MappingError::Missing`]: `[user] required`, `user.name` or an attribute that the connector requires has no value.
/// * [`MappingError::Unusable`]: a value carries control characters, marks of direction, code points without a character or wrongly decoded text.
/// * [`MappingError::Login`]: the connector does not take the login, or it is reserved.
/// * [`MappingError::UnknownRole`]: the role in an organisation is none of those that the connector lists.
pub fn desire(policy: &Policy, identity: &Identity, recorded_login: Option<&str>) -> Result<Mapped, MappingError> {
    read(policy, identity, recorded_login, true)
}

/// As [`desire`], for somebody whose account is there and whom nothing is made or changed for (an access token): what an account requires was in the sign-in
/// that made it, and need not be in the token too.
///
/// # Errors
/// [`MappingError::Unusable`].
pub fn recognise(policy: &Policy, identity: &Identity, recorded_login: &str) -> Result<Mapped, MappingError> {
    read(policy, identity, Some(recorded_login), false)
}

fn read(policy: &Policy, identity: &Identity, recorded_login: Option<&str>, whole: bool) -> Result<Mapped, MappingError> {
    let mut scope = sign_in(identity);
    if let Some(missing) = policy.user.required.iter().find(|name| whole && !reach(&scope, name).is_some_and(is_set)) {
        return Err(MappingError::Missing(Missing::itself(missing)));
    }
    scope.insert("vars".to_owned(), Value::Object(policy.vars.clone()));
    let order = policy.provision.as_ref().map_or(&[][..], |provision| provision.connector.role_order.as_slice());
    let roles = roles(policy.roles.as_ref(), identity, order);
    name_roles(&mut scope, roles.as_deref());
    let orgs = orgs(policy, identity, &scope)?;
    name_orgs(&mut scope, orgs.as_deref());
    let (login, email) = user(policy, &mut scope, recorded_login)?;

    let mut memberships = BTreeMap::new();
    let mut attributes = BTreeMap::new();
    let mut sync = BTreeMap::new();
    let mut required = BTreeSet::new();
    if let Some(provision) = policy.provision.as_ref().filter(|_| whole) {
        attributes = connector_attributes(policy, provision, &scope)?;
        let model = &provision.connector;
        if let Some(rules) = policy.roles.as_ref().filter(|_| grants(provision, &model.roles_as, "roles")) {
            required.extend(roles.iter().flatten().filter(|_| rules.required).map(|name| (model.roles_as.clone(), name.clone())));
            merge(
                &mut memberships,
                &model.roles_as,
                roles.map_or(Wanted::Unknown, |names| Wanted::Known(names.into_iter().map(|n| (n, None)).collect())),
            );
        }
        if !policy.orgs.is_empty() && grants(provision, &model.orgs_as, "orgs") {
            required.extend(orgs.iter().flatten().filter(|org| org.required).map(|org| (model.orgs_as.clone(), org.name.clone())));
            merge(
                &mut memberships,
                &model.orgs_as,
                orgs.map_or(Wanted::Unknown, |orgs| Wanted::Known(orgs.into_iter().map(|o| (o.name, o.role)).collect())),
            );
        }
        let when = policy.roles.as_ref().map(|roles| roles.sync).unwrap_or_default();
        sync = memberships.keys().map(|kind| (kind.clone(), when)).collect();
    }
    let email_verified =
        identity.email_verified && matches!((&email, &identity.email), (Some(mapped), Some(asserted)) if same_email(mapped, asserted));
    Ok(Mapped { desired: Desired { login, attributes, memberships }, scope, email, email_verified, sync, required })
}

/// The names that templates may use for `identity`: the sign-in's, then `user`, `role`, `roles`, `orgs`, `vars`. For `explain` and tests; live traffic has them
/// from [`desire`].
///
/// # Errors
/// As [`desire`].
pub fn scope(identity: &Identity, policy: &Policy) -> Result<Map<String, Value>, MappingError> {
    desire(policy, identity, None).map(|mapped| mapped.scope)
}

impl Mapped {
    /// Whether an existing account may be recognised by `by` for this person: by e-mail only when the provider vouches for it (nOAuth, CVE-2023-3128).
    pub fn may_match(&self, by: MatchBy) -> bool {
        match by {
            MatchBy::ExternalId | MatchBy::Login => true,
            MatchBy::Email => self.email_verified,
        }
    }
}

/// The names of a sign-in. What was not asserted is absent, unknown groups included.
fn sign_in(identity: &Identity) -> Map<String, Value> {
    let mut names = Map::new();
    let texts = [
        ("email", &identity.email),
        ("name", &identity.name),
        ("given_name", &identity.given_name),
        ("family_name", &identity.family_name),
        ("username", &identity.username),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            names.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    names.insert("email_verified".to_owned(), Value::from(identity.email_verified));
    names.insert("idp".to_owned(), Value::from(identity.idp.as_str()));
    if let Groups::Known(groups) = &identity.groups {
        names.insert("groups".to_owned(), Value::from(groups.clone()));
    }
    names.insert("claims".to_owned(), Value::Object(identity.claims.clone()));
    names
}

/// The value at a dotted name.
fn reach<'a>(scope: &'a Map<String, Value>, dotted: &str) -> Option<&'a Value> {
    let mut parts = dotted.split('.');
    let first = scope.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.as_object()?.get(part))
}

/// Roles, highest first; `None`: the provider did not say which groups there are, and a group would decide.
fn roles(roles: Option<&Roles>, identity: &Identity, order: &[String]) -> Option<Vec<String>> {
    let Some(roles) = roles else { return Some(Vec::new()) };
    if identity.groups == Groups::Unknown && !roles.map.is_empty() {
        return None;
    }
    let mut given: Vec<String> = Vec::new();
    for (pattern, role) in &roles.map {
        if identity.groups.listed().iter().any(|group| pattern.fits(group)) && !given.contains(role) {
            given.push(role.clone());
        }
    }
    // The connector lists roles from lowest to highest, a policy from highest to lowest. What is not listed ranks below, in the order of the map.
    let rank = |role: &String| {
        if order.is_empty() { roles.order.iter().rev().position(|known| known == role) } else { order.iter().position(|known| known == role) }
    };
    given.sort_by_key(|role| std::cmp::Reverse(rank(role).map_or(0, |at| at + 1)));
    if roles.pick == Pick::Highest {
        given.truncate(1);
    }
    if given.is_empty() {
        given.extend(roles.default.clone());
    }
    Some(given)
}

fn name_roles(scope: &mut Map<String, Value>, roles: Option<&[String]>) {
    let Some(roles) = roles else { return };
    if let Some(highest) = roles.first() {
        scope.insert("role".to_owned(), Value::from(highest.as_str()));
    }
    scope.insert("roles".to_owned(), Value::from(roles.to_vec()));
}

/// One organisation that the person should be in.
struct Membership {
    id: Value,
    name: String,
    role: Option<String>,
    required: bool,
}

/// Organisations; `None` when a group would decide and the groups are unknown.
fn orgs(policy: &Policy, identity: &Identity, scope: &Map<String, Value>) -> Result<Option<Vec<Membership>>, MappingError> {
    let unknown = identity.groups == Groups::Unknown;
    let hangs_on_groups = policy.orgs.iter().any(|org| !org.groups.is_empty() || org.role.0.iter().any(reads_role));
    if unknown && hangs_on_groups {
        return Ok(None);
    }
    let model = policy.provision.as_ref().map(|provision| &provision.connector);
    let fits = |org: &&super::Org| {
        org.groups.is_empty() || identity.groups.listed().iter().any(|group| org.groups.iter().any(|pattern| pattern.fits(group)))
    };
    let mut wanted: Vec<Membership> = Vec::new();
    for org in policy.orgs.iter().filter(fits) {
        let mut role = org.role.render(scope).as_ref().and_then(scalar);
        if org.role.0.is_empty() {
            role = model.and_then(|model| model.default_role.clone());
        } else if role.is_none() {
            // A role that comes to nothing is none that the policy gives.
            continue;
        }
        if let Some(unknown) = role.as_ref().filter(|role| model.is_some_and(|model| !model.may_have_role(role))) {
            return Err(MappingError::UnknownRole(unknown.clone()));
        }
        let name = scalar(&org.id).unwrap_or_else(|| org.id.to_string());
        match wanted.iter_mut().find(|known| known.name == name) {
            // Said twice: the higher role counts, as for groups; without an order, the first.
            Some(known) => {
                known.required |= org.required;
                if model.is_some_and(|model| rank_of(model, role.as_ref()) > rank_of(model, known.role.as_ref())) {
                    known.role = role;
                }
            }
            None => wanted.push(Membership { id: org.id.clone(), name, role, required: org.required }),
        }
    }
    Ok(Some(wanted))
}

fn rank_of(model: &Model, role: Option<&String>) -> Option<usize> {
    model.role_order.iter().position(|known| Some(known) == role)
}

fn reads_role(template: &Template) -> bool {
    template.names().iter().any(|name| name == "role" || name == "roles" || name == "groups")
}

fn name_orgs(scope: &mut Map<String, Value>, orgs: Option<&[Membership]>) {
    if let Some(orgs) = orgs {
        let listed = orgs.iter().map(|org| org.id.clone()).collect();
        scope.insert("orgs".to_owned(), Value::Array(listed));
    }
}

/// Adds `user` to `scope`; returns login and e-mail address.
fn user(policy: &Policy, scope: &mut Map<String, Value>, recorded_login: Option<&str>) -> Result<(String, Option<String>), MappingError> {
    let mapping = &policy.user;
    let login = match recorded_login {
        Some(recorded) => recorded.to_owned(),
        None => fresh_login(policy, scope)?,
    };
    let email = text(&mapping.email, scope, "user.email", mapping.on_suspect)?;
    let display = text(&mapping.display, scope, "user.display", mapping.on_suspect)?;
    let mut extra = Map::new();
    for (name, value) in &mapping.extra {
        if let Some((template, value)) = value.chosen(scope) {
            let unusable = |problem| unusable(&format!("user.extra.{name}"), problem, template.names());
            extra.insert(name.clone(), clean_value(value, mapping.on_suspect).map_err(unusable)?);
        }
    }
    let mut user = Map::from_iter([("name".to_owned(), Value::from(login.as_str()))]);
    user.extend(email.as_ref().map(|email| ("email".to_owned(), Value::from(email.as_str()))));
    user.extend(display.map(|display| ("display".to_owned(), Value::from(display))));
    user.insert("extra".to_owned(), Value::Object(extra));
    scope.insert("user".to_owned(), Value::Object(user));
    Ok((login, email))
}

/// `attribute` has no value, though it is made of `value`: which names of the sign-in that is due to.
fn missing(attribute: &str, value: &FirstOf, policy: &Policy, scope: &Map<String, Value>) -> MappingError {
    let mut absent: Vec<String> = Vec::new();
    for name in value.0.iter().flat_map(Template::names) {
        let of_user = match name.as_str() {
            "user.name" => Some(&policy.user.name),
            "user.email" => Some(&policy.user.email),
            "user.display" => Some(&policy.user.display),
            other => other.strip_prefix("user.extra.").and_then(|key| policy.user.extra.iter().find(|(name, _)| name == key)).map(|(_, value)| value),
        };
        let names = of_user.map_or_else(|| vec![name], |of_user| of_user.0.iter().flat_map(Template::names).collect());
        for name in names.into_iter().filter(|name| !reach(scope, name).is_some_and(is_set)) {
            if !absent.contains(&name) && name != attribute {
                absent.push(name);
            }
        }
    }
    MappingError::Missing(Missing { attribute: attribute.to_owned(), absent })
}

/// The login by `[user] name`, as this app takes it.
fn fresh_login(policy: &Policy, scope: &Map<String, Value>) -> Result<String, MappingError> {
    let login =
        text(&policy.user.name, scope, "user.name", policy.user.on_suspect)?.ok_or_else(|| missing("user.name", &policy.user.name, policy, scope))?;
    // `slug` of a name in a script it cannot spell leaves dashes: nobody's name.
    if !login.chars().any(char::is_alphanumeric) {
        return Err(MappingError::Login(LoginProblem::Charset));
    }
    let login = match policy.user.name_max {
        Some(chars_max) if login.chars().count() > chars_max => cut(&login, chars_max).to_owned(),
        _ => login,
    };
    check_login(policy, &login)?;
    Ok(login)
}

/// At most `chars_max` characters of `login`; what then dangles at its end goes too.
fn cut(login: &str, chars_max: usize) -> &str {
    let end = login.char_indices().nth(chars_max).map_or(login.len(), |(at, _)| at);
    let cut = login.get(..end).unwrap_or(login).trim_end_matches(|c: char| c.is_whitespace() || "-._@".contains(c));
    if cut.is_empty() { login } else { cut }
}

/// Another login for somebody whose own is taken: `base-ending`, as long as this app and the policy take.
pub fn namesake_of(policy: &Policy, base: &str, ending: &str) -> String {
    let app_max = policy.provision.as_ref().map_or(LOGIN_CHARS_MAX, |provision| provision.connector.identity.chars_max);
    let chars_max = policy.user.name_max.map_or(app_max, |max| max.min(app_max));
    let room = chars_max.saturating_sub(ending.chars().count() + 1);
    if base.chars().count() <= room || room == 0 { format!("{base}-{ending}") } else { format!("{}-{ending}", cut(base, room)) }
}

/// Whether `login` may be made at the app of `policy`.
///
/// # Errors
/// [`MappingError::Login`].
pub fn check_login(policy: &Policy, login: &str) -> Result<(), MappingError> {
    let Some(provision) = &policy.provision else {
        if login.chars().count() > LOGIN_CHARS_MAX {
            return Err(MappingError::Login(LoginProblem::TooLong));
        }
        // An app that knows its administrator by this name believes the header as well.
        return if is_told_name(policy) && is_reserved(login) { Err(MappingError::Login(LoginProblem::Reserved)) } else { Ok(()) };
    };
    if is_reserved(login) {
        return Err(MappingError::Login(LoginProblem::Reserved));
    }
    provision.connector.identity.accepts(login).map_err(MappingError::Login)
}

fn is_reserved(login: &str) -> bool {
    RESERVED.contains(&crate::connector::model::skeleton(login).as_str())
}

/// Whether the app is told `user.name`: in a header, or as the subject of a token.
fn is_told_name(policy: &Policy) -> bool {
    let names = |value: &FirstOf| value.0.iter().any(|template| template.names().iter().any(|name| name == "user.name" || name == "user"));
    let in_paths = policy.paths.iter().flat_map(|section| &section.headers);
    policy.jwt.is_some() || policy.headers.iter().chain(in_paths).any(|header| names(&header.value))
}

/// What the connector's attributes should be: the policy's own value, else the connector's default. A policy with its own steps has all of `user` and the
/// names of the sign-in compared instead, so that a change of any of them runs its update steps.
fn connector_attributes(policy: &Policy, provision: &Provision, scope: &Map<String, Value>) -> Result<BTreeMap<String, Value>, MappingError> {
    let model: &Model = &provision.connector;
    let extra = |name: &str| reach(scope, "user.extra").and_then(|extra| extra.get(name)).cloned();
    let mut attributes = BTreeMap::new();
    for attribute in model.attributes.iter().filter(|attribute| !policy.user.omit.contains(&attribute.name)) {
        let own = policy.user.extra.iter().any(|(name, _)| *name == attribute.name);
        let default = || attribute.default.chosen(scope).map(|(template, value)| (template.names(), value));
        let value = if own { extra(&attribute.name).map(|value| (Vec::new(), value)) } else { default() };
        match value.filter(|(_, value)| is_set(value)) {
            Some((from, value)) => {
                let value = clean_value(value, policy.user.on_suspect).map_err(|problem| unusable(&attribute.name, problem, from))?;
                attributes.insert(attribute.name.clone(), value);
            }
            None if attribute.required => {
                let own = policy.user.extra.iter().find(|(name, _)| *name == attribute.name).map(|(_, value)| value);
                return Err(missing(&attribute.name, own.unwrap_or(&attribute.default), policy, scope));
            }
            None => {}
        }
    }
    if provision.steps.is_some() {
        let names = ["given_name", "family_name", "name", "username", "user.email", "user.display"];
        attributes.extend(names.iter().filter_map(|name| Some(((*name).to_owned(), reach(scope, name)?.clone()))));
        attributes.extend(policy.user.extra.iter().filter_map(|(name, _)| Some((format!("user.extra.{name}"), extra(name)?))));
    }
    Ok(attributes)
}

/// Whether there is a way to grant memberships of `kind`: `word` is what a policy's own steps call them.
fn grants(provision: &Provision, kind: &str, word: &str) -> bool {
    let verbs = [MemberVerb::Add, MemberVerb::Set];
    verbs.into_iter().any(|verb| provision.connector.can(&Verb::Members(kind.to_owned(), verb)))
        || provision.steps.as_ref().is_some_and(|steps| steps.has_each(word))
}

/// Adds what is wanted of a kind; unknown on either side makes the whole kind unknown.
fn merge(memberships: &mut BTreeMap<String, Wanted>, kind: &str, wanted: Wanted) {
    let merged = match (memberships.remove(kind), wanted) {
        (None, wanted) => wanted,
        (Some(Wanted::Known(mut there)), Wanted::Known(more)) => {
            there.extend::<Members>(more);
            Wanted::Known(there)
        }
        (Some(_), _) => Wanted::Unknown,
    };
    memberships.insert(kind.to_owned(), merged);
}

/// The first that is set, as clean text.
fn text(template: &FirstOf, scope: &Map<String, Value>, attribute: &str, on_suspect: OnSuspect) -> Result<Option<String>, MappingError> {
    let Some((template, value)) = template.chosen(scope) else { return Ok(None) };
    let written = scalar(&value).ok_or(TextProblem::NotText).and_then(|written| usable(&written, on_suspect));
    // `slug` makes plain letters of anything: what went in is looked at as well.
    let written = if on_suspect == OnSuspect::Refuse && is_made_of_mojibake(template, scope) { Err(TextProblem::Mojibake) } else { written };
    let clean = written.map_err(|problem| unusable(attribute, problem, template.names()))?;
    Ok(Some(clean.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn is_made_of_mojibake(template: &Template, scope: &Map<String, Value>) -> bool {
    template.names().iter().any(|name| reach(scope, name).and_then(Value::as_str).is_some_and(is_mojibake))
}

fn unusable(attribute: &str, problem: TextProblem, from: Vec<String>) -> MappingError {
    MappingError::Unusable { attribute: attribute.to_owned(), problem, from }
}

/// Clean text that does not look wrongly decoded either, unless the policy says that it only looks so.
fn usable(text: &str, on_suspect: OnSuspect) -> Result<String, TextProblem> {
    match clean(text) {
        Ok(clean) if on_suspect == OnSuspect::Refuse && is_mojibake(&clean) => Err(TextProblem::Mojibake),
        cleaned => cleaned,
    }
}

/// Text of a scalar.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Every text in `value`, cleaned.
fn clean_value(value: Value, on_suspect: OnSuspect) -> Result<Value, TextProblem> {
    Ok(match value {
        Value::String(text) => Value::String(usable(&text, on_suspect)?),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| clean_value(item, on_suspect)).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let cleaned = fields.into_iter().map(|(name, field)| Ok((name, clean_value(field, on_suspect)?)));
            Value::Object(cleaned.collect::<Result<_, TextProblem>>()?)
        }
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_)) => scalar,
    })
}

#[cfg(test)]
mod tests;
