//! Every key of a policy file, as data.
//!
//! Lives here: [`POLICY`] and its sections. Apart because the check, the editors' schema and the manual are made from it. What keys mean
//! together is `compile.rs`'s affair.

use crate::source::schema::{Key, Kind, Section};

/// The names of a sign-in that `[user] required` and `[[test]] user` may use, besides `claims.NAME`.
pub const SIGN_IN_NAMES: &[&str] = &["email", "email_verified", "name", "given_name", "family_name", "username", "groups", "idp", "claims", "sub"];

/// A policy file.
pub const POLICY: Section = Section {
    title: "",
    name: "",
    doc: "One upstream application: who may enter, and as whom.",
    keys: &[
        Key::new("host", Kind::Host, "the name people type into the browser, e.g. `wiki.example.com`").required(),
        Key::new("upstream", Kind::Url, "where the application listens, e.g. `http://10.0.4.20:8080`").required(),
        Key::new("title", Kind::Text, "the application's name on pages").default("the file's name"),
        Key::new("connect_timeout", Kind::Duration, "how long to wait for a connection to the application").default("5s"),
        Key::new("response_timeout", Kind::Duration, "how long to wait for the head of its answer").default("60s"),
        Key::new(
            "encoded_slashes",
            Kind::Enum(&["refuse", "keep"]),
            "%2F in a path: 400, or sent on as it is (then a section that restricts applies when either reading fits, a public one when both do)",
        )
        .default("refuse"),
        Key::new("login", Kind::Table(&LOGIN), "how to sign in"),
        Key::new("access", Kind::Table(&ACCESS), "what every request must satisfy").required(),
        Key::new("path", Kind::Tables(&PATH), "what requests to some paths must satisfy besides"),
        Key::new("bearer", Kind::Table(&BEARER), "access tokens that scripts may bring to paths with `auth = [\"bearer\"]`"),
        Key::new("user", Kind::Table(&USER), "the account as the application should see it"),
        Key::new("roles", Kind::Table(&ROLES), "groups to roles"),
        Key::new("org", Kind::Tables(&ORG), "organisations of the application"),
        Key::new("vars", Kind::Free, "values for templates, such as ids of the application"),
        Key::new("provision", Kind::Table(&PROVISION), "how accounts are made"),
        Key::new("headers", Kind::Map(&Kind::Header), "headers to inject, name = value"),
        Key::new("jwt", Kind::Table(&JWT), "a signed token to inject"),
        Key::new("sign_in", Kind::Table(&SIGN_IN), "how the application learns who it is, and what becomes of its own session"),
        Key::new("messages", Kind::Table(&MESSAGES), "own words for refusals"),
        Key::new("test", Kind::Tables(&TEST), "expectations; a policy whose tests fail is not loaded"),
    ],
};

/// Own words for refusals: reasons as the audit log and `expect.because` call them.
pub(super) const MESSAGES: Section = Section {
    title: "[messages]",
    name: "messages",
    doc: "Own words for refusals, in place of the built-in explanation; the heading stays. At most 500 characters, shown as text. A language that is not given has the built-in explanation.",
    keys: &[
        Key::new("groups", Kind::Message, "not in a group with access"),
        Key::new("deny_groups", Kind::Message, "in a group that is always refused"),
        Key::new("domains", Kind::Message, "e-mail domain not accepted"),
        Key::new("email_unverified", Kind::Message, "e-mail address not verified"),
        Key::new("networks", Kind::Message, "not from this network"),
        Key::new("when", Kind::Message, "a condition does not hold"),
        Key::new("max_age", Kind::Message, "the sign-in is too old"),
        Key::new("required", Kind::Message, "the sign-in lacks an attribute that is required"),
        Key::new("unusable", Kind::Message, "the sign-in sent something that no account can be made of"),
        Key::new("methods", Kind::Message, "method not allowed here"),
        Key::new("idp", Kind::Message, "signed in at a provider that is not accepted here"),
        Key::new("origin", Kind::Message, "a WebSocket that a page of another site opened"),
        Key::new("block_paths", Kind::Message, "the application's own sign-in"),
        Key::new("conflict", Kind::Message, "an account is there that may not be taken over"),
        Key::new("accounts_off", Kind::Message, "no account, and none is made by signing in"),
        Key::new("accounts_full", Kind::Message, "no account, and as many as may be are there"),
        Key::new("awaiting_approval", Kind::Message, "the account waits for approval"),
        Key::new("open_in_browser", Kind::Message, "no account yet, and only a page in a browser begins one"),
        Key::new("account_failed", Kind::Message, "the account could not be made"),
        Key::new("account_unavailable", Kind::Message, "the application takes no accounts at the moment"),
        Key::new("app_closed", Kind::Message, "closed for everybody"),
    ],
};

