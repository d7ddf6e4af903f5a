"""Hostile bytes on the port of the running program: valid messages of every kind, bent; lengths that lie; chunks out of order; noise. The program
lives and panics nowhere, its memory has a bound, and whoever is honest is served meanwhile. UATWIN_FUZZ_SECONDS=600 makes it ten minutes;
UATWIN_FUZZ_SEED another course."""

import asyncio
import logging
import os
import random
import struct
import time
from datetime import datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary, struct_to_binary

from support import service as services
from support.client import TWINS
from support.load import resident_kib
from support.raw import POLICY_NONE, Raw, Refused, activate_session, chunk, create_session, hello, open_channel, text

SECONDS = int(os.environ.get("UATWIN_FUZZ_SECONDS", "28"))
SEED = int(os.environ.get("UATWIN_FUZZ_SEED", "1"))
AT_ONCE = 8
# A message has 1 MiB here, of which eight are at work; the rest is what the allocator keeps. The bound is for ten minutes, too.
GROWTH_KIB = 192 << 10
CONFIG = """
[server.limits]
message_size = 1048576
[twin_type.T.variable.V]
[twin_type.T.variable.W]
data_type = "String"
[twin.T]
type = "T"
"""
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3FFFFFFF, 1 << 20, 500_000_000]


def requests(port, namespace):
    """A valid request of each service."""
    node, at = ua.NodeId("T.V", namespace), datetime(2026, 1, 1)

    def of(kind, **parameters):
        message = kind()
        for name, value in parameters.items():
            setattr(message.Parameters, name, value)
        return message
    value_id = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
    where = ua.ContentFilter(Elements=[ua.ContentFilterElement(FilterOperator=ua.FilterOperator.Equals, FilterOperands=[
        ua.SimpleAttributeOperand(TypeDefinitionId=ua.NodeId(2041), BrowsePath=[ua.QualifiedName("Severity")], AttributeId=ua.AttributeIds.Value),
        ua.LiteralOperand(Value=ua.Variant(1, ua.VariantType.UInt16))])])
    select = ua.SimpleAttributeOperand(TypeDefinitionId=ua.NodeId(2041), BrowsePath=[ua.QualifiedName("Message")], AttributeId=ua.AttributeIds.Value)
    filters = [None, ua.EventFilter(SelectClauses=[select], WhereClause=where),
               ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=1, DeadbandValue=0.5)]
    items = [ua.MonitoredItemCreateRequest(ItemToMonitor=value_id, MonitoringMode=ua.MonitoringMode.Reporting,
                                           RequestedParameters=ua.MonitoringParameters(ClientHandle=1, SamplingInterval=0.0, QueueSize=10, Filter=f))
             for f in filters]
    histories = [
        ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=at, EndTime=at, NumValuesPerNode=10),
        ua.ReadProcessedDetails(StartTime=at, EndTime=at, ProcessingInterval=1000.0, AggregateType=[ua.NodeId(2342)]),
        ua.ReadAtTimeDetails(ReqTimes=[at, at]),
    ]
    nested = ua.Variant([ua.Variant([ua.Variant(1.5)]), ua.Variant("x")], ua.VariantType.Variant)
    read_at = ua.HistoryReadValueId(NodeId=node)
    element = ua.RelativePathElement(ReferenceTypeId=ua.NodeId(33), IncludeSubtypes=True, TargetName=ua.QualifiedName("T", namespace))
    session = [create_session(port, 1_000.0), activate_session()]
    with_name = activate_session()
    with_name.Parameters.UserIdentityToken = ua.UserNameIdentityToken(PolicyId="userpass", UserName="ann", Password=b"secret")
    browse = ua.BrowseDescription(NodeId=ua.NodeId(85), BrowseDirection=ua.BrowseDirection.Forward, ReferenceTypeId=ua.NodeId(33),
                                  IncludeSubtypes=True, NodeClassMask=0, ResultMask=63)
    return [
        *session, with_name,
        of(ua.ReadRequest, NodesToRead=[value_id] * 3),
        of(ua.WriteRequest, NodesToWrite=[ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=ua.DataValue(nested))]),
        of(ua.WriteRequest, NodesToWrite=[ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=ua.DataValue(1.5))]),
        of(ua.BrowseRequest, NodesToBrowse=[browse], RequestedMaxReferencesPerNode=2),
        of(ua.BrowseNextRequest, ContinuationPoints=[b"123456"]),
        of(ua.TranslateBrowsePathsToNodeIdsRequest, BrowsePaths=[ua.BrowsePath(StartingNode=ua.NodeId(85), RelativePath=ua.RelativePath(Elements=[element]))]),
        *(of(ua.HistoryReadRequest, HistoryReadDetails=details, NodesToRead=[read_at] * 2) for details in histories),
        of(ua.CallRequest, MethodsToCall=[ua.CallMethodRequest(ObjectId=ua.NodeId(2253), MethodId=ua.NodeId(11492), InputArguments=[nested])]),
        of(ua.CreateSubscriptionRequest, RequestedPublishingInterval=100.0, RequestedLifetimeCount=10, RequestedMaxKeepAliveCount=3, PublishingEnabled=True),
        *(of(ua.CreateMonitoredItemsRequest, SubscriptionId=1, TimestampsToReturn=ua.TimestampsToReturn.Both, ItemsToCreate=[item]) for item in items),
        ua.PublishRequest(),
        of(ua.DeleteSubscriptionsRequest, SubscriptionIds=[1, 2, 3]),
    ]


