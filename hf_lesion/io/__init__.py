"""Files in and out: atomic writes, checksums, image decoding, provenance, figures, Hub tokens."""
