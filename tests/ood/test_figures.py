from hf_lesion.ood.figures import plot_gate
from hf_lesion.ood.gate import DermoscopyRejection, GateRecord, MeasuredModel, Rejection


def test_the_figure_has_a_bar_for_every_source_and_an_interval_where_there_is_one():
    record = GateRecord(
        model=MeasuredModel(name="m"),
        dermoscopic={
            "test": DermoscopyRejection(images=10, refused=0.04, interval=(0.01, 0.09)),
            "test, retaken": DermoscopyRejection(images=10, refused=0.04),
        },
        other={"photos": Rejection(images=60, refused=0.98)},
    )
    axes = plot_gate(record).axes[0]
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["photos (60)", "test, retaken (10)", "test (10)"]
    assert [bar.get_width() for bar in axes.patches] == [0.98, 0.04, 0.04]
    assert [0.01, 0.09] in [list(line.get_xdata()) for line in axes.lines]
