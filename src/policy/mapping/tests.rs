use super::*;
use crate::expr::{Env, Template};
use crate::identity::SubjectId;
use crate::policy::{Gate, Glob, Login, OnCollision, OnExisting, OnSuspect, Org, Upstream, UserMapping};
use serde_json::json;
use std::sync::Arc;

fn first(texts: &[&str]) -> FirstOf {
    let env = Env::sign_in().with_user([]).with_roles();
    FirstOf(texts.iter().map(|text| Template::compile(text, &env).unwrap().0).collect())
}

fn bare() -> Policy {
    Policy {
        name: "wiki".into(),
        file: "policies/wiki.toml".into(),
        revision: "r1".into(),
        title: "Wiki".into(),
        host: "wiki.example.com".into(),
        upstream: Upstream { tls: false, host: "127.0.0.1".into(), port: 1, connect_timeout_ms: 1, response_timeout_ms: 1 },
        login: Login::default(),
        access: Gate::default(),
        login_place: String::new(),
        access_place: String::new(),
        contact: None,
        help: None,
        paths: crate::policy::PathSections::default(),
        messages: crate::policy::messages::Messages::default(),
        encoded_slashes: crate::policy::EncodedSlashes::Refuse,
        bearer: None,
        user: UserMapping {
            name: first(&["{username}"]),
            email: first(&["{lower(email)}"]),
            display: first(&["{name}"]),
            extra: Vec::new(),
            required: Vec::new(),
            name_max: None,
            omit: Vec::new(),
            on_collision: OnCollision::Refuse,
            on_suspect: OnSuspect::Refuse,
        },
        roles: None,
        orgs: Vec::new(),
        vars: Map::new(),
        provision: None,
        headers: Vec::new(),
        secret_headers: Vec::new(),
        jwt: None,
        sign_in: crate::policy::SignIn::default(),
        tests: Vec::new(),
    }
}

fn provisioned(model: Model) -> Policy {
    let provision = Provision {
        connector: Arc::new(model),
        url: "http://127.0.0.1:1/".parse().unwrap(),
        credential: crate::connector::model::Credential::default(),
        settings: Map::new(),
        on_existing: OnExisting::Refuse,
        match_by: Vec::new(),
        switches: crate::policy::Switches::default(),
        leavers: crate::policy::Leavers::default(),
        freshness: crate::policy::Freshness::default(),
        drift: crate::policy::Drift::default(),
        timeout_ms: 1,
        retries: 0,
        steps: None,
        initial_password: crate::connector::model::InitialPassword::None,
        tls: None,
        concurrency: 8,
        rate: None,
    };
    Policy { provision: Some(provision), ..bare() }
}

fn ada() -> Identity {
    Identity {
        subject: SubjectId { issuer: "https://idp".into(), subject: "1".into() },
        idp: "corp".into(),
        email: Some("Ada@example.com".into()),
        email_verified: true,
        name: Some("Ada Lovelace".into()),
        given_name: Some("Ada".into()),
        family_name: Some("Lovelace".into()),
        username: Some("ada".into()),
        groups: Groups::Known(vec!["dev-web".into(), "sre".into()]),
        claims: Map::new(),
    }
}

fn granting(kind: &str) -> Model {
    let mut model = Model::rest();
    kind.clone_into(&mut model.roles_as);
    model.verbs.insert(Verb::Members(kind.to_owned(), MemberVerb::Add), Vec::new());
    model.verbs.insert(Verb::Members("org".to_owned(), MemberVerb::Add), Vec::new());
    model
}

fn refused(policy: &Policy, identity: &Identity) -> String {
    desire(policy, identity, None).unwrap_err().to_string()
}

#[test]
fn a_login_that_is_not_safe_is_refused_and_never_mended() {
    let policy = provisioned(Model::rest());
    let check = |name: &str, expected: &str| {
        let error = refused(&policy, &Identity { username: Some(name.to_owned()), ..ada() });
        assert!(error.contains(expected), "{name:?}: {error}");
    };
    check("ada\r\nX-Admin: 1", "control");
    check("ada\0", "control");
    check("\u{202e}ada", "direction");
    check("ad\u{fffd}", "replacement");
    check("ada\u{fffe}", "no character");
    check("ad\u{200b}a", "characters that the app does not take");
    check("   ", "missing");
    check("--", "characters that the app does not take");
    check(&"a".repeat(256), "longer");
    for name in ["admin", "Admin", " admin", "ADMIN\u{2003}", "ａｄｍｉｎ", "adm\u{131}n", "root", "superuser", "System"] {
        check(name, "reserved");
    }
    // The same composed or not, and never with white space at an end.
    let login = |name: &str| desire(&policy, &Identity { username: Some(name.to_owned()), ..ada() }, None).unwrap().desired.login;
    assert_eq!(login(" Zoe\u{308} "), "Zoë");
    assert_eq!(login("Zoë"), "Zoë");
}

