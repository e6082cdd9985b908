"""Recognize emotions from text, faces and voices, and combine them.

Reading order: labels and probabilities; text (hidden states of the bundled model); face, face_boxes, face_detectors,
face_cascade, face_weights and face_network; prosody and voice (frames of the bundled Whisper); fusion; result and
emotion, the skill; speaker_baseline for spoken conversations.
"""
