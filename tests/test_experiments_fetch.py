# SPDX-License-Identifier: Apache-2.0
"""``spikelink data fetch`` from a real server on loopback: what arrives, what is kept, and how it fails."""

import fcntl
import io
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from archive_server import ArchiveServer, serving
from cifar_archives import binary_files, md5_of, packed, some_images, write_folder
from typer.testing import CliRunner, Result

from cli.app import main
from experiments.data import cifar100, download, official

FILES = binary_files(some_images(200, 0), some_images(100, 1))
ARCHIVE = packed("cifar-100-binary", FILES)
HALF = len(ARCHIVE) // 2


def register(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let this archive be the official one."""
    binary = replace(official.BINARY, md5=md5_of(content))
    monkeypatch.setattr(official, "BINARY", binary)
    monkeypatch.setattr(official, "VERSIONS", (binary, official.PYTHON))


@pytest.fixture(autouse=True)
def official_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, ARCHIVE)
    monkeypatch.setattr(official, "IMAGES", {"train": 200, "validation": 0, "test": 100})
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    monkeypatch.delenv("SPIKELINK_DATA", raising=False)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with serving(ARCHIVE) as running:
        yield running


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where an earlier try leaves what it received."""
    return tmp_path / "cifar-100-binary.tar.gz.part"


def fetch(destination: Path, url: str) -> Result:
    return CliRunner().invoke(main, ["data", "fetch", str(destination), "--url", url], env={"COLUMNS": "80"})


def assert_fetched(done: Result, destination: Path) -> None:
    """Everything is there, and nothing else beside it."""
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"CIFAR-100 is in {destination}: 200 train, 0 validation, 100 test images\n" in done.stdout
    assert {path.name: path.read_bytes() for path in destination.iterdir()} == FILES
    assert [path.name for path in destination.parent.iterdir()] == [destination.name]


def assert_failed(done: Result, *parts: str) -> None:
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
    for part in parts:
        assert part in done.stderr


def test_what_is_fetched_is_what_the_other_commands_look_for(
    server: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["data", "fetch", "--url", server.url], env={"COLUMNS": "80"})
    assert_fetched(done, Path("data/cifar-100-binary"))
    assert "100%" in done.stdout or f"{len(ARCHIVE) / 1000:.1f}/{len(ARCHIVE) / 1000:.1f} kB" in done.stdout
    assert cifar100.is_there(Path("data/cifar-100-binary"), "test")
    assert (Path("data/cifar-100-binary").stat().st_mode & 0o055) == 0o055  # other users may read it


def test_the_variable_names_the_destination(server: ArchiveServer, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere" / "cifar"
    done = CliRunner().invoke(main, ["data", "fetch", "--url", server.url], env={"SPIKELINK_DATA": str(place)})
    assert_fetched(done, place)


def test_a_second_fetch_asks_nobody(server: ArchiveServer, tmp_path: Path) -> None:
    for _ in range(2):
        assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    assert server.asked == [None]


def test_an_empty_folder_is_filled(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")


def test_a_redirection_is_followed(server: ArchiveServer, tmp_path: Path) -> None:
    assert_fetched(fetch(tmp_path / "x", server.url.replace("cifar-100-binary.tar.gz", "moved")), tmp_path / "x")


def test_a_cut_connection_is_taken_up_where_it_ended(server: ArchiveServer, tmp_path: Path) -> None:
    server.cuts = [HALF, 1000, 0, 0]
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    rest = f"bytes={HALF + 1000}-"
    assert server.asked == [None, f"bytes={HALF}-", rest, rest, rest]


def test_what_has_arrived_serves_the_next_call(server: ArchiveServer, tmp_path: Path, part: Path) -> None:
    server.cuts = [HALF, 0, 0, 0]
    failed = fetch(tmp_path / "x", server.url)
    assert_failed(failed, f"broke off; {HALF:,} bytes are kept, and the same command goes on", "name it with --data")
    assert part.read_bytes() == ARCHIVE[:HALF]
    assert not (tmp_path / "x").exists()
    server.asked.clear()
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    assert server.asked == [f"bytes={HALF}-"]


def test_a_whole_archive_is_not_asked_for_again(server: ArchiveServer, tmp_path: Path, part: Path) -> None:
    part.write_bytes(ARCHIVE)
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    assert server.asked == []


def test_a_server_without_ranges_begins_again(server: ArchiveServer, tmp_path: Path, part: Path) -> None:
    server.has_ranges = False
    part.write_bytes(ARCHIVE[:HALF])
    server.cuts = [HALF + 1]
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    assert server.asked == [f"bytes={HALF}-", f"bytes={HALF + 1}-"]


def test_a_server_that_always_ends_too_early_is_given_up(server: ArchiveServer, tmp_path: Path) -> None:
    server.has_ranges, server.cuts = False, [HALF] * 9
    assert_failed(fetch(tmp_path / "x", server.url), f"{HALF:,} bytes are kept")
    assert len(server.asked) == 4


@pytest.mark.parametrize("stale", [b"something else", ARCHIVE + b"more", ARCHIVE[:HALF] + b"?" * 100])
def test_a_part_of_another_file_is_thrown_away(server: ArchiveServer, tmp_path: Path, part: Path, stale: bytes) -> None:
    part.write_bytes(stale)
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    assert server.asked == [f"bytes={len(stale)}-", None]


def test_a_server_that_tells_no_length(server: ArchiveServer, tmp_path: Path) -> None:
    server.tells_length = False
    assert_fetched(fetch(tmp_path / "x", server.url), tmp_path / "x")
    server.cuts = [HALF]  # which nothing but the md5 shows
    assert_failed(fetch(tmp_path / "y", server.url), "is not the official archive", f"{HALF:,} bytes")


def test_another_file_is_refused_and_not_kept(server: ArchiveServer, tmp_path: Path) -> None:
    server.content = packed("cifar-100-binary", FILES | {"test.bin": b""})
    done = fetch(tmp_path / "x", server.url)
    assert_failed(done, "is not the official archive", md5_of(server.content), md5_of(ARCHIVE), official.HOME_PAGE)
    assert server.asked == [None]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_one_line(server: ArchiveServer, tmp_path: Path, part: Path) -> None:
    part.write_bytes(ARCHIVE[:HALF])
    done = fetch(tmp_path / "x", server.url + ".old")
    assert_failed(done, "answers 404 Not Found", official.HOME_PAGE, "name it with --data or SPIKELINK_DATA")
    assert part.read_bytes() == ARCHIVE[:HALF]


def test_without_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = fetch(tmp_path / "x", f"http://127.0.0.1:{closed.getsockname()[1]}/a.tar.gz")
    assert_failed(done, "no connection to http://127.0.0.1:", "cifar-100-binary.tar.gz can also be fetched by hand")
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])


def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = fetch(tmp_path / "x", f"http://127.0.0.1:{silent.getsockname()[1]}/a.tar.gz")
    assert_failed(done, "does not answer")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "nonsense", "http://[", "http://", "http://127.0.0.1:x/"])
