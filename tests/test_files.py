"""Files appear whole or not at all."""

import errno
import math
import os

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError, safe_open

from pnoc_lib import files

WRITERS = {
    "text": ("a.txt", lambda path, k: files.write_text(path, "x" * k)),
    "json": ("a.json", lambda path, k: files.write_json(path, {"k": k})),
    "csv": ("a.csv", lambda path, k: files.write_csv(path, pd.DataFrame({"k": [k]}))),
    "tensors": ("a.safetensors", lambda path, k: files.write_tensors(path, {"k": torch.full((3,), k)})),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    return WRITERS[request.param]


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


def test_folders_are_made_and_nothing_temporary_stays(tmp_path, writer):
    name, write = writer
    write(tmp_path / "deep" / "er" / name, 1)
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == [name]
    before = (tmp_path / "deep" / "er" / name).read_bytes()
    write(str(tmp_path / "deep" / "er" / name), 2)  # a string does as well; the old file is replaced
    assert (tmp_path / "deep" / "er" / name).read_bytes() != before


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "no space left"), "disk full while writing .*: free some space and run again; nothing"),
        (OSError(errno.EDQUOT, "quota"), "disk full while writing"),
        (OSError(errno.EACCES, "not allowed"), "not allowed"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "disk full while writing"),
        (SafetensorError("Error while serializing"), "Error while serializing"),
        (KeyboardInterrupt("stop"), "stop"),
    ],
)
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, writer, error, sentence):
    name, write = writer
    write(tmp_path / name, 1)
    before = (tmp_path / name).read_bytes()
    monkeypatch.setattr(os, "replace", failing(error))
    kind = OSError if "disk full" in sentence else type(error)
    with pytest.raises(kind, match=sentence):
        write(tmp_path / name, 2)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_failure_amid_the_block_leaves_the_old_file(tmp_path):
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        assert (tmp_path / "a.txt").read_text() == "old"
        raise ZeroDivisionError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_temporary_file_lies_beside_with_its_suffix(tmp_path):
    with files.atomic(tmp_path / "a.npz") as temporary:
        temporary.write_text("x")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npz"  # savez adds one where it is missing
        assert temporary.name.startswith(".")  # listings of results pass over it


def test_text_and_json_keep_every_letter(tmp_path):
    value = {"λ": [1, 0.1, None, True], "name": "δ_noc"}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value
    assert "δ_noc" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"half": ')
    with pytest.raises(ValueError, match=r"a.json is not readable JSON \(.*\): delete it and run its stage again"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "b.json")


def test_tables_come_back(tmp_path):
    table = pd.DataFrame({"class": ["cat", "dog"], "iou": [0.1, math.pi]}, index=["a", "b"])
    files.write_csv(tmp_path / "a.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv"), table.reset_index(drop=True))
    files.write_csv(tmp_path / "b.csv", table, index=True)
    assert pd.read_csv(tmp_path / "b.csv", index_col=0).index.tolist() == ["a", "b"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_come_back_bit_for_bit(tmp_path, dtype):
    values = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    given = {
        "plain": values,
        "last": values.contiguous(memory_format=torch.channels_last),
        "part": values[:, 1:2].clone().mT,
    }
    given |= {"scalar": values[0, 0, 0, 0].clone(), "empty": values[:0]}
    files.write_tensors(tmp_path / "a.safetensors", given, {"step": "3"})
    read, metadata = files.read_tensors(tmp_path / "a.safetensors")
    assert metadata == {"step": "3"}
    assert read.keys() == given.keys()
    for name in given:
        assert torch.equal(read[name], given[name])
        assert read[name].dtype == dtype


def test_tensors_with_gradients_are_written(tmp_path):
    files.write_tensors(tmp_path / "a.safetensors", {"w": torch.ones(2, requires_grad=True)})
    read, metadata = files.read_tensors(tmp_path / "a.safetensors")
    assert not read["w"].requires_grad
    assert metadata == {}


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_truncated_tensors_are_named(tmp_path, kept):
    files.write_tensors(tmp_path / "a.safetensors", {"w": torch.ones(50)})
    data = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(data[:kept])
    with pytest.raises(ValueError, match=r"a.safetensors is no complete safetensors file \(.*\): delete it and make"):
        files.read_tensors(tmp_path / "a.safetensors")


def test_missing_tensors_say_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*a.safetensors: run the stage that writes them first"):
        files.read_tensors(tmp_path / "a.safetensors")


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, writer):
    name, write = writer
    done = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (done.append(("sync", os.fstat(descriptor).st_ino)), sync(descriptor))
    )
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(("name", os.stat(old).st_ino)), rename(old, new)))
    write(tmp_path / name, 1)
    inode = (tmp_path / name).stat().st_ino
    assert done == [("sync", inode), ("name", inode)]


def test_a_file_system_that_cannot_sync_is_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.EINVAL, "not supported")))
    files.write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.EIO, "broken disk")))
    with pytest.raises(OSError, match="broken disk"):
        files.write_text(tmp_path / "a.txt", "y")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_equal_tensors_and_texts_give_equal_bytes(tmp_path):
    """safetensors alone writes the texts of its header in an order of its own."""
    texts = {f"key {k}": f'"{k}" λ\n' for k in range(30)}
    tensors = {f"layer.{k}": torch.full((k,), float(k)) for k in range(5)}
    for name in ("a", "b"):
        files.write_tensors(tmp_path / name, tensors, texts)
        texts = dict(reversed(texts.items()))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read, metadata = files.read_tensors(tmp_path / "a")
    assert metadata == texts
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    with safe_open(tmp_path / "a", framework="pt") as file:  # and others can read it
        assert set(file.keys()) == set(tensors)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_colleagues_may_read_what_the_umask_lets_them(tmp_path, writer, umask):
    name, write = writer
    before = os.umask(umask)
    try:
        write(tmp_path / name, 1)
    finally:
        os.umask(before)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_content_is_more_than_a_name(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("x")
    assert [files.has_content(tmp_path / name) for name in ("empty", "full", "missing", "")] == [
        False,
        True,
        False,
        False,
    ]


def test_a_file_of_no_bytes_says_so(tmp_path):
    (tmp_path / "a.json").touch()
    with pytest.raises(ValueError, match=r"a.json is empty, as a power cut leaves it: delete it and run"):
        files.read_json(tmp_path / "a.json")


def test_what_a_killed_process_left_is_swept(tmp_path):
    old = tmp_path / "deep" / ".weights.safetensors.12345.tmp.safetensors"
    young, other = tmp_path / ".a.json.1.tmp.json", tmp_path / "deep" / ".tmp.notes"
    for path in (old, young, other):
        files.write_text(path.with_name("made"), "x")
        path.write_text("x")
    os.utime(old, (0, 0)), os.utime(other, (0, 0))
    assert files.sweep(tmp_path) == 1
    assert not old.exists() and young.exists() and other.exists()
    assert files.sweep(tmp_path, seconds=-1) == 1 and not young.exists() and other.exists()
