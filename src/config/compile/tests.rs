use super::compile;
use crate::config::{Audit, AuditFormat, AuditSink, Bounds, SecretRef, TlsVersion};
use crate::source::{Problem, Severity, SourceFile};
use std::path::{Path, PathBuf};

const BASE: &str = r#"
[server]
listen = "0.0.0.0:443"
auth_host = "Auth.example.com"
[tls]
cert = "c.pem"
key = "file:c.key"
[state]
url = "sqlite:x.db"
key = "cred:state-key"
[[idp]]
id = "corp"
issuer = "https://idp.example.com"
client_id = "vestibule"
"#;

fn codes(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{} {}", problem.code, problem.line_column().0)).collect()
}

/// The base with `from` replaced by `to`; what is found.
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(from.is_empty() || BASE.contains(from), "{from}");
    let text = if from.is_empty() { format!("{BASE}{to}") } else { BASE.replace(from, to) };
    let (gateway, problems) = compile(&SourceFile::new("v.toml", text.as_str()), Path::new("/etc/v"));
    assert_eq!(codes(&problems), expected, "{text}\n{}", problems.iter().map(Problem::render).collect::<String>());
    assert_eq!(gateway.is_none(), problems.iter().any(|problem| problem.severity == Severity::Error), "{text}");
}

