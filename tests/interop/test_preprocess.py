"""Samples of a foreign PLC through every filter, through expressions and in every type, against what they should come to."""

import asyncio
import math
from datetime import timedelta

import numpy as np
import pytest
from asyncua import ua

from support import filters
from support.client import Sample, connected, eventually, history, now, subscribed, text_of, twins, variables
from support.history import data_value, update

NAMESPACE = "urn:foreign:line"
UNCERTAIN, FAILED = ua.StatusCodes.UncertainSensorNotAccurate, ua.StatusCodes.BadSensorFailure
TYPES = {
    "Boolean": [True, False], "SByte": [-128, 127], "Byte": [255, 0], "Int16": [-32768, 32767], "UInt16": [65535, 0],
    "Int32": [-(2**31), 2**31 - 1], "UInt32": [2**32 - 1, 0], "Int64": [-(2**63), 2**63 - 1], "UInt64": [2**64 - 1, 2**53 + 1],
    "Float": [-1.5, 2.0**100], "Double": [5e-324, -1e300], "String": ["Ölfaß №9", ""],
}
ARRAYS = {name: TYPES[name] for name in ["Boolean", "SByte", "Int16", "UInt32", "Int64", "UInt64", "Float", "Double", "String"]}
NUMBERS = ["Raw", "Clean", "Shuffled", "Flow", "Pressure", "Past", "Other"]
LINE = {"namespaces": [NAMESPACE], "variables": [
    *({"name": name, "namespace": NAMESPACE, "id": f"s={name}", "type": "Double", "initial": 1.0} for name in NUMBERS),
    {"name": "State", "namespace": NAMESPACE, "id": "s=State", "type": "Int32", "initial": 0},
    {"name": "Count", "namespace": NAMESPACE, "id": "s=Count", "type": "Int16", "initial": 0},
    *({"name": f"A{name}", "namespace": NAMESPACE, "id": f"s=A{name}", "type": name, "initial": values[0]} for name, values in TYPES.items()),
    *({"name": f"L{name}", "namespace": NAMESPACE, "id": f"s=L{name}", "type": name, "initial": values} for name, values in ARRAYS.items()),
]}
FILTERS = {
    "Scaled": ("Raw", "{ scale = { factor = 0.1, offset = -3 } }"),
    "Celsius": ("Raw", '{ unit = { from = "degF" } }'),
    "Ranged": ("Raw", "{ range = {} }"),
    "Clamped": ("Raw", '{ range = { outside = "clamp" } }'),
    "Marked": ("Raw", "{ hampel = { window = 9, sigmas = 4 } }"),
    "Rejected": ("Raw", '{ hampel = { window = 9, sigmas = 4, outlier = "bad" } }'),
    "Mended": ("Raw", '{ hampel = { window = 9, sigmas = 4, outlier = "median" } }'),
    "Smooth": ("Raw", '{ lowpass = { time_constant = "3s" } }'),
    "Banded": ("Raw", "{ deadband = { absolute = 1.5 } }"),
    "Percent": ("Raw", "{ deadband = { percent = 2 } }"),
    "Chain": ("Raw", '{ hampel = { window = 9, sigmas = 4, outlier = "median" } }, { lowpass = { time_constant = "3s" } }, { deadband = { absolute = 1 } }'),
    "Grid": ("Clean", '{ resample = { step = "1s" } }'),
    "Ordered": ("Shuffled", '{ order = { late = "drop", duplicates = "drop" } }'),
}
DERIVED = {
    "Power": ("Flow * Pressure / 600", "W"),
    "Twice": ("2 * Power", "W"),
    "Share": ("Flow / Divisor", ""),
    "Product": ("Past * Other", ""),
}


