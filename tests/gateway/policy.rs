//! Golden policies: what `check` says of them, and what they decide.
//!
//! A `*.case` file is a policy (JSON, when it is called `*.json.case`), a line of dashes, and expectations, one a line:
//!
//! ```text
//! ok                                       no problems at all
//! error unknown-key 4:1                    every problem, in order, with line and column
//! GET /admin groups=staff -> deny groups   a decision; the words before the arrow say who asks
//! ```
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use vestibule::clock::Timestamp;
use vestibule::config::SecretRef;
use vestibule::connector::builtin::builtin;
use vestibule::connector::model::Model;
use vestibule::identity::{Groups, Identity, SubjectId, Way};
use vestibule::load::{check, check_files};
use vestibule::policy::{self, Admitted, CanonicalPath, Facts, Policy, Refusal, SignedIn, Surroundings};
use vestibule::source::value::duration_ms;
use vestibule::source::{Problem, Severity, SourceFile};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The built-in connectors, and one that is as particular as any may become.
static CONNECTORS: LazyLock<Vec<Arc<Model>>> = LazyLock::new(|| {
    let (fussy, problems) = Model::parse(&SourceFile::new("fussy.toml", include_str!("../policies/fussy.toml")));
    assert!(problems.is_empty(), "{problems:?}");
    builtin().iter().cloned().chain(fussy.map(Arc::new)).collect()
});

fn compile(name: &str, text: &str) -> (Option<Policy>, Vec<Problem>) {
    let idps = ["corp".to_owned(), "adfs".to_owned()];
    policy::compile(&SourceFile::new(name, text), Surroundings { idps: Some(&idps), connectors: &CONNECTORS })
}

/// Runs one expectation of the second half; `Err` says what came instead.
fn decide(policy: &Policy, line: &str) -> Result<bool, String> {
    let (request, expected) = line.split_once(" -> ").ok_or("no arrow")?;
    let mut words = request.split(' ').filter(|word| !word.is_empty());
    let (method, raw) = (words.next().ok_or("no method")?, words.next().ok_or("no path")?);
    let raw = raw.replace("\\t", "\t").replace("\\s", " ");
    let mut identity = Identity {
        subject: SubjectId { issuer: "https://idp.example".into(), subject: "1".into() },
        idp: "corp".into(),
        email: None,
        email_verified: true,
        name: None,
        given_name: None,
        family_name: None,
        username: None,
        groups: Groups::Known(Vec::new()),
        claims: serde_json::Map::new(),
    };
    let (mut anonymous, mut way, mut peer, mut age_ms) = (false, Way::Session, "192.0.2.1".to_owned(), 0);
    for word in words {
        match word.split_once('=') {
            None if word == "anonymous" => anonymous = true,
            None if word == "token" => way = Way::Bearer,
            Some(("groups", "unknown")) => identity.groups = Groups::Unknown,
            Some(("groups", names)) => identity.groups = Groups::Known(names.split(',').map(str::to_owned).collect()),
            Some(("email", address)) => identity.email = Some(address.to_owned()),
            Some(("verified", yes)) => identity.email_verified = yes == "true",
            Some(("idp", id)) => id.clone_into(&mut identity.idp),
            Some(("ip", address)) => address.clone_into(&mut peer),
            Some(("age", age)) => age_ms = duration_ms(age).ok_or("bad age")?,
            Some((key, value)) => {
                let claim = key.strip_prefix("claims.").ok_or_else(|| format!("`{word}` is not understood"))?;
                identity.claims.insert(claim.to_owned(), value.into());
            }
            None => return Err(format!("`{word}` is not understood")),
        }
    }
    let signed_in = (!anonymous).then_some(SignedIn { identity: &identity, auth_time: NOW.plus_ms(-age_ms) });
    let got = match CanonicalPath::parse_as(&raw, policy.encoded_slashes) {
        Err(_) => "400".to_owned(),
        Ok(path) => {
            let facts = Facts { method, path: &path, peer: peer.parse().map_err(|error| format!("{error}"))?, host: "app.example.com" };
            match policy::evaluate_by(policy, signed_in, way, &facts, NOW) {
                Ok(Admitted { public: true, .. }) => "public".to_owned(),
                Ok(Admitted { public: false, .. }) => "allow".to_owned(),
                Err(Refusal::LoginRequired) => "login".to_owned(),
                Err(Refusal::TokenRequired) => "token".to_owned(),
                Err(Refusal::FreshLogin { max_age_ms }) => format!("fresh {}m", max_age_ms / 60_000),
                Err(Refusal::Denied { reason, .. }) => format!("deny {}", reason.key()),
            }
        }
    };
    let admitted = got == "public" || got == "allow";
    if got == expected.trim() { Ok(admitted) } else { Err(format!("got {got}")) }
}

