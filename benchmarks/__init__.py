"""Benchmarks behind the measured figures in the documentation.

Reading order: `figures` (a figure, tables, result files), then any benchmark; each has `measure(runs)`. `__main__` runs
them by name. `start` times processes (with `one_turn`), `decode` the bundled model, `large` models on a GPU (with
`shapes` and `synthetic_model`), `pocket` the replies of the bundled model; the others measure voice,
emotion and batches.
"""
