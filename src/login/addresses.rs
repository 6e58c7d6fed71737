//! Where we are, as browsers see it: scheme, auth host, public port.

use crate::policy::Policy;

/// The addresses of the gateway's hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// `https`; `http` in the demo only.
    pub scheme: &'static str,
    /// `[server] auth_host`, lower case.
    pub auth_host: String,
    /// The port people's browsers use.
    pub port: u16,
    /// A host that is served at a place of its own: the operators' console.
    pub elsewhere: Option<Elsewhere>,
}

/// A host that is not served where the apps are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// Lower case, without port.
    pub host: String,
    /// `https://vestibule-admin.example.com:9443`.
    pub origin: String,
}

impl Addresses {
    /// `https://auth.example.com`, with the port where it is not the scheme's own.
    pub fn auth_origin(&self) -> String {
        self.origin(&self.auth_host)
    }

    /// `https://redmine.example.com`, likewise.
    pub fn app_origin(&self, app: &Policy) -> String {
        match &self.elsewhere {
            Some(elsewhere) if elsewhere.host == app.host => elsewhere.origin.clone(),
            _ => self.origin(&app.host),
        }
    }

    /// Whether cookies are `Secure` and answers carry HSTS.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    fn origin(&self, host: &str) -> String {
        match (self.scheme, self.port) {
            ("https", 443) | ("http", 80) => format!("{}://{host}", self.scheme),
            (scheme, port) => format!("{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    #[test]
    fn a_port_is_written_only_where_browsers_need_it() {
        let check = |scheme: &'static str, port: u16, expected: &str| {
            assert_eq!(Addresses { scheme, auth_host: "auth.example.com".into(), port, elsewhere: None }.auth_origin(), expected);
        };
        check("https", 443, "https://auth.example.com");
        check("https", 8443, "https://auth.example.com:8443");
        check("http", 8080, "http://auth.example.com:8080");
        check("http", 443, "http://auth.example.com:443");
    }
}
