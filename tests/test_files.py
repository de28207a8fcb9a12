"""Files appear once they are complete; until then the destination is untouched."""

# ruff: noqa: S603, S607 - mount and umount have no fixed path

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bulkverify.errors import IncompleteDownloadError, RequestTimeoutError
from bulkverify.files import check_writable, flush_to_disk, is_file, make_folder, replacing
from bulkverify.lists.layout import create

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def write(destination: str | os.PathLike[str], content: bytes) -> None:
    with replacing(destination) as file:
        file.write(content)


def fail(destination: Path, error: BaseException) -> None:
    with replacing(destination) as file:
        file.write(b"half of it")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a few pages; skip if that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system can't be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_appears_once_it_is_complete(tmp_path: Path, kind: type[str | Path]) -> None:
    path = tmp_path / "out.csv"
    with replacing(kind(path)) as file:
        file.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert names(tmp_path) == ["out.csv"]


def test_a_file_replaces_an_existing_one(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b"before")
    with replacing(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_it(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "out.csv"
    path.touch(mode=0o644)
    before = os.umask(mask)
    try:
        write(path, b"addresses")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unfinished_file_is_hidden_and_private(tmp_path: Path) -> None:
    with replacing(tmp_path / "out.csv") as file:
        (partial,) = tmp_path.iterdir()
        assert partial.name.startswith(".out.csv.")
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


def test_the_last_of_two_writers_wins(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with replacing(path) as first:
        first.write(b"first")
        write(path, b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("existing", [b"before", None])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        KeyboardInterrupt(),
        IncompleteDownloadError("cut off", received=1, expected=2),
        RequestTimeoutError("too late"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/elsewhere"),
        TimeoutError("in words of its own"),
    ],
)
def test_a_failure_is_raised_unchanged_and_leaves_the_folder_as_it_was(
    tmp_path: Path, error: BaseException, existing: bytes | None
) -> None:
    path = tmp_path / "out.csv"
    if existing is not None:
        path.write_bytes(existing)
        path.chmod(0o640)
    with pytest.raises(type(error)) as info:
        fail(path, error)
    assert info.value is error
    if existing is None:
        assert names(tmp_path) == []
    else:
        assert names(tmp_path) == ["out.csv"]
        assert path.read_bytes() == existing
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_removed_partial_file_hides_no_error(tmp_path: Path) -> None:
    def remove_and_fail() -> None:
        with replacing(tmp_path / "out.csv"):
            for partial in tmp_path.iterdir():
                partial.unlink()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        remove_and_fail()


@pytest.mark.parametrize("size", [100_000, 2_000_000])
def test_a_full_disk_leaves_the_existing_file(small_disk: Path, size: int) -> None:
    path = small_disk / "out.csv"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="No space left on device") as info:
        write(path, b"x" * size)
    assert info.value.errno == errno.ENOSPC
    assert info.value.filename == str(path)
    assert names(small_disk) == ["out.csv"]
    assert path.read_bytes() == b"before"


def test_a_disk_that_fills_up_during_sync_leaves_the_existing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as info:
        write(path, b"after")
    assert info.value.filename == str(path)
    assert names(tmp_path) == ["out.csv"]
    assert path.read_bytes() == b"before"


def test_a_file_is_synced_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.csv"
    synced: list[tuple[int, bool]] = []

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write(path, b"after")
    assert synced == [(5, False)]


def test_flushing_writes_the_buffer_to_disk(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with path.open("wb") as file:
        file.write(b"all of it")
        flush_to_disk(file)
        assert path.read_bytes() == b"all of it"


def test_an_error_for_a_missing_folder_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "out.csv"
    with pytest.raises(FileNotFoundError) as info:
        write(path, b"x")
    assert info.value.filename == str(path)


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.mkdir()
    with pytest.raises(IsADirectoryError) as info:
        write(path, b"x")
    assert info.value.filename == str(path)
    assert names(tmp_path) == ["out.csv"]


def test_an_error_for_a_file_in_place_of_the_folder_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as info:
        write(tmp_path / "file" / "out.csv", b"x")
    assert info.value.filename == str(tmp_path / "file" / "out.csv")


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_path_without_a_file_name_is_a_folder(path: str) -> None:
    with pytest.raises(IsADirectoryError):
        write(path, b"x")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)


@not_root
@pytest.mark.parametrize("existing", [True, False])
def test_a_check_refuses_a_folder_without_write_permission(locked: Path, *, existing: bool) -> None:
    path = locked / "out.csv"
    if existing:
        locked.chmod(0o755)
        path.touch()
        locked.chmod(0o555)
    with pytest.raises(PermissionError) as info:
        check_writable(path, overwrite=True)
    assert info.value.filename == str(path)


@needs_root
def test_a_check_refuses_a_read_only_disk(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    path = small_disk / "out.csv"
    with pytest.raises(OSError, match="Read-only file system") as info:
        check_writable(path, overwrite=False)
    assert info.value.filename == str(path)


# Checks before anything is written


def test_a_check_leaves_no_file(tmp_path: Path) -> None:
    check_writable(tmp_path / "out.csv", overwrite=False)
    assert names(tmp_path) == []


def test_a_check_refuses_a_file_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(b"before")
    with pytest.raises(FileExistsError) as info:
        check_writable(path, overwrite=False)
    assert info.value.filename == str(path)
    check_writable(path, overwrite=True)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_check_refuses_a_folder(tmp_path: Path, *, overwrite: bool) -> None:
    with pytest.raises(IsADirectoryError) as info:
        check_writable(tmp_path, overwrite=overwrite)
    assert info.value.filename == str(tmp_path)


def test_a_check_refuses_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "out.csv"
    with pytest.raises(FileNotFoundError) as info:
        check_writable(path, overwrite=False)
    assert info.value.filename == str(path)


# Links and special files


def a_link(path: Path) -> None:
    target = path.with_name("precious")
    target.write_text("mine")
    path.symlink_to(target)


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_a_folder(path: Path) -> None:
    path.with_name("folder").mkdir()
    path.symlink_to(path.with_name("folder"))


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")


def a_disk(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 7))
    except PermissionError:
        pytest.skip("only root can make a device")


ODD = [
    (a_link, r"It is a symbolic link to .*precious, .* name the file itself"),
    (a_dangling_link, "It is a symbolic link to .*nowhere"),
    (a_link_to_itself, "It is a symbolic link to .*out"),
    (a_link_to_a_folder, "It is a symbolic link to .*folder"),
    (os.mkfifo, "It is a named pipe"),
    (a_socket, "It is a socket"),
    (a_device, "It is a device"),
    (a_disk, "It is a device"),
    (Path.mkdir, "Is a directory"),
]


def left(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.lstat().st_ino, path.lstat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize(("put", "message"), ODD)
@pytest.mark.timeout(10)
def test_links_and_special_files_are_neither_followed_nor_replaced(
    short_path: Path, put: Callable[[Path], None], message: str
) -> None:
    path = short_path / "out"
    put(path)
    before = left(short_path)
    for refused in (
        lambda: write(path, b"after"),
        lambda: check_writable(path, overwrite=True),
        lambda: check_writable(path, overwrite=False),
        lambda: create(path),
    ):
        with pytest.raises(OSError, match=message) as info:
            refused()
        assert info.value.filename == str(path)
        assert left(short_path) == before
    if "precious" in before:
        assert (short_path / "precious").read_text() == "mine"


@pytest.mark.parametrize(("put", "message"), ODD)
def test_links_and_special_files_created_meanwhile_are_not_replaced(
    short_path: Path, put: Callable[[Path], None], message: str
) -> None:
    path = short_path / "out"
    before = {}

    def write_and_put() -> None:
        with replacing(path) as file:
            file.write(b"after")
            put(path)
            before.update(left(short_path))

    with pytest.raises(OSError, match=message) as info:
        write_and_put()
    assert info.value.filename == str(path)
    assert left(short_path) == {
        name: found for name, found in before.items() if not name.endswith(".part")
    }


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("x")  # the path of a socket has about 100 characters at most


@pytest.mark.parametrize("put", [a_link, os.mkfifo, Path.mkdir])
def test_a_special_file_in_place_of_an_unfinished_file_stays(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / ".out.csv.run7.part")
    before = left(tmp_path)

    def marked() -> None:
        with replacing(tmp_path / "out.csv", mark="run7"):
            pass

    with pytest.raises(OSError, match=r"symbolic link|named pipe|directory"):
        marked()
    assert left(tmp_path) == before


def test_a_recreated_file_is_private_and_leaves_its_hard_links_unchanged(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "out.csv", tmp_path / "other.csv"
    path.write_text("before")
    path.chmod(0o644)
    other.hardlink_to(path)
    with create(path) as file:
        file.write(b"after")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (path.read_bytes(), other.read_bytes()) == (b"after", b"before")


def test_a_folder_is_private_and_may_already_exist(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for _ in range(2):
        make_folder(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "file").touch()
    for odd in ("link", "file"):
        with pytest.raises(FileExistsError):
            make_folder(tmp_path / odd)


def test_only_a_regular_file_counts_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert is_file(tmp_path / "file")
    assert not any(
        map(is_file, [tmp_path, tmp_path / "link", tmp_path / "none", tmp_path / "file" / "x"])
    )


def test_a_check_removes_the_probe_of_a_dead_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die_once_it_is_there(path: Path, **_: object) -> None:
        if path.exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die_once_it_is_there)
        with pytest.raises(KeyboardInterrupt):
            check_writable(tmp_path / "out.csv", overwrite=False)
    assert len(names(tmp_path)) == 1
    check_writable(tmp_path / "out.csv", overwrite=False)
    assert names(tmp_path) == []


def test_two_checks_at_once_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", lambda _, **__: None)  # the other process is quicker
    for _ in range(2):
        check_writable(tmp_path / "out.csv", overwrite=False)
    assert len(names(tmp_path)) == 1
