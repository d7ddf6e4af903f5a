"""A foreign client: asyncua, with the few things that every test does."""

import asyncio
import contextlib
import dataclasses
import time
from datetime import datetime, timedelta, timezone

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

TYPES = "urn:uatwin:types"
TWINS = "urn:uatwin:twins"
GOOD, BAD_NO_COMMUNICATION = 0, ua.StatusCodes.BadNoCommunication
PAGE = 1000  # values per HistoryRead answer


@contextlib.asynccontextmanager
async def connected(url, identity=None, user=None, password=None, user_identity=None,
                    policy=SecurityPolicyBasic256Sha256, mode=ua.MessageSecurityMode.SignAndEncrypt):
    """A session with policy None, or, as `identity`, with Basic256Sha256 SignAndEncrypt; of a user with a password or, by
    `user_identity`, with a certificate, if one is given."""
    client = Client(url, timeout=60)
    if identity:
        client.application_uri = identity.uri
        await client.set_security(policy, str(identity.certificate), str(identity.key), mode=mode)
    if user is not None:
        client.set_user(user)
        client.set_password(password)
    if user_identity:
        await client.load_client_certificate(str(user_identity.certificate))
        await client.load_private_key(str(user_identity.key))
    async with client:
        yield client


def now():
    return datetime.now(timezone.utc)


def time_of(text):
    """A time as the PLCs write it: ISO 8601 with Z."""
    return datetime.fromisoformat(text)


def text_of(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def eventually(ask, within_s, every_s=0.1):
    """The first true answer of the coroutine function `ask`; an outer bound, not a measurement."""
    deadline = time.monotonic() + within_s
    while not (answer := await ask()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {ask.__name__}; last answer {answer!r}"
        await asyncio.sleep(every_s)
    return answer


# ---- browsing

async def children(node):
    """By BrowseName without namespace."""
    references = await node.get_references(ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Forward)
    return {r.BrowseName.Name: node_of(node, r.NodeId) for r in references}


def node_of(other, node_id):
    return type(other)(other.session, ua.NodeId(node_id.Identifier, node_id.NamespaceIndex, node_id.NodeIdType))


async def child(node, path):
    """`path` of BrowseNames without namespaces, joined by '/'."""
    for name in path.split("/"):
        found = await children(node)
        assert name in found, f"{node.nodeid.to_string()} has no {name}, but {sorted(found)}"
        node = found[name]
    return node


async def twins(client):
    """Every twin by its name."""
    return await children(await child(client.nodes.objects, "Twins"))


async def variables(twin):
    """The live variables of a twin by name: those that carry a value and hang directly on it."""
    found = {}
    for name, node in (await children(twin)).items():
        if await node.read_node_class() == ua.NodeClass.Variable:
            found[name] = node
    return found


async def by_id(client, namespace, identifier):
    """A node by namespace URI and string identifier."""
    return client.get_node(ua.NodeId(identifier, await client.get_namespace_index(namespace)))


# ---- history

@dataclasses.dataclass(frozen=True)
class Sample:
    """What matters of a DataValue, comparable."""

    value: object
    status: int
    source: datetime | None

    @classmethod
    def of(cls, data_value):
        value = data_value.Value.Value if data_value.Value is not None else None
        return cls(value, data_value.StatusCode.value if data_value.StatusCode else 0, data_value.SourceTimestamp)


async def history_pages(node, start, end, page=PAGE):
    """Raw history, page by page over continuation points."""
    details = ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=start, EndTime=end, NumValuesPerNode=page, ReturnBounds=False)
    point = None
    while True:
        result = await node.history_read(details, point)
        result.StatusCode.check()
        yield result.HistoryData.DataValues if result.HistoryData else []
        point = result.ContinuationPoint
        if not point:
            return


async def history(node, start, end, page=PAGE):
    """Raw history as samples."""
    return [Sample.of(value) async for values in history_pages(node, start, end, page) for value in values]


async def recent_history(node, span=timedelta(hours=2)):
    return await history(node, now() - span, now() + timedelta(minutes=1))


# ---- subscriptions

class Inbox:
    """Collects the DataValues that a subscription brings, by NodeId."""

    def __init__(self):
        self.received = {}

    def datachange_notification(self, node, value, data):
        self.received.setdefault(node.nodeid, []).append(data.monitored_item.Value)

    def samples(self, node):
        return [Sample.of(value) for value in self.received.get(node.nodeid, [])]

    async def until(self, node, condition, within_s=20):
        """Waits for a sample that meets the condition."""
        async def arrived():
            return next((sample for sample in self.samples(node) if condition(sample)), None)
        return await eventually(arrived, within_s)


@contextlib.asynccontextmanager
async def subscribed(client, nodes, sampling_ms=0, queue=1000, publishing_ms=100):
    """A subscription on the values of `nodes`, without filter; gives inbox, subscription and handles."""
    inbox = Inbox()
    subscription = await client.create_subscription(publishing_ms, inbox)
    handles = await subscription.subscribe_data_change(list(nodes), queuesize=queue, sampling_interval=sampling_ms)
    for handle in handles:
        assert isinstance(handle, int), f"monitored item refused: {handle}"
    yield inbox, subscription, handles
    await subscription.delete()


# ---- methods

async def call(node, method, *arguments, method_id=None):
    """Calls the twin's method by its BrowseName, or by another MethodId; gives a dictionary of outputs by name."""
    found = await child(node, method)
    outputs = []
    if properties := (await children(found)).get("OutputArguments"):
        outputs = [argument.Name for argument in await properties.read_value() or []]
    result = await node.call_method(method_id or found, *arguments)
    values = result if isinstance(result, list) and len(outputs) != 1 else [result]
    return dict(zip(outputs, values, strict=True)) if outputs else {}


def variant(kind, value):
    """An argument of a given built-in type; lists are arrays, also when empty."""
    return ua.Variant(value, kind, is_array=isinstance(value, list))
