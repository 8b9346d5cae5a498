"""Evaluation: metrics, intervals, subgroups, robustness, explanations and reports."""