def test_what_is_no_url_is_one_line(tmp_path: Path, url: str) -> None:
    assert_failed(fetch(tmp_path / "x", url), f"{url} is no URL")


def test_what_is_there_is_never_replaced(server: ArchiveServer, tmp_path: Path) -> None:
    cut = FILES | {"test.bin": FILES["test.bin"][: 3074 * 99]}
    for name, files in (("other", {"notes.txt": b"mine"}), ("cut", cut)):
        folder = write_folder(tmp_path / name, files)
        done = fetch(folder, server.url)
        assert_failed(done, f"{folder} is not empty, and nothing in it is replaced")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert server.asked == []


def test_where_nothing_can_be_written_is_one_line(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = fetch(tmp_path / "file" / "below", server.url)
    assert_failed(done, f"{tmp_path}/file cannot be written: File exists")


def test_two_at_once_do_not_write_one_file(server: ArchiveServer, tmp_path: Path, part: Path) -> None:
    with part.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert_failed(fetch(tmp_path / "x", server.url), f"another process is writing {part}")
    assert server.asked == []


def test_ctrl_c_keeps_what_has_arrived(
    server: ArchiveServer, tmp_path: Path, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server.cuts = [HALF]
    monkeypatch.setattr("time.sleep", interrupt)
    assert_failed(fetch(tmp_path / "x", server.url), "interrupted: the same command goes on")
    assert part.read_bytes() == ARCHIVE[:HALF]


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """An archive with the data set and one member more."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for file, content in FILES.items():
            info = tarfile.TarInfo(f"cifar-100-binary/{file}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        member("../../escaped"),
        member("cifar-100-binary/../../../escaped"),
        member("cifar-100-binary/link", tarfile.SYMTYPE, "/etc"),
        member("cifar-100-binary/link", tarfile.SYMTYPE, "../../.."),
        member("cifar-100-binary/link", tarfile.LNKTYPE, "../../escaped"),
        member("cifar-100-binary/device", tarfile.CHRTYPE),
        ARCHIVE[:HALF],
        b"no archive",
    ],
)
def test_an_archive_that_reaches_out_or_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Its md5 would have to be right, too."""
    register(monkeypatch, content)
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    with serving(content) as server:
        assert_failed(fetch(folder / "x", server.url), "the archive cannot be unpacked")
    assert {path.name for path in tmp_path.rglob("*")} == {"one", "two", "cifar-100-binary.tar.gz.part"}


def test_an_archive_that_is_not_whole_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed("cifar-100-binary", FILES | {"test.bin": FILES["test.bin"][: 3074 * 99]})
    register(monkeypatch, content)
    with serving(content) as server:
        assert_failed(fetch(tmp_path / "x", server.url), "is not the whole CIFAR-100")
    assert not (tmp_path / "x").exists()


def test_a_leading_slash_stays_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = member(f"{tmp_path}/escaped")
    register(monkeypatch, content)
    with serving(content) as server:
        fetch(tmp_path / "x", server.url)
    assert not (tmp_path / "escaped").exists()
