"""What was measured as one Markdown table: ours, and how many times as good it is as each peer's in the same round."""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess

OURS = "uatwin"
REPOSITORY = pathlib.Path(__file__).parents[3]


def scaled(value):
    for factor, unit in ((1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


# Measure and figure: what it is called, how it is written, whether more is better (None: ours beside theirs, no ratio).
RATE, COST = (scaled, True), (lambda us: f"{us:.3g} µs", False)
SHARE = (lambda share: f"{100 * share:.2g} %", None)
MIB = (lambda mib: f"{mib:.0f} MiB", False)
ROWS = [
    ("read-1000", "rate", "Read, 1,000 nodes a request: values/s", *RATE),
    ("read-1000", "cpu_us", "— CPU a value", *COST),
    ("read-100", "rate", "Read, 100 nodes a request: values/s", *RATE),
    ("read-100", "cpu_us", "— CPU a value", *COST),
    ("subscribe-1", "rate", "Subscription of 10,000 items, source 1 Hz: values/s", *RATE),
    ("subscribe-1", "lost", "— not delivered", *SHARE),
    ("subscribe-1", "cpu_us", "— CPU a value", *COST),
    ("subscribe-1", "rss_mib", "— memory", *MIB),
    ("subscribe-10", "rate", "Subscription of 10,000 items, source 10 Hz: values/s", *RATE),
    ("subscribe-10", "lost", "— not delivered", *SHARE),
    ("subscribe-10", "cpu_us", "— CPU a value", *COST),
    ("history", "rate", "HistoryRead raw, 25,000 values a node: values/s", *RATE),
    ("history", "cpu_us", "— CPU a value", *COST),
    ("browse", "rate", "Browse of everything: references/s", *RATE),
    ("browse", "cpu_us", "— CPU a reference", *COST),
    ("memory", "rss_mib", "Memory with 10,000 nodes", *MIB),
    ("store", "ingest_per_s", "Tag store, durable ingest: samples/s", *RATE),
    ("store", "scan_per_s", "Tag store, scan: samples/s", *RATE),
    ("store", "read_us", "Tag store, read of 100 samples", *COST),
    ("store", "bytes", "Tag store, on disk: a sample", lambda size: f"{size:.3g} B", False),
]
# (measure, peer, what must hold of the rate)
PROMISES = [("read-1000", "open62541", 1.0), ("read-1000", "node-opcua", 5.0), ("read-1000", "asyncua", 8.0)]


class Results:
    """Rounds of figures by measure and name; `None` where a measure failed."""

    def __init__(self):
        self.rounds, self.versions = {}, {}

    def note(self, measure, name, figures):
        self.rounds.setdefault(measure, {}).setdefault(name, []).append(figures)

    def measures(self):
        return self.rounds.keys()

    def names(self, measure):
        return [name for name in self.rounds.get(measure, {}) if name != OURS]

    def values(self, measure, name, figure):
        return [told[figure] for told in self.rounds.get(measure, {}).get(name, []) if told and figure in told]

    def ratios(self, measure, name, figure, more_is_better):
        """Ours to theirs in each round that has both, above 1 where ours is better."""
        pairs = zip(self.rounds[measure].get(OURS, []), self.rounds[measure].get(name, []))
        both = [(ours[figure], theirs[figure]) for ours, theirs in pairs if ours and theirs and figure in ours and figure in theirs]
        ratio = (lambda ours, theirs: ours / theirs) if more_is_better else (lambda ours, theirs: theirs / ours)
        return [ratio(ours, theirs) for ours, theirs in both if ours > 0 and theirs > 0]


def spread(values, write):
    """The median, and from where to where."""
    middle = write(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({write(min(values))} to {write(max(values))})"


def row(results, measure, figure, title, write, more_is_better):
    ours = results.values(measure, OURS, figure)
    if not ours:
        return None
    peers = []
    for name in results.names(measure):
        theirs = results.values(measure, name, figure)
        ratios = [] if more_is_better is None else results.ratios(measure, name, figure, more_is_better)
        if not theirs:
            peers.append(f"{name} failed")
        elif ratios:
            peers.append(f"{name} **{statistics.median(ratios):.3g} ×** ({min(ratios):.3g} to {max(ratios):.3g}; {write(statistics.median(theirs))})")
        else:
            peers.append(f"{name} {spread(theirs, write)}")
    return f"| {title} | {spread(ours, write)} | {' · '.join(peers)} |"


def rows(results):
    fits = [(measure, "ms", measure.capitalize(), lambda ms: f"{ms:.3g} ms", False) for measure in results.measures() if measure.startswith("fit")]
    return [text for text in (row(results, *each) for each in ROWS + fits) if text]


def promises(results):
    for measure, name, least in PROMISES:
        if ratios := measure in results.measures() and results.ratios(measure, name, "rate", True):
            middle = statistics.median(ratios)
            yield f"- Bulk Read, values/s, at least {least:g} × {name}: {middle:.3g} ×, {'kept' if middle >= least else 'NOT KEPT'}"


def machine():
    def first(path, begins):
        text = pathlib.Path(path).read_text().splitlines()
        return next((found.partition(":")[2].strip() for found in text if found.startswith(begins)), "?")
    memory = int(first("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    return f"{first('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def revision():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!tests/benches/compare/RESULTS.md")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (", changed" if changed else "")


def markdown(results, arguments):
    how = f"{arguments.rounds} interleaved rounds" + (", quick: to show that it works" if arguments.quick or arguments.smoke else "")
    lines = [
        "# Beside the peers", "",
        f"Made by `tests/benches/compare/run` on {datetime.date.today()}, revision {revision()}; {how}. ",
        f"Machine: {machine()}, load {os.getloadavg()[1]:.1f} at the end.  ",
        f"Versions: {', '.join(results.versions.values()) or '?'}.", "",
        "Each cell is the median and its spread over the rounds. **×**: how many times as good ours is as the peer's in the same round",
        "(its spread; the peer's own median); below 1 the peer is better. On a busy machine CPU says more than rates. How each is set up stands in `peers/`",
        "and `../history/`; CPU is the server's, without what it spends when nobody asks and, for subscriptions, without what changing the values costs.", "",
        "| | uatwin | times as good as |", "|---|---|---|", *rows(results), "", *promises(results),
    ]
    return "\n".join(text.rstrip(" ") if not text.endswith(".  ") else text for text in lines).rstrip() + "\n"
