"""Explanations: Grad-CAM heatmaps, their baselines, and comparisons with lesion masks."""
