"""Score predictions against references, each metric with a confidence interval.

Reading order: pairs, calibration, scores, report.
"""
