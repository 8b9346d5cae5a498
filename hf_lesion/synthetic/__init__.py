"""Synthetic images: drawn lesions, a dataset of them, overlays, out-of-distribution images."""
