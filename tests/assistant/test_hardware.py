"""Hardware is found without torch: on machines that are folders of files here."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from assistant import hardware
from assistant.hardware import Gpu, find_cpu, find_gpus, gpu_backend, torch_build


@pytest.fixture
def install_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a torch whose version.py has these lines; none at all for an empty text."""

    def install(lines: str) -> None:
        origin = tmp_path / "torch" / "__init__.py"
        origin.parent.mkdir(exist_ok=True)
        (origin.parent / "version.py").write_text(lines)
        spec = SimpleNamespace(origin=str(origin)) if lines else None
        monkeypatch.setattr("assistant.hardware.find_spec", lambda _: spec)

    return install


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


CUDA = "cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\nxpu: Optional[str] = None\n"
ROCM = "cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\nxpu: Optional[str] = None\n"
XPU = "cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = '20250300'\n"
CPU = "cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = None\n"


def test_the_build_of_torch_is_read_from_its_file(install_torch: Callable[[str], None]) -> None:
    for lines, build in ((CUDA, "cuda"), (ROCM, "rocm"), (XPU, "xpu"), (CPU, "cpu"), ("", "")):
        install_torch(lines)
        assert torch_build() == build


def test_a_gpu_counts_where_torch_is_built_for_it(
    install_torch: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Path
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("ctypes.CDLL", loaded.append)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kfd").touch()
    add_card(tmp_path, "0x8086")
    for lines, backend in ((CUDA, "cuda"), (ROCM, "cuda"), (XPU, "xpu"), (CPU, None), ("", None)):
        install_torch(lines)
        assert gpu_backend(tmp_path) == backend
    assert len(loaded) == 1
    for lines in (ROCM, XPU):
        install_torch(lines)
        assert gpu_backend(tmp_path / "nothing") is None


def add_card(root: Path, vendor: str, **files: str) -> None:
    number = len(list((root / "sys/class/drm").glob("card*"))) if (root / "sys/class/drm").is_dir() else 0
    device = root / "sys/class/drm" / f"card{number}" / "device"
    device.mkdir(parents=True)
    for name, content in {"vendor": vendor, **files}.items():
        (device / name).write_text(f"{content}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="programs here are shell scripts")
def test_cards_of_all_makers_are_found(tmp_path: Path, programs: Path) -> None:
    assert find_gpus(tmp_path) == []
    add_card(tmp_path, "0x1002", mem_info_vram_total="17163091968", product_name="Radeon")
    add_card(tmp_path, "0x8086")
    add_card(tmp_path, "0x1af4")
    assert find_gpus(tmp_path) == [Gpu("AMD", "Radeon", 17163091968), Gpu("Intel")]
    program = programs / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771, 580.95.05'\necho broken\n")
    program.chmod(0o700)
    assert find_gpus(tmp_path)[:2] == [Gpu("NVIDIA", "NVIDIA H200", 143771 << 20, "580.95.05"), Gpu("NVIDIA", "broken")]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert [gpu.vendor for gpu in find_gpus(tmp_path)] == ["AMD", "Intel"]


def test_a_program_that_hangs_is_left(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.hardware._PROGRAM_SECONDS", 0.1)
    assert hardware._output(sys.executable, "-c", "import time; time.sleep(60)") == ""


def test_the_processor_is_told_with_the_instructions_that_matter(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(
        "model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 fma amx_int8 sse\n\nmodel name\t: Some CPU @ 2 GHz\n"
    )
    cpu = find_cpu(tmp_path)
    assert (cpu.name, cpu.features) == ("Some CPU @ 2 GHz", ("avx2", "fma", "amx_int8"))
    assert cpu.cores >= 1
    assert cpu.threads >= 1
    assert find_cpu(tmp_path / "nothing").features == ()


def test_a_mac_with_a_chip_of_apple_has_its_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: Path
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert gpu_backend(tmp_path) == "mps"
    assert [gpu.vendor for gpu in find_gpus(tmp_path)] == ["Apple"]
