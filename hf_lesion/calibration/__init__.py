"""Calibration: temperature and logit adjustment, thresholds, reliability, and their metrics."""
