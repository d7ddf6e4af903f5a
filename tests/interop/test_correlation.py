"""The live correlation matrix and the multivariate figures against NumPy and SciPy over the raw history that the server itself gives,
under the stated rule of alignment."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
import scipy.stats
from asyncua import ua

from support import service as services
from support.client import TWINS, by_id, call, child, children, connected, eventually, history, now
from support.pki import PKI_FOLDER
from support.process import PROGRAM, Process, free_port

NAMES = ["Warm", "Power", "Flow"]
STEP = timedelta(seconds=2)
REACH = 10  # steps over which a value is interpolated
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BAD = ua.StatusCodes.BadSensorFailure

CONFIG = """
[twin_type.Oven.statistics]
window = "2h"
correlate = ["Warm", "Power", "Flow"]
align = "2s"
[twin_type.Oven.variable.Warm]
[twin_type.Oven.variable.Flow]
[twin_type.Oven.variable.Power]
stepped = true
[twin.Pearson]
type = "Oven"
[twin.Kept]
type = "Oven"

[twin_type.Ranked.statistics]
window = "2h"
correlate = ["Warm", "Power", "Flow"]
align = "2s"
correlate_method = "spearman"
[twin_type.Ranked.variable.Warm]
stepped = true
[twin_type.Ranked.variable.Flow]
stepped = true
[twin_type.Ranked.variable.Power]
stepped = true
[twin.Spearman]
type = "Ranked"

[twin_type.Plain.variable.Warm]
[twin.Plain]
type = "Plain"
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity):
    service = services.of_types(tmp_path_factory.mktemp("correlation"), identity, "Correlation", CONFIG)
    yield service
    service.process.kill()


async def write_noise(client, twin, begin):
    """Ten minutes at uneven times: a wander on an offset of 1e9, a held power with few levels, a flow that follows it a while later; some
    Bad samples, a silence. In the order of time over all of them, as a plant would send it."""
    rng = np.random.default_rng(7)
    nodes = {name: await by_id(client, TWINS, f"{twin}.{name}") for name in NAMES}
    samples, warm, power, flow = [], 1e9, 0.0, 0.0
    for second in range(600):
        warm += 0.05 * (power / 100 - 0.2 * (warm - 1e9)) + 0.02 * rng.normal()
        flow += 0.1 * (power - flow)
        if second % 37 == 0:
            power = float(rng.integers(0, 5)) * 50
            samples.append((second + 0.25, "Power", power, 0))
        if 200 < second < 230:
            continue  # silence: longer than the reach
        samples.append((second + 0.5 * rng.random(), "Warm", warm, 0))
        bad = second in (300, 301, 450)
        samples.append((float(second), "Flow", None if bad else round(flow + rng.normal()), BAD if bad else 0))
    for at, name, value, status in sorted(samples):
        variant = ua.Variant(None) if value is None else ua.Variant(float(value), ua.VariantType.Double)
        source = begin + timedelta(seconds=at)
        await nodes[name].write_attribute(ua.AttributeIds.Value, ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=source))


def value_at(samples, stepped, at):
    """The rule of alignment in its own words."""
    before = [sample for sample in samples if sample.source <= at]
    if not before or before[-1].status >> 30 == 2:
        return None
    last, after = before[-1], next((sample for sample in samples if sample.source > at), None)
    if stepped or last.source == at or after is None or after.source - last.source > REACH * STEP:
        return last.value
    if after.status >> 30 == 2:
        return None
    return last.value + (at - last.source) / (after.source - last.source) * (after.value - last.value)


