//! From a reference to a secret.
//!
//! Lives here: [`resolve`], which reads what `cred:`, `file:` and `env:` point to. Apart from `config/`, which is pure and prints what it holds. Errors name the
//! reference and where it was looked for, never what was found there.

use crate::config::SecretRef;
use secrecy::SecretString;
use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where systemd-less containers mount secrets.
const RUN_SECRETS: &str = "/run/secrets";
/// No secret is longer; somebody pointed at the wrong file.
const BYTES_MAX: u64 = 64 * 1024;

/// Why a secret was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No such file.
    #[error("secret {reference}: there is no {}; {}", path.display(), hint(reference))]
    Missing {
        /// As written in the configuration.
        reference: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There, but not to be read.
    #[error("secret {reference}: {} cannot be read: {source}; it must be readable by the user that runs vestibule", path.display())]
    Unreadable {
        /// As written in the configuration.
        reference: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The environment variable is not set.
    #[error("secret {reference}: the environment variable {name} is not set; set it, or use file: or cred: instead")]
    NotSet {
        /// As written in the configuration.
        reference: String,
        /// The variable.
        name: String,
    },
    /// Empty once the newline at the end is gone.
    #[error("secret {reference}: it is empty; write the secret there, on one line")]
    Empty {
        /// As written in the configuration.
        reference: String,
    },
    /// Not UTF-8.
    #[error("secret {reference}: it is not UTF-8 text; encode it, for example with base64")]
    NotText {
        /// As written in the configuration.
        reference: String,
    },
    /// Too long to be a secret.
    #[error("secret {reference}: {} is longer than {BYTES_MAX} bytes and hardly a secret; check the path", path.display())]
    TooLong {
        /// As written in the configuration.
        reference: String,
        /// Where it was found.
        path: PathBuf,
    },
}

/// A file with a secret that others on this machine can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenToOthers {
    /// As written in the configuration.
    pub reference: String,
    /// The file.
    pub path: PathBuf,
    /// Its permission bits, e.g. `0o644`.
    pub mode: u32,
}

impl std::fmt::Display for OpenToOthers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reference, path, mode } = self;
        write!(f, "secret {reference}: {path} has mode {mode:04o}, so others can read it; run: chmod 600 {path}", path = path.display())
    }
}

/// A secret, and what should be said about where it lies.
#[derive(Debug)]
pub struct Resolved {
    /// The secret, without one newline at the end.
    pub secret: SecretString,
    /// Set when others can read the file.
    pub warning: Option<OpenToOthers>,
}

/// Looks an environment variable up, `std::env::var_os` outside tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads the secret behind `reference`.
///
/// `file:` paths are resolved already, by whoever compiled the file that says them. `cred:NAME` is `$CREDENTIALS_DIRECTORY/NAME` when systemd has set that, else `/run/secrets/NAME`.
///
/// # Errors
/// [`SecretError`]; each variant names the reference, where it was looked for and the way out.
pub fn resolve(reference: &SecretRef, environment: Environment<'_>) -> Result<Resolved, SecretError> {
    match reference {
        SecretRef::Env(name) => {
            let reference = format!("env:{name}");
            let Some(value) = environment(name) else {
                return Err(SecretError::NotSet { reference, name: name.clone() });
            };
            let bytes = value.into_encoded_bytes();
            Ok(Resolved { secret: text(reference, bytes)?, warning: None })
        }
        SecretRef::File(path) => read(format!("file:{}", path.display()), path.clone(), true),
        SecretRef::Cred(name) => match environment("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()) {
            Some(folder) => read(format!("cred:{name}"), Path::new(&folder).join(name), true),
            // Container engines mount secrets with mode 0444 into a container of one user's; there is nothing to put right.
            None => read(format!("cred:{name}"), Path::new(RUN_SECRETS).join(name), false),
        },
    }
}

/// The file in which [`resolve`] looks for the secret; `None` for an environment variable.
pub fn location(reference: &SecretRef, environment: Environment<'_>) -> Option<PathBuf> {
    match reference {
        SecretRef::Env(_) => None,
        SecretRef::File(path) => Some(path.clone()),
        SecretRef::Cred(name) => {
            let folder = environment("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
            Some(folder.map_or_else(|| PathBuf::from(RUN_SECRETS), PathBuf::from).join(name))
        }
    }
}

fn read(reference: String, path: PathBuf, warn: bool) -> Result<Resolved, SecretError> {
    use std::os::unix::fs::PermissionsExt as _;
    let unreadable = |source: std::io::Error| {
        let (reference, path) = (reference.clone(), path.clone());
        if source.kind() == ErrorKind::NotFound {
            SecretError::Missing { reference, path }
        } else {
            SecretError::Unreadable { reference, path, source }
        }
    };
    let file = std::fs::File::open(&path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|found| found > BYTES_MAX) {
        return Err(SecretError::TooLong { reference, path });
    }
    let secret = text(reference.clone(), std::mem::take(&mut *bytes))?;
    let warning = (warn && mode & 0o077 != 0).then_some(OpenToOthers { reference, path, mode });
    Ok(Resolved { secret, warning })
}

fn text(reference: String, bytes: Vec<u8>) -> Result<SecretString, SecretError> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => Zeroizing::new(text),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            return Err(SecretError::NotText { reference });
        }
    };
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() { Err(SecretError::Empty { reference }) } else { Ok(SecretString::from(line)) }
}

