//! Every key of a policy file, as data.
//!
//! Lives here: [`POLICY`] and its sections. Apart because the check is made from it, and an editors' schema and a manual later will be. What keys mean
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
        Key::new("host", Kind::Host, "the name people type into the browser, e.g. \"wiki.example.com\"").required(),
        Key::new("upstream", Kind::Url, "where the application listens, e.g. \"http://10.0.4.20:8080\"").required(),
        Key::new("title", Kind::Text, "the application's name on pages").default("the file's name"),
        Key::new("connect_timeout", Kind::Duration, "how long to wait for a connection to the application").default("5s"),
        Key::new("response_timeout", Kind::Duration, "how long to wait for the head of its answer").default("60s"),
        Key::new("login", Kind::Table(&LOGIN), "how to sign in"),
        Key::new("access", Kind::Table(&ACCESS), "what every request must satisfy").required(),
        Key::new("path", Kind::Tables(&PATH), "what requests to some paths must satisfy besides"),
        Key::new("bearer", Kind::Table(&BEARER), "tokens that scripts may bring"),
        Key::new("user", Kind::Table(&USER), "the account as the application should see it"),
        Key::new("roles", Kind::Table(&ROLES), "groups to roles"),
        Key::new("org", Kind::Tables(&ORG), "organisations of the application"),
        Key::new("vars", Kind::Free, "values for templates, such as ids of the application"),
        Key::new("provision", Kind::Table(&PROVISION), "how accounts are made"),
        Key::new("headers", Kind::Map(&Kind::Header), "headers to inject, name = value"),
        Key::new("jwt", Kind::Table(&JWT), "a signed token to inject"),
        Key::new("messages", Kind::Free, "texts for refusals, by reason and language"),
        Key::new("test", Kind::Tables(&TEST), "expectations; read and checked for form, not run yet"),
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
            "the application's own sign-in, sign-up and password pages, * stands for anything: never forwarded; besides the connector's own list, which [] switches off",
        )
        .default("the connector's"),
        Key::new("break_glass", Kind::TextList, "groups for which block_paths do not hold, * stands for anything"),
    ],
};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

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
        Key::new("auth", Kind::EnumList(&["session", "bearer"]), "ways to authenticate").default("[\"session\"]"),
        Key::new("headers", Kind::Map(&Kind::Header), "further headers for these paths"),
    ],
};

const BEARER: Section = Section {
    title: "[bearer]",
    name: "bearer",
    doc: "Tokens that the identity provider issued for this API.",
    keys: &[
        Key::new("idp", Kind::Text, "identity provider, by id").required(),
        Key::new("audience", Kind::Text, "the `aud` a token must carry").required(),
        Key::new("scopes", Kind::TextList, "scopes a token must carry"),
        Key::new("provision", Kind::Bool, "whether a token may create an account").default("false"),
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
        Key::new("on_collision", Kind::Enum(&["refuse", "suffix"]), "when the login belongs to somebody else").default("refuse"),
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
        Key::new("pick", Kind::Enum(&["highest", "all"]), "one role, or all that apply").default("highest"),
        Key::new("default", Kind::Text, "the role when no group maps"),
        Key::new("sync", Kind::Enum(&["login", "create", "never"]), "when roles are applied").default("login"),
    ],
};

const ORG: Section = Section {
    title: "[[org]]",
    name: "org",
    doc: "An organisation of the application.",
    keys: &[
        Key::new("id", Kind::Free, "the application's id of it").required(),
        Key::new("groups", Kind::TextList, "for whom; left out: everyone"),
        Key::new("role", Kind::Templates, "role in it"),
    ],
};

const PROVISION: Section = Section {
    title: "[provision]",
    name: "provision",
    doc: "How accounts are made, through the application's own admin API.",
    keys: &[
        Key::new("connector", Kind::Text, "which admin API it is").required(),
        Key::new("url", Kind::Url, "base address of the admin API"),
        Key::new("token", Kind::Secret, "bearer token of the admin API"),
        Key::new("username", Kind::Text, "user of the admin API"),
        Key::new("password", Kind::Secret, "password of that user"),
        Key::new("headers", Kind::Map(&Kind::Secret), "secret headers of the admin API"),
        Key::new("settings", Kind::Free, "the connector's own settings"),
        Key::new("on_existing", Kind::Enum(&["adopt", "leave", "refuse"]), "what to do with an account that was there before").default("refuse"),
        Key::new("match", Kind::EnumList(&["external_id", "login", "email"]), "how an existing account is recognised"),
        Key::new("timeout", Kind::Duration, "for one call").default("10s"),
        Key::new("retries", Kind::Int(0, 10), "further tries after a transient failure").default("2"),
        Key::new("find", Kind::Free, "how to look for an account, for connector = \"rest\""),
        Key::new("step", Kind::Free, "what to call, for connector = \"rest\""),
    ],
};

const JWT: Section = Section {
    title: "[jwt]",
    name: "jwt",
    doc: "A signed token to inject.",
    keys: &[
        Key::new("header", Kind::Text, "header that carries it").default("X-JWT-Assertion"),
        Key::new("audience", Kind::Text, "`aud`").default("the host"),
        Key::new("ttl", Kind::Duration, "lifetime, at most 5m").default("5m"),
        Key::new("claims", Kind::Map(&Kind::Templates), "further claims"),
    ],
};

const TEST: Section = Section {
    title: "[[test]]",
    name: "test",
    doc: "An expectation: read and checked for form, not run yet.",
    keys: &[
        Key::new("name", Kind::Text, "what it shows").required(),
        Key::new("user", Kind::Table(&TEST_USER), "who asks; left out: nobody has signed in"),
        Key::new("get", Kind::Text, "path that is asked for").required(),
        Key::new("ip", Kind::Text, "address of the client"),
        Key::new("expect", Kind::Table(&EXPECT), "what must come of it").required(),
        Key::new("calls", Kind::TextList, "calls to the admin API, in order"),
        Key::new("existing", Kind::Free, "an account that is there already"),
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
        Key::new("groups", Kind::TextList, "groups"),
        Key::new("idp", Kind::Text, "identity provider, by id"),
        Key::new("sub", Kind::Text, "subject"),
        Key::new("claims", Kind::Free, "further claims"),
    ],
};

const EXPECT: Section = Section {
    title: "[[test]] expect",
    name: "test.expect",
    doc: "What must come of it.",
    keys: &[
        Key::new("access", Kind::Enum(&["allow", "deny", "public", "login"]), "the decision"),
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
                "methods",
                "idp",
                "block_paths",
            ]),
            "the key that refuses",
        ),
        Key::new("name", Kind::Text, "login name"),
        Key::new("email", Kind::Text, "e-mail address"),
        Key::new("display", Kind::Text, "display name"),
        Key::new("role", Kind::Text, "role"),
        Key::new("roles", Kind::TextList, "roles"),
        Key::new("orgs", Kind::Free, "organisations"),
        Key::new("extra", Kind::Map(&Kind::Text), "further attributes"),
        Key::new("landing", Kind::Text, "page people land on"),
        Key::new("headers", Kind::Map(&Kind::Text), "headers the application gets"),
    ],
};
