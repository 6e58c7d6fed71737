//! Whom a command line means among people who are called the same: for commands that look at what is recorded, with or without a gateway that runs.
//!
//! Lives here: [`Vouched`], the words that narrow an e-mail address or a subject down to one person, and what is suggested where they do not.

use crate::admin::commands::shell;
use crate::config::Idp;
use crate::identity::Identity;
use clap::Args;

/// Which one of several people.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Vouched {
    /// The one with this subject, where an e-mail address means several people.
    #[arg(long, value_name = "SUB")]
    pub(super) subject: Option<String>,
    /// The one for whom this issuer (OIDC) or entity id (SAML) vouches.
    #[arg(long, value_name = "ISSUER", conflicts_with = "idp")]
    pub(super) issuer: Option<String>,
    /// The one who signed in at this provider, by its id in the gateway's file.
    #[arg(long, value_name = "NAME")]
    pub(super) idp: Option<String>,
}

impl Vouched {
    /// Whether anything is said.
    pub(super) const fn is_said(&self) -> bool {
        self.subject.is_some() || self.issuer.is_some() || self.idp.is_some()
    }

    /// Whether `identity` is as it says.
    pub(super) fn takes(&self, identity: &Identity) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.subject, &identity.subject.subject) && is(&self.issuer, &identity.subject.issuer) && is(&self.idp, &identity.idp)
    }

    /// That there is no provider of that name: neither among `idps` nor at any of the sign-ins that are recorded.
    pub(super) fn no_such_idp(&self, idps: &[Idp]) -> Option<String> {
        let named = self.idp.as_ref().filter(|named| !idps.iter().any(|idp| idp.id == **named))?;
        let known: Vec<&str> = idps.iter().map(|idp| idp.id.as_str()).collect();
        Some(format!("there is no provider `{}`; there is {}", named.escape_debug(), known.join(", ")))
    }
}

/// The words that mean this person and nobody else, for a line that is suggested.
pub(super) fn words(identity: &Identity) -> String {
    // With `=`, a subject that looks like an option is none.
    let subject = &identity.subject.subject;
    let by_subject = if subject.starts_with('-') { shell(&format!("--subject={subject}")) } else { format!("--subject {}", shell(subject)) };
    format!("{by_subject} --issuer {}", shell(&identity.subject.issuer))
}
