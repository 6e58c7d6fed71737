//! Which claims a policy reads.
//!
//! Lives here: [`Policy::needed`], a person without the claims that this policy never looks at: what is kept of somebody, to explain an answer later, is what the
//! answer hung on. Apart because nothing that decides asks it.

use super::{Gate, Policy, SignIn};
use crate::expr::{Condition, FirstOf, Template};
use crate::identity::Identity;
use serde_json::Map;

impl Policy {
    /// `identity` without the claims that no condition, header, role or attribute of this policy reads.
    pub fn needed(&self, identity: &Identity) -> Identity {
        let mut names = Names::default();
        self.read(&mut names);
        let kept = identity.claims.iter().filter(|(name, _)| names.has(name)).map(|(name, value)| (name.clone(), value.clone()));
        let claims = kept.collect::<Map<_, _>>();
        identity.with_claims(claims)
    }

    fn read(&self, names: &mut Names) {
        let gates: Vec<&Gate> = std::iter::once(&self.access).chain(self.paths.iter().map(|section| &section.gate)).collect();
        gates.iter().filter_map(|gate| gate.when.as_ref()).for_each(|when| names.condition(when));
        for value in [&self.user.name, &self.user.email, &self.user.display] {
            names.value(value);
        }
        self.user.extra.iter().for_each(|(_, value)| names.value(value));
        self.orgs.iter().for_each(|org| names.value(&org.role));
        self.headers.iter().chain(self.paths.iter().flat_map(|section| &section.headers)).for_each(|header| names.value(&header.value));
        self.jwt.iter().flat_map(|jwt| &jwt.claims).for_each(|(_, value)| names.value(value));
        for landing in [&self.login.landing, &self.login.landing_new, &self.login.landing_existing].into_iter().flatten() {
            landing.templates().for_each(|template| names.template(template));
        }
        if let Some(provision) = &self.provision {
            provision.switches.join_when.iter().chain(&provision.switches.protect_when).for_each(|when| names.condition(when));
            provision.connector.attributes.iter().for_each(|attribute| names.value(&attribute.default));
        }
        self.user.required.iter().for_each(|name| names.note(name));
        // Nothing of `[sign_in]` is made of a person: a key that is does not compile here before it is read.
        let SignIn { mode: _, login_url: _, password: _, rotate_ms: _, bound: _, script_cookies: _, logout_paths: _, rejected_when: _ } =
            &self.sign_in;
    }
}

/// Top-level claims that are read.
#[derive(Default)]
struct Names {
    /// Somebody takes them all.
    all: bool,
    claims: Vec<String>,
}

impl Names {
    fn value(&mut self, value: &FirstOf) {
        value.0.iter().for_each(|template| self.template(template));
    }

    fn template(&mut self, template: &Template) {
        template.names().iter().for_each(|name| self.note(name));
    }

    fn condition(&mut self, condition: &Condition) {
        condition.names().iter().for_each(|name| self.note(name));
    }

    /// `claims.department.id` reads `department`; what is not so plain (`claims`, `claims['a b']`) may read anything.
    fn note(&mut self, name: &str) {
        let Some(rest) = name.strip_prefix("claims") else { return };
        let claim = rest.strip_prefix('.').and_then(|path| path.split(['.', '[']).next()).filter(|claim| !claim.is_empty());
        match claim {
            Some(claim) => self.claims.push(claim.to_owned()),
            None => self.all = true,
        }
    }

    fn has(&self, claim: &str) -> bool {
        self.all || self.claims.iter().any(|name| name == claim)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_claim_is_needed_when_something_reads_it() {
        let check = |read: &[&str], claim: &str, expected: bool| {
            let mut names = Names::default();
            for name in read {
                names.note(name);
            }
            assert_eq!(names.has(claim), expected, "{read:?} {claim}");
        };
        check(&[], "department", false);
        check(&["claims.ou", "email"], "department", false);
        check(&["claims.department"], "department", true);
        check(&["claims.department.id"], "department", true);
        check(&["claims.department.id"], "id", false);
        check(&["claims.groups[0]"], "groups", true);
        check(&["claims['b c'].d"], "b c", true);
        check(&["claims"], "anything", true);
        check(&["claims.departments"], "department", false);
        // Attributes of the sign-in are kept by themselves, not as claims.
        check(&["employee_id", "email"], "email", false);
    }
}
