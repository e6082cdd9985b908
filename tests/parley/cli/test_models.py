"""`parley models`: the list, and fetching, removing and choosing by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assistant.config_file import save_setting
from assistant.errors import ConfigError
from assistant.formatting import format_bytes
from assistant.models import catalog
from assistant.models.catalog import CATALOG, best_fit, find
from assistant.models.pocket.language_weights import QWEN_1_5B
from assistant.settings import Settings, load
from parley.cli.main import root
from parley.factory.models import best_catalog_entry, build_model
from parley.factory.session import start_session
from tests.fakes.http_server import running
from tests.fakes.hub_server import HubServer, point_client_to
from tests.fakes.tiny_models import make_llava

GB = 10**9


pytestmark = pytest.mark.usefixtures("unset")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llava(tmp_path_factory.mktemp("llava") / "tiny-llava")


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with a tiny model in place of one in the catalog, and one that is in no catalog."""
    entry = find("qwen3-vl-2b")
    assert entry is not None
    with running(HubServer({entry.repository: folder, "tiny/llava": folder})) as server:
        point_client_to(server, tmp_path / "hub", monkeypatch)
        yield server


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, arguments)


def listed() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(run("models", "--json").stdout)}


class TestList:
    def test_the_list_shows_models_and_whether_they_fit(self, server: HubServer) -> None:
        lines = run("models").stdout.splitlines()
        assert lines[0].split() == "model held as memory fits here on the disk licence".split()
        assert [line.split()[0] for line in lines[1:]] == [
            "pocket",
            "pocket-small",
            *(entry.name for entry in CATALOG),
        ]
        rows = listed()
        assert rows["qwen3-vl-32b"]["memory"] > rows["qwen3-vl-2b"]["memory"] > GB
        assert rows["pocket-small"]["fits"] is True
        assert (rows["pocket"]["held"], rows["pocket"]["licence"]) == ("q4_k_m", "Apache-2.0")
        assert rows["gemma-3-4b"]["note"] == "terms to accept on the hub"

    def test_the_list_is_searched(self, server: HubServer) -> None:
        assert [line.split()[0] for line in run("models", "--search", "VL 8b").stdout.splitlines()[1:]] == [
            "qwen3-vl-8b",
            "internvl3.5-8b",
        ]
        missing = run("models", "--search", "qwen4")
        assert missing.exit_code == 1
        assert "has qwen4 in its name: the closest are qwen3" in missing.stderr

    def test_memory_depends_on_the_quantization(self, server: HubServer) -> None:
        whole = {row["name"]: row for row in json.loads(run("--quantize", "none", "models", "--json").stdout)}
        assert whole["qwen3-vl-8b"]["memory"] > 4 * 8.7 * GB
        assert whole["qwen3-vl-8b"]["held"] == "none"

    def test_the_list_shows_what_is_downloaded(self, server: HubServer) -> None:
        assert listed()["qwen3-vl-2b"]["cached"] == 0
        pulled = run("models", "pull", "qwen3-vl-2b")
        assert pulled.exit_code == 0, pulled.output
        assert Path(pulled.stdout.strip(), "model.safetensors").is_file()
        run("models", "pull", "tiny/llava")
        rows = listed()
        assert rows["qwen3-vl-2b"]["cached"] > 300_000
        assert rows["tiny/llava"]["cached"] > 300_000
        assert rows["tiny/llava"]["fits"] is None

    def test_the_pinned_revision_is_downloaded(self, server: HubServer) -> None:
        run("models", "pull", "qwen3-vl-2b")
        entry = find("qwen3-vl-2b")
        assert entry is not None
        assert len(entry.revision) == 40
        assert any(path.endswith(f"{entry.revision}/model.safetensors") for _, path in server.requests)


class TestRemove:
    def test_rm_deletes_a_model_and_prints_its_size(self, server: HubServer, tmp_path: Path) -> None:
        run("models", "pull", "qwen3-vl-2b")
        removed = run("models", "rm", "qwen3-vl-2b")
        assert removed.stdout.startswith("Deleted qwen3-vl-2b (")
        assert listed()["qwen3-vl-2b"]["cached"] == 0
        again = run("models", "rm", "qwen3-vl-2b")
        assert (again.exit_code, again.stdout) == (1, "")
        assert "is not in the cache" in again.stderr

    def test_rm_deletes_the_bundled_model(self, server: HubServer, tmp_path: Path) -> None:
        cache = tmp_path / "cache" / "parley" / "models"
        small, large, other = cache / "pocket-0123", cache / "qwen2.5-coder-1.5b", cache / "other"
        for folder in (small, large, other):
            folder.mkdir(parents=True)
            (folder / "weights").write_bytes(b"x" * 200_000)
        assert run("models", "rm", "pocket").stdout == "Deleted pocket (0.2 MB)\n"
        assert small.exists()
        assert run("models", "rm", "pocket-small").stdout == "Deleted pocket-small (0.2 MB)\n"
        assert [folder.name for folder in cache.iterdir()] == ["other"]
        for name in ("pocket", "pocket-small"):
            assert f"{name} is not on this machine" in run("models", "rm", name).stderr

    def test_the_list_tells_a_half_language_model_from_a_whole_one(self, server: HubServer, tmp_path: Path) -> None:
        folder = tmp_path / "cache" / "parley" / "models" / "qwen2.5-coder-1.5b"
        folder.mkdir(parents=True)
        partial = folder / f".{QWEN_1_5B.name}.partial"
        partial.write_bytes(b"x" * 200_000)
        assert listed()["pocket"]["note"] == "download incomplete"
        partial.rename(folder / QWEN_1_5B.name)
        assert listed()["pocket"]["note"] == "sees with pocket-small"