const LOGIN: Section = Section {
    title: "[login]",
    name: "login",
    doc: "How to sign in.",
    keys: &[
        Key::new("idp", Kind::TextList, "identity providers that may vouch, by id; one: no picker").default("all"),
        Key::new("max_age", Kind::Duration, "a sign-in older than this is repeated at the provider"),
        Key::new(
            "landing",
            Kind::Templates,
            "where people land after signing in: \"requested\", or a path of this application, in which {…} is percent-encoded; a list: the first that can be told",
        )
        .default("\"requested\""),
        Key::new("landing_new", Kind::Templates, "where people land whose account was just made, as landing").default("as landing"),
        Key::new("landing_existing", Kind::Templates, "where people land whose account was there before the gateway, as landing").default("as landing"),
        Key::new("portal", Kind::Text, "a path of this application that begins a sign-in for anybody and ends at landing; it is never forwarded"),
        Key::new(
            "block_paths",
            Kind::TextList,
            "the application's own sign-in, sign-up and password pages, * stands for anything, and a method may stand before it (\"POST /session\"): never forwarded; besides the connector's own list, which [] switches off",
        )
        .default("the connector's"),
        Key::new("break_glass", Kind::TextList, "groups for which block_paths do not hold, * stands for anything"),
    ],
};

pub(super) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

const ACCESS: Section = Section {
    title: "[access]",
    name: "access",
    doc: "What every request must satisfy; all keys must hold, values in a list are alternatives.",
    keys: &[
        Key::new("everyone", Kind::Bool, "anybody who can sign in").default("false"),
        Key::new("domains", Kind::TextList, "verified e-mail domain, exact, or \"*.example.com\" for every domain below it; any of"),
        Key::new("groups", Kind::TextList, "groups, * stands for anything; any of"),
        Key::new("deny_groups", Kind::TextList, "groups that always refuse"),
        Key::new("networks", Kind::Networks, "networks of the client; any of"),
        Key::new("methods", Kind::EnumList(METHODS), "HTTP methods; any of"),
        Key::new("when", Kind::Expression, "a condition over the sign-in and the request"),
        Key::new("max_age", Kind::Duration, "sign-in no older than this"),
        Key::new(
            "recheck",
            Kind::Duration,
            "who is refused by what a sign-in older than this said is sent to the provider once more, without a password if it still knows them; at least 10s",
        )
        .default("60s"),
        Key::new("contact", Kind::Text, "whom to ask, shown on refusals"),
        Key::new("help", Kind::Url, "a page that explains, linked on refusals"),
    ],
};

const PATH: Section = Section {
    title: "[[path]]",
    name: "path",
    doc: "What requests to some paths must satisfy besides [access]; every section that matches must hold.",
    keys: &[
        Key::new("match", Kind::TextList, "paths, * stands for anything; any of").required(),
        Key::new("public", Kind::Bool, "no sign-in, no identity headers").default("false"),
        Key::new("domains", Kind::TextList, "verified e-mail domain, exact, or \"*.example.com\" for every domain below it; any of"),
        Key::new("groups", Kind::TextList, "groups, * stands for anything; any of"),
        Key::new("deny_groups", Kind::TextList, "groups that always refuse"),
        Key::new("networks", Kind::Networks, "networks of the client; any of"),
        Key::new("methods", Kind::EnumList(METHODS), "HTTP methods; any of"),
        Key::new("when", Kind::Expression, "a condition over the sign-in and the request"),
        Key::new("max_age", Kind::Duration, "sign-in no older than this"),
        Key::new("auth", Kind::EnumList(&["session", "bearer"]), "ways to authenticate; every section that matches must accept the one used")
            .default("[\"session\"]"),
        Key::new(
            "headers",
            Kind::Map(&Kind::Header),
            "headers to inject into requests to these paths only, besides [headers]; a secret goes along only when all others here have a value",
        ),
    ],
};

