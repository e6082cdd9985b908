"""Speech to text: the engine protocol, Whisper, transcription of long recordings, subtitles."""
