"""Diagnoses of HAM10000: order, names and explanations of the seven classes.

Source of the classes: Tschandl, Rosendahl, Kittler, "The HAM10000 dataset", Scientific Data
5:180161 (2018). Every array of C = 7 values in this project is in the order of `CODES`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis: code of the dataset, name, malignancy and explanation for lay readers."""

    code: str
    name: str
    malignant: bool
    sentence: str


DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis(
        "akiec",
        "Actinic keratosis / Bowen's disease",
        True,
        "Rough, sun-damaged skin or an early squamous carcinoma that has not grown deeper; "
        "counted as malignant here because it is treated before it can become invasive.",
    ),
    Diagnosis(
        "bcc",
        "Basal cell carcinoma",
        True,
        "The most common skin cancer: it grows slowly and rarely spreads, "
        "but destroys the tissue around it if it is left alone.",
    ),
    Diagnosis(
        "bkl",
        "Benign keratosis",
        False,
        "Harmless thickened skin: seborrhoeic keratosis, solar lentigo or lichen-planus-like "
        "keratosis; some of them look like melanoma.",
    ),
    Diagnosis(
        "df",
        "Dermatofibroma",
        False,
        "A harmless firm nodule, often with a pale scar-like centre, "
        "that may follow a small injury or insect bite.",
    ),
    Diagnosis(
        "mel",
        "Melanoma",
        True,
        "The most dangerous of the seven: a cancer of the pigment cells that can spread early, "
        "and is curable when it is removed in time.",
    ),
    Diagnosis(
        "nv",
        "Melanocytic nevus",
        False,
        "A common mole: a harmless collection of pigment cells, "
        "usually even in colour and structure.",
    ),
    Diagnosis(
        "vasc",
        "Vascular lesion",
        False,
        "A harmless change of blood vessels: angioma, angiokeratoma, pyogenic granuloma "
        "or a small bleeding under the skin.",
    ),
)

CODES: tuple[str, ...] = tuple(diagnosis.code for diagnosis in DIAGNOSES)
NAMES: dict[str, str] = {diagnosis.code: diagnosis.name for diagnosis in DIAGNOSES}
MALIGNANT: tuple[str, ...] = tuple(d.code for d in DIAGNOSES if d.malignant)
# Binary groups of diagnoses.
LABEL_GROUPS: dict[str, tuple[str, ...]] = {"malignant": MALIGNANT, "melanoma": ("mel",)}
# Defaults for thresholds on these groups; here because this module imports nothing. The prevalences
# are round numbers, not those of a particular clinic.
TARGET_SENSITIVITY = 0.9
PREVALENCES = {"malignant": 0.05, "melanoma": 0.02}
ID2LABEL: dict[int, str] = dict(enumerate(CODES))
LABEL2ID: dict[str, int] = {code: index for index, code in enumerate(CODES)}

NOTICE = (
    "For research and teaching only. This is not a medical device and gives no medical advice: "
    "have a skin change looked at by a physician."
)


def diagnosis_of(code: str) -> Diagnosis:
    """Return the diagnosis with this HAM10000 code.

    Raises:
        KeyError: If `code` is not one of `CODES`.
    """
    return DIAGNOSES[LABEL2ID[code]]
