//! Every word that people read, by language.
//!
//! One static [`Words`] per language, one file each: a language that lacks a phrase does not compile. `{app}`, `{person}`, `{contact}`, `{missing}`, `{apps}`,
//! `{provider}`, `{count}` are filled in by `sheet.rs`; names are never translated.

mod de;
mod en;
mod es;
mod fr;
mod ja;
mod nl;

use crate::config::Language;
use crate::fault::{DenyReason, PublicMessage};

/// The words of a language.
pub(super) const fn of(language: Language) -> &'static Words {
    match language {
        Language::En => &en::EN,
        Language::De => &de::DE,
        Language::Fr => &fr::FR,
        Language::Es => &es::ES,
        Language::Nl => &nl::NL,
        Language::Ja => &ja::JA,
    }
}

/// A language's words.
#[derive(Debug)]
pub(super) struct Words {
    /// BCP 47 tag for `lang`.
    pub(super) tag: &'static str,
    /// `ltr` or `rtl`.
    pub(super) direction: &'static str,
    /// Heading and text of each message.
    pub(super) message: fn(PublicMessage) -> Said,
    /// Text of each reason.
    pub(super) reason: fn(DenyReason) -> &'static str,
    /// Name of an attribute of the sign-in, where it has one in this language.
    pub(super) attribute: fn(&str) -> Option<&'static str>,
    /// When no app is known.
    pub(super) this_app: &'static str,
    /// When a person has no name we can print.
    pub(super) somebody: &'static str,
    /// Between the parts of a list.
    pub(super) list: &'static str,
    pub(super) signed_in_as: &'static str,
    pub(super) ask: &'static str,
    pub(super) help: &'static str,
    pub(super) code: &'static str,
    pub(super) form_again: &'static str,
    pub(super) try_again: &'static str,
    pub(super) start_again: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) sign_in_new_tab: &'static str,
    pub(super) other_account: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) go_to_app: &'static str,
    pub(super) still_waiting: &'static str,
    pub(super) progress: &'static str,
    pub(super) continue_if_nothing: &'static str,
    pub(super) continue_link: &'static str,
    pub(super) session_ended_step_sign_in: &'static str,
    pub(super) session_ended_step_reload: &'static str,
    pub(super) recorded: &'static str,
    pub(super) recorded_contact: &'static str,
    pub(super) made_by: &'static str,
    pub(super) made_by_others: &'static str,
    pub(super) approval_by: &'static str,
    pub(super) approval_by_others: &'static str,
    pub(super) not_sent: &'static str,
    pub(super) not_sent_unknown: &'static str,
    pub(super) unusable: &'static str,
    pub(super) unusable_unknown: &'static str,
    pub(super) picker_title: &'static str,
    pub(super) picker_title_here: &'static str,
    pub(super) picker_text: &'static str,
    pub(super) last_used: &'static str,
    pub(super) launcher_title: &'static str,
    pub(super) launcher_none: &'static str,
    pub(super) whoami_title: &'static str,
    pub(super) whoami_text: &'static str,
    pub(super) whoami_name: &'static str,
    pub(super) whoami_email: &'static str,
    pub(super) whoami_login: &'static str,
    pub(super) whoami_roles: &'static str,
    pub(super) whoami_no_roles: &'static str,
    pub(super) whoami_provider: &'static str,
    pub(super) whoami_since: &'static str,
    pub(super) whoami_headers: &'static str,
    pub(super) whoami_not_sent: &'static str,
    pub(super) logout_title: &'static str,
    pub(super) logout_text: &'static str,
    pub(super) stay: &'static str,
    pub(super) onward_title: &'static str,
    pub(super) onward_text: &'static str,
    pub(super) signed_out_of: &'static str,
    pub(super) signed_out_of_more: &'static str,
    pub(super) and: &'static str,
    pub(super) still_at_provider: &'static str,
    pub(super) provider_sign_out: &'static str,
}

/// What a message says: heading and paragraphs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) heading: &'static str,
    pub(super) text: &'static [&'static str],
}