/// Name, policy and expectations of every case.
fn cases() -> Vec<(String, String, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/policies")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "case"))
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let whole = fs::read_to_string(path).unwrap();
        let (text, expected) = whole.split_once("\n-----\n").unwrap_or_else(|| panic!("{name}: no line of dashes"));
        (name, text.to_owned() + "\n", expected.to_owned())
    };
    files.iter().map(read).collect()
}

#[test]
fn golden_cases() {
    let (mut wrong, mut refusing, mut files) = (Vec::new(), 0, 0);
    for (name, text, expected) in cases() {
        let (policy, problems) = compile(&name, &text);
        let found: Vec<String> = problems
            .iter()
            .map(|problem| {
                let severity = if problem.severity == Severity::Error { "error" } else { "warning" };
                let (line, column) = problem.line_column();
                format!("{severity} {} {line}:{column}", problem.code)
            })
            .collect();
        let lines: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(!lines.is_empty(), "{name} expects nothing");
        let (decisions, wanted): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.contains(" -> "));
        let wanted: Vec<&str> = wanted.into_iter().filter(|line| *line != "ok").collect();
        files += 1;
        if found != wanted {
            wrong.push(format!("{name}: wanted {wanted:#?}, found {found:#?}"));
        }
        assert_eq!(policy.is_none(), found.iter().any(|line| line.starts_with("error")), "{name}: a policy comes exactly without errors");
        refusing += usize::from(policy.is_none());
        for line in decisions {
            match policy.as_ref().map(|policy| decide(policy, line)) {
                Some(Ok(_)) => {}
                Some(Err(why)) => wrong.push(format!("{name}: {line}: {why}")),
                None => wrong.push(format!("{name}: {line}: the policy does not compile")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files >= 250 && refusing * 2 >= files, "{refusing} of {files} cases refuse");
}

/// Codes that no policy file can get from `check`: they belong to connector files, to a file that is too large to keep as a case, or to `fmt`.
const NOT_OF_POLICIES: [&str; 3] = ["effect", "too-large", "tidy"];

/// Every code that the compilers can say stands in at least one case.
#[test]
fn every_code_has_a_case() {
    let said = Regex::new(r#"\b(?:error|warning|error_help|of)\(\s*"([a-z]+(?:-[a-z]+)*)""#).unwrap();
    let mut codes = BTreeSet::new();
    let mut folders = vec![PathBuf::from("src/policy"), PathBuf::from("src/expr"), PathBuf::from("src/source"), PathBuf::from("src/connector/model")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            // `model/file.rs` reads connector files.
            let tests = path.file_stem().unwrap().to_string_lossy().ends_with("tests");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !tests && !path.ends_with("connector/model/file.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                codes.extend(said.captures_iter(code).map(|found| found[1].to_owned()));
            }
        }
    }
    // What is no expression at all has a function of its own.
    codes.insert("expression".to_owned());
    assert!(codes.len() >= 30, "the sources were found: {codes:?}");
    let shown: BTreeSet<String> = cases()
        .iter()
        .flat_map(|(_, _, expected)| expected.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let missing: Vec<&String> = codes.iter().filter(|code| !shown.contains(*code) && !NOT_OF_POLICIES.contains(&code.as_str())).collect();
    assert!(missing.is_empty(), "no case in tests/policies/ shows {missing:?}");
}

/// What a slip is answered with: the case, and what the way out says.
#[test]
fn a_slip_is_told_what_was_meant() {
    let check = |case: &str, expected: &[&str]| {
        let (_, text, _) = cases().into_iter().find(|(name, ..)| name == case).unwrap_or_else(|| panic!("{case}"));
        let (_, problems) = compile(&if case.contains('.') { case.to_owned() } else { format!("{case}.toml") }, &text);
        let said: String = problems.iter().map(Problem::render).collect();
        for part in expected {
            assert!(said.contains(part), "{case}: {part} is not in {said}");
        }
    };
    check("section-unknown", &["unknown section `[foo]`", "unknown section `[[foo2]]`", "= help: sections: [login], [access], [[path]], "]);
    check("section-misspelt", &["unknown section `[[paths]]`", "did you mean `[[path]]`?", "did you mean `[roles]`?"]);
    check("json-unknown-section.json", &["unknown section `foo`", "unknown key `fou` at the top level of the file"]);
    check("duplicate-key", &["= help: `everyone` is set on line 4 already: keep one of the two"]);
    check("duplicate-section", &["= help: `[access]` begins on line 3 already: write these keys there"]);
    check("step-on-bad", &["`on` cannot be `delete`", "\"create\", \"update\", or both in a list"]);
    check("step-on-misspelt", &["`on` cannot be `creat`", "did you mean \"create\"?"]);
    check(
        "step-each-misspelt",
        &[
            "`each` cannot be `roles.aded`",
            "did you mean \"roles.added\"?",
            "did you mean \"roles.removed\"?",
            "one of \"roles.added\", \"roles.removed\", \"orgs.added\", \"orgs.removed\", or a list such as vars.groups",
        ],
    );
    check(
        "test-path-bad",
        &["test.get is no path: the path does not start with /", "get = \"/projects\"", "test.get is no path: the path has a dot segment"],
    );
    check("test-idp-unknown", &["there is no identity provider `crop`", "did you mean \"corp\"?"]);
    check("headers-control-character", &["the header `X-B` contains a control character", "the header `X-D` contains a mark of writing direction"]);
    check("step-header-control-character", &["the header `X-A` contains a control character"]);
}

/// A TOML policy as JSON.
fn as_json(text: &str) -> String {
    let (tree, _) = vestibule::source::parse(&SourceFile::new("x.toml", text));
    serde_json::to_string_pretty(&tree.to_json()).unwrap()
}

/// What a policy means, without where it was written.
fn meaning(policy: &Policy) -> String {
    let places = Regex::new(r"(?:policies/)?app\.(?:toml|json)(?::\d+)?").unwrap();
    let revision = Regex::new(r#"revision: "[0-9a-f]{12}""#).unwrap();
    let spans = Regex::new(r"\b\d+\.\.\d+\b").unwrap();
    let text = format!("{policy:#?}");
    revision.replace(&spans.replace_all(&places.replace_all(&text, "PLACE"), "SPAN"), "revision").into_owned()
}

#[test]
fn a_policy_means_the_same_in_json() {
    let mut texts: Vec<(String, String)> = fs::read_dir("policies")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect();
    texts.push(("full example".to_owned(), fs::read_to_string("tests/policies/example-redmine.toml").unwrap()));
    texts.extend(cases().into_iter().filter(|(name, ..)| Path::new(name).extension().is_none()).map(|(name, text, _)| (name, text)));
    let (mut same, mut broken) = (0, 0);
    let of_toml = Regex::new(r"\[\[?[a-z_.]+\]|TOML|section header").unwrap();
    for (name, text) in texts {
        let (toml, problems) = compile("policies/app.toml", &text);
        // What is not TOML has no other form; what has a date, none in JSON.
        if problems.iter().any(|problem| problem.code == "syntax") || text.contains("1979-05-27") {
            continue;
        }
        let (json, others) = compile("policies/app.json", &as_json(&text));
        let codes = |problems: &[Problem]| {
            let mut codes: Vec<(String, Severity)> = problems.iter().map(|problem| (problem.code.to_owned(), problem.severity)).collect();
            codes.sort();
            codes
        };
        assert_eq!(codes(&problems), codes(&others), "{name}\n{}", others.iter().map(Problem::render).collect::<String>());
        match (toml, json) {
            (Some(toml), Some(json)) => {
                same += 1;
                assert_eq!(meaning(&toml), meaning(&json), "{name}");
            }
            (None, None) => broken += 1,
            (toml, json) => panic!("{name}: one form compiles and the other does not: {} {}", toml.is_some(), json.is_some()),
        }
        for problem in others {
            let said = format!("{} {} {}", problem.message, problem.label, problem.helps.join(" "));
            assert!(!of_toml.is_match(&said), "{name}: not JSON: {said}");
        }
    }
    assert!(same >= 30 && broken >= 65, "{same} {broken}");
}

#[test]
fn bad_redmine_is_told_everything_at_once() {
    let report = check_files(&[PathBuf::from("tests/policies/bad-redmine.toml")]);
    // The connectors grow; what is said about them does not.
    let mut names: Vec<String> = builtin().iter().map(|model| model.name.clone()).filter(|name| name != "rest").collect();
    names.extend(["rest".to_owned(), "none".to_owned()]);
    let expected = fs::read_to_string("tests/policies/bad-redmine.txt").unwrap().replace("{connectors}", &names.join(", "));
    assert_eq!(report.render(), expected, "\n{}", report.render());
    assert_eq!(report.errors(), 9);
}

#[test]
fn every_shipped_policy_is_in_order() {
    let paths: Vec<PathBuf> = fs::read_dir("policies").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    assert!(paths.len() >= 3, "{paths:?}");
    let report = check_files(&paths);
    assert!(report.problems.is_empty(), "{}", report.render());
}

#[test]
fn a_broken_policy_takes_down_its_own_app_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vestibule.toml");
    fs::write(&config, GATEWAY).unwrap();
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let app = |host: &str, rest: &str| format!("host = \"{host}\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n{rest}");
    fs::write(policies.join("a.toml"), app("a.example.com", "")).unwrap();
    fs::write(policies.join("b.toml"), app("b.example.com", "nonsense = 1\n")).unwrap();
    fs::write(policies.join("c.toml"), app("A.example.com", "")).unwrap();
    fs::write(policies.join("d.toml"), app("auth.example.com", "")).unwrap();
    fs::write(policies.join("e.toml"), app("e.example.com", "[login]\nidp = [\"crop\"]\n")).unwrap();
    fs::write(policies.join("f.yaml"), "host: f.example.com\n").unwrap();
    let json = |host: &str| format!("{{ \"host\": \"{host}\", \"upstream\": \"http://127.0.0.1:1\", \"access\": {{ \"everyone\": true }} }}");
    fs::write(policies.join("g.json"), json("g.example.com")).unwrap();
    fs::write(policies.join("g.toml"), app("g2.example.com", "")).unwrap();
    fs::write(policies.join("h.json"), json("A.example.com")).unwrap();
    fs::write(policies.join("i.json"), json("i.example.com").replace("true", "yes")).unwrap();
    let loaded = vestibule::load::load(&config).unwrap_or_else(|report| panic!("{}", report.render()));
    let names: Vec<&str> = loaded.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["a", "g"], "{}", loaded.report.render());
    let codes: Vec<&str> = loaded.report.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(
        codes,
        ["not-a-policy", "unknown-key", "unknown-idp", "syntax", "duplicate-host", "duplicate-host", "duplicate-app", "duplicate-host"],
        "{}",
        loaded.report.render()
    );
    let twice = loaded.report.problems.iter().find(|problem| problem.code == "duplicate-app").unwrap();
    assert!(twice.file.name.ends_with("g.toml") && twice.message.contains("g.json"), "{}", twice.render());
    assert_eq!(loaded.policies[0].login.idp, ["corp"], "no [login] idp: every provider of the gateway");
    assert_eq!(loaded.gateway.server.policies, policies);
    // What is broken is unavailable rather than unknown; a host that another app has is that app's.
    assert_eq!(loaded.unavailable, ["b.example.com", "e.example.com", "g2.example.com", "i.example.com"]);
    let said = loaded.report().unwrap();
    assert!(
        said.ends_with("Policies with errors are not loaded: b.example.com, e.example.com, g2.example.com, i.example.com unavailable.\n"),
        "{said}"
    );
}

#[test]
fn a_broken_gateway_file_is_fatal() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vestibule.toml");
    let report = |text: &str| {
        fs::write(&config, text).unwrap();
        vestibule::load::load(&config).expect_err(text).problems.iter().map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(vestibule::load::load(&folder.path().join("absent.toml")).expect_err("absent").problems[0].code, "unreadable");
    fs::create_dir(folder.path().join("policies")).unwrap();
    assert_eq!(report(&GATEWAY.replace("[state]", "[state]\nkey2 = 1")), ["unknown-key", "no-policies"]);
    fs::remove_dir(folder.path().join("policies")).unwrap();
    assert_eq!(report(GATEWAY), ["unreadable"], "no folder of policies");
    // Where a key names the folder, it is told there.
    fs::write(&config, GATEWAY.replace("[tls]", "policies = \"elsewhere\"\n[tls]")).unwrap();
    let problems = vestibule::load::load(&config).expect_err("no folder").problems;
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.code, problem.line_column(), &*problem.file.name), ("unreadable", (5, 12), &*config.display().to_string()));
    assert!(problem.message.contains("elsewhere cannot be read: No such file") && !problem.helps.is_empty(), "{}", problem.render());
    fs::write(&config, GATEWAY.replace('\n', "\r\n")).unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    assert_eq!(check(&config).problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["no-policies"], "line ends of another system");
}

