"""Start-up loads none of the heavy libraries, until something needs them.

import-linter keeps the rooms apart (`make contracts`); which imports happen at a start only running it can tell.
"""

import importlib.util
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

HEAVY = tuple(
    "torch transformers numpy PIL textual rich pydantic sqlite3 asyncio httpx2 "
    "av ctranslate2 cv2 faster_whisper onnxruntime piper sounddevice".split()
)


def loaded_by(program: str) -> set[str]:
    """Return the heavy libraries that a fresh interpreter holds at the end of `program`, whatever its exit code."""
    report = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('LOADED', *sys.modules.keys() & {set(HEAVY)}, file=sys.stderr))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", report + program], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return set(finished.stderr.rpartition("LOADED")[2].split())


@pytest.mark.parametrize(
    "module", ["assistant", "assistant.messages", "parley", "parley.cli", "skills", "tui", "voice"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_loads_nothing_heavy(option: str) -> None:
    program = f"import sys\nfrom parley.cli import main\nsys.argv = ['parley', {option!r}]\nsys.exit(main())"
    assert loaded_by(program) == set()


def test_the_session_does_without_tensors_and_screens() -> None:
    assert loaded_by("import assistant.conversation.session, assistant.models.scripted") <= {"asyncio"}


def test_talking_to_a_server_needs_no_model_libraries() -> None:
    assert not loaded_by("import assistant.models.remote.model") & {"torch", "transformers", "numpy", "textual"}


def test_the_bundled_model_starts_without_what_sees() -> None:
    program = """
from pathlib import Path
import assistant.models.memory
import assistant.models.pocket.vision_weights
from assistant.models.gguf.model import GgufModel
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings
from parley.factory import bundled
from parley.factory.models import build_model

assistant.models.memory.free_memory = lambda: 10**10
bundled.fetch_language_model = bundled.assemble_pocket = lambda *_: Path()
GgufModel.load = lambda *_, **__: ScriptedModel()
build_model(Settings(model="pocket"))
"""
    assert not loaded_by(program) & {"torch", "transformers", "onnxruntime", "cv2"}


@pytest.mark.parametrize(
    "arguments",
    ["['--device', 'cpu', 'models']", "['models', 'use', 'gone']", "['ask', 'hi', '-m', 'gone']", "['gone']"],
)
@pytest.mark.usefixtures("unset")
def test_lists_and_wrong_names_need_no_model_libraries(arguments: str) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['parley', *{arguments}]\n"
        "from parley.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
    )
    assert not loaded_by(program) & {"torch", "transformers", "numpy", "textual"}


def test_the_runtime_of_small_models_has_no_telemetry() -> None:
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    libraries = list((Path(found.origin).parent / "capi").glob("*onnxruntime*.so*"))
    assert libraries
    for library in libraries:
        assert b"OneCollector" not in library.read_bytes(), f"{library.name} can call its maker"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_tests_are_found_on_a_terminal_too() -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-k", "nothing_such"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True):
        os.close(theirs)
        said = b""
        # A terminal whose other side has gone is at its end in one way or the other.
        with suppress(OSError):
            while piece := os.read(ours, 4096):
                said += piece
    os.close(ours)
    assert b"no tests collected" in said, said[-2000:].decode()
    assert b"ERROR collecting" not in said, said.decode()