def config(plc):
    lines = [f'[plc.{plc.name}]\nendpoint = "{plc.url}"\nsecurity_policy = "None"\npublishing_interval = "100ms"\nbackfill = "1h"\n']

    def variable(name, source, *rest):
        lines.append(f'[twin_type.Line.variable.{name}]\nsource = "nsu={NAMESPACE};s={source}"\nsampling_interval = "0s"\n' + "\n".join(rest) + "\n")
    for name, (source, chain) in FILTERS.items():
        variable(name, source, 'unit = "°C"', "range = [0, 100]", f"preprocess = [{chain}]")
    for name in ["Flow", "Pressure", "Past", "Other"]:
        variable(name, name)
    variable("Debounced", "State", 'data_type = "Int32"', 'states = ["Off", "On", "Fault"]', 'preprocess = [{ debounce = { time = "2s" } }]')
    variable("Counted", "Count", 'preprocess = [{ scale = { factor = 0.5 } }]', 'data_type = "Int32"')
    variable("Wide", "Count", 'data_type = "Double"')
    variable("Text", "Count", 'data_type = "String"')
    for name in TYPES:
        variable(f"A{name}", f"A{name}", f'data_type = "{name}"')
    for name in ARRAYS:
        variable(f"L{name}", f"L{name}", f'data_type = "{name}"', "array = true")
    lines.append("[twin_type.Line.variable.Divisor]\n")
    for name, (expr, unit) in DERIVED.items():
        lines.append(f'[twin_type.Line.variable.{name}]\nexpr = "{expr}"\nunit = "{unit}"\n')
    lines.append("[twin_type.Line.variable.Enough]\nexpr = \"Flow > 20\"\ndata_type = \"Boolean\"\n")
    lines.append(f'[twin.L1]\ntype = "Line"\nplc = "{plc.name}"\n')
    return "".join(lines)


class Line:
    def __init__(self, plc, service, began):
        self.plc, self.service, self.began = plc, service, began

    async def send(self, samples):
        """(PLC's variable, sample) in order, at their own times; each burst fits the queues."""
        # Of a Bad one asyncua passes no value on.
        entries = [{"name": name, "value": 0.0 if x is None else x, "status": status, "source": text_of(self.time(t)), "server": text_of(now())}
                   for name, (t, x, status) in samples]
        for first in range(0, len(entries), 50):
            await asyncio.to_thread(self.plc.set, *entries[first:first + 50])
            await asyncio.sleep(0.3)

    def time(self, seconds):
        return self.began + timedelta(microseconds=round(seconds * 1e6))

    async def stored(self, node, first, last):
        """History between two times, once it reaches the last, as (seconds, value, status)."""
        async def there():
            samples = await history(node, self.time(first), self.time(last + 1e-5))
            return samples if samples and samples[-1].source >= self.time(last) else None
        samples = await eventually(there, 20)
        return [((sample.source - self.began) / timedelta(seconds=1), sample.value, sample.status) for sample in samples]


@pytest.fixture(scope="module")
def line(make_world):
    world = make_world()
    plc = world.plc("asyncua", "north", line=LINE)
    # Before anybody has connected: ten minutes of the past of two variables, at one instant each.
    past = (now() - timedelta(minutes=20)).replace(microsecond=0)
    for name in ["Past", "Other"]:
        plc.history(name, text_of(past), 1000, 600)
    service = world.run_types("Filtered line", config(plc))
    asyncio.run(ready(service))
    # What the PLC begins with is older; grids are those of whole seconds.
    line = Line(plc, service, (now() + timedelta(seconds=2)).replace(microsecond=0))
    line.past = past
    return line


async def variables_of(client):
    return await variables((await twins(client))["L1"])


async def ready(service):
    """Returns when the PLC's first values are there."""
    async with connected(service.url) as client:
        live = await variables_of(client)

        async def good():
            values = await client.read_attributes([live[name] for name in ["Scaled", "Debounced", "Flow", "LString"]])
            return all(value.StatusCode.is_good() for value in values)
        await eventually(good, 30)


def raw_samples():
    """A noisy signal at uneven times, with spikes, and statuses of every kind."""
    generator = np.random.default_rng(6)
    times = np.round(np.cumsum(generator.uniform(0.05, 1.5, 160)), 4)
    values = 40 + 20 * np.sin(times / 9) + generator.normal(0, 0.7, times.size)
    values[[30, 77, 120]] += [60, -90, 200]
    statuses = [0] * times.size
    for i, status in [(50, UNCERTAIN), (51, UNCERTAIN), (90, FAILED), (91, FAILED), (140, ua.StatusCodes.GoodLocalOverride)]:
        statuses[i] = status
    return [(float(t), None if filters.is_bad(status) else float(x), status) for t, x, status in zip(times, values, statuses, strict=True)]


