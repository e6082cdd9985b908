"""Languages that the voices of each engine speak, and the options that select a voice for a language.

A table without the engines: what names a voice in an error message must not need their libraries.
"""

HIBARI_LANGUAGES = frozenset({"en"})

# Of version 1.51, among Whisper's languages. Its Japanese knows no kanji, and its Chinese reads tones as numbers.
ESPEAK_LANGUAGES = frozenset(
    "af am ar as az ba be bg bn bs ca cs cy da de el en es et eu fa fi fr gu haw he hi hr ht hu hy id is it ka kk kn "
    "ko la lb lt lv mi mk ml mr ms mt my ne nl no pa pl pt ro ru sd si sk sl sq sr sv sw ta te th tk tr tt uk ur uz "
    "vi yue".split()
)

XTTS_LANGUAGES = frozenset("en es fr de it pt pl tr ru nl cs ar zh hu ko ja hi".split())


def voices_for(language: str) -> list[str]:
    """Return the options that select voices for the language with code `language`; [] if none is known."""
    voices = []
    if language in HIBARI_LANGUAGES:
        voices.append("--voice hibari")
    if language in ESPEAK_LANGUAGES:
        voices.append(f"--voice espeak:{language}")
    if language in XTTS_LANGUAGES:
        voices.append(f"--voice xtts --language {language}")
    return voices
