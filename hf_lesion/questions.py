"""The two questions beside the seven diagnoses, and what is asked of a threshold: stdlib only."""

from hf_lesion.labels import MALIGNANT

# Is it one of these?
POINTS: dict[str, tuple[str, ...]] = {"malignant": MALIGNANT, "melanoma": ("mel",)}
TARGET_SENSITIVITY = 0.9
# Round numbers for a reader who sets none; of no clinic.
PREVALENCES = {"malignant": 0.05, "melanoma": 0.02}
