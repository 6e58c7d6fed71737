//! The real binary between a provider, an app and its admin API, which stay when it is killed.

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::fake_op::{CLIENT_ID, CLIENT_SECRET, FakeOp};
use crate::whole::{ADMIN_TOKEN, APP, AUTH, Person, Street, Upstream, cert, within};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;
use url::Url;
use vestibule::clock::{Clock as _, SystemClock};

/// `vestibule serve`, and what is around it.
pub(super) struct Process {
    pub(super) street: Street,
    pub(super) admin: FakeAdmin,
    pub(super) folder: TempDir,
    child: Child,
    pub(super) app: Upstream,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already where the test killed it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Process {
    /// One app, `wiki`, with a SCIM admin API; `sections` go below its `[provision]`.
    pub(super) async fn start(sections: &str) -> Self {
        let (op, app, admin) = (FakeOp::start(SystemClock.now().seconds()).await, Upstream::start().await, FakeAdmin::start(Flavour::Scim).await);
        admin.require(&format!("Bearer {ADMIN_TOKEN}"));
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\nauth_host = \"{AUTH}\"\nworkers = 1\n[tls]\ncert = {:?}\nkey = {:?}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             socket = \"admin.sock\"\n[state]\nurl = \"sqlite:v.db\"\nkey = \"env:STATE_KEY\"\n[audit]\nfile = \"audit.jsonl\"\n\
             [[idp]]\nid = \"corp\"\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"env:CLIENT_SECRET\"\n",
            own_port(),
            cert("vestibule.test.pem").display(),
            format!("file:{}", cert("vestibule.test.key").display()),
            op.issuer,
        );
        fs::write(folder.path().join("vestibule.toml"), config).unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        let policy = format!(
            "host = \"{APP}\"\nupstream = \"http://{}\"\n[access]\ngroups = [\"staff\"]\n[headers]\nX-User = \"{{user.name}}\"\n\
             [user]\nname = \"{{username}}\"\n[roles]\nmap = {{ g-devs = \"devs\", g-ops = \"ops\" }}\npick = \"all\"\n\
             [provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\n{sections}",
            app.at, admin.url
        );
        fs::write(folder.path().join("policies/wiki.toml"), policy).unwrap();
        let (child, at) = boot(folder.path());
        Self { street: Street { at, op }, admin, folder, child, app }
    }

    /// `SIGKILL`, and the same again on the same files.
    pub(super) fn kill_and_start_again(&mut self) {
        self.kill();
        (self.child, self.street.at) = boot(self.folder.path());
    }

    /// `SIGKILL`.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Signs in as `name`, in these groups, with a new browser; the status of the app's front page, or of what comes instead of it.
    pub(super) async fn enters(&self, name: &str, groups: &[&str]) -> u16 {
        self.street.op.set_now(SystemClock.now().seconds());
        self.street.op.set(|script| {
            script.subject = json!(format!("s-{name}"));
            let address = format!("{name}@example.com");
            script.person = json!({ "name": name, "preferred_username": name, "email": address, "email_verified": true, "groups": groups });
        });
        self.enters_as_is().await
    }

    /// As [`Self::enters`], as whoever stands at the provider.
    pub(super) async fn enters_as_is(&self) -> u16 {
        let (mut person, mut url): (Person, Url) = (Person::default(), format!("https://{APP}/").parse().unwrap());
        for _ in 0..40 {
            let answer = self.street.visit(&mut person, &url).await;
            let text = answer.text();
            let again = text.split_once("http-equiv=\"refresh\"").is_some();
            match answer.get("location") {
                Some(location) => url = url.join(&location).unwrap(),
                // A page that waits for an account: the browser asks again.
                None if again => {}
                None => return answer.status(),
            }
            if url.as_str().starts_with(&self.street.op.issuer) {
                let back = self.street.op.sign_in(&url);
                url = format!("https://{AUTH}/.vestibule/callback?{back}").parse().unwrap();
            }
        }
        panic!("round and round: {url}");
    }

    /// A command that asks the gateway; exit code and all that it says.
    pub(super) async fn says(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command.args(words).args(["--config", "vestibule.toml"]).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = within("a command", tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned())
    }

    /// As [`Self::says`], of a command that has to work.
    pub(super) async fn tells(&self, words: &[&str]) -> String {
        let (code, said) = self.says(words).await;
        assert_eq!(code, Some(0), "{words:?}: {said}");
        said
    }

    /// What is recorded of a person, as `users show --json` has it.
    pub(super) async fn shows(&self, person: &str) -> Value {
        let said = self.tells(&["users", "show", "wiki", person, "--json"]).await;
        serde_json::from_str::<Value>(&said).unwrap()[0].clone()
    }

    /// Audit events with this action, in order.
    pub(super) fn audited(&self, action: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default();
        let events = text.split_inclusive('\n').filter_map(|line| serde_json::from_str::<Value>(line.strip_suffix('\n')?).ok());
        events.filter(|event| event["action"] == action).collect()
    }

    /// What the audit log says of a person, for when a test fails.
    pub(super) fn story_of(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains(&format!("s-{name}"))).collect::<Vec<_>>().join("\n")
    }

    /// Names of the groups at the app that this account is in.
    pub(super) fn groups(&self, login: &str) -> Vec<String> {
        let users = self.admin.users();
        let user = users.iter().find(|user| user.login == login).unwrap_or_else(|| panic!("no account {login}"));
        self.admin.groups().into_iter().filter(|group| group.members.contains(&user.id)).map(|group| group.name).collect()
    }

    /// Whether there is an account of this name, and it is off.
    pub(super) fn is_off(admin: &FakeAdmin, login: &str) -> bool {
        admin.users().iter().any(|user| user.login == login && user.disabled)
    }
}

/// A port that the process has again after it was killed, as after any restart: a gateway's leases are known by its address. Below those that are given to whoever asks
/// for any.
fn own_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 600).unwrap() * 20;
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed) % 400).take(400).find(is_free).expect("a free port")
}

fn boot(folder: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["serve", "--config", "vestibule.toml"])
        .current_dir(folder)
        .env("STATE_KEY", "a key for tests that is long enough to be one")
        .env("CLIENT_SECRET", CLIENT_SECRET)
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env_remove("NOTIFY_SOCKET")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let at = loop {
        let line = lines.next().unwrap_or_else(|| panic!("it has ended: {said:?}")).unwrap();
        if let Some((_, at)) = line.split_once(" listens on ") {
            break at.parse().unwrap();
        }
        said.push(line);
    };
    // Somebody has to read what it says later.
    drop(std::thread::spawn(move || lines.for_each(drop)));
    (child, at)
}