const BEARER: Section = Section {
    title: "[bearer]",
    name: "bearer",
    doc: "Access tokens (RFC 9068) that the identity provider issued for this API; accepted where a `[[path]]` says `auth = [\"bearer\"]`.",
    keys: &[
        Key::new("idp", Kind::Text, "identity provider, by id").required(),
        Key::new("audience", Kind::Text, "the `aud` a token must carry").required(),
        Key::new("scopes", Kind::TextList, "scopes a token must carry, all of them"),
        Key::new("provision", Kind::Bool, "whether a token may make and update an account, as a sign-in does; otherwise only people with one pass")
            .default("false"),
    ],
};

const USER: Section = Section {
    title: "[user]",
    name: "user",
    doc: "The account as the application should see it.",
    keys: &[
        Key::new("name", Kind::Templates, "login name").default("[\"{lower(username)}\", \"{lower(email)}\"]"),
        Key::new("email", Kind::Templates, "e-mail address").default("\"{lower(email)}\""),
        Key::new("display", Kind::Templates, "display name").default("[\"{name}\", \"{given_name} {family_name}\", \"{username}\", \"{email}\"]"),
        Key::new("required", Kind::TextList, "attributes without which nothing is created"),
        Key::new("name_max", Kind::Int(1, 255), "longest login in characters; a longer one is cut").default("what the application takes"),
        Key::new(
            "on_collision",
            Kind::Enum(&["refuse", "suffix", "hash"]),
            "when the login belongs to somebody else: a conflict, a number behind it, or a short hash of the person's subject",
        )
        .default("refuse"),
        Key::new("omit", Kind::TextList, "attributes that are not sent: \"email\", \"display\", or the connector's own names"),
        Key::new("on_suspect", Kind::Enum(&["refuse", "accept"]), "when a value looks wrongly decoded, such as ZoÃ« for Zoë").default("refuse"),
        Key::new("extra", Kind::Map(&Kind::Templates), "further attributes"),
    ],
};

const ROLES: Section = Section {
    title: "[roles]",
    name: "roles",
    doc: "Groups to roles.",
    keys: &[
        Key::new("map", Kind::Map(&Kind::Text), "group = \"role\"; * stands for anything"),
        Key::new("pick", Kind::Enum(&["highest", "all"]), "highest: the one highest role that a group maps to; all: every one").default("highest"),
        Key::new("order", Kind::TextList, "roles from highest to lowest, where the connector does not know").default("the order of the map"),
        Key::new("default", Kind::Text, "the role when no group maps"),
        Key::new(
            "sync",
            Kind::Enum(&["login", "create", "never"]),
            "when roles are applied: login, at every sign-in, and what the gateway granted is taken back; create, once; never",
        )
        .default("login"),
        Key::new("required", Kind::Bool, "whether nobody goes in whose role could not be given, but for accounts that are left as they are or wait to be joined; false: they go in without it, and it is tried again; a name that the app does not have at all is a mistake of the policy, and lets nobody in either way")
            .default("false"),
    ],
};

const ORG: Section = Section {
    title: "[[org]]",
    name: "org",
    doc: "An organisation of the application.",
    keys: &[
        Key::new("id", Kind::Free, "the application's id of it").required(),
        Key::new("groups", Kind::TextList, "for whom; left out: everyone"),
        Key::new("role", Kind::Templates, "role in it; one that comes to nothing: no membership").default("the connector's own"),
        Key::new(
            "required",
            Kind::Bool,
            "whether nobody goes in who could not be made a member, but for accounts that are left as they are or wait to be joined; false: they go in without it, and it is tried again; a name that the app does not have at all is a mistake of the policy, and lets nobody in either way",
        )
        .default("false"),
    ],
};

