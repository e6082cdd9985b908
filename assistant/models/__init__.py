"""Chat models behind one protocol.

Reading order: `base` (the protocols), `replies`, `reply_text` and `loop_guard` (read a reply to its end), `scripted`
(the smallest implementation), `local` (the inference engine), `remote` (servers with the OpenAI API). Choosing and
fetching a model: `catalog`, `memory`, `hub`; `pocket` is the bundled one.
"""

import os

# libgomp reads this when torch loads it. By default its threads spin for milliseconds at every barrier, and decoding
# has hundreds of barriers per token: next to one other busy program, 5 tokens/s became 0.3. This value bridges the
# microseconds between two matrix products and still yields to others.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
