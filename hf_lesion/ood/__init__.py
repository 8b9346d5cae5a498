"""Out-of-distribution detection: reject non-dermoscopic images and mark unsure answers."""
