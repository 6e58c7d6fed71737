"""Prints what compare.sh promises. See README beside this file for how each figure is taken."""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import time
from pathlib import Path

from parts import Part, Plan, answers
from person import TRUST, Person

UNITS_US = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}


class Target:
    """What wrk is pointed at: a proxy, a path, and the cookie of a signed-in person where one is needed."""

    def __init__(self, name, part, port, path="/", cookie=""):
        self.name, self.part, self.port, self.path, self.cookie = name, part, port, path, cookie


def wrk(target, options):
    """One round of load; requests, requests/s, p99 in us, and how many answers were bad."""
    before = ["chrt", "-r", "1"] if options.real_time else []
    command = before + ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "--latency", "--timeout", "20s"]
    if target.cookie:
        command += ["-H", f"Cookie: {target.cookie}"]
    told = subprocess.run([*command, f"https://localhost:{target.port}{target.path}"], capture_output=True, text=True, check=True).stdout
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", told).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", told)
    return {
        "requests": int(re.search(r"(\d+) requests in", told).group(1)),
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1)),
        "p99_us": float(p99) * UNITS_US[unit],
        "bad": int(bad.group(1) if bad else 0) + sum(map(int, errors.groups()) if errors else []),
    }


def load(targets, options):
    """Alternating rounds in rotated order."""
    results = {target.name: [] for target in targets}
    for number in range(options.rounds):
        turn = number % len(targets)
        for target in targets[turn:] + targets[:turn]:
            before = target.part.cpu_s()
            figures = wrk(target, options)
            figures["cpu_us"] = (target.part.cpu_s() - before) / max(figures["requests"], 1) * 1e6
            results[target.name].append(figures)
    return results


def ratio(results, name, to, field):
    """Median and quartiles over the rounds of one target's figure to another's in the same round."""
    both = [mine[field] / theirs[field] for mine, theirs in zip(results[name], results[to], strict=True) if theirs[field]]
    if len(both) < 2:
        return (both[0],) * 3 if both else (float("nan"),) * 3
    low, _, high = statistics.quantiles(both, n=4, method="inclusive")
    return statistics.median(both), low, high


def idle(target, count):
    """KiB that a connection costs which has made one request and keeps quiet."""

    def connect():
        raw = socket.create_connection(("127.0.0.1", target.port), 30)
        secured = TRUST.wrap_socket(raw, server_hostname="localhost")
        cookie = f"Cookie: {target.cookie}\r\n" if target.cookie else ""
        secured.sendall(f"GET {target.path} HTTP/1.1\r\nHost: localhost:{target.port}\r\n{cookie}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 1024:
            piece = secured.recv(65536)
            if not piece:
                break
            answer += piece
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{target.name} does not answer with 200: {answer[:300]!r}")
        return secured

    warm = connect()
    base = target.part.pss_kib()
    connections = [connect() for _ in range(count)]
    time.sleep(1)
    grown = target.part.pss_kib()
    for connection in [warm, *connections]:
        connection.close()
    return {"base_mib": base / 1024, "kib_per_connection": (grown - base) / count}


ALLOCATORS = re.compile(r"^(_rjem_|je_|mi_|__rust_|__rdl_)?(malloc|calloc|realloc|mallocx|rallocx|aligned_alloc|posix_memalign)(@@?[\w.]+)?$")


def callgrind_totals(file):
    """Instructions, and calls of allocation functions, of one callgrind file."""
    names, called, instructions, allocations = {}, None, 0, 0
    for line in Path(file).read_text(errors="replace").splitlines():
        if line.startswith(("summary:", "totals:")):
            instructions = max(instructions, int(line.split()[1]))
        elif match := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            if match.group(2):
                names[match.group(1)] = match.group(2).split("'")[0]
            called = names.get(match.group(1), "") if line.startswith("cfn") else None
        elif line.startswith("calls=") and called is not None and ALLOCATORS.match(called):
            allocations += int(line[6:].split()[0])
    return instructions, allocations


def instructions(plan, name, command, port, path, cookie):
    """User-space instructions and allocations per request, by callgrind."""
    counts, totals = (1000, 6000), []
    for count in counts:
        out = plan.folder / f"callgrind.{name}.{count}"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command]
        part = Part(f"callgrind-{name}", valgrind, plan.folder, answers(port))
        ask(port, path, cookie, count, 8)
        part.stop(patience_s=120)  # callgrind writes its file at the end
        totals.append(callgrind_totals(out))
    (few, few_allocations), (many, many_allocations) = totals
    difference = counts[1] - counts[0]
    return {"instructions": (many - few) / difference, "allocations": (many_allocations - few_allocations) / difference}


