"""The comparison behind `tests/benches/compare/run`: servers, stores and fits beside their peers, one table of ratios."""

import argparse
import dataclasses
import functools
import json
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "interop")]

import report  # noqa: E402
from servers import Field, Twins  # noqa: E402
from support.load import cpu_s, resident_kib  # noqa: E402
from support.process import REPOSITORY  # noqa: E402

PARTS = ["read", "subscribe", "history", "browse", "store", "fit"]
PEERS = ["open62541", "node-opcua", "asyncua"]
LIMIT_S = 240  # a measure that takes longer has failed
IDLE_S = 2


@dataclasses.dataclass(frozen=True)
class Sizes:
    variables: int = 10_000
    with_history: int = 10
    samples: int = 25_000
    seconds: int = 5  # of a request loop
    watch: int = 10  # of a subscription


QUICK = Sizes(with_history=2, seconds=1, watch=4)
SMOKE = Sizes(variables=1_000, with_history=1, samples=2_000, seconds=1, watch=2)


def built(target):
    """The newest bench target of that name; `run`, and for this one `tests/run`, have built it."""
    found = [path for path in (REPOSITORY / "target" / "release" / "deps").glob(f"{target}-*") if not path.suffix]
    return max(found, key=lambda path: path.stat().st_mtime)


def drive(generator, sizes, server, measure, **more):
    """One measure of one server by the load generator; `None`, with the reason on standard error, if it failed."""
    sent = {"url": f"opc.tcp://127.0.0.1:{server.port}", "pid": server.pid, "namespace": server.namespace, "variables": sizes.variables,
            "with_history": sizes.with_history, "samples": sizes.samples, "seconds": sizes.seconds, **more}
    command = [generator, measure, *(f"{key}={value}" for key, value in sent.items())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"{server.name}: {measure} not done in {LIMIT_S} s", file=sys.stderr)
        return None
    if done.returncode != 0:
        print(f"{server.name}: {measure} failed: {done.stderr.strip()[-400:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def spends(server, seconds):
    """CPU seconds a second of a server that nobody asks anything."""
    began, spent = time.monotonic(), cpu_s(server.pid)
    time.sleep(seconds)
    return (cpu_s(server.pid) - spent) / (time.monotonic() - began)


def until_fed(generator, sizes, twins):
    """Returns when every twin has its first value from the plant."""
    probe = dataclasses.replace(sizes, seconds=0)
    for _ in range(60):
        if subprocess.run([generator, "read", f"url=opc.tcp://127.0.0.1:{twins.port}", f"namespace={twins.namespace}", f"pid={twins.pid}", "seconds=0",
                           f"variables={probe.variables}", "sessions=1"], capture_output=True).returncode == 0:
            return
        time.sleep(0.5)
    raise RuntimeError("the twins have no values after half a minute")


def figures(told, idle):
    """Rate, CPU for each of what was counted beyond what the server spends anyway, memory."""
    if told is None:
        return None
    net = max(told["cpu_s"] - idle * told["seconds"], 0.0)
    return {"rate": told["count"] / told["seconds"], "cpu_us": 1e6 * net / max(told["count"], 1), "rss_mib": told["rss_mib"],
            **({"lost": 1 - told["count"] / told["expected"]} if "expected" in told else {})}


def requests(generator, field, results, only):
    """What servers answer to requests: interleaved closely, one server after another for each measure."""
    idle = {server.name: spends(server, IDLE_S) for server in field.servers}
    for server in field.servers:
        results.note("memory", server.name, {"rss_mib": resident_kib(server.pid) / 1024})
    measures = [("read", "read-1000", {"at_once": 1000}), ("read", "read-100", {"at_once": 100}), ("history", "history", {}), ("browse", "browse", {})]
    for measure, name, more in measures:
        if measure in only:
            for server in field.servers:
                told = drive(generator, field.sizes, server, measure, **more)
                results.note(name, server.name, figures(told, idle[server.name]))


def subscriptions(generator, field, results):
    """What a subscription of everything brings. What changing the values costs is measured first, and not counted."""
    for hz in (1, 10):
        for server in field.servers:
            if isinstance(server, Twins) and hz != 1:
                server = Twins(field.folder / f"twins-{hz}", dataclasses.replace(field.sizes, with_history=0), hz)
                server.wait()
                until_fed(generator, field.sizes, server)
                watch(generator, field.sizes, server, hz, results)
                server.end()
            else:
                server.change(hz)
                watch(generator, field.sizes, server, hz, results)
                server.change(0)


def watch(generator, sizes, server, hz, results):
    time.sleep(1)
    idle = spends(server, IDLE_S + 1)
    told = drive(generator, sizes, server, "subscribe", hz=hz, seconds=sizes.watch)
    results.note(f"subscribe-{hz}", server.name, figures(told, idle))


def servers(arguments, results):
    generator = built("compare")
    field = Field(arguments.sizes, sys.executable, arguments.peers)
    try:
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            with field:
                until_fed(generator, field.sizes, field.servers[0])
                results.versions.update({server.name: server.version for server in field.servers})
                requests(generator, field, results, arguments.only)
                if "subscribe" in arguments.only:
                    subscriptions(generator, field, results)
    finally:
        shutil.rmtree(field.folder, ignore_errors=True)


def stores(arguments, results):
    size = ["1000", "200"] if arguments.quick else ["10000", "300"]
    for _ in range(arguments.rounds):
        done = subprocess.run([built("history"), "peers", *size], check=True, text=True, stdout=subprocess.PIPE)
        for told in map(json.loads, done.stdout.splitlines()):
            results.note("store", told.pop("name"), told)
            results.versions.update(told.pop("versions", {}))


def fits(arguments, results):
    import fit_peers
    for row in fit_peers.rows([1000] if arguments.quick else [1000, 10_000]):
        results.versions.update(row["versions"])
        for name, ms in row["ms"].items():
            results.note(f"fit, {row['problem']}, {row['samples']:,} samples", name, {"ms": ms})


def main():
    parser = argparse.ArgumentParser(prog="tests/benches/compare/run", description="uatwin beside its peers on this machine: one table of ratios.")
    list_of = functools.partial(str.split, sep=",")
    parser.add_argument("--only", type=list_of, default=PARTS, metavar="PART,…", help=", ".join(PARTS))
    parser.add_argument("--peers", type=list_of, default=PEERS, metavar="PEER,…", help=f"of the servers: {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, of which the median counts (3)")
    parser.add_argument("--quick", action="store_true", help="short measures: shows that it works, not how fast")
    parser.add_argument("--smoke", action="store_true", help="shorter still, 1,000 nodes")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    arguments = parser.parse_args()
    for given, known in [(arguments.only, PARTS), (arguments.peers, PEERS)]:
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    arguments.sizes = SMOKE if arguments.smoke else QUICK if arguments.quick else Sizes()
    results = report.Results()
    if {"read", "subscribe", "history", "browse"} & set(arguments.only):
        servers(arguments, results)
    if "store" in arguments.only:
        stores(arguments, results)
    if "fit" in arguments.only:
        fits(arguments, results)
    text = report.markdown(results, arguments)
    print(text)
    if arguments.write:
        (HERE / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