#[test]
fn without_provisioning_names_that_no_app_is_told_are_the_providers_business() {
    let admin = Identity { username: Some("admin".into()), ..ada() };
    assert_eq!(desire(&bare(), &admin, None).unwrap().desired.login, "admin");
    assert!(refused(&bare(), &Identity { username: Some("a\nb".into()), ..ada() }).contains("control"));
}

#[test]
fn an_app_that_is_told_names_is_not_told_a_reserved_one() {
    let header = |value: &str| crate::policy::Header {
        name: http::HeaderName::from_static("x-user"),
        written: "X-User".into(),
        value: first(&[value]),
        encoding: crate::policy::Encoding::Utf8,
    };
    let jwt = crate::policy::Jwt {
        header: http::HeaderName::from_static("x-jwt"),
        prefix: String::new(),
        secret: None,
        audience: "wiki".into(),
        ttl_ms: 1000,
        claims: Vec::new(),
    };
    let by_header = Policy { headers: vec![header("{user.name}")], ..bare() };
    let by_token = Policy { jwt: Some(jwt), ..bare() };
    for policy in [&by_header, &by_token] {
        for name in ["admin", "Root", "\u{ff41}dministrator", " system ", "SUPERUSER"] {
            let error = refused(policy, &Identity { username: Some(name.into()), ..ada() });
            assert!(error.contains("reserved"), "{name:?}: {error}");
        }
        assert_eq!(desire(policy, &ada(), None).unwrap().desired.login, "ada");
    }
    let address_only = Policy { headers: vec![header("{user.email}")], ..bare() };
    assert_eq!(desire(&address_only, &Identity { username: Some("admin".into()), ..ada() }, None).unwrap().desired.login, "admin");
}

#[test]
fn the_recorded_login_wins_over_a_fresh_claim() {
    let renamed = Identity { username: Some("ada-king".into()), ..ada() };
    let mapped = desire(&provisioned(Model::rest()), &renamed, Some("ada")).unwrap();
    assert_eq!((mapped.desired.login.as_str(), &mapped.scope["user"]["name"]), ("ada", &json!("ada")));
    // ... even when there is no claim at all any more, or one that could not be used.
    for username in [None, Some("a\nb".to_owned())] {
        assert_eq!(desire(&provisioned(Model::rest()), &Identity { username, ..ada() }, Some("ada")).unwrap().desired.login, "ada");
    }
}

fn absent(name: &str) -> MappingError {
    MappingError::Missing(Missing { attribute: name.to_owned(), absent: Vec::new() })
}

/// What an attribute would be made of is what the provider should send.
#[test]
fn what_is_made_of_absent_names_names_them() {
    let mut policy = provisioned(Model::rest());
    let check = |policy: &Policy, identity: Identity, expected: &str| {
        assert_eq!(desire(policy, &identity, None).unwrap_err().to_string(), expected);
    };
    let nobody = || Identity { username: None, email: None, ..ada() };
    policy.user.name = first(&["{username}"]);
    check(&policy, nobody(), "`user.name` is missing from the sign-in: `username` is absent");
    check(&policy, Identity { username: Some(" ".into()), ..ada() }, "`user.name` is missing from the sign-in: `username` is absent");
    policy.user.name = first(&["{lower(username)}", "{before(email, '@')}", "{claims.login}"]);
    check(&policy, nobody(), "`user.name` is missing from the sign-in: `username`, `email` and `claims.login` are absent");
    let missing = Missing { attribute: "user.name".into(), absent: vec!["username".into(), "email".into()] };
    assert_eq!((missing.wanted().as_str(), absent("email").to_string().as_str()), ("username or email", "`email` is missing from the sign-in"));
}

#[test]
fn what_is_required_and_missing_is_named() {
    let mut policy = provisioned(Model::rest());
    policy.user.required = vec!["given_name".into(), "claims.employee.id".into()];
    assert_eq!(desire(&policy, &Identity { given_name: None, ..ada() }, None), Err(absent("given_name")));
    assert_eq!(desire(&policy, &Identity { given_name: Some(" ".into()), ..ada() }, None), Err(absent("given_name")));
    assert_eq!(desire(&policy, &ada(), None), Err(absent("claims.employee.id")));
    let whole = Identity { claims: json!({"employee": {"id": 7}}).as_object().unwrap().clone(), ..ada() };
    assert!(desire(&policy, &whole, None).is_ok());
    // A recorded login does not excuse it.
    assert!(desire(&policy, &ada(), Some("ada")).is_err());
}