#[test]
fn everything_wrong_with_a_gateway_file_is_named() {
    check("listen = \"0.0.0.0:443\"", "listen = \"443\"", &["bad-value 3"]);
    check("listen = \"0.0.0.0:443\"", "listen = []", &["empty-list 3"]);
    check("listen = \"0.0.0.0:443\"", "", &["missing-key 2"]);
    check("listen = \"0.0.0.0:443\"", "listen = \"0.0.0.0:443\"\nredirect = [\"0.0.0.0:443\"]", &["contradiction 4"]);
    check("auth_host = \"Auth.example.com\"", "auth_host = \"https://auth.example.com\"", &["bad-value 4"]);
    check("auth_host = \"Auth.example.com\"", "auth_hots = \"auth.example.com\"", &["missing-key 2", "unknown-key 4"]);
    check(
        "[server]",
        "[server]\nworkers = -1\ndrain = \"30\"\nmax_body = \"big\"\npublic_port = 70000",
        &["bad-value 3", "bad-value 4", "bad-value 5", "bad-value 6"],
    );
    check("[server]", "[server]\ntrusted_proxies = [\"lb\"]", &["bad-value 3"]);
    check("cert = \"c.pem\"\n", "", &["missing-key 6"]);
    check("cert = \"c.pem\"\nkey = \"file:c.key\"\n", "", &["missing-key 5"]);
    check("key = \"file:c.key\"", "key = \"certs/c.key\"", &["literal-secret 7"]);
    check("[tls]", "[tls]\nmin_version = \"1.0\"", &["bad-value 6"]);
    check("url = \"sqlite:x.db\"", "url = \"postgres://db/v\"", &["not-yet 9"]);
    check("url = \"sqlite:x.db\"", "url = \"x.db\"", &["bad-value 9"]);
    check("key = \"cred:state-key\"", "key = \"0123456789abcdef\"", &["literal-secret 10"]);
    check("key = \"cred:state-key\"", "key = \"vault:a#b\"", &["bad-value 10"]);
    check("key = \"cred:state-key\"", "key = \"cred:../state-key\"", &["bad-value 10"]);
    check("key = \"cred:state-key\"\n", "", &["missing-key 8"]);
    check("issuer = \"https://idp.example.com\"", "issuer = \"http://idp.example.com\"", &["bad-value 13"]);
    check("issuer = \"https://idp.example.com\"", "issuer = \"https://idp.example.com/?x\"", &["bad-value 13"]);
    check("issuer = \"https://idp.example.com\"\n", "", &["missing-key 11"]);
    check("issuer = \"https://idp.example.com\"", "type = \"saml\"\nmetadata = \"x\"\npin = \"y\"", &["bad-value 15", "contradiction 16"]);
    check("issuer = \"https://idp.example.com\"", "issuer = \"https://idp.example.com\"\npin = \"y\"", &["contradiction 14"]);
    check("", "[idp.attributes]\nsub = \"x\"\nemail = []\n\"a b\" = \"x\"\n", &["bad-value 16", "empty-list 17", "bad-value 18"]);
    check("", "groups = \"g\"\n[idp.attributes]\ngroups = \"roles\"\n", &["contradiction 17"]);
    check("", "[idp.attributes]\nemail = 7\n", &["wrong-type 16"]);
    check("", "userinfo = \"yes\"\n", &["wrong-type 15"]);
    check("[state]", "[state]\nbackup_keep = -1", &["bad-value 9"]);
    check("", "algorithms = [\"HS256\", \"none\"]\n", &["bad-value 15", "bad-value 15"]);
    check("", "client_secret = \"hunter2\"\n", &["literal-secret 15"]);
    check("", "[[idp]]\nid = \"corp\"\nissuer = \"https://b.example\"\nclient_id = \"x\"\n", &["duplicate-idp 16"]);
    check("", "[session]\nidle = \"0s\"\ncookie = \"sid\"\nsame_site = \"none\"\n", &["bad-value 16", "bad-value 17", "bad-value 18"]);
    check("", "[admin]\nlisten = \"0.0.0.0:9443\"\n", &["admin-exposed 16"]);
    check("", "[admin]\nhost = \"ops.example.com\"\n", &["missing-key 16", "missing-key 16"]);
    check("", "[admin]\nhost = \"ops.example.com\"\nidp = \"corp\"\nviewers = [\"helpdesk\"]\n", &["missing-key 16"]);
    check("", "[admin]\nhost = \"ops.example.com\"\ngroups = [\"ops\"]\n", &["missing-key 16"]);
    check("", "[admin]\nhost = \"ops.example.com\"\nidp = \"crop\"\ngroups = [\"ops\"]\n", &["unknown-idp 17"]);
    check("", "[admin]\nhost = \"ops.example.com\"\nidp = \"corp\"\ngroups = []\nviewers = []\n", &["empty-list 18", "empty-list 19"]);
    check("", "[admin]\nhost = \"AUTH.example.com\"\nidp = \"corp\"\ngroups = [\"ops\"]\n", &["duplicate-host 16"]);
    check("", "[admin]\nidp = \"corp\"\ngroups = [\"ops\"]\n", &["no-effect 16", "no-effect 17"]);
    check("", "[telemetry]\notlp = \"http://127.0.0.1:4318/v1/traces\"\n", &["bad-value 16"]);
    check("", "[telemetry]\notlp = \"http://u:p@127.0.0.1:4318\"\n", &["bad-value 16", "bad-value 16"]);
    check("", "[telemetry]\notlp = \"127.0.0.1:4318\"\n", &["bad-value 16"]);
    check("", "[admin]\nlisten = [\"127.0.0.1:9443\", \"[::1]:9443\"]\n", &["bad-value 16"]);
    check("", "[admin]\nlisten = []\n", &["bad-value 16"]);
    check("", "[session]\nmax = \"0s\"\n", &["bad-value 16"]);
    check("", "scopes = []\nalgorithms = []\n", &["empty-list 15", "empty-list 16"]);
    check("", "[audit]\nformat = \"cef\"\npii = \"none\"\nfile = 1\n", &["bad-value 16", "bad-value 17", "wrong-type 18"]);
    check("", "[logging]\nlevel = \"info\"\n", &["unknown-section 15"]);
    check("[[idp]]", "[idp]", &["expected-list 11"]);
}