class TestUse:
    def test_use_changes_one_line_of_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "my.toml"
        file.write_text('# mine\nmax_tokens = 7  # few\nmodel = "pocket"\n')
        assert run("--config", str(file), "models", "use", "qwen3-vl-8b").exit_code == 0
        assert file.read_text() == '# mine\nmax_tokens = 7  # few\nmodel = "qwen3-vl-8b"\n'
        assert load(config_file=file).settings.model == "qwen3-vl-8b"

    def test_use_accepts_possible_models_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "There is no model qwen3vl: choose one" in run("models", "use", "qwen3vl").stderr
        assert load().settings.model == "auto"
        (tmp_path / "mine").mkdir()
        monkeypatch.chdir(tmp_path)
        run("models", "use", "mine")
        assert load().settings.model == str(tmp_path / "mine")
        assert "There is no model" in run("models", "use", "mine.gguf").stderr
        (tmp_path / "mine.gguf").write_bytes(b"GGUF")
        run("models", "use", "mine.gguf")
        assert load().settings.model == str(tmp_path / "mine.gguf")
        assert run("models", "use", "pocket-small").exit_code == 0
        assert load().settings.model == "pocket-small"
        run("--base-url", "http://localhost:1", "models", "use", "qwen3vl:8b")
        assert load().settings.model == "qwen3vl:8b"

    def test_use_creates_the_file(self) -> None:
        chosen = run("models", "use", "auto")
        assert chosen.exit_code == 0
        assert load().settings.model == "auto"
        assert load().origins["model"].endswith("config.toml")

    def test_use_warns_about_the_environment_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARLEY_MODEL", "scripted")
        assert "PARLEY_MODEL is set to scripted and overrides the file" in run("models", "use", "pocket").stderr

    @pytest.mark.parametrize("text", ['"m\\u006fdel" = "pocket"\n', "model.x = 1\n", 'system = """\nmodel = 1\n"""\n'])
    def test_use_leaves_an_ambiguous_file_alone(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "odd.toml"
        file.write_text(text)
        with pytest.raises(ConfigError):
            save_setting("model", "auto", file)
        assert file.read_text() == text

    def test_use_quotes_the_name(self, tmp_path: Path) -> None:
        file = tmp_path / "new.toml"
        save_setting("model", 'C:\\models\\"mine" ü', file)
        assert load(config_file=file).settings.model == 'C:\\models\\"mine" ü'


class TestAutomaticChoice:
    @pytest.mark.parametrize(
        ("free", "name"),
        [
            (0, None),
            (1 * GB, None),
            (2 * GB, "smolvlm2-500m"),
            (3 * GB, "smolvlm2-500m"),
            (4 * GB, "qwen3-vl-2b"),
            (6 * GB, "qwen3-vl-4b"),
            (8 * GB, "qwen3-vl-4b"),
            (12 * GB, "qwen3-vl-8b"),
            (24 * GB, "qwen3-vl-8b"),
            (32 * GB, "qwen3-vl-32b"),
            (80 * GB, "qwen3-vl-32b"),
        ],
    )
    def test_the_automatic_choice_depends_on_free_memory(self, free: int, name: str | None) -> None:
        chosen = best_fit(free)
        assert (chosen.name if chosen else None) == name
        if chosen is not None:
            assert chosen.memory_bytes("nf4", context_tokens=8192) < free

    def test_the_automatic_choice_respects_the_quantization(self) -> None:
        chosen = best_fit(24 * GB, "bf16")
        assert chosen is not None
        assert chosen.name == "qwen3-vl-8b"

    def test_the_automatic_choice_without_a_gpu_is_the_bundled_model(self) -> None:
        assert best_catalog_entry(Settings(device="cpu")) is None

    def test_the_bundled_model_answers_while_the_hub_is_unreachable(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("parley.factory.models.best_catalog_entry", lambda _: find("qwen3-vl-8b"))
        monkeypatch.setattr("parley.factory.models.choose_bundled", lambda _: "pocket-small")
        monkeypatch.setattr("parley.factory.models.assemble_pocket", lambda *_: folder)
        session = start_session(Settings(device="cpu", quantize="nf4", data_dir=tmp_path / "data"))
        assert session.model.info.name == "tiny-llava"
        assert session.model.info.quantization != "nf4"
        [notice] = session._notices
        assert "Qwen/Qwen3-VL-8B-Instruct is not on this machine" in notice
        assert notice.endswith("Until then the bundled model answers instead of qwen3-vl-8b.")

    def test_a_downloaded_model_loads_without_the_hub(
        self, server: HubServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("parley.factory.models.best_catalog_entry", lambda _: find("qwen3-vl-2b"))
        monkeypatch.setattr("parley.factory.models.choose_bundled", lambda _: "pocket-small")
        monkeypatch.setattr("parley.factory.models.assemble_pocket", lambda *_: folder)
        assert build_model(Settings(device="cpu")).info.name == "qwen3-vl-2b"
        server.requests.clear()
        assert build_model(Settings(device="cpu")).info.name == "qwen3-vl-2b"
        assert not server.requests


def test_catalog_entries_are_found_by_name_and_repository_and_pinned() -> None:
    for entry in CATALOG:
        assert find(entry.name) is find(entry.repository) is entry
        assert len(entry.revision) == 40
    assert catalog.find("no-such-model") is None


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_the_readme_table_agrees_with_the_catalog(entry: catalog.CatalogEntry) -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{entry.name}` |")]
    sizes = [
        format_bytes(count) for count in (entry.download_bytes, entry.memory_bytes("nf4"), entry.memory_bytes("bf16"))
    ]
    assert row == f"| `{entry.name}` | {' | '.join([entry.license, *sizes, entry.image_tokens, entry.languages])} |"
