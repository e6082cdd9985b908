"""Output of libraries on file descriptor 2 is kept off the screen, that of Python is not."""

import os
import subprocess
import sys

import pytest

from assistant.stderr import silence_stderr


def run(program: str) -> str:
    """Run a program in a process of its own and return what it prints on standard error."""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return finished.stderr


def test_silenced_output_is_discarded_until_the_block_ends(capfd: pytest.CaptureFixture[str]) -> None:
    with silence_stderr():
        os.write(2, b"a library\n")
        with silence_stderr():
            os.write(2, b"another library\n")
        os.write(2, b"the first library again\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_output_is_restored_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="failed"), silence_stderr():
        raise ValueError("failed")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_reserved_output_is_that_of_python_alone() -> None:
    program = """
import os, sys
from assistant.stderr import reserve_stderr
with reserve_stderr():
    os.write(2, b"a library\\n")
    print("Python", file=sys.stderr)
os.write(2, b"after\\n")
"""
    assert run(program) == "Python\nafter\n"


def test_a_closed_standard_error_is_no_problem() -> None:
    program = """
import os
os.close(2)
from assistant.stderr import reserve_stderr, silence_stderr
with silence_stderr():
    pass
os._exit(0)
"""
    assert run(program) == ""
