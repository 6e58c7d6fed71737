//! The demo's story, told by a headless browser: `vestibule demo --check`.
//!
//! It knows addresses and nothing else: it speaks HTTP to the gateway, and to the apps' `/_demo/state` to see what really happened there.

#![expect(clippy::indexing_slicing, reason = "JSON values only: a key that is not there reads as null, and is added when written to an object")]

use super::browser::{Browser, Page};
use super::http::{ClientError, send};
use super::{DemoServers, TICKETS_HOST, WIKI_HOST};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use url::Url;

/// Where everything is.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Port of the gateway on 127.0.0.1.
    pub gateway: u16,
    /// The wiki, behind the gateway's back.
    pub wiki: SocketAddr,
    /// The ticket app, behind the gateway's back.
    pub tickets: SocketAddr,
}

impl Addresses {
    /// Of running servers.
    pub fn of(servers: &DemoServers) -> Self {
        Self { gateway: servers.ports.gateway, wiki: servers.wiki_addr, tickets: servers.tickets_addr }
    }

    fn wiki(&self, path: &str) -> Result<Url, Failure> {
        Ok(Url::parse(&format!("http://{WIKI_HOST}:{}{path}", self.gateway))?)
    }

    fn tickets(&self, path: &str) -> Result<Url, Failure> {
        Ok(Url::parse(&format!("http://{TICKETS_HOST}:{}{path}", self.gateway))?)
    }
}

/// Why a chapter did not go as told.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Address(#[from] url::ParseError),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Unexpected(String),
}

/// How often Bob presses the button again, a second apart.
const RETRIES_MAX: usize = 15;
/// Requests at once in the story's stampede.
const AT_ONCE: usize = 20;

/// Tells the whole story against a fresh demo; one line a chapter to `out`. Whether every chapter went well.
///
/// # Errors
/// `out`'s.
pub async fn run(at: &Addresses, out: &mut (dyn Write + Send)) -> std::io::Result<bool> {
    let mut story = Story { at: *at, ada: Browser::default(), bob: Browser::default() };
    let mut good = 0;
    let chapters = 10;
    for chapter in 0..chapters {
        let told = match chapter {
            0 => story.ada_is_created().await,
            1 => story.ada_again().await,
            2 => story.second_app_at_once().await,
            3 => story.bob_is_adopted().await,
            4 => story.con_is_refused().await,
            5 => story.cher_is_incomplete().await,
            6 => story.forged_header().await,
            7 => story.failure_and_retry().await,
            8 => story.scripts_get_401().await,
            _ => story.ada_signs_out().await,
        };
        match told {
            Ok(line) => {
                good += 1;
                writeln!(out, "  ok    {line}")?;
            }
            Err(why) => writeln!(out, "  FAIL  {}: {why}", TITLES.get(chapter).unwrap_or(&"story"))?,
        }
    }
    writeln!(out, "{good} of {chapters}")?;
    Ok(good == chapters)
}

const TITLES: [&str; 10] = [
    "Ada signs in",
    "Ada again",
    "twenty first requests at once",
    "Bob is adopted",
    "Con is refused",
    "Cher's sign-in is incomplete",
    "a forged header",
    "failure and retry",
    "scripts",
    "Ada signs out",
];

struct Story {
    at: Addresses,
    ada: Browser,
    bob: Browser,
}

impl Story {
    async fn ada_is_created(&mut self) -> Result<String, Failure> {
        let page = sign_in(&mut self.ada, &self.at.wiki("/welcome?page=1")?, "ada").await?;
        let began = Instant::now();
        let received = self.received_by(&page, true).await?;
        let elapsed = began.elapsed().as_millis();
        expect(page.url.path() == "/welcome" && page.url.query() == Some("page=1"), || format!("landed on {}", page.url))?;
        expect(header(&received, "x-remote-user") == ["ada-lovelace"], || format!("the app was told {received}"))?;
        expect(received["jwt"]["verified"] == true, || format!("the token: {}", received["jwt"]))?;
        let calls = count(&state(self.at.wiki).await?, "POST /scim/v2/Users ");
        expect(calls == 1, || format!("{calls} creates"))?;
        Ok(format!("Ada signs in with OIDC, account created, app sees X-Remote-User: ada-lovelace and a verified JWT ({elapsed} ms a request since)"))
    }

    async fn ada_again(&mut self) -> Result<String, Failure> {
        let before = calls(&state(self.at.wiki).await?);
        let page = self.ada.open(&self.at.wiki("/")?).await?;
        expect(page.status == StatusCode::OK && page.hosts == [WIKI_HOST], || told(&page))?;
        let after = calls(&state(self.at.wiki).await?);
        expect(before == after, || format!("{} admin calls more", after.saturating_sub(before)))?;
        Ok("Ada again: no sign-in, no admin call".to_owned())
    }