def ask(port, path, cookie, count, connections):
    """`count` requests, one after the other, spread over kept connections."""
    lines = [f"GET {path} HTTP/1.1", f"Host: localhost:{port}", *([f"Cookie: {cookie}"] if cookie else [])]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    kept = []
    for _ in range(connections):
        kept.append(TRUST.wrap_socket(socket.create_connection(("127.0.0.1", port), 120), server_hostname="localhost"))
    for number in range(count):
        connection = kept[number % connections]
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 1024:
            answer += connection.recv(65536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"no 200 at {path}: {answer[:300]!r}")
    for connection in kept:
        connection.close()


def first_sign_ins(plan, count):
    """Milliseconds of the gateway's own for each first sign-in, and what it waited for."""
    address = f"https://accounts.vestibule.test:{plan['VESTIBULE']}/"
    people = []
    for number in range(count):
        person = Person()
        person.sign_in(address, f"person{number}")
        person.leave()
        people.append([(begun, ended) for host, begun, ended in person.hops if host.endswith("vestibule.test")])
    time.sleep(0.5)  # the relays write an exchange down when it has been quiet for a moment
    waited = [json.loads(line) for line in (plan.folder / "relays.jsonl").read_text().splitlines()]
    shares = []
    for hops in people:
        total = own = 0
        for begun, ended in hops:
            inside = sorted((max(begun, w["begun"]), min(ended, w["ended"])) for w in waited if w["ended"] > begun and w["begun"] < ended)
            elsewhere, last = 0, begun
            for since, till in inside:
                elsewhere += max(0, till - max(since, last))
                last = max(last, till)
            total += ended - begun
            own += ended - begun - elsewhere
        shares.append({"total_ms": total * 1e3, "own_ms": own * 1e3, "hops": len(hops)})
    return shares


def print_load(targets, results, at_rest):
    print(f"\n{'':22}{'requests/s':>11}{'CPU us/req':>12}{'p99 us':>9}{'KiB/idle':>10}{'base MiB':>10}{'bad':>6}   ratio to nginx [quartiles]: CPU, requests/s, p99")
    for target in targets:
        rounds = results[target.name]
        middle = {field: statistics.median(one[field] for one in rounds) for field in ("rps", "cpu_us", "p99_us")}
        rest = at_rest.get(target.name)
        rest = f"{rest['kib_per_connection']:10.1f}{rest['base_mib']:10.1f}" if rest else f"{'-':>10}{'-':>10}"
        bad = sum(one["bad"] for one in rounds)
        ratios = "  ".join("{:.2f} [{:.2f}-{:.2f}]".format(*ratio(results, target.name, "nginx", field)) for field in ("cpu_us", "rps", "p99_us"))
        print(f"{target.name:22}{middle['rps']:11.0f}{middle['cpu_us']:12.1f}{middle['p99_us']:9.0f}{rest}{bad:6}   {ratios}")


def goal(words, figure, at_most):
    print(f"  {'met   ' if figure <= at_most else 'MISSED'} {words}: {figure:.3g} (at most {at_most:g})")


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--gateway", type=Path, required=True)
    parse.add_argument("--only", default="idle,load,instructions,first-login")
    parse.add_argument("--quick", action="store_true")
    parse.add_argument("--rounds", type=int, default=9)
    parse.add_argument("--seconds", type=int, default=2)
    parse.add_argument("--connections", type=int, default=16)
    parse.add_argument("--real-time", action="store_true", help="run before other people's work (SCHED_RR): steadier on a busy machine, needs root")
    options = parse.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 1
    parts = options.only.split(",")

    plan = Plan(options.gateway.resolve())
    running = {}
    try:
        measure(plan, parts, options, running)
    finally:
        for part in reversed(running.values()):
            part.stop()


