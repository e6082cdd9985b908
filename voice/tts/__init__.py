"""Text to speech: the engine protocol, the engines, and the preparation of text."""
