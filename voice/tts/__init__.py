"""Text to speech.

Reading order: base (the protocol, and how a text becomes audio), sentence_splitter and sentence_marks, text_cleanup and
text_normalization (how a text is prepared), readable and text_language (what a voice can read), engine (what the
registry knows of a kind of voice), piper, espeak, coqui, xtts (the engines), registry (voice names).
"""
