"""Aggregates over the wire: against a second opinion, against plain arithmetic, and what a wrong request is told."""

import json
import math
import random
import statistics
import subprocess

import pytest
from asyncua import ua

from support import oracle
from support.client import child, connected, node_of, twins, variables
from support.config import twin_name
from support.history import at_ms, at_times, insert, ms_of, processed, processed_details, read, standard
from support.other_clients import FOLDER

START = 1_700_000_000_000  # ms since 1970; every test has a day of its own
DAY = 86_400_000
BAD, SUBNORMAL, NO_DATA = 0x8000_0000, ua.StatusCodes.UncertainDataSubNormal, ua.StatusCodes.BadNoData
RAW, INTERPOLATED = 0x400, 0x402  # InfoType DataValue, and where the value comes from


@pytest.fixture(scope="module")
def service(make_world):
    """A service whose history the tests write themselves."""
    world = make_world()
    plc = world.plc("asyncua", "north")
    service = world.run(plc)
    service.twin = twin_name(plc)
    return service


async def variable(client, service, name="Load"):
    return (await variables((await twins(client))[service.twin]))[name]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The folder of the generated series, and the seed that makes them again."""
    folder = tmp_path_factory.mktemp("series")
    return folder, oracle.write(folder)


def second_opinion(samples, start, end, interval):
    request = json.dumps({"samples": samples, "start": start, "end": end, "interval": interval})
    done = subprocess.run(["node", FOLDER / "node_aggregates.mjs"], input=request, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    # The library prints to the same stream.
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


@pytest.mark.parametrize("case", range(oracle.CASES))
async def test_node_opcua_computes_the_same(service, generated, case):
    """Its nine aggregates, where that stack follows the standard: it knows no value before the range and none after it, and
    calls Bad what has no Good value. Durations are compared on a stepped variable: between a Good and a Bad value of a
    sloped one the status is Uncertain (§5.4.3.2.2), which that stack does not look at."""
    folder, seed = generated
    first = START + (40 + case) * DAY
    interval, samples = oracle.read(folder / f"{case}.csv", first)
    start = samples[0][0] // interval * interval
    end = samples[-1][0] // interval * interval
    theirs = second_opinion(samples, start, end, interval)
    async with connected(service.url) as client:
        sloped, stepped = await variable(client, service, "Load"), await variable(client, service, "Pieces")
        await insert(sloped, samples)
        await insert(stepped, samples, ua.VariantType.Int32)
        compared, comparable = 0, 0
        for name, opinions in theirs.items():
            node = stepped if name.startswith(("Duration", "Percent")) else sloped
            ours = await processed(node, standard(name), at_ms(start), at_ms(end), interval)
            assert [ms_of(value.SourceTimestamp) for value in ours] == [at for at, _, _ in opinions], name
            # The first interval has no value before it, the last none after it.
            for value, (at, opinion, status) in list(zip(ours, opinions, strict=True))[1:-1]:
                inside = [sample for sample in samples if at <= sample[0] < at + interval]
                if status >> 30 == 2 or all(s != 0 for _, _, s in inside):
                    continue
                comparable += 1
                if name == "Interpolative" and inside[0][0] == at and inside[0][2] >> 30 == 1:
                    continue  # Uncertain is treated as Bad; that stack takes it all the same when it lies just there
                context = f"UATWIN_TEST_SEED={seed}", case, name, at, value, inside
                assert value.Value.Value == pytest.approx(opinion, rel=1e-12, abs=1e-9), context
                compared += 1
        assert compared > 0.8 * comparable > 0, (compared, comparable, seed)


async def test_statistics_beyond_the_standard_are_what_they_say(service):
    start, interval = START + 10 * DAY, 60_000
    chance = random.Random(7)
    samples = [(start + i * 250, chance.lognormvariate(1, 0.5), 0) for i in range(1200)]
    async with connected(service.url) as client:
        load = await variable(client, service)
        await insert(load, samples)
        server = await child(client.nodes.objects, "Server/ServerCapabilities/AggregateFunctions")
        references = await server.get_references(ua.ObjectIds.Organizes, ua.BrowseDirection.Forward)
        functions = {r.BrowseName.Name: node_of(server, r.NodeId).nodeid for r in references}
        assert len(functions) == 42, sorted(functions)

        async def values(name):
            return [v.Value.Value for v in await processed(load, functions[name], at_ms(start), at_ms(start + 300_000), interval)]
        slices = [[y for at, y, _ in samples if start + i * interval <= at < start + (i + 1) * interval] for i in range(5)]
        assert await values("Median") == pytest.approx([statistics.median(ys) for ys in slices])
        assert await values("RootMeanSquare") == pytest.approx([math.sqrt(statistics.fmean(y * y for y in ys)) for ys in slices])
        for name, index in [("Percentile05", 4), ("Percentile95", 94)]:
            expected = [statistics.quantiles(ys, n=100, method="inclusive")[index] for ys in slices]
            assert await values(name) == pytest.approx(expected), name
        assert await values("StandardDeviationSample") == pytest.approx([statistics.stdev(ys) for ys in slices])


async def test_values_at_given_times_are_raw_or_interpolated_or_not_there(service):
    start = START + 20 * DAY
    async with connected(service.url) as client:
        load = await variable(client, service)
        await insert(load, [(start, 10.0, 0), (start + 10_000, 20.0, 0), (start + 20_000, 25.0, BAD), (start + 30_000, 40.0, 0)])
        asked = [start + 30_000, start + 5_000, start - DAY // 2, start + 10_000, start + 25_000]
        found = await at_times(load, [at_ms(at) for at in asked])
        assert [ms_of(value.SourceTimestamp) for value in found] == asked, "in the order asked"
        assert [(v.Value.Value, v.StatusCode.value) for v in found[:2]] == [(40.0, RAW), (15.0, INTERPOLATED)]
        assert found[3].Value.Value == 20.0 and found[3].StatusCode.value == RAW
        assert found[4].Value.Value == pytest.approx(35.0)
        assert found[4].StatusCode.value == SUBNORMAL | INTERPOLATED, "a Bad value lies between"
        # Across a gap nothing is interpolated: the PLC was not heard.
        await insert(load, [(start + 60_000, None, ua.StatusCodes.BadNoCommunication), (start + 90_000, 90.0, 0)])
        for simple in [False, True]:
            [before, inside] = await at_times(load, [at_ms(start + 59_000), at_ms(start + 75_000)], simple)
            assert (before.Value.Value, before.StatusCode.value) == (40.0, SUBNORMAL | INTERPOLATED)
            assert inside.StatusCode.value & 0xFFFF0000 == ua.StatusCodes.BadNoData


@pytest.mark.parametrize("aggregate, interval, span, status", [
    ("Average", 1000, 0, ua.StatusCodes.BadInvalidArgument),
    ("Average", -1000, 60_000, ua.StatusCodes.BadInvalidArgument),
    (None, 1000, 60_000, ua.StatusCodes.BadAggregateNotSupported),
])
async def test_a_wrong_request_is_told_why(service, aggregate, interval, span, status):
    async with connected(service.url) as client:
        load = await variable(client, service)
        node_id = standard(aggregate) if aggregate else ua.NodeId(11_111_111)
        details = processed_details(node_id, at_ms(START), at_ms(START + span), interval)
        assert (await read(load, details)).StatusCode.value == status


async def test_percents_that_contradict_each_other_are_refused(service):
    async with connected(service.url) as client:
        load = await variable(client, service)
        configuration = ua.AggregateConfiguration(PercentDataBad=20, PercentDataGood=60)
        details = processed_details(standard("Average"), at_ms(START), at_ms(START + 60_000), 1000, configuration)
        assert (await read(load, details)).StatusCode.value == ua.StatusCodes.BadAggregateInvalidInputs


async def test_many_intervals_come_in_pages_and_none_twice(service):
    start = START + 30 * DAY
    async with connected(service.url) as client:
        load = await variable(client, service)
        await insert(load, [(start + i * 1000, float(i), 0) for i in range(1000)])
        found = await processed(load, standard("Count"), at_ms(start), at_ms(start + 1_000_000), 40)
        assert len(found) == 25_000
        assert [ms_of(v.SourceTimestamp) for v in found] == [start + 40 * i for i in range(25_000)]
        assert sum(v.Value.Value for v in found) == 1000
        backwards = await processed(load, standard("Average"), at_ms(start + 1_000_000), at_ms(start), 100_000)
        assert [ms_of(v.SourceTimestamp) for v in backwards] == [start + 1_000_000 - i * 100_000 for i in range(10)]
        assert backwards[0].Value.Value == pytest.approx(statistics.fmean(range(901, 1000)))
