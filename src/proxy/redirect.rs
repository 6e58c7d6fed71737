//! Plain HTTP, which only redirects.

use crate::request::Routes;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Answers every request for a host that is ours with 308 to https, and everything else with 404; reads no body, sets no cookie.
///
/// # Errors
/// The operating system's, when the listener cannot be used.
pub async fn run(
    listener: std::net::TcpListener,
    routes: Arc<ArcSwap<Routes>>,
    public_port: u16,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let (tcp, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely (D8): let some close instead of spinning.
                tracing::warn!(%error, edge = "redirects", "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let routes = Arc::clone(&routes);
        drop(tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = redirect(&request, &routes.load(), public_port);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).keep_alive(false);
            if let Err(error) = http.serve_connection(TokioIo::new(tcp), service).await {
                tracing::debug!(%error, "redirect connection closed");
            }
        }));
    }
}

fn redirect<B>(request: &Request<B>, routes: &Routes, public_port: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let authority = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default().to_ascii_lowercase();
    // Only hosts of ours: a redirect to whatever `Host` says would be an open one.
    if !routes.knows(&host) {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let port = if public_port == 443 { String::new() } else { format!(":{public_port}") };
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    match HeaderValue::from_str(&format!("https://{host}{port}{path}")) {
        Ok(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

#[cfg(test)]
mod tests {
    use super::redirect;
    use crate::request::Routes;
    use http::{Request, header};

    #[test]
    fn t8_plain_http_redirects_to_our_own_hosts_and_nowhere_else() {
        let routes = Routes::new("auth.example.com", &[], ["down.example.com".to_owned()], Vec::new());
        let check = |host: &str, path: &str, port: u16, expected: Option<&str>| {
            let request = Request::builder().uri(path).header("host", host).body(()).expect("request");
            let response = redirect(&request, &routes, port);
            let location = response.headers().get(header::LOCATION).map(|to| to.to_str().expect("ascii").to_owned());
            assert_eq!(location.as_deref(), expected, "{host}{path}");
        };
        check("evil.example", "/", 443, None);
        check("", "/", 443, None);
        check("auth.example.com.evil.example", "/", 443, None);
        check("AUTH.example.com:80", "/a?b=c", 443, Some("https://auth.example.com/a?b=c"));
        check("down.example.com", "/", 8443, Some("https://down.example.com:8443/"));
    }
}
