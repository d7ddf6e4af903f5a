"""Control charts against NumPy: Western Electric's and Nelson's rules, EWMA and CUSUM over what a client wrote, against a reference period
that another put into history; their limits against the average run length that they state."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest
from asyncua import ua
from scipy.special import ndtr

from support import service as services
from support.client import TWINS, TYPES, by_id, call, children, connected, eventually, now
from support.history import insert, ms_of
from support.process import PROGRAM, Process

CHARTS = {"ControlRules": ua.ObjectIds.UInt32, "ControlRuleNames": ua.ObjectIds.String, "Ewma": ua.ObjectIds.Double,
          "EwmaLimitLower": ua.ObjectIds.Double, "EwmaLimitUpper": ua.ObjectIds.Double, "CusumHigh": ua.ObjectIds.Double,
          "CusumLow": ua.ObjectIds.Double, "CusumLimit": ua.ObjectIds.Double, "InControl": ua.ObjectIds.Boolean,
          "ChartAverageRunLength": ua.ObjectIds.Double}
D2 = 1.128
BAD, UNCERTAIN = ua.StatusCodes.BadSensorFailure, ua.StatusCodes.UncertainLastUsableValue

TYPES_TEXT = """
[twin_type.Press.statistics]
window = "2h"
reference = {{ start = "{start}", end = "{end}" }}
chart = {{}}
[twin_type.Press.variable.Force]
unit = "N"
[twin_type.Press.variable.Speed]
statistics = {{ chart = {{ rules = "nelson", arl = 500, k = 0.25, lambda = 0.1 }} }}
[twin_type.Press.variable.Soon]
statistics = {{ reference = {{ start = "{start}", end = "{soon}" }} }}
[twin_type.Press.variable.Unstored]
historize = false
[twin_type.Press.variable.Run]
data_type = "Boolean"
[twin.Press1]
type = "Press"

