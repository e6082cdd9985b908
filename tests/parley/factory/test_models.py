"""Models and clients for skills, built from settings."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assistant.errors import ConfigError, ModelError
from assistant.messages import user
from assistant.models.remote.http_client import ApiClient
from assistant.models.remote.model import RemoteModel
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings
from parley.factory.bundled import assemble_pocket, load_pocket
from parley.factory.models import best_catalog_entry, build_model, build_vision_clients
from tests.fakes.generation import complete
from tests.fakes.skills import BatchingModel, make_image


def test_an_unwritable_cache_is_an_error_that_names_the_variable(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError) as raised:
        assemble_pocket(settings.model_copy(update={"cache_dir": tmp_path / "file" / "cache"}))
    assert str(tmp_path / "file" / "cache") in str(raised.value)
    assert "PARLEY_CACHE_DIR" in str(raised.value)


def test_the_delay_of_the_scripted_model_is_a_number(settings: Settings) -> None:
    assert build_model(settings.model_copy(update={"model": "scripted:0.01"})).info.name == "scripted"
    for delay in ("slow", "1e400", "1e300", "nan", "-1"):
        with pytest.raises(ConfigError, match=f"scripted:{delay} needs its seconds"):
            build_model(settings.model_copy(update={"model": f"scripted:{delay}"}))


def test_several_clients_of_a_server_connect_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = []

    def connect(base_url: str, **_: object) -> RemoteModel:
        connected.append(base_url)
        return RemoteModel(ApiClient(base_url), "qwen")

    monkeypatch.setattr(RemoteModel, "connect", connect)
    settings = Settings(base_url="http://localhost:9/v1")
    models = build_vision_clients(settings, threading.Event(), workers=5, max_clients=9)
    assert [model.info.name for model in models] == ["qwen"] * 5
    assert len({id(model) for model in models}) == 5
    assert connected == ["http://localhost:9/v1"]
    assert len(build_vision_clients(settings, threading.Event(), workers=5, max_clients=2)) == 2
    assert len(build_vision_clients(settings, threading.Event(), max_clients=9)) == 1


def test_clients_of_a_batching_model_are_as_many_as_suit_it_or_as_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parley.factory.models.build_model", lambda *_: BatchingModel(replicas=2))

    def count(jobs: int | None, most: int) -> int:
        return len(build_vision_clients(Settings(model="pocket"), threading.Event(), workers=jobs, max_clients=most))

    assert [count(None, most) for most in (1, 3, 80)] == [1, 3, 8]
    assert [count(jobs, 80) for jobs in (1, 2, 5)] == [1, 2, 5]


def test_a_model_for_one_question_at_a_time_refuses_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel()
    monkeypatch.setattr("parley.factory.models.build_model", lambda *_: model)
    with pytest.raises(ConfigError, match="answers one question at a time: leave --jobs out"):
        build_vision_clients(Settings(model="somebody/vlm"), threading.Event(), workers=2, max_clients=9)
    assert model.closed
    assert len(build_vision_clients(Settings(model="somebody/vlm"), threading.Event(), max_clients=9)) == 1


@pytest.mark.parametrize("name", ["gone", "a/b/c", "", "./gone", "gone.gguf", "pockt"])
def test_a_name_that_no_model_has_is_found_before_anything_heavy_is_imported(name: str) -> None:
    program = (
        "import sys\n"
        "from assistant.errors import ConfigError\n"
        "from assistant.settings import Settings\n"
        "from parley.factory.models import ModelLoader, build_model\n"
        "settings = Settings().model_copy(update={'model': sys.argv[1]})\n"
        "for load in (lambda: build_model(settings), lambda: ModelLoader(settings).fetch(sys.argv[1])):\n"
        "    try:\n"
        "        load()\n"
        "    except ConfigError as error:\n"
        "        assert str(error).startswith('There is no '), error\n"
        "print([heavy for heavy in ('torch', 'transformers', 'huggingface_hub') if heavy in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, name], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_machine_without_a_gpu_is_known_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.models.local.placement.choose_device", lambda *_: pytest.fail("torch was asked"))
    for backend in (None, "mps"):
        monkeypatch.setattr("parley.factory.models.gpu_backend", lambda found=backend: found)
        assert best_catalog_entry(Settings()) is None


def test_a_gpu_of_intel_gets_the_largest_model_that_fits_like_one_of_nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.factory.models.gpu_backend", lambda: "xpu")
    monkeypatch.setattr("torch.xpu.is_available", lambda: True)
    monkeypatch.setattr("torch.xpu.mem_get_info", lambda _: (12 * 10**9, 16 * 10**9))
    entry = best_catalog_entry(Settings())
    assert entry is not None
    assert entry.name == "qwen3-vl-8b"


class TestBundledModels:
    """Which of the two is loaded: stand-ins that only have the right name."""

    @pytest.fixture(autouse=True)
    def loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def load_pocket(*_: object) -> ScriptedModel:
            return ScriptedModel("large")

        def load_local(*_: object, **__: object) -> ScriptedModel:
            model = ScriptedModel("small")
            model.notices = ()  # type: ignore[attr-defined]
            return model

        monkeypatch.setattr("parley.factory.models.best_catalog_entry", lambda _: None)
        monkeypatch.setattr("parley.factory.models.load_pocket", load_pocket)
        monkeypatch.setattr("parley.factory.models.assemble_pocket", lambda *_: Path())
        monkeypatch.setattr("assistant.models.local.model.LocalModel.load", load_local)

    def free(self, monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
        monkeypatch.setattr("assistant.models.memory.free_memory", lambda: round(gigabytes * 10**9))

    def load(self, model: str) -> tuple[str, list[str]]:
        notices: list[str] = []
        return complete(build_model(Settings(model=model), on_notice=notices.append), user("Hi")), notices

    def test_auto_takes_the_large_one_where_memory_allows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 6)
        assert self.load("auto") == ("large", [])
        self.free(monkeypatch, 5.9)
        reply, [notice] = self.load("auto")
        assert reply == "small"
        assert notice == (
            "pocket-small answers, because pocket needs 6.0 GB of free memory and 5.9 GB are free: close other "
            "programs and start again, or choose --model pocket."
        )

    def test_auto_takes_the_small_one_where_the_large_one_cannot_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> ScriptedModel:
            raise ModelError("The package index cannot be reached: connect and try again.")

        self.free(monkeypatch, 8)
        monkeypatch.setattr("parley.factory.models.load_pocket", fail)
        assert self.load("auto") == (
            "small",
            ["The package index cannot be reached: connect and try again. Until then pocket-small answers."],
        )
        with pytest.raises(ModelError, match="cannot be reached"):
            self.load("pocket")

    def test_a_disk_too_full_for_either_is_told_of_both(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail_large(*_: object) -> ScriptedModel:
            raise ModelError("There is too little room for the language model: it needs 1.3 GB.")

        def fail_small(*_: object) -> Path:
            raise ModelError("The bundled model takes 620 MB and the cache has 500 MB left.")

        self.free(monkeypatch, 8)
        monkeypatch.setattr("parley.factory.models.load_pocket", fail_large)
        monkeypatch.setattr("parley.factory.models.assemble_pocket", fail_small)
        notices: list[str] = []
        with pytest.raises(ModelError) as raised:
            build_model(Settings(model="auto"), on_notice=notices.append)
        assert str(raised.value) == (
            "Neither bundled model can be loaded. pocket: There is too little room for the language model: it needs "
            "1.3 GB. pocket-small: The bundled model takes 620 MB and the cache has 500 MB left."
        )
        assert notices == []

    def test_each_is_loaded_by_name_whatever_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 1)
        assert self.load("pocket-small") == ("small", [])
        assert self.load("pocket") == ("large", [])

    def test_skills_ask_the_small_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 8)
        for name in ("auto", "pocket", "pocket-small"):
            [client] = build_vision_clients(Settings(model=name), threading.Event())
            assert client.ask("What?") == "small"
        [client] = build_vision_clients(Settings(model="scripted"), threading.Event())
        assert client.ask("What?") == "You said: What?"


class TestLoadingPocket:
    @pytest.fixture(autouse=True)
    def files(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("parley.factory.bundled.fetch_language_model", lambda *_, **__: tmp_path)
        monkeypatch.setattr("parley.factory.bundled.assemble_pocket", lambda *_, **__: tmp_path)
        monkeypatch.setattr("assistant.models.gguf.model.GgufModel.load", lambda *_, **__: ScriptedModel("Hello"))

    def free(self, monkeypatch: pytest.MonkeyPatch, gigabytes: float) -> None:
        monkeypatch.setattr("assistant.models.memory.free_memory", lambda: round(gigabytes * 10**9))

    def test_it_is_refused_where_it_would_be_swapped_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 2)
        message = r"pocket needs 3\.0 GB of free memory at least and 2\.0 GB are free: .* choose --model pocket-small"
        with pytest.raises(ModelError, match=message):
            load_pocket(Settings())

    def test_it_warns_where_memory_is_short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 4)
        notices: list[str] = []
        assert complete(load_pocket(Settings(), on_notice=notices.append), user("Hi")) == "Hello"
        [notice] = notices
        assert notice.startswith("pocket may be slow, because it should have 6.0 GB of free memory and 4.0 GB are free")

    def test_it_talks_while_what_sees_cannot_be_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> Path:
            raise ModelError("Connect and try again.")

        self.free(monkeypatch, 8)
        monkeypatch.setattr("parley.factory.bundled.assemble_pocket", fail)
        notices: list[str] = []
        model = load_pocket(Settings(), on_notice=notices.append)
        assert complete(model, user("Hi")) == "Hello"
        assert notices == ["Connect and try again. Until then images cannot be looked at."]
        with pytest.raises(ModelError, match="Connect and try again"):
            complete(model, user("What is it?", make_image()))
