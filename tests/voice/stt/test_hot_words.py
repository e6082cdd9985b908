"""Hot words: names found in instructions, the text that Whisper is given, and that it is not read out."""

import pytest

from voice.stt.hot_words import MAX_NAMES, MAX_PROMPT_TOKENS, hot_word_prompt, names_in, repeats_prompt


def count_words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("instructions", "names"),
    [
        ("You are a polite support agent of the kettle maker Hottie.", ("Hottie",)),
        ("Answer as Klara. You sell the AeroPress Go 2 and the XR500.", ("Klara", "AeroPress Go 2", "XR500")),
        ("Mention Klara's Fluxomat.", ("Klara", "Fluxomat")),
        ("You speak for “Acme Rocket Company”: be brief.", ("Acme Rocket Company",)),
        ("- Be kind to Zorblax\n2. Ask Quentin", ("Zorblax", "Quentin")),
        ("Hottie, Hottie and hottie: thank Hottie.", ("Hottie",)),
        ("Du bist die Beraterin der Firma Kessel und verkaufst den TurboKocher 3.", ("TurboKocher 3",)),
        ("你是客服。", ()),
        ("", ()),
    ],
)
def test_names_in_instructions_are_found(instructions: str, names: tuple[str, ...]) -> None:
    assert names_in(instructions) == names


@pytest.mark.parametrize(
    "instructions",
    [
        "You are kind. Never lie. I know it.",
        "NEVER say that. Answer YES or NO. Say Yes or No.",
        "# House Rules\nBe brief.",
        "Answer in English on Monday, or in May. Use Markdown or JSON.",
        "* Listen.\n> Think.\n3) Speak.",
    ],
)
def test_what_is_capitalised_for_another_reason_is_no_name(instructions: str) -> None:
    assert names_in(instructions) == ()


def test_long_instructions_have_a_bounded_number_of_names() -> None:
    assert (
        len(names_in("you know " + ", ".join(f"Name{chr(97 + i % 26) * (i // 26 + 1)}" for i in range(5000))))
        == MAX_NAMES
    )
    assert names_in("Is " * 50_000) != names_in("")


def test_the_prompt_lists_words_once_and_cleaned() -> None:
    assert (
        hot_word_prompt(["Hottie", "hottie", "Kla\x1b[0mra\n", "\0", "Клара"], count_words)
        == "Hottie, Kla[0mra, Клара."
    )
    assert hot_word_prompt([], count_words) == ""


def test_words_that_do_not_fit_are_left_out_as_a_whole() -> None:
    prompt = hot_word_prompt((f"word{number}" for number in range(10_000)), count_words)
    assert count_words(prompt) == MAX_PROMPT_TOKENS
    assert prompt.endswith(f"word{MAX_PROMPT_TOKENS - 1}.")


def test_the_prompt_read_out_is_no_speech_but_its_words_in_a_sentence_are() -> None:
    prompt = "hottie klara zorblax fluxomat".split()
    assert repeats_prompt("klara zorblax fluxomat".split(), prompt)
    assert repeats_prompt("fluxomat fluxomat klara".split(), prompt)
    for said in ("hottie", "klara hottie", "hottie zorblax and fluxomat", "hottie klara zorblax please", ""):
        assert not repeats_prompt(said.split(), prompt)
