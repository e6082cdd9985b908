"""What somebody feels by their words."""

DEPTHS = (12, 16, 20)
"""After how many of the decoder's 30 layers its hidden states are looked at; those after the last are never computed."""

BEFORE = "<|im_start|>user\n"
AFTER = "<|im_end|>\n<|im_start|>assistant\nYou feel"
"""What the text is put between: the model is about to name the feeling, and its last state knows it."""

WINDOW_TOKENS = 64
"""Longer texts are read in pieces of this many tokens, as what it was trained on is no longer."""
