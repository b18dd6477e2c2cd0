"""Kernels that are warm: one process imports what all notebooks import, and each kernel begins as a copy of it.

A notebook's imports take five seconds of a core, a copy of a process that has them some milliseconds. tools/run.py
holds a `Warm` around a local run; tools/execute.py then asks Jupyter for the kernel named `KERNEL`, whose command is

    python -S tools/warm.py CONNECTION_FILE

It lends its input, output, environment and folder to the copy, waits for it and ends with it; if either of the two
dies, so does the other. Where no warm process answers, it becomes a kernel of the usual kind. With PNOC_WARM=no there
is none, as on systems on which a process that has imported much must not be copied.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence

QUICK = {  # of every process that computes; the Makefile says why
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192",
}
KERNEL, SOCKET = "warm", "PNOC_WARM"  # name of the kernel; variable that holds the path of the socket
IMPORTS = (
    "ipykernel.kernelapp",
    "seaborn",
    "pnoc_lib.affinity.training",
    "pnoc_lib.engine.crf",
    "pnoc_lib.evaluation.pictures",
    "pnoc_lib.paper.collect",
    "pnoc_lib.priors.training",
    "pnoc_lib.saliency.refinement",
    "pnoc_lib.segmentation.training",
)
AROUND = ("papermill", "snakemake.cli")  # what runs the kernels
ALONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # a copy has one thread, so no other may have begun
FIGURES = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # as in every kernel, before Matplotlib comes
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LONGEST = 2**20  # bytes read at once


def wanted() -> bool:
    """Whether a local run shall have warm kernels."""
    return sys.platform == "linux" and os.environ.get(SOCKET) != "no"


def kernel() -> str:
    """The name of the kernel for a notebook that is executed in this process's environment."""
    return KERNEL if os.environ.get(SOCKET, "no") != "no" else "python3"


class Warm:
    """Within it, notebooks that are executed with its `environment` get warm kernels."""

    def __enter__(self) -> Warm:
        import subprocess
        import tempfile

        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        folder, path = self._folder.name, os.path.join(self._folder.name, "socket")
        command = [sys.executable, "-S", os.path.abspath(__file__), "{connection_file}"]
        os.makedirs(os.path.join(folder, "kernels", KERNEL))
        with open(os.path.join(folder, "kernels", KERNEL, "kernel.json"), "w", encoding="utf-8") as file:
            json.dump({"argv": command, "display_name": KERNEL, "language": "python"}, file)
        jupyter = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        self.environment = os.environ | {SOCKET: path, "JUPYTER_PATH": jupyter}
        self._process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--serve", path],
            stdin=subprocess.PIPE,  # its end tells the process that nobody is left
            env=QUICK | FIGURES | os.environ | ALONE,
            start_new_session=True,  # Ctrl-C is for the notebooks
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


def serve(path: str) -> None:
    """Import, then copy this process for whoever asks, until the standard input ends."""
    asked = socket.socket(socket.AF_UNIX)
    asked.bind(path)
    asked.listen(64)  # they wait until all is imported
    before = sources()
    import_all(IMPORTS)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a copy: its client sees it end
    while True:
        ready, _, _ = select.select([sys.stdin, asked], [], [])
        if sys.stdin in ready:
            return
        client, _ = asked.accept()
        if sources() != before:  # a copy would not know what changed since: let it be a usual kernel
            client.close()
        elif not os.fork():
            asked.close()
            become_kernel(client)
        client.close()


def import_all(names: Sequence[str]) -> None:
    """Import modules; what they say of widgets, of which no notebook here has any, is dropped."""
    import contextlib
    import importlib
    import io

    sys.path.insert(0, ROOT)
    with contextlib.redirect_stderr(io.StringIO()):
        for name in names:
            importlib.import_module(name)


def sources() -> list[tuple[str, int]]:
    """The library's files, and when they were changed last."""
    found = [
        os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(ROOT, "pnoc_lib")) for name in names
    ]
    return sorted((path, os.stat(path).st_mtime_ns) for path in found if path.endswith((".py", ".csv")))


def become_kernel(client: socket.socket) -> None:
    """What a copy does: take over what the client lends, and be a kernel to its end."""
    import threading

    import pandas as pd
    import torch
    from ipykernel.kernelapp import IPKernelApp

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    text, lent, _, _ = socket.recv_fds(client, LONGEST, 3)
    while not text.endswith(b"\n"):
        more = client.recv(LONGEST)
        if not more:  # who asked is gone
            os._exit(0)
        text += more
    request = json.loads(text)
    for number, own in zip(lent, (0, 1, 2), strict=True):
        os.dup2(number, own)
        os.close(number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    pd.set_option("display.max_columns", 20)  # as pandas has it where a kernel imports it; elsewhere a terminal's width
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))

    def watch() -> None:
        client.recv(1)  # it says nothing more: it is gone
        os.kill(os.getpid(), signal.SIGKILL)

    client.sendall(b"%d\n" % os.getpid())
    threading.Thread(target=watch, daemon=True).start()
    sys.argv = ["ipykernel_launcher", "-f", request["connection"]]
    try:
        IPKernelApp.launch_instance([*sys.argv[1:], "--IPKernelApp.parent_handle=1"])  # 1: it looks for no parent
    finally:
        sys.stdout.flush()
        os._exit(0)


def ask(connection: str) -> None:
    """What Jupyter starts in place of a kernel: wait for the copy that is one."""
    request = {"connection": connection, "environment": dict(os.environ), "folder": os.getcwd()}
    parent = os.getppid()  # asked before the wait, in which it may be killed
    try:
        kernel = socket.socket(socket.AF_UNIX)
        kernel.connect(os.environ[SOCKET])
        socket.send_fds(kernel, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        process = int(kernel.recv(64))
    except (KeyError, OSError, ValueError):
        os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", "-f", connection])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(process, number))
    while os.getppid() == parent:
        if select.select([kernel], [], [], 1)[0]:
            break


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    elif sys.argv[1] == "--import":  # once, after an installation: Python keeps what it compiles
        import_all([*IMPORTS, *AROUND])
    else:
        ask(sys.argv[1])
