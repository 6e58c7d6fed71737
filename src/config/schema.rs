//! Every key of `vestibule.toml`, as data.
//!
//! Lives here: [`GATEWAY`] and its sections. Apart because the check, the editors' schema and the manual are made from it.

use super::language::TAGS;
use crate::source::schema::{Key, Kind, Section};

/// The gateway file.
pub const GATEWAY: Section = Section {
    title: "",
    name: "",
    doc: "One per gateway.",
    keys: &[
        Key::new("version", Kind::Int(1, 1), "version of this format").default("1"),
        Key::new("server", Kind::Table(&SERVER), "where it listens").required(),
        Key::new("tls", Kind::Table(&TLS), "certificates").required(),
        Key::new("admin", Kind::Table(&ADMIN), "metrics and health, a listener of its own, and the operators' socket; left out: nothing listens"),
        Key::new("state", Kind::Table(&STATE), "where sessions and accounts are kept").required(),
        Key::new("session", Kind::Table(&SESSION), "how long sessions last"),
        Key::new("provisioning", Kind::Table(&PROVISIONING), "which policies may make accounts, and which must"),
        Key::new("audit", Kind::Table(&AUDIT), "where audit events go"),
        Key::new("telemetry", Kind::Table(&TELEMETRY), "logs, metrics, traces"),
        Key::new("pages", Kind::Table(&PAGES), "what people see"),
        Key::new("idp", Kind::Tables(&IDP), "identity providers, at least one").required(),
    ],
};

const SERVER: Section = Section {
    title: "[server]",
    name: "server",
    doc: "Where it listens. A request or an answer may have a hundred header lines.",
    keys: &[
        Key::new("listen", Kind::Addresses, "where HTTPS is served, e.g. [\"0.0.0.0:443\", \"[::]:443\"]; [::] is IPv6 only").required(),
        Key::new("redirect", Kind::Addresses, "plain HTTP that only redirects, e.g. \"0.0.0.0:80\""),
        Key::new("auth_host", Kind::Host, "host of sign-in, callbacks and keys, e.g. \"auth.example.com\"").required(),
        Key::new("public_port", Kind::Int(1, 65_535), "port that browsers use").default("443"),
        Key::new("policies", Kind::Text, "folder of policy files, relative to this file").default("policies"),
        Key::new("trusted_proxies", Kind::Networks, "peers whose X-Forwarded-For is believed").default("[]"),
        Key::new("max_body", Kind::Size, "largest request body").default("100 MiB"),
        Key::new("max_connections", Kind::Int(1, 1_000_000), "connections that may be open at once; one more is answered 503 and closed")
            .default("10000"),
        Key::new(
            "max_connections_per_client",
            Kind::Int(1, 1_000_000),
            "of which one client may have so many: an IPv4 address, or an IPv6 network of 64 bits; peers of trusted_proxies have no such limit",
        )
        .default("1000"),
        Key::new(
            "response_idle",
            Kind::Duration,
            "an answer that has begun is cut off when nothing of it moves for so long: the application sends nothing, or the client takes nothing",
        )
        .default("2m"),
        Key::new("stream_idle", Kind::Duration, "as long may the application be silent in an event stream, and both sides in a WebSocket")
            .default("1h"),
        Key::new("drain", Kind::DurationOrZero, "how long requests may take after SIGTERM").default("30s"),
        Key::new("workers", Kind::Int(0, 1024), "worker threads; 0: one per core").default("0"),
    ],
};

const TLS: Section = Section {
    title: "[tls]",
    name: "tls",
    doc: "Certificates.",
    keys: &[
        Key::new("cert", Kind::Text, "PEM chain, leaf first"),
        Key::new("key", Kind::Secret, "PEM private key"),
        Key::new("certificate", Kind::Tables(&CERTIFICATE), "further certificates"),
        Key::new("min_version", Kind::Enum(&["1.2", "1.3"]), "oldest TLS version that is served").default("1.2"),
    ],
};

