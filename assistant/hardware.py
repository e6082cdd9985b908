"""Find out what hardware this machine has, without torch, whose import takes seconds.

A GPU is of use only to a build of torch that was compiled for it: the build is read from the file that names it.
"""

import ctypes
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Backend = Literal["cuda", "xpu", "mps"]
Build = Literal["cpu", "cuda", "rocm", "xpu", ""]

# Seconds. nvidia-smi answers in a tenth of that, unless its driver hangs.
_PROGRAM_SECONDS = 2.0
_VENDORS = {"0x1002": "AMD", "0x10de": "NVIDIA", "0x8086": "Intel"}
_BUILD_LINE = re.compile(r"^(cuda|hip|xpu)\b[^=\n]*= *(?!None)\S", re.MULTILINE)
# Instructions that the engines have kernels for, under the names of Linux.
_CPU_FEATURES = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16"),
    *("asimddp", "i8mm", "bf16", "sve"),
)


@dataclass(frozen=True)
class Gpu:
    """A graphics card or chip.

    Attributes:
        vendor: "NVIDIA", "AMD", "Intel" or "Apple".
        name: Product name; empty if unknown.
        memory_bytes: Memory of its own; 0 if unknown, or if it shares the machine's.
        driver: Version of the driver; empty if unknown.
    """

    vendor: str
    name: str = ""
    memory_bytes: int = 0
    driver: str = ""


@dataclass(frozen=True)
class Cpu:
    """The processor: its name, physical cores, threads that this process may use, and instructions that matter."""

    name: str
    cores: int
    threads: int
    features: tuple[str, ...]


def find_cpu(root: Path = Path("/")) -> Cpu:
    """Return the processor of this machine; `root` is the folder of `proc`."""
    import psutil

    name, flags = platform.processor() or platform.machine(), ""
    with suppress(OSError, ValueError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = value
    if platform.system() == "Darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string") or name
    present = set(flags.split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return Cpu(name, cores, usable or 1, tuple(feature for feature in _CPU_FEATURES if feature in present))


def find_gpus(root: Path = Path("/")) -> list[Gpu]:
    """Return the GPUs of this machine, usable or not; `root` is the folder of `sys`."""
    gpus = list(_nvidia_gpus())
    for card in sorted((root / "sys/class/drm").glob("card[0-9]*/device")):
        vendor = _VENDORS.get(_read(card / "vendor"), "")
        memory = _read(card / "mem_info_vram_total")
        if vendor and not (vendor == "NVIDIA" and gpus):
            gpus.append(Gpu(vendor, _read(card / "product_name"), int(memory) if memory.isdecimal() else 0))
    if is_apple_silicon():
        gpus.append(Gpu("Apple", find_cpu(root).name))
    return gpus


def torch_build() -> Build:
    """Return what the installed torch was compiled for; empty if it is missing or damaged. Does not import it."""
    try:
        spec = find_spec("torch")
        origin = Path(spec.origin if spec and spec.origin else "/nowhere")
        found = _BUILD_LINE.search((origin.parent / "version.py").read_text("utf-8"))
    except (OSError, ValueError, ImportError):
        return ""
    builds: dict[str, Build] = {"cuda": "cuda", "hip": "rocm", "xpu": "xpu"}
    return builds[found.group(1)] if found else "cpu"


def gpu_backend(root: Path = Path("/")) -> Backend | None:
    """Return the device type under which torch may find a GPU here, None if there can be none.

    torch calls AMD's GPUs "cuda" as well.
    """
    if is_apple_silicon():
        return "mps"
    match torch_build():
        case "cuda" if _has_library("nvcuda.dll" if os.name == "nt" else "libcuda.so.1"):
            return "cuda"
        case "rocm" if os.name == "nt" or (root / "dev/kfd").exists():
            return "cuda"
        case "xpu" if os.name == "nt" or any(gpu.vendor == "Intel" for gpu in find_gpus(root)):
            return "xpu"
    return None


def is_apple_silicon() -> bool:
    """Return True on a Mac whose GPU torch supports."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _nvidia_gpus() -> Iterator[Gpu]:
    lines = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
    for line in lines.splitlines():
        name, _, rest = line.partition(", ")
        memory, _, driver = rest.partition(", ")
        yield Gpu("NVIDIA", name, int(memory) << 20 if memory.isdecimal() else 0, driver.strip())


def _output(*command: str) -> str:
    """Return what a program prints, an empty string if it is missing, fails or hangs."""
    try:
        finished = subprocess.run(
            command, capture_output=True, timeout=_PROGRAM_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout.decode(errors="replace").strip()


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""
