"""Odd settings from files, the environment and the command line, and files that a setting is saved in."""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from assistant.config_file import save_setting
from assistant.errors import ConfigError
from assistant.settings import Settings, load, unknown_variables
from tests.fuzz.harness import fuzz, mutate_bytes, odd_text

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unset")]

NAMES = (*Settings.model_fields, "modle", "max-tokens", "MODEL", "x" * 300)
VALID = (
    b'# settings\nmodel = "pocket" # why\nsystem = "Be brief."\nmax_tokens = 20\ntemperature = 0.5\nseed = 7\n',
    b'allow_urls = true\r\nmodel = \'a/b\'\r\nbackend = "auto"\r\nbase_url = "http://localhost:1/v1"\r\n',
    b'system = """\nline\nmodel = 1\n"""\nvoice = "espeak:de"\nlanguage = "de"\n\n\n# end',
)
LITERALS = (
    *("1", "-1", "0.5", "1e400", "nan", "-inf", "true", "[]", "{}", "0x" + "f" * 5000, "9" * 5000, "2026-11-29"),
    *('"@missing.txt"', '"@config.toml"', '"@@a"', '"@"', '"@/dev/zero"', '"@~nobody/x"', '""', "''", '"\\u0000"'),
    *('"auto"', '"cuda:99999999999999999999"', '"~nobody/x"', '"http://[::1"', '"http://a:b@c"', '"\\uD800"'),
    *("[" * 3000, "[" * 60 + "]" * 60, "{a=" * 100 + "1" + "}" * 100, "1979-05-27T07:32:00-99:99", '"""', "inf"),
)


@dataclass
class Input:
    """Content of the sources of settings."""

    file: bytes
    environment: dict[str, str]
    overrides: dict[str, object]


def quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(character):08X}" for character in text) + '"'


def odd_line(rng: random.Random) -> str:
    key = rng.choice(
        (rng.choice(NAMES), rng.choice(NAMES), quoted(odd_text(rng, 2)), "a." * rng.choice((2, 200)) + "b")
    )
    value = rng.choice((rng.choice(LITERALS), rng.choice(LITERALS), quoted(odd_text(rng)), odd_text(rng, 4)))
    return rng.choice(("{} = {}\n", "{}={} # {}\n", "[{}]\nx = {}\n", "  {} = {}\r\n")).format(
        key, value, odd_text(rng, 2)
    )


def make_input(rng: random.Random) -> Input:
    kind = rng.randrange(4)
    file = rng.choice(VALID)
    if kind == 0:
        file = mutate_bytes(rng, file)
    elif kind == 1:
        file = "".join(odd_line(rng) for _ in range(rng.randint(1, 4))).encode("utf-8", "surrogatepass")
    elif kind == 2:
        file += odd_line(rng).encode("utf-8", "surrogatepass")
    environment = {}
    for _ in range(rng.choice((0, 0, 1, 3))):
        value = odd_text(rng, 4) if rng.random() < 0.5 else rng.choice(LITERALS).strip("\"'")
        # No variable can have a NUL, and only surrogates that stand for bytes.
        value = "".join(character for character in value if character != "\0" and not "\ud800" <= character < "\udc80")
        environment[f"PARLEY_{rng.choice(NAMES).upper()}"] = "".join(
            character for character in value if not "\udd00" <= character <= "\udfff"
        )
    overrides: dict[str, object] = {}
    if rng.random() < 0.3:
        overrides[rng.choice([*Settings.model_fields])] = rng.choice((odd_text(rng), 10**30, -1, 0.5, True, "@x"))
    return Input(file, environment, overrides)


def check(settings: Settings) -> None:
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, str):
            value.encode()
            assert "\0" not in value


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config.toml"


def test_settings(config: Path) -> None:
    def use(value: Input) -> None:
        config.write_bytes(value.file)
        with mock.patch.dict(os.environ, value.environment):
            assert all(len(sentence) < 300 and "\n" not in sentence for sentence in unknown_variables())
            try:
                check(load(value.overrides, config).settings)
            except ConfigError as error:
                assert len(str(error)) < 1000  # noqa: PT017 - any message will do
        save_and_compare(value.file)
        with mock.patch.dict(os.environ, value.environment):
            load(value.overrides, config)

    def save_and_compare(before: bytes) -> None:
        """Save a setting: it is set and the others are as before, or nothing has changed."""
        try:
            old = load(config_file=config).settings.model_dump()
        except ConfigError:
            old = None
        try:
            save_setting("model", "some/model", config)
        except ConfigError:
            assert config.read_bytes() == before
            return
        assert [path.name for path in config.parent.glob("*.unfinished")] == []
        if old is not None:
            assert load(config_file=config).settings.model_dump() == old | {"model": "some/model"}

    fuzz("settings", make_input, use)
