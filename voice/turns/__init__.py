"""User turns: when the user speaks, pauses and is done, and whether they interrupt.

Reading order: vad (audio to turn events), utterance, transcriber, endpointing (how long a pause may last) with
smart_turn (the end-of-turn model), interruption (turn, echo or backchannel), listener (all of these together).
"""
