//! Who somebody would be.
//!
//! Lives here: [`Person`], read from a person file or from the `user` of a `[[test]]`. Whatever the form, it becomes the claims of a sign-in, and those go
//! through the reader that live sign-ins go through: an address that a provider could not have vouched for is not an address here either.
//!
//! Three forms: the keys of `[[test]] user`; the payload of an ID token (it has `iss` and `sub`); a recorded sign-in (it has `subject` and `idp`).

use crate::config::Idp;
use crate::identity::{Identity, Way};
use crate::policy::schema::SIGN_IN_NAMES;
use crate::policy::{ANY_IDP, Policy};
use crate::source::value::nearest;
use crate::sso::oidc::identity_of;
use serde_json::{Map, Value};

/// Issuer of people who come from no file of a provider.
const ISSUER: &str = "https://rehearsal.invalid";

/// Why a text says nothing about a person.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PersonProblem {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// It is JSON, and no object.
    #[error("a person is a JSON object")]
    NotAnObject,
    /// A key that no form has.
    #[error("unknown key `{key}`; {help}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The way out.
        help: String,
    },
    /// A value of the wrong type.
    #[error("`{key}` takes {takes}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// An ID token of an issuer that the gateway does not have.
    #[error("no [[idp]] has the issuer `{0}`; write the keys of [[test]] user instead")]
    UnknownIssuer(String),
    /// A recorded sign-in that cannot be read.
    #[error("not a recorded sign-in: {0}")]
    NotASignIn(String),
}

/// Reads a person file. `idps` are the gateway's providers; `policy` says which one is meant when the file does not.
///
/// # Errors
/// [`PersonProblem`].
pub fn read(text: &str, idps: &[Idp], policy: &Policy) -> Result<Identity, PersonProblem> {
    read_by(text, idps, policy, Way::Session)
}

/// As [`read`], for somebody who shows who they are in this way: a token is of the provider that `[bearer]` names, where the file names none.
///
/// # Errors
/// [`PersonProblem`].
pub fn read_by(text: &str, idps: &[Idp], policy: &Policy, way: Way) -> Result<Identity, PersonProblem> {
    let value: Value = serde_json::from_str(text).map_err(|error| PersonProblem::NotJson(error.to_string()))?;
    let Value::Object(fields) = value else { return Err(PersonProblem::NotAnObject) };
    of_fields(fields, idps, policy, way)
}

fn of_fields(mut fields: Map<String, Value>, idps: &[Idp], policy: &Policy, way: Way) -> Result<Identity, PersonProblem> {
    // A recorded sign-in, by itself or in what it was recorded with.
    if let Some(Value::Object(inner)) = fields.remove("identity") {
        return of_fields(inner, idps, policy, way);
    }
    if fields.contains_key("subject") {
        return serde_json::from_value(Value::Object(fields)).map_err(|error| PersonProblem::NotASignIn(error.to_string()));
    }
    if let (Some(Value::String(issuer)), Some(Value::String(subject))) = (fields.get("iss"), fields.get("sub")) {
        let (issuer, subject) = (issuer.clone(), subject.clone());
        let idp = idps.iter().find(|idp| idp.issuer == issuer).ok_or(PersonProblem::UnknownIssuer(issuer))?;
        return Ok(identity_of(idp, subject, fields));
    }
    of_user(&fields, idps, policy, way)
}

/// The `user` of a `[[test]]`: what is left out is absent from the sign-in, but that the person is in no groups, and that their address is vouched for.
///
/// # Errors
/// [`PersonProblem::UnknownKey`], [`PersonProblem::WrongType`].
pub fn of_test_user(user: &Map<String, Value>, idps: &[Idp], policy: &Policy) -> Result<Identity, PersonProblem> {
    of_user(user, idps, policy, Way::Session)
}

fn of_user(user: &Map<String, Value>, idps: &[Idp], policy: &Policy, way: Way) -> Result<Identity, PersonProblem> {
    for key in user.keys() {
        if !SIGN_IN_NAMES.contains(&key.as_str()) {
            let near = nearest(key, SIGN_IN_NAMES.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let help = near.unwrap_or_else(|| format!("one of: {}; other claims go into `claims`", SIGN_IN_NAMES.join(", ")));
            return Err(PersonProblem::UnknownKey { key: key.clone(), help });
        }
    }
    let text = |key: &'static str| match user.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(PersonProblem::WrongType { key, takes: "a text" })
        }
    };
    let usual = match way {
        Way::Session => policy.login.idp.first(),
        Way::Bearer => policy.bearer.as_ref().map(|bearer| &bearer.idp),
    };
    let id = text("idp")?.or_else(|| usual.cloned()).unwrap_or_else(|| ANY_IDP.to_owned());
    let idp = idps.iter().find(|idp| idp.id == id).cloned().unwrap_or_else(|| Idp::bare(id, ISSUER));
    let subject = text("sub")?.unwrap_or_else(|| "rehearsal".to_owned());
    let mut claims = match user.get("claims") {
        None => Map::new(),
        Some(Value::Object(claims)) => claims.clone(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(PersonProblem::WrongType { key: "claims", takes: "a table" });
        }
    };
    for (key, claim) in
        [("email", "email"), ("name", "name"), ("given_name", "given_name"), ("family_name", "family_name"), ("username", "preferred_username")]
    {
        if let Some(text) = text(key)? {
            claims.insert(claim.to_owned(), Value::from(text));
        }
    }
    if claims.contains_key("email") {
        let vouched = user.get("email_verified").cloned().unwrap_or(Value::Bool(true));
        if !vouched.is_boolean() {
            return Err(PersonProblem::WrongType { key: "email_verified", takes: "true or false" });
        }
        claims.insert("email_verified".to_owned(), vouched);
    }
    if let Some(groups) = user.get("groups") {
        let is_list = groups.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        if !is_list {
            return Err(PersonProblem::WrongType { key: "groups", takes: "a list of texts" });
        }
        claims.insert(idp.groups.clone(), groups.clone());
    }
    // Left out is "in none", unless the claims say that the provider did not tell.
    // Whose token says that their groups are elsewhere is in some.
    if !["hasgroups", "_claim_names"].iter().any(|name| claims.contains_key(*name)) {
        claims.entry(idp.groups.clone()).or_insert_with(|| Value::Array(Vec::new()));
    }
    Ok(identity_of(&idp, subject, claims))
}