const PROVISION: Section = Section {
    title: "[provision]",
    name: "provision",
    doc: "How accounts are made, through the application's own admin API.",
    keys: &[
        Key::new("connector", Kind::Text, "which admin API it is: a name, or the path of a connector file beside this one").required(),
        Key::new("url", Kind::Url, "base address of the admin API"),
        Key::new("token", Kind::Secret, "bearer token of the admin API"),
        Key::new("username", Kind::Text, "user of the admin API"),
        Key::new("password", Kind::Secret, "password of that user"),
        Key::new("headers", Kind::Map(&Kind::Secret), "secret headers of the admin API"),
        Key::new("ca", Kind::Text, "PEM file of authorities that the admin API's certificate may come from, besides those of the system"),
        Key::new("client_cert", Kind::Text, "PEM chain that is shown to the admin API, leaf first; with client_key"),
        Key::new("client_key", Kind::Secret, "PEM private key of client_cert"),
        Key::new("settings", Kind::Free, "the connector's own settings"),
        Key::new("on_existing", Kind::Enum(&["adopt", "leave", "refuse"]), "what to do with an account that was there before and is recognised: adopt it and keep it in step, leave it as it is and let the person in, or refuse; never an administrator's, never somebody else's").default("refuse"),
        Key::new("match", Kind::EnumList(&["external_id", "login", "email"]), "how an existing account is recognised; email: a verified one; left out: an existing account is a conflict, for a human"),
        Key::new("initial_password", Kind::Enum(&["random", "none"]), "a password that nobody knows for new accounts, or none")
            .default("the connector's own"),
        Key::new("enabled", Kind::Bool, "whether accounts are made, linked and kept in step; false: see when_disabled").default("true"),
        Key::new(
            "when_disabled",
            Kind::Enum(&["allow_linked", "deny_all", "passthrough"]),
            "while enabled = false: people with a linked account go on and nobody new comes; nobody at all; or everybody, by the mapping, and nothing is looked up",
        )
        .default("allow_linked"),
        Key::new(
            "mode",
            Kind::Enum(&["create_and_update", "create_only", "update_only", "passthrough"]),
            "make accounts and take over existing ones; make them and refuse existing ones; take over only; or let existing ones in and touch nothing. Left out: accounts are made, and on_existing decides the rest",
        ),
        Key::new(
            "trigger",
            Kind::Enum(&["sign_in", "first_request"]),
            "what may begin the making of an account: a page that somebody opens, or any request with a session",
        )
        .default("sign_in"),
        Key::new("max_accounts", Kind::Int(1, 1_000_000_000), "most accounts that the gateway makes or takes over at this application").default("no limit"),
        Key::new("on_exceed", Kind::Enum(&["refuse", "approve"]), "beyond max_accounts: no account, or one once a human has approved").default("refuse"),
        Key::new(
            "join",
            Kind::Enum(&["always", "created", "approval"]),
            "which accounts get memberships and roles: all; those that the gateway made; or others once a human has approved",
        )
        .default("always"),
        Key::new(
            "join_when",
            Kind::Expression,
            "only accounts for which this holds get memberships and roles, over account.* as the application shows it, origin ('created', 'adopted', 'preexisting') and the sign-in; without a value: not this one",
        ),
        Key::new("protect", Kind::TextList, "logins never taken for anybody's and never made, * stands for anything; any of"),
        Key::new(
            "protect_when",
            Kind::Expression,
            "accounts never taken for anybody's, over account.* as the application shows it; without a value: this one as well",
        ),
        Key::new("slo", Kind::Duration, "how soon a first sign-in should have its account; a later one is logged and counted").default("3s"),
        Key::new("fresh", Kind::Duration, "an account that was seen to be as wanted is not looked at again for so long, give or take a fifth").default("1h"),
        Key::new("verify", Kind::Duration, "after so long it is looked at before a request goes on, and not beside it").default("24h"),
        Key::new("grace", Kind::Duration, "for so long beyond `verify`, people who are known go on while the admin API does not answer").default("12h"),
        Key::new("drift", Kind::Enum(&["correct", "report"]), "what the gateway has set and somebody has changed at the application: set it again, or leave it and tell; memberships that take a call of their own are looked at once in every `verify`, and by `reconcile`").default("correct"),
        Key::new(
            "rename",
            Kind::Enum(&["never", "follow"]),
            "when the provider calls somebody otherwise than before: the account keeps its login, or takes the new one at the next look at it, where that is nobody's, not reserved and not protected; the old one is free again then",
        )
        .default("never"),
        Key::new("leavers", Kind::Table(&LEAVERS), "accounts of people who may not come any more, or do not"),
        Key::new("timeout", Kind::Duration, "for one call").default("10s"),
        Key::new("retries", Kind::Int(0, 10), "further tries after a transient failure").default("2"),
        Key::new("concurrency", Kind::Int(1, 1000), "calls under way at once while somebody waits; work that nobody waits for has half as many of its own")
            .default("8"),
        Key::new("rate", Kind::Int(1, 100_000), "calls a second, at most; half of them are kept for calls that somebody waits for").default("no limit"),
        Key::new("find", Kind::OwnTable(&FIND), "how to look for an account, for connector = \"rest\""),
        Key::new("step", Kind::OwnTables(&STEP), "what to call, for connector = \"rest\""),
    ],
};

