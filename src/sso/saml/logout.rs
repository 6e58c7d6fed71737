//! Single logout (Profiles 4.4): what a provider says and what we answer.

use crate::clock::Timestamp;
use crate::sso::saml::metadata::fingerprint;

/// `ID` of a logout message of ours: nothing secret, and nobody else's.
pub(super) fn message_id(name: &str, now: Timestamp) -> String {
    let hash = fingerprint(format!("{}:{name}", now.millis()).as_bytes());
    format!("_{}", hash.trim_start_matches("sha256:"))
}
