//! Apps with an admin API of their own: OctoPrint, InfluxDB, Redmine, Zabbix, Synapse, Radicale.
//!
//! Each runs on a port and in a folder of its test. What stands in them is asked for by their own APIs, never through the gateway.

use super::{PATIENCE, Part, Person, Redmine, Reply, Site, free_port, lab, repository};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// An account as its app shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether its owner may come in.
    pub(crate) active: bool,
    /// What it is a member of, sorted.
    pub(crate) groups: Vec<String>,
}

/// What the journey of `apps.rs` needs of an app.
pub(crate) trait RealApp {
    /// Where its admin API is.
    fn port(&self) -> u16;
    /// The account called exactly so.
    async fn show(&self, login: &str) -> Option<Seen>;
    /// Logins of everybody there is, switched off or not, sorted.
    async fn everybody(&self) -> Vec<String>;
    /// Makes an account as somebody before the gateway would have.
    async fn add(&self, login: &str);
    /// Takes an account away behind the gateway's back.
    async fn remove(&self, login: &str);
}

async fn call(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
    let mut all = headers.to_vec();
    if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/json"));
    }
    Person::new().send(method, url, &all, body.map(Value::to_string)).await
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let mut out: Vec<String> = list.as_array().into_iter().flatten().filter_map(|one| one[key].as_str().map(str::to_owned)).collect();
    out.sort();
    out
}

/// Copies a folder that `make setup-lab` prepared.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success(), "{} cannot be copied", from.display());
}

/// OctoPrint, which believes `X-Remote-User`.
#[derive(Debug)]
pub(crate) struct OctoPrint {
    _process: Part,
    /// Where it listens.
    pub(crate) port: u16,
}

impl OctoPrint {
    /// The key of its API.
    pub(crate) const KEY: &'static str = "0123456789ABCDEF0123456789ABCDEF";

    /// Starts it, with nobody in it.
    pub(crate) async fn start(site: &Site) -> Self {
        let port = free_port();
        let folder = site.folder().join("octoprint");
        fs::create_dir(&folder).expect("the test's folder takes folders");
        let config = format!(
            "api: {{key: {}}}\naccessControl: {{trustRemoteUser: true, remoteUserHeader: X-Remote-User, addRemoteUsers: false}}\n\
             server: {{firstRun: false, seenWizards: {{corewizard: 4}}, onlineCheck: {{enabled: false}}, pluginBlacklist: {{enabled: false}}}}\n\
             plugins: {{_disabled: [softwareupdate, announcements, pluginmanager, tracking, discovery, errortracking, firmware_check, file_check, health_check, achievements]}}\n",
            Self::KEY
        );
        fs::write(folder.join("config.yaml"), config).expect("the test's folder takes files");
        let mut app = Command::new(lab("octoprint/bin/octoprint"));
        app.args(["serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", &port.to_string(), "--basedir"]).arg(&folder);
        let mut process = Part::start("octoprint", &app, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/api/currentuser")).await).await;
        Self { _process: process, port }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        call(method, &format!("http://127.0.0.1:{}/api/access{path}", self.port), &[("x-api-key", Self::KEY)], body.as_ref()).await
    }
}

impl RealApp for OctoPrint {
    fn port(&self) -> u16 {
        self.port
    }

    async fn show(&self, login: &str) -> Option<Seen> {
        let users = self.ask("GET", "/users", None).await.json();
        let user = users["users"].as_array().expect("a list").iter().find(|user| user["name"] == login)?.clone();
        let mut groups: Vec<String> = user["groups"].as_array().expect("a list").iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        groups.sort();
        Some(Seen { active: user["active"] == true, groups })
    }

    async fn everybody(&self) -> Vec<String> {
        names(&self.ask("GET", "/users", None).await.json()["users"], "name")
    }

    async fn add(&self, login: &str) {
        let made = self.ask("POST", "/users", Some(json!({ "name": login, "password": "set by hand", "active": true }))).await;
        assert_eq!(made.status, 200, "{}", made.body);
    }

