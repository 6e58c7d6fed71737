//! `vestibule init`: six questions, and files that pass `check`.
//!
//! Lives here: the order of things. `ask.rs` asks, `probe.rs` looks at what answers, `files.rs` writes. Nothing is written before the last answer, and nothing
//! that is there is overwritten.

mod ask;
mod files;
mod probe;

use super::{COULD_NOT, NO, YES, print, tell};
use crate::clock::{Clock as _, SystemClock};
use crate::entropy::OsEntropy;
use crate::load;
use crate::outbound::HyperTransport;
use ask::{Ask, Gone};
use clap::ValueEnum;
use files::{Answers, Certificate};
use std::io::{self, BufRead};
use std::path::Path;

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// vestibule.toml, a first policy, a state key: asks six questions.
    Files,
    /// The unit file, to standard output.
    Systemd,
}

const UNIT: &str = include_str!("../../deploy/vestibule.service");

/// Asks, probes, writes, checks; returns the exit code.
pub(super) fn run(what: What, folder: &Path) -> u8 {
    if what == What::Systemd {
        return print(UNIT);
    }
    let config = folder.join("vestibule.toml");
    if config.exists() {
        tell(&format!(
            "error: {} is there already\nhelp: `vestibule check --config {0}` looks at it; `vestibule init --folder FOLDER` begins anew elsewhere\n",
            config.display()
        ));
        return COULD_NOT;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}")),
    };
    let transport = match HyperTransport::new([]) {
        Ok(transport) => transport,
        Err(error) => return fail(&format!("outgoing TLS: {error}")),
    };
    let answers = match answers(io::stdin().lock(), folder, &|probe| runtime.block_on(probe.look(&transport))) {
        Ok(answers) => answers,
        Err(Gone) => return fail("the questions were not all answered; nothing was written"),
    };
    match files::write(folder, &answers, &OsEntropy::default(), SystemClock.now()) {
        Ok(written) => {
            for path in written {
                print(&format!("wrote  {}\n", path.display()));
            }
        }
        Err(error) => return fail(&error.to_string()),
    }
    let report = load::check(&config);
    if !report.problems.is_empty() {
        tell(&report.render());
    }
    print(&files::farewell(&answers, &config));
    if report.errors() == 0 { YES } else { NO }
}

fn fail(why: &str) -> u8 {
    tell(&format!("error: {why}\n"));
    COULD_NOT
}

/// The six answers, and what the probes found.
fn answers(input: impl BufRead, folder: &Path, look: &dyn Fn(&probe::Probe) -> probe::Found) -> Result<Answers, Gone> {
    let mut ask = Ask::new(input);
    let auth_host = ask.host("1/6  Host of the gateway itself, where people sign in", "auth.example.com")?;
    let certificate = match ask.text("2/6  Certificate: a PEM file, or `self` for a self-signed one for now", "self", &|answer| {
        (answer == "self" || folder.join(answer).is_file()).then_some(()).ok_or("there is no such file".to_owned())
    })? {
        own if own == "self" => Certificate::SelfSigned,
        chain => {
            let key = ask.text("     Its key", &chain.replace(".pem", ".key"), &|answer| {
                folder.join(answer).is_file().then_some(()).ok_or("there is no such file".to_owned())
            })?;
            Certificate::Files { chain, key }
        }
    };
    let issuer = ask.url("3/6  Identity provider (OpenID Connect): its issuer", "https://login.example.com/realms/corp")?;
    let discovery = look(&probe::Probe::Provider(issuer.clone()));
    ask::say(&discovery.said);
    let client_id = ask.text("4/6  Client id of the gateway there", "vestibule", &|_| Ok(()))?;
    let client_secret = ask.secret("5/6  Where the client secret is: cred:NAME, file:PATH or env:NAME", "file:client-secret")?;
    let upstream = ask.url("6/6  Address of the first application", "http://127.0.0.1:8080")?;
    let application = look(&probe::Probe::Application(upstream.clone()));
    ask::say(&application.said);
    Ok(Answers { auth_host, certificate, issuer: discovery.issuer.unwrap_or(issuer), client_id, client_secret, upstream, app: application.app })
}

#[cfg(test)]
mod tests {
    use super::files::Certificate;
    use super::{answers, probe};

    fn look(probe: &probe::Probe) -> probe::Found {
        match probe {
            probe::Probe::Provider(_) => probe::Found { said: "no answer".to_owned(), ..probe::Found::default() },
            probe::Probe::Application(_) => probe::Found { app: probe::named("grafana"), ..probe::Found::default() },
        }
    }

    #[test]
    fn an_answer_that_cannot_be_right_is_asked_for_again() {
        let said = "https://auth.example.org/\nauth.example.org\nabsent.pem\nself\nnot an address\nhttps://idp.example.org\n\nhunter2\nenv:SECRET\nhttp://10.0.0.1:3000\n";
        let folder = tempfile::tempdir().expect("a folder");
        let answers = answers(said.as_bytes(), folder.path(), &look).expect("answered");
        assert_eq!((answers.auth_host.as_str(), answers.issuer.as_str()), ("auth.example.org", "https://idp.example.org"));
        assert_eq!((answers.client_id.as_str(), answers.client_secret.as_str()), ("vestibule", "env:SECRET"));
        assert!(matches!(answers.certificate, Certificate::SelfSigned));
        assert_eq!(answers.app.map(|app| app.name), Some("grafana"));
    }

    #[test]
    fn too_few_answers_are_none() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(answers("auth.example.org\n".as_bytes(), folder.path(), &look).is_err());
    }
}
