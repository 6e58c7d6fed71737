//! Apache Superset with SQLite: its process, and its own API to ask what stands there.

use super::{Part, Person, RealApp, Reply, Seen, Site, free_port, lab, repository};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Superset, which reads `X-Remote-User` at `/login/` and keeps a session of its own ever after.
#[derive(Debug)]
pub(crate) struct Superset {
    _process: Part,
    /// Where it listens.
    pub(crate) port: u16,
    token: String,
}

impl Superset {
    /// The administrator of its API.
    pub(crate) const ADMIN: (&'static str, &'static str) = ("labadmin", "test-only-password-of-the-gateway");

    /// Starts it, with its administrator, on a copy of the database that `make setup-lab` prepared.
    pub(crate) async fn start(site: &Site) -> Self {
        let port = free_port();
        let folder = site.folder().join("superset");
        fs::create_dir(&folder).expect("the test's folder takes folders");
        fs::copy(lab("superset-database/superset.db"), folder.join("superset.db")).expect("a copy of the database");
        let mut app = Command::new(lab("superset/bin/gunicorn"));
        app.args(["--workers", "1", "--worker-class", "gthread", "--threads", "4", "--timeout", "120"]);
        app.args(["--bind", &format!("127.0.0.1:{port}"), "superset.app:create_app()"]);
        app.env("FOLDER", &folder).env("SUPERSET_CONFIG_PATH", repository().join("tests/real/superset_config.py"));
        app.env("FLASK_APP", "superset").env("PYTHONWARNINGS", "ignore");
        let mut process = Part::start("superset", &app, site.folder());
        process.ready(async |_| Person::new().gets(200, &format!("http://127.0.0.1:{port}/health")).await).await;
        let (name, password) = Self::ADMIN;
        let mut app = Self { _process: process, port, token: String::new() };
        let login = json!({ "username": name, "password": password, "provider": "db", "refresh": false });
        let signed_in = app.ask("POST", "/login", Some(login)).await.json();
        signed_in["access_token"].as_str().expect("a token").clone_into(&mut app.token);
        app
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let url = format!("http://127.0.0.1:{}/api/v1/security{path}", self.port);
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("content-type", "application/json")];
        if !self.token.is_empty() {
            headers.push(("authorization", &bearer));
        }
        Person::new().send(method, &url, &headers, body.map(|body| body.to_string())).await
    }

    /// The account called exactly so.
    pub(crate) async fn user(&self, login: &str) -> Option<Value> {
        let users = self.ask("GET", "/users/?q=(page_size:100)", None).await.json();
        users["result"].as_array().expect("a list").iter().find(|user| user["username"] == login).cloned()
    }

    /// Switches an account on or off, as an administrator of Superset's own would.
    pub(crate) async fn switch(&self, login: &str, active: bool) {
        let id = self.user(login).await.expect("it is there")["id"].clone();
        let done = self.ask("PUT", &format!("/users/{id}"), Some(json!({ "active": active }))).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
}

impl RealApp for Superset {
    fn port(&self) -> u16 {
        self.port
    }

    async fn show(&self, login: &str) -> Option<Seen> {
        let user = self.user(login).await?;
        let roles = user["roles"].as_array().expect("a list");
        let mut groups: Vec<String> = roles.iter().filter_map(|role| role["name"].as_str().map(str::to_owned)).collect();
        groups.sort();
        Some(Seen { active: user["active"] == true, groups })
    }

    async fn everybody(&self) -> Vec<String> {
        let users = self.ask("GET", "/users/?q=(page_size:100)", None).await.json();
        let mut out: Vec<String> =
            users["result"].as_array().expect("a list").iter().map(|user| user["username"].as_str().expect("a name").to_owned()).collect();
        out.sort();
        out
    }

    async fn add(&self, login: &str) {
        // 2: Public, by the order in which Superset makes its roles.
        let user = json!({ "username": login, "first_name": "By", "last_name": "Hand", "email": format!("{login}@elsewhere.example"),
            "active": true, "password": "Set-by-h4nd", "roles": [2] });
        let made = self.ask("POST", "/users/", Some(user)).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }

    async fn remove(&self, login: &str) {
        let id = self.user(login).await.expect("it is there")["id"].clone();
        assert_eq!(self.ask("DELETE", &format!("/users/{id}"), None).await.status, 200);
    }
}