    async fn remove(&self, login: &str) {
        assert_eq!(self.ask("DELETE", &format!("/users/{login}"), None).await.status, 200);
    }
}

/// InfluxDB 1.x. Nobody can be switched off there: whoever has no privilege is.
#[derive(Debug)]
pub(crate) struct InfluxDb {
    _process: Part,
    port: u16,
}

impl InfluxDb {
    /// The administrator.
    pub(crate) const ADMIN: (&'static str, &'static str) = ("labadmin", "test-only-password-of-the-gateway");
    /// The secret under which it believes tokens.
    pub(crate) const SHARED_SECRET: &'static str = "test-only-secret-of-influxdb-and-the-gateway";

    /// Starts it, with two databases.
    pub(crate) async fn start(site: &Site) -> Self {
        let (port, inner) = (free_port(), free_port());
        let folder = site.folder().join("influxdb");
        fs::create_dir(&folder).expect("the test's folder takes folders");
        let at = folder.display();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{inner}\"\n[meta]\n  dir = \"{at}/meta\"\n[data]\n  dir = \"{at}/data\"\n  wal-dir = \"{at}/wal\"\n\
             [http]\n  bind-address = \"127.0.0.1:{port}\"\n  auth-enabled = true\n  shared-secret = \"{secret}\"\n",
            secret = Self::SHARED_SECRET,
        );
        fs::write(folder.join("influxdb.conf"), config).expect("the test's folder takes files");
        let mut app = Command::new(lab("debian/usr/bin/influxd"));
        app.arg("-config").arg(folder.join("influxdb.conf"));
        let mut process = Part::start("influxdb", &app, site.folder());
        process.ready(async |_| Person::new().gets(204, &format!("http://127.0.0.1:{port}/ping")).await).await;
        let app = Self { _process: process, port };
        let (name, password) = Self::ADMIN;
        app.ask(&format!("CREATE USER {name} WITH PASSWORD '{password}' WITH ALL PRIVILEGES")).await;
        app.ask("CREATE DATABASE basics").await;
        app.ask("CREATE DATABASE extras").await;
        app
    }

    async fn ask(&self, statement: &str) -> Value {
        use base64::Engine as _;
        let (name, password) = Self::ADMIN;
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}")));
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("q", statement).finish();
        let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let reply = Person::new().send("POST", &format!("http://127.0.0.1:{}/query", self.port), &headers, Some(body)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["results"][0].clone()
    }
}

impl RealApp for InfluxDb {
    fn port(&self) -> u16 {
        self.port
    }

    async fn show(&self, login: &str) -> Option<Seen> {
        let users = self.ask("SHOW USERS").await;
        users["series"][0]["values"].as_array().expect("a list").iter().find(|row| row[0] == login)?;
        let grants = self.ask(&format!("SHOW GRANTS FOR \"{login}\"")).await;
        let rows = grants["series"][0]["values"].as_array().cloned().unwrap_or_default();
        let mut groups: Vec<String> =
            rows.iter().filter(|row| row[1] != "NO PRIVILEGES").filter_map(|row| row[0].as_str().map(str::to_owned)).collect();
        groups.sort();
        Some(Seen { active: !groups.is_empty(), groups })
    }

    async fn everybody(&self) -> Vec<String> {
        let users = self.ask("SHOW USERS").await;
        let rows = users["series"][0]["values"].as_array().expect("a list");
        let mut out: Vec<String> = rows.iter().map(|row| row[0].as_str().expect("a name").to_owned()).collect();
        out.sort();
        out
    }

    async fn add(&self, login: &str) {
        let made = self.ask(&format!("CREATE USER \"{login}\" WITH PASSWORD 'set by hand'")).await;
        assert_eq!(made.get("error"), None, "{made}");
    }

    async fn remove(&self, login: &str) {
        let done = self.ask(&format!("DROP USER \"{login}\"")).await;
        assert_eq!(done.get("error"), None, "{done}");
    }
}

/// Redmine (`parts.rs`), asked by its administrator.
async fn redmine(app: &Redmine, method: &str, path: &str, body: Option<Value>) -> Reply {
    call(method, &format!("http://127.0.0.1:{}{path}", app.port), &[("x-redmine-api-key", Redmine::KEY)], body.as_ref()).await
}

