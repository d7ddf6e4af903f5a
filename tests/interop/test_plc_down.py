"""A PLC that stops takes only its own twins with it, and they come back by themselves."""

import asyncio
import os
import signal
from datetime import timedelta

import pytest

from support.client import (
    BAD_NO_COMMUNICATION, child, connected, eventually, history, now, subscribed, text_of, twins, variables)
from support.config import PUBLISHING_MS, twin_name

NOTICED = timedelta(milliseconds=2 * PUBLISHING_MS, seconds=3)


def write(plc, value):
    at = text_of(now())
    return asyncio.to_thread(plc.set, {"name": "Temperature", "value": value, "source": at, "server": at})


@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize("stack", ["asyncua", "node"])
async def test_a_lost_plc_turns_its_twins_bad_and_comes_back_without_a_restart(world, stack, how):
    lost, other = world.plc(stack, "lost"), world.plc("node" if stack == "asyncua" else "asyncua", "other")
    service = world.run(lost, other)
    async with connected(service.url) as client:
        found = await twins(client)
        of_lost, of_other = [await variables(found[twin_name(plc)]) for plc in (lost, other)]
        async with subscribed(client, [*of_lost.values(), of_other["Temperature"]]) as (inbox, _, _):
            for node, plc in ((of_lost["Temperature"], lost), (of_other["Temperature"], other)):
                await inbox.until(node, lambda sample: sample.status == 0)
                await write(plc, 31.5)
                await inbox.until(node, lambda sample: sample.value == 31.5)

            stopped_at = now()
            if how == "killed":
                lost.stop()
            else:
                os.kill(lost.process.child.pid, signal.SIGSTOP)
            for name, node in of_lost.items():
                bad = await inbox.until(node, lambda sample: sample.status == BAD_NO_COMMUNICATION, 30)
                assert bad.value is None, name
                assert stopped_at - timedelta(seconds=1) <= bad.source <= stopped_at + NOTICED, (name, bad.source - stopped_at)
            state = await child(found[twin_name(lost)], "Connection/State")
            assert await state.read_value() != await (await child(found[twin_name(other)], "Connection/State")).read_value()

            await write(other, 32.5)
            await inbox.until(of_other["Temperature"], lambda sample: sample.value == 32.5)
            assert all(sample.status == 0 for sample in inbox.samples(of_other["Temperature"])[-2:])

            if how == "killed":
                lost.start()
            else:
                os.kill(lost.process.child.pid, signal.SIGCONT)

            async def flows_again():
                await write(lost, 33.5)
                return any(sample.value == 33.5 for sample in inbox.samples(of_lost["Temperature"]))
            await eventually(flows_again, 60, every_s=0.5)
            assert await state.read_value() == await (await child(found[twin_name(other)], "Connection/State")).read_value()

        remembered = await history(of_lost["Temperature"], stopped_at - timedelta(seconds=10), now())
        statuses = [sample.status for sample in remembered]
        assert BAD_NO_COMMUNICATION in statuses, "the gap begins with a Bad sample"
        assert statuses[0] == 0 and statuses[-1] == 0
        assert service.process.running()
