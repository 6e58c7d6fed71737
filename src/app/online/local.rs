//! Secrets and certificates on this machine: there, fit for what they are for, and for how long. Of a secret nothing is told but its length.

use super::{Finding, Place};
use crate::clock::Timestamp;
use crate::config::{Certificate, SecretRef};
use crate::entropy::OsEntropy;
use crate::proxy::certificate::Facts;
use crate::secrets::{self, Resolved};
use crate::signer::SharedSigner;
use crate::state::seal::Sealer;
use crate::state::sqlite::{self, OpenError};
use secrecy::ExposeSecret as _;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// A certificate that ends sooner should have been renewed.
const DAYS_LEFT_MIN: i64 = 14;

/// Looks an environment variable up.
type Lookup<'a> = &'a (dyn Fn(&str) -> Option<OsString> + Send + Sync);

/// A secret that `key` refers to.
pub(super) fn secret(place: &Place, key: &str, reference: &SecretRef, environment: Lookup<'_>) -> Vec<Finding> {
    let Resolved { secret, warning } = match secrets::resolve(reference, &|name| environment(name)) {
        Ok(resolved) => resolved,
        Err(why) => return vec![place.error("secret", format!("{key}: {why}"), "")],
    };
    // A start would refuse these as well.
    let unfit = if key == "state.key" {
        Sealer::new(&secret, Arc::new(OsEntropy::default())).err().map(|why| why.to_string())
    } else if key == "jwt.secret" {
        SharedSigner::fits(&secret).err().map(|why| why.to_string())
    } else if key.starts_with("headers.") && http::HeaderValue::from_str(secret.expose_secret()).is_err() {
        Some("the secret cannot be a header value: visible ASCII on one line".to_owned())
    } else {
        None
    };
    if let Some(why) = unfit {
        return vec![place.error("secret", format!("{key}: {why}"), "")];
    }
    let mode =
        secrets::location(reference, environment).and_then(|path| std::fs::metadata(path).ok()).map(|facts| facts.permissions().mode() & 0o7777);
    let mode = mode.map(|mode| format!(", mode {mode:04o}")).unwrap_or_default();
    let line = place.ok(format_args!("{key}: {}, {} bytes{mode}", written(reference), secret.expose_secret().len()));
    let warning = warning.map(|warning| place.warning("secret-open", warning.to_string(), ""));
    std::iter::once(line).chain(warning).collect()
}

fn written(reference: &SecretRef) -> String {
    match reference {
        SecretRef::Cred(name) => format!("cred:{name}"),
        SecretRef::File(path) => format!("file:{}", path.display()),
        SecretRef::Env(name) => format!("env:{name}"),
    }
}

/// The store: there and whole, or a place to make it in. Nothing is made, and nothing is changed.
pub(super) async fn store(place: &Place, url: &str, key: &SecretRef, environment: Lookup<'_>) -> Vec<Finding> {
    let path = sqlite::file_of(url).unwrap_or_default();
    if let Some(finding) = folder_of(place, "[state] url", &path) {
        return vec![finding];
    }
    // That the key is not to be had is told where it is referred to.
    let key = secrets::resolve(key, &|name| environment(name)).ok();
    let Some(sealer) = key.and_then(|key| Sealer::new(&key.secret, Arc::new(OsEntropy::default())).ok()) else { return Vec::new() };
    let found = match sqlite::Store::open_to_read(url, sealer).await {
        Ok(store) => {
            store.close().await;
            place.ok(format_args!("store {}: whole, and sealed with [state] key", path.display()))
        }
        Err(OpenError::Nothing { .. }) => place.ok(format_args!("store {}: not there yet, the first start makes it", path.display())),
        Err(OpenError::Behind { .. }) => place.ok(format_args!("store {}: of an older version, the next start brings it up to date", path.display())),
        Err(error) => place.error("state", format!("[state] url: {error}"), ""),
    };
    vec![found]
}

/// What is wrong with the folder that the file at `path` is to be in, which `key` names.
pub(super) fn folder_of(place: &Place, key: &str, path: &Path) -> Option<Finding> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = match std::fs::metadata(folder) {
        Ok(facts) if facts.is_dir() => return None,
        Ok(_) => format!("{} is not a folder", folder.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("the folder {} does not exist; create it, owned by the user that runs vestibule, with mode 0700", folder.display())
        }
        // Whoever checks may not be who runs the gateway.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
        Err(error) => format!("{}: {error}", folder.display()),
    };
    Some(place.error("state", format!("{key}: {}: {why}", path.display()), ""))
}

