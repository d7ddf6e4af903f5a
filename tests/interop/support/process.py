"""Processes under test: started on free ports, their output kept, stopped and checked."""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "target" / "release" / "uatwin"
START_S = 30  # generous: a loaded machine makes a key pair first
STOP_S = 30


def free_port():
    """Below those that the system gives to outgoing connections: one of these could take it while nobody listens."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Process:
    """A child process with its output in a file."""

    def __init__(self, arguments, folder, name, env=None, **options):
        self.log = folder / f"{name}.log"
        self.output = self.log.open("ab")
        self.child = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=folder, env={**os.environ, **(env or {})}, **{"stdout": self.output, "stderr": self.output, **options},
        )

    def said(self):
        return self.log.read_text(errors="replace")

    def running(self):
        return self.child.poll() is None

    def wait_for_port(self, port):
        """Returns when something listens on `port`; fails with the output when the process ends or nothing ever does."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.running(), f"ended with {self.child.returncode} at start:\n{self.said()}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"nothing listens on port {port} after {START_S} s:\n{self.said()}")

    def interrupt(self):
        """Ctrl-C; gives the exit code."""
        self.child.send_signal(signal.SIGINT)
        try:
            return self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {STOP_S} s of SIGINT:\n{self.said()[-4000:]}") from None

    def kill(self):
        """kill -9."""
        self.child.kill()
        self.child.wait()