async fn redmine_id(app: &Redmine, login: &str) -> Option<u64> {
    let users = redmine(app, "GET", "/users.json?status=&limit=100", None).await.json();
    users["users"].as_array().expect("a list").iter().find(|user| user["login"] == login)?["id"].as_u64()
}

/// Two groups in a fresh Redmine.
pub(crate) async fn redmine_groups(app: &Redmine) {
    for group in ["Basics", "Extras"] {
        let made = redmine(app, "POST", "/groups.json", Some(json!({ "group": { "name": group } }))).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
}

impl RealApp for Redmine {
    fn port(&self) -> u16 {
        self.port
    }

    async fn show(&self, login: &str) -> Option<Seen> {
        let id = redmine_id(self, login).await?;
        let user = redmine(self, "GET", &format!("/users/{id}.json?include=groups"), None).await.json()["user"].clone();
        Some(Seen { active: user["status"] == 1, groups: names(&user["groups"], "name") })
    }

    async fn everybody(&self) -> Vec<String> {
        names(&redmine(self, "GET", "/users.json?status=&limit=100", None).await.json()["users"], "login")
    }

    async fn add(&self, login: &str) {
        let user =
            json!({ "login": login, "firstname": "By", "lastname": "Hand", "mail": format!("{login}@elsewhere.example"), "password": "set by hand" });
        let made = redmine(self, "POST", "/users.json", Some(json!({ "user": user }))).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }

    async fn remove(&self, login: &str) {
        let id = redmine_id(self, login).await.expect("it is there");
        assert!(redmine(self, "DELETE", &format!("/users/{id}.json"), None).await.status < 300);
    }
}

/// Zabbix: its pages and API under PHP's own server, and a PostgreSQL cluster of its own.
#[derive(Debug)]
pub(crate) struct Zabbix {
    _process: Part,
    _database: Part,
    /// Where it listens.
    pub(crate) port: u16,
    session: String,
}

impl Zabbix {
    /// Starts it, with its Super admin, HTTP authentication on.
    pub(crate) async fn start(site: &Site) -> Self {
        let (port, database_port) = (free_port(), free_port());
        let cluster = site.folder().join("zabbix-database");
        copy(&lab("zabbix-database"), &cluster);
        let binaries = fs::read_to_string(lab("postgres")).expect("where PostgreSQL's programs are");
        let mut database = as_nobody_special(&format!("{}/postgres", binaries.trim()), site.folder());
        database.arg("-D").arg(&cluster).args(["-p", &database_port.to_string()]);
        database.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
        let mut database = Part::start("zabbix-database", &database, site.folder());
        database.ready(async |log| log.contains("ready to accept connections")).await;
        let mut app = Command::new("php");
        app.args(["-d", "post_max_size=16M", "-d", "max_execution_time=300", "-d", "max_input_time=300", "-d", "date.timezone=UTC"]);
        app.args(["-S", &format!("127.0.0.1:{port}"), "-t"]).arg(lab("debian/usr/share/zabbix"));
        app.env("ZABBIX_DB_PORT", database_port.to_string());
        let mut process = Part::start("zabbix", &app, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/robots.txt")).await).await;
        let mut app = Self { _process: process, _database: database, port, session: String::new() };
        let session = app.ask("user.login", json!({ "user": "Admin", "password": "zabbix" })).await;
        session.as_str().expect("a session").clone_into(&mut app.session);
        app.ask("authentication.update", json!({ "http_auth_enabled": 1, "http_login_form": 1 })).await;
        for group in ["Basics", "Extras"] {
            app.ask("usergroup.create", json!({ "name": group })).await;
        }
        app
    }

    /// A fresh API token of the Super admin.
    pub(crate) async fn token(&self) -> String {
        let made = self.ask("token.create", json!({ "name": "gateway" })).await;
        let token = self.ask("token.generate", json!([made["tokenids"][0]])).await;
        token[0]["token"].as_str().expect("a token").to_owned()
    }

    /// One call of its API.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        let mut request = json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 });
        if !self.session.is_empty() {
            request["auth"] = json!(self.session);
        }
        let url = format!("http://127.0.0.1:{}/api_jsonrpc.php", self.port);
        let answer = call("POST", &url, &[("content-type", "application/json-rpc")], Some(&request)).await.json();
        assert_eq!(answer.get("error"), None, "{method}: {answer}");
        answer["result"].clone()
    }

    async fn user(&self, login: &str) -> Option<Value> {
        let params =
            json!({ "filter": { "username": [login] }, "output": ["userid"], "selectUsrgrps": ["name", "users_status"], "selectRole": ["name"] });
        self.ask("user.get", params).await.as_array().expect("a list").first().cloned()
    }
}

impl RealApp for Zabbix {
    fn port(&self) -> u16 {
        self.port
    }

    async fn show(&self, login: &str) -> Option<Seen> {
        let user = self.user(login).await?;
        let groups = user["usrgrps"].as_array().expect("a list");
        Some(Seen { active: groups.iter().all(|group| group["users_status"] == "0"), groups: names(&user["usrgrps"], "name") })
    }

    async fn everybody(&self) -> Vec<String> {
        names(&self.ask("user.get", json!({ "output": ["username"] })).await, "username")
    }

    async fn add(&self, login: &str) {
        let user = json!({ "username": login, "passwd": "Set-by-h4nd-once", "roleid": "1", "usrgrps": [{ "usrgrpid": "8" }] });
        self.ask("user.create", user).await;
    }

    async fn remove(&self, login: &str) {
        let user = self.user(login).await.expect("it is there");
        self.ask("user.delete", json!([user["userid"]])).await;
    }
}

/// PostgreSQL does not run as root: then it is the distribution's user for it, to whom its folder is given.
fn as_nobody_special(program: &str, folder: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut open = fs::metadata(folder).expect("the test's folder").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o711);
    fs::set_permissions(folder, open).expect("the test's folder is ours");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", program]);
    command
}

