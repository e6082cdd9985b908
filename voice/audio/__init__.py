"""Audio in and out.

Reading order: types (samples and their rate), resample, decode (files), wav, devices (PortAudio, blocking),
playback_buffer, streams (a microphone and an output that run beside an event loop), duplex (both together,
reconnected), echo_canceller.
"""
