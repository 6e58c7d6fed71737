//! Golden policies: what `check` says of them, and what they decide.
//!
//! A `*.case` file is a policy, a line of dashes, and expectations, one a line:
//!
//! ```text
//! ok                                       no problems at all
//! error unknown-key 4:1                    every problem, in order, with line and column
//! GET /admin groups=staff -> deny groups   a decision; the words before the arrow say who asks
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use vestibule::clock::Timestamp;
use vestibule::config::SecretRef;
use vestibule::connector::builtin::builtin;
use vestibule::identity::{Groups, Identity, SubjectId, Way};
use vestibule::load::{check, check_files};
use vestibule::policy::{self, Admitted, CanonicalPath, Facts, Policy, Refusal, SignedIn, Surroundings};
use vestibule::source::value::duration_ms;
use vestibule::source::{Problem, Severity, SourceFile};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn compile(name: &str, text: &str) -> (Option<Policy>, Vec<Problem>) {
    let idps = ["corp".to_owned(), "adfs".to_owned()];
    policy::compile(&SourceFile::new(name, text), Surroundings { idps: Some(&idps), connectors: builtin() })
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

#[test]
fn golden_cases() {
    let folder = Path::new("tests/policies");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "case")).collect();
    files.sort();
    let (mut wrong, mut refusing, mut cases) = (Vec::new(), 0, 0);
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::read_to_string(&path).unwrap();
        let (text, expected) = whole.split_once("\n-----\n").unwrap_or_else(|| panic!("{name}: no line of dashes"));
        let text = text.to_owned() + "\n";
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
        cases += 1;
        if found != wanted {
            wrong.push(format!("{name}: wanted {wanted:#?}, found {found:#?}"));
        }
        assert_eq!(policy.is_none(), wanted.iter().any(|line| line.starts_with("error")), "{name}: a policy comes exactly without errors");
        if policy.is_none() {
            refusing += 1;
        }
        for line in decisions {
            cases += 1;
            match policy.as_ref().map(|policy| decide(policy, line)) {
                Some(Ok(admitted)) => refusing += usize::from(!admitted),
                Some(Err(why)) => wrong.push(format!("{name}: {line}: {why}")),
                None => wrong.push(format!("{name}: {line}: the policy does not compile")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 60 && refusing * 2 >= cases, "{refusing} of {cases} cases refuse");
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
    // Their tests are read and not run yet, which is said once a file.
    assert!(report.problems.iter().all(|problem| problem.code == "not-yet" && problem.message.contains("tests")), "{}", report.render());
    assert!(report.problems.len() <= paths.len(), "{}", report.render());
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
    fs::write(policies.join("f.json"), "{}").unwrap();
    let loaded = vestibule::load::load(&config).unwrap_or_else(|report| panic!("{}", report.render()));
    let names: Vec<&str> = loaded.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["a"], "{}", loaded.report.render());
    let codes: Vec<&str> = loaded.report.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["not-yet", "unknown-key", "unknown-idp", "duplicate-host", "duplicate-host"]);
    assert_eq!(loaded.policies[0].login.idp, ["corp"], "no [login] idp: every provider of the gateway");
    assert_eq!(loaded.gateway.server.policies, policies);
    // What is broken is unavailable rather than unknown; a host that another app has is that app's.
    assert_eq!(loaded.unavailable, ["b.example.com", "e.example.com"]);
    let said = loaded.report().unwrap();
    assert!(said.ends_with("Policies with errors are not loaded: b.example.com, e.example.com unavailable.\n"), "{said}");
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
    fs::write(&config, GATEWAY.replace('\n', "\r\n")).unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    assert_eq!(check(&config).problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["no-policies"], "line ends of another system");
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
    assert_eq!(codes(&problems), ["public-overlap 20", "no-effect 54", "not-yet 116"]);
    let policy = policy.unwrap();
    assert_eq!(policy.place(policy::Rule::Access), "redmine.toml:12");
    assert_eq!(policy.place(policy::Rule::Path(1)), "redmine.toml:23");
    assert_eq!((policy.tests.len(), policy.paths.len(), policy.roles.as_ref().map(|roles| roles.map.len())), (6, 4, Some(3)));
    assert!(policy.provision.as_ref().is_some_and(|provision| provision.steps.is_some() && provision.credential.headers.len() == 1));

    let (_, problems) = compile("grafana.toml", &read("example-grafana.toml"));
    assert_eq!(codes(&problems), ["not-yet 58"], "everything but its own tests");

    let file = SourceFile::new("vestibule.toml", read("example-vestibule.toml"));
    let (_, problems) = vestibule::config::compile(&file, Path::new("/etc/vestibule"));
    let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(problems.iter().all(|problem| problem.code == "not-yet"), "{:?}", codes(&problems));
    assert_eq!(errors.len(), 1, "only SAML: {:?}", codes(&problems));
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
    check(&format!("{open}[provision]\nconnector = \"none\"\n[[test]]\nname = \"x\"\nget = \"/\"\nexpect = {{}}\n"), "is not checked");
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
