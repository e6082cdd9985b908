"""The setting for hot words: a list in the file, a text with commas elsewhere, and what is refused."""

from pathlib import Path

import pytest

from assistant.errors import ConfigError
from assistant.settings import load


def test_a_list_in_the_file_and_a_text_in_the_environment_mean_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('hotwords = ["Hottie", "Klara", "Hottie"]')
    assert load(config_file=config).settings.hotwords == ("Hottie", "Klara")
    monkeypatch.setenv("PARLEY_HOTWORDS", " Hottie,, Klara ")
    assert load().settings.hotwords == ("Hottie", "Klara")
    assert load({"hotwords": "Zorblax"}).settings.hotwords == ("Zorblax",)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ()),
        (" , ,", ()),
        ("Kla\x1b[0mra\n,\0Клара", ("Kla[0mra", "Клара")),
        ("\ud800x", ("\N{REPLACEMENT CHARACTER}x",)),
        ("AeroPress Go 2", ("AeroPress Go 2",)),
    ],
)
def test_words_are_cleaned(given: str, kept: tuple[str, ...]) -> None:
    assert load({"hotwords": given}).settings.hotwords == kept


@pytest.mark.parametrize("value", ['["a", 3]', "3", "true", f'"{"x" * 61}"', str([f"w{i}" for i in range(10_000)])])
def test_too_many_too_long_and_other_values_are_one_sentence(value: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"hotwords = {value}")
    with pytest.raises(ConfigError, match=r"hotwords in .* should be up to 100 names or words") as error:
        load(config_file=config)
    assert len(str(error.value)) < 600
