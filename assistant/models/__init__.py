"""Models that hold a conversation, behind one protocol of three members."""

import os

# Read by libgomp when torch loads it. Its threads spin for milliseconds at every barrier before they let others run,
# and decoding has hundreds of barriers a token: beside one other busy program that made 0.3 tokens/s out of 5. This is
# long enough to bridge the microseconds between two matrix products and short enough to give way.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