const LEAVERS: Section = Section {
    title: "[provision.leavers]",
    name: "provision.leavers",
    doc: "What becomes of the account of somebody whom [access] does not let in any more (asked at their requests and by `vestibule reconcile`), or who does not come any more. The gateway's own door is shut at once, whatever stands here.",
    keys: &[
        Key::new(
            "account",
            Kind::Enum(&["keep", "disable", "delete"]),
            "what is done at the application. disable: it is switched off, and on again for whoever is let in again; delete, where the application cannot switch anybody off: one that the gateway made is removed, and made anew for whoever is let in again",
        )
        .default("keep"),
        Key::new("after", Kind::DurationOrZero, "how long after they left it is switched off, or with account = \"delete\" removed").default("0s"),
        Key::new("idle", Kind::Duration, "whoever has not come for so long has left, in a browser or by a token").default("never"),
        Key::new("delete_after", Kind::Duration, "an account that the gateway made is removed so long after it was switched off").default("never"),
        Key::new(
            "max",
            Kind::Int(0, 1_000_000),
            "when more leave, or more accounts are to be removed, within an hour, nothing is done at the application before a human has said yes: `vestibule users approve`",
        )
        .default("5"),
        Key::new("max_percent", Kind::Int(0, 100), "as `max`, in percent of the application's accounts; two may always leave").default("10"),
    ],
};

/// Where a part of an account stands in an answer.
const PLACE: Kind = Kind::Free;

/// `[provision.find]`; `connector/model/own.rs` reads it.
pub const FIND: Section = Section {
    title: "[provision.find]",
    name: "provision.find",
    doc: "How to look for an account.",
    keys: &[
        Key::new("get", Kind::Text, "path and query below `url`; each `{value}` is percent-encoded"),
        Key::new("post", Kind::Text, "the same, for an app that is searched by POST"),
        Key::new("body", Kind::Free, "JSON body as a table, with `post`"),
        Key::new("jsonrpc", Kind::Free, "JSON-RPC 2.0, with `post`: `{ method = \"user.get\", params = { … } }`"),
        Key::new("graphql", Kind::Free, "GraphQL, with `post`: `{ query = \"…\", variables = { … } }`"),
        Key::new("query", Kind::Map(&Kind::Templates), "further parameters of the query"),
        Key::new("headers", Kind::Map(&Kind::Text), "headers of the request"),
        Key::new("list", Kind::Text, "where the list of accounts stands in the answer, e.g. `users`; left out: the answer is the account"),
        Key::new("where", Kind::Expression, "which element is meant, exactly, e.g. `lower(item.mail) == user.email`; needed with `list`"),
        Key::new("by", Kind::Enum(&["external_id", "login", "email"]), "in which way it looks").default("what the request is made of"),
        Key::new("id", PLACE, "where the account's id stands").default("id"),
        Key::new("login", PLACE, "where its login stands").default("the usual names"),
        Key::new("external_id", PLACE, "where the id stands that this gateway wrote"),
        Key::new("email", PLACE, "where its e-mail address stands").default("the usual names"),
        Key::new("admin", PLACE, "what says that it is an administrator's").default("the usual names"),
        Key::new("disabled", PLACE, "what says that it is switched off"),
        Key::new("etag", PLACE, "where its version stands"),
        Key::new("paginate", PLACE, "how the list goes on"),
        Key::new("classify", PLACE, "what each answer means").default("200: found; 404 and 410 without `list`: absent"),
        Key::new("response", Kind::Enum(&["json", "xml", "any"]), "what an answer is; `any`: it need not be either").default("json"),
        Key::new("lists", Kind::TextOrList, "with `response = \"xml\"`: elements that are the list of what is in them, however few, e.g. `users`"),
    ],
};