/// Matrix Synapse with SQLite.
#[derive(Debug)]
pub(crate) struct Synapse {
    _process: Part,
    port: u16,
    /// Access token of its administrator.
    pub(crate) token: String,
}

impl Synapse {
    /// The secret under which it takes tokens for its own (`org.matrix.login.jwt`).
    pub(crate) const JWT_SECRET: &'static str = "test-only-secret-of-synapse-and-the-gateway";

    /// Starts it as `lab.test`, with its administrator.
    pub(crate) async fn start(site: &Site) -> Self {
        let port = free_port();
        let folder = site.folder().join("synapse");
        fs::create_dir(&folder).expect("the test's folder takes folders");
        let at = folder.display();
        let config = format!(
            "server_name: lab.test\npid_file: {at}/pid\nreport_stats: false\nregistration_shared_secret: test-only\nmacaroon_secret_key: test-only\nform_secret: test-only\n\
             signing_key_path: {at}/signing.key\nmedia_store_path: {at}/media\nlog_config: {at}/log.yaml\ntrusted_key_servers: []\n\
             database: {{name: sqlite3, args: {{database: {at}/homeserver.db}}}}\n\
             jwt_config: {{enabled: true, secret: {secret}, algorithm: HS256, audiences: [synapse]}}\n\
             rc_login: {{address: {{per_second: 100, burst_count: 100}}, account: {{per_second: 100, burst_count: 100}}}}\n\
             listeners:\n  - {{bind_addresses: [127.0.0.1], port: {port}, type: http, tls: false, resources: [{{names: [client], compress: false}}]}}\n",
            secret = Self::JWT_SECRET,
        );
        fs::write(folder.join("homeserver.yaml"), config).expect("the test's folder takes files");
        fs::write(folder.join("log.yaml"), "version: 1\nroot: {level: WARNING}\n").expect("the test's folder takes files");
        let mut keys = Command::new(lab("synapse/bin/python"));
        keys.args(["-m", "synapse.app.homeserver", "--generate-keys", "--config-path"]).arg(folder.join("homeserver.yaml"));
        assert!(keys.current_dir(&folder).status().expect("Synapse runs").success(), "no keys");
        let mut app = Command::new(lab("synapse/bin/python"));
        app.args(["-m", "synapse.app.homeserver", "--config-path"]).arg(folder.join("homeserver.yaml"));
        let mut process = Part::start("synapse", &app, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/_matrix/client/versions")).await).await;
        let mut register = Command::new(lab("synapse/bin/register_new_matrix_user"));
        register.args(["--user", "labadmin", "--password", "test-only", "--admin", "--config"]).arg(folder.join("homeserver.yaml"));
        register.arg(format!("http://127.0.0.1:{port}"));
        assert!(register.status().expect("Synapse's own tool runs").success(), "no administrator");
        let login = json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "labadmin" }, "password": "test-only" });
        let signed_in = call("POST", &format!("http://127.0.0.1:{port}/_matrix/client/v3/login"), &[], Some(&login)).await.json();
        Self { _process: process, port, token: signed_in["access_token"].as_str().expect("a token").to_owned() }
    }

    /// One call of its admin API, by its administrator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        call(method, &format!("http://127.0.0.1:{}/_synapse/admin{path}", self.port), &[("authorization", &bearer)], body.as_ref()).await
    }
}

