"""What people say to an assistant, for the benchmarks of listening, spoken by the bundled voice.

A bar marks where whoever thinks while speaking would stop: the words before it are no sentence.
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

# The sound of the words before the bar is about as long within the sentence as it is alone.
_SEARCHED_BEFORE, _SEARCHED_AFTER, _GAP = 0.2, 0.1, 0.02


def whole(utterance: str) -> str:
    """The words of all of it."""
    return utterance.replace(" | ", " ")


def begun(utterance: str) -> str:
    """The words before the bar."""
    return utterance.partition(" | ")[0]


def spoken(words: str, voice: "TextToSpeech") -> "Samples":
    """Their sound as it is heard, at 16 kHz and without the silence around it."""
    import numpy as np

    from voice.audio.resample import Resampler

    sound = np.concatenate(list(voice.synthesize(words)))
    resampler = Resampler(voice.sample_rate, SAMPLE_RATE)
    heard = np.concatenate([resampler.process(sound), resampler.flush()])
    loud = np.flatnonzero(np.abs(heard) > 0.02)
    return heard[loud[0] : loud[-1] + 1]


def broken_off(utterance: str, voice: "TextToSpeech") -> "Samples":
    """The sound of all of it, cut off at the quietest moment near the bar."""
    import numpy as np

    sound, near = spoken(whole(utterance), voice), spoken(begun(utterance), voice).size
    begin = max(0, near - round(_SEARCHED_BEFORE * SAMPLE_RATE))
    gap = round(_GAP * SAMPLE_RATE)
    searched = np.square(sound[begin : near + round(_SEARCHED_AFTER * SAMPLE_RATE)], dtype=np.float64)
    return sound[: begin + int(np.argmin(np.convolve(searched, np.ones(gap), "valid"))) + gap // 2]


def silence(seconds: float) -> "Samples":
    """A quiet room: no microphone gives perfect zeros."""
    import numpy as np

    return (1e-4 * np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)
