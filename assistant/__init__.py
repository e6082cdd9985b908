"""Parley: a private multimodal assistant on your own machine."""

__version__ = "0.1.0"
