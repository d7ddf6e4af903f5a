"""Fixtures of the interoperability tests, and a hook that runs tests written as coroutines."""

import asyncio
import inspect

import pytest

from support import service as services
from support.fitting import backfilled
from support.pki import make_identity
from support.plc import Plc
from support.process import PROGRAM, free_port


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


def pytest_sessionstart(session):
    if not PROGRAM.exists():
        pytest.exit(f"{PROGRAM} is missing: cargo build --release", returncode=1)


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    """The certificate of the foreign client."""
    return make_identity(tmp_path_factory.mktemp("client"), "client")


@pytest.fixture(scope="session")
def demo(tmp_path_factory, identity):
    """One demo for all tests that only look at it or use its methods."""
    service = services.demo(tmp_path_factory.mktemp("demo"), identity)
    yield service
    service.stop()


@pytest.fixture(scope="session")
def demo_with_past(demo):
    """The demo, once every twin has its last hour from the plant's history."""
    asyncio.run(backfilled(demo.url))
    return demo


@pytest.fixture(params=[False, True], ids=["None", "SignAndEncrypt"])
def client_identity(request, identity):
    """Runs a test twice: over policy None and over Basic256Sha256 SignAndEncrypt."""
    return identity if request.param else None


class World:
    """PLCs and the services that see them."""

    def __init__(self, folder, identity):
        self.folder, self.identity, self.plcs, self.services = folder, identity, [], []

    def plc(self, stack, name, secure=False, line=None):
        plc = Plc(stack, name, free_port(), self.folder, make_identity(self.folder, name) if secure else None, line)
        self.plcs.append(plc)
        return plc

    def run(self, *plcs, **settings):
        service = services.run(self.folder, self.identity, plcs, **settings)
        self.services.append(service)
        return service

    def run_types(self, name, types):
        """A service whose config says `types` below its server."""
        service = services.of_types(self.folder, self.identity, name, types)
        self.services.append(service)
        return service

    def end(self):
        """A service that still runs must stop in order."""
        try:
            for service in self.services:
                if service.process.running():
                    service.stop()
        finally:
            for process in [*(service.process for service in self.services), *(plc.process for plc in self.plcs)]:
                process.kill()


@pytest.fixture(scope="module")
def make_world(tmp_path_factory, identity):
    """Worlds that several tests of a file share."""
    worlds = []

    def make():
        worlds.append(World(tmp_path_factory.mktemp("world"), identity))
        return worlds[-1]
    yield make
    for world in worlds:
        world.end()


@pytest.fixture
def world(tmp_path, identity):
    """PLCs and services of one test."""
    world = World(tmp_path, identity)
    yield world
    world.end()
