"""Live statistics against NumPy and SciPy over the raw history that the server itself gives: figures, restart, reset, lots, conditions."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest
import scipy.stats
from asyncua import ua

from support import service as services
from support.client import by_id, call, child, children, connected, eventually, history, now, TWINS, TYPES

MOMENTS = {"Mean", "VariancePopulation", "VarianceSample", "StandardDeviationPopulation", "StandardDeviationSample", "Minimum", "Maximum",
           "Count", "Total", "Percentile05", "Percentile50", "Percentile95", "Slope", "SlopePValue", "Skewness", "Kurtosis",
           "ControlLimitLower", "ControlLimitUpper", "StartTime", "EndTime"}
CAPABILITY = {"Cp", "Cpk", "Pp", "Ppk"}
TICK = timedelta(microseconds=1)
LOWER, UPPER, D2 = -2.0, 3.0, 1.128

TYPES_TEXT = """
[twin_type.Press.statistics]
window = "2h"
[twin_type.Press.variable.Force]
unit = "N"
limits = {{ lower = {lower}, upper = {upper} }}
[twin_type.Press.variable.Offset]
stepped = true
statistics = {{ window_values = 50 }}
[twin_type.Press.variable.Speed]
statistics = {{ when = "Run > 0.5", uncertain = false }}
limits = {{ upper = 9 }}
[twin_type.Press.variable.Referred]
statistics = {{ reference = {{ start = "{ref_start}", end = "{ref_end}" }} }}
[twin_type.Press.variable.Run]
data_type = "Boolean"
states = ["Off", "On"]
[twin_type.Press.variable.Mode]
data_type = "Int32"
states = ["Idle", "Heat", "Cool"]
[twin.Press1]
type = "Press"

[twin_type.Filler.statistics]
lot = "Lot"
[twin_type.Filler.variable.Lot]
data_type = "String"
[twin_type.Filler.variable.Level]
[twin.Filler1]
type = "Filler"
"""


@pytest.fixture(scope="module")
def began():
    """A whole second some time ago: samples are written with times from there on."""
    return (now() - timedelta(minutes=40)).replace(microsecond=0)


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity, began):
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    types = TYPES_TEXT.format(lower=LOWER, upper=UPPER, ref_start=began.strftime(stamp),
                              ref_end=(began + timedelta(seconds=99)).strftime(stamp))
    service = services.of_types(tmp_path_factory.mktemp("statistics"), identity, "Statistics", types)
    yield service
    service.process.kill()


async def write(node, samples, kind=ua.VariantType.Double):
    """(time, value or None, status) each, one write per sample."""
    for at, value, status in samples:
        variant = ua.Variant(None) if value is None else ua.Variant(value, kind)
        await node.write_attribute(ua.AttributeIds.Value, ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=at))


async def figures(client, path):
    """Every figure of a variable's statistics that is not Bad, from one Read."""
    nodes = await children(await by_id(client, TWINS, path))
    values = await client.read_attributes(list(nodes.values()))
    return {name: value.Value.Value for name, value in zip(nodes, values, strict=True) if value.StatusCode.value >> 30 < 2}


async def window_of(client, variable, said):
    """The stored samples that the figures say they are of; None where Bad."""
    node = await by_id(client, TWINS, variable)

    async def all_stored():
        stored = await history(node, said["StartTime"], said["EndTime"] + TICK)
        return stored if stored and stored[-1].source == said["EndTime"] else None
    stored = await eventually(all_stored, 10)
    return [(sample.source, sample.value if sample.status >> 30 < 2 else None) for sample in stored]


