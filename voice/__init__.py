"""Spoken conversations: listen, detect turns, answer aloud.

Reading order: options (engines, options, callbacks), turns (audio in, utterances out), push_to_talk, spoken_reply (text
in, audio out) with speech_synthesizer and reply_playback, reply_runner (a turn of the session, spoken), conversation
(the coordinator), voice_session (with real devices); events, call_log, audio_folder, recordings, emotion and empathy
watch the conversation. The engines are in audio, stt and tts.
"""