def same(found, expected, name):
    assert [s[0] for s in found] == pytest.approx([s[0] for s in expected], abs=1e-6), f"{name}: times"
    assert [hex(s[2]) for s in found] == [hex(s[2]) for s in expected], f"{name}: statuses"
    for (t, x, _), (_, wanted, _) in zip(found, expected, strict=True):
        # 1e-9: both round in other orders; timestamps are of microseconds here, 1e-6/3 s of a low-pass over 20.
        assert x == wanted or x == pytest.approx(wanted, rel=1e-5 if name in ("Smooth", "Chain") else 1e-9), f"{name} at {t}"


async def test_every_filter_gives_what_its_definition_says(line):
    sent = raw_samples()
    async with connected(line.service.url) as client:
        scaled = (await variables_of(client))["Scaled"]
        [first] = await eventually(lambda: history(scaled, now() - timedelta(hours=1), line.began), 10)
    raw = [((first.source - line.began) / timedelta(seconds=1), 1.0, 0), *sent]
    mended = filters.hampel(raw, 9, 4, "median")
    expected = {
        "Scaled": filters.scaled(raw, 0.1, -3),
        "Celsius": filters.scaled(raw, 5 / 9, -160 / 9),
        "Ranged": filters.ranged(raw, 0, 100, clamp=False),
        "Clamped": filters.ranged(raw, 0, 100, clamp=True),
        "Marked": filters.hampel(raw, 9, 4, "uncertain"),
        "Rejected": filters.hampel(raw, 9, 4, "bad"),
        "Mended": mended,
        "Smooth": filters.lowpass(raw, 3),
        "Banded": filters.deadband(raw, 1.5),
        "Percent": filters.deadband(raw, 2),
        "Chain": filters.deadband(filters.lowpass(mended, 3), 1),
    }
    # What the test is about is in it.
    assert sum(status == ua.StatusCodes.UncertainSubstituteValue for *_, status in mended) >= 3
    assert 20 < len(expected["Banded"]) < 150
    async with connected(line.service.url) as client:
        live = await variables_of(client)
        async with subscribed(client, [live["Banded"], live["Smooth"]]) as (inbox, _, _):
            await line.send([("Raw", sample) for sample in sent])
            for name, wanted in expected.items():
                wanted = [sample for sample in wanted if sample[0] >= sent[0][0]]
                same(await line.stored(live[name], 0, wanted[-1][0]), wanted, name)
                shown = Sample.of(await live[name].read_data_value(raise_on_bad_status=False))
                assert (shown.source, shown.status) == (line.time(wanted[-1][0]), wanted[-1][2]), name
            for name in ["Banded", "Smooth"]:
                last = expected[name][-1]
                await inbox.until(live[name], lambda sample, last=last: sample.source == line.time(last[0]))
                # Of a burst a subscriber is told the latest; whatever it is told stands in history.
                told = [sample for sample in inbox.samples(live[name]) if sample.source and sample.source >= line.began]
                stands = {line.time(t): (x, status) for t, x, status in expected[name]}
                assert told[-1].source == line.time(last[0])
                for sample in told:
                    x, status = stands[sample.source]
                    assert sample.status == status and (sample.value == x or sample.value == pytest.approx(x, rel=1e-5)), name
        words = await (await live["Chain"].get_child("0:Definition")).read_value()
        assert words == ("north: nsu=urn:foreign:line;s=Raw → hampel(window: 9, sigmas: 4, least: 0, outlier: median) → "
                         "lowpass(time_constant: 3s) → deadband(1)")


