//! The demo: a provider that believes whoever clicks, two legacy apps with admin APIs, and the story that ties them together.
//!
//! Lives here: [`Persona`]s, [`DemoServers`] (provider and apps on loopback), [`write_files`] (policies, secrets and the gateway's configuration
//! in a folder of its own), and in `check.rs` the story told by a headless browser. Apart from the gateway on purpose: nothing here
//! calls it but over HTTP, so that the demo shows what it would show with somebody else's provider and apps. Plain HTTP on
//! loopback only; never part of `serve`.

pub mod app;
mod browser;
pub mod check;
mod files;
mod http;
mod look;
pub mod provider;
mod redmine;
mod scim;
mod table;
#[cfg(test)]
mod tests;
mod token;
mod websocket;

pub use files::{DemoFiles, write_files};
pub use http::ClientError;

use crate::clock::Clock;
use crate::entropy::Entropy;
use app::{App, Flavour};
use provider::{Client, Provider, ProviderError};
use serde_json::{Map, Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Somebody to sign in as.
#[derive(Debug)]
pub struct Persona {
    /// Short name, in addresses.
    pub id: &'static str,
    /// `sub`.
    pub subject: &'static str,
    /// Full name.
    pub title: &'static str,
    /// `given_name`.
    pub given: &'static str,
    /// `family_name`, where there is one.
    pub family: Option<&'static str>,
    /// `email`, verified.
    pub email: &'static str,
    /// `groups`.
    pub groups: &'static [&'static str],
    /// What to expect, in a few words.
    pub story: &'static str,
}

impl Persona {
    /// What ID token and userinfo say, without the protocol's own claims.
    pub fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), self.subject.into());
        claims.insert("name".to_owned(), self.title.into());
        claims.insert("given_name".to_owned(), self.given.into());
        if let Some(family) = self.family {
            claims.insert("family_name".to_owned(), family.into());
        }
        claims.insert("preferred_username".to_owned(), self.id.into());
        claims.insert("email".to_owned(), self.email.into());
        claims.insert("email_verified".to_owned(), true.into());
        claims.insert("groups".to_owned(), json!(self.groups));
        claims
    }
}

/// Everybody one can be.
pub static PERSONAS: [Persona; 4] = [
    Persona {
        id: "ada",
        subject: "a1b2-ada",
        title: "Ada Lovelace",
        given: "Ada",
        family: Some("Lovelace"),
        email: "ada@example.com",
        groups: &["staff"],
        story: "New, in staff: an account is created while you wait.",
    },
    Persona {
        id: "bob",
        subject: "c3d4-bob",
        title: "Bob Old",
        given: "Bob",
        family: Some("Old"),
        email: "bob@example.com",
        groups: &["staff"],
        story: "In staff, with an old account in the Wiki: it is adopted.",
    },
    Persona {
        id: "con",
        subject: "e5f6-con",
        title: "Con Tractor",
        given: "Con",
        family: Some("Tractor"),
        email: "con@vendor.example",
        groups: &["contractors"],
        story: "Contractor: no access to the Wiki, and the page says whom to ask.",
    },
    Persona {
        id: "cher",
        subject: "g7h8-cher",
        title: "Cher",
        given: "Cher",
        family: None,
        email: "cher@example.com",
        groups: &["staff"],
        story: "In staff, no family name: refused before anything is created.",
    },
];

/// Where the demo's own servers listen; 0 lets the system choose. The gateway's port is needed to tell provider and apps about it.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The gateway, on 127.0.0.1; fixed before anything starts.
    pub gateway: u16,
    /// The provider.
    pub idp: u16,
    /// The wiki.
    pub wiki: u16,
    /// The ticket app.
    pub tickets: u16,
}

impl Ports {
    /// What the gateway's auth host is called: `http://auth.localhost:8080`.
    pub fn auth_origin(self) -> String {
        format!("http://{AUTH_HOST}:{}", self.gateway)
    }
}

/// Host of sign-in.
pub const AUTH_HOST: &str = "auth.localhost";
/// Host of the wiki.
pub const WIKI_HOST: &str = "wiki.localhost";
/// Host of the ticket app.
pub const TICKETS_HOST: &str = "tickets.localhost";

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port is taken, or may not be used.
    #[error("cannot listen on 127.0.0.1:{0}: {1}")]
    Listen(u16, io::Error),
    /// The provider has no key.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A folder or file could not be written.
    #[error("{0}: {1}")]
    File(std::path::PathBuf, io::Error),
    /// An address made no sense.
    #[error("{0}")]
    Address(#[from] url::ParseError),
}

