"""Speech to text.

Reading order: base (the engine's protocol and what a transcript is), whisper (the engine), hallucinations (what Whisper
writes when nobody spoke), long_form and channels (audio files of any length), subtitles, whisper_weights (the bundled
model).
"""
