from pathlib import Path

import pytest

from hf_lesion import cli


@pytest.fixture
def parser():
    parser = cli.build_parser("A script.\n\n    indented")
    cli.add_shared(parser, "model", "dataset", required=True)
    cli.add_shared(parser, "split", "batch_size", "output", "overwrite")
    return parser


def test_shared_arguments_have_their_types_and_defaults(parser):
    found = vars(parser.parse_args(["--model", "runs/cnn", "--dataset", "data"]))
    assert found == {
        "model": Path("runs/cnn"),
        "dataset": Path("data"),
        "split": "test",
        "batch_size": 32,
        "output": None,
        "overwrite": False,
    }
    assert "    indented" in parser.format_help()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: --model, --dataset"),
        (
            ["--model", "m", "--dataset", "d", "--batch_size", "0"],
            "argument --batch_size: expected an integer of at least 1, got 0",
        ),
        (
            ["--model", "m", "--dataset", "d", "--batch_size", "some"],
            "argument --batch_size: expected an integer of at least 1, got some",
        ),
    ],
)
def test_a_mistake_is_one_line(parser, words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {message}. See {parser.prog} --help.\n"
