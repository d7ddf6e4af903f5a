"""A TCP proxy between the service and a PLC that can do what networks do."""

import asyncio
import contextlib


class Proxy:
    """Listens on `port` and passes on to `target`; use as an asynchronous context."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.delay_s, self._links, self._tasks, self._server = 0.0, set(), set(), None
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self):
        await self.open()
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def open(self):
        """Takes connections (again)."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self):
        """Refuses new connections, and cuts those that are open."""
        self._server.close()
        self.cut()
        self._flowing.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self):
        """Resets every connection."""
        for writer in list(self._links):
            writer.transport.abort()

    def freeze(self):
        """Connections stay open and new ones are taken, but nothing passes."""
        self._flowing.clear()

    def thaw(self):
        """What was held back goes on."""
        self._flowing.set()

    def drop_frozen(self):
        """A half-open link: what was held back never arrives, and nobody is told."""
        for writer in list(self._links):
            writer.dead = True
        self._flowing.set()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._links |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer, writer), self._pass(there_reader, writer, there_writer))
        self._links -= {writer, there_writer}

    async def _pass(self, reader, writer, other):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                if getattr(writer, "dead", False) or getattr(other, "dead", False):
                    continue
                writer.write(data)
                await writer.drain()
        if not getattr(writer, "dead", False):
            writer.transport.abort()
