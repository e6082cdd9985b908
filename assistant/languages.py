"""Names of languages: users write "german" where speech engines expect "de"."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

# Languages of Whisper by its codes (ISO 639 except "jw"), the larger ones also by their own names.
_NAMES = {
    "af": "afrikaans", "am": "amharic", "ar": "arabic", "as": "assamese", "az": "azerbaijani", "ba": "bashkir",
    "be": "belarusian", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan", "br": "breton", "bs": "bosnian",
    "ca": "catalan, valencian, català", "cs": "czech, čeština", "cy": "welsh", "da": "danish, dansk",
    "de": "german, deutsch", "el": "greek", "en": "english", "es": "spanish, castilian, español", "et": "estonian",
    "eu": "basque", "fa": "persian, farsi", "fi": "finnish, suomi", "fo": "faroese", "fr": "french, français",
    "gl": "galician", "gu": "gujarati", "ha": "hausa", "haw": "hawaiian", "he": "hebrew", "hi": "hindi",
    "hr": "croatian", "ht": "haitian creole, haitian", "hu": "hungarian, magyar", "hy": "armenian", "id": "indonesian",
    "is": "icelandic", "it": "italian, italiano", "ja": "japanese", "jw": "javanese", "ka": "georgian", "kk": "kazakh",
    "km": "khmer", "kn": "kannada", "ko": "korean", "la": "latin", "lb": "luxembourgish, letzeburgesch",
    "ln": "lingala", "lo": "lao", "lt": "lithuanian", "lv": "latvian", "mg": "malagasy", "mi": "maori",
    "mk": "macedonian", "ml": "malayalam", "mn": "mongolian", "mr": "marathi", "ms": "malay", "mt": "maltese",
    "my": "burmese, myanmar", "ne": "nepali", "nl": "dutch, flemish, nederlands", "nn": "nynorsk",
    "no": "norwegian, norsk", "oc": "occitan", "pa": "punjabi, panjabi", "pl": "polish, polski", "ps": "pashto, pushto",
    "pt": "portuguese, português", "ro": "romanian, moldavian, moldovan, română", "ru": "russian", "sa": "sanskrit",
    "sd": "sindhi", "si": "sinhala, sinhalese", "sk": "slovak", "sl": "slovenian", "sn": "shona", "so": "somali",
    "sq": "albanian", "sr": "serbian", "su": "sundanese", "sv": "swedish, svenska", "sw": "swahili", "ta": "tamil",
    "te": "telugu", "tg": "tajik", "th": "thai", "tk": "turkmen", "tl": "tagalog, filipino", "tr": "turkish, türkçe",
    "tt": "tatar", "uk": "ukrainian", "ur": "urdu", "uz": "uzbek", "vi": "vietnamese", "yi": "yiddish", "yo": "yoruba",
    "yue": "cantonese", "zh": "chinese, mandarin",
}  # fmt: skip
_CODES: Mapping[str, str] = {name: code for code, names in _NAMES.items() for name in names.split(", ")}
_EXAMPLES = ("en", "de", "es", "fr", "ja", "zh")
# Longest list of codes in a message.
_MAX_LISTED = 20


def language_code(language: str) -> str:
    """Return the code of the language called `language`; anything else, such as a code, unchanged."""
    return _CODES.get(language.lower(), language)


def language_name(code: str) -> str:
    """Return the English name of a language, "German" for "de"; the code itself if it is not known."""
    return _NAMES[code].partition(",")[0].title() if code in _NAMES else code


def suggest(language: str, known: Collection[str]) -> str:
    """Return the end of a sentence about an unknown `language`: which of the codes `known` to choose."""
    near = get_close_matches(language.lower(), _CODES, 1, 0.75)
    for code in (language.partition("-")[0], *(_CODES[name] for name in near)):
        if code in known:
            called = language_name(code)
            return f"is it {code}{f' ({called})' if called != code else ''} that you mean?"
    if len(known) <= _MAX_LISTED:
        return f"choose {'' if len(known) == 1 else 'one of '}{', '.join(known)}."
    examples = [code for code in _EXAMPLES if code in known]
    return f"choose one of its {len(known)} codes, of ISO 639, like {', '.join(examples)}."
