//! A policy file as written, made into a [`Policy`] as meant.
//!
//! Lives here: [`compile`], which finds every problem of a file in one pass, and [`Surroundings`], what it must know of the rest. One function a section:
//! `gate.rs` has `[access]` and `[[path]]`, `bearer.rs` `[bearer]`, `account.rs` `[user] [roles] [[org]] [provision]`, `switches.rs` what `[provision]` allows,
//! `leavers.rs` who keeps an account, `fit.rs` what those must be for the connector, `send.rs` `[headers] [jwt]`, `entrance.rs` the rest of `[login]`, `sign_in.rs`
//! `[sign_in]`. Pure: the text comes in, the policy goes out.

mod account;
mod bearer;
mod entrance;
mod fit;
mod gate;
mod send;
mod leavers;
mod sign_in;
mod switches;

pub(crate) use fit::{connector_file, written_roles};
pub(crate) use gate::parse_network;

use super::messages::Messages;
use super::schema::POLICY;
use super::{CanonicalPath, EncodedSlashes, Login, PathProblem, Policy, PolicyTest, TestSpans, Upstream};
use crate::connector::model::Model;
use crate::expr::Env;
use crate::source::value::nearest;
use crate::source::{Node, Problem, Reader, Severity, SourceFile, Span, Table, in_order, in_words_of_the_file, parse, schema};
use serde_json::Map;
use std::path::Path;
use std::sync::Arc;

/// What a policy is compiled against.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Ids of the gateway's identity providers; `None` when only the policy file is looked at.
    pub idps: Option<&'a [String]>,
    /// The built-in connectors.
    pub connectors: &'a [Arc<Model>],
}

/// Compiles `file`. The policy comes even with warnings, never with an error; problems are in the order of the file.
pub fn compile(file: &SourceFile, around: Surroundings<'_>) -> (Option<Policy>, Vec<Problem>) {
    compile_parsed(file, parse(file), around)
}

/// As [`compile`], of what [`parse`] made of `file`.
pub(crate) fn compile_parsed(file: &SourceFile, (tree, syntax): (Table, Vec<Problem>), around: Surroundings<'_>) -> (Option<Policy>, Vec<Problem>) {
    let found = schema::check(file, &tree, &POLICY);
    if !syntax.is_empty() {
        return (None, with_syntax(syntax, found));
    }
    let mut reader = Reader::new(file, found);
    let policy = policy(&mut reader, &tree, around);
    let mut problems = reader.problems;
    in_order(&mut problems);
    in_words_of_the_file(file, &mut problems);
    let broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    (policy.filter(|_| !broken), problems)
}

/// Problems of a file that could not be read whole: nothing is called missing that may stand in the part that was not read.
pub(crate) fn with_syntax(mut syntax: Vec<Problem>, found: Vec<Problem>) -> Vec<Problem> {
    let places: Vec<(usize, Option<Span>)> = syntax.iter().map(|problem| (problem.line_column().0, problem.span.clone())).collect();
    // A mistake throws a parser of TOML off for its line; JSON may be all on one.
    let thrown_off = |problem: &Problem| {
        let json = problem.file.is_json();
        places.iter().any(|(line, span)| if json { *span == problem.span } else { *line == problem.line_column().0 })
    };
    syntax.extend(found.into_iter().filter(|problem| problem.code != "missing-key" && !thrown_off(problem)));
    in_order(&mut syntax);
    if let Some(file) = syntax.first().map(|problem| problem.file.clone()) {
        in_words_of_the_file(&file, &mut syntax);
    }
    syntax
}