async def rows_of(client, twin, begin, stepped):
    """Rows of the grid from the raw history; an instant counts once a sample is ten steps past it."""
    series = {}
    for name in NAMES:
        node = await by_id(client, TWINS, f"{twin}.{name}")
        series[name] = await history(node, begin - timedelta(minutes=1), now())
    newest = max(samples[-1].source for samples in series.values())
    at = EPOCH + ((begin - EPOCH) // STEP) * STEP
    rows = []
    while at <= EPOCH + ((newest - EPOCH) // STEP - REACH) * STEP:
        row = [value_at(series[name], name in stepped, at) for name in NAMES]
        if None not in row:
            rows.append(row)
        at += STEP
    return np.array(rows)


async def figures(client, twin):
    nodes = {name: node for name, node in (await children(await by_id(client, TWINS, f"{twin}.Statistics"))).items()
             if name.startswith(("Correlation", "Hotelling", "Spe"))}
    values = await client.read_attributes(list(nodes.values()))
    return dict(zip(nodes, values, strict=True))


def square(value):
    """A matrix, however the client gives it: nested, or flat with dimensions."""
    array = np.array(value.Value.Value)
    return array if array.ndim == 2 else array.reshape(value.Value.Dimensions)


def unusual_agrees(said, rows):
    """T² and SPE of the newest row; Jackson, A User's Guide to Principal Components, and Jackson and Mudholkar (1979)."""
    n = len(rows)
    values, vectors = np.linalg.eigh(np.corrcoef(rows.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = min(int(np.searchsorted(np.cumsum(values), 0.9 * 3)) + 1, 2)
    z = (rows[-1] - rows.mean(0)) / rows.std(0, ddof=1)
    t, left = z @ vectors[:, :kept], values[kept:]
    one, two, three = (np.sum(left**k) for k in (1, 2, 3))
    h = 1 - 2 * one * three / (3 * two**2)
    c = scipy.stats.norm.ppf(0.99)
    right = {
        "HotellingT2": np.sum(t**2 / values[:kept]),
        "HotellingT2Limit": kept * (n**2 - 1) / (n * (n - kept)) * scipy.stats.f.ppf(0.99, kept, n - kept),
        "Spe": np.sum((z - vectors[:, :kept] @ t) ** 2),
        "SpeLimit": one * (c * np.sqrt(2 * two * h**2) / one + 1 + two * h * (h - 1) / one**2) ** (1 / h),
    }
    for name, value in right.items():
        assert said[name].Value.Value == pytest.approx(value, rel=1e-4, abs=1e-5), name


async def filled(client, twin, stepped):
    begin = (now() - timedelta(minutes=30)).replace(microsecond=0)
    await write_noise(client, twin, begin)
    expected = await rows_of(client, twin, begin, stepped)

    async def all_in():
        said = await figures(client, twin)
        count = said["CorrelationCount"]
        return said if count.StatusCode.is_good() and square(count)[0, 0] == len(expected) else None
    return await eventually(all_in, 20), expected


async def test_the_live_matrix_is_numpys_of_the_aligned_history(service):
    async with connected(service.url) as client:
        before = await figures(client, "Pearson")
        assert before["Correlation"].StatusCode.value == ua.StatusCodes.BadNoData, before["Correlation"]
        assert before["CorrelationVariables"].Value.Value == NAMES
        said, rows = await filled(client, "Pearson", {"Power"})
        centred = rows - [1e9, 0, 0]
        assert len(rows) > 250
        # 1e-6: 1e9 leaves seven digits of what moves by a few tenths.
        assert square(said["Correlation"]) == pytest.approx(np.corrcoef(centred.T), abs=1e-6)
        assert (square(said["CorrelationCount"]) == len(rows)).all()
        p_values = [[scipy.stats.pearsonr(centred[:, i], centred[:, j]).pvalue for j in range(3)] for i in range(3)]
        assert square(said["CorrelationPValue"]) == pytest.approx(np.array(p_values), rel=1e-3, abs=1e-12)
        assert said["CorrelationMethod"].Value.Value == "Pearson"
        lags = square(said["CorrelationLag"])
        assert lags[1, 2] == -lags[2, 1] and 0 < lags[1, 2] <= 20, "the flow follows the power"
        assert (np.diag(lags) == 0).all()
        for name in ("Correlation", "CorrelationPValue", "CorrelationLag", "CorrelationCount"):
            assert square(said[name]).shape == (3, 3), name
        unusual_agrees(said, centred)


async def test_the_matrix_outlives_a_restart(service):
    async with connected(service.url) as client:
        begin = (now() - timedelta(minutes=30)).replace(microsecond=0)
        nodes = {name: await by_id(client, TWINS, f"Kept.{name}") for name in NAMES}
        await write_noise(client, "Kept", begin)
        rows = await rows_of(client, "Kept", begin, {"Power"})

        async def said(client):
            figures_now = await figures(client, "Kept")
            count = figures_now["CorrelationCount"]
            return figures_now if not count.StatusCode.is_bad() and square(count)[0, 0] == len(rows) else None
        before = await eventually(lambda: said(client), 20)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        after = await eventually(lambda: said(client), 20)
        for name in ("Correlation", "CorrelationPValue", "CorrelationLag", "HotellingT2", "Spe", "SpeLimit"):
            right = np.array(before[name].Value.Value)
            assert np.array(after[name].Value.Value) == pytest.approx(right, rel=1e-9, abs=1e-12, nan_ok=True), name


async def test_ranks_on_request_and_a_reset_begins_anew(service):
    async with connected(service.url) as client:
        said, rows = await filled(client, "Spearman", set(NAMES))
        assert said["CorrelationMethod"].Value.Value == "Spearman"
        right = [[scipy.stats.spearmanr(rows[:, i], rows[:, j]) for j in range(3)] for i in range(3)]
        assert square(said["Correlation"]) == pytest.approx(np.array([[of.statistic for of in row] for row in right]), abs=1e-9)
        p_values = np.array([[of.pvalue for of in row] for row in right])
        assert square(said["CorrelationPValue"]) == pytest.approx(p_values, rel=1e-6, abs=1e-12)
        await call(await child(await by_id(client, TWINS, "Spearman"), "Statistics"), "ResetStatistics")
        after = await figures(client, "Spearman")
        assert after["Correlation"].StatusCode.value == ua.StatusCodes.BadNoData


async def test_a_twin_without_correlate_has_no_matrix(service):
    async with connected(service.url) as client:
        assert set(await children(await by_id(client, TWINS, "Plain.Statistics"))) == {"Warm", "StartTime", "WindowDuration", "ResetStatistics"}


async def test_the_nodes_are_what_their_type_declares(service):
    async with connected(service.url) as client:
        nodes = await children(await by_id(client, TWINS, "Pearson.Statistics"))
        ranks = {"Correlation": 2, "CorrelationCount": 2, "CorrelationPValue": 2, "CorrelationLag": 2, "CorrelationVariables": 1,
                 "CorrelationMethod": -1, "HotellingT2": -1, "HotellingT2Limit": -1, "Spe": -1, "SpeLimit": -1}
        declared = await children(await by_type(client))
        for name, rank in ranks.items():
            for node in (nodes[name], declared[name]):
                assert await node.read_value_rank() == rank, name
            assert await nodes[name].read_data_type() == await declared[name].read_data_type(), name
            assert (await nodes[name].read_browse_name()).NamespaceIndex == (await declared[name].read_browse_name()).NamespaceIndex


async def by_type(client):
    return client.get_node(ua.NodeId(1010, await client.get_namespace_index("urn:uatwin:types")))


def test_faults_are_said_at_their_place(tmp_path):
    faulty = services.HEAD.format(name="Faulty", port=free_port(), pki=PKI_FOLDER, anonymous="off", security="") + CONFIG
    faulty = faulty.replace('"Power", "Flow"]', '"Power", "Flaw"]', 1).replace('"2s"', '"2"', 1)
    (tmp_path / "uatwin.toml").write_text(faulty)
    lines = faulty.splitlines()
    check = Process([PROGRAM, "check", "--config", tmp_path / "uatwin.toml"], tmp_path, "check")
    assert check.child.wait(30) == 3
    said = check.said()
    first = next(i for i, line in enumerate(lines) if "Flaw" in line)
    for number, word in ((first, '"Flaw"'), (first + 1, '"2"')):
        assert f"uatwin.toml:{number + 1}:{lines[number].index(word) + 1}:" in said, said
    assert "did you mean `Flow`" in said