def expected(samples, stepped, limits):
    seconds = np.array([(at - samples[0][0]).total_seconds() for at, y in samples if y is not None])
    ys = np.array([y for _, y in samples if y is not None], float)
    centred = ys - ys[0]
    pairs = [(a, b) for a, b in zip(samples, samples[1:]) if a[1] is not None and b[1] is not None]
    held = [(a[1] if stepped else (a[1] + b[1]) / 2) * (b[0] - a[0]).total_seconds() for a, b in pairs]
    line = scipy.stats.linregress(seconds, centred)
    within = np.mean([abs(b[1] - a[1]) for a, b in pairs]) / D2
    mean, sigma = ys[0] + centred.mean(), centred.std(ddof=1)
    found = {
        "Count": len(ys), "Mean": mean, "Minimum": ys.min(), "Maximum": ys.max(), "VariancePopulation": centred.var(),
        "VarianceSample": centred.var(ddof=1), "StandardDeviationPopulation": centred.std(), "StandardDeviationSample": sigma,
        "Total": sum(held), "Slope": line.slope, "SlopePValue": line.pvalue, "Skewness": scipy.stats.skew(centred),
        "Kurtosis": scipy.stats.kurtosis(centred), "ControlLimitLower": mean - 3 * within, "ControlLimitUpper": mean + 3 * within,
    } | {f"Percentile{p:02}": np.percentile(ys, p) for p in (5, 50, 95)}
    if limits:
        lower, upper = limits
        nearer = min(upper - mean, mean - lower)
        found |= {"Cpk": nearer / (3 * within), "Ppk": nearer / (3 * sigma)}
        if np.isfinite(upper - lower):
            found |= {"Cp": (upper - lower) / (6 * within), "Pp": (upper - lower) / (6 * sigma)}
    return found


def agree(said, right, where=""):
    for name, value in right.items():
        # 1e-9: of SciPy's own skewness and p-value near their edges; the moments are held to 1e-12 in tests/numerics.
        assert said.get(name) == pytest.approx(value, rel=1e-9, abs=1e-9), (where, name, said)


async def agrees_with_history(client, variable, stepped=False, limits=None, leave=()):
    said = await figures(client, variable.replace(".", ".Statistics."))
    samples = await window_of(client, variable, said)
    right = {name: value for name, value in expected(samples, stepped, limits).items() if name not in leave}
    agree(said, right, variable)
    return said


async def counted(client, variable, count):
    async def is_there():
        return (await figures(client, variable.replace(".", ".Statistics."))).get("Count") == count
    await eventually(is_there, 20)


async def test_figures_agree_with_scipy_over_the_history_and_outlive_a_restart(service, began):
    rng = np.random.default_rng(1)
    bad, uncertain = ua.StatusCodes.BadSensorFailure, ua.StatusCodes.UncertainLastUsableValue
    force = [(began + timedelta(seconds=i + (60 if i > 200 else 0)), float(y), uncertain if i % 50 == 7 else 0)
             for i, y in enumerate(rng.normal(0.3, 0.8, 400))]
    force[100:110] = [(at, None, bad) for at, _, _ in force[100:110]]
    offset = [(began + timedelta(seconds=2 * i), 1e9 + float(i % 4), 0) for i in range(120)]
    async with connected(service.url) as client:
        await write(await by_id(client, TWINS, "Press1.Force"), force)
        await write(await by_id(client, TWINS, "Press1.Offset"), offset)
        of_force = await agrees_with_history(client, "Press1.Force", limits=(LOWER, UPPER))
        assert of_force["Count"] == 390 and of_force["StartTime"] == began
        of_offset = await agrees_with_history(client, "Press1.Offset", stepped=True)
        assert of_offset["Count"] == 50 and of_offset["WindowNumberOfValues"] == 50
        nodes = set(await children(await by_id(client, TWINS, "Press1.Statistics.Force")))
        assert nodes == MOMENTS | CAPABILITY
        assert set(await children(await by_id(client, TWINS, "Press1.Statistics.Offset"))) == MOMENTS | {"WindowNumberOfValues"}
        assert set(await children(await by_id(client, TWINS, "Press1.Statistics.Speed"))) == MOMENTS | {"Cpk", "Ppk"}
        await asyncio.sleep(2)  # a second for what was written to be durable
    service.stop()
    service.start()
    async with connected(service.url) as client:
        await counted(client, "Press1.Force", 390)
        await counted(client, "Press1.Offset", 50)
        again = await figures(client, "Press1.Statistics.Force")
        # The variable has no value yet, so that its figures are Uncertain; they are the same.
        agree(again, {name: value for name, value in of_force.items() if not hasattr(value, "year")})
        since = await (await by_id(client, TWINS, "Press1.Statistics.StartTime")).read_value()
        assert since == began, "what history gave was collected since then"
        # What comes now joins it, once.
        more = [(force[-1][0] + timedelta(seconds=i), float(i), 0) for i in range(1, 4)]
        await write(await by_id(client, TWINS, "Press1.Force"), more)
        said = await agrees_with_history(client, "Press1.Force", limits=(LOWER, UPPER))
        assert said["Count"] == 393