def measure(plan, parts, options, running):
    for name in ("backend", "relays", "provider", "scim", "nginx", "haproxy", "apache", "vestibule"):
        running[name] = plan.start(name)
    ours, theirs = Person(), Person()
    ours.sign_in(f"https://localhost:{plan['VESTIBULE']}/", "person99")
    theirs.sign_in(f"https://localhost:{plan['APACHE']}/", "person99")
    cookie = ours.cookies(f"localhost:{plan['VESTIBULE']}")
    ours.leave()
    theirs.leave()
    targets = [
        Target("nginx", running["nginx"], plan["NGINX"]),
        Target("haproxy", running["haproxy"], plan["HAPROXY"]),
        Target("apache+openidc", running["apache"], plan["APACHE"], cookie=theirs.cookies(f"localhost:{plan['APACHE']}")),
        Target("vestibule signed in", running["vestibule"], plan["VESTIBULE"], cookie=cookie),
        Target("vestibule public", running["vestibule"], plan["VESTIBULE"], path="/public/1k"),
    ]
    results = {"machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0]}}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.seconds} s, {options.connections} connections, TLS 1.3, 1 kB")

    at_rest = {}
    if "idle" in parts:
        at_rest = {target.name: idle(target, 100 if options.quick else 1000) for target in targets[:4]}
        results["idle"] = at_rest
    if "load" in parts:
        if options.real_time:
            for name in ("backend", "nginx", "haproxy", "apache", "vestibule"):
                running[name].real_time()
        results["load"] = load(targets, options)
        print_load(targets, results["load"], at_rest)
        print()
        signed_in = "vestibule signed in"
        goal("CPU per signed-in request / nginx without sign-in", ratio(results["load"], signed_in, "nginx", "cpu_us")[0], 1.10)
        goal("CPU per signed-in request / mod_auth_openidc", ratio(results["load"], signed_in, "apache+openidc", "cpu_us")[0], 0.20)
        goal("CPU per signed-in request / our public path", ratio(results["load"], signed_in, "vestibule public", "cpu_us")[0], 1.10)
    elif at_rest:
        for name, rest in at_rest.items():
            print(f"  {name:22}{rest['kib_per_connection']:8.1f} KiB per idle connection, {rest['base_mib']:.1f} MiB before")
    if "first-login" in parts:
        shares = first_sign_ins(plan, 5 if options.quick else 30)
        results["first-login"] = shares
        own, total = (statistics.median(one[field] for one in shares[1:]) for field in ("own_ms", "total_ms"))
        print(f"\nfirst sign-in against scim2-server, {len(shares)} people: {total:.1f} ms waiting for the gateway, over {shares[-1]['hops']} hops")
        goal("of which the gateway's own, ms", own, 5)
    if "instructions" in parts:
        for name in ("vestibule", "nginx"):
            running.pop(name).stop()
        serve = [plan.gateway, "serve", "--config", plan.folder / "vestibule.toml"]
        port = plan["VESTIBULE"]
        print("\nper request, by callgrind, TLS included")
        counted = {
            "nginx": instructions(plan, "nginx", ["nginx", "-c", plan.folder / "nginx.conf"], plan["NGINX"], "/", ""),
            "vestibule public": instructions(plan, "public", serve, port, "/public/1k", ""),
            "vestibule signed in": instructions(plan, "signed-in", serve, port, "/", cookie),
        }
        results["instructions"] = counted
        for name, figures in counted.items():
            print(f"  {name:22}{figures['instructions']:10.0f} instructions{figures['allocations']:8.2f} allocations")
    (plan.folder / "result.json").write_text(json.dumps(results, indent=1))
    print(f"\nall figures: {plan.folder / 'result.json'}")


if __name__ == "__main__":
    main()
