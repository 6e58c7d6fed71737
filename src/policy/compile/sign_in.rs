//! `[sign_in]`, over what the connector knows of its app.

use super::entrance;
use crate::connector::model::{Model, SignIn as Known, Verb, rejected_when};
use crate::policy::landing::is_local;
use crate::policy::sign_in::{Mode, Password, ROTATE_MS, SignIn};
use crate::policy::{CanonicalPath, Glob, Header, Jwt, Login, Provision, RequestPattern};
use crate::source::{Reader, Span, Table};
use serde_json::Map;

/// What of the policy it must go with.
pub(super) struct Beside<'p> {
    pub(super) provision: Option<&'p Provision>,
    pub(super) login: &'p Login,
    pub(super) headers: &'p [Header],
    pub(super) jwt: Option<&'p Jwt>,
}

/// Reads `[sign_in]`.
pub(super) fn sign_in(reader: &mut Reader<'_>, tree: &Table, beside: &Beside<'_>) -> SignIn {
    let nothing = Table::default();
    let table = tree.table("sign_in").unwrap_or(&nothing);
    let unknown = Known::default();
    let connector = beside.provision.map(|provision| provision.connector.as_ref());
    let known = connector.map_or(&unknown, |connector| &connector.sign_in);
    let mode = mode(reader, table, connector);
    let login_url = login_url(reader, table, mode, known, beside);
    let bound = match table.text("cookies") {
        Some(written) => written == "bound",
        None => known.own_session || login_url.is_some() || mode == Mode::SessionBridge,
    };
    let sign_in = SignIn {
        mode,
        login_url,
        password: password(reader, tree, table, mode, known),
        rotate_ms: rotate(reader, table, mode),
        bound,
        script_cookies: table.texts("script_cookies").into_iter().map(Glob::new).collect(),
        logout_paths: logout_paths(reader, tree, table, known),
        rejected_when: rejected(reader, table, known),
    };
    if !sign_in.bound
        && let Some(node) = table.node("script_cookies")
    {
        let help = "leave it out, or write cookies = \"bound\"";
        reader.warning("no-effect", &node.span, "sign_in.script_cookies has no effect: no cookie is bound here, so that all pass", help);
    }
    told(reader, tree, table, &sign_in, beside);
    enters(reader, tree, table, &sign_in, beside);
    sign_in
}

fn mode(reader: &mut Reader<'_>, table: &Table, connector: Option<&Model>) -> Mode {
    let offered = connector.map(|connector| connector.sign_in.modes.as_slice()).unwrap_or_default();
    let Some(node) = table.node("mode") else { return offered.first().copied().unwrap_or_default() };
    let Some((word, mode)) = Mode::WORDS.into_iter().find(|(word, _)| node.as_text() == Some(word)) else { return Mode::default() };
    if let Some(connector) = connector.filter(|_| !offered.is_empty() && !offered.contains(&mode)) {
        let can: Vec<String> = offered.iter().map(|mode| format!("\"{}\"", mode.word())).collect();
        let message = format!("connector `{}` says that its app signs nobody in by \"{word}\"", connector.name);
        reader.error("sign-in-mode", &node.span, message, &format!("mode = {}, or leave it out", can.join(" or ")));
    }
    mode
}

fn login_url(reader: &mut Reader<'_>, table: &Table, mode: Mode, known: &Known, beside: &Beside<'_>) -> Option<String> {
    if mode.enters() {
        return None;
    }
    let Some(node) = table.node("login_url") else { return known.login_url(beside.provision.map_or(&Map::new(), |provision| &provision.settings)) };
    let written = node.as_text().filter(|text| !text.trim().is_empty())?;
    if written == "none" {
        return None;
    }
    let path = CanonicalPath::parse(written).ok().filter(|path| path.as_str() == written && !written.contains('*') && is_local(written));
    let Some(path) = path else {
        let help = "a path of this application as it is in its links, such as \"/hub/login\": no *, no query, not below /.vestibule; or \"none\"";
        reader.error("bad-value", &node.span, format!("`{written}` is not a value of sign_in.login_url"), help);
        return None;
    };
    if beside.login.portal.as_deref() == Some(path.as_str()) {
        let message = format!("sign_in.login_url and login.portal contradict each other: nobody could get to {written}");
        reader.error("contradiction", &node.span, message, "the application must be reached where it reads who it is: use another portal");
    }
    Some(path.as_str().to_owned())
}

/// The path at which the app learns who it is must not be shut by the list of its own sign-in pages, wherever either comes from.
pub(super) fn reachable(reader: &mut Reader<'_>, tree: &Table, login: &Login, sign_in: &SignIn) {
    let Some(url) = &sign_in.login_url else { return };
    let Ok(path) = CanonicalPath::parse(url) else { return };
    if login.block_paths.iter().any(|pattern| pattern.restricts("GET", &path)) {
        let written = tree.table("login").and_then(|login| login.node("block_paths"));
        let own = tree.table("sign_in").and_then(|section| section.node("login_url"));
        let span = own.or(written).map_or_else(|| section(tree, "provision"), |node| node.span.clone());
        let message = format!("login.block_paths and sign_in.login_url contradict each other: nobody could get in at {url}");
        reader.error(
            "contradiction",
            &span,
            message,
            "leave that path out of block_paths; with login_url = \"none\" the headers are sent everywhere",
        );
    }
}

