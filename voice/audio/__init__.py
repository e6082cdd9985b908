"""Audio in and out.

Reading order: types (samples and their rate), resample, decode, containers and downmix (files), wav and
wav_header, devices (PortAudio, blocking), playback_buffer, streams (a microphone and an output that run beside an event
loop), duplex (both together, reconnected), echo_canceller.
"""