const CERTIFICATE: Section = Section {
    title: "[[tls.certificate]]",
    name: "tls.certificate",
    doc: "A certificate and its key.",
    keys: &[Key::new("cert", Kind::Text, "PEM chain, leaf first").required(), Key::new("key", Kind::Secret, "PEM private key").required()],
};

const ADMIN: Section = Section {
    title: "[admin]",
    name: "admin",
    doc: "Metrics, health and the console.",
    keys: &[
        Key::new(
            "listen",
            Kind::Addresses,
            "one address for /metrics, /healthz, /readyz and the console: plain HTTP on a loopback address, TLS with the certificates of [tls] on any other",
        )
        .default("127.0.0.1:9443"),
        Key::new("host", Kind::Host, "host of the console, which is reached at the port of listen; left out: there is no console"),
        Key::new("idp", Kind::Text, "identity provider of operators, an [[idp]] id; required with host"),
        Key::new("groups", Kind::TextList, "groups of that provider whose members may act: retry, approve, forget, end sessions, reload; required with host"),
        Key::new("viewers", Kind::TextList, "groups of that provider whose members may look"),
        Key::new("socket", Kind::Text, "Unix socket that the command line talks to; the default applies where its folder is there")
            .default("/run/vestibule/admin.sock"),
        Key::new("socket_group", Kind::Text, "group of this machine that may act through the socket, beside root and the gateway's own user"),
        Key::new("socket_viewers", Kind::Text, "group of this machine that may look through the socket"),
    ],
};

const STATE: Section = Section {
    title: "[state]",
    name: "state",
    doc: "Where sessions, accounts and keys are kept.",
    keys: &[
        Key::new("url", Kind::Text, "the database: sqlite:PATH").required(),
        Key::new("key", Kind::Secret, "key that seals secrets at rest").required(),
        Key::new(
            "sign_ins_keep",
            Kind::Duration,
            "how long the last sign-in of each person is kept, sealed, groups and claims included, for `explain` and `plan`",
        )
        .default("90d"),
        Key::new(
            "incidents_keep",
            Kind::Duration,
            "how long what stood behind an incident code is kept, sealed, for `explain CODE`: the request, and of who was signed in their name, groups and the claims that the policy reads; at most 8 KiB each, and the newest 100 of one person",
        )
        .default("30d, or sign_ins_keep where that is shorter"),
        Key::new("backup_keep", Kind::Int(0, 1000), "backups to keep: one a day beside the file, such as vestibule.db.2026-11-22; 0: none")
            .default("7"),
    ],
};

const SESSION: Section = Section {
    title: "[session]",
    name: "session",
    doc: "How long sessions last.",
    keys: &[
        Key::new("idle", Kind::Duration, "ends after so long without a request").default("30m"),
        Key::new("max", Kind::Duration, "ends so long after sign-in").default("12h"),
        Key::new("cookie", Kind::Text, "cookie name").default("__Host-vestibule"),
        Key::new("same_site", Kind::Enum(&["lax", "strict"]), "SameSite of the cookie").default("lax"),
    ],
};

const PROVISIONING: Section = Section {
    title: "[provisioning]",
    name: "provisioning",
    doc: "Which policies may make accounts, and which must: for whoever runs the gateway, above what a policy says.",
    keys: &[
        Key::new("allow", Kind::TextList, "policies, by name, that may have [provision]; []: none may").default("all"),
        Key::new("locked", Kind::TextList, "policies, by name, whose [provision] must be there and switched on"),
    ],
};

