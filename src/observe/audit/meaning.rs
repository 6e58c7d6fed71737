//! What an action means to those who did not write this gateway.
//!
//! Lives here: [`Meaning`], the one table from `action` to the classes of OCSF and the categories of ECS. Apart because both shapes and the priorities of syslog
//! and journald are made from it. It knows nothing of how an event is written.

/// What an action is elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// OCSF class.
    pub(super) class: Class,
    /// OCSF activity within the class.
    pub(super) activity: Activity,
    /// ECS `event.category`.
    pub(super) categories: &'static [&'static str],
    /// ECS `event.type`.
    pub(super) types: &'static [&'static str],
    /// How it ended.
    pub(super) status: Status,
    /// How much it matters.
    pub(super) severity: Severity,
}

/// OCSF event classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// An action without a row in the table.
    Base,
    /// An account at an app.
    AccountChange,
    /// Sign-ins, sessions, tokens.
    Authentication,
    /// Policies and keys. Not 6002 Application Lifecycle: that class tells that software was installed or started, and has no place for what was changed. A policy
    /// that comes into force is a managed entity (its name, its revision) that was updated, and so is a key.
    EntityManagement,
    /// Requests.
    HttpActivity,
}

impl Class {
    /// `class_uid`; `category_uid` is its thousands.
    pub(super) const fn uid(self) -> u32 {
        match self {
            Self::Base => 0,
            Self::AccountChange => 3001,
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::HttpActivity => 4002,
        }
    }

    /// `class_name` and `category_name`.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Base => ("Base Event", "Uncategorized"),
            Self::AccountChange => ("Account Change", "Identity & Access Management"),
            Self::Authentication => ("Authentication", "Identity & Access Management"),
            Self::EntityManagement => ("Entity Management", "Identity & Access Management"),
            Self::HttpActivity => ("HTTP Activity", "Network Activity"),
        }
    }
}

/// What was done, within a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// `activity_id` and its caption.
    Is(u32, &'static str),
    /// Told by the request's method.
    Method,
    /// 99: the action is the caption.
    Other,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// As wanted.
    Success,
    /// Not.
    Failure,
    /// Neither, in this word.
    Other(&'static str),
}

/// How much it matters, as OCSF counts (`severity_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Nothing to do.
    Informational = 1,
    /// A person was told no.
    Low = 2,
    /// Somebody should look.
    Medium = 3,
}

impl Severity {
    /// `severity_id`.
    pub(super) const fn id(self) -> u8 {
        self as u8
    }

    /// `severity`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
        }
    }

    /// Severity of syslog (RFC 5424 6.2.1), which is journald's `PRIORITY` as well: info, notice, warning.
    pub(super) const fn priority(self) -> u8 {
        match self {
            Self::Informational => 6,
            Self::Low => 5,
            Self::Medium => 4,
        }
    }
}

const LOGON: Activity = Activity::Is(1, "Logon");
pub(super) const LOGOFF: Activity = Activity::Is(2, "Logoff");
const CREATE: Activity = Activity::Is(1, "Create");
const ENABLE: Activity = Activity::Is(2, "Enable");
const DISABLE: Activity = Activity::Is(5, "Disable");
const DELETE: Activity = Activity::Is(6, "Delete");
const ATTACH: Activity = Activity::Is(7, "Attach Policy");
const DETACH: Activity = Activity::Is(8, "Detach Policy");
const UPDATE: Activity = Activity::Is(3, "Update");

/// An action that the table does not have: it is written all the same.
pub(super) const UNKNOWN: Meaning = of(Class::Base, Activity::Other, &[], &["info"], Status::Other("Unknown"), Severity::Informational);

const fn of(
    class: Class,
    activity: Activity,
    categories: &'static [&'static str],
    types: &'static [&'static str],
    status: Status,
    severity: Severity,
) -> Meaning {
    Meaning { class, activity, categories, types, status, severity }
}

