# SPDX-License-Identifier: Apache-2.0
"""What containers and installation are described by: constraints, compose files, the token files. Needs no engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cli.failures import CommandError
from cli.tokens import tokens, write_tokens

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
#: Installed with --no-deps, so that pyproject.toml does not name them.
INSTALLED_BESIDE = ("spikingjelly",)
HOSTS = ("edge", "channel", "cloud")


def constraints() -> dict[str, str]:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    return {_normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def services(*files: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The services of compose files by name, as docker-compose reads them."""
    named = [argument for file in files for argument in ("-f", file)]
    command = ["docker-compose", *named, "config"]
    text = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r"^  (\w+):\n((?:    .*\n)+)", text.partition("services:\n")[2], re.MULTILINE))


def test_the_constraints_satisfy_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    pinned = constraints()
    for requirement in map(Requirement, [*lines, *INSTALLED_BESIDE]):
        version = pinned.get(_normal(requirement.name))
        assert version, f"{requirement} is not in {CONSTRAINTS.name}: make constraints"
        assert requirement.specifier.contains(version), f"{requirement}, but {CONSTRAINTS.name} pins {version}"


@pytest.mark.parametrize("file", ["Makefile", "docker/model-node.Dockerfile"])
def test_torch_has_one_version(file: str) -> None:
    found = re.search(r"^(?:ARG )?TORCH_VERSION *\??= *(\S+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert found
    assert found[1] == constraints()["torch"]


def test_an_image_installs_what_its_extras_require() -> None:
    def listed(*extras: str) -> str:
        command = [sys.executable, "docker/requirements.py", *extras]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    channel, cloud = listed("node"), listed("node", "cloud", "models")
    assert "uvicorn" in channel
    assert not re.search("torch|safetensors|redis|sionna|scipy", channel)
    names = {re.split("[=<>]", line)[0] for line in cloud.splitlines()}
    assert {"torch", "safetensors", "redis", "sionna-no-rt"} <= names


def test_the_context_of_a_build_is_named_file_by_file() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert not [line for line in lines if line.startswith("!") and not (ROOT / line[1:]).exists()]


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_not_started_without_its_settings(host: str) -> None:
    command = ["docker-compose", "-f", f"docker/hosts/{host}.yml", "config", "-q"]
    missing = subprocess.run(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert missing.returncode
    assert ("TOKENS" if host == "cloud" else "UPSTREAM") in missing.stderr


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
@pytest.mark.parametrize("file", ["docker-compose.yml", *(f"docker/hosts/{role}.yml" for role in HOSTS)])
def test_every_node_has_so_much_memory_and_room_for_bodies(file: str) -> None:
    """So that a node that is asked for too much is restarted, and not the machine out of memory."""
    environment = {"PATH": "/usr/bin:/bin", "TOKENS": "/tokens", "UPSTREAM": "http://192.0.2.2:8002"}
    nodes = {name: text for name, text in services(file, env=environment).items() if "SPIKELINK_PORT" in text}
    assert len(nodes) == (4 if file == "docker-compose.yml" else 1)
    for name, text in nodes.items():
        assert f"mem_limit: {'2g' if name == 'channel' else '4g'}\n" in text
        assert re.search(r"tmpfs:\n *- /tmp:size=1g\n", text)
    larger = services(file, env={**environment, "MODEL_NODE_MEMORY": "9g", "CHANNEL_MEMORY": "9g", "SPOOL_SIZE": "5g"})
    assert all("mem_limit: 9g\n" in larger[name] and "/tmp:size=5g\n" in larger[name] for name in nodes)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_the_overlay_gives_gpus_to_edge_and_cloud() -> None:
    found = services("docker-compose.yml", "docker/compose.gpu.yml")
    assert [name for name, service in found.items() if "driver: nvidia" in service] == ["cloud", "edge"]
    assert [name for name, service in found.items() if "SPIKELINK_DEVICE: cuda" in service] == ["cloud", "edge"]
    assert [name for name, service in found.items() if "mem_limit: 16g" in service] == ["cloud", "edge"]
    images = [name for name, service in found.items() if "model-node:cuda" in service]
    assert images == ["cloud", "dashboard", "edge"]


def test_tokens_are_made_once_and_for_their_readers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    write_tokens(folder)
    written = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert {name: mode for name, (_, mode) in written.items()} == {"token": 0o440, "admin_token": 0o400}
    texts = [text for text, _ in written.values()]
    assert len(set(texts)) == 2
    assert all(re.fullmatch(r"[\w-]{43}\n", text) for text in texts)

    (folder / "token").unlink()
    write_tokens(folder)
    assert (folder / "admin_token").read_text() == written["admin_token"][0]
    assert (folder / "token").read_text() != written["token"][0]


def test_tokens_are_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="cannot be written"):
        tokens(tmp_path / "file" / "folder")
