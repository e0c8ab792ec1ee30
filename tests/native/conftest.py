"""Builds the native tests once and makes each CTest case a pytest item of its own.

The build folder is the one that ``pip install`` left in ``build/`` when there is one: its objects
went into the wheel, so only the tests themselves are compiled. Otherwise the whole library is built
in ``build/native-tests``. Both are kept for the next run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> NativeSuite | None:
    if file_path.parent == Path(__file__).parent and file_path.name == "CMakeLists.txt":
        return NativeSuite.from_parent(parent, path=file_path)
    return None


class NativeTestError(Exception):
    """A build or a case failed; the text is what it printed."""


class NativeSuite(pytest.File):
    """The cases that ``lamina_tests`` has, or one item that says why there are none."""

    def collect(self) -> Iterator[pytest.Item]:
        missing = missing_tools()
        if missing:
            reason = f"the native tests need {' and '.join(missing)}: pip install '.[test]'"
            yield NativeBuild.from_parent(self, name="build", skip_reason=reason)
            return
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("building the native tests ...")
        try:
            cases = build()
        except NativeTestError as error:
            yield NativeBuild.from_parent(self, name="build", output=str(error))
            return
        for case in cases:
            yield NativeCase.from_parent(self, name=case["name"], case=case)


class NativeBuild(pytest.Item):
    """Stands for a native suite that could not be built."""

    def __init__(self, *, skip_reason: str = "", output: str = "", **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.skip_reason = skip_reason
        self.output = output

    def runtest(self) -> None:
        if self.skip_reason:
            pytest.skip(self.skip_reason)
        raise NativeTestError(self.output)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        if isinstance(excinfo.value, NativeTestError):
            return f"the native tests do not build:\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class NativeCase(pytest.Item):
    """One CTest case, run by the command that CTest has for it."""

    def __init__(self, *, case: dict, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.command = case["command"]
        properties = {entry["name"]: entry["value"] for entry in case.get("properties", [])}
        self.timeout = properties.get("TIMEOUT", 300)
        self.extra_env = dict(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))

    def runtest(self) -> None:
        result = run(self.command, timeout=self.timeout, env=self.extra_env)
        if result.returncode != 0:
            raise NativeTestError(f"exit status {result.returncode}\n{result.stdout}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        if isinstance(excinfo.value, subprocess.TimeoutExpired):
            return f"no end after {excinfo.value.timeout} s: {' '.join(self.command)}"
        if isinstance(excinfo.value, NativeTestError):
            return f"{' '.join(self.command)}\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


def missing_tools() -> list[str]:
    """What the native tests need from the ``test`` extra and do not find."""
    missing = [] if importlib.util.find_spec("boost_headers") else ["boost-headers"]
    return missing + [tool for tool in ("cmake", "ninja") if not tool_path(tool)]


def tool_path(name: str) -> str | None:
    """Find a tool beside this interpreter, which need not be on PATH, or on PATH."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    return beside or shutil.which(name)


def run(
    command: list[str], *, timeout: float | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )


def checked(command: list[str]) -> str:
    result = run(command)
    if result.returncode != 0:
        raise NativeTestError(f"$ {' '.join(command)}\n{result.stdout}")
    return result.stdout


class BuildFolder:
    """A CMake build folder and the tools that work in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        cache = path / "CMakeCache.txt"
        self.cache = (
            dict(re.findall(r"^(\w+):\w+=(.*)$", cache.read_text(), re.M)) if cache.exists() else {}
        )
        # Other versions of the tools that built it would build it all again. Those of pip's build
        # environment are gone, though: ours then have the same versions as a rule.
        self.cmake = self.tool("CMAKE_COMMAND", "cmake")
        self.ninja = self.tool("CMAKE_MAKE_PROGRAM", "ninja")

    def tool(self, variable: str, name: str) -> str:
        return shutil.which(self.cache.get(variable, "")) or tool_path(name) or name

    def configure(self) -> None:
        import boost_headers

        start = [] if self.cache else ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
        settings = {
            "CMAKE_MAKE_PROGRAM": self.ninja,
            "LAMINA_PYTHON": "OFF",
            "LAMINA_NATIVE_TESTS": "ON",
            "LAMINA_BOOST_INCLUDE_DIR": boost_headers.get_include(),
        }
        defines = [f"-D{name}={value}" for name, value in settings.items()]
        checked([self.cmake, "-S", str(ROOT), "-B", str(self.path), *start, *defines])

    def build(self) -> None:
        checked([self.cmake, "--build", str(self.path)])

    def cases(self) -> list[dict]:
        ctest = tool_path("ctest") or "ctest"
        return json.loads(checked([ctest, "--test-dir", str(self.path), "--show-only=json-v1"]))[
            "tests"
        ]


def wheel_build() -> list[BuildFolder]:
    """The folder in which ``pip install`` last built this very source tree, if there is one."""
    infos = sorted((ROOT / "build").glob("*/.skbuild-info.json"), key=lambda p: p.stat().st_mtime)
    folders = [BuildFolder(info.parent) for info in infos]
    return [f for f in folders if f.cache.get("CMAKE_HOME_DIRECTORY") == str(ROOT)][-1:]


def build() -> list[dict]:
    """Build ``lamina_tests`` and return its cases as CTest describes them."""
    (ROOT / "build").mkdir(exist_ok=True)
    # Several pytest processes (pytest-xdist) must not build in one folder at once.
    with (ROOT / "build" / "native-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        own = BuildFolder(ROOT / "build" / "native-tests")
        for folder in [*wheel_build(), own]:
            try:
                folder.configure()
                break
            except NativeTestError:
                if folder is own:
                    raise
        folder.build()
        return folder.cases()
