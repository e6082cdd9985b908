"""Sentences that people say to an assistant, for the benchmarks of listening. The bundled voice speaks them.

A bar marks where somebody who thinks while speaking would stop: the words before it are not a complete sentence.
"""

from typing import TYPE_CHECKING

from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples
    from voice.tts.base import TextToSpeech

QUESTIONS = (
    "What is the | capital of France?",
    "How far is it from here to the | station?",
    "Can you tell me a | story about a cat?",
    "Why is the sky | blue in the morning?",
    "Who wrote the play about the | prince of Denmark?",
    "What should I cook if | I am very tired tonight?",
    "How do I boil an egg and | keep it soft inside?",
    "Is it going to | rain this afternoon?",
    "Where can I buy a | ticket for the boat?",
    "Which river runs through the | city of London?",
    "Could you help me write a | letter to my landlord?",
    "What is the difference between a lake and | a river?",
    "How many days are there in a | leap year?",
    "Do you know whether | cats sleep more than dogs?",
    "When does the | library close on Sundays?",
    "What do you think of the | picture on the wall?",
    "How long does it take to | learn the guitar?",
    "Are there any good books about | the sea?",
    "What would you say to somebody who | is afraid of flying?",
    "Why do birds fly south before the | winter?",
    "Can I leave my | bicycle in front of the house?",
    "What time is it in | New York right now?",
    "How much water should I | drink every day?",
    "Is there a | dog in the picture?",
)

STATEMENTS = (
    "I would like to book a | table for two people.",
    "My order has not arrived and | I am getting worried.",
    "The weather was fine this morning, so | we walked along the river.",
    "Please send the invoice to my | new address.",
    "I lost my card yesterday and | I need a new one.",
    "We went to the market because | we wanted bread and cheese.",
    "Tell me more about the | history of this house.",
    "The train leaves at seven but | I am still at home.",
    "Put the meeting on | Friday into my calendar.",
    "I think the red one looks better than the | blue one.",
    "Give me three | reasons to visit Portugal.",
    "My daughter starts school after the | summer.",
    "Read me the | last message from my brother.",
    "I am looking for a | quiet place near the lake.",
    "The washing machine makes a | strange noise when it spins.",
    "Let us talk about | something else for a while.",
    "He told me that the shop | would open again in May.",
    "Turn the music down a little because | the baby is asleep.",
    "I never understood how a | refrigerator works.",
    "Write down that I owe my | neighbour twenty dollars.",
    "There was a grey heron standing in the | shallow water.",
    "I want to cancel the | subscription that I bought last month.",
    "She said she would | call me back before noon.",
    "Explain to me how the | tides depend on the moon.",
)

# The words before the bar take about as long within the sentence as alone: the quietest gap is searched around there.
_SEARCH_BEFORE_SECS, _SEARCH_AFTER_SECS, _GAP_SECS = 0.2, 0.1, 0.02


def full_text(utterance: str) -> str:
    """Return the sentence without the bar."""
    return utterance.replace(" | ", " ")


def first_part(utterance: str) -> str:
    """Return the words before the bar."""
    return utterance.partition(" | ")[0]


def synthesize(text: str, voice: "TextToSpeech") -> "Samples":
    """Return the speech for `text` at 16 kHz, without the silence around it."""
    import numpy as np

    from voice.audio.resample import Resampler

    samples = np.concatenate(list(voice.synthesize(text)))
    resampler = Resampler(voice.sample_rate, SAMPLE_RATE)
    samples = np.concatenate([resampler.process(samples), resampler.flush()])
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return samples[loud[0] : loud[-1] + 1]


def synthesize_broken_off(utterance: str, voice: "TextToSpeech") -> "Samples":
    """Return the speech for the sentence, cut off at the quietest moment near the bar."""
    import numpy as np

    samples = synthesize(full_text(utterance), voice)
    near = synthesize(first_part(utterance), voice).size
    start = max(0, near - round(_SEARCH_BEFORE_SECS * SAMPLE_RATE))
    gap = round(_GAP_SECS * SAMPLE_RATE)
    energy = np.square(samples[start : near + round(_SEARCH_AFTER_SECS * SAMPLE_RATE)], dtype=np.float64)
    return samples[: start + int(np.argmin(np.convolve(energy, np.ones(gap), "valid"))) + gap // 2]


def quiet_room(seconds: float) -> "Samples":
    """Return faint noise, at -80 dB of full scale: no microphone records perfect zeros."""
    import numpy as np

    return (1e-4 * np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)