/// A directory answers with object ids: whoever is in too many groups for a token is in none that a policy writes by its name.
#[test]
fn groups_by_name_are_told_where_a_directory_answers_with_object_ids() {
    let check_of = |idp: &str, rest: &str, expected: &[(&str, usize)]| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("vestibule.toml");
        fs::create_dir(folder.path().join("policies")).unwrap();
        fs::write(&config, format!("{GATEWAY}{idp}")).unwrap();
        fs::write(folder.path().join("policies/wiki.toml"), format!("host = \"wiki.example.com\"\nupstream = \"http://127.0.0.1:9\"\n{rest}"))
            .unwrap();
        let report = check(&config);
        let found: Vec<(&str, usize)> = report.problems.iter().map(|problem| (problem.code, problem.line_column().0)).collect();
        assert_eq!(found, expected, "{idp}{rest}: {:?}", report.problems);
        assert!(report.problems.iter().all(|problem| problem.message.contains("staff")), "{:?}", report.problems);
    };
    let lookup = "client_secret = \"env:SECRET\"\n[idp.groups_lookup]\npreset = \"entra\"\n";
    let named = "[access]\ngroups = [\"staff\"]\n";
    check_of(lookup, named, &[("group-name", 3)]);
    check_of(lookup, "[access]\neveryone = true\ndeny_groups = [\"*\", \"staff*\"]\n", &[("group-name", 3)]);
    check_of(lookup, "[access]\ngroups = [\"0e3f9a1c-1111-4222-8333-abcdefabcdef\"]\n", &[]);
    check_of(lookup, "[access]\neveryone = true\n", &[]);
    check_of("", named, &[]);
    let roles_first = lookup.replace("[idp.groups_lookup]", "[idp.attributes]\ngroups = [\"roles\", \"groups\"]\n[idp.groups_lookup]");
    check_of(&roles_first, named, &[]);
}

