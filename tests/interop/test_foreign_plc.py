"""A PLC that we did not write feeds a twin through nothing but a config file; everything arrives unchanged."""

import asyncio
from datetime import timedelta

import pytest
from asyncua import ua

from support.client import (
    Sample, connected, eventually, history, now, recent_history, subscribed, text_of, time_of, twins, variables)
from support.config import SAMPLING_MS, twin_name
from support.plc import LINE

NAMES = [variable["name"] for variable in LINE["variables"]]
# Between two Bad ones a Good one: without a filter a client is not told of Bad → other Bad (both null).
STATUSES = {
    "Good": 0x00000000,
    "Bad_SensorFailure": 0x808C0000,
    "Good_LocalOverride": 0x00960000,
    "Uncertain_LastUsableValue": 0x40900000,
    "Bad_OutOfService": 0x808D0000,
    "Uncertain_SensorNotAccurate, limit high, InfoType DataValue": 0x40930600,
    "Good again": 0x00000000,
}
VALUES = {
    "Double": [21.125, 1e-300, -0.1, 1e300, 5e-324, 0.1 + 0.2, 3.0],
    "Float": [3.5, 0.25, -1.5, 2.0**100, 2.0**-126, 1.0, 0.0],
    "Int32": [-(2**31), 2**31 - 1, 0, -1, 1, 42, 7],
    "UInt16": [65535, 0, 1, 32768, 2, 1000, 3],
    "Boolean": [False, True, False, True, False, True, False],
    "Double[]": [[0.5], [], [1e300, -0.0], [7.0] * 500, [1.0, 2.0], [3.0], [4.0]],
    "String": ["Ölfaß №9", "", "b", "数字双胞胎", "d", " e ", "f\nf"],
}


def kind(variable):
    return variable["type"] + ("[]" if variable.get("array") else "")


async def write_round(plc, index, status):
    """Sets every variable; gives what then stood in the PLC's address space."""
    at = now()
    written = await asyncio.to_thread(plc.set, *(
        {"name": variable["name"], "value": VALUES[kind(variable)][index], "status": status,
         "source": text_of(at), "server": text_of(at + timedelta(milliseconds=1))}
        for variable in LINE["variables"]))
    await asyncio.sleep(10 * SAMPLING_MS / 1000)  # a stack that samples must see every value
    return {entry["name"]: Sample(entry["value"], entry["status"], time_of(entry["source"])) for entry in written}


@pytest.mark.parametrize("secure", [False, True], ids=["None", "SignAndEncrypt+user"])
@pytest.mark.parametrize("stack", ["asyncua", "node"])
async def test_values_timestamps_and_statuses_arrive_unchanged(world, stack, secure):
    plc = world.plc(stack, "north", secure)
    service = world.run(plc)
    async with connected(service.url) as client:
        live = await variables((await twins(client))[twin_name(plc)])
        assert set(NAMES) <= set(live)
        initial = {variable["name"]: variable["initial"] for variable in LINE["variables"]}

        async def all_there():
            values = await client.read_attributes([live[name] for name in NAMES])
            return all(Sample.of(value).value == initial[name] for name, value in zip(NAMES, values, strict=True))
        await eventually(all_there, 20)

        async with subscribed(client, [live[name] for name in NAMES]) as (inbox, _, _):
            began = now()
            rounds = [await write_round(plc, index, status) for index, status in enumerate(STATUSES.values())]
            for name in NAMES:
                written = [entry[name] for entry in rounds]
                await inbox.until(live[name], lambda sample, last=written[-1]: sample == last)
                notified = [sample for sample in inbox.samples(live[name]) if sample.source and sample.source >= began]
                assert notified == written, f"{name} to a subscriber"
        for name in NAMES:
            written = [entry[name] for entry in rounds]
            remembered = await history(live[name], began, now() + timedelta(minutes=1))
            assert remembered == written, f"{name} in history"


@pytest.mark.parametrize("stack", ["asyncua", "node"])
async def test_a_variable_has_the_data_type_of_its_config(world, stack):
    plc = world.plc(stack, "north")
    service = world.run(plc)
    async with connected(service.url) as client:
        live = await variables((await twins(client))[twin_name(plc)])
        for variable in LINE["variables"]:
            data_type = await live[variable["name"]].read_data_type_as_variant_type()
            assert data_type.name == variable["type"], variable["name"]
            rank = (await live[variable["name"]].read_attribute(ua.AttributeIds.ValueRank)).Value.Value
            assert rank == (1 if variable.get("array") else -1), variable["name"]


async def test_a_source_that_does_not_exist_turns_only_its_variable_bad(world):
    plc = world.plc("asyncua", "north")
    service = world.run(plc, replace={"i=5042": "i=999999"})
    async with connected(service.url) as client:
        live = await variables((await twins(client))[twin_name(plc)])

        async def others_are_good():
            return (await live["Temperature"].read_data_value(raise_on_bad_status=False)).StatusCode.is_good()
        await eventually(others_are_good, 20)
        pressure = await live["Pressure"].read_data_value(raise_on_bad_status=False)
        assert pressure.StatusCode.is_bad()
        assert Sample.of(pressure).value is None


async def test_a_stream_of_100_values_per_second_arrives_without_a_loss(world):
    plc = world.plc("asyncua", "north")
    service = world.run(plc)
    hz, count = 100, 1000
    async with connected(service.url) as client:
        load = (await variables((await twins(client))[twin_name(plc)]))["Load"]

        async def good():
            return (await load.read_data_value(raise_on_bad_status=False)).StatusCode.is_good()
        await eventually(good, 20)
        start = time_of((await asyncio.to_thread(plc.stream, "Load", hz, count, 1))["start"])

        async def last_arrived():
            return (await load.read_value()) == count
        await eventually(last_arrived, 20)
        expected = [Sample(float(i + 1), 0, start + timedelta(microseconds=round(i * 1e6 / hz))) for i in range(count)]
        assert await history(load, start, now() + timedelta(minutes=1)) == expected
        every = [sample.source for sample in await recent_history(load)]
        assert every == sorted(set(every)), "history is in order and without doubles"
