import pytest

from hf_lesion.labels import CODES, DIAGNOSES, ID2LABEL, LABEL2ID, MALIGNANT, NAMES, diagnosis_of


def test_the_one_order():
    assert CODES == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert [ID2LABEL[index] for index in range(7)] == list(CODES)
    assert [LABEL2ID[code] for code in CODES] == list(range(7))


def test_what_a_reader_is_told():
    assert MALIGNANT == ("akiec", "bcc", "mel")
    assert len(set(NAMES.values())) == len(CODES)
    for diagnosis in DIAGNOSES:
        assert diagnosis_of(diagnosis.code) is diagnosis
        assert diagnosis.sentence.endswith(".")
        assert diagnosis.sentence.count(".") == 1


def test_an_unknown_code_is_an_error():
    with pytest.raises(KeyError):
        diagnosis_of("scc")
