"""Thresholds as they lie beside a model's weights."""

from hf_lesion.calibration.thresholds import OperatingPoint, OperatingPoints


def melanoma_points(weights_sha256, *, threshold=0.1):
    """A melanoma threshold for these weights, fitted on 50 images."""
    point = OperatingPoint(
        codes=("mel",),
        threshold=threshold,
        target_sensitivity=0.9,
        images=50,
        positives=9,
        sensitivity=0.9,
        specificity=0.7,
    )
    return OperatingPoints(points={"melanoma": point}, weights_sha256=weights_sha256, fitted_on={})
