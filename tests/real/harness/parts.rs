//! The parts that nobody here wrote: oidc-provider, JupyterHub, Redmine, scim2-server, SimpleSAMLphp.

use super::{Part, Person, Site, free_port, lab, repository};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// A client registered at the provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// `client_id`, and `[[idp]] id` at the gateway.
    pub(crate) id: &'static str,
    /// How its ID tokens are signed.
    pub(crate) alg: &'static str,
}

/// panva's oidc-provider.
#[derive(Debug)]
pub(crate) struct OidcProvider {
    part: Part,
    /// Its issuer identifier.
    pub(crate) issuer: String,
    /// Its clients.
    pub(crate) clients: Vec<Client>,
    options: Value,
    site: std::path::PathBuf,
}

impl OidcProvider {
    /// `client_secret` of every client.
    pub(crate) const SECRET: &'static str = "test-only-client-secret-of-the-gateway";

    /// One client, `corp`, with RS256.
    pub(crate) async fn start(site: &Site) -> Self {
        Self::with_clients(site, &[Client { id: "corp", alg: "RS256" }]).await
    }

    /// With clients of one's own.
    pub(crate) async fn with_clients(site: &Site, clients: &[Client]) -> Self {
        Self::with(site, clients, true).await
    }

    /// As [`Self::start`], but nobody can be sent there to sign out (it has no `end_session_endpoint`).
    pub(crate) async fn without_logout(site: &Site) -> Self {
        Self::with(site, &[Client { id: "corp", alg: "RS256" }], false).await
    }

    async fn with(site: &Site, clients: &[Client], logout: bool) -> Self {
        let options = json!({
            "listen": free_port(),
            "clients": clients.iter().map(|client| json!({ "id": client.id, "secret": Self::SECRET, "alg": client.alg })).collect::<Vec<_>>(),
            "redirect_uris": [site.url("auth", "/.vestibule/callback")],
            "post_logout_redirect_uris": [site.url("auth", "/.vestibule/signed-out")],
            "people": Self::people(),
            "no_logout": !logout,
        });
        let part = Self::spawn(site.folder(), &options);
        let mut provider = Self { part, issuer: String::new(), clients: clients.to_vec(), options, site: site.folder().to_owned() };
        provider.wait().await;
        provider
    }

    /// Everybody it knows, by `sub`. Any password will do.
    fn people() -> Value {
        let person = |given: &str, family: &str, login: &str, email: &str, groups: &[&str]| {
            json!({
                "name": format!("{given} {family}"), "given_name": given, "family_name": family, "preferred_username": login,
                "email": email, "email_verified": true, "groups": groups,
            })
        };
        json!({
            "ada": person("Ada", "Lovelace", "ada", "ada@example.com", &["staff", "admins"]),
            "bob": person("Bob", "Builder", "bob", "bob@example.com", &["staff"]),
            "con": person("Con", "Tractor", "con", "con@vendor.example", &["contractors"]),
            "zoë": person("Zoë", "Brontë-Núñez", "zoë", "zoe@example.com", &["staff", "façade"]),
        })
    }

    fn spawn(folder: &std::path::Path, options: &Value) -> Part {
        let mut node = Command::new(lab("node_modules/.bin/node"));
        node.arg(repository().join("tests/real/op.mjs")).arg(options.to_string());
        Part::start("oidc-provider", &node, folder)
    }

    async fn wait(&mut self) {
        self.part.ready(async |log| log.contains("\"event\":\"ready\"")).await;
        self.issuer = self.part.events("ready").last().and_then(|event| event["issuer"].as_str()).expect("an issuer").to_owned();
    }

    /// Puts a person into other groups, from the next start on.
    pub(crate) fn move_to_groups(&mut self, sub: &str, groups: &[&str]) {
        self.options["people"][sub]["groups"] = json!(groups);
    }

    /// Ends it and starts it anew at the same address, with other keys and no memory of anybody's session.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        fs::remove_file(self.site.join("oidc-provider.log")).expect("it has written");
        self.part = Self::spawn(&self.site, &self.options);
        self.wait().await;
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.part.stop();
    }

    /// What it told of one kind of event.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        self.part.events(event)
    }
}

/// JupyterHub with header sign-in at its login address, for people who have an account already.
#[derive(Debug)]
pub(crate) struct Hub {
    _process: Part,
    /// Where people reach it.
    pub(crate) port: u16,
    /// Where its admin API is.
    pub(crate) api_port: u16,
}

impl Hub {
    /// The service token of its admin API.
    pub(crate) const TOKEN: &'static str = "test-only-service-token-of-the-gateway";

