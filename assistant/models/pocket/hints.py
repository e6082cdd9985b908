"""Hints that follow a question: what a small language model forgets where the prompt begins.

    who it is               after a question for the identity of the speaker
    rules of every reply    those of the instructions that are about the form of replies
    what it shows           after a request to describe a picture, point by point
    how many                after a question for a number
    the language            where another one occurs in the prompt

Of the figures below, those with a date were found on development cases of `python -m benchmarks pocket`.
"""

import re
from collections.abc import Sequence

from assistant.languages import language_name
from assistant.models.pocket.translated_names import translated_names
from assistant.text_language import language_of_text

SENTENCE = re.compile(r".+?[.!?。！？](?=\s|$)|.+", re.DOTALL)

_ASKS_TO_DESCRIBE = re.compile(
    r"\b(?:describ\w+|description|in detail|caption|beschreib\w*|schildere?|d\u00e9cri\w+|en d\u00e9tail"
    r"|descripci\u00f3n)\b|\u63cf\u8ff0|\u8be6\u7ec6",
    re.IGNORECASE,
)
# Or another form than sentences: a list, a poem.
_ASKS_FOR_A_LENGTH = re.compile(
    r"""\d | \b(?:sentences?|words?|paragraphs?|pages?|lines?|long(?:er)?|short(?:er|ly)?|brief(?:ly)?|story|poem|essay
    | list|table|json|s(?:\u00e4|a)tz\w*|w(?:\u00f6|o)rt\w*|abs(?:\u00e4|a)tz\w*|zeilen?|lang\w*|kurz\w*|knapp\w*|liste
    | gedicht|geschichte|phrases?|mots?|paragraphes?|lignes?|longue\w*|courte?\w*|po\u00e8me|histoire
    | frases?|palabras?|p\u00e1rrafos?|largo|larga|breve\w*|poema|cuento)\b
    | [\u4e00\u4e8c\u4e24\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u51e0]\s*[\u53e5\u5b57\u6bb5\u884c]
    | \u7b80\u77ed | \u8bd7 | \u6545\u4e8b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ASKS_HOW_MANY = re.compile(
    r"\b(?:how\s+many|number\s+of|wie\s*viele|anzahl|combien|nombre\s+de|cu[a\u00e1]nt[oa]s|n\u00famero\s+de)\b"
    r"|\u591a\u5c11(?!\u94b1)|\u51e0[\u4e2a\u53ea\u4f4d\u6761\u8f86\u628a\u5f20\u672c\u540d\u68f5\u6735\u5934\u5339]",
    re.IGNORECASE,
)
_ASKS_WHO = re.compile(
    r"""
      \bwho(?:m)?\s+(?:are\s+you|am\s+i\s+(?:talking|speaking)|is\s+speaking)\b | \bwhat\s+are\s+you\W*$
    | \b(?:made|created|developed|built|trained)\s+you\b | \byour\s+(?:name|makers?|developers?)\b
    | \bintroduce\s+yourself\b | \bare\s+you\s+from\b | \bdo\s+you\s+(?:come\s+from|work|belong)\b
    | \bwere\s+you\s+(?:made|created|developed|built|trained)\b
    | ^\W*(?:(?:hello|hi|hey)\W+)?who\s+(?:is|am)\s+(?:on\s+the\s+(?:line|phone)|speaking|there)\b
    | (?:^|[.,!?]\s*)are\s+you\s+(?!able|all|aware|doing|familiar|going|ok|okay|ready|still|sure|there)
    | \bwer\s+(?:bist\s+du|sind\s+sie|hat\s+(?:dich|sie)\b) | \bmit\s+wem\b
    | \bwie\s+hei(?:\u00df|ss)(?:t\s+du|en\s+sie)\b
    | \b(?:bist\s+du|sind\s+sie)\s+eine?\b | \bdein\s+name\b | \bstell(?:e|en)?\s+(?:dich|sie\s+sich)\b
    | \bqui\s+(?:es|\u00eates|t['\u2019]a|vous\s+a)\b | \u00eates[-\s]vous\b | \bes[-\s]tu\b | \bt['\u2019]appelles
    | \bvous\s+appelez | \bqui[e\u00e9]n\s+(?:eres|es\s+usted|te)\b | \beres\s+una?\b
    | \bte\s+llamas\b | \btu\s+nombre\b
    | [\u4f60\u60a8](?:\u662f(?!\u5426|\u4e0d)|\u53eb) | \u8c01(?:\u521b\u9020|\u5f00\u53d1|\u5236\u9020)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Characters. A longer persona is not repeated: its first sentence says who speaks.
_MAX_REPEATED = 300
_FORM_OF_REPLIES = re.compile(
    r"\b(?:(?:every|each|all)\s+(?:of\s+your\s+)?(?:repl(?:y|ies)|answers?|responses?|messages?|sentences?)"
    r"|(?:begin|start|end|finish|close)\s+(?:with|by)|always|jeder?\s+(?:antwort|satz)|immer|toujours|chaque\s+r\u00e9ponse"
    r"|siempre|cada\s+respuesta)\b|\u603b\u662f|\u6bcf(?:\u6b21|\u4e2a)\u56de\u7b54",
    re.IGNORECASE,
)
_LANGUAGE_WORDS = re.compile(
    r"""\b(?:translat\w* | (?:\u00fc|ue)bersetz\w* | traduc\w* | tradui\w*
    | englis\w* | german | french | spanish | italian\w* | chinese | japanese | russian | portugues\w* | dutch | polish
    | turkish | latin | deutsch\w* | franz(?:\u00f6|oe)sisch\w* | spanisch\w* | italienisch\w* | chinesisch\w*
    | japanisch\w* | russisch\w* | portugiesisch\w* | niederl(?:\u00e4|ae)ndisch\w* | polnisch\w* | t\u00fcrkisch\w*
    | anglais\w* | allemand\w* | fran\u00e7ais\w* | espagnol\w* | italien\w* | chinois\w* | ingl\u00e9s | alem\u00e1n
    | franc\u00e9s | espa\u00f1ol | italiano | chino | languages? | sprachen? | langues? | idiomas?)\b
    | \u7ffb\u8bd1 | [\u82f1\u5fb7\u6cd5\u4e2d\u65e5\u4fc4][\u8bed\u6587] | \u897f\u73ed\u7259\u8bed
    """,
    re.IGNORECASE | re.VERBOSE,
)
# In the language itself: "(Answer in German.)" was obeyed less often.
_ANSWER_IN = {
    "en": "Answer in English.",
    "de": "Antworte auf Deutsch.",
    "fr": "R\u00e9ponds en fran\u00e7ais.",
    "es": "Responde en espa\u00f1ol.",
    "it": "Rispondi in italiano.",
    "pt": "Responda em portugu\u00eas.",
    "nl": "Antwoord in het Nederlands.",
    "pl": "Odpowiedz po polsku.",
    "ru": "\u041e\u0442\u0432\u0435\u0442\u044c \u043f\u043e-\u0440\u0443\u0441\u0441\u043a\u0438.",
    "zh": "\u8bf7\u7528\u4e2d\u6587\u56de\u7b54\u3002",
    "ja": "\u65e5\u672c\u8a9e\u3067\u7b54\u3048\u3066\u304f\u3060\u3055\u3044\u3002",
}
_LONG_MESSAGE = 300


def asks_to_describe(question: str) -> bool:
    """Return True for a request to describe a picture."""
    return _ASKS_TO_DESCRIBE.search(question) is not None


def is_length_open(question: str) -> bool:
    """Return True for a request that leaves length and form of the reply open."""
    return _ASKS_FOR_A_LENGTH.search(question) is None


def asks_how_many(question: str) -> bool:
    """Return True for a question for a number of things."""
    return _ASKS_HOW_MANY.search(question) is not None


def asks_who(question: str) -> bool:
    """Return True for a question for the identity of the speaker."""
    return _ASKS_WHO.search(question) is not None


def who_it_is(role: str) -> str:
    """Return the whole of a short role, or the first sentence of a longer one; nothing if that is long too."""
    first = SENTENCE.match(role)
    return next((each.strip() for each in (role, first[0] if first else "") if len(each) <= _MAX_REPEATED), "")


def identity_hint(who: str) -> str:
    """Return the hint for a question for the identity.

    At the end of the instructions, such words are forgotten as soon as an image follows, or turn a poem "about it" into
    one about the assistant. Of 20 dev questions, 14 were answered in the role without any, 16 to 18 with five wordings
    of them at the end of the instructions.
    """
    return f"(Answer this as who you are and as nobody else: {who})"


def form_hint(role: str) -> str:
    """Return the rules of a role for the form of every reply, or ""."""
    rules = " ".join(sentence.strip() for sentence in SENTENCE.findall(role) if _FORM_OF_REPLIES.search(sentence))
    return f"({rules})" if rules and len(rules) <= _MAX_REPEATED else ""


def description_hint(number: int, sentences: Sequence[str], question: str) -> str:
    """Return the hint for a request to describe image `number`, whose description has these sentences.

    Without any, "a cup of espresso" became six sentences on grinding coffee beans. Of 20 dev photos (2026-11-30), "two
    to four short sentences, one for each statement: what it shows, what else is there, people, colours" gave one
    sentence to 5 and "there are no people" to 3; "one sentence for each of these points" with the points numbered gave
    one sentence to 7, and added details to most. Asked to reply with the sentences themselves, the model does so.
    """
    if not is_length_open(question) or not sentences:
        return f"(Say only what is written in <image {number}>; add no other detail.)"
    count = f"these {len(sentences)} sentences" if len(sentences) > 1 else "this sentence"
    return f"(Reply with {count}, in the language of the question, and with nothing else: {' '.join(sentences)})"


def number_hint(number: int) -> str:
    """Return the hint for a question for a number of things that nobody counted."""
    return f"(If <image {number}> does not say how many, say that you cannot tell, and name no number.)"


class AnswerLanguage:
    """Follows the languages of a conversation, and says which one to answer in where several occur."""

    def __init__(self, persona: str) -> None:
        """Begin a conversation with the instructions of the user, or ""."""
        self._is_fixed = _LANGUAGE_WORDS.search(persona) is not None
        self._current = ""
        self._seen = {language_of_text(persona)}

    def note(self, language: str) -> None:
        """Learn that a part of the prompt is in this language."""
        self._seen.add(language)

    def hint(self, question: str, seen: str = "") -> str:
        """Return the hint for the next message of the user, or "".

        Args:
            question: The message.
            seen: Description of the images that it is about, in English.
        """
        self._current = _language_of_message(question) or self._current
        self._seen.add(self._current)
        others = self._seen - {"", self._current}
        if self._is_fixed or not self._current or not others or _LANGUAGE_WORDS.search(question):
            return ""
        order = _ANSWER_IN.get(self._current) or f"Answer in {language_name(self._current)}."
        names = translated_names(seen, self._current)
        return f"({order} {names})" if names else f"({order})"


def _language_of_message(text: str) -> str:
    """Return the language of a message; "" if one part, which may be pasted, is in another than the other."""
    if len(text) <= _LONG_MESSAGE:
        return language_of_text(text)
    paragraphs = [each for each in text.split("\n") if each.strip()]
    ends = {language_of_text(each[:_LONG_MESSAGE]) for each in (paragraphs[0], paragraphs[-1])} - {""}
    return ends.pop() if len(ends) == 1 else ""
