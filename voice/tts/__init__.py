"""Text to speech.

Reading order: base (the protocol, and how a text becomes audio), sentence_splitter and sentence_marks, text_cleanup,
text_normalization with english_tables, german_normalization, text_rules, spoken_codes and spoken_math (how a text is
prepared), readable and voice_languages (what a voice can read), engine (what the registry knows of a
kind of voice), hibari, piper, espeak, coqui, xtts (the engines), registry (voice names).
"""