const AUDIT: Section = Section {
    title: "[audit]",
    name: "audit",
    doc: "Where audit events go: who came in, who was refused, what became of which account. That an account was looked at and is as wanted changes nothing, and is no event; metrics count it. Of refusals of one person, or of one address, ten a minute are written for each app and reason, and the next one says how many were left out (`left_out`); where lines are lost all the same (too many at once, a full disk), a line of its own says how many (`audit.lost`), and `vestibule audit verify` repeats it.",
    keys: &[
        Key::new(
            "file",
            Kind::Text,
            "a file, relative to this one; \"stdout\"; \"syslog\" (RFC 5424 to /dev/log, facility authpriv); or \"journald\" (its native protocol, with VESTIBULE_ACTION, VESTIBULE_INCIDENT and VESTIBULE_APP as fields). The lines of a file are a chain, and where it ends is written down beside the store: `vestibule audit verify`, and each start, tell whether lines were changed, taken out or cut off",
        )
        .default("stdout"),
        Key::new(
            "format",
            Kind::Enum(&["plain", "ocsf", "ecs"]),
            "whose names events have: our own, those of the Open Cybersecurity Schema Framework (1.3.0) or of the Elastic Common Schema (8.17.0); one JSON object each",
        )
        .default("plain"),
        Key::new(
            "pii",
            Kind::Enum(&["full", "hash"]),
            "\"hash\": subjects, e-mail addresses, names, logins, account ids and paths are written as h: and 32 hex digits of an HMAC-SHA-256 under a key derived from [state] key; equal values stay equal, also after a restart",
        )
        .default("full"),
    ],
};

const TELEMETRY: Section = Section {
    title: "[telemetry]",
    name: "telemetry",
    doc: "Logs, metrics, traces.",
    keys: &[
        Key::new("log", Kind::Text, "level or filter").default("info"),
        Key::new("format", Kind::Enum(&["auto", "text", "json"]), "text on a terminal, JSON otherwise").default("auto"),
        Key::new("metrics", Kind::Bool, "whether /metrics answers").default("true"),
        Key::new(
            "otlp",
            Kind::Url,
            "where traces go: an OpenTelemetry collector's address for OTLP over HTTP, without /v1/traces; left out: nowhere",
        ),
    ],
};

/// What the manual says of own pages. The names are those of `pages/template.rs`; a test there compares.
pub(crate) const TEMPLATES: &str = "folder of own pages: NAME.html, where NAME is page (stands for all pages without a file of their own), picker, launcher, whoami, \
    logout, onward, or the last part of the problem type of a message, such as denied, account-exists, account-in-progress. In it stand {title} and {content} (both required), {refresh} (required \
    in the head of page.html, onward.html, account-in-progress.html), {lang}, {dir}, {style} (the built-in style sheet, inside a style element), {logo}, {name}, {app}, {person}, {contact}, {incident}; \
    values are escaped. Scripts, event handlers, style attributes and anything loaded from elsewhere are refused; a style element is allowed. A page that has no file is the built-in one";

const PAGES: Section = Section {
    title: "[pages]",
    name: "pages",
    doc: "What people see.",
    keys: &[
        Key::new("name", Kind::Text, "name of the sign-in").default("Sign-in"),
        Key::new("contact", Kind::Text, "whom to ask about sign-in"),
        Key::new(
            "logo",
            Kind::Text,
            "image for the head of every page: an SVG or PNG file of at most 64 KiB; an SVG without scripts and without references to other files",
        ),
        Key::new(
            "languages",
            Kind::EnumList(TAGS),
            "languages of the pages, chosen by what the browser asks for (Accept-Language); the first is for everybody else",
        )
        .default("[\"en\"]"),
        Key::new("templates", Kind::Text, TEMPLATES),
    ],
};