async def test_a_late_sample_enters_from_history(service, began):
    async with connected(service.url) as client:
        node = await by_id(client, TWINS, "Press1.Force")
        before = (await figures(client, "Press1.Statistics.Force")).get("Count", 0)
        if not before:
            await write(node, [(began + timedelta(seconds=900 + i), float(i % 3), 0) for i in range(10)])
            before = 10
        await write(node, [(began + timedelta(seconds=3.5), 2.5, 0)])
        await counted(client, "Press1.Force", before + 1)
        await agrees_with_history(client, "Press1.Force", limits=(LOWER, UPPER))


async def test_only_what_meets_the_condition_counts_and_nothing_uncertain(service, began):
    def second(i):
        return began + timedelta(seconds=i)
    uncertain = ua.StatusCodes.UncertainLastUsableValue
    samples = [(second(i), float(i % 9), uncertain if i % 10 == 3 else 0) for i in range(300)]
    runs = {0: True, 100: False, 200: True}
    async with connected(service.url) as client:
        speed, run = [await by_id(client, TWINS, f"Press1.{name}") for name in ("Speed", "Run")]
        for i, sample in enumerate(samples):
            if i in runs:
                await write(run, [(second(i), runs[i], 0)], ua.VariantType.Boolean)
            await write(speed, [sample])
        ys = [y for i, (_, y, status) in enumerate(samples) if status == 0 and (i < 100 or i >= 200)]
        right = {"Count": len(ys), "Mean": np.mean(ys), "VarianceSample": np.var(ys, ddof=1), "Percentile50": np.median(ys)}
        said = await figures(client, "Press1.Statistics.Speed")
        agree(said, right)
        await asyncio.sleep(2)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        await counted(client, "Press1.Speed", len(ys))
        again = await figures(client, "Press1.Statistics.Speed")
        agree(again, {name: value for name, value in said.items() if not hasattr(value, "year")})


async def test_time_in_state_adds_up_to_now(service, began):
    modes = [(0, 0), (60, 1), (90, 2), (91, 1), (300, 0)]
    async with connected(service.url) as client:
        await write(await by_id(client, TWINS, "Press1.Mode"),
                    [(began + timedelta(seconds=s), mode, 0) for s, mode in modes], ua.VariantType.Int32)
        value = await (await by_id(client, TWINS, "Press1.Statistics.Mode.TimeInState")).read_data_value()
        idle, heat, cool = value.Value.Value
        assert (heat, cool) == (239.0, 1.0)
        up_to_now = (value.SourceTimestamp - began).total_seconds()
        assert idle + heat + cool == pytest.approx(up_to_now, abs=1e-3)
        types = await client.get_namespace_index(TYPES)
        run = await by_id(client, TWINS, "Press1.Statistics.Run")
        assert await run.read_type_definition() == ua.NodeId(1012, types)
        assert set(await children(run)) == {"Count", "StartTime", "TimeInState"}
        assert {"Mean", "TimeInState"} < set(await children(await by_id(client, TWINS, "Press1.Statistics.Mode")))


