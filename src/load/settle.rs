//! Which version of which file is served.
//!
//! Lives here: [`settle`], which decides it for all policy files at once: a file that is in order is served as it is now, one that is not as it was, one that
//! never was in order not at all. Apart because files can be wrong together (two claim one host), and then what is already served must not suffer. Pure.

use super::UNREADABLE;
use crate::config::compile::together;
use crate::policy::Policy;
use crate::source::{Problem, Severity, SourceFile, parse};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::Arc;

/// A policy file as it is now.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The file.
    pub file: SourceFile,
    /// What it means; `None` when it has errors.
    pub policy: Option<Arc<Policy>>,
    /// What is to be said of it.
    pub problems: Vec<Problem>,
    /// The connector file that it names, and what stood there; nothing when it could not be read.
    pub connector: Option<(PathBuf, Option<Arc<str>>)>,
}

/// What is served of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// What it says now.
    Now,
    /// What it said when it was last in order.
    Before,
    /// Nothing: it never was.
    Nothing,
}

impl Candidate {
    /// The host it says, as far as it can be read; lower case.
    pub fn host(&self) -> Option<String> {
        match &self.policy {
            Some(policy) => Some(policy.host.clone()),
            None => parse(&self.file).0.text("host").map(str::to_ascii_lowercase),
        }
    }

    /// How many errors it has.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.problems.iter().any(|problem| problem.code == UNREADABLE)
    }
}

/// Chooses for every candidate, in their order; `before` has the policies in force, by file. The problems are those that files have with each other: a
/// candidate that has one is not served as it is now. `own`: hosts of the gateway itself.
///
/// A host belongs to whom it is served for already; among newcomers the first file has it.
pub fn settle<S: BuildHasher>(
    own: &[(&str, &'static str)],
    candidates: &[Candidate],
    before: &HashMap<&str, &Policy, S>,
) -> (Vec<Choice>, Vec<Problem>) {
    let last = |candidate: &Candidate| before.get(&*candidate.file.name).copied();
    let otherwise = |candidate: &Candidate| if last(candidate).is_some() { Choice::Before } else { Choice::Nothing };
    let mut choices: Vec<Choice> =
        candidates.iter().map(|candidate| if candidate.policy.is_some() { Choice::Now } else { otherwise(candidate) }).collect();
    let mut problems = Vec::new();
    // Each round takes a choice back that is not asked about again, so it ends; without a clash there is one round.
    loop {
        let mut claims: Vec<(u8, &Candidate, &Policy)> = Vec::new();
        for (candidate, choice) in candidates.iter().zip(&choices) {
            let served = last(candidate);
            match (choice, &candidate.policy, served) {
                (Choice::Before, _, Some(policy)) => claims.push((0, candidate, policy)),
                (Choice::Now, Some(policy), _) => {
                    claims.push((if served.is_some_and(|served| served.host == policy.host) { 1 } else { 2 }, candidate, policy));
                }
                _ => {}
            }
        }
        // Stable: by name among equals.
        claims.sort_by_key(|(rank, _, _)| *rank);
        let clashes = together(own, claims.iter().map(|(_, candidate, policy)| (&candidate.file, *policy)));
        if clashes.is_empty() {
            return (choices, problems);
        }
        let clashing: HashMap<&str, &Problem> = clashes.iter().map(|problem| (&*problem.file.name, problem)).collect();
        for (candidate, choice) in candidates.iter().zip(&mut choices) {
            if let Some(problem) = clashing.get(&*candidate.file.name) {
                let now = *choice == Choice::Now;
                problems.extend(now.then(|| (*problem).clone()));
                *choice = if now { otherwise(candidate) } else { Choice::Nothing };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Choice, settle};
    use crate::policy::{Policy, Surroundings, compile};
    use crate::source::SourceFile;
    use std::collections::HashMap;
    use std::sync::Arc;

    /// `a=one` is a file `a.toml` with this host, `a=` a broken one.
    fn candidate(written: &str) -> Candidate {
        let (name, host) = written.split_once('=').unwrap();
        let text = format!("host = \"{host}.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n");
        let file = SourceFile::new(format!("{name}.toml"), if host.is_empty() { String::new() } else { text });
        let (policy, problems) = compile(&file, Surroundings { idps: None, connectors: &[] });
        Candidate { file, policy: policy.map(Arc::new), problems, connector: None }
    }

    fn check(before: &str, now: &str, expected: &str) {
        let before: Vec<Candidate> = before.split_whitespace().map(candidate).collect();
        let before: HashMap<&str, &Policy> = before.iter().map(|known| (&*known.file.name, &**known.policy.as_ref().unwrap())).collect();
        let now_served: Vec<Candidate> = now.split_whitespace().map(candidate).collect();
        let (choices, problems) = settle(&[("auth.example.com", "[server] auth_host")], &now_served, &before);
        let word = |(candidate, choice): (&Candidate, &Choice)| {
            let name = candidate.file.name.trim_end_matches(".toml");
            match choice {
                Choice::Now => format!("{name}=now"),
                Choice::Before => format!("{name}=before"),
                Choice::Nothing => format!("{name}=nothing"),
            }
        };
        let chosen: Vec<String> = now_served.iter().zip(&choices).map(word).collect();
        assert_eq!(chosen.join(" "), expected, "{now}: {problems:?}");
        // Whoever is not served as it is now is told why.
        for (candidate, choice) in now_served.iter().zip(&choices) {
            let told = candidate.errors() + problems.iter().filter(|problem| problem.file.name == candidate.file.name).count();
            assert_eq!(told > 0, *choice != Choice::Now, "{now}: {}", candidate.file.name);
        }
    }

    #[test]
    fn what_is_served_does_not_suffer_from_what_is_wrong() {
        check("", "a= b=one", "a=nothing b=now");
        check("a=one b=two", "a= b=two", "a=before b=now");
        check("", "a=one b=one", "a=now b=nothing");
        check("", "a=auth", "a=nothing");
        check("a=one", "a=auth", "a=before");
        // A newcomer that comes first by name takes no host away, from a good file or from one that is broken for now.
        check("b=one", "a=one b=one", "a=nothing b=now");
        check("b=one", "a=one b=", "a=nothing b=before");
        check("b=one c=two", "b=one c=one", "b=now c=before");
        // Who moves makes room; two may change places.
        check("a=one", "a=two b=one", "a=now b=now");
        check("a=one b=two", "a=two b=one", "a=now b=now");
        // …but not when one of them cannot move: its host is its own, and so is that of the other.
        check("a=one b=two", "a= b=one", "a=before b=before");
        check("a=one b=two c=three", "a= b=one c=two", "a=before b=before c=before");
        check("a=one", "b=one", "b=now");
    }

    #[test]
    fn two_files_of_one_name_are_not_two_apps() {
        let named = |name: &str, host: &str| {
            let text = candidate(&format!("x={host}")).file.text;
            let file = SourceFile::new(name, text);
            let (policy, problems) = compile(&file, Surroundings { idps: None, connectors: &[] });
            Candidate { file, policy: policy.map(Arc::new), problems, connector: None }
        };
        let (choices, problems) =
            settle(&[], &[named("p/a.TOML", "one"), named("p/a.toml", "two"), named("q/a.toml", "three")], &HashMap::<&str, &Policy>::new());
        assert_eq!(choices, [Choice::Now, Choice::Nothing, Choice::Now]);
        assert_eq!(problems.iter().map(|problem| (problem.code, &*problem.file.name)).collect::<Vec<_>>(), [("duplicate-app", "p/a.toml")]);
    }
}