const IDP: Section = Section {
    title: "[[idp]]",
    name: "idp",
    doc: "An identity provider.",
    keys: &[
        Key::new("id", Kind::Text, "the name policies use").required(),
        Key::new("name", Kind::Text, "the name people see").default("the id"),
        Key::new("type", Kind::Enum(&["oidc", "saml"]), "protocol").default("oidc"),
        Key::new("issuer", Kind::Url, "issuer identifier, exactly as the provider writes it; SAML: its entity id, where the metadata has several"),
        Key::new("client_id", Kind::Text, "our client id there"),
        Key::new("client_secret", Kind::Secret, "left out: a public client"),
        Key::new("scopes", Kind::TextList, "scopes to ask for").default("[\"openid\", \"profile\", \"email\", \"groups\"]"),
        Key::new("groups", Kind::Text, "claim that lists groups").default("groups"),
        Key::new("trust_email", Kind::Bool, "treat e-mail as verified when the provider does not say").default("false"),
        Key::new("algorithms", Kind::EnumList(ALGORITHMS), "signature algorithms accepted on ID tokens and access tokens")
            .default("[\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]"),
        Key::new(
            "metadata",
            Kind::Text,
            "SAML: the provider's metadata, an https address or a file relative to this one; read again every hour, the last good one is kept",
        ),
        Key::new(
            "pin",
            Kind::TextOrList,
            "SAML: SHA-256 of the provider's signing certificate, \"sha256:…\", or several while it changes; no other certificate of the metadata counts. Required, with signed metadata, where that comes by plain http",
        ),
        Key::new(
            "subject",
            Kind::Text,
            "SAML: attribute that names a person for good; \"NameID\" takes the name itself, whatever its format but transient",
        )
        .default("a persistent NameID"),
        Key::new("entity_id", Kind::Text, "SAML: our entity id there")
            .default("the address of our metadata, https://AUTH_HOST/.vestibule/saml/metadata"),
        Key::new("cert", Kind::Text, "SAML: PEM certificate of our RSA key there, which the provider finds in our metadata"),
        Key::new("key", Kind::Secret, "SAML: its PEM key; with it requests are signed and encrypted assertions opened"),
        // No default in the table: `--effective` would write it into providers that know no SAML.
        Key::new("max_response", Kind::Size, "SAML: largest response; 256 KiB when left out"),
        Key::new(
            "attributes",
            Kind::Map(&Kind::TextOrList),
            "name in policies = claim or SAML attribute it is read from, or several, of which the first that is set counts; names of one's own become claims.NAME",
        ),
        Key::new("userinfo", Kind::Bool, "whether the userinfo endpoint is asked for claims that the ID token lacks").default("true"),
        Key::new(
            "groups_lookup",
            Kind::Table(&GROUPS_LOOKUP),
            "where somebody's groups are asked for who is in too many for a token (Entra: more than 200); it answers with object ids; left out, or without an answer: they are unknown then, which grants nothing new and takes nothing back",
        ),
    ],
};

const GROUPS_LOOKUP: Section = Section {
    title: "[idp.groups_lookup]",
    name: "idp.groups_lookup",
    doc: "The provider's directory, asked at sign-in, and once for each access token, when a token says that there are more groups than it lists. The address that a token names for them is never asked. It answers with object ids, in place of the first claim that groups are read from: policies must name groups by their object ids and tokens must carry those, or whoever is in too many groups is in none that a policy names.",
    keys: &[
        Key::new(
            "preset",
            Kind::Enum(&["entra"]),
            "how it is asked. entra: Microsoft Graph, POST URL/users/OID/getMemberObjects; the application needs the permissions User.Read.All and GroupMember.Read.All, or Directory.Read.All, with an administrator's consent",
        )
        .required(),
        Key::new("url", Kind::Url, "the directory's address, another one in national clouds; nothing outside of it is asked")
            .default("https://graph.microsoft.com/v1.0"),
        Key::new("token_url", Kind::Url, "where the gateway gets the token it asks with").default("the provider's token endpoint"),
        Key::new("scope", Kind::Text, "of that token").default("the directory's origin with /.default"),
        Key::new("client_id", Kind::Text, "who asks").default("the provider's client_id"),
        Key::new("client_secret", Kind::Secret, "its secret").default("the provider's client_secret"),
        Key::new("security_only", Kind::Bool, "leave distribution lists out, as tokens do").default("true"),
        Key::new("timeout", Kind::Duration, "for all of it; somebody is waiting to be signed in").default("5s"),
    ],
};

/// Asymmetric only: `none` and `HS*` are not in the list, so they cannot be written.
const ALGORITHMS: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