#[test]
fn what_is_odd_and_harmless_is_accepted() {
    check("", "[pages]\nlanguages = [\"en\"]\n[telemetry]\notlp = \"http://127.0.0.1:4318\"\n", &[]);
    let console = "[admin]\nlisten = \"[::1]:9443\"\nhost = \"Ops.example.com\"\nidp = \"corp\"\ngroups = [\"ops\"]\nviewers = [\"helpdesk\"]\n";
    check("", console, &[]);
    let (gateway, _) = compile(&SourceFile::new("v.toml", format!("{BASE}{console}").as_str()), Path::new("/etc/v"));
    let gateway = gateway.unwrap();
    assert_eq!(gateway.own_hosts(), [("auth.example.com", "[server] auth_host"), ("ops.example.com", "[admin] host")]);
    assert!(gateway.admin.unwrap().is_plain());
    check("[server]", "[server]\ndrain = \"0s\"", &[]);
    check("", "[admin]\nlisten = [\"127.0.0.1:9443\"]\n", &[]);
    check("", "[session]\nidle = \"13h\"\n", &["no-effect 16"]);
}

#[test]
fn defaults_and_places_are_filled_in() {
    let (gateway, problems) = compile(&SourceFile::new("v.toml", BASE), Path::new("/etc/v"));
    assert!(problems.is_empty(), "{:?}", codes(&problems));
    let gateway = gateway.unwrap();
    let server = &gateway.server;
    assert_eq!((server.auth_host.as_str(), server.public_port, server.workers), ("auth.example.com", 443, 0));
    assert_eq!((server.body_bytes_max, server.drain_ms, server.policies.as_path()), (100 << 20, 30_000, Path::new("/etc/v/policies")));
    let Bounds { connections_max, connections_per_client_max, response_idle_ms, stream_idle_ms } = server.bounds;
    assert_eq!((connections_max, connections_per_client_max, response_idle_ms, stream_idle_ms), (10_000, 1_000, 120_000, 3_600_000));
    assert_eq!(gateway.certificates[0].chain, PathBuf::from("/etc/v/c.pem"));
    assert_eq!(gateway.certificates[0].key, SecretRef::File("/etc/v/c.key".into()));
    assert_eq!(gateway.state.url, "sqlite:/etc/v/x.db");
    assert_eq!((gateway.session.idle_ms, gateway.session.max_ms, gateway.session.same_site), (1_800_000, 43_200_000, "Lax"));
    assert_eq!(gateway.session.cookie, "__Host-vestibule");
    assert_eq!(gateway.audit, Audit { sink: AuditSink::Stdout, format: AuditFormat::Plain, hash: false });
    assert!(gateway.admin.is_none());
    let idp = &gateway.idps[0];
    assert_eq!(idp.algorithms, ["RS256", "PS256", "ES256", "EdDSA"]);
    assert_eq!(idp.scopes, ["openid", "profile", "email", "groups"]);
    assert_eq!((idp.name.as_str(), idp.client_secret.is_none(), idp.trust_email, idp.userinfo), ("corp", true, false, true));
    assert_eq!((gateway.min_tls, gateway.state.backup_keep, idp.attributes.len()), (TlsVersion::V1_2, 7, 0));
}

