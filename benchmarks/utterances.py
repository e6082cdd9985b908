"""What people say to an assistant, for the benchmarks of listening: questions, answers and requests, spoken by a voice.

The voice is made repeatable, so that every run hears the same sound.
"""

from typing import TYPE_CHECKING

from voice.samples import HEARING_RATE

if TYPE_CHECKING:
    from voice.samples import Samples
    from voice.text_to_speech import TextToSpeech

QUESTIONS = (
    "What is the capital of France?",
    "How far is it from here to the station?",
    "Can you tell me a story about a cat?",
    "Why is the sky blue in the morning?",
    "Who wrote the play about the prince of Denmark?",
    "What should I cook for dinner tonight?",
    "How do I boil an egg so that it stays soft?",
    "Is it going to rain this afternoon?",
    "Where can I buy a ticket for the boat?",
    "Which river runs through the city of London?",
    "Could you help me write a letter to my landlord?",
    "What is the difference between a lake and a river?",
    "How many days are there in a year?",
    "Do cats really sleep more than dogs?",
    "When does the library close on Sundays?",
    "What do you think of the picture on the wall?",
    "How long does it take to learn the guitar?",
    "Are there any good books about the sea?",
    "What would you say to somebody who is afraid of flying?",
    "Why do birds fly south before the winter?",
    "Can I leave my bicycle in front of the house?",
    "What time is it in New York right now?",
    "How much water should I drink every day?",
    "Is there a dog in the picture?",
)

STATEMENTS = (
    "I would like to book a table for two people.",
    "My order has not arrived and I am getting worried.",
    "The weather was fine this morning, so we walked along the river.",
    "Please send the invoice to my new address.",
    "I lost my card yesterday and I need a new one.",
    "We went to the market and bought bread and cheese.",
    "Tell me more about the history of this house.",
    "The train leaves at seven and I must not be late.",
    "Put the meeting on Friday into my calendar.",
    "I think the red one looks better than the blue one.",
    "Give me three reasons to visit Portugal.",
    "My daughter starts school after the summer.",
    "Read me the last message from my brother.",
    "I am looking for a quiet place near the lake.",
    "The washing machine makes a strange noise when it spins.",
    "Let us talk about something else for a while.",
    "He told me that the shop would open again in May.",
    "Turn the music down a little in the kitchen.",
    "I never understood how a refrigerator works.",
    "Write down that I owe my neighbour twenty dollars.",
    "There was a grey heron standing in the shallow water.",
    "I want to cancel the subscription that I bought last month.",
    "She said she would call me back before noon.",
    "Explain to me how the tides depend on the moon.",
)


def spoken(sentence: str, voice: "TextToSpeech") -> "Samples":
    """The sound of `sentence` as it is heard, at 16 kHz and without the silence around it."""
    import numpy as np

    from voice.devices import Converter

    sound = np.concatenate(list(voice.synthesize(sentence)))
    sound = Converter(voice.sample_rate, HEARING_RATE)(sound)
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    return sound[loud[0] : loud[-1] + 1]


def broken_off(sound: "Samples") -> "Samples":
    """`sound` up to the quietest moment in the middle third of it: between two words, most of the time."""
    import numpy as np

    window = HEARING_RATE // 50
    begin, end = sound.size // 3, 2 * sound.size // 3
    energy = np.convolve(np.square(sound[begin:end], dtype=np.float64), np.ones(window), "valid")
    return sound[: begin + int(np.argmin(energy)) + window // 2]


def silence(seconds: float) -> "Samples":
    """A quiet room: no device gives perfect zeros."""
    import numpy as np

    return (1e-4 * np.random.default_rng(0).standard_normal(round(seconds * HEARING_RATE))).astype(np.float32)
