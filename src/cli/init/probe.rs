//! Looking at what answers: is it a provider, and which application is it?

use crate::outbound::{OutboundRequest, OutboundResponse, Transport};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

/// What is looked at.
#[derive(Debug)]
pub(super) enum Probe {
    /// An issuer.
    Provider(String),
    /// An upstream.
    Application(String),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// For the person who answers the questions.
    pub(super) said: String,
    /// The issuer as the provider writes it.
    pub(super) issuer: Option<String>,
    /// The application.
    pub(super) app: Option<&'static App>,
}

/// An application that can be told by what it answers.
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    path: &'static str,
    sign: Sign,
    /// The connector, where the admin API is, and the key of its credential.
    pub(super) connector: Option<(&'static str, &'static str, &'static str)>,
}

#[derive(Debug)]
enum Sign {
    /// The JSON body has this member.
    Member(&'static str),
    /// The answer has this header.
    Header(&'static str),
    /// The body has this text.
    Text(&'static str),
}

/// In the order in which they are tried; `reference/admin-apis.md` has the sources.
const APPS: [App; 7] = [
    App { name: "grafana", title: "Grafana", path: "/api/health", sign: Sign::Member("database"), connector: Some(("grafana", "", "password")) },
    App {
        name: "jupyterhub",
        title: "JupyterHub",
        path: "/hub/api/",
        sign: Sign::Member("version"),
        connector: Some(("jupyterhub", "/hub/api", "token")),
    },
    App { name: "gitea", title: "Gitea", path: "/api/v1/version", sign: Sign::Member("version"), connector: None },
    App { name: "jenkins", title: "Jenkins", path: "/login", sign: Sign::Header("x-jenkins"), connector: None },
    App { name: "redmine", title: "Redmine", path: "/login", sign: Sign::Text("content=\"Redmine\""), connector: Some(("rest", "", "headers")) },
    App {
        name: "scim",
        title: "a SCIM service",
        path: "/scim/v2/ServiceProviderConfig",
        sign: Sign::Member("schemas"),
        connector: Some(("scim", "/scim/v2", "token")),
    },
    App {
        name: "scim",
        title: "a SCIM service",
        path: "/ServiceProviderConfig",
        sign: Sign::Member("schemas"),
        connector: Some(("scim", "", "token")),
    },
];

#[cfg(test)]
pub(super) fn named(name: &str) -> Option<&'static App> {
    APPS.iter().find(|app| app.name == name)
}

/// How long one question to a machine may take.
const TIMEOUT_MS: u64 = 3_000;
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

impl Probe {
    /// Looks; what does not answer is no reason to stop.
    pub(super) async fn look(&self, transport: &dyn Transport) -> Found {
        match self {
            Self::Provider(issuer) => provider(transport, issuer).await,
            Self::Application(upstream) => application(transport, upstream).await,
        }
    }
}

async fn provider(transport: &dyn Transport, issuer: &str) -> Found {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = match get(transport, &address).await {
        Ok(answer) => answer,
        Err(why) => return Found { said: format!("{address}: {why}; `vestibule check --online` will tell when it answers"), ..Found::default() },
    };
    let stated = serde_json::from_slice::<Value>(&answer.body).ok().and_then(|document| Some(document.get("issuer")?.as_str()?.to_owned()));
    match stated {
        // OIDC Discovery 4.3: the issuer is compared exactly, so its own spelling is the one to write.
        Some(stated) if stated.trim_end_matches('/') == issuer.trim_end_matches('/') => {
            Found { said: "it answers: an OpenID Connect provider".to_owned(), issuer: Some(stated), app: None }
        }
        Some(stated) => Found { said: format!("it answers, but calls itself {stated}: that is probably the address to give"), ..Found::default() },
        None => Found { said: format!("{address} is no OpenID Connect discovery document (status {})", answer.status.as_u16()), ..Found::default() },
    }
}

async fn application(transport: &dyn Transport, upstream: &str) -> Found {
    let base = upstream.trim_end_matches('/');
    if let Err(why) = get(transport, &format!("{base}/")).await {
        return Found { said: format!("{upstream}: {why}; `vestibule check --online` will tell when it answers"), ..Found::default() };
    }
    for app in &APPS {
        if let Ok(answer) = get(transport, &format!("{base}{}", app.path)).await
            && app.sign.is_on(&answer)
        {
            return Found { said: format!("it answers: {}", app.title), app: Some(app), issuer: None };
        }
    }
    Found { said: "it answers; what it is cannot be told".to_owned(), ..Found::default() }
}

impl Sign {
    fn is_on(&self, answer: &OutboundResponse) -> bool {
        match self {
            Self::Header(name) => answer.headers.contains_key(*name),
            Self::Member(name) => {
                answer.status.is_success() && serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body.get(name).is_some())
            }
            Self::Text(text) => String::from_utf8_lossy(&answer.body).contains(text),
        }
    }
}

async fn get(transport: &dyn Transport, address: &str) -> Result<OutboundResponse, String> {
    let url = address.parse().map_err(|error| format!("{error}"))?;
    let request = OutboundRequest {
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout_ms: TIMEOUT_MS,
        response_bytes_max: ANSWER_BYTES_MAX,
    };
    transport.send(request).await.map_err(|error| error.to_string())
}
