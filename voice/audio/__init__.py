"""Audio in and out: devices, streams, decoding, echo cancellation."""
