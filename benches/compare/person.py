"""A browser of a few lines: cookies, redirects, the provider's form. Reaches 127.0.0.1 whatever the host is called; trusts the test CA."""

import html
import http.client
import re
import socket
import ssl
import time
import urllib.parse as urls

from parts import REPOSITORY

TRUST = ssl.create_default_context(cafile=str(REPOSITORY / "certs/ca.pem"))
GONE = re.compile(r"\s*(max-age=0|expires=thu, 01[ -]jan[ -]1970)", re.I)


class Connection(http.client.HTTPConnection):
    """To 127.0.0.1, under another name."""

    def __init__(self, scheme, host, port):
        super().__init__(host, port, timeout=60)
        self.scheme = scheme

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.port), 60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.scheme == "https":
            self.sock = TRUST.wrap_socket(self.sock, server_hostname=self.host)


class Person:
    """One browser profile."""

    def __init__(self):
        self.jar = {}
        self.connections = {}
        self.hops = []

    def request(self, url, form=None):
        """One hop; remembers (host, begun, ended) of it."""
        parts = urls.urlsplit(url)
        key = (parts.scheme, parts.hostname, parts.port)
        if key not in self.connections:
            self.connections[key] = Connection(*key)
            self.connections[key].connect()
        connection = self.connections[key]
        headers = {"Accept": "text/html", "User-Agent": "Mozilla/5.0 (measurement)", "Sec-Fetch-Mode": "navigate"}
        cookies = "; ".join(f"{name}={value}" for (host, name), value in self.jar.items() if host == parts.netloc)
        if cookies:
            headers["Cookie"] = cookies
        body = None
        if form is not None:
            body = urls.urlencode(form)
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{parts.scheme}://{parts.netloc}"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        begun = time.monotonic()
        connection.request("GET" if form is None else "POST", target, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        self.hops.append((parts.hostname, begun, time.monotonic()))
        if answer.will_close:
            connection.close()
            del self.connections[key]
        for line in answer.headers.get_all("Set-Cookie") or []:
            pair, *attributes = line.split(";")
            name, value = pair.split("=", 1)
            if any(GONE.match(attribute) for attribute in attributes):
                self.jar.pop((parts.netloc, name), None)
            else:
                self.jar[(parts.netloc, name)] = value
        return answer, text

    def sign_in(self, url, who):
        """Opens `url`, signs in where asked, and returns the page it ends at."""
        form = None
        for _ in range(30):
            answer, text = self.request(url, form)
            form = None
            refresh = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', text)
            if answer.status in (301, 302, 303, 307):
                url = urls.urljoin(url, answer.headers["Location"])
            elif "/interaction/" in url and 'name="login"' in text:
                url = urls.urljoin(url, html.unescape(re.search(r'<form[^>]* action="([^"]+)"', text).group(1)))
                form = {"prompt": "login", "login": who, "password": "any"}
            elif refresh:
                url = urls.urljoin(url, html.unescape(refresh.group(1)))
            elif answer.status == 200:
                return text
            else:
                raise SystemExit(f"sign-in ended at {url} with {answer.status}:\n{text[:1500]}")
        raise SystemExit(f"sign-in goes round in circles at {url}")

    def cookies(self, netloc):
        """The Cookie header for a host and port."""
        return "; ".join(f"{name}={value}" for (host, name), value in self.jar.items() if host == netloc)

    def leave(self):
        for connection in self.connections.values():
            connection.close()
