# SPDX-License-Identifier: Apache-2.0
"""Settings from the environment: what is refused and with which words, tokens from files, and their documentation."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import (
    OTHER_NAMES,
    ROLES,
    ChannelSettings,
    CloudSettings,
    ComputeSettings,
    DashboardSettings,
    EdgeSettings,
    LinkAdminSettings,
    NodeSettings,
    SettingsError,
    known_names,
    load_settings,
)

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "configuration.md"


def loaded(role: str, **variables: str) -> NodeSettings:
    return load_settings(ROLES[role], {f"SPIKELINK_{name}": value for name, value in variables.items()})


@pytest.mark.parametrize("role", sorted(ROLES))
def test_nothing_needs_to_be_set(role: str) -> None:
    settings = loaded(role)
    assert settings.host == "127.0.0.1"
    assert settings.port == {"edge": 8001, "channel": 8002, "cloud": 8003, "dashboard": 8000}[role]
    assert settings.bearer() is None


def test_variables_are_read() -> None:
    edge = loaded("edge", PORT="0", DEADLINE_S="2.5", TORCH_THREADS="3", BF16="true", DEVICE="cpu")
    assert isinstance(edge, EdgeSettings)
    assert (edge.port, edge.deadline_s, edge.torch_threads, edge.bf16, edge.device) == (0, 2.5, 3, True, "cpu")


def test_the_given_variables_are_read_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKELINK_PORT", "1234")
    monkeypatch.setenv("SPIKELINK_NONSENSE", "1")
    assert load_settings(EdgeSettings, {}) == EdgeSettings()
    assert EdgeSettings().port == 8001
    assert load_settings(EdgeSettings, {"SPIKELINK_PORT": "5678"}).port == 5678
    assert load_settings(EdgeSettings, {"spikelink_port": "5678", "PORT": "1"}).port == 5678


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SPIKELINK_FEEDBACK_BRE", "SPIKELINK_FEEDBACK_BER"),
        ("SPIKELINK_DEADLINE", "SPIKELINK_DEADLINE_S"),
        ("spikelink_stroe", "SPIKELINK_STORE"),
        ("SPIKELINK_MAXWAITING", "SPIKELINK_MAX_WAITING"),
    ],
)
@pytest.mark.parametrize("role", sorted(ROLES))
def test_an_unknown_name_is_an_error_that_names_the_nearest(role: str, name: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"^unknown variable {name}; did you mean {nearest}\\?$"):
        load_settings(ROLES[role], {name: "1"})


def test_a_name_like_no_other_is_an_error_too() -> None:
    with pytest.raises(SettingsError, match=r"^unknown variable SPIKELINK_XYZZY$"):
        loaded("cloud", XYZZY="1")


def test_a_variable_of_another_role_is_none_of_this_ones_business() -> None:
    loaded("edge", FEEDBACK_BER="0.1", SESSION_TTL_S="5", DATA="/somewhere", STORE="memory://")


BAD = [
    ("edge", "PORT", "65536"),
    ("edge", "PORT", "-1"),
    ("edge", "PORT", "http"),
    ("edge", "DEADLINE_S", "0"),
    ("edge", "DEADLINE_S", "nan"),
    ("edge", "DEVICE", "gpu"),
    ("edge", "TILE", "0"),
    ("edge", "BF16", "perhaps"),
    ("edge", "LOG_LEVEL", "loud"),
    ("edge", "MAX_WAITING", "0"),
    ("channel", "BER", "0.6"),
    ("channel", "BER", "nan"),
    ("channel", "FEEDBACK_BER", "-0.1"),
    ("channel", "LATENCY_MS", "-1"),
    ("channel", "GRACE_S", "0"),
    ("cloud", "STORE", "postgres://somewhere"),
    ("cloud", "STORE", "sessions.sqlite3"),
    ("cloud", "SESSION_TTL_S", "0"),
    ("cloud", "MAX_SESSIONS", "0"),
    ("cloud", "CACHE_MIB", "-1"),
]


@pytest.mark.parametrize(("role", "name", "value"), BAD)
def test_a_bad_value_is_an_error_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, role: str, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^SPIKELINK_{name}: ."):
        loaded(role, **{name: value})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
@pytest.mark.parametrize("role", sorted(ROLES))
def test_another_address_than_loopback_takes_a_token(role: str, host: str) -> None:
    with pytest.raises(SettingsError, match="SPIKELINK_TOKEN"):
        loaded(role, HOST=host)
    assert loaded(role, HOST=host, TOKEN="secret").bearer() == "secret"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_takes_none(host: str) -> None:
    assert loaded("edge", HOST=host).bearer() is None


def test_an_admin_token_is_no_substitute() -> None:
    with pytest.raises(SettingsError, match="SPIKELINK_TOKEN"):
        loaded("channel", HOST="0.0.0.0", ADMIN_TOKEN="secret")


def test_tokens_from_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  of the nodes\n")
    (tmp_path / "admin").write_text("of the admin\n")
    files = {"TOKEN_FILE": str(tmp_path / "token"), "ADMIN_TOKEN_FILE": str(tmp_path / "admin")}
    settings = loaded("channel", HOST="0.0.0.0", **files)
    assert isinstance(settings, ChannelSettings)
    assert (settings.bearer(), settings.admin_bearer()) == ("of the nodes", "of the admin")


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_token_file_that_holds_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=re.escape(str(path))):
        loaded("edge", HOST="0.0.0.0", TOKEN_FILE=str(path))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        loaded("edge", TOKEN_FILE=str(path)).bearer()


@pytest.mark.parametrize("token", ["", " ", " blanks ", "two\nlines", "schlüssel", "tab\t"])
def test_a_token_that_no_header_can_carry(token: str, tmp_path: Path) -> None:
    """An empty admin token let in whoever sent `Authorization: Bearer` and nothing more; the others let in nobody."""
    with pytest.raises(SettingsError, match="token"):
        loaded("channel", HOST="0.0.0.0", TOKEN=token)
    settings = loaded("channel", TOKEN=token, ADMIN_TOKEN=token)
    assert isinstance(settings, ChannelSettings)
    for read in (settings.bearer, settings.admin_bearer):
        with pytest.raises(ValueError, match=r"^a token (is empty|holds no token: .*)$"):
            read()
    path = tmp_path / "token"
    path.write_text(token, encoding="utf-8")
    if token.strip() not in ("", "blanks", "tab"):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            loaded("edge", TOKEN_FILE=str(path)).bearer()


def test_an_empty_token_does_not_hide_the_one_in_the_file(tmp_path: Path) -> None:
    """The node was open, though it had been given a token."""
    path = tmp_path / "token"
    path.write_text("of-the-nodes")
    with pytest.raises(ValueError, match="a token is empty"):
        loaded("edge", TOKEN="", TOKEN_FILE=str(path)).bearer()


def test_a_token_is_not_shown() -> None:
    settings = loaded("channel", TOKEN="of-the-nodes", ADMIN_TOKEN="of-the-admin")
    assert "of-the" not in repr(settings) + str(settings)


def test_a_node_that_cannot_start_says_why_in_one_line() -> None:
    environment = {**os.environ, "SPIKELINK_FEEDBACK_BRE": "0.1"}
    command = [sys.executable, "-m", "cli", "node", "channel"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "did you mean SPIKELINK_FEEDBACK_BER?" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def tables() -> dict[str, dict[str, str]]:
    """Of docs/configuration.md: by heading, each variable and its default."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for row in PAGE.read_text(encoding="utf-8").splitlines():
        if row.startswith("## "):
            heading = row.removeprefix("## ")
        elif match := re.fullmatch(r"\| `SPIKELINK_([A-Z0-9_]+)` \| (.+?) \| (.{10,}) \|", row):
            found.setdefault(heading, {})[match[1]] = match[2]
    return found