fn policy(reader: &mut Reader<'_>, tree: &Table, around: Surroundings<'_>) -> Option<Policy> {
    let file = reader.file;
    let name = Path::new(&*file.name).file_stem().map_or_else(|| file.name.to_string(), |stem| stem.to_string_lossy().into_owned());
    let place = |section: &str| tree.node(section).map_or_else(|| file.name.to_string(), |node| file.place(&node.span));
    let mut title = name.clone();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let host = tree.text("host").map(str::to_ascii_lowercase);
    let upstream = upstream(reader, tree);
    let mut login = login(reader, tree, around.idps);
    let access = gate::access(reader, tree);
    let bearer = bearer::bearer(reader, tree, around.idps);
    let encoded_slashes = if tree.text("encoded_slashes") == Some("keep") { EncodedSlashes::Keep } else { EncodedSlashes::Refuse };
    let mut paths = gate::paths(reader, tree, encoded_slashes);
    let vars = tree.table("vars").map(Table::to_json).unwrap_or_default();
    let user = account::user(reader, tree);
    let roles = account::roles(reader, tree);
    let env = outgoing(&user.extra, &vars);
    let orgs = account::orgs(reader, tree, &env);
    let provision = account::provision(reader, tree, around.connectors, &env);
    entrance::complete(reader, tree, &env, provision.as_ref(), &mut login);
    entrance::provision_without_sign_in(reader, tree, &paths, provision.as_ref());
    fit::fits_connector(reader, tree, &user, roles.as_ref(), &orgs, provision.as_ref());
    let (headers, secret_headers) = send::headers(reader, tree, &env);
    send::path_headers(reader, tree, &env, &mut paths);
    let jwt = send::jwt(reader, tree, &env, host.as_deref().unwrap_or_default());
    send::distinct(reader, tree, jwt.as_ref());
    let beside = sign_in::Beside { provision: provision.as_ref(), login: &login, headers: &headers, jwt: jwt.as_ref() };
    let sign_in = sign_in::sign_in(reader, tree, &beside);
    sign_in::reachable(reader, tree, &login, &sign_in);
    let tests = tests(reader, tree, encoded_slashes, around.idps);
    Some(Policy {
        name,
        file: file.name.to_string(),
        revision: revision(&file.text),
        title: tree.text("title").map_or(title, str::to_owned),
        host: host?,
        upstream: upstream?,
        login,
        access,
        login_place: place("login"),
        access_place: place("access"),
        contact: tree.table("access").and_then(|access| access.text("contact")).map(str::to_owned),
        help: tree.table("access").and_then(|access| access.text("help")).map(str::to_owned),
        messages: tree.table("messages").map(Messages::read).unwrap_or_default(),
        paths: paths.into(),
        encoded_slashes,
        bearer,
        user,
        roles,
        orgs,
        vars,
        provision,
        headers,
        secret_headers,
        jwt,
        sign_in,
        tests,
    })
}

/// What a file is told apart by: the first 12 hexadecimal digits of the SHA-256 of the text.
pub(crate) fn revision(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let start = digest.as_ref().iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{start:012x}")
}

fn upstream(reader: &mut Reader<'_>, tree: &Table) -> Option<Upstream> {
    let node = tree.node("upstream")?;
    let url = url::Url::parse(node.as_text()?).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        reader.error("bad-value", &node.span, "upstream is scheme, host and port only", "paths go upstream as they come; leave the path out here");
        return None;
    }
    let wait = |key: &str, default: u64| tree.duration_ms(key).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(default);
    Some(Upstream {
        tls: url.scheme() == "https",
        host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default()?,
        connect_timeout_ms: wait("connect_timeout", 5_000),
        response_timeout_ms: wait("response_timeout", 60_000),
    })
}

fn login(reader: &mut Reader<'_>, tree: &Table, idps: Option<&[String]>) -> Login {
    let nothing = Table::default();
    let table = tree.table("login").unwrap_or(&nothing);
    for node in table.text_nodes("idp") {
        known_idp(reader, node, idps);
    }
    if let Some(node) = table.node("idp")
        && node.as_list().is_some_and(<[_]>::is_empty)
    {
        reader.error("empty-list", &node.span, "login.idp is an empty list: nobody could sign in", "leave the key out for all providers");
    }
    let listed = table.texts("idp");
    Login {
        idp: if listed.is_empty() { idps.map_or_else(|| on_trust(tree), <[_]>::to_vec) } else { listed },
        max_age_ms: table.duration_ms("max_age"),
        ..Login::default()
    }
}