const GATEWAY: &str = r#"
[server]
listen = ["0.0.0.0:443", "[::]:443"]
auth_host = "auth.example.com"
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

/// Every key of the full examples is accepted; what does not work yet is named.
#[test]
fn the_full_examples_are_understood() {
    let codes = |problems: &[Problem]| problems.iter().map(|problem| format!("{} {}", problem.code, problem.line_column().0)).collect::<Vec<_>>();
    let read = |name: &str| fs::read_to_string(Path::new("tests/policies").join(name)).unwrap();
    let (policy, problems) = compile("redmine.toml", &read("example-redmine.toml"));
    assert_eq!(codes(&problems), ["public-overlap 20", "no-effect 54"]);
    let policy = policy.unwrap();
    assert_eq!(policy.place(policy::Rule::Access), "redmine.toml:12");
    assert_eq!(policy.place(policy::Rule::Path(1)), "redmine.toml:23");
    assert_eq!((policy.tests.len(), policy.paths.len(), policy.roles.as_ref().map(|roles| roles.map.len())), (6, 4, Some(3)));
    assert!(policy.provision.as_ref().is_some_and(|provision| provision.steps.is_some() && provision.credential.headers.len() == 1));

    let (_, problems) = compile("grafana.toml", &read("example-grafana.toml"));
    assert_eq!(codes(&problems), [""; 0]);

    let file = SourceFile::new("vestibule.toml", read("example-vestibule.toml"));
    let (_, problems) = vestibule::config::compile(&file, Path::new("/etc/vestibule"));
    let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_eq!(codes(&problems), [""; 0]);
    assert_eq!(errors.len(), 0, "{:?}", codes(&problems));
}

