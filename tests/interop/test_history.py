"""25,000 raw values over continuation points, without a loss or a double, for every client."""

from datetime import timedelta

import pytest
from asyncua import ua

from support.client import Sample, connected, eventually, history, history_pages, now, text_of, twins, variables
from support.config import twin_name
from support.other_clients import run_steps, samples_of

COUNT, STEP_MS, PAGE = 25_000, 40, 1000


class Past:
    """A PLC that remembers 25,000 values from before the service first saw it, and the service that fetched them."""

    def __init__(self, world):
        self.world = world
        self.start = now().replace(microsecond=0) - timedelta(minutes=20)
        self.end = self.start + timedelta(milliseconds=COUNT * STEP_MS)
        assert self.end < now()
        self.plc = world.plc("asyncua", "north")
        self.plc.history("Load", text_of(self.start), STEP_MS, COUNT)
        self.service = world.run(self.plc, backfill="1h")
        self.expected = [Sample(float(i), 0, self.start + timedelta(milliseconds=i * STEP_MS)) for i in range(COUNT)]

    @property
    def load(self):
        return f"nsu=urn:uatwin:twins;s={twin_name(self.plc)}.Load"

    async def node(self, client):
        return (await variables((await twins(client))[twin_name(self.plc)]))["Load"]


@pytest.fixture(scope="module")
def past(make_world):
    return Past(make_world())


async def test_a_first_connect_backfills_what_the_plc_remembers(past):
    async with connected(past.service.url) as client:
        load = await past.node(client)

        async def filled():
            return len(await history(load, past.start, past.end, page=10_000)) >= COUNT
        await eventually(filled, 60, every_s=1)
        assert await history(load, past.start, past.end, page=10_000) == past.expected


@pytest.mark.parametrize("page", [PAGE, 777, 1])
async def test_pages_have_the_size_asked_for_and_miss_and_repeat_nothing(past, client_identity, page):
    count = min(COUNT, 200 * page)
    async with connected(past.service.url, client_identity) as client:
        load = await past.node(client)
        pages = [values async for values in history_pages(load, past.start, past.expected[count - 1].source + timedelta(microseconds=1), page)]
        assert [Sample.of(value) for values in pages for value in values] == past.expected[:count]
        assert all(len(values) == page for values in pages[:-1])


async def test_history_runs_backwards_too(past):
    async with connected(past.service.url) as client:
        load = await past.node(client)
        backwards = await history(load, past.end, past.start - timedelta(milliseconds=1), PAGE)
        assert backwards == past.expected[::-1]


@pytest.mark.parametrize("policy", ["None", "SignAndEncrypt"])
def test_node_opcua_reads_all_of_it(past, identity, policy):
    step = {"history": {"node": past.load, "start": text_of(past.start), "end": text_of(past.end), "page": PAGE}}
    [pages] = run_steps("node", past.service.url, past.world.folder, identity if policy != "None" else None, step)
    assert samples_of(value for page in pages for value in page) == past.expected


def test_open62541_reads_all_of_it(past, identity):
    """Only with security: on policy None the server library's empty nonce is refused by this client (known limit)."""
    step = {"history": {"node": past.load, "start": text_of(past.start), "end": text_of(past.end)}}
    [values] = run_steps("o6", past.service.url, past.world.folder, identity, step)
    assert samples_of(values) == past.expected


async def test_a_continuation_point_that_is_not_ours_is_refused(past):
    async with connected(past.service.url) as client:
        load = await past.node(client)
        details = ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=past.start, EndTime=past.end, NumValuesPerNode=10, ReturnBounds=False)
        result = await load.history_read(details, b"nonsense")
        assert result.StatusCode.value == ua.StatusCodes.BadContinuationPointInvalid
