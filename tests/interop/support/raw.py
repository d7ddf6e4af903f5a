"""A client on bare TCP with policy None: messages are structures of asyncua, chunks and channels are made here, so that they can be wrong,
and so cheap that a hundred of them cost less than the server does."""

import asyncio
import struct
from datetime import datetime

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary

POLICY_NONE = b"http://opcfoundation.org/UA/SecurityPolicy#None"


def text(value):
    """A String or ByteString."""
    return struct.pack("<i", -1) if value is None else struct.pack("<i", len(value)) + value


def chunk(kind, body, size=None):
    """One chunk, with its true size unless told otherwise."""
    return kind + struct.pack("<I", len(body) + 8 if size is None else size) + body


def hello(port, receive=65535, send=65535):
    return chunk(b"HELF", struct.pack("<5I", 0, receive, send, 0, 0) + text(f"opc.tcp://127.0.0.1:{port}".encode()))


def open_channel(sequence=1, request=1, lifetime=3_600_000):
    message = ua.OpenSecureChannelRequest()
    message.Parameters = ua.OpenSecureChannelParameters(ClientProtocolVersion=0, RequestType=ua.SecurityTokenRequestType.Issue,
                                                        SecurityMode=ua.MessageSecurityMode.None_, RequestedLifetime=lifetime)
    header = struct.pack("<I", 0) + text(POLICY_NONE) + text(None) + text(None) + struct.pack("<2I", sequence, request)
    return chunk(b"OPNF", header + struct_to_binary(message))


def create_session(port, timeout_ms=3_600_000.0):
    message = ua.CreateSessionRequest()
    message.Parameters = ua.CreateSessionParameters(
        ClientDescription=ua.ApplicationDescription(ApplicationUri="urn:raw", ApplicationType=ua.ApplicationType.Client),
        EndpointUrl=f"opc.tcp://127.0.0.1:{port}", SessionName="raw", RequestedSessionTimeout=timeout_ms)
    return message


def activate_session():
    message = ua.ActivateSessionRequest()
    message.Parameters = ua.ActivateSessionParameters(LocaleIds=["en"], UserIdentityToken=ua.AnonymousIdentityToken(PolicyId="anonymous"))
    return message


class Refused(Exception):
    """A ServiceFault, or the connection's end."""

    def __init__(self, status):
        self.status = status
        super().__init__(ua.StatusCode(status).name if status else "connection closed")


class Raw:
    """One connection. `token` goes into every request, once there is a session."""

    def __init__(self, port, local=None):
        self.port, self.local = port, local
        self.channel = self.channel_token = 0
        self.sequence, self.token = 1, ua.NodeId()
        self.waiting, self.reading = {}, None

    async def connect(self):
        """Hello and OpenSecureChannel."""
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(self.local, 0) if self.local else None)
        self.writer.write(hello(self.port))
        kind, body = await self.next_chunk()
        self.check(kind, b"ACKF", body)
        self.writer.write(open_channel())
        kind, body = await self.next_chunk()
        self.check(kind, b"OPNF", body)
        # Channel, policy, two certificates that are not there, sequence and request, type, ResponseHeader, version: then the token.
        at = 4 + len(text(POLICY_NONE)) + 4 + 4 + 8 + 4 + 24 + 4
        self.channel, self.channel_token = struct.unpack("<2I", body[at:at + 8])
        return self

    def check(self, kind, wanted, body):
        if kind != wanted:
            raise Refused(struct.unpack("<I", body[:4])[0] if kind == b"ERRF" else 0)

    async def next_chunk(self):
        try:
            header = await self.reader.readexactly(8)
            return header[:4], await self.reader.readexactly(struct.unpack("<I", header[4:])[0] - 8)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Refused(0) from error

    # ---- requests

    def message(self, request, kind=b"MSGF"):
        """A request as one chunk; takes the next sequence number."""
        self.sequence += 1
        request.RequestHeader.AuthenticationToken = self.token
        request.RequestHeader.RequestHandle = self.sequence
        request.RequestHeader.Timestamp = datetime(2026, 1, 1)
        request.RequestHeader.TimeoutHint = 60_000
        return self.framed(struct_to_binary(request), kind)

    def framed(self, body, kind=b"MSGF"):
        return chunk(kind, struct.pack("<4I", self.channel, self.channel_token, self.sequence, self.sequence) + body)

    async def ask(self, request, answer):
        """Sends a request and gives its answer as a structure of the class `answer`."""
        body = await self.ask_raw(self.message(request))
        data = Buffer(body)
        kind = nodeid_from_binary(data)
        if kind.Identifier == ua.ObjectIds.ServiceFault_Encoding_DefaultBinary:
            raise Refused(struct.unpack("<I", body[16:20])[0])
        return struct_from_binary(answer, Buffer(body))

    async def ask_raw(self, message):
        """Sends a chunk and gives the body of the answer."""
        if self.reading is None:
            self.reading = asyncio.ensure_future(self._read())
        request = struct.unpack("<I", message[20:24])[0]
        future = self.waiting[request] = asyncio.get_running_loop().create_future()
        self.writer.write(message)
        if self.reading.done():
            raise Refused(0)
        return await future

    async def _read(self):
        body, failure = b"", Refused(0)
        try:
            while True:
                kind, data = await self.next_chunk()
                self.check(kind[:3], b"MSG", data)
                body += data[16:]
                if kind == b"MSGF":
                    future = self.waiting.pop(struct.unpack("<I", data[12:16])[0], None)
                    if future and not future.done():
                        future.set_result(body)
                    body = b""
        except Refused as error:
            failure = error
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(failure)

    # ---- sessions and subscriptions

    async def create_session(self, timeout_ms=3_600_000.0):
        created = await self.ask(create_session(self.port, timeout_ms), ua.CreateSessionResponse)
        self.token = created.Parameters.AuthenticationToken
        return created.Parameters

    async def session(self, timeout_ms=3_600_000.0):
        """Connected, and its session activated."""
        await self.connect()
        await self.create_session(timeout_ms)
        await self.ask(activate_session(), ua.ActivateSessionResponse)
        return self

    async def read(self, nodes, attribute=ua.AttributeIds.Value):
        request = ua.ReadRequest()
        request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in nodes]
        return (await self.ask(request, ua.ReadResponse)).Results

    async def subscribe(self, publishing_ms=500.0, lifetime=3_000):
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publishing_ms, RequestedLifetimeCount=lifetime, RequestedMaxKeepAliveCount=10,
            PublishingEnabled=True)
        return (await self.ask(request, ua.CreateSubscriptionResponse)).Parameters.SubscriptionId

    async def monitor(self, subscription, nodes, queue=2):
        """Status of each item."""
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=subscription, TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=[ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value), MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=ua.MonitoringParameters(ClientHandle=i, SamplingInterval=0.0, QueueSize=queue, DiscardOldest=True))
                for i, node in enumerate(nodes)])
        return [result.StatusCode.value for result in (await self.ask(request, ua.CreateMonitoredItemsResponse)).Results]

    async def publish(self):
        """The body of the next PublishResponse; nothing is acknowledged."""
        return await self.ask_raw(self.message(ua.PublishRequest()))

    def drop(self):
        """The link is gone without goodbye."""
        if self.reading:
            self.reading.cancel()
        self.writer.transport.abort()
