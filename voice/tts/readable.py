"""Keep from a voice what it cannot read: espeak reads a Japanese sentence to an English voice as "Chinese letter"."""

import re
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from assistant.errors import VoiceError
from assistant.languages import language_name
from assistant.text_cleaning import clean_line
from assistant.text_language import (
    foreign_letters,
    language_of_script,
    language_of_words,
    script_of,
    scripts_of_language,
)
from voice.tts.voice_languages import voices_for

if TYPE_CHECKING:
    from voice.tts.base import TextToSpeech

_QUOTED_CHARACTERS = 40
_WORD = re.compile(r"\w(?:[\w\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u200c\u200d]|\w)*")


class UnreadableTextError(VoiceError):
    """A sentence is in a language or a script that the voice does not speak."""


@runtime_checkable
class SingleLanguageVoice(Protocol):
    """A voice that speaks one language, whatever text it is given."""

    @property
    def language(self) -> str:
        """Code of the language, such as "en"; "" if the voice does not say it."""
        ...


@runtime_checkable
class VoiceWithScripts(Protocol):
    """A voice that cannot read all scripts of its language."""

    @property
    def scripts(self) -> frozenset[str]:
        """Scripts that it reads beside Latin, as `text_language.script_of` names them."""
        ...


def language_of(voice: "TextToSpeech", default: str) -> str:
    """Return the language in which `voice` reads: its own if it has only one, else `default`."""
    return (voice.language or default) if isinstance(voice, SingleLanguageVoice) else default


def readable_text(sentence: str, voice: "TextToSpeech", text_language: str = "") -> str:
    """Return what `voice` can read of a sentence: words in another script are left out.

    Args:
        sentence: Text without markup.
        voice: A voice; one that does not say what it speaks reads everything.
        text_language: Code of the language of the sentence; "" guesses it.

    Raises:
        UnreadableTextError: Half of it or more is in another script, or all of it in another language.
    """
    language = language_of(voice, "")
    if not language:
        return sentence
    if text_language and text_language != language:
        raise _error(sentence, language, text_language)
    scripts = voice.scripts if isinstance(voice, VoiceWithScripts) else scripts_of_language(language)
    foreign = foreign_letters(sentence, scripts)
    if not foreign:
        if not text_language and (other := language_of_words(sentence, language)):
            raise _error(sentence, language, other)
        return sentence
    if 2 * len(foreign) >= sum(character.isalpha() for character in sentence):
        raise _error(sentence, language, language_of_script(sentence))
    words = _WORD.sub(lambda match: _latin_part(match[0]) if foreign_letters(match[0], scripts) else match[0], sentence)
    return re.sub(r"\s+(?=[\s,.;:!?])|\(\s*\)|\"\s*\"|[«“„]\s*[»”“]", "", words).strip()


def left_out(sentence: str, readable: str) -> list[str]:
    """Return the words that `readable_text` left out."""
    if sentence == readable:
        return []
    kept = readable.split()
    return [word for word in sentence.split() if word not in kept and any(map(script_of, word))]


def _latin_part(word: str) -> str:
    """Return the letters of a word that every voice reads: Japanese is written without spaces, as in "私はBerlinに"."""
    kept = ""
    is_latin = False
    for character in word:
        # A sign belongs to the letter before it.
        if character.isalnum():
            is_latin = not script_of(character)
        kept += character if is_latin else " "
    return " ".join(kept.split())


def _error(sentence: str, language: str, other: str) -> UnreadableTextError:
    voices = voices_for(other)
    known = f", which is {language_name(other)}" if other and other != language else ""
    advice = (
        f"choose {' or '.join(voices)}"
        if voices
        else "no voice known here speaks it, but a Coqui voice may (--voice coqui:NAME)"
    )
    if voices and other and _is_latin(sentence):
        advice += f", or --language {language} to have it read as {language_name(language)}"
    return UnreadableTextError(
        f"This voice speaks {language_name(language)} and cannot read "
        f"“{clean_line(sentence, _QUOTED_CHARACTERS)}”{known}: {advice}."
    )


def _is_latin(sentence: str) -> bool:
    return not any(map(script_of, sentence))
