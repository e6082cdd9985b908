"""What Whisper says when nobody spoke.

It was trained on subtitles of films, so that silence, noise and music become what stands under those: thanks for
watching, the subtitler's name, one word for ever. A voice detector takes out most of the sound that leads to it;
this is for what passes that.
"""

import re
from dataclasses import dataclass

# Compared with whole segments, in lower case and without punctuation.
_NEVER_SAID = re.compile(r".*\bamara ?org\b.*")
# Descriptions of sounds alone: words between two of them were said.
_SOUND = re.compile(r"(?:(?:\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪[^♪]*♪|♪+)[\s.,!]*)+")
# Said by people, too: phantoms only where there is little sign of speech, one of them or several in a row.
_PHRASES = (
    r"(amen )?(thank you|thanks)( so much| very much)?( for (watching|listening|your attention|joining us))?( today)?",
    r"(and )?(ill |we will |well |i will )?see you (next time|later|soon|in the next (video|one))",
    r"(please )?(dont forget to )?(like )?(comment )?(and )?subscribe( to (my|our|the) channel)?",
    r"(subtitles|subtitled|captions|captioning|transcribed|transcription|translated|translation) (provided )?by .*",
    r"you|bye|okay|ok|oh|yeah|so|the|i|hm+|uh|um|a|music|applause|blank audio|silence|www \S+ \S+",
    r"vielen dank( fürs zuschauen)?|untertitel(ung)? .*|merci( davoir regardé( cette vidéo)?)?|sous titr(es?|age) .*",
    r"gracias por ver( el vídeo)?|subt[ií]tulos .*|legendas .*|sottotitoli .*",
    r"ご視聴ありがとうございました|시청해주셔서 감사합니다|谢谢观看|谢谢大家",
)
_ANY_PHRASE = "|".join(_PHRASES)
_OFTEN_PHANTOM = re.compile(f"({_ANY_PHRASE})( ({_ANY_PHRASE}))*")

# Single words spoken by the bundled voice, down to 0 dB of white noise, had at most 0.29 and at least -0.78; what
# became of hums had less than -0.9.
NO_SPEECH_THRESHOLD = 0.35
LOGPROB_THRESHOLD = -0.8
COMPRESSION_RATIO_THRESHOLD = 2.4
"""Compression ratio from which a window may be one phrase over and over; OpenAI's own limit."""

# That ratio alone will not do: a text that is read twice reaches it as well.
_LOOP = re.compile(r"(\b\w.*?)(?: \1){3,}")


@dataclass(frozen=True)
class SegmentStats:
    """What the engine says about a segment.

    `no_speech` is the probability that its window holds no speech, `logprob` the mean log probability of its tokens,
    `compression` how many times smaller the text of that window gets when it is compressed.
    """

    no_speech: float
    logprob: float
    compression: float


def is_hallucination(text: str, evidence: SegmentStats) -> bool:
    """Whether the segment `text` is nothing that anybody said."""
    words = normalized_words(text)
    if not words or (evidence.compression > COMPRESSION_RATIO_THRESHOLD and _LOOP.search(words)):
        return True
    if _SOUND.fullmatch(text.strip()) or _NEVER_SAID.fullmatch(words):
        return True
    doubtful = evidence.no_speech > NO_SPEECH_THRESHOLD or evidence.logprob < LOGPROB_THRESHOLD
    return doubtful and bool(_OFTEN_PHANTOM.fullmatch(words))


def normalized_words(text: str) -> str:
    """The words of `text` alone, in lower case, with single spaces."""
    return " ".join(re.findall(r"\w+", text.lower().replace("'", "").replace("’", "")))