def bent(dice, body):
    """Bits, numbers at their extremes, pieces doubled, taken out or cut off."""
    body = bytearray(body)
    for _ in range(dice.choice([1, 1, 1, 2, 3, 6])):
        if not body:
            break
        at = dice.randrange(len(body))
        match dice.randrange(6):
            case 0:
                body[at] ^= 1 << dice.randrange(8)
            case 1 | 2:
                width = dice.choice([1, 2, 4, 4, 8])
                extreme = dice.choice(EXTREMES) & ((1 << 8 * width) - 1)
                body[at:at + width] = extreme.to_bytes(width, "little")
            case 3:
                del body[at:]
            case 4:
                body[at:at] = body[at:at + 64] * dice.choice([1, 1, 50])
            case _:
                del body[at:at + dice.randrange(1, 16)]
    return bytes(body)


def argument_of_rank(rank):
    """An Argument in an ExtensionObject, for a header: 15 bytes that asked for gigabytes once."""
    body = text(None) + b"\0\1" + struct.pack("<i", rank) + struct.pack("<iI", 1, 5) + b"\0"
    return nodeid_to_binary(ua.NodeId(298)) + b"\1" + text(body)


def nested_variants(depth):
    """A ReadRequest's worth of Variants in Variants."""
    return b"\x98\1\0\0\0" * depth + b"\1\1"


async def bent_requests(dice, raw, templates):
    for _ in range(dice.randrange(1, 20)):
        template = dice.choice(templates)
        raw.sequence += 1
        template.RequestHeader.AuthenticationToken = raw.token
        body = struct_to_binary(template)
        raw.writer.write(raw.framed(bent(dice, body) if dice.random() < 0.9 else body))


async def chunks(dice, raw, templates):
    """A message in many chunks, of lengths and in an order of its own."""
    body = struct_to_binary(dice.choice(templates))
    for _ in range(dice.choice([1, 3, 30, 300])):
        raw.sequence += dice.choice([1, 1, 1, 1, 0, 7])
        piece = body[:dice.randrange(1, len(body))] * dice.choice([1, 1, 200])
        raw.writer.write(raw.framed(piece[:65_000], dice.choice([b"MSGC"] * 20 + [b"MSGF", b"MSGA", b"OPNC", b"CLOC"])))


async def lying_lengths(dice, raw, _):
    kind = dice.choice([b"MSGF", b"OPNF", b"CLOF", b"HELF", b"MSGC"])
    raw.writer.write(chunk(kind, dice.randbytes(dice.randrange(200)), dice.choice(EXTREMES)))
    raw.writer.write(dice.randbytes(dice.choice([0, 100, 100_000])))


async def by_hand(dice, raw, templates):
    """What is known to be greedy."""
    request = dice.choice(templates)
    request.RequestHeader.AuthenticationToken = raw.token
    body = struct_to_binary(request)
    # The additional header is the last three bytes of a header whose length is that of an empty request's.
    empty = struct_to_binary(request.RequestHeader)
    at = body.find(empty)
    additional = dice.choice([argument_of_rank(dice.choice([65, 500_000_000, 0x7FFFFFFF])), nodeid_to_binary(ua.NodeId(298)) + b"\1" + text(nested_variants(5_000))])
    raw.sequence += 1
    raw.writer.write(raw.framed(body[:at] + empty[:-3] + additional + body[at + len(empty):]))
    raw.sequence += 1
    deep = ua.WriteRequest()
    deep.RequestHeader.AuthenticationToken = raw.token
    raw.writer.write(raw.framed(struct_to_binary(deep)[:-4] + struct.pack("<i", 1) + nodeid_to_binary(ua.NodeId(85)) + struct.pack("<I", 13) + text(None)
                                + b"\1" + nested_variants(dice.choice([10, 100, 10_000]))))