/// Secrets of one run, known to the servers and written for the gateway.
struct Secrets {
    client: String,
    wiki: String,
    tickets: String,
    state: String,
}

/// Provider and apps, running until this is dropped.
pub struct DemoServers {
    /// Where the provider listens. Its issuer is `http://127.0.0.1:PORT`: a name under `.localhost` would not resolve outside browsers.
    pub idp_addr: SocketAddr,
    /// Where the wiki listens.
    pub wiki_addr: SocketAddr,
    /// Where the ticket app listens.
    pub tickets_addr: SocketAddr,
    ports: Ports,
    secrets: Secrets,
    _tasks: JoinSet<()>,
}

/// Starts provider and apps on 127.0.0.1. `ports.gateway` must be the port the gateway will have. `slow_tickets`: creating a
/// ticket account takes three seconds.
///
/// # Errors
/// [`DemoError::Listen`]: a port is taken. [`DemoError::Provider`]: no key.
pub async fn start(ports: Ports, slow_tickets: bool, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<DemoServers, DemoError> {
    let (idp, idp_addr) = listen(ports.idp).await?;
    let (wiki, wiki_addr) = listen(ports.wiki).await?;
    let (tickets, tickets_addr) = listen(ports.tickets).await?;
    let secrets = Secrets { client: entropy.token(), wiki: entropy.token(), tickets: entropy.token(), state: entropy.token() };
    let auth_origin = ports.auth_origin();
    let client = Client {
        id: CLIENT_ID.to_owned(),
        secret: secrets.client.clone(),
        redirect_uris: vec![format!("{auth_origin}/.vestibule/callback")],
        logout_origins: vec![auth_origin.clone()],
    };
    let provider = Provider::new(&format!("http://{idp_addr}"), client, &PERSONAS, Arc::clone(&clock), entropy)?;
    let jwks = url::Url::parse(&format!("{auth_origin}/.vestibule/jwks"))?;
    let wiki_app =
        app::Settings { title: "Wiki", flavour: Flavour::Scim, admin_token: secrets.wiki.clone(), jwks: jwks.clone(), audience: "wiki", slow: false };
    let tickets_app = app::Settings {
        title: "Tickets",
        flavour: Flavour::Redmine,
        admin_token: secrets.tickets.clone(),
        jwks,
        audience: "tickets",
        slow: slow_tickets,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(http::serve(idp, Arc::new(provider)));
    tasks.spawn(http::serve(wiki, Arc::new(App::new(wiki_app, Arc::clone(&clock)))));
    tasks.spawn(http::serve(tickets, Arc::new(App::new(tickets_app, clock))));
    Ok(DemoServers { idp_addr, wiki_addr, tickets_addr, ports, secrets, _tasks: tasks })
}

/// `client_id` of the gateway at the provider.
const CLIENT_ID: &str = "vestibule-demo";

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), DemoError> {
    let bind = async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    bind.await.map_err(|problem| DemoError::Listen(port, problem))
}

impl DemoServers {
    /// What to print: the addresses and the personas.
    pub fn welcome(&self) -> String {
        let gateway = self.ports.gateway;
        let mut text = format!(
            "vestibule demo: everything below runs inside this one process and disappears with Ctrl-C.\n\n  \
             Wiki      http://{WIKI_HOST}:{gateway}      a legacy app that only knows a header and an admin API (SCIM)\n  \
             Tickets   http://{TICKETS_HOST}:{gateway}   own REST steps, takes 3 s to create an account\n  \
             Provider  http://{}      signs people in\n\nOpen the Wiki and pick a person:\n",
            self.idp_addr
        );
        for persona in &PERSONAS {
            text.extend([&format!("  {:<6} ", persona.given), persona.story, "\n"]);
        }
        text + &format!(
            "Then: the same person in Tickets, without a second sign-in.   Break the app: http://{WIKI_HOST}:{gateway}/_demo/\n\
             No browser that knows *.localhost?   curl -H 'Host: {WIKI_HOST}:{gateway}' http://127.0.0.1:{gateway}/\n"
        )
    }
}

impl std::fmt::Debug for DemoServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoServers")
            .field("idp", &self.idp_addr)
            .field("wiki", &self.wiki_addr)
            .field("tickets", &self.tickets_addr)
            .finish_non_exhaustive()
    }
}