/// Whether the provider that `node` names is one of the gateway's, as far as they are known.
pub(crate) fn known_idp(reader: &mut Reader<'_>, node: &Node, idps: Option<&[String]>) {
    let written = node.as_text().unwrap_or_default();
    if let Some(known) = idps.filter(|known| !known.iter().any(|id| id == written)) {
        let near = nearest(written, known.iter().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
        let help = near.unwrap_or_else(|| format!("[[idp]] ids of the gateway: {}", known.join(", ")));
        reader.error("unknown-idp", &node.span, format!("there is no identity provider `{written}`"), &help);
    }
}

/// Providers of a policy that is looked at without its gateway: whichever its tests name, and any.
fn on_trust(tree: &Table) -> Vec<String> {
    let named = tree.sections("test").into_iter().filter_map(|(_, test)| test.table("user")?.text("idp"));
    std::iter::once(super::ANY_IDP).chain(named).map(str::to_owned).collect()
}

/// The names of headers, JWT claims, organisation roles and steps: the sign-in, and what the policy made of it.
fn outgoing(extra: &[(String, crate::expr::FirstOf)], vars: &Map<String, serde_json::Value>) -> Env {
    Env::sign_in()
        .with_user(extra.iter().map(|(name, value)| (name.as_str(), value.result_type())))
        .with_roles()
        .with_vars(vars)
        .but_not(&["request"], "the request is known in `when` of [access] and [[path]], not here")
}

fn tests(reader: &mut Reader<'_>, tree: &Table, slashes: EncodedSlashes, idps: Option<&[String]>) -> Vec<PolicyTest> {
    let mut tests = Vec::new();
    for (span, table) in tree.sections("test") {
        let nothing = table.table("expect").is_some_and(|expect| expect.entries.is_empty()) && table.node("calls").is_none();
        if nothing {
            let at = table.node("name").map_or(span, |name| &name.span);
            reader.error(
                "test-empty",
                at,
                "this test expects nothing, so it cannot fail",
                "expect = { access = \"allow\" }, or calls = [\"GET /users\"]",
            );
        }
        if let Some(node) = table.node("get") {
            asked_path(reader, node, slashes);
        }
        // Nobody comes from there: whatever the test expects, it would show nothing of those who do.
        for node in table.table("user").map(|user| user.text_nodes("idp")).unwrap_or_default() {
            known_idp(reader, node, idps);
        }
        let ip = table.node("ip").and_then(|node| {
            let parsed = node.as_text()?.parse();
            if parsed.is_err() {
                reader.error("bad-value", &node.span, "test.ip takes an address", "such as \"10.1.2.3\"");
            }
            parsed.ok()
        });
        tests.push(PolicyTest {
            place: reader.file.place(span),
            name: table.text("name").unwrap_or_default().to_owned(),
            user: table.table("user").map(Table::to_json),
            get: table.text("get").unwrap_or_default().to_owned(),
            ip,
            expect: table.table("expect").map(Table::to_json).unwrap_or_default(),
            calls: table.node("calls").map(|_| table.texts("calls")),
            existing: table.node("existing").map(Node::to_json),
            age_ms: table.duration_ms("age").unwrap_or(0),
            spans: test_spans(span, table),
        });
    }
    tests
}

/// `get` of a test: a path that is decided about at all.
fn asked_path(reader: &mut Reader<'_>, node: &Node, slashes: EncodedSlashes) {
    let Some(written) = node.as_text().filter(|written| !written.trim().is_empty()) else { return };
    let path = written.split('?').next().unwrap_or_default();
    let Err(why) = CanonicalPath::parse_as(path, slashes) else { return };
    let help = match why {
        PathProblem::NotAbsolute => "the path alone, as a browser sends it: get = \"/projects\"",
        PathProblem::EncodedSlash => "encoded_slashes = \"keep\" above the first [section] lets such paths through",
        PathProblem::TooLong
        | PathProblem::DotSegment
        | PathProblem::EmptySegment
        | PathProblem::Backslash
        | PathProblem::Control
        | PathProblem::NotAscii
        | PathProblem::NotUtf8
        | PathProblem::Escape
        | PathProblem::Delimiter
        | PathProblem::Nested => "such a request is answered with 400 before any policy is asked",
    };
    reader.error("bad-path", &node.span, format!("test.get is no path: {why}"), help);
}

fn test_spans(span: &Span, table: &Table) -> TestSpans {
    let at = |key: &str| table.node(key).map(|node| node.span.clone());
    let expect = table.table("expect").map(|expect| expect.entries.as_slice()).unwrap_or_default();
    TestSpans {
        name: at("name").unwrap_or_else(|| span.clone()),
        user: at("user"),
        get: at("get"),
        expect: expect.iter().map(|entry| (entry.key.clone(), entry.node.span.clone())).collect(),
        calls: at("calls"),
    }
}
