"""A small disk of the service's own, in memory: filled and emptied without anybody else's disk being touched."""

import os
import subprocess

import pytest

MIB = 1 << 20
# History leaves 256 MiB of any small disk free: the disk starts a little above that.
DISK_BYTES = 288 * MIB
BALLAST_BYTES = 64 * MIB  # taken from memory only while it lies there
# A mount namespace of its own: nobody else sees the disk, and it is gone when the process is. Who is not root becomes it in
# a user namespace, where the system allows that.
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
MOUNT = f'mount -t tmpfs -o size={DISK_BYTES} small "$0" && exec "$@"'


def via(folder):
    """The command that runs another one with a small disk as its `folder`. Skips the test where nobody but root may mount."""
    folder.mkdir()
    command = [*NAMESPACE, "sh", "-c", MOUNT, str(folder)]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode and os.geteuid():
        pytest.skip(f"no right to mount a disk here: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr
    return command


class Ballast:
    """A file on the disk of a running process that leaves history too little of it."""

    def __init__(self, process, folder):
        # The folder as that process sees it.
        self.path = f"/proc/{process.child.pid}/root{folder}/ballast"

    def load(self):
        with open(self.path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)

    def drop(self):
        os.unlink(self.path)
