"""Kernels that are copies of a process with all imports: they do what usual ones do, none outlives its notebook."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from unittest import mock

import nbformat
import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere kernels are of the usual kind"),
]


@pytest.fixture(scope="module")
def warm(pytestconfig):
    sys.path.insert(0, str(pytestconfig.rootpath / "tools"))
    import warm

    return warm


@pytest.fixture(scope="module")
def usual():
    """The environment as a user has it: figures appear in the notebook."""
    with mock.patch.dict(os.environ):
        for name in ("MPLBACKEND", "PNOC_WARM"):
            os.environ.pop(name, None)
        yield dict(os.environ)


@pytest.fixture(scope="module")
def kernels(warm, usual):
    with warm.Warm() as started:
        yield started


@pytest.fixture
def execute(root, tmp_path):
    """Begin to execute a notebook of one cell; it prints what the process says, and leaves out.ipynb."""

    def begin(code, environment, **changes):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbformat.write(notebook, tmp_path / "in.ipynb")
        command = [sys.executable, root / "tools/execute.py", tmp_path / "in.ipynb", tmp_path / "out.ipynb", "{}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  a shell's background jobs ignore it
        return subprocess.Popen(command, cwd=tmp_path, env=environment | changes, preexec_fn=heard, **pipes)

    return begin


def outputs(tmp_path):
    return nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs


def copies(kernels):
    return [child for child in psutil.Process(kernels._process.pid).children() if child.status() != "zombie"]


ABOUT = """
import json, os, sys
began = "pnoc_lib.priors.training" in sys.modules
import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import display
figure, axis = plt.subplots(figsize=(1, 1))
print(json.dumps([began, torch.get_num_threads(), os.getcwd(), os.environ["MINE"], plt.get_backend(), __name__]))
display(pd.DataFrame([["as wide as a table can be"] * 12]))
"""


def test_a_warm_kernel_does_what_a_usual_one_does(execute, kernels, usual, tmp_path):
    told = {}
    for name, environment in {"warm": kernels.environment, "usual": usual}.items():
        process = execute(ABOUT, environment, MINE="x", OMP_NUM_THREADS="2", MKL_NUM_THREADS="2")
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        text, *shown = outputs(tmp_path)
        told[name] = json.loads(text.text), shown, nbformat.read(tmp_path / "out.ipynb", 4).metadata
        assert {"image/png", "text/html"} <= {kind for one in shown for kind in one.data}
    (began, *copy), *rest = told["warm"]
    (before, *other), *others = told["usual"]
    assert (began, before) == (True, False)
    assert copy == other and copy[0] == 2 and copy[2] == "x"
    assert rest == others


def test_an_error_and_a_death_are_told(execute, kernels):
    said, _ = execute("raise ValueError('so')", kernels.environment).communicate(timeout=60)
    assert "stopped. ValueError: so" in said
    process = execute("import os; os.kill(os.getpid(), 9)", kernels.environment)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "its kernel was killed" in said
    assert not copies(kernels)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_kernel_outlives_its_notebook(execute, kernels, tmp_path, how):
    process = execute("import time; open('begun', 'w').close(); time.sleep(60)", kernels.environment)
    _until(lambda: (tmp_path / "begun").exists())
    assert len(copies(kernels)) == 1
    process.send_signal(how)
    process.communicate(timeout=30)
    _until(lambda: not copies(kernels))


def test_without_a_warm_process_a_kernel_is_of_the_usual_kind(execute, warm, tmp_path):
    with warm.Warm() as kernels:
        kernels._process.kill()
        process = execute("import sys; print('pnoc_lib.priors.training' in sys.modules)", kernels.environment)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert outputs(tmp_path)[0].text == "False\n"
    assert not os.path.exists(os.path.dirname(kernels.environment[warm.SOCKET]))


def test_a_changed_library_is_imported_anew(execute, root, usual, tmp_path):
    for name in ("tools", "pnoc_lib"):
        shutil.copytree(root / name, tmp_path / "copy" / name)
    spec = importlib.util.spec_from_file_location("copied_warm", tmp_path / "copy/tools/warm.py")
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    told = []
    with copied.Warm() as kernels:
        for changed in (False, True):
            if changed:
                (tmp_path / "copy/pnoc_lib/files.py").touch()
            process = execute("import sys; print('pnoc_lib.priors.training' in sys.modules)", kernels.environment)
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, said
            told.append(outputs(tmp_path)[0].text)
    assert told == ["True\n", "False\n"]


def test_a_pool_of_processes_begins_from_a_copy(execute, kernels, tmp_path):
    code = """
import numpy as np
from pnoc_lib.engine import crf
image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
load = lambda name: (image, np.zeros((20, 30), np.uint8), 2, crf.SALIENCY)
print(len(list(crf.refine_many(crf.refine_labels, ["a", "b", "c"], load, workers=2, progress=None))))
"""
    process = execute(code, kernels.environment)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert outputs(tmp_path)[-1].text == "3\n"


@pytest.mark.parametrize("given", [None, "no"])
def test_a_local_run_has_warm_kernels_unless_told_otherwise(root, tmp_path, warm, monkeypatch, given):
    import run as launcher

    class Started(warm.Warm):
        def __enter__(self):
            self.environment = {"MINE": "x"}
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.chdir(tmp_path)
    for name in ("configs", "notebooks", "pnoc_lib"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.delenv(warm.SOCKET, raising=False)
    if given:
        monkeypatch.setenv(warm.SOCKET, given)
    followed = []
    monkeypatch.setattr(warm, "Warm", Started)
    monkeypatch.setattr(launcher.Follower, "follow", lambda _, command, environment=None: followed.append(environment))
    with pytest.raises(SystemExit):
        launcher.main(["smoke"])
    assert followed == [None if given else {"MINE": "x"}]


def test_what_make_gives_its_processes_is_what_a_pipeline_gives(root, warm):
    given = dict(re.findall(r"^export (\w+) = (\S+)$", (root / "Makefile").read_text(), re.M))
    assert {name: given.get(name) for name in warm.QUICK} == warm.QUICK


def _until(true, seconds=40):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_client_that_says_nothing_leaves_no_copy(execute, warm, kernels):
    _until(lambda: os.path.exists(kernels.environment[warm.SOCKET]))
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(kernels.environment[warm.SOCKET])
    asking.close()
    execute("1", kernels.environment).communicate(timeout=60)  # whose copy is made after that one
    _until(lambda: not copies(kernels))


def test_a_client_whose_notebook_died_in_the_wait_ends(warm, root, tmp_path):
    server = socket.socket(socket.AF_UNIX)  # one that is busy with its imports
    server.bind(str(tmp_path / "socket"))
    server.listen(1)
    code = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, sys.executable, "-S", root / "tools/warm.py", "connection.json"]
    environment = os.environ | {warm.SOCKET: str(tmp_path / "socket")}
    notebook = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    client = psutil.Process(int(notebook.stdout.readline()))
    kernel = server.accept()[0]
    assert kernel.recv(warm.LONGEST)
    notebook.kill()
    notebook.wait()
    kernel.sendall(b"%d\n" % os.getpid())
    _until(lambda: not client.is_running())
