"""Execute one notebook under papermill, as the Snakefile does it for every stage.

    python tools/execute.py notebooks/00_data.ipynb reports/demo/00_data.ipynb '{"experiment": "demo"}'

Beyond plain papermill: two runs of the same notebook cannot get in each other's way; an executed notebook stands
under its name only if every cell ran, otherwise as NAME.failed.ipynb, with the traceback; no path of the machine and
no time stamp is left in it, so that it can be shared.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import io
import json
import logging
import os
import re
import sys
import time
import warnings
from pathlib import Path

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # jsonschema would build a grammar of IRIs: two seconds
import nbformat  # noqa: E402
import papermill  # noqa: E402
import warm  # noqa: E402  # beside this file
from nbclient.exceptions import DeadKernelError  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402
from PIL import Image  # noqa: E402

NO_WIDGETS = r".*TqdmWarning: IProgress not found.*\n(?:  from \.autonotebook .*\n)?"  # said at an import, of no matter
MARK = "! "  # of a line that tells the user why a run stopped
LARGE = 100_000  # bytes of a picture in a notebook from which it is worth compressing


def main(source: str, target: str, parameters: str) -> None:
    try:
        run(source, Path(target), json.loads(parameters))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            stop(f"the disk is full: {target} cannot be written; free some space and run again to go on")
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            stop(f"no right to write {error.filename or target}: make its folder writable, or set reports_root")
        if isinstance(error, (NotADirectoryError, FileExistsError)):
            stop(f"{error.filename} is a file where a folder is wanted: move it away, or set another root")
        raise


def run(source: str, output: Path, parameters: dict) -> None:
    """Execute a notebook with parameters; a message to the user ends the process."""
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output.with_name(f".{output.stem}.lock"), "w") as lock:
        claim(lock, output)
        print(f"{subject(source, parameters)}: {source} -> {output}", flush=True)
        forward_progress()
        try:
            execute(source, failed, parameters)
        except PapermillExecutionError as error:
            Path(lock.name).unlink()
            stop(f"{source} stopped. {error.ename}: {error.evalue}", f"Everything up to there is in {tidy(failed)}")
        except DeadKernelError:
            Path(lock.name).unlink()
            stop(
                f"{source} stopped: its kernel was killed, often for lack of memory. Set a smaller batch_size, or give "
                "it more memory; run again to go on from the last checkpoint"
            )
        os.replace(tidy(failed), output)
        Path(lock.name).unlink()


def execute(source: str, target: Path, parameters: dict) -> None:
    """Run a notebook; a kernel that dies as it starts is started again: two that start at once may draw one port."""
    for tries_left in (2, 1, 0):
        try:
            papermill.execute_notebook(
                source,
                str(target),
                parameters,
                kernel_name=warm.kernel(),
                language="python",
                cwd=".",
                progress_bar=False,
                log_output=True,
            )
            return
        except RuntimeError as error:
            if not tries_left or "died before replying" not in str(error):
                raise


def stop(*sentences: str) -> None:
    """End with sentences for the user; tools/run.py knows them by their mark."""
    sys.exit("\n".join(f"{MARK}{sentence}" for sentence in "\n".join(sentences).splitlines()))


def claim(lock: io.TextIOBase, output: Path) -> None:
    """Hold a lock file until this process ends, so that nobody else writes the same notebook meanwhile."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            stop(f"an earlier run is still writing {output}, though its pipeline ended: wait for it and run again")
        print(f"the file system of {output.parent} knows no locks: never start the same notebook twice at once")


def subject(source: str, parameters: dict) -> str:
    """What a run is about: the title of its notebook up to a colon, its name and seed."""
    cells = json.loads(Path(source).read_text(encoding="utf-8"))["cells"]
    title = next((line for cell in cells for line in cell["source"] if line.startswith("# ")), source)
    title = title.strip("# \n").partition(":")[0]
    return f"{title} ({parameters['run']}, seed {parameters['seed']})" if "run" in parameters else title


class Progress(logging.Handler):
    """Show, every so many seconds, where the progress bar of the notebook stands."""

    def __init__(self, seconds: float = 15):
        super().__init__()
        self.seconds, self.shown = seconds, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        lines = [line.strip() for line in re.split(r"[\r\n]", record.getMessage()) if "%|" in line]
        if lines and time.monotonic() - self.shown > self.seconds:
            self.shown = time.monotonic()
            print(f"    {lines[-1][:110]}", flush=True)


def forward_progress() -> None:
    logger = logging.getLogger("papermill")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Progress())
    warnings.filterwarnings("ignore", module="papermill|traitlets|jupyter")


def tidy(path: Path) -> Path:
    """Take time stamps, machine paths and kernel details out of an executed notebook; return its path."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {
        key: notebook.metadata[key] for key in ("kernelspec", "language_info") if key in notebook.metadata
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03}"  # papermill draws new ones for what it injects
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            cell.outputs = as_on_a_screen(cell.outputs)
        for output in cell.get("outputs", []):
            compress(output.get("data", {}))
    text = nbformat.writes(notebook) + "\n"
    places = {os.getcwd(): ".", sys.prefix: ".venv", sys.base_prefix: "python", str(Path.home()): "~"}
    for place, name in sorted(places.items(), key=lambda item: -len(item[0])):
        if len(place) > 1:
            text = re.sub(re.escape(json.dumps(place)[1:-1]) + r"(?![\w.-])", name, text)
    text = re.sub(r"/tmp/ipykernel_\d+/\d+\.py", "<cell>", text)
    temporary = path.with_name(f".{path.name}.tmp")  # a full disk must not cost what there is
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def as_on_a_screen(outputs: list) -> list:
    """Join printed pieces, and keep of a progress bar what it showed last."""
    joined: list = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            lines = output.text.replace("\r\n", "\n").split("\n")
            output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
            output.text = re.sub(NO_WIDGETS, "", output.text)
    return [output for output in joined if output.get("text") != ""]


def compress(data: dict) -> None:
    """Turn a large PNG among the forms of an output into a JPEG, where that is less than half; curves stay PNG."""
    png = base64.b64decode(data.get("image/png", ""))
    if len(png) < LARGE:
        return
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "JPEG", quality=90, optimize=True)
    if buffer.tell() < len(png) / 2:
        data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()
        del data["image/png"]


if __name__ == "__main__":
    main(*sys.argv[1:])