    /// The ticket app is slow: all of them wait for one create.
    async fn second_app_at_once(&mut self) -> Result<String, Failure> {
        switch(self.at.tickets, "slow?to=on").await?;
        let home = self.at.tickets("/")?;
        // As far as the app host's own cookie, and not a step further.
        let arrived = self.ada.open_until(&home, |next| next == &home).await?;
        expect(!arrived.hosts.iter().any(|host| host == "127.0.0.1"), || "the provider was asked again".to_owned())?;
        let began = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (mut browser, home) = (self.ada.clone(), home.clone());
            all.spawn(async move { browser.open(&home).await });
        }
        let mut waited = 0;
        while let Some(page) = all.join_next().await {
            let page = page.map_err(|problem| Failure::Unexpected(problem.to_string()))??;
            expect(page.status == StatusCode::OK && page.text.contains("ada-lovelace"), || told(&page))?;
            waited += usize::from(!page.passed.is_empty());
        }
        expect(waited > 0, || "nobody saw the wait page, although the app takes three seconds".to_owned())?;
        let creates = count(&state(self.at.tickets).await?, "POST /users.json ");
        expect(creates == 1, || format!("{creates} times POST /users.json"))?;
        Ok(format!(
            "Ada opens Tickets without a second sign-in; {AT_ONCE} first requests at once: exactly one POST /users ({waited} saw the wait page, {:.1} s)",
            began.elapsed().as_secs_f64()
        ))
    }

    async fn bob_is_adopted(&mut self) -> Result<String, Failure> {
        let before = state(self.at.wiki).await?;
        let page = sign_in(&mut self.bob, &self.at.wiki("/")?, "bob").await?;
        expect(page.status == StatusCode::OK && page.text.contains("made by hand years ago"), || told(&page))?;
        let after = state(self.at.wiki).await?;
        let bob = |state: &Value| account(state, "bob@example.com");
        let same = |key: &str| bob(&before)[key] == bob(&after)[key];
        expect(same("id") && same("login") && same("phone") && same("origin"), || format!("was {}, is {}", bob(&before), bob(&after)))?;
        let accounts = |state: &Value| state["accounts"].as_array().map_or(0, Vec::len);
        expect(accounts(&before) == accounts(&after), || "a second account was made".to_owned())?;
        Ok("Bob is adopted: his old account bobby, no second one, what only the app knows is untouched".to_owned())
    }

    async fn con_is_refused(&mut self) -> Result<String, Failure> {
        let before = calls(&state(self.at.wiki).await?);
        let page = sign_in(&mut Browser::default(), &self.at.wiki("/")?, "con").await?;
        expect(page.status == StatusCode::FORBIDDEN && page.text.contains("it-apps@example.com"), || told(&page))?;
        let code = incident(&page).ok_or_else(|| Failure::Unexpected("the page has no incident code".to_owned()))?;
        expect(before == calls(&state(self.at.wiki).await?), || "the admin API was called".to_owned())?;
        Ok(format!("Con is refused, told whom to ask, incident code {code}"))
    }

    async fn cher_is_incomplete(&mut self) -> Result<String, Failure> {
        let before = calls(&state(self.at.wiki).await?);
        let page = sign_in(&mut Browser::default(), &self.at.wiki("/")?, "cher").await?;
        expect(page.status == StatusCode::FORBIDDEN && page.text.contains("family name"), || told(&page))?;
        expect(before == calls(&state(self.at.wiki).await?), || "the admin API was called".to_owned())?;
        Ok("Cher is refused before anything is created; the page names what is missing: family name".to_owned())
    }

    async fn forged_header(&mut self) -> Result<String, Failure> {
        let forged = [
            ("x-remote-user", "admin"),
            ("x_remote_user", "admin"),
            ("x-vestibule-jwt", "eyJhbGciOiJub25lIn0.e30."),
            ("remote-user", "admin"),
            ("connection", "x-remote-user"),
        ];
        let mut ada = self.ada.with_headers(&forged);
        let answer = ada.fetch(&self.at.wiki("/api/received")?).await?;
        let received: Value = serde_json::from_slice(answer.body())?;
        expect(header(&received, "x-remote-user") == ["ada-lovelace"], || format!("the app was told {received}"))?;
        let mut nobody = Browser::default().with_headers(&forged);
        let public = nobody.fetch(&self.at.wiki("/_demo/headers")?).await?;
        let names = String::from_utf8_lossy(public.body()).to_lowercase();
        expect(public.status() == StatusCode::OK && !answer.body().is_empty(), || format!("{}", public.status()))?;
        for seen in [String::from_utf8_lossy(answer.body()).to_lowercase(), names] {
            expect(!seen.contains("\"admin\"") && !seen.contains("x_remote_user") && !seen.contains("eyjhbgcioijub25lin0"), || {
                format!("the app was told {seen}")
            })?;
        }
        Ok("a forged X-Remote-User never reaches the app, in any spelling, on public paths neither".to_owned())
    }

    async fn failure_and_retry(&mut self) -> Result<String, Failure> {
        switch(self.at.tickets, "fail?to=on").await?;
        switch(self.at.tickets, "slow?to=off").await?;
        let page = self.bob.open(&self.at.tickets("/")?).await;
        let healed = switch(self.at.tickets, "fail?to=off").await;
        let page = page?;
        healed?;
        expect(page.status == StatusCode::SERVICE_UNAVAILABLE, || told(&page))?;
        let code = incident(&page).ok_or_else(|| Failure::Unexpected("the page has no incident code".to_owned()))?;
        let again = page.link("Try again").ok_or_else(|| Failure::Unexpected(format!("no way to try again on: {}", page.heading())))?;
        // A failure that is seconds old is the answer again without a call, so that a crowd pressing the button does not become a load.
        let mut page = self.bob.open(&again).await?;
        for _ in 0..RETRIES_MAX {
            if page.status != StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            page = self.bob.open(&again).await?;
        }
        let state = state(self.at.tickets).await?;
        expect(page.status == StatusCode::OK && page.text.contains("bob-old"), || {
            format!("trying again: {}; admin calls: {}", told(&page), state["calls"])
        })?;
        let accounts = state["accounts"].as_array().into_iter().flatten().filter(|row| row["email"] == "bob@example.com").count();
        expect(accounts == 1, || format!("Bob has {accounts} accounts"))?;
        Ok(format!("app fails: Bob sees the failed page ({code}); Try again succeeds; no duplicate"))
    }

    async fn scripts_get_401(&mut self) -> Result<String, Failure> {
        let answer = Browser::default().fetch(&self.at.wiki("/api/received")?).await?;
        let problem: Value = serde_json::from_slice(answer.body())?;
        expect(answer.status() == StatusCode::UNAUTHORIZED && problem["status"] == 401 && problem["login"].is_string(), || problem.to_string())?;
        Ok("a script without a session gets 401 problem+json, never a redirect".to_owned())
    }

    async fn ada_signs_out(&mut self) -> Result<String, Failure> {
        let stolen = self.ada.clone();
        let asked = self.ada.open(&self.at.wiki("/.vestibule/logout")?).await?;
        if let Some((action, fields)) = asked.form() {
            self.ada.submit(&action, &fields).await?;
        }
        for (mut browser, whose) in [(self.ada.clone(), "Ada's browser"), (stolen, "an old copy of her cookies")] {
            let answer = browser.fetch(&self.at.wiki("/api/received")?).await?;
            expect(answer.status() == StatusCode::UNAUTHORIZED, || format!("{whose} gets {}", answer.status()))?;
        }
        Ok("Ada signs out: her session and any copy of its cookie are dead".to_owned())
    }

    /// What the app got with the signed-in person's next request.
    async fn received_by(&mut self, page: &Page, ok: bool) -> Result<Value, Failure> {
        expect(!ok || page.status == StatusCode::OK, || told(page))?;
        let answer = self.ada.fetch(&self.at.wiki("/api/received")?).await?;
        Ok(serde_json::from_slice(answer.body())?)
    }
}

