# SPDX-License-Identifier: Apache-2.0
"""The house rules that a program can check: who imports whom, file sizes, names, headers and docstrings."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("channel", "models", "service", "client", "experiments", "cli")
#: The list in README.md, How it is built. A name covers what stands below it.
MAY_IMPORT = {
    "channel": (),
    "models": ("channel.bits",),
    "models.codecs": ("channel.ldpc",),
    "models.link": ("channel",),
    "service": ("models", "channel"),
    "client": ("service.wire",),
    "experiments": ("client", "service.stores", "models", "channel"),
    "experiments.bench": ("service.wire",),
    "cli": ("channel", "models", "service", "client", "experiments"),
}
#: Third parties that channel/ may import, by module; every other module of it gets by with numpy.
CHANNEL_MAY_USE = {"channel.ldpc": {"torch", "sionna"}}
#: What runs without torch.
LIGHT = (
    "service.wire", "client", "cli.app", "cli.sweeps_kept", "service.nodes.channel.app", "service.nodes.dashboard.app",
    "experiments.figures.draw", "experiments.sweeps.desk", "experiments.bench.page", "experiments.ablations.page",
)  # fmt: skip  # a list of names
SECTIONS = ("Shapes", "Units", "Math", "Source", "Differs")
MAX_LINES = 300
VAGUE = {"utils", "util", "helpers", "helper", "common"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imported(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """The modules that these statements import, by full name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            below = [f"{name}.{alias.name}" for alias in node.names]
            found = [module for module in below if is_module(module)]
            yield from found
            if len(found) < len(below):
                yield name


def all_imports(path: Path) -> set[str]:
    """Lazy ones inside functions included."""
    return set(imported(ast.walk(tree_of(path)), package_of(path)))


def package_of(path: Path) -> str:
    return module_of(path) if path.stem == "__init__" else module_of(path).rpartition(".")[0]


def at_load_time(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, bodies of functions and TYPE_CHECKING left out."""
    for statement in statements:
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from at_load_time(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody"):
                yield from at_load_time(getattr(statement, name, []))
            for handler in getattr(statement, "handlers", []):
                yield from at_load_time(handler.body)


def page_files() -> list[Path]:
    page = ROOT / "service" / "nodes" / "dashboard" / "page"
    return sorted(path for path in page.iterdir() if path.suffix in (".js", ".css", ".html"))


def covers(allowed: str, name: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in sources(package):
        allowed = {package}
        for owner, names in MAY_IMPORT.items():
            if covers(owner, module_of(path)):
                allowed.update(names)
        for name in all_imports(path):
            if name.split(".")[0] in PACKAGES:
                assert any(covers(a, name) for a in allowed), f"{path.relative_to(ROOT)} imports {name}"


def test_wire_format_stands_alone() -> None:
    """The client imports it: what it imports, the client loads; the init file of service comes with it."""
    wire = [path for path in sources("service") if covers("service.wire", module_of(path))]
    assert wire
    for path in (*wire, ROOT / "service" / "__init__.py"):
        names = {name for name in all_imports(path) if not covers("service.wire", name)}
        assert {name.split(".")[0] for name in names} - sys.stdlib_module_names <= {"pydantic"}, path.relative_to(ROOT)


def test_channel_needs_numpy_alone() -> None:
    for path in sources("channel"):
        outside = {name.split(".")[0] for name in all_imports(path)} - sys.stdlib_module_names - {"channel", "numpy"}
        assert outside <= CHANNEL_MAY_USE.get(module_of(path), set()), path.relative_to(ROOT)


def test_ray_is_an_extra() -> None:
    """Only what `--engine ray` asks for imports it, and when the command line's sweeps load, nothing does."""
    users = {module_of(path) for path in sources(*PACKAGES) if any(covers("ray", name) for name in all_imports(path))}
    assert users == {"experiments.sweeps.on_ray", "experiments.sweeps.ray_engine"}
    command = [sys.executable, "-c", "import sys, cli.sweeping; print('ray' in sys.modules)"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "False", run.stdout + run.stderr


def test_nobody_imports_the_tests() -> None:
    tests = {path.stem for path in sources("tests")}
    for path in sources(*PACKAGES):
        assert not {name.split(".")[0] for name in all_imports(path)} & {"tests", *tests}, path.relative_to(ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_cycle_when_modules_load(package: str) -> None:
    graph = {
        module_of(path): {
            name
            for name in imported(at_load_time(tree_of(path).body), package_of(path))
            if covers(package, name) and name != module_of(path)
        }
        for path in sources(package)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", LIGHT)
def test_light_processes_load_no_torch(module: str) -> None:
    heavy = ["torch", "spikingjelly", "models", "sionna", "scipy"]
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests", "docker"), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_small_named_and_licensed(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES
    assert lines[:1] == ["# SPDX-License-Identifier: Apache-2.0"]
    assert not {part.lower() for part in path.relative_to(ROOT).with_suffix("").parts} & VAGUE


@pytest.mark.parametrize("path", page_files(), ids=lambda path: path.name)
def test_the_page_is_made_of_small_licensed_files(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 140
    assert any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2])
    assert path.stem not in VAGUE


def physics() -> list[Path]:
    return [path for path in sources("channel", "models") if path.stem != "__init__"]


@pytest.mark.parametrize("path", physics(), ids=lambda path: str(path.relative_to(ROOT)))
def test_docstring_has_the_five_sections(path: Path) -> None:
    lines = (ast.get_docstring(tree_of(path)) or "").splitlines()
    for word in SECTIONS:
        assert any(line.startswith(f"{word} ") for line in lines), word


def test_tests_folder_is_flat_and_no_package() -> None:
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert not (ROOT / "docker" / "__init__.py").exists()  # it would hide PyPI's docker
    assert all(path.parent == ROOT / "tests" for path in sources("tests"))


def test_the_walk_sees_what_it_must() -> None:
    """The rules above rest on these readings of Python's import statement."""
    tree = ast.parse("import a.b\nfrom models import losses, __doc__\nfrom . import bits\nfrom .noise import uniforms\n"
                     "def f():\n    from service.wire import Wire\n")  # fmt: skip
    assert set(imported(ast.walk(tree), "channel")) == {
        "a.b", "models.losses", "models", "channel.bits", "channel.noise", "service.wire"
    }  # fmt: skip
    assert "service.wire" not in set(imported(at_load_time(tree.body), "channel"))
    assert not covers("channel", "channels.bits")
    assert covers("service.wire", "service.wire")
