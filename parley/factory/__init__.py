"""Build the parts of Parley from settings: the composition root, used by the front ends, the Python API and tests.

Read in this order: `models` (language models and clients for skills), `voice` (speech recognition and synthesis, turn
taking, devices), `emotion` (models of the emotion skill), `session` (conversations made of all these).
"""
