"""How good predictions are: held against references, each figure with the interval that chance leaves open."""