fn hint(reference: &str) -> &'static str {
    if reference.starts_with("cred:") {
        "with systemd add LoadCredential= to the unit; in a container mount it as a secret"
    } else {
        "create it with mode 0600; a relative path begins at the folder of the file that says it"
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, Resolved, SecretError, resolve};
    use crate::config::SecretRef;
    use secrecy::ExposeSecret as _;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn put(folder: &Path, name: &str, content: &[u8], mode: u32) {
        std::fs::write(folder.join(name), content).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn get(written: &str, folder: &Path, environment: &[(&str, &[u8])]) -> Result<Resolved, SecretError> {
        let environment = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from_vec(found.1.to_vec()))
        };
        resolve(&SecretRef::parse(written).unwrap().beside(folder), &environment)
    }

    #[test]
    fn what_is_not_there_or_not_a_secret_is_refused_by_name_and_never_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        put(folder, "empty", b"", 0o600);
        put(folder, "newline", b"\r\n", 0o600);
        put(folder, "binary", b"TOPSECRET\xff", 0o600);
        put(folder, "long", &vec![b'T'; usize::try_from(BYTES_MAX).unwrap() + 1], 0o600);
        std::fs::create_dir(folder.join("folder")).unwrap();
        let check = |written: &str, environment: &[(&str, &[u8])], expected: &[&str]| {
            let message = get(written, folder, environment).unwrap_err().to_string();
            // Relative paths are resolved by then.
            let reference = written.replace("file:", &format!("file:{}/", folder.display()));
            for part in [reference.as_str()].iter().chain(expected) {
                assert!(message.contains(part), "{message:?} lacks {part:?}");
            }
            assert!(!message.contains("TOPSECRET") && !message.contains("TTTT"), "{message:?}");
        };
        let here = folder.display().to_string();
        check("file:none", &[], &[&format!("{here}/none"), "mode 0600"]);
        check("file:folder", &[], &["cannot be read"]);
        check("file:empty", &[], &["empty"]);
        check("file:newline", &[], &["empty"]);
        check("file:binary", &[], &["not UTF-8"]);
        check("file:long", &[], &["longer"]);
        check("cred:none", &[("CREDENTIALS_DIRECTORY", here.as_bytes())], &[&format!("{here}/none"), "LoadCredential="]);
        check("cred:vestibule-test-none", &[], &["/run/secrets/vestibule-test-none"]);
        check("cred:vestibule-test-none", &[("CREDENTIALS_DIRECTORY", b"")], &["/run/secrets/vestibule-test-none"]);
        check("env:NONE", &[("OTHER", b"TOPSECRET")], &["NONE is not set"]);
        check("env:BINARY", &[("BINARY", b"TOPSECRET\xff")], &["not UTF-8"]);
        check("env:EMPTY", &[("EMPTY", b"")], &["empty"]);
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (content, expected) in [("s3 cret", "s3 cret"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s \t", " s \t"), ("a\nb\n", "a\nb")] {
            put(folder, "secret", content.as_bytes(), 0o600);
            assert_eq!(get("file:secret", folder, &[]).unwrap().secret.expose_secret(), expected);
            assert_eq!(get("env:S", folder, &[("S", content.as_bytes())]).unwrap().secret.expose_secret(), expected);
        }
    }

    #[test]
    fn each_kind_looks_where_it_should() {
        let (config, creds) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(config.path(), "key", b"from config", 0o600);
        put(creds.path(), "key", b"from systemd", 0o400);
        let environment: &[(&str, &[u8])] = &[("CREDENTIALS_DIRECTORY", creds.path().as_os_str().as_encoded_bytes())];
        let secret = |written: &str| get(written, config.path(), environment).unwrap().secret.expose_secret().to_owned();
        assert_eq!(secret("file:key"), "from config");
        assert_eq!(secret("cred:key"), "from systemd");
        assert_eq!(secret(&format!("file:{}/key", creds.path().display())), "from systemd");
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, told) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o644, true)] {
            put(folder.path(), "secret", b"TOPSECRET", mode);
            let resolved = get("file:secret", folder.path(), &[]).unwrap();
            let warning = resolved.warning.as_ref().map(ToString::to_string);
            assert_eq!(warning.is_some(), told, "{mode:o}");
            assert!(warning.is_none_or(|said| said.contains(&format!("{mode:04o}")) && said.contains("chmod 600") && !said.contains("TOPSECRET")));
            assert!(!format!("{resolved:?}").contains("TOPSECRET"));
        }
    }
}
