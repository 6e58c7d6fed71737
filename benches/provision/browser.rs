//! A browser that notes when it waited: blocking, HTTP/1.1, one connection a host, cookies by host.

use crate::servers::Provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// A stream of either kind.
trait Io: Read + Write + Send {}
impl<T: Read + Write + Send> Io for T {}

/// A wait for the gateway: from before the connection, where one had to be made, to the last byte of the answer.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Host and path.
    pub place: String,
    pub begun: Instant,
    pub ended: Instant,
}

/// Somebody's browser.
pub struct Browser {
    at: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    jars: HashMap<String, BTreeMap<String, String>>,
    wires: HashMap<String, Box<dyn Io>>,
    pub hops: Vec<Hop>,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Browser {
    /// Takes every host to be at `at`.
    pub fn new(at: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { at, tls, jars: HashMap::new(), wires: HashMap::new(), hops: Vec::new() }
    }

    /// Opens `url` as person `number`, who signs in when asked; the text of the page it ends at.
    pub fn open(&mut self, url: &str, number: usize, provider: &Provider, callback: &str) -> String {
        let issuer = provider.issuer();
        let mut url: Url = url.parse().unwrap();
        for _ in 0..20 {
            let answer = self.get(&url);
            match (answer.status, answer.location) {
                (200, _) => return answer.body,
                (303, Some(location)) => url = url.join(&location).unwrap(),
                (status, _) => panic!("{url}: {status}\n{}", answer.body),
            }
            if url.as_str().starts_with(&issuer) {
                let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
                let code = provider.code(number, &asked["nonce"]);
                url = Url::parse_with_params(callback, [("code", code), ("state", asked["state"].clone())]).unwrap();
            }
        }
        panic!("in circles, last to {url}");
    }

    fn get(&mut self, url: &Url) -> Answer {
        let host = url.host_str().unwrap();
        let begun = Instant::now();
        if !self.wires.contains_key(host) {
            let wire = self.connect(host);
            drop(self.wires.insert(host.to_owned(), wire));
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let jar = self.jars.get(host).into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let cookies = if jar.is_empty() { String::new() } else { format!("Cookie: {}\r\n", jar.join("; ")) };
        let request = format!(
            "GET {}{query} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (measurement)\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n{cookies}\r\n",
            url.path()
        );
        let wire = self.wires.get_mut(host).unwrap();
        wire.write_all(request.as_bytes()).unwrap();
        wire.flush().unwrap();
        let (head, body) = read(wire.as_mut());
        self.hops.push(Hop { place: format!("{host}{}", url.path()), begun, ended: Instant::now() });
        let mut answer = Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), location: None, body };
        for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("location") {
                answer.location = Some(value.to_owned());
            }
            if name.eq_ignore_ascii_case("set-cookie") {
                let (pair, attributes) = value.split_once(';').unwrap_or((value, ""));
                let (name, value) = pair.split_once('=').unwrap();
                let jar = self.jars.entry(host.to_owned()).or_default();
                drop(if attributes.contains("Max-Age=0") { jar.remove(name) } else { jar.insert(name.to_owned(), value.to_owned()) });
            }
        }
        answer
    }

    fn connect(&self, host: &str) -> Box<dyn Io> {
        let tcp = TcpStream::connect(self.at).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        match &self.tls {
            None => Box::new(tcp),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).unwrap();
                Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(tls), name).unwrap(), tcp))
            }
        }
    }
}

/// Head and body of the next answer, which says how long it is or comes in chunks.
fn read(wire: &mut dyn Io) -> (String, String) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16 * 1024]);
    let mut more = |bytes: &mut Vec<u8>| {
        let read = wire.read(&mut chunk).unwrap();
        assert!(read > 0, "the connection ends early: {:?}", String::from_utf8_lossy(bytes));
        bytes.extend_from_slice(&chunk[..read]);
    };
    let end = loop {
        match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None => more(&mut bytes),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|length| length.parse::<usize>().unwrap());
    match length {
        Some(length) => {
            while bytes.len() < end + length {
                more(&mut bytes);
            }
        }
        // Nothing else that is read here has bytes of that kind in it.
        None if lower.contains("transfer-encoding: chunked") => {
            while !bytes[end..].ends_with(b"0\r\n\r\n") {
                more(&mut bytes);
            }
        }
        None => {}
    }
    (head, String::from_utf8_lossy(&bytes[end..]).into_owned())
}