#[test]
fn a_directory_is_asked_over_https_and_with_a_secret() {
    let check = |idp: &str, lookup: &str, expected: &[&str]| {
        let text = BASE.replace("client_id = ", &format!("{idp}client_id = ")) + "\n[idp.groups_lookup]\n" + lookup;
        let (gateway, problems) = compile(&SourceFile::new("v.toml", text.as_str()), Path::new("/etc/v"));
        let said: Vec<String> = problems.iter().map(|problem| format!("{} {}", problem.code, problem.message)).collect();
        assert_eq!(said, expected, "{idp}{lookup}");
        gateway.and_then(|gateway| gateway.idps.into_iter().next()?.groups_lookup)
    };
    let secret = "client_secret = \"env:S\"\n";
    let plain = |key: &str| format!("bad-value idp.groups_lookup.{key} is where a credential is sent: https, without user, query and fragment");
    check(secret, "", &["missing-key `idp.groups_lookup.preset` is missing"]);
    check("", "preset = \"entra\"\n", &["missing-key a public client cannot ask a directory: there is no `client_secret`"]);
    check(secret, "preset = \"entra\"\nurl = \"http://graph.example/v1.0\"\n", &[&plain("url")]);
    check(secret, "preset = \"entra\"\ntoken_url = \"http://login.example/token\"\n", &[&plain("token_url")]);
    let lookup = check(secret, "preset = \"entra\"\n", &[]).unwrap();
    assert_eq!(
        (lookup.url.as_str(), lookup.token_url, lookup.timeout_ms, lookup.security_only),
        ("https://graph.microsoft.com/v1.0", None, 5_000, true)
    );
    assert_eq!(lookup.scope, "https://graph.microsoft.com/.default");
    let own =
        "preset = \"entra\"\nurl = \"https://graph.microsoft.us/v1.0\"\nclient_id = \"reader\"\nclient_secret = \"file:reader\"\ntimeout = \"2s\"\n";
    let lookup = check("", own, &[]).unwrap();
    assert_eq!((lookup.client_id.as_deref(), lookup.client_secret), (Some("reader"), Some(SecretRef::File("/etc/v/reader".into()))));
    assert_eq!((lookup.scope.as_str(), lookup.timeout_ms), ("https://graph.microsoft.us/.default", 2_000));
}

#[test]
fn several_certificates_and_addresses() {
    let text = BASE
        .replace("listen = \"0.0.0.0:443\"", "listen = [\"0.0.0.0:443\", \"[::]:443\"]")
        .replace("key = \"file:c.key\"", "key = \"file:c.key\"\n[[tls.certificate]]\ncert = \"/d.pem\"\nkey = \"env:D\"");
    let (gateway, problems) = compile(&SourceFile::new("v.toml", text.as_str()), Path::new("/etc/v"));
    assert!(problems.is_empty(), "{:?}", codes(&problems));
    let gateway = gateway.unwrap();
    assert_eq!((gateway.server.listen.len(), gateway.certificates.len()), (2, 2));
    assert_eq!(gateway.certificates[1].chain, PathBuf::from("/d.pem"));
}

#[test]
fn row_09_row_19_what_policies_may_and_must_is_written_without_contradiction() {
    check("", "[provisioning]\nallow = [\"grafana\"]\nlocked = [\"redmine\"]\n", &["contradiction 17"]);
    check("", "[provisioning]\nlocked = []\n", &["empty-list 16"]);
    check("", "[provisioning]\nallow = \"grafana\"\n", &["expected-list 16"]);
    check("", "[provisioning]\nlock = [\"grafana\"]\n", &["unknown-key 16"]);
    check("", "[provisioning]\nallow = []\n", &[]);
    check("", "[provisioning]\nlocked = [\"redmine\"]\n", &[]);
    check("", "[provisioning]\nallow = [\"grafana\", \"redmine\"]\nlocked = [\"redmine\"]\n", &[]);
}

#[test]
fn what_tls_backups_and_attributes_are_told_is_kept() {
    let text = BASE.replace("[tls]", "[tls]\nmin_version = \"1.3\"").replace("[state]", "[state]\nbackup_keep = 0")
        + "userinfo = false\n[idp.attributes]\ngiven_name = \"urn:oid:2.5.4.42\"\nemployee_id = [\"employeeNumber\", \"empid\"]\n\"claims.unit\" = \"ou\"\n";
    let (gateway, problems) = compile(&SourceFile::new("v.toml", text.as_str()), Path::new("/etc/v"));
    assert!(problems.is_empty(), "{:?}", codes(&problems));
    let gateway = gateway.unwrap();
    assert_eq!((gateway.min_tls, gateway.state.backup_keep, gateway.idps[0].userinfo), (TlsVersion::V1_3, 0, false));
    let attributes: Vec<String> = gateway.idps[0].attributes.iter().map(|(name, from)| format!("{name}: {}", from.join(" "))).collect();
    assert_eq!(attributes, ["given_name: urn:oid:2.5.4.42", "employee_id: employeeNumber empid", "unit: ou"]);
}