async def test_a_grid_states_that_stand_and_samples_out_of_order(line):
    generator = np.random.default_rng(7)
    times = np.round(np.cumsum(generator.uniform(0.05, 2.2, 60)), 4)
    clean = [(float(t), float(x), 0) for t, x in zip(times, generator.normal(50, 9, times.size), strict=True)]
    order = [1, 2, 3, 2.5, 4, 4, 6, 5, 7, 7.5, 7.25, 8]
    shuffled = [(float(t), float(10 + i), 0) for i, t in enumerate(order)]
    states = [(0, 0), (1, 0), (2, 1), (3, 1), (4.5, 1), (5, 1), (6, 0), (7, 1), (8, 2), (9, 2), (11, 2), (12, 0), (13, 0), (14, 0), (14.5, 2), (15, 0)]
    states = [(float(t), x, 0) for t, x in states]
    expected = {"Grid": filters.resampled(clean, 1.0), "Ordered": filters.in_order(shuffled), "Debounced": filters.debounce(states, 2)}
    assert len(expected["Grid"]) > 40 and len(expected["Ordered"]) == 8 and len(expected["Debounced"]) == 11
    async with connected(line.service.url) as client:
        live = await variables_of(client)
        await line.send([("Clean", sample) for sample in clean])
        await line.send([("Shuffled", sample) for sample in shuffled])
        await line.send([("State", sample) for sample in states])
        for name, wanted in expected.items():
            # The grid begins with the value that the PLC had before the test.
            same(await line.stored(live[name], wanted[0][0], wanted[-1][0]), wanted, name)
        # A state that the PLC does not tell again goes on by itself.
        await line.send([("State", (20.0, 2, 0))])
        found = await line.stored(live["Debounced"], 0, 20.0)
        assert found[-1] == (20.0, 2, 0)
        assert [text.Text for text in await (await live["Debounced"].get_child("0:EnumStrings")).read_value()] == ["Off", "On", "Fault"]


async def test_derived_variables_follow_by_time_status_and_number(line):
    generator = np.random.default_rng(8)
    times = np.round(np.cumsum(generator.uniform(0.05, 0.6, 80)), 4)
    flow = [(float(t), float(x), 0) for t, x in zip(times[::2], generator.normal(20, 3, 40), strict=True)]
    pressure = [(float(t), float(x), 0) for t, x in zip(times[1::2], generator.normal(300, 9, 40), strict=True)]
    both = float(times[-1]) + 1
    flow += [(both, 10.0, 0), (both + 1, 11.0, UNCERTAIN), (both + 2, 12.0, 0), (both + 3, 13.0, 0), (both + 6, 14.0, 0)]
    pressure += [(both, 100.0, 0), (both + 2, None, FAILED), (both + 4, None, FAILED), (both + 5, 200.0, 0)]
    expected = filters.derived([flow, pressure], lambda f, p: f * p / 600)
    assert any(x is None for _, x, _ in expected) and any(status == UNCERTAIN for *_, status in expected)
    async with connected(line.service.url) as client:
        live = await variables_of(client)
        sent = sorted([("Flow", sample) for sample in flow] + [("Pressure", sample) for sample in pressure], key=lambda entry: entry[1][0])
        await line.send(sent)
        for name, factor in [("Power", 1), ("Twice", 2)]:
            found = await line.stored(live[name], flow[1][0], expected[-1][0])
            wanted = [(t, None if x is None else factor * x, status) for t, x, status in expected if t >= flow[1][0]]
            same(found, wanted, name)
        assert await live["Enough"].read_value() is False
        assert await (await live["Power"].get_child("0:Definition")).read_value() == "= Flow * Pressure / 600"
        # It is computed: nobody writes it, now or then.
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await live["Power"].write_value(ua.DataValue(ua.Variant(1.0, ua.VariantType.Double)))
        assert refused.value.code == ua.StatusCodes.BadNotWritable
        level = (await live["Power"].read_attribute(ua.AttributeIds.AccessLevel)).Value.Value
        assert level == 1 << ua.AccessLevel.CurrentRead | 1 << ua.AccessLevel.HistoryRead
        edited = await update(live["Power"], ua.PerformUpdateType.Insert, [data_value(1.0, line.time(0.001))])
        assert edited == (ua.StatusCodes.BadHistoryOperationUnsupported, [])
        # What clients write is an input like others; a division by zero is no number.
        await live["Divisor"].write_value(7.0)

        async def share(status):
            value = await live["Share"].read_data_value(raise_on_bad_status=False)
            return value if value.StatusCode.value == status else None
        assert (await eventually(lambda: share(0), 10)).Value.Value == 2.0
        await live["Divisor"].write_value(0.0)
        written = await live["Divisor"].read_data_value()
        undefined = await eventually(lambda: share(ua.StatusCodes.BadOutOfRange), 10)
        newest = max(written.SourceTimestamp, line.time(flow[-1][0]))
        assert (undefined.Value.Value, undefined.SourceTimestamp) == (None, newest)