/// attacks.md J9.
#[test]
fn j9_a_claim_reaches_the_app_only_where_the_policy_names_it() {
    let mut policy = provisioned(granting("role"));
    policy.roles = Some(Roles {
        map: vec![(Glob::new("dev-*"), "Editor".into())],
        pick: Pick::Highest,
        order: Vec::new(),
        default: None,
        sync: Sync::Login,
        required: false,
    });
    let claims =
        json!({"is_admin": true, "role": "Admin", "roles": ["Admin"], "id": 1, "user": {"name": "root"}, "vars": {"x": 1}, "groups": ["admins"]});
    let mapped = desire(&policy, &Identity { claims: claims.as_object().unwrap().clone(), ..ada() }, None).unwrap();
    assert_eq!(mapped.desired.attributes, BTreeMap::new());
    assert_eq!(mapped.desired.memberships, BTreeMap::from([("role".to_owned(), Wanted::Known(Members::from([("Editor".to_owned(), None)])))]));
    assert_eq!((&mapped.scope["role"], &mapped.scope["user"]["name"], &mapped.scope["vars"]), (&json!("Editor"), &json!("ada"), &json!({})));
    assert_eq!(mapped.scope["groups"], json!(["dev-web", "sre"]));
}

#[test]
fn roles_are_mapped_picked_and_given_by_default() {
    let check = |groups: Groups, pick: Pick, order: &[&str], default: Option<&str>, expected: Option<&[&str]>| {
        let map =
            vec![(Glob::new("dev-*"), "Editor".to_owned()), (Glob::new("sre"), "Admin".to_owned()), (Glob::new("dev-web"), "Editor".to_owned())];
        let rules = Roles { map, pick, order: Vec::new(), default: default.map(str::to_owned), sync: Sync::Login, required: false };
        let order: Vec<String> = order.iter().map(|&role| role.to_owned()).collect();
        let given = roles(Some(&rules), &Identity { groups: groups.clone(), ..ada() }, &order);
        assert_eq!(given.as_deref().map(|given| given.iter().map(String::as_str).collect::<Vec<_>>()).as_deref(), expected, "{groups:?} {pick:?}");
    };
    let known = |names: &[&str]| Groups::Known(names.iter().map(|&name| name.to_owned()).collect());
    check(Groups::Unknown, Pick::All, &[], Some("Viewer"), None);
    check(known(&[]), Pick::All, &[], Some("Viewer"), Some(&["Viewer"]));
    check(known(&["staff"]), Pick::Highest, &[], None, Some(&[]));
    check(known(&["sre", "dev-web"]), Pick::All, &[], Some("Viewer"), Some(&["Editor", "Admin"]));
    check(known(&["sre", "dev-web"]), Pick::Highest, &[], None, Some(&["Editor"]));
    check(known(&["sre", "dev-web"]), Pick::Highest, &["Viewer", "Editor", "Admin"], None, Some(&["Admin"]));
    check(known(&["sre", "dev-web"]), Pick::All, &["Viewer", "Editor", "Admin"], None, Some(&["Admin", "Editor"]));
}

#[test]
fn organisations_carry_roles_and_are_unknown_when_a_group_would_decide() {
    let mut policy = provisioned(granting("role"));
    policy.roles = Some(Roles {
        map: vec![(Glob::new("sre"), "Admin".into())],
        pick: Pick::Highest,
        order: Vec::new(),
        default: Some("Viewer".into()),
        sync: Sync::Create,
        required: false,
    });
    policy.orgs = vec![
        Org { id: json!(1), groups: Vec::new(), role: first(&["{role}"]), required: false },
        Org { id: json!(4), groups: vec![Glob::new("dev-data")], role: first(&["Viewer"]), required: false },
    ];
    let mapped = desire(&policy, &ada(), None).unwrap();
    assert_eq!(mapped.desired.memberships["org"], Wanted::Known(Members::from([("1".to_owned(), Some("Admin".to_owned()))])));
    assert_eq!((&mapped.scope["orgs"], mapped.sync["org"]), (&json!([1]), Sync::Create));
    let unknown = desire(&policy, &Identity { groups: Groups::Unknown, ..ada() }, None).unwrap();
    assert_eq!((&unknown.desired.memberships["org"], &unknown.desired.memberships["role"]), (&Wanted::Unknown, &Wanted::Unknown));
    assert!(unknown.scope.get("groups").is_none() && unknown.scope.get("role").is_none());
}

