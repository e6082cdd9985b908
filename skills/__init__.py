"""Captioning, question answering and other things Parley can do with a file, one module a skill."""
