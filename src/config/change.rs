//! What of `vestibule.toml` a gateway that runs can take over.
//!
//! Lives here: [`keep`], which puts back what only a restart can change, and names it. Apart because it is the one list of such keys: the report of a reload,
//! the log and the command line say what it says. Pure.

use super::{Gateway, Server, Session};

/// `written`, with what cannot change while the gateway runs as it is in `running`; and the names of the keys where the two differ.
pub fn keep(running: &Gateway, mut written: Gateway) -> (Gateway, Vec<&'static str>) {
    let mut kept = Kept(Vec::new());
    // Taken apart whole, here and below: a new key has to be thought about in this file.
    let Gateway { server, certificates: _, min_tls, admin, state, session, provisioning: _, audit, telemetry, pages: _, idps: _ } = &mut written;
    let Server { listen, redirect, auth_host, public_port, policies: _, trusted_proxies: _, body_bytes_max: _, drain_ms, workers, bounds: _ } = server;
    kept.hold("server.listen", &running.server.listen, listen);
    kept.hold("server.redirect", &running.server.redirect, redirect);
    kept.hold("server.auth_host", &running.server.auth_host, auth_host);
    kept.hold("server.public_port", &running.server.public_port, public_port);
    kept.hold("server.drain", &running.server.drain_ms, drain_ms);
    kept.hold("server.workers", &running.server.workers, workers);
    kept.hold("tls.min_version", &running.min_tls, min_tls);
    kept.hold("admin", &running.admin, admin);
    kept.hold("state", &running.state, state);
    let Session { idle_ms: _, max_ms: _, cookie, same_site } = session;
    kept.hold("session.cookie", &running.session.cookie, cookie);
    kept.hold("session.same_site", &running.session.same_site, same_site);
    kept.hold("audit", &running.audit, audit);
    kept.hold("telemetry.format", &running.telemetry.format, &mut telemetry.format);
    kept.hold("telemetry.metrics", &running.telemetry.metrics, &mut telemetry.metrics);
    kept.hold("telemetry.otlp", &running.telemetry.otlp, &mut telemetry.otlp);
    (written, kept.0)
}

struct Kept(Vec<&'static str>);

impl Kept {
    fn hold<T: PartialEq + Clone>(&mut self, key: &'static str, running: &T, written: &mut T) {
        if running != written {
            self.0.push(key);
            written.clone_from(running);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::keep;
    use crate::config::{Gateway, compile};
    use crate::source::SourceFile;
    use std::path::Path;

    const BASE: &str = r#"
[server]
listen = "0.0.0.0:443"
auth_host = "auth.example.com"
max_body = "1 MiB"
[tls]
cert = "c.pem"
key = "file:c.key"
[admin]
listen = "127.0.0.1:9443"
[state]
url = "sqlite:x.db"
key = "cred:state-key"
[session]
idle = "10m"
[telemetry]
log = "info"
[pages]
name = "Sign-in"
[[idp]]
id = "corp"
issuer = "https://idp.example.com"
client_id = "vestibule"
"#;

    fn gateway(text: &str) -> Gateway {
        compile(&SourceFile::new("v.toml", text), Path::new("/etc/v")).0.expect(text)
    }

    #[test]
    fn what_needs_a_restart_is_named_and_kept_and_the_rest_is_taken_over() {
        let check = |from: &str, to: &str, expected: &[&str]| {
            assert!(BASE.contains(from), "{from}");
            let (kept, names) = keep(&gateway(BASE), gateway(&BASE.replace(from, to)));
            assert_eq!(names, expected, "{to}");
            (kept, names)
        };
        let (kept, _) = check("0.0.0.0:443", "0.0.0.0:8443", &["server.listen"]);
        assert_eq!(kept.server.listen, gateway(BASE).server.listen);
        check("[server]", "[server]\nworkers = 3\nredirect = \"0.0.0.0:80\"", &["server.redirect", "server.workers"]);
        check("auth.example.com", "login.example.com", &["server.auth_host"]);
        check("127.0.0.1:9443", "127.0.0.1:9444", &["admin"]);
        let console = "[admin]\nhost = \"ops.example.com\"\nidp = \"corp\"\ngroups = [\"ops\"]";
        let (kept, _) = check("[admin]", console, &["admin"]);
        assert!(kept.admin.is_some_and(|admin| admin.console.is_none()), "nobody becomes an operator by a reload");
        check("log = \"info\"", "otlp = \"http://127.0.0.1:4318\"", &["telemetry.otlp"]);
        check("sqlite:x.db", "sqlite:y.db", &["state"]);
        check("[session]", "[session]\ncookie = \"__Host-v\"\nsame_site = \"strict\"", &["session.cookie", "session.same_site"]);
        check("[pages]", "[audit]\nfile = \"a.jsonl\"\n[pages]", &["audit"]);
        check("log = \"info\"", "format = \"json\"\nmetrics = false", &["telemetry.format", "telemetry.metrics"]);
        let (kept, _) = check("idle = \"10m\"", "idle = \"5m\"\nmax = \"1h\"", &[]);
        assert_eq!((kept.session.idle_ms, kept.session.max_ms), (300_000, 3_600_000));
        let (kept, _) = check("1 MiB", "2 MiB", &[]);
        assert_eq!(kept.server.body_bytes_max, 2 << 20);
        for (from, to) in [
            ("log = \"info\"", "log = \"debug\""),
            ("name = \"Sign-in\"", "name = \"Corp\""),
            ("c.pem", "d.pem"),
            ("client_id = \"vestibule\"", "client_id = \"v2\""),
            ("[server]", "[server]\npolicies = \"apps\"\ntrusted_proxies = [\"10.0.0.1\"]"),
        ] {
            check(from, to, &[]);
        }
    }
}
