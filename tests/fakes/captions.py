"""Captions of two images in the style of Flickr8k."""

DOG = [
    "A brown dog runs through the snow .",
    "A brown dog is running in the snow .",
    "The brown dog is running on a snowy field .",
    "A dog running with a red ball in its mouth .",
    "A dog plays with a ball in the snow",
]
TWO_MEN = [
    "Two men are sitting on a bench .",
    "Two men sit on a wooden bench in the park .",
    "Two guys talking on a bench .",
    "A pair of men rest on a park bench .",
    "Two men in black jackets sit on a bench .",
]