@pytest.mark.parametrize(
    ("heading", "kind", "base"),
    [
        ("Every node", NodeSettings, None),
        ("Edge and cloud: networks", ComputeSettings, NodeSettings),
        ("Edge", EdgeSettings, ComputeSettings),
        ("Channel and dashboard: who may change the links", LinkAdminSettings, NodeSettings),
        ("Channel", ChannelSettings, LinkAdminSettings),
        ("Cloud", CloudSettings, ComputeSettings),
        ("Dashboard", DashboardSettings, LinkAdminSettings),
    ],
)
def test_every_setting_is_documented_with_its_default(
    heading: str, kind: type[NodeSettings], base: type[NodeSettings] | None
) -> None:
    own = {name: entry for name, entry in kind.model_fields.items() if base is None or name not in base.model_fields}
    expected = {name.upper(): _shown(entry.default) for name, entry in own.items()}
    if base is None:
        expected["PORT"] = ", ".join(f"{role} `{ROLES[role].model_fields['port'].default}`" for role in ROLES)
    assert tables()[heading] == expected


def test_what_is_read_elsewhere_is_documented_too() -> None:
    assert {f"SPIKELINK_{name}" for name in tables()["Command line and tests"]} == OTHER_NAMES
    documented = {f"SPIKELINK_{name}" for table in tables().values() for name in table}
    assert documented == known_names()


def _shown(default: object) -> str:
    if default is None:
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