/// The certificates, and the hosts that they must name. `quiet`: what is in order is not told.
pub(super) fn certificates(
    pairs: Vec<(Certificate, Place)>,
    hosts: Vec<(String, Place)>,
    environment: Lookup<'_>,
    now: Timestamp,
    quiet: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut read, mut unread) = (Vec::new(), false);
    for (certificate, place) in pairs {
        let path = certificate.chain.as_path();
        match facts(&certificate, environment) {
            Ok(facts) => {
                let finding = days(&place, path, &facts, now);
                if !quiet || matches!(finding, Finding::Problem(_)) {
                    findings.push(finding);
                }
                read.push(facts);
            }
            Err(why) => {
                unread = true;
                findings.extend(why.map(|why| place.error("certificate", format!("{}: {why}", path.display()), "")));
            }
        }
    }
    // What names it may be the one that cannot be read.
    if !unread {
        let unnamed = hosts.into_iter().filter(|(host, _)| !read.iter().any(|facts| facts.covers(host)));
        findings.extend(unnamed.map(|(host, place)| {
            place.error("certificate-name", format!("no certificate of [tls] names `{host}`"), "browsers refuse it: add one with [[tls.certificate]]")
        }));
    }
    findings
}

/// What the certificate says; `Err(None)` when only its key is not to be had, which is told where the key is referred to.
fn facts(certificate: &Certificate, environment: Lookup<'_>) -> Result<Facts, Option<String>> {
    let chain = std::fs::read(&certificate.chain).map_err(|error| Some(format!("cannot be read: {error}")))?;
    let key = secrets::resolve(&certificate.key, &|name| environment(name)).map_err(|_told_elsewhere| None)?;
    Facts::read(&chain, key.secret.expose_secret().as_bytes()).map_err(|error| Some(error.to_string()))
}

fn days(place: &Place, path: &Path, facts: &Facts, now: Timestamp) -> Finding {
    let names = facts.names.join(", ");
    match (said_of_days(path, facts, now), now < facts.not_before || facts.days_left(now) < 0) {
        (Some((message, help)), true) => place.error("certificate-dates", message, help),
        (Some((message, help)), false) => place.warning("certificate-dates", message, help),
        (None, _) => place.ok(format_args!("certificate {}: {names}; {} left", path.display(), counted(facts.days_left(now)))),
    }
}

/// What is wrong with the days of a certificate, or soon will be, and the way out.
fn said_of_days(path: &Path, facts: &Facts, now: Timestamp) -> Option<(String, &'static str)> {
    let (path, left) = (path.display(), facts.days_left(now));
    if now < facts.not_before {
        Some((format!("{path} is not valid yet"), "is the clock of this machine right?"))
    } else if left < 0 {
        Some((format!("{path} ended {} ago", counted(-left)), "browsers refuse it: renew it"))
    } else if left < DAYS_LEFT_MIN {
        Some((format!("{path} ends in {}", counted(left)), "renew it: browsers refuse it from then on"))
    } else {
        None
    }
}

/// Certificates that have ended or soon will, as far as they are on this machine: `check` is run in other places, too. A warning, for whether a file is in order
/// does not hang on the day.
pub(super) fn ending(certificate: &Certificate, place: &Place, now: Timestamp) -> Option<Finding> {
    let facts = Facts::of_leaf(&std::fs::read(&certificate.chain).ok()?).ok()?;
    let (message, help) = said_of_days(&certificate.chain, &facts, now)?;
    Some(place.warning("certificate-dates", message, help))
}

fn counted(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

#[cfg(test)]
mod tests {
    use super::{DAYS_LEFT_MIN, Finding, days};
    use crate::app::online::Place;
    use crate::clock::Timestamp;
    use crate::proxy::certificate::Facts;
    use crate::source::{Severity, SourceFile};
    use std::path::Path;

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        const DAY_MS: i64 = 86_400_000;
        let now = Timestamp::from_seconds(1_800_000_000);
        let place = Place::in_file(&SourceFile::new("v.toml", "x"), Some(0..1));
        let check = |from_ms: i64, to_ms: i64, severity: Option<Severity>, expected: &str| {
            let facts = Facts { names: vec!["a.test".into()], not_before: now.plus_ms(from_ms), not_after: now.plus_ms(to_ms) };
            let (found, said) = match days(&place, Path::new("c.pem"), &facts, now) {
                Finding::Ok(line) => (None, line),
                Finding::Problem(problem) => (Some(problem.severity), problem.message),
            };
            assert!(found == severity && said.contains(expected), "{from_ms} {to_ms}: {found:?} {said}");
        };
        check(1, DAY_MS * 400, Some(Severity::Error), "c.pem is not valid yet");
        check(-1, -1, Some(Severity::Error), "c.pem ended 1 day ago");
        check(-1, 0, Some(Severity::Warning), "c.pem ends in 0 days");
        check(-1, DAY_MS * DAYS_LEFT_MIN - 1, Some(Severity::Warning), "c.pem ends in 13 days");
        check(-1, DAY_MS * DAYS_LEFT_MIN, None, "certificate c.pem: a.test; 14 days left");
    }
}