/// `[[provision.step]]`; `connector/model/own.rs` reads it.
pub const STEP: Section = Section {
    title: "[[provision.step]]",
    name: "provision.step",
    doc: "What to call; the steps that apply are taken in the order of the file.",
    keys: &[
        Key::new("name", Kind::Text, "what people read when it fails").required(),
        Key::new("on", Kind::TextOrList, "when: `create`, `update` or both").required(),
        Key::new("get", Kind::Text, "path to GET"),
        Key::new("post", Kind::Text, "path to POST to"),
        Key::new("put", Kind::Text, "path to PUT to"),
        Key::new("patch", Kind::Text, "path to PATCH"),
        Key::new("delete", Kind::Text, "path to DELETE"),
        Key::new("query", Kind::Map(&Kind::Templates), "further parameters of the query"),
        Key::new("headers", Kind::Map(&Kind::Text), "headers of the request"),
        Key::new("body", Kind::Free, "JSON body as a table, never as text"),
        Key::new("form", Kind::Free, "form body, name = value; a list is a field several times"),
        Key::new("jsonrpc", Kind::Free, "JSON-RPC 2.0: `{ method = \"user.create\", params = { … } }`"),
        Key::new("graphql", Kind::Free, "GraphQL: `{ query = \"…\", variables = { … } }`"),
        Key::new("text", Kind::Text, "text body: one value and nothing else"),
        Key::new("ok", Kind::Free, "statuses that mean success, e.g. `[204, 422]`").default("every 2xx"),
        Key::new("classify", Kind::Free, "what each answer means, instead of `ok`"),
        Key::new("save", Kind::Map(&Kind::Text), "names for later steps, e.g. `{ id = \"user.id\" }`"),
        Key::new("each", Kind::Text, "once for each `roles.added`, `roles.removed`, `orgs.added`, `orgs.removed`, or element of a list, as `item`"),
        Key::new("if", Kind::Expression, "skipped unless this holds"),
        Key::new("response", Kind::Enum(&["json", "xml", "any"]), "what an answer is; `any`: it need not be either").default("json"),
        Key::new("lists", Kind::TextOrList, "with `response = \"xml\"`: elements that are the list of what is in them, however few, e.g. `users`"),
    ],
};

const JWT: Section = Section {
    title: "[jwt]",
    name: "jwt",
    doc: "A signed token to inject.",
    keys: &[
        Key::new("header", Kind::Text, "header that carries it").default("X-JWT-Assertion"),
        Key::new("prefix", Kind::Text, "what stands before it there, such as \"Bearer \" for the header Authorization").default("no prefix"),
        Key::new(
            "secret",
            Kind::Secret,
            "signed with HS256 under this secret, of 32 bytes or more, for an application that can verify nothing else: it shares the secret with the gateway, and with nobody more, for whoever has it can be anybody there; each application has its own",
        )
        .default("signed with ES256 by the gateway's own key"),
        Key::new("audience", Kind::Text, "`aud`").default("the host"),
        Key::new("ttl", Kind::Duration, "lifetime, at most 5m").default("5m"),
        Key::new("claims", Kind::Map(&Kind::Templates), "further claims"),
    ],
};

const SIGN_IN: Section = Section {
    title: "[sign_in]",
    name: "sign_in",
    doc: "How the application learns who it is, and what becomes of the session that it keeps itself. What the connector knows of its application holds where this section says nothing.",
    keys: &[
        Key::new(
            "mode",
            Kind::Enum(&["header", "basic", "session_bridge", "token_exchange"]),
            "header: by [headers] and [jwt]; basic: by `Authorization: Basic` with the recorded login and a password; session_bridge: the gateway fills in the application's own form with a password of its own for each person, which it sets through the admin API and keeps sealed, of lower assurance than the others: whoever has that password signs in without the gateway; token_exchange: the gateway exchanges its [jwt] for a token of the application's own, which goes with every request",
        )
        .default("the connector's, else \"header\""),
        Key::new(
            "login_url",
            Kind::Text,
            "the one path at which the application reads who it is: it is told there and nowhere else, and the first page of a session leads there and back; \"none\": on every request",
        )
        .default("the connector's, else \"none\""),
        Key::new("password", Kind::Secret, "what goes with every login for mode = \"basic\"").default("the connector's, where the application does not look at it"),
        Key::new(
            "rotate",
            Kind::Duration,
            "for mode = \"session_bridge\": the password that the gateway has set for a person is replaced at the next sign-in after so long; some applications write to people each time",
        )
        .default("90d"),
        Key::new(
            "cookies",
            Kind::Enum(&["bound", "free"]),
            "bound: a cookie that the application sets is sent back only in the session of the person that it was set for, and not after a sign-out or when their roles have changed; free: cookies pass as they are",
        )
        .default("\"bound\" where the connector says that the application keeps a session of its own, and with login_url; else \"free\""),
        Key::new(
            "script_cookies",
            Kind::TextList,
            "names of cookies that the application's scripts set in the browser, * stands for anything: they pass although nobody can tell for whom they were set; all others do not, where cookies are bound",
        ),
        Key::new(
            "logout_paths",
            Kind::TextList,
            "where the application signs people out, * stands for anything, and a method may stand before it (\"DELETE /session/*\"): the gateway's session ends there as well; besides the connector's own list, which [] switches off",
        )
        .default("the connector's"),
        Key::new(
            "rejected_when",
            Kind::Free,
            "what the application answers to somebody it does not know, a list of { status = 401 }, { redirect = \"^/login\" } and { status = 200, body = \"not logged in\" }: the account is looked at again, and a page asked for once more; [] switches it off",
        )
        .default("the connector's"),
    ],
};