async def noise(dice, raw, _):
    raw.writer.write(dice.randbytes(dice.choice([1, 10, 1_000, 70_000])))


async def without_hello(dice, raw, templates):
    """Before anything was agreed."""
    first = [hello(raw.port), open_channel(), POLICY_NONE, struct_to_binary(dice.choice(templates))]
    for message in dice.sample(first, dice.randrange(1, len(first))):
        raw.writer.write(bent(dice, message))


CONNECTED = [bent_requests] * 6 + [chunks, chunks, lying_lengths, by_hand, noise]


async def one(dice, port, templates, counts):
    """One connection, from its begin to whatever end."""
    raw = Raw(port)
    begin = dice.random()
    try:
        if begin < 0.15:
            raw.reader, raw.writer = await asyncio.open_connection("127.0.0.1", port)
            kind = dice.choice([without_hello, noise, lying_lengths])
        else:
            await raw.connect()
            if begin > 0.3:
                await raw.create_session(1_000.0)
                if begin > 0.4:
                    await raw.ask(activate_session(), ua.ActivateSessionResponse)
                raw.reading.cancel()
                await asyncio.gather(raw.reading, return_exceptions=True)
            kind = dice.choice(CONNECTED)
        counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
        await kind(dice, raw, templates)
        async with asyncio.timeout(dice.choice([0.02, 0.1, 0.3])):
            await raw.writer.drain()
            while await raw.reader.read(1 << 16):
                pass
    except (Refused, OSError, TimeoutError):
        pass
    finally:
        if hasattr(raw, "writer"):
            raw.drop()


async def attack(dice, port, templates, counts, until):
    while time.monotonic() < until:
        await one(dice, port, templates, counts)


async def honest(raw, node, asked, until):
    """Asks all the time, and is answered each time."""
    while time.monotonic() < until:
        begin = time.monotonic()
        values = await raw.read([node])
        assert values[0].StatusCode.value in (0, ua.StatusCodes.BadWaitingForInitialData, ua.StatusCodes.BadNoData) or values[0].Value, values
        asked.append(time.monotonic() - begin)
        await asyncio.sleep(0.02)


@pytest.fixture
def service(tmp_path, identity):
    service = services.of_types(tmp_path, identity, "Fuzzed", CONFIG)
    yield service
    if service.process.running():
        service.stop()
    service.process.kill()


async def test_hostile_bytes_on_the_port_do_no_harm(service):
    peer = await Raw(service.port).session()
    namespaces = (await peer.read([ua.NodeId(ua.ObjectIds.Server_NamespaceArray)]))[0].Value.Value
    namespace = namespaces.index(TWINS)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells of every write to a connection that is gone already
    counts, asked, until = {}, [], time.monotonic() + SECONDS
    pid, memory = service.process.child.pid, []
    before = resident_kib(pid)
    honestly = asyncio.create_task(honest(peer, ua.NodeId(2258), asked, until))
    attacks = [asyncio.create_task(attack(random.Random(SEED * 1000 + i), service.port, requests(service.port, namespace), counts, until))
               for i in range(AT_ONCE)]
    while time.monotonic() < until:
        assert service.process.running(), service.process.said()[-4000:]
        memory.append(resident_kib(pid))
        await asyncio.sleep(0.5)
    await asyncio.gather(*attacks, honestly)
    print(f"{SECONDS} s, seed {SEED}: {sum(counts.values())} connections {counts}; {len(asked)} honest reads, {max(asked):.2f} s at most; memory "
          f"{before >> 10} MiB, {max(memory) >> 10} at most, {memory[-1] >> 10} at the end")
    assert max(memory) - before < GROWTH_KIB
    panics = [line for line in service.process.said().splitlines() if "panicked" in line]
    assert not panics, panics[:5]
    late = await Raw(service.port).session()
    assert (await late.read([ua.NodeId(2258)]))[0].StatusCode.value == 0
    late.drop()
    peer.drop()