/// What people are told to do, for mistakes seen in the wild.
#[test]
fn ways_out_are_named() {
    let head = "host = \"app.example.com\"\nupstream = \"http://127.0.0.1:1\"\n";
    let check = |text: &str, expected: &str| {
        let (_, problems) = compile("app.toml", &format!("{head}{text}"));
        let helps: Vec<&String> = problems.iter().flat_map(|problem| &problem.helps).collect();
        assert!(helps.iter().any(|help| help.contains(expected)), "{text}: {helps:?}");
    };
    let open = "[access]\neveryone = true\n";
    // Authelia #4170
    check(&format!("{open}[provision]\nconnector = \"none\"\ntoken = \"/etc/token\"\n"), "did you mean \"file:/etc/token\"?");
    // Authelia #2814
    check("[access]\neveryone = true\n[[path]]\nmatc = [\"/x\"]\ngroups = [\"x\"]\n", "did you mean `match`?");
    check("[access]\neveryone = true\nlanding_new = \"/x\"\n", "`landing_new` belongs in [login]");
    check("[access]\ncontact = \"x\"\n", "everyone = true");
    check("[access]\ngroups = \"it's\"\n", "write [\"it's\"]");
    check(&format!("{open}[login]\nidp = [\"crop\"]\n"), "did you mean \"corp\"?");
    check(&format!("{open}[user]\nrequired = [\"department\"]\n"), "\"claims.department\"");
    check(
        &format!("{open}[provision]\nconnector = \"none\"\n[[test]]\nname = \"x\"\nget = \"/\"\nexpect = {{}}\n"),
        "expect = { access = \"allow\" }",
    );
    check(&format!("{open}[provision]\nconnector = \"rset\"\n"), "did you mean \"rest\"?");
}