[twin_type.Plain.variable.Force]
[twin.Plain1]
type = "Plain"
"""
STAMP = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture(scope="module")
def yesterday():
    return (now() - timedelta(days=1)).replace(microsecond=0)


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity, yesterday):
    types = TYPES_TEXT.format(start=yesterday.strftime(STAMP), end=(yesterday + timedelta(seconds=299)).strftime(STAMP),
                              soon=(now() + timedelta(seconds=20)).strftime(STAMP))
    service = services.of_types(tmp_path_factory.mktemp("charts"), identity, "Charts", types)
    yield service
    service.process.kill()


async def refer(client, variable, yesterday, seed):
    """Puts 300 samples into the reference period; their centre and σ."""
    ys = np.random.default_rng(seed).normal(20.0, 0.5, 300)
    begin = ms_of(yesterday)
    await insert(await by_id(client, TWINS, f"Press1.{variable}"), [(begin + 1000 * i, float(y), 0) for i, y in enumerate(ys)])
    return ys.mean(), np.abs(np.diff(ys)).mean() / D2


async def write(node, at, value, status=0):
    variant = ua.Variant(None) if value is None else ua.Variant(float(value), ua.VariantType.Double)
    await node.write_attribute(ua.AttributeIds.Value, ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=at))


async def charted(client, variable):
    """(every figure of the charts, the status they agree on), from one Read."""
    nodes = await children(await by_id(client, TWINS, f"Press1.Statistics.{variable}"))
    values = await client.read_attributes([nodes[name] for name in CHARTS])
    statuses = {value.StatusCode.value for name, value in zip(CHARTS, values) if name != "ChartAverageRunLength"}
    assert len(statuses) == 1, statuses
    return {name: value.Value and value.Value.Value for name, value in zip(CHARTS, values)}, statuses.pop()


# ---- the rules in NumPy's words, over the z of samples in a row, oldest first

def beyond(z, last, wanted, limit):
    return any(s * z[-1] > limit and np.sum(s * z[-last:] > limit) >= wanted for s in (1, -1))


def in_a_row(z, n, test):
    return len(z) >= n and bool(test(z[-n:]))


def one_side(z):
    return np.all(z > 0) or np.all(z < 0)


def rules_of(z, nelson):
    def eight(n):
        return in_a_row(z, n, one_side)
    found = {1: abs(z[-1]) > 3, 2: eight(9 if nelson else 8), 5: beyond(z, 3, 2, 2), 6: beyond(z, 5, 4, 1)}
    if nelson:
        found |= {3: in_a_row(z, 6, lambda z: one_side(np.diff(z))), 4: in_a_row(z, 14, lambda z: np.all(np.diff(z)[1:] * np.diff(z)[:-1] < 0)),
                  7: in_a_row(z, 15, lambda z: np.all(np.abs(z) <= 1)), 8: in_a_row(z, 8, lambda z: np.all(np.abs(z) > 1))}
    return {number for number, broken in found.items() if broken}


def expected(samples, centre, sigma, said, nelson, k, weight):
    """Of samples (z; None where nothing counts)."""
    row = []
    for z in samples:
        row = [*row, z] if z is not None else []
    z = np.array([z for z in samples if z is not None])
    rules = rules_of(np.array(row), nelson)
    ewma = centre + sigma * np.sum(weight * (1 - weight) ** np.arange(len(z)) * z[::-1])
    high, low = [max(0.0, np.cumsum(sign * z[::-1] - k).max()) for sign in (1, -1)]
    in_control = not rules and said["EwmaLimitLower"] <= ewma <= said["EwmaLimitUpper"] and max(high, low) <= said["CusumLimit"]
    return {"ControlRules": sum(1 << rule - 1 for rule in rules), "Ewma": ewma, "CusumHigh": high, "CusumLow": low, "InControl": in_control}


def agree(said, right, where):
    assert {name: said[name] for name in right} == pytest.approx(right, rel=1e-9, abs=1e-9), where
    assert len(said["ControlRuleNames"] or []) == said["ControlRules"].bit_count(), (where, said)


# ---- average run lengths by Brook and Evans' Markov chain (1972)

def run_length(low, high, states, step, absorbs_below):
    """Of a chart that stands at a middle of `states` cells from low to high, from zero; `step(from, to)`: chance to get to at most `to`."""
    edges = np.linspace(low, high, states + 1)
    at = (edges[:-1] + edges[1:]) / 2
    below = step(at[:, None], edges[None, :])
    chance = np.diff(below, axis=1)
    if not absorbs_below:
        chance[:, 0] += below[:, 0]
    lengths = np.linalg.solve(np.eye(states) - chance, np.ones(states))
    return lengths[0] if not absorbs_below else np.interp(0.0, at, lengths)


def ewma_run_length(weight, limit):
    return run_length(-limit, limit, 501, lambda x, y: ndtr((y - (1 - weight) * x) / weight), True)


def cusum_run_length(k, h):
    """One side is as long again as both."""
    return run_length(0.0, h, 1001, lambda s, y: ndtr(y - s + k), False) / 2


@pytest.mark.parametrize(("variable", "nelson", "arl", "k", "weight"), [("Force", False, 370.0, 0.5, 0.2), ("Speed", True, 500.0, 0.25, 0.1)])
async def test_charts_agree_with_numpy_over_a_shift_and_outlive_a_restart(service, yesterday, variable, nelson, arl, k, weight):
    rng = np.random.default_rng(11)
    async with connected(service.url) as client:
        centre, sigma = await refer(client, variable, yesterday, 5)
    service.stop()
    service.start()
    samples, states = [], set()
    async with connected(service.url) as client:
        node = await by_id(client, TWINS, f"Press1.{variable}")

        async def is_referred():
            nodes = await children(await by_id(client, TWINS, f"Press1.Statistics.{variable}"))
            await write(node, now() - timedelta(minutes=40), centre)
            return (await nodes["EwmaLimitUpper"].read_data_value(raise_on_bad_status=False)).StatusCode.is_good()
        await eventually(is_referred, 20, 1)
        await call(await by_id(client, TWINS, "Press1.Statistics"), "ResetStatistics")
        assert (await charted(client, variable))[1] == ua.StatusCodes.BadNoData, "a reset begins the charts anew"
        begun = now() + timedelta(seconds=1)  # what is older than the reset does not count
        for i in range(90):
            z = rng.normal() + (2.0 if i >= 60 else 0.0)
            status = BAD if i in (20, 75) else UNCERTAIN if i == 30 else 0
            await write(node, begun + timedelta(seconds=0.01 * i), None if status == BAD else centre + sigma * z, status)
            samples.append(None if status == BAD else z)
            if status == BAD:
                continue
            said, quality = await charted(client, variable)
            assert quality == (ua.StatusCodes.UncertainSubNormal if status else 0)
            agree(said, expected(samples, centre, sigma, said, nelson, k, weight), f"sample {i}")
            states.add(said["InControl"])
        assert states == {True, False}
        assert said["Ewma"] > said["EwmaLimitUpper"] and said["CusumHigh"] > said["CusumLimit"] and said["CusumLow"] < said["CusumLimit"]
        assert said["ChartAverageRunLength"] == arl
        reach = (said["EwmaLimitUpper"] - said["EwmaLimitLower"]) / 2
        assert said["EwmaLimitUpper"] - reach == pytest.approx(centre)
        assert ewma_run_length(weight, reach / sigma) == pytest.approx(arl, rel=0.01)
        assert cusum_run_length(k, said["CusumLimit"]) == pytest.approx(arl, rel=0.01)
        await asyncio.sleep(2)  # a second for what was written to be durable
    service.stop()
    service.start()
    async with connected(service.url) as client:
        async def is_back():
            again, quality = await charted(client, variable)
            return again if quality != ua.StatusCodes.BadNoData else None
        again = await eventually(is_back, 20)
        agree(again, {name: said[name] for name in ("ControlRules", "Ewma", "CusumHigh", "CusumLow", "InControl")}, "after a restart")


async def test_a_reference_period_that_ends_while_the_program_runs_begins_the_charts(service, yesterday):
    async with connected(service.url) as client:
        centre, sigma = await refer(client, "Soon", yesterday, 6)
        node = await by_id(client, TWINS, "Press1.Soon")
        await write(node, now(), centre + 4 * sigma)

        async def begins():
            said, quality = await charted(client, "Soon")
            return said if quality == 0 else None
        # Of the period are the sample just written and those before it.
        said = await eventually(begins, 100, 1)
        assert said["ControlRules"] & 1 and said["ControlRuleNames"][0] == "one beyond 3 sigma" and not said["InControl"]


async def test_charts_are_there_where_they_are_configured_only(service):
    async with connected(service.url) as client:
        types = await client.get_namespace_index(TYPES)
        nodes = await children(await by_id(client, TWINS, "Press1.Statistics.Force"))
        for name, kind in CHARTS.items():
            assert name in nodes and (await nodes[name].read_browse_name()).NamespaceIndex == types
            assert await nodes[name].read_data_type() == ua.NodeId(kind), name
            assert await nodes[name].read_value_rank() == (1 if name == "ControlRuleNames" else -1), name
        assert await nodes["ChartAverageRunLength"].read_type_definition() == ua.NodeId(ua.ObjectIds.PropertyType)
        assert await nodes["EwmaLimitUpper"].read_type_definition() == ua.NodeId(ua.ObjectIds.BaseAnalogType)
        of_type = await children(client.get_node(ua.NodeId(1011, types)))
        assert set(CHARTS) <= set(of_type)
        for path in ("Press1.Statistics.Unstored", "Press1.Statistics.Run", "Plain1.Statistics.Force"):
            assert not set(CHARTS) & set(await children(await by_id(client, TWINS, path))), path


def test_a_chart_without_a_reference_period_is_a_fault_at_its_place(tmp_path):
    config = tmp_path / "uatwin.toml"
    config.write_text('[twin_type.A.variable.V]\nstatistics = { chart = { lambda = 2 } }\n[twin_type.B.statistics]\nchart = {}\n'
                      '[twin_type.B.variable.V]\n')
    check = Process([PROGRAM, "check", "--config", config], tmp_path, "check")
    assert check.child.wait(30) == 3
    said = check.said()
    assert "uatwin.toml:2:35" in said and "uatwin.toml:4:1" in said and "add reference" in said, said
