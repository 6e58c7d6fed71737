//! Header names that no client may send.
//!
//! Whatever any policy injects, and whatever applications of this kind are known to trust, is removed from the client's request in
//! every spelling, on public paths too. CGI, WSGI, PHP and Rack fold names: `X-User`, `X_User` and `x.user` all become `HTTP_X_USER`, so names are compared
//! folded: lower case, every character that is not a letter or digit as `-`.

use crate::policy::Policy;
use http::HeaderName;
use std::collections::HashSet;

/// Names applications are known to take an identity, an address or another path from (promises.md, attacks.md I1, I3, I8, H14).
const ALWAYS: &[&str] = &[
    "remote-user",
    "x-user",
    "x-username",
    "x-email",
    "x-groups",
    "x-authenticated-user",
    "x-authenticated-userid",
    "x-authenticated-groups",
    "x-forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-by",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-client-cert",
    "x-forwarded-access-token",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "client-ip",
    "via",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-rewrite-url",
    "x-host",
    "x-scheme",
    "front-end-https",
    "proxy",
    "proxy-connection",
    "x-client-cert",
    "x-client-verify",
    "x-client-dn",
    "x-ssl-cert",
    "x-tls-client-cert",
    "client-cert",
    "client-cert-chain",
    "x-jwt-assertion",
    "x-auth-user",
    "x-auth-token-user",
    "x-token-subject",
    "x-token-user-email",
    "x-token-user-name",
];
/// Families of which every member is removed.
const FAMILIES: &[&str] = &[
    "x-remote-",
    "remote-",
    "x-webauth-",
    "x-auth-request-",
    "x-vestibule-",
    "x-ssl-client-",
    "ssl-client-",
    "x-authentik-",
    "x-pomerium-",
    "oidc-claim-",
    "cf-access-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-amzn-oidc-",
    "x-ms-client-principal",
    "x-ms-token-",
    "tailscale-user-",
    "x-grafana-",
    "x-shib-",
    "shib-",
];
/// What belongs to a connection, or is ours to set: in its own spelling it is taken care of by name, but an application that folds `_` must not get
/// it in another one, least of all framing (`Transfer_Encoding`, CVE-2024-45614).
const NEVER_IN_ANOTHER_SPELLING: &[&str] = &[
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "expect",
    "host",
    "cookie",
    "authorization",
    "proxy-authenticate",
    "proxy-authorization",
    "x-request-id",
];
/// Headers that make an application act as if another method had been sent; removed wherever the policy restricts methods.
const METHOD_OVERRIDES: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override"];

/// The names, ready for one look-up per header.
#[derive(Debug)]
pub struct Reserved {
    folded: HashSet<Box<str>, foldhash::fast::FixedState>,
}

impl Reserved {
    /// Of everything that `policies` inject and restrict.
    pub fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut folded: HashSet<Box<str>, foldhash::fast::FixedState> = HashSet::default();
        folded.extend(ALWAYS.iter().map(|&name| name.into()));
        for policy in policies {
            folded.extend(policy.headers.iter().map(|header| fold(header.name.as_str()).into()));
            folded.extend(policy.secret_headers.iter().map(|header| fold(header.name.as_str()).into()));
            for section in &policy.paths {
                folded.extend(section.headers.iter().map(|header| fold(header.name.as_str()).into()));
                folded.extend(section.secret_headers.iter().map(|header| fold(header.name.as_str()).into()));
            }
            folded.extend(policy.jwt.iter().map(|jwt| fold(jwt.header.as_str()).into()));
            let restricts_methods = !policy.access.methods.is_empty() || policy.paths.iter().any(|section| !section.gate.methods.is_empty());
            if restricts_methods {
                folded.extend(METHOD_OVERRIDES.iter().map(|&name| name.into()));
            }
        }
        Self { folded }
    }

    /// Whether a client's header of this name is removed.
    pub fn contains(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return self.contains_folded(name);
        }
        let folded = fold(name);
        NEVER_IN_ANOTHER_SPELLING.contains(&folded.as_str()) || self.contains_folded(&folded)
    }

    fn contains_folded(&self, name: &str) -> bool {
        let may_be_family = matches!(name.as_bytes().first(), Some(b'x' | b's' | b'o' | b'r' | b'c' | b't'));
        self.folded.contains(name) || (may_be_family && FAMILIES.iter().any(|family| name.starts_with(family)))
    }
}

/// Lower case, everything but letters and digits as `-`.
fn fold(name: &str) -> String {
    name.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b.to_ascii_lowercase()) } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::Reserved;
    use http::HeaderName;

    #[test]
    fn every_family_is_looked_for() {
        let reserved = Reserved::of(std::iter::empty());
        for family in super::FAMILIES {
            let name: HeaderName = format!("{family}anything").parse().expect("a header name");
            assert!(reserved.contains(&name), "{family}");
        }
    }

    #[test]
    fn i1_every_spelling_of_a_trusted_name_is_reserved() {
        let reserved = Reserved::of(std::iter::empty());
        for spelling in [
            "X-Remote-User",
            "x-remote-user",
            "X_Remote_User",
            "x_remote-user",
            "X.Remote.User",
            "x-remote_user",
            "X-REMOTE-USER",
            "x~remote~user",
            "REMOTE_USER",
            "Remote-User",
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Original-URL",
            "Proxy",
            "X-WebAuth-User",
            "x_webauth_role",
            "OIDC_CLAIM_email",
            "Remote-Groups",
            "Cf-Access-Authenticated-User-Email",
            "X-MS-CLIENT-PRINCIPAL-NAME",
            "Tailscale-User-Login",
            "Transfer_Encoding",
            "content_length",
            "Proxy_Authorization",
            "X_Request_Id",
            "SSL_CLIENT_S_DN",
        ] {
            let name: HeaderName = spelling.parse().expect("a header name");
            assert!(reserved.contains(&name), "{spelling}");
        }
        for harmless in ["accept", "x-csrf-token", "x-requested-with", "user-agent", "x-forward", "x-remoteuser-not", "origin"] {
            let name: HeaderName = harmless.parse().expect("a header name");
            assert!(!reserved.contains(&name), "{harmless}");
        }
    }
}
