"""Processes of a measurement: started from the files beside this one, measured by /proc, ended at the end."""

import contextlib
import glob
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
LAB = REPOSITORY / "target/lab"
TICKS = os.sysconf("SC_CLK_TCK")
SECRET = "test-only-client-secret-of-the-gateway"
SCIM_TOKEN = "test-only-bearer-token-of-the-gateway"


def free_port():
    """A port on 127.0.0.1, below the range that outgoing connections use."""
    for port in range(20000 + os.getpid() % 5000 + free_port.used, 32000):
        free_port.used += 1
        with contextlib.closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                with contextlib.suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    return port
    raise SystemExit("no free port on 127.0.0.1")


free_port.used = 0


class Part:
    """A process with a session of its own, and everything it starts."""

    def __init__(self, name, command, folder, ready, env=None):
        self.name = name
        self.log = folder / f"{name}.out"
        with open(self.log, "ab") as out:
            guarded = ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)]
            self.process = subprocess.Popen(
                guarded, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, start_new_session=True, env={**os.environ, **(env or {})}
            )
        until = time.monotonic() + 60
        while not ready(self):
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} did not start:\n{self.text()[-4000:]}")
            time.sleep(0.05)

    def text(self):
        return self.log.read_text(errors="replace")

    def pids(self):
        """It and all it started."""
        parents = {}
        for stat in glob.glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = Path(stat).read_text().rsplit(")", 1)[1].split()
                parents[int(stat.split("/")[2])] = int(fields[1])
        family, more = {self.process.pid}, True
        while more:
            more = {pid for pid, parent in parents.items() if parent in family} - family
            family |= more
        return sorted(family)

    def cpu_s(self):
        """User and system time of all its processes, in seconds."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def pss_kib(self):
        """Proportional set size of all its processes, in KiB."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))
        return total

    def real_time(self):
        """Asks the kernel to let it run before other people's work; needs root."""
        for pid in self.pids():
            for task in glob.glob(f"/proc/{pid}/task/[0-9]*"):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(int(task.rsplit("/", 1)[1]), os.SCHED_RR, os.sched_param(1))

    def stop(self, patience_s=10):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def answers(port):
    """Ready when something listens there."""

    def ready(_part):
        with contextlib.closing(socket.socket()) as probe:
            # A probe that meets a listener at the moment it opens can hang.
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ready


class Plan:
    """The folder, the ports and the rendered files of one run."""

    PORTS = ("BACKEND", "NGINX", "HAPROXY", "APACHE", "VESTIBULE", "ADMIN", "PROVIDER", "SCIM", "PROVIDER_RELAY", "SCIM_RELAY", "APP_RELAY")

    def __init__(self, gateway):
        self.gateway = gateway
        self.folder = LAB / "bench"
        subprocess.run(["rm", "-rf", self.folder], check=True)
        (self.folder / "policies").mkdir(parents=True)
        root = os.getuid() == 0
        self.names = {name: free_port() for name in self.PORTS}
        self.names |= {
            "FOLDER": self.folder,
            "CERTS": REPOSITORY / "certs",
            "SECRET": SECRET,
            "BODY": "a" * 1024,
            "USER": "user root;" if root else "",
            "APACHE_USER": "User www-data\nGroup www-data" if root else "",
            "ISSUER": f"http://127.0.0.1:{self.names['PROVIDER_RELAY']}",
        }
        certificate = [(REPOSITORY / "certs" / f"vestibule.test.{kind}").read_text() for kind in ("pem", "key")]
        (self.folder / "haproxy.pem").write_text("".join(certificate))
        (self.folder / "state-key").write_text("test-only-state-key-of-more-than-32-characters")
        (self.folder / "client-secret").write_text(SECRET)
        (self.folder / "scim-token").write_text(SCIM_TOKEN)
        for name in ("backend.conf", "nginx.conf", "haproxy.cfg", "apache.conf", "vestibule.toml"):
            self.render(name, name)
        self.render("policy.toml", "policies/app.toml")
        self.render("policy-accounts.toml", "policies/accounts.toml")
        if root:
            # Apache's processes run as another user and keep their sockets here.
            os.chown(self.folder, pwd.getpwnam("www-data").pw_uid, -1)

    def __getitem__(self, name):
        return self.names[name]

    def render(self, source, target):
        text = (HERE / source).read_text()
        for name, value in self.names.items():
            text = text.replace(f"@{name}@", str(value))
        (self.folder / target).write_text(text)

    def start(self, name):
        """Starts a part by its name."""
        folder = self.folder
        commands = {
            "backend": (["nginx", "-c", folder / "backend.conf"], self["BACKEND"]),
            "nginx": (["nginx", "-c", folder / "nginx.conf"], self["NGINX"]),
            "haproxy": (["haproxy", "-f", folder / "haproxy.cfg"], self["HAPROXY"]),
            "apache": (["apache2", "-DFOREGROUND", "-f", folder / "apache.conf"], self["APACHE"]),
            "vestibule": ([self.gateway, "serve", "--config", folder / "vestibule.toml"], self["VESTIBULE"]),
            "provider": ([LAB / "node_modules/.bin/node", REPOSITORY / "tests/real/op.mjs", self.provider_options()], self["PROVIDER"]),
            "scim": ([LAB / "venv/bin/scim2-server", "--port", self["SCIM"], "--bearer-token", SCIM_TOKEN], self["SCIM"]),
            "relays": ([sys.executable, HERE / "relays.py", folder / "relays.jsonl", *self.relays()], self["APP_RELAY"]),
        }
        command, port = commands[name]
        return Part(name, command, folder, answers(port))

    def relays(self):
        pairs = (("PROVIDER_RELAY", "PROVIDER"), ("SCIM_RELAY", "SCIM"), ("APP_RELAY", "BACKEND"))
        return [f"{here}:{self[here]}:{self[there]}" for here, there in pairs]

    def provider_options(self):
        person = {"given_name": "Ada", "family_name": "Lovelace", "name": "Ada Lovelace", "email_verified": True, "groups": ["staff"]}
        people = {f"person{n}": person | {"preferred_username": f"person{n}", "email": f"person{n}@example.com"} for n in range(100)}
        return json.dumps(
            {
                "listen": self["PROVIDER"],
                "issuer": self["ISSUER"],
                "clients": [{"id": "corp", "secret": SECRET}, {"id": "apache", "secret": SECRET}],
                "redirect_uris": [
                    f"https://auth.vestibule.test:{self['VESTIBULE']}/.vestibule/callback",
                    f"https://localhost:{self['APACHE']}/oidc/callback",
                ],
                "post_logout_redirect_uris": [],
                "people": people,
            }
        )