impl RealApp for Synapse {
    fn port(&self) -> u16 {
        self.port
    }

    async fn show(&self, login: &str) -> Option<Seen> {
        let user = self.ask("GET", &format!("/v2/users/@{login}:lab.test"), None).await;
        (user.status == 200).then(|| Seen { active: user.json()["locked"] == false && user.json()["deactivated"] == false, groups: Vec::new() })
    }

    async fn everybody(&self) -> Vec<String> {
        // Whoever is deactivated is no longer anybody.
        names(&self.ask("GET", "/v2/users?limit=100&guests=false&locked=true&deactivated=false", None).await.json()["users"], "name")
    }

    async fn add(&self, login: &str) {
        let made = self.ask("PUT", &format!("/v2/users/@{login}:lab.test"), Some(json!({ "displayname": "By Hand" }))).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }

    async fn remove(&self, login: &str) {
        let done = self.ask("POST", &format!("/v1/deactivate/@{login}:lab.test"), Some(json!({ "erase": false }))).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
}

/// Radicale, which believes `X-Remote-User`, with every request.
#[derive(Debug)]
pub(crate) struct Radicale {
    _process: Part,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Radicale {
    /// Starts it, empty.
    pub(crate) async fn start(site: &Site) -> Self {
        let port = free_port();
        let folder = site.folder().join("radicale");
        let config = format!(
            "[server]\nhosts = 127.0.0.1:{port}\n[auth]\ntype = http_x_remote_user\n[rights]\ntype = owner_only\n[storage]\nfilesystem_folder = {}\n",
            folder.display()
        );
        let file = site.folder().join("radicale.conf");
        fs::write(&file, config).expect("the test's folder takes files");
        let mut app = Command::new(lab("synapse/bin/python"));
        app.args(["-m", "radicale", "--config"]).arg(file);
        let mut process = Part::start("radicale", &app, site.folder());
        process.ready(async |_| Person::new().gets(302, &format!("http://127.0.0.1:{port}/")).await).await;
        Self { _process: process, port }
    }
}

/// The TOML of a page of the manual.
pub(crate) fn toml_of_page(page: &str) -> String {
    let text = fs::read_to_string(repository().join("src/manual").join(page)).expect("the page");
    let (_, rest) = text.split_once("```toml\n").expect("a policy on it");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// Asks until the app shows the account so.
#[expect(clippy::future_not_send, reason = "awaited by the test itself, never spawned")]
pub(crate) async fn until_shown(app: &impl RealApp, login: &str, wanted: Option<&Seen>) {
    let begun = std::time::Instant::now();
    let mut last = app.show(login).await;
    while last.as_ref() != wanted {
        assert!(begun.elapsed() < PATIENCE, "{login} was to become {wanted:?} and is {last:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        last = app.show(login).await;
    }
}
