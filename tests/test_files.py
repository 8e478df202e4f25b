"""Files are whole or not there, survive a power cut, and show damage."""

import os
import time
from pathlib import Path

import pytest

from jaxal import files
from jaxal.files import is_whole, write_sealed, write_whole


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a[1].bin"
    write_whole(path, lambda file: file.write(b"first"))

    def broken(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, broken)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_contents_then_name_reach_the_disk(tmp_path, monkeypatch):
    """The order that survives a power cut: the file, the renaming, the folder."""
    done = []
    fsync, replace = os.fsync, os.replace
    where = lambda handle: Path(os.readlink(f"/proc/self/fd/{handle}"))
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(where(handle).name), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("renamed"), replace(a, b)))
    write_whole(tmp_path / "x.bin", lambda file: file.write(b"data"))
    contents, renamed, folder = done
    assert contents.startswith(".x.bin") and contents.endswith(".tmp")
    assert (renamed, folder) == ("renamed", tmp_path.name)


def test_a_seal_shows_any_change(tmp_path):
    path = tmp_path / "x.bin"
    for content in (b"", b"some data" * 1000):
        write_sealed(path, lambda file, content=content: file.write(content))
        data = path.read_bytes()
        assert data[: -files.SEAL] == content
        assert is_whole(path)
        for place in range(0, len(data), 501):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            assert not is_whole(path)
        for other in (b"", data[:-1], data + b"\0", data[5:], content):
            path.write_bytes(other)
            assert not is_whole(path)
    os.mkfifo(tmp_path / "pipe")
    assert not is_whole(tmp_path / "pipe")  # and does not wait for it


def test_what_was_left_behind_is_removed_unless_it_is_new(tmp_path):
    path = tmp_path / "x.npz"
    old, new, other = (tmp_path / name for name in (".x.npz.ab1.tmp", ".x.npz.ab2.tmp", ".y.npz.ab3.tmp"))
    for file in (old, new, other):
        file.write_bytes(b"half")
    for file in (old, other):
        os.utime(file, (time.time() - 2 * files.HOUR,) * 2)
    write_whole(path, lambda file: file.write(b"whole"))
    assert sorted(tmp_path.iterdir()) == [new, other, path]