const TEST: Section = Section {
    title: "[[test]]",
    name: "test",
    doc: "An expectation, tried by `check`, by `test` and before the policy is loaded: with one that fails the policy is not loaded.",
    keys: &[
        Key::new("name", Kind::Text, "what it shows").required(),
        Key::new("user", Kind::Table(&TEST_USER), "who asks; left out: nobody has signed in"),
        Key::new("get", Kind::Text, "path that is asked for").required(),
        Key::new("ip", Kind::Text, "address of the client").default("192.0.2.1"),
        Key::new("age", Kind::DurationOrZero, "how long ago they signed in").default("0s"),
        Key::new("expect", Kind::Table(&EXPECT), "what must come of it").required(),
        Key::new(
            "calls",
            Kind::TextList,
            "all calls to the admin API in order, \"METHOD /path\" below its base address without query; a read that repeats an earlier one may be left out; {id} is the id of the account made; [] means none",
        ),
        Key::new("existing", Kind::Free, "an account that is there already, as the application shows it, or a list of such; left out: there is none"),
    ],
};

const TEST_USER: Section = Section {
    title: "[[test]] user",
    name: "test.user",
    doc: "Who asks.",
    keys: &[
        Key::new("email", Kind::Text, "e-mail address"),
        Key::new("email_verified", Kind::Bool, "whether the provider vouches for it").default("true"),
        Key::new("name", Kind::Text, "full name"),
        Key::new("given_name", Kind::Text, "given name"),
        Key::new("family_name", Kind::Text, "family name"),
        Key::new("username", Kind::Text, "user name at the provider"),
        Key::new("groups", Kind::TextList, "groups").default("[]"),
        Key::new("idp", Kind::Text, "identity provider, by id").default("the first of login.idp"),
        Key::new("sub", Kind::Text, "subject"),
        Key::new("claims", Kind::Free, "further claims"),
    ],
};

const EXPECT: Section = Section {
    title: "[[test]] expect",
    name: "test.expect",
    doc: "What must come of it.",
    keys: &[
        Key::new(
            "access",
            Kind::Enum(&["allow", "deny", "public", "login"]),
            "the decision; login: they are sent to sign in, for the first time or again",
        ),
        Key::new(
            "because",
            Kind::Enum(&[
                "groups",
                "deny_groups",
                "domains",
                "email_unverified",
                "networks",
                "when",
                "max_age",
                "required",
                "unusable",
                "methods",
                "idp",
                "auth",
                "block_paths",
                "conflict",
                "enabled",
                "max_accounts",
                "approval",
                "account",
            ]),
            "the key that refuses; conflict: an account is there that is not theirs; approval: a human has to say yes first; account: it cannot be made; unusable: a value that no application should get",
        ),
        Key::new("name", Kind::Text, "login name"),
        Key::new("email", Kind::Text, "e-mail address"),
        Key::new("display", Kind::Text, "display name"),
        Key::new("role", Kind::Text, "role"),
        Key::new("roles", Kind::TextList, "roles, in any order"),
        Key::new("orgs", Kind::Free, "ids of organisations, in any order"),
        Key::new("extra", Kind::Map(&Kind::Text), "further attributes"),
        Key::new("landing", Kind::Text, "page people land on"),
        Key::new("headers", Kind::Map(&Kind::Text), "headers the application gets"),
        Key::new("jwt", Kind::Free, "claims of the token the application gets"),
    ],
};
