"""Names of heatmap methods, baselines and explained classes. Imports nothing heavy."""

from collections.abc import Iterable

METHOD_NAMES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
}
# What may be explained instead of a certain class.
PREDICTED, RUNNER_UP = "predicted", "runner-up"
GAUSSIAN, RANDOM, UNTRAINED = "gaussian", "random", "untrained"
CONTROL_NAMES = {
    GAUSSIAN: "centred Gaussian",
    RANDOM: "random map",
    UNTRAINED: "same network, random weights",
}
# The first method of a record, averaged over `FINE_VIEWS` shifted and mirrored copies.
FINE, FINE_VIEWS = "fine", 9


def name_of(kind: str, kinds: Iterable[str]) -> str:
    """Return the display name of a map: a method, a control or `FINE`.

    `kinds` are all of the record, in its order: the finer map is a mean of the first one's.
    """
    if kind == FINE:
        return f"{name_of(next(iter(kinds)), ())} (mean of {FINE_VIEWS} views)"
    return METHOD_NAMES.get(kind) or CONTROL_NAMES.get(kind, kind)