#[test]
fn attributes_come_from_the_connector_unless_the_policy_says_otherwise() {
    use crate::connector::model::Attribute;
    let attribute = |name: &str, required: bool, default: &[&str]| Attribute {
        name: name.to_owned(),
        required,
        locked: required,
        default: first(default),
        read: None,
        path: String::new(),
        write: None,
    };
    let mut model = Model::rest();
    model.attributes =
        vec![attribute("mail", true, &["{user.email}"]), attribute("title", false, &["{claims.title}"]), attribute("source", false, &["sso"])];
    let mut policy = provisioned(model);
    policy.user.extra = vec![("source".into(), first(&["{claims.absent}", "import"]))];
    let mapped = desire(&policy, &ada(), None).unwrap();
    assert_eq!(mapped.desired.attributes, BTreeMap::from([("mail".to_owned(), json!("ada@example.com")), ("source".to_owned(), json!("import"))]));
    let refusal = desire(&policy, &Identity { email: None, ..ada() }, None).unwrap_err();
    assert_eq!((refusal.to_string().as_str(), refusal.attribute()), ("`mail` is missing from the sign-in: `email` is absent", "mail"));
    let evil = json!({"title": "x\u{0}"}).as_object().unwrap().clone();
    assert!(refused(&policy, &Identity { claims: evil, ..ada() }).contains("`title` contains a control"));
}

/// attacks.md J8 (nOAuth): the address that counts is the one the provider vouches for, not one that a claim suggests.
#[test]
fn j8_only_a_verified_address_is_evidence() {
    let check = |identity: &Identity, email: &str, expected: bool| {
        let mut policy = provisioned(Model::rest());
        policy.user.email = first(&[email]);
        let mapped = desire(&policy, identity, None).unwrap();
        assert_eq!(mapped.may_match(MatchBy::Email), expected, "{email}");
        assert!(mapped.may_match(MatchBy::Login));
    };
    check(&Identity { email_verified: false, ..ada() }, "{lower(email)}", false);
    let claims = json!({"mail": "boss@example.com"}).as_object().unwrap().clone();
    check(&Identity { claims, ..ada() }, "{claims.mail}", false);
    check(&Identity { email: None, ..ada() }, "boss@example.com", false);
    check(&ada(), "{lower(email)}", true);
}

#[test]
fn row_53_what_looks_wrongly_decoded_makes_no_account_unless_the_policy_says_so() {
    let mut policy = provisioned(Model::rest());
    policy.user.extra = vec![("office".into(), first(&["{claims.office}"]))];
    let office = |text: &str| Identity { claims: json!({"office": text}).as_object().unwrap().clone(), ..ada() };
    let wrong = [
        (Identity { name: Some("ZoÃ« BrontÃ«".into()), ..ada() }, "user.display", "name"),
        (Identity { username: Some("zoÃ«".into()), ..ada() }, "user.name", "username"),
        (office("ZÃ¼rich"), "user.extra.office", "claims.office"),
    ];
    for (identity, attribute, claim) in &wrong {
        let error = desire(&policy, identity, None).unwrap_err();
        assert_eq!((error.attribute(), error.public()), (*attribute, PublicMessage::UnusableSignIn));
        // The log names the claim; the value stays out of it.
        assert_eq!(error.to_string(), format!("`{attribute}` {} (from {claim})", TextProblem::Mojibake));
    }
    // What `slug` makes of it would look like a name.
    let mut slugged = provisioned(Model::rest());
    slugged.user.name = first(&["{slug(given_name)}"]);
    let zoe = Identity { given_name: Some("ZoÃ«".into()), ..ada() };
    assert!(refused(&slugged, &zoe).contains("Windows-1252"));
    // A claim that no policy uses locks nobody out, whatever is in it; nor does a group.
    let odd = Identity { groups: Groups::Known(vec!["ZÃ¼rich\u{0}".into()]), ..office("Zürich") };
    assert!(desire(&policy, &odd, None).is_ok());
    assert!(desire(&policy, &Identity { family_name: Some("BrontÃ«\u{202e}".into()), ..ada() }, None).is_ok());
    policy.user.on_suspect = OnSuspect::Accept;
    for (identity, ..) in &wrong {
        assert!(desire(&policy, identity, None).is_ok(), "{identity:?}");
    }
    // Accepting a guess is not accepting what is certainly wrong.
    assert!(refused(&policy, &office("Zu\u{fffd}rich")).contains("replacement"));
    assert!(refused(&policy, &office("\u{e001}")).contains("private-use"));
}