/// Opens `home`, clicks `persona` at the provider, and goes on to where that ends.
async fn sign_in(browser: &mut Browser, home: &Url, persona: &str) -> Result<Page, Failure> {
    let page = browser.open(home).await?;
    let click = page.link(&format!("as={persona}")).ok_or_else(|| Failure::Unexpected(format!("no provider to click at: {}", told(&page))))?;
    Ok(browser.open(&click).await?)
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Unexpected(otherwise())) }
}

/// A page in a line.
fn told(page: &Page) -> String {
    format!("{} {} ({}, by way of {})", page.status.as_u16(), page.heading(), page.url, page.hosts.join(", "))
}

fn incident(page: &Page) -> Option<&str> {
    let (_, rest) = page.text.split_once("Incident code")?;
    rest.split_once("<code>")?.1.split_once("</code>").map(|(code, _)| code).filter(|code| code.len() == 9)
}

/// Values of a header in what the app received.
fn header<'a>(received: &'a Value, name: &str) -> Vec<&'a str> {
    let all = received["headers"].as_array().into_iter().flatten();
    all.filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str()).collect()
}

async fn state(app: SocketAddr) -> Result<Value, Failure> {
    let url = Url::parse(&format!("http://{app}/_demo/state"))?;
    let answer = send(Method::GET, &url, HeaderMap::new(), Bytes::new()).await?;
    Ok(serde_json::from_slice(answer.body())?)
}

async fn switch(app: SocketAddr, which: &str) -> Result<(), Failure> {
    let url = Url::parse(&format!("http://{app}/_demo/{which}"))?;
    let answer = send(Method::POST, &url, HeaderMap::new(), Bytes::new()).await?;
    expect(answer.status() == StatusCode::SEE_OTHER, || format!("the switch {which} answered {}", answer.status()))
}

fn calls(state: &Value) -> usize {
    state["calls"].as_array().map_or(0, Vec::len)
}

fn count(state: &Value, call: &str) -> usize {
    state["calls"].as_array().into_iter().flatten().filter(|line| line.as_str().is_some_and(|line| line.starts_with(call))).count()
}

fn account(state: &Value, email: &str) -> Value {
    state["accounts"].as_array().into_iter().flatten().find(|row| row["email"] == email).cloned().unwrap_or_default()
}
