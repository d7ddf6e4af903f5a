"""Events as asyncua brings them."""

import asyncio
import contextlib
from datetime import timedelta

from asyncua import ua

from support.client import TYPES, eventually, now


class Listener:
    """Collects what a subscription on events brings, in order."""

    def __init__(self):
        self.events, self.statuses = [], []

    def event_notification(self, event):
        self.events.append(event)

    def status_change_notification(self, status):
        self.statuses.append(status)

    async def until(self, condition, within_s=20):
        async def come():
            return next((event for event in self.events if condition(event)), None)
        return await eventually(come, within_s)

    async def count(self, number, within_s=20):
        async def come():
            return len(self.events) >= number
        await eventually(come, within_s)
        return self.events


@contextlib.asynccontextmanager
async def listening(client, node=None, types=ua.ObjectIds.BaseEventType, publishing_ms=100, **options):
    """A subscription on the events of a node (the server if none is given), as a client makes it that knows no better."""
    listener = Listener()
    subscription = await client.create_subscription(publishing_ms, listener)
    await subscription.subscribe_events(node or client.nodes.server, types, **options)
    yield listener, subscription
    await subscription.delete()


async def kept(node, kind, count, start, end=None, number=0):
    """From history, once the stage has handed them to it."""
    for _ in range(50):
        events = await node.read_event_history(start, end or now() + timedelta(seconds=5), number, kind)
        if len(events) >= count:
            break
        await asyncio.sleep(0.1)
    return events


async def type_of(client, name):
    """The NodeId of one of our types by its BrowseName."""
    namespace = await client.get_namespace_index(TYPES)
    todo = [client.nodes.base_event_type]
    while todo:
        node = todo.pop()
        if await node.read_browse_name() == ua.QualifiedName(name, namespace):
            return node
        todo += await node.get_children(refs=ua.ObjectIds.HasSubtype)
    raise AssertionError(f"there is no {name}")


def name_of(event):
    return event.SourceName, event.Message.Text


def condition(event, field):
    """A field of a condition's event by its path, as asyncua names it."""
    return getattr(event, field)