    /// Starts it, with nobody in it.
    pub(crate) async fn start(site: &Site) -> Self {
        let (port, api_port, proxy_port) = (free_port(), free_port(), free_port());
        let mut hub = Command::new(lab("venv/bin/jupyterhub"));
        hub.arg("--config").arg(repository().join("tests/real/jupyterhub_config.py"));
        hub.env("PORT", port.to_string()).env("API_PORT", api_port.to_string()).env("PROXY_PORT", proxy_port.to_string());
        hub.env("TOKEN", Self::TOKEN).env("FOLDER", site.folder());
        let path = std::env::var("PATH").unwrap_or_default();
        hub.env("PATH", format!("{}:{}:{path}", lab("node_modules/.bin").display(), lab("venv/bin").display()));
        let mut process = Part::start("jupyterhub", &hub, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/hub/api")).await).await;
        Self { _process: process, port, api_port }
    }

    /// Its accounts' names, from its own admin API.
    pub(crate) async fn accounts(&self) -> Vec<String> {
        let users = self.ask("/users").await;
        users.as_array().expect("a list").iter().map(|user| user["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Makes an account or a group, `/users/NAME` or `/groups/NAME`, as somebody before the gateway would have.
    pub(crate) async fn make(&self, path: &str) {
        let url = format!("http://127.0.0.1:{}/hub/api{path}", self.api_port);
        let token = format!("token {}", Self::TOKEN);
        let made = Person::new().send("POST", &url, &[("authorization", &token)], None).await;
        assert_eq!(made.status, 201, "{path}: {}", made.body);
    }

    /// What its admin API answers to a GET.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/hub/api{path}", self.api_port);
        let token = format!("token {}", Self::TOKEN);
        Person::new().send("GET", &url, &[("authorization", &token)], None).await.json()
    }
}

/// scim2-server: a SCIM 2.0 service provider, in memory.
#[derive(Debug)]
pub(crate) struct ScimServer {
    _process: Part,
    /// Where it listens.
    pub(crate) port: u16,
}

impl ScimServer {
    /// Its bearer token.
    pub(crate) const TOKEN: &'static str = "test-only-bearer-token-of-the-gateway";

    /// Starts it, with nobody in it.
    pub(crate) async fn start(site: &Site) -> Self {
        let port = free_port();
        let mut server = Command::new(lab("venv/bin/scim2-server"));
        server.args(["--hostname", "127.0.0.1", "--port", &port.to_string(), "--bearer-token", Self::TOKEN]);
        let mut process = Part::start("scim2-server", &server, site.folder());
        process.ready(async |_| Person::new().gets(401, &format!("http://127.0.0.1:{port}/v2/Users")).await).await;
        Self { _process: process, port }
    }

    /// Its users.
    pub(crate) async fn users(&self) -> Vec<Value> {
        self.ask("GET", "/v2/Users", None).await["Resources"].as_array().cloned().unwrap_or_default()
    }

    /// Logins of the members of a group; none when there is no such group.
    pub(crate) async fn members_of(&self, group: &str) -> Vec<String> {
        let groups = self.ask("GET", "/v2/Groups", None).await["Resources"].as_array().cloned().unwrap_or_default();
        let members =
            groups.iter().filter(|each| each["displayName"] == group).flat_map(|each| each["members"].as_array().cloned().unwrap_or_default());
        let ids: Vec<Value> = members.map(|member| member["value"].clone()).collect();
        let users = self.users().await;
        users.iter().filter(|user| ids.contains(&user["id"])).map(|user| user["userName"].as_str().expect("a name").to_owned()).collect()
    }

    /// The users with this login, in any case.
    pub(crate) async fn users_named(&self, login: &str) -> Vec<Value> {
        let is = |user: &Value| user["userName"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(login));
        self.users().await.into_iter().filter(is).collect()
    }

    /// Makes a user as somebody before the gateway would have.
    pub(crate) async fn add_user(&self, user: &Value) -> Value {
        self.ask("POST", "/v2/Users", Some(user.to_string())).await
    }

    /// One call of its API, by the administrator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<String>) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let token = format!("Bearer {}", Self::TOKEN);
        let reply = Person::new().send(method, &url, &[("authorization", &token), ("content-type", "application/scim+json")], body).await;
        assert!(reply.status < 300, "scim2-server refuses the test's own call {method} {path}: {} {}", reply.status, reply.body);
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }
}

/// SimpleSAMLphp as a SAML identity provider, under PHP's own web server.
#[derive(Debug)]
pub(crate) struct SimpleSaml {
    _process: Part,
    port: u16,
}

impl SimpleSaml {
    /// Starts it. People have their name as password.
    pub(crate) async fn start(site: &Site) -> Self {
        const CODE: &str = "/usr/share/simplesamlphp/www";
        assert!(
            std::path::Path::new(CODE).exists(),
            "{CODE} is missing: the real parts are not installed. Run `make setup-lab` first (`make test` does)"
        );
        let port = free_port();
        let folder = site.folder().join("simplesamlphp");
        fs::create_dir_all(folder.join("tmp")).expect("the test's folder takes folders");
        let mut php = Command::new("php");
        php.args(["-d", "display_errors=0", "-S", &format!("127.0.0.1:{port}"), "-t", CODE]);
        php.env("SIMPLESAMLPHP_CONFIG_DIR", repository().join("tests/real/simplesamlphp/config")).env("PHP_CLI_SERVER_WORKERS", "2");
        php.env("PORT", port.to_string()).env("FOLDER", &folder).env("CERTS", repository().join("certs")).env("AUTH", site.url("auth", ""));
        let mut process = Part::start("simplesamlphp", &php, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/saml2/idp/metadata.php")).await).await;
        Self { _process: process, port }
    }

    /// The `[[idp]]` section of one of its ways to sign.
    pub(crate) fn idp(&self, way: &str) -> String {
        let certs = repository().join("certs");
        let (port, certs) = (self.port, certs.display());
        format!(
            r#"
[[idp]]
id          = "{way}"
name        = "Partner account"
type        = "saml"
metadata    = "http://127.0.0.1:{port}/saml2/idp/metadata.php"
entity_id   = "urn:test:{way}"
cert        = "{certs}/saml-sp.pem"
key         = "file:{certs}/saml-sp.key"
trust_email = true
[idp.attributes]
email       = "mail"
given_name  = "givenName"
family_name = "sn"
groups      = "groups"
"#
        )
    }
}

/// Redmine, as Debian packages it, with a copy of the database that its installation makes.
#[derive(Debug)]
pub(crate) struct Redmine {
    _process: Part,
    /// Where it listens.
    pub(crate) port: u16,
    database: std::path::PathBuf,
}

impl Redmine {
    /// The administrator's key for its REST API.
    pub(crate) const KEY: &'static str = "7e57000017e57000027e57000037e57000047e57";

    /// Starts it, with nobody in it but its administrator.
    pub(crate) async fn start(site: &Site) -> Self {
        let database = site.folder().join("redmine.sqlite");
        fs::copy(lab("redmine.sqlite"), &database).expect("a copy of the database");
        let seed = "import sqlite3, sys\n\
                    db = sqlite3.connect(sys.argv[1])\n\
                    for name in ('rest_api_enabled', 'login_required'):\n\
                    \x20   db.execute('delete from settings where name = ?', (name,))\n\
                    \x20   db.execute('insert into settings (name, value, updated_on) values (?, ?, datetime())', (name, '1'))\n\
                    db.execute('update users set must_change_passwd = 0')\n\
                    admin = db.execute('select id from users where login = ?', ('admin',)).fetchone()[0]\n\
                    db.execute('insert into tokens (user_id, action, value, created_on, updated_on) values (?, ?, ?, datetime(), datetime())', (admin, 'api', sys.argv[2]))\n\
                    db.commit()\n";
        let seeded = Command::new("python3").args(["-c", seed]).arg(&database).arg(Self::KEY).status().expect("python3 runs");
        assert!(seeded.success(), "the database takes settings and a key");
        let port = free_port();
        let mut puma = Command::new("puma");
        puma.args(["--environment", "production", "--bind", &format!("tcp://127.0.0.1:{port}"), "--threads", "1:3", "--dir", "/usr/share/redmine"]);
        puma.arg("/usr/share/redmine/config.ru");
        puma.env("DATABASE_URL", format!("sqlite3:{}", database.display())).env("REDMINE_INSTANCE", "default").env("RAILS_ENV", "production");
        puma.env("RAILS_LOG_TO_STDOUT", "1");
        let mut process = Part::start("redmine", &puma, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/login")).await).await;
        Self { _process: process, port, database }
    }

    /// Ends everybody's sessions in it, as an administrator's housekeeping would.
    pub(crate) fn end_sessions(&self, login: &str) {
        let end = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], timeout=20)\n\
                   db.execute(\"delete from tokens where action = 'session' and user_id = (select id from users where login = ?)\", (sys.argv[2],))\ndb.commit()";
        let done = Command::new("python3").args(["-c", end]).arg(&self.database).arg(login).status().expect("python3 runs");
        assert!(done.success(), "the sessions of {login} end");
    }

    /// What Redmine keeps of somebody's password: another value after every change, of the same password too.
    pub(crate) fn password_mark(&self, login: &str) -> String {
        let look = "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute('select salt || hashed_password from users where login = ?', (sys.argv[2],)).fetchone()[0])";
        let found = Command::new("python3").args(["-c", look]).arg(&self.database).arg(login).output().expect("python3 runs");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).expect("hexadecimal")
    }

    /// What an administrator does to somebody's password.
    pub(crate) async fn set_password(&self, login: &str, password: &str) {
        let key = [("x-redmine-api-key", Self::KEY), ("content-type", "application/json")];
        let found = Person::new().send("GET", &format!("http://127.0.0.1:{}/users.json?name={login}", self.port), &key, None).await.json();
        let url = format!("http://127.0.0.1:{}/users/{}.json", self.port, found["users"][0]["id"]);
        let body = json!({ "user": { "password": password } }).to_string();
        assert_eq!(Person::new().send("PUT", &url, &key, Some(body)).await.status, 204);
    }
}