fn password(reader: &mut Reader<'_>, tree: &Table, table: &Table, mode: Mode, known: &Known) -> Option<Password> {
    let node = table.node("password");
    if mode != Mode::Basic {
        if let Some(node) = node {
            reader.warning("no-effect", &node.span, "sign_in.password has no effect: only mode = \"basic\" sends one", "leave it out");
        }
        return None;
    }
    let secret = node.and_then(|node| node.as_text()).and_then(|written| reader.secret(written)).map(Password::Secret);
    let password = secret.or_else(|| known.basic_password.clone().map(Password::Unchecked));
    if password.is_none() && node.is_none() {
        let span = table.node("mode").map_or_else(|| section(tree, "sign_in"), |node| node.span.clone());
        let help = "password = \"cred:NAME\" in [sign_in]: the one that the application takes for everybody who comes through the gateway";
        reader.error("missing-key", &span, "mode = \"basic\" needs sign_in.password", help);
    }
    password
}

fn rotate(reader: &mut Reader<'_>, table: &Table, mode: Mode) -> i64 {
    if mode != Mode::SessionBridge
        && let Some(node) = table.node("rotate")
    {
        reader.warning("no-effect", &node.span, "sign_in.rotate has no effect: only mode = \"session_bridge\" keeps a password", "leave it out");
    }
    table.duration_ms("rotate").unwrap_or(ROTATE_MS)
}

/// The policy's own, and the connector's; an empty list is neither.
fn logout_paths(reader: &mut Reader<'_>, tree: &Table, table: &Table, known: &Known) -> Vec<RequestPattern> {
    entrance::patterns(reader, tree, table, "sign_in", "logout_paths", &known.logout_paths)
}

fn rejected(reader: &mut Reader<'_>, table: &Table, known: &Known) -> Vec<crate::connector::model::Rejected> {
    let Some(node) = table.node("rejected_when") else { return known.rejected_when.clone() };
    let (signs, problems) = rejected_when(reader.file, node);
    reader.problems.extend(problems);
    signs
}

/// Something has to be told where the app reads it.
fn told(reader: &mut Reader<'_>, tree: &Table, table: &Table, sign_in: &SignIn, beside: &Beside<'_>) {
    let headers = !beside.headers.is_empty() || beside.jwt.is_some();
    if sign_in.mode == Mode::Header
        && !headers
        && let Some(node) = table.node("login_url").filter(|_| sign_in.login_url.is_some())
    {
        let message = "sign_in.login_url has nothing to send there: the policy has neither [headers] nor [jwt]";
        reader.error(
            "missing-key",
            &node.span,
            message,
            "name the header that the application reads, such as [headers] X-Remote-User = \"{user.name}\"",
        );
    }
    let authorization = |header: &&Header| header.name == http::header::AUTHORIZATION;
    if sign_in.mode == Mode::Basic
        && (beside.headers.iter().any(|header| authorization(&header)) || beside.jwt.is_some_and(|jwt| jwt.header == http::header::AUTHORIZATION))
    {
        let span = table.node("mode").map_or_else(|| section(tree, "headers"), |node| node.span.clone());
        let message = "mode = \"basic\" and a header of the policy both set `Authorization`";
        reader.error("contradiction", &span, message, "leave that header out: the gateway sends login and password there");
    }
}

/// The gateway can sign people in at an app only as its connector says, and only whose account it knows.
fn enters(reader: &mut Reader<'_>, tree: &Table, table: &Table, sign_in: &SignIn, beside: &Beside<'_>) {
    if !sign_in.mode.enters() {
        return;
    }
    let span = table.node("mode").map_or_else(|| section(tree, "provision"), |node| node.span.clone());
    let word = sign_in.mode.word();
    let Some(provision) = beside.provision else {
        let help = "name the application's connector in [provision]: it says how to sign people in";
        return reader.error("sign-in-mode", &span, format!("mode = \"{word}\" needs [provision]"), help);
    };
    let connector = &provision.connector;
    if sign_in.mode == Mode::SessionBridge && table.node("mode").is_none() {
        let message = format!("connector `{}` signs people in by the application's own form: lower assurance than a header", connector.name);
        let help = "the gateway sets a password for each person and keeps it sealed: whoever has it signs in without the gateway; mode = \"session_bridge\" in [sign_in] says that this is meant";
        reader.warning("lower-assurance", &span, message, help);
    }
    let missing = [(Verb::Enter, "enter", true), (Verb::SetPassword, "set_password", sign_in.mode == Mode::SessionBridge)];
    for (_, name, _) in missing.iter().filter(|(verb, _, needed)| *needed && !connector.can(verb)) {
        let message = format!("mode = \"{word}\" needs `[[{name}]]`, which connector `{}` does not have", connector.name);
        reader.error("sign-in-mode", &span, message, "use another mode, or a connector that knows how");
    }
    if sign_in.mode == Mode::TokenExchange && beside.jwt.is_none() {
        reader.error(
            "missing-key",
            &span,
            "mode = \"token_exchange\" needs [jwt]: the token that the application exchanges",
            "add [jwt] with its audience",
        );
    }
    if let Some(cookies) = table.node("cookies").filter(|_| sign_in.mode == Mode::SessionBridge && !sign_in.bound) {
        let message = "mode = \"session_bridge\" and cookies = \"free\" contradict each other: whose session would the browser have?";
        reader.error("contradiction", &cookies.span, message, "leave cookies out");
    }
    if let Some(url) = table.node("login_url").filter(|node| node.as_text() != Some("none")) {
        let message = format!("sign_in.login_url has no effect with mode = \"{word}\": nothing is told to the application on the way");
        reader.warning("no-effect", &url.span, message, "leave it out");
    }
}

fn section(tree: &Table, name: &str) -> Span {
    tree.node(name).map_or(0..0, |node| node.span.clone())
}
