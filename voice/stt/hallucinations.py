"""Recognize segments that Whisper invents when nobody spoke.

Whisper was trained on film subtitles. Silence, noise and music therefore become what stands under those: "Thanks for
watching!", the subtitler's name, "[Music]", or one word over and over. The voice detector removes most of the audio
that causes this; the rules here catch the rest:

    always                  "...", "[Music] (sighs).", "Subtitles by the Amara.org community"
    in a repetitive window  "I am, I am, I am, I am, I am"
    where speech is doubtful  "Thank you.", "you", "Bye-bye.", "Untertitelung des ZDF, 2020"
"""

import re
from dataclasses import dataclass

# Matched with complete segments, in lower case and without punctuation.
_NEVER_SPOKEN = re.compile(r".*\bamara ?org\b.*")
# Descriptions of sounds and nothing else; words between two descriptions were spoken.
_SOUND_DESCRIPTIONS = re.compile(r"(?:(?:\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪[^♪]*♪|♪+)[\s.,!]*)+")
# People say these too: they count as hallucinations only where speech is doubtful, alone or several in a row.
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
_OFTEN_HALLUCINATED = re.compile(f"({_ANY_PHRASE})( ({_ANY_PHRASE}))*")

# Single words spoken by the bundled voice, down to 0 dB of white noise, had a no-speech probability of at most 0.29 and
# an average log probability of at least -0.78. What Whisper made of hums was below -0.9.
NO_SPEECH_THRESHOLD = 0.35
LOGPROB_THRESHOLD = -0.8
COMPRESSION_RATIO_THRESHOLD = 2.4
"""Compression ratio from which a window may be one phrase over and over; OpenAI's own limit."""

# The ratio alone is not enough: a text read twice reaches it too. One phrase must occur at least four times in a row.
_LOOP = re.compile(r"(\b\w.*?)(?: \1){3,}")


@dataclass(frozen=True)
class SegmentStats:
    """Whisper's own measures of a segment.

    Attributes:
        no_speech_prob: Probability that the segment's window holds no speech.
        avg_logprob: Mean log probability of its tokens.
        compression_ratio: Size of the window's text divided by its compressed size.
    """

    no_speech_prob: float
    avg_logprob: float
    compression_ratio: float


def is_hallucination(text: str, stats: SegmentStats) -> bool:
    """Tell whether nobody said the segment `text`."""
    words = normalized_words(text)
    if not words or (stats.compression_ratio > COMPRESSION_RATIO_THRESHOLD and _LOOP.search(words)):
        return True
    if _SOUND_DESCRIPTIONS.fullmatch(text.strip()) or _NEVER_SPOKEN.fullmatch(words):
        return True
    doubtful = stats.no_speech_prob > NO_SPEECH_THRESHOLD or stats.avg_logprob < LOGPROB_THRESHOLD
    return doubtful and bool(_OFTEN_HALLUCINATED.fullmatch(words))


def normalized_words(text: str) -> str:
    """Return the words of `text` in lower case, without punctuation: "Don't, Ben!" becomes "dont ben"."""
    return " ".join(re.findall(r"\w+", text.lower().replace("'", "").replace("’", "")))