async def test_what_the_plc_remembers_is_derived_from_too(line):
    async with connected(line.service.url) as client:
        live = await variables_of(client)

        async def derived():
            samples = await history(live["Product"], line.past - timedelta(seconds=1), line.past + timedelta(minutes=11))
            return samples if len(samples) >= 600 else None
        found = await eventually(derived, 30)
        assert [sample.source for sample in found] == [line.past + timedelta(seconds=i) for i in range(600)]
        assert [(sample.value, sample.status) for sample in found] == [(float(i * i), 0) for i in range(600)]


async def test_every_type_comes_through_live_history_and_subscription(line):
    async with connected(line.service.url) as client:
        live = await variables_of(client)
        names = [f"A{name}" for name in TYPES] + [f"L{name}" for name in ARRAYS]
        # Each differs from the one before, the first from what the PLC began with.
        scalars = [{f"A{name}": values[i] for name, values in TYPES.items()} for i in (1, 0, 1)]
        arrays = [{f"L{name}": part(values) for name, values in ARRAYS.items()} for part in (lambda _: [], lambda v: v[::-1], lambda _: [])]
        sets = [scalar | array for scalar, array in zip(scalars, arrays, strict=True)]
        async with subscribed(client, [live[name] for name in names]) as (inbox, _, _):
            for i, values in enumerate(sets):
                await line.send([(name, (100.0 + i, value, 0)) for name, value in values.items()])
            for name in names:
                wanted = [Sample(values[name], 0, line.time(100.0 + i)) for i, values in enumerate(sets)]
                await inbox.until(live[name], lambda sample, last=wanted[-1]: sample.source == last.source)
                assert [s for s in inbox.samples(live[name]) if s.source and s.source >= line.time(99)] == wanted, f"{name} to a subscriber"

                async def stored(name=name):
                    return len(await history(live[name], line.time(99), line.time(200))) == 3
                await eventually(stored, 10)
                assert await history(live[name], line.time(99), line.time(200)) == wanted, f"{name} in history"
                shown = await live[name].read_data_value()
                assert Sample.of(shown) == wanted[-1], name
                assert shown.Value.VariantType.name == name[1:] and shown.Value.is_array == (name[0] == "L"), name
                assert (await live[name].read_data_type_as_variant_type()).name == name[1:], name
                rank = (await live[name].read_attribute(ua.AttributeIds.ValueRank)).Value.Value
                assert rank == (1 if name[0] == "L" else -1), name


async def test_a_value_has_the_variables_type_whatever_the_plc_sends(line):
    async with connected(line.service.url) as client:
        live = await variables_of(client)
        await line.send([("Count", (1.0, 7, 0))])

        async def there():
            return (await live["Wide"].read_value()) == 7
        await eventually(there, 10)
        for name, kind, wanted in [("Wide", "Double", 7.0), ("Counted", "Int32", 4)]:
            shown = (await live[name].read_data_value()).Value
            assert (shown.VariantType.name, shown.Value) == (kind, wanted), name
            [stored] = await history(live[name], line.time(1), line.time(1.5))
            assert stored.value == wanted and math.isfinite(wanted)
        text = await live["Text"].read_data_value(raise_on_bad_status=False)
        assert (text.StatusCode.value, text.Value.Value) == (ua.StatusCodes.BadTypeMismatch, None)


async def test_a_lost_plc_takes_derived_variables_with_it(line):
    async with connected(line.service.url) as client:
        live = await variables_of(client)
        line.plc.stop()

        async def lost():
            value = await live["Twice"].read_data_value(raise_on_bad_status=False)
            return value.StatusCode.value == ua.StatusCodes.BadNoCommunication and value.Value.Value is None
        await eventually(lost, 30)
