"""Out-of-distribution detection: non-dermoscopic images and low-confidence predictions."""
