"""How the pocket model's weights were made: one rerunnable command per stage, see training/README.md."""