#[test]
fn audit_events_go_where_they_are_sent_as_they_are_wanted() {
    let check = |keys: &str, expected: Audit| {
        let (gateway, problems) = compile(&SourceFile::new("v.toml", format!("{BASE}[audit]\n{keys}\n").as_str()), Path::new("/etc/v"));
        assert!(problems.is_empty(), "{keys}: {:?}", codes(&problems));
        assert_eq!(gateway.unwrap().audit, expected, "{keys}");
    };
    let full = Audit::to;
    check("pii = \"hash\"", Audit { hash: true, ..full(AuditSink::Stdout) });
    check("file = \"a.jsonl\"\nformat = \"ecs\"", Audit { format: AuditFormat::Ecs, ..full(AuditSink::File("/etc/v/a.jsonl".into())) });
    check("file = \"syslog\"\nformat = \"ocsf\"", Audit { format: AuditFormat::Ocsf, ..full(AuditSink::Syslog("/dev/log".into())) });
    check("file = \"journald\"\nformat = \"plain\"\npii = \"full\"", full(AuditSink::Journald("/run/systemd/journal/socket".into())));
}

#[test]
fn s31_everything_wrong_with_a_saml_provider_is_named() {
    const OIDC: &str = "issuer = \"https://idp.example.com\"\nclient_id = \"vestibule\"\n";
    let saml = |text: &str, expected: &[&str]| check(OIDC, &format!("type = \"saml\"\n{text}\n"), expected);
    let https = "metadata = \"https://idp.example.com/m\"\n";
    let pin = format!("pin = \"sha256:{}\"", "0f".repeat(32));
    saml("", &["missing-key 11"]);
    saml("metadata = \"ftp://idp.example.com/m\"", &["bad-value 14"]);
    saml("metadata = \"https://user:pw@idp.example.com/m\"", &["bad-value 14"]);
    saml("metadata = \"https://\"", &["bad-value 14"]);
    saml("metadata = \"http://idp.example.com/m\"", &["insecure 14"]);
    saml(&format!("metadata = \"http://idp.example.com/m\"\n{pin}"), &[]);
    saml("metadata = \"http://127.0.0.1:9120/m\"", &[]);
    saml("metadata = \"idp.xml\"", &[]);
    saml(https, &[]);
    saml(&format!("{https}pin = \"9f2a\""), &["bad-value 15"]);
    saml(&format!("{https}pin = \"sha256:{}\"", "+f".repeat(32)), &["bad-value 15"]);
    saml(&format!("{https}pin = []"), &["empty-list 15"]);
    saml(&format!("{https}{}", pin.replace("0f0f", "0F:0F")), &[]);
    saml(&format!("{https}client_id = \"x\""), &["contradiction 15"]);
    saml(&format!("{https}groups = \"x\"\nscopes = [\"x\"]"), &["contradiction 15", "contradiction 16"]);
    saml(&format!("{https}cert = \"sp.pem\""), &["missing-key 15"]);
    saml(&format!("{https}key = \"file:sp.key\""), &["missing-key 15"]);
    saml(&format!("{https}key = \"MIIE\"\ncert = \"sp.pem\""), &["literal-secret 15"]);
    saml(&format!("{https}max_response = \"1 MiB\""), &["bad-value 15"]);
    saml(&format!("{https}[idp.attributes]\nsub = \"x\""), &["bad-value 16"]);
    check("", "subject = \"oid\"\n", &["contradiction 15"]);
}
