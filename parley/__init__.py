"""Parley: a private multimodal assistant on your own machine."""
