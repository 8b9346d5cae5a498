import optuna
from PIL import Image

from hf_lesion.training.search_figures import draw_study


def objective(trial):
    value = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.report(value, 1)
    return value


def test_every_plot_is_drawn_and_a_study_of_one_trial_leaves_out_what_compares(tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=1)
    few = draw_study(study, tmp_path, metric="balanced_accuracy")
    assert [file.stem for file in few] == ["history", "slices", "intermediate"]
    study.optimize(objective, n_trials=3)
    files = draw_study(study, tmp_path, metric="balanced_accuracy")
    assert [file.stem for file in files[3:]] == ["parallel", "importances"]
    for file in files:
        colours = Image.open(file).convert("RGB").getcolors(1 << 20)
        assert len(colours) > 10
