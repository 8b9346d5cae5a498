"""Evaluation of heatmaps: overlap with lesion masks, faithfulness, shortcuts, and their record."""