/// The table. `attempt` is the event's own, where it has one: what was being done when it failed.
pub(super) fn meaning(action: &str, attempt: &str) -> Option<Meaning> {
    use Activity::{Method, Other};
    use Class::{AccountChange, Authentication, EntityManagement, HttpActivity};
    use Severity::{Informational, Low, Medium};
    use Status::{Failure, Success};
    let tried = if attempt == "create" { CREATE } else { Other };
    Some(match action {
        "login.succeeded" | "signin.bridged" => of(Authentication, LOGON, &["authentication"], &["start"], Success, Informational),
        // A token is a script's sign-in.
        "login.failed" | "token.refused" => of(Authentication, LOGON, &["authentication"], &["start"], Failure, Low),
        "groups.looked_up" => of(Authentication, Other, &["authentication"], &["info"], Status::Other("Looked up"), Informational),
        "logout" | "session.revoked" | "session.expired" | "signout.bridged" => {
            of(Authentication, LOGOFF, &["authentication", "session"], &["end"], Success, Informational)
        }
        // The app did not know somebody whom we know.
        "signin.rejected" | "signin.failed" => of(Authentication, LOGON, &["authentication"], &["info"], Failure, Medium),
        // A token of the app's that may still be good.
        "signout.failed" => of(Authentication, LOGOFF, &["authentication", "session"], &["end"], Failure, Medium),
        "access.denied" => of(HttpActivity, Method, &["web"], &["denied"], Failure, Low),
        // Accounts of an app that nobody here answers for: told, never touched.
        "accounts.listed" => of(AccountChange, Other, &["iam"], &["info"], Success, Informational),
        "account.unaccounted" => of(AccountChange, Other, &["iam"], &["user", "info"], Status::Other("Unmanaged"), Medium),
        "account.created" => of(AccountChange, CREATE, &["iam"], &["user", "creation"], Success, Informational),
        "account.enabled" => of(AccountChange, ENABLE, &["iam"], &["user", "change"], Success, Informational),
        "account.disabled" => of(AccountChange, DISABLE, &["iam"], &["user", "change"], Success, Informational),
        "account.deleted" => of(AccountChange, DELETE, &["iam"], &["user", "deletion"], Success, Informational),
        "guard.tripped" => of(AccountChange, Other, &["iam"], &["user", "info"], Status::Other("Awaiting approval"), Medium),
        "drift.detected" => of(AccountChange, Other, &["iam"], &["user", "info"], Status::Other("Changed at the application"), Low),
        "account.adopted" | "account.updated" | "account.renamed" | "access.revoked" => {
            of(AccountChange, Other, &["iam"], &["user", "change"], Success, Informational)
        }
        "provision.started" | "provision.resumed" => of(AccountChange, tried, &["iam"], &["user", "info"], Status::Other("Under way"), Informational),
        "create.reconciled" => of(AccountChange, CREATE, &["iam"], &["user", "info"], Success, Informational),
        "verify.skipped" => of(AccountChange, Other, &["iam"], &["user", "info"], Status::Other("Not looked at"), Low),
        // Somebody removed it at the app: seen by us, not done by us.
        "account.vanished" => of(AccountChange, DELETE, &["iam"], &["user", "deletion"], Success, Low),
        "role.granted" => of(AccountChange, ATTACH, &["iam"], &["group", "change"], Success, Informational),
        "role.revoked" => of(AccountChange, DETACH, &["iam"], &["group", "change"], Success, Informational),
        "account.failed" => of(AccountChange, tried, &["iam"], &["error"], Failure, Medium),
        "rename.refused" => of(AccountChange, Other, &["iam"], &["user", "info"], Failure, Low),
        "account.refused" => of(AccountChange, tried, &["iam"], &["user", "denied"], Failure, Low),
        "account.degraded" => of(AccountChange, tried, &["iam"], &["user", "change"], Status::Other("Partial"), Medium),
        "approval.requested" => of(AccountChange, tried, &["iam"], &["user", "info"], Status::Other("Awaiting approval"), Low),
        "approval.granted" | "account.retry" | "account.forgotten" | "account.relinked" => {
            of(AccountChange, Other, &["iam"], &["admin", "user", "change"], Success, Informational)
        }
        "config.rejected" => of(EntityManagement, UPDATE, &["configuration"], &["change"], Failure, Medium),
        "config.loaded" | "key.rotated" => of(EntityManagement, UPDATE, &["configuration"], &["change"], Success, Informational),
        "config.removed" | "key.removed" => {
            of(EntityManagement, Activity::Is(4, "Delete"), &["configuration"], &["deletion"], Success, Informational)
        }
        // Lines of this very log that are not there any more.
        "audit.cut" => {
            of(EntityManagement, Activity::Is(4, "Delete"), &["configuration"], &["deletion"], Status::Other("Found at the start"), Medium)
        }
        "audit.gone" => of(EntityManagement, Activity::Is(4, "Delete"), &["configuration"], &["deletion"], Status::Other("Found at the start"), Low),
        // Lines that never were there: a flood found the queue full, or the disk was.
        "audit.lost" => of(EntityManagement, Other, &["configuration"], &["info"], Status::Other("Lost"), Medium),
        // Whether there are such lines, nobody knows.
        "audit.end_unknown" => of(EntityManagement, Other, &["configuration"], &["info"], Status::Other("Found at the start"), Medium),
        "admin.refused" => of(EntityManagement, UPDATE, &["configuration"], &["denied"], Failure, Low),
        _ if action.starts_with("admin.") => of(EntityManagement, UPDATE, &["configuration"], &["change"], Success, Informational),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Activity, Class, Severity, meaning};
    use regex::Regex;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.to_string_lossy().contains("/src/observe/") {
                let text = fs::read_to_string(&path).unwrap();
                into.push((path, text));
            }
        }
    }

    /// Every action that some file tells of, wherever it is handed on to where events are emitted.
    #[test]
    fn every_action_that_the_code_tells_has_a_meaning() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let named = Regex::new(r#"(?:\baction(?::\s*|\s*=\s*)|\baudit\(\s*|\btell\([^"()]*|\bby,\s*)"([a-z_]+(?:\.[a-z_]+)*)""#).unwrap();
        let handed_on = Regex::new(r#"target: "audit",\s*action,"#).unwrap();
        let emitted = Regex::new(r#"target: "audit",\s*action\b"#).unwrap();
        let (mut actions, mut wrappers, mut events, mut targets) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
        for (path, text) in &files {
            let emits = text.contains("target: \"audit\"");
            actions.extend(named.captures_iter(text).map(|found| found[1].to_owned()).filter(|action| emits || action.contains('.')));
            targets += text.matches("target: \"audit\"").count();
            events += emitted.find_iter(text).count();
            if handed_on.is_match(text) {
                wrappers.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        assert_eq!(events, targets, "`action` is the first field of every event");
        // A new function that hands actions on must be known to the expression above.
        assert_eq!(wrappers, ["events.rs", "leaving.rs", "people.rs"].map(str::to_owned).into());
        let told: Vec<&str> = actions.iter().map(String::as_str).collect();
        for known in
            ["access.denied", "account.forgotten", "account.retry", "account.vanished", "approval.granted", "config.loaded", "logout", "role.granted"]
        {
            assert!(told.contains(&known), "{known}: {told:?}");
        }
        let missing: Vec<&str> = told.into_iter().filter(|action| meaning(action, "").is_none()).collect();
        assert!(missing.is_empty(), "no meaning in OCSF and ECS: {missing:?}");
    }

    #[test]
    fn what_failed_is_what_was_tried() {
        assert_eq!(meaning("account.burnt", ""), None);
        let activity = |action: &str, attempt: &str| meaning(action, attempt).unwrap().activity;
        assert_eq!(activity("account.failed", "create"), Activity::Is(1, "Create"));
        assert_eq!(activity("account.failed", "ensure"), Activity::Other);
        assert_eq!(activity("role.revoked", "update"), Activity::Is(8, "Detach Policy"));
        assert_eq!(meaning("admin.page", "").unwrap().class, Class::EntityManagement);
        for action in ["audit.cut", "audit.end_unknown", "audit.lost"] {
            assert_eq!(meaning(action, "").unwrap().severity, Severity::Medium, "{action}");
        }
    }
}