#[test]
fn a_relative_secret_starts_beside_the_policy_that_says_it() {
    let text = "host = \"a.example.com\"\nupstream = \"http://127.0.0.1:1\"\n[access]\neveryone = true\n\
        [headers]\nX-One = { secret = \"file:one\" }\nX-Two = { secret = \"file:/two\" }\n\
        [provision]\nconnector = \"scim\"\nurl = \"http://127.0.0.1:1\"\ntoken = { secret = \"file:../token\" }\n";
    let (policy, problems) = compile("/etc/vestibule/policies/a.toml", text);
    let policy = policy.unwrap_or_else(|| panic!("{problems:?}"));
    let files: Vec<&SecretRef> = policy.secret_headers.iter().map(|header| &header.secret).collect();
    assert_eq!(files, [&SecretRef::File("/etc/vestibule/policies/one".into()), &SecretRef::File("/two".into())]);
    let token = policy.provision.and_then(|provision| provision.credential.token);
    assert_eq!(token, Some(SecretRef::File("/etc/vestibule/policies/../token".into())));
}

/// What the README shows works as it stands there.
#[test]
fn every_block_of_the_readme_is_in_order() {
    let readme = fs::read_to_string("README.md").unwrap();
    let (mut policies, mut gateways) = (0, 0);
    for block in readme.split("```toml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let problems = if text.contains("[server]") {
            gateways += 1;
            vestibule::config::compile(&SourceFile::new("vestibule.toml", text), Path::new("/etc/vestibule")).1
        } else {
            policies += 1;
            compile("wiki.toml", text).1
        };
        assert!(problems.is_empty(), "{}", problems.iter().map(Problem::render).collect::<String>());
    }
    assert!(policies >= 1 && gateways == 1, "{policies} {gateways}");
}

#[test]
fn a_gateway_file_among_policies_is_told_once() {
    let report = check_files(&[PathBuf::from("tests/policies/example-vestibule.toml")]);
    let said: Vec<&str> = report.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(said, ["this is a gateway file: give it with --config"]);
}