async def test_control_limits_come_from_the_reference_period(service, began):
    rng = np.random.default_rng(2)
    ys = [float(y) for y in rng.normal(5.0, 0.1, 100)] + [float(y) for y in rng.normal(9.0, 2.0, 50)]
    async with connected(service.url) as client:
        node = await by_id(client, TWINS, "Press1.Referred")
        await write(node, [(began + timedelta(seconds=i), y, 0) for i, y in enumerate(ys)])
        await asyncio.sleep(2)
    service.stop()
    service.start()  # the period is read when the program starts
    async with connected(service.url) as client:
        await counted(client, "Press1.Referred", 150)
        said = await agrees_with_history(client, "Press1.Referred", leave={"ControlLimitLower", "ControlLimitUpper"})
        within = np.abs(np.diff(ys[:100])).mean() / D2
        agree(said, {"ControlLimitLower": np.mean(ys[:100]) - 3 * within, "ControlLimitUpper": np.mean(ys[:100]) + 3 * within})


async def test_a_lot_begins_a_new_collection_and_says_so(service, began):
    async def fill(client, lot, first, count):
        level = await by_id(client, TWINS, "Filler1.Level")
        await write(await by_id(client, TWINS, "Filler1.Lot"), [(began + timedelta(seconds=first), lot, 0)], ua.VariantType.String)
        await write(level, [(began + timedelta(seconds=first + i), float(i % 7), 0) for i in range(count)])
    async with connected(service.url) as client:
        ia = await client.get_namespace_index("http://opcfoundation.org/UA/IA/")
        statistics = await by_id(client, TWINS, "Filler1.Statistics")
        assert set(await children(statistics)) == {"StartTime", "ResetCondition", "ResetStatistics", "Level"}
        assert await (await child(statistics, "ResetCondition")).read_value() == "CHANGE OF Lot"
        [interface] = await statistics.get_referenced_nodes(ua.ObjectIds.HasInterface, ua.BrowseDirection.Forward)
        assert interface.nodeid == ua.NodeId(1012, ia), "IAggregateStatisticsType"
        await fill(client, "A", 0, 700)
        said = await agrees_with_history(client, "Filler1.Level", leave={"Percentile05", "Percentile50", "Percentile95"})
        assert said["Count"] == 700, "nothing leaves"
        await fill(client, "B", 1000, 30)
        said = await agrees_with_history(client, "Filler1.Level")
        assert said["Count"] == 30
        assert await (await child(statistics, "StartTime")).read_value() == began + timedelta(seconds=1000)
        await asyncio.sleep(2)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        await counted(client, "Filler1.Level", 30)
        # The same lot goes on, another begins anew, also as the first value after a start.
        await fill(client, "B", 1100, 5)
        await counted(client, "Filler1.Level", 35)
        await fill(client, "C", 1200, 3)
        await counted(client, "Filler1.Level", 3)


async def test_a_reset_outlives_a_restart(service, began):
    async with connected(service.url) as client:
        node, statistics = await by_id(client, TWINS, "Press1.Force"), await by_id(client, TWINS, "Press1.Statistics")
        await write(node, [(began + timedelta(seconds=1500 + i), 1.0, 0) for i in range(5)])
        assert (await figures(client, "Press1.Statistics.Force"))["Count"] >= 5
        asked = now()
        await call(statistics, "ResetStatistics")
        assert (await figures(client, "Press1.Statistics.Force")).get("Count", 0) == 0
        since = await (await child(statistics, "StartTime")).read_value()
        assert abs(since - asked) < timedelta(seconds=5)
        await write(node, [(now(), 4.0, 0)])
        assert (await figures(client, "Press1.Statistics.Force"))["Count"] == 1
        await asyncio.sleep(2)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        await counted(client, "Press1.Force", 1)
