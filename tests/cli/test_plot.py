"""jax-origin plot, as users run it: the pictures it writes, and the numbers beside them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from jax_origin.calibration import Calibration
from jax_origin.zoo import calibration_path

from .running import REPOSITORY, Done, run

pytest.importorskip("matplotlib")
RESULTS = REPOSITORY / "benchmarks/results"
MODEL = "dcgan-cifar10"


def plot(folder: Path, *arguments: str) -> Done:
    done = run(folder, "plot", *arguments)
    assert done.code == 0, done.err
    return done


def numbers(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        assert sum(map(bool, picture.convert("L").histogram())) > 20  # Something is drawn on it.
        return picture.size


@pytest.mark.outer
def test_scores_of_a_zoo_generator(tmp_path):
    done = plot(tmp_path, "scores", MODEL, "--out=made/scores.svg")
    assert done.out.splitlines() == ["figure: made/scores.svg", "numbers: made/scores.csv"]
    text = (tmp_path / "made/scores.svg").read_text(encoding="utf-8")
    calibration = Calibration.load(calibration_path(MODEL))
    for label in ("own, as made (200)", "vae-cifar10 (3,600)", "attributed only up to here (q)"):
        assert f">{label}<" in text
    rows = numbers(tmp_path / "made/scores.csv")
    made = [row for row in rows if (row["kind"], row["group"]) == ("own", "as made")]
    assert sum(int(row["images"]) for row in made) == calibration.belonging.size
    top = np.maximum(calibration.belonging, calibration.floor).max()
    assert float(made[-1]["from"]) <= top * (1 + 1e-5) and top < float(made[-1]["to"])
    p, q = (float(row["from"]) for row in rows if row["kind"].startswith("threshold of"))
    assert q < p and top < q


@pytest.mark.outer
def test_scores_of_a_condition_alone(tmp_path):
    path = str(calibration_path(MODEL))
    plot(tmp_path, "scores", path, "--condition=jpeg-30", "--out=s.png")
    assert size_of(tmp_path / "s.png")[0] == 832
    own = [row["group"] for row in numbers(tmp_path / "s.csv") if row["kind"] == "own"]
    assert {*own} == {"after jpeg-30"}


@pytest.mark.parametrize("figure", ["roc", pytest.param("det", marks=pytest.mark.outer)])
def test_rates_of_error_are_those_of_the_scores(tmp_path, figure):
    plot(tmp_path, figure, MODEL, "--condition=resize-0.5", "--out=e.svg")
    text = (tmp_path / "e.svg").read_text(encoding="utf-8")
    assert f">{MODEL}, origin, resize-0.5<" in text and ">photographs (396)" in text
    calibration = Calibration.load(calibration_path(MODEL))
    own = np.maximum(calibration.conditions["resize-0.5"], calibration.floor)
    foreign = calibration.foreign["photographs after resize-0.5"].scores
    rows = [row for row in numbers(tmp_path / "e.csv") if row["foreign"] == "photographs"]
    assert len(rows) == len({*own} | {*np.maximum(foreign, calibration.floor)})
    for row in rows[:: len(rows) // 5]:
        limit = float(row["threshold"])
        assert float(row["tpr"]) == np.mean(own <= limit)
        assert float(row["fpr"]) == np.mean(foreign <= limit)
    ranks = stats.mannwhitneyu(own, np.maximum(foreign, calibration.floor)).statistic
    assert float(rows[0]["auc"]) == pytest.approx(1 - ranks / (own.size * foreign.size))


def test_curves_of_results_pass_through_the_quantiles(tmp_path):
    quantiles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    head = {"inspected": "a", "method": "origin", "edit": "clean", "n": 100}
    summary = [{**head, "score_quantiles": quantiles}]
    rows = [{**head, "group": "b", "auc": 0.5, "score_quantiles": [*quantiles[:5], 0.8, None]}]
    results = tmp_path / "found.json"
    results.write_text(json.dumps({"summary": summary, "rows": rows}))
    plot(tmp_path, "roc", "found.json", "--out=r.svg")
    text = (tmp_path / "r.svg").read_text(encoding="utf-8")
    assert "read off seven quantiles" in text and "b (100): AUC 0.5" in text
    at = {float(row["threshold"]): row for row in numbers(tmp_path / "r.csv")}
    assert [float(at[0.4][rate]) for rate in ("tpr", "fpr")] == [0.5, 0.5]
    assert (float(at[0.7]["tpr"]), float(at[0.8]["fpr"])) == (1.0, 0.95)


@pytest.mark.outer
def test_robustness_has_exact_intervals(tmp_path):
    of_one = (str(RESULTS / "storage.json"), f"--generator={MODEL}")
    plot(tmp_path, "robustness", *of_one, "--out=r.png")
    assert size_of(tmp_path / "r.png")[1] == 546
    rows = {row["edit"]: row for row in numbers(tmp_path / "r.csv")}
    summary = json.loads((RESULTS / "storage.json").read_text())["summary"]
    assert len(rows) == sum(row["inspected"] == MODEL for row in summary) == 11
    for row in summary:
        if row["inspected"] == MODEL:
            shown = rows[row["edit"]]
            hits = int(shown["recognised"])
            assert hits == round(100 * row["tpr"])
            limits = stats.binomtest(hits, 100).proportion_ci(0.95, method="exact")
            low, high = (float(shown[f"recognised_{end}"]) for end in ("low", "high"))
            assert (low, high) == pytest.approx((limits.low, limits.high))


@pytest.mark.outer
def test_the_front_of_costs_is_that_of_the_suite(tmp_path):
    from benchmarks.recovery import pareto_front

    of_one = (str(RESULTS / "recovery.json"), f"--generator={MODEL}")
    plot(tmp_path, "cost", *of_one, "--out=c.svg")
    rows = numbers(tmp_path / "c.csv")
    measured = json.loads((RESULTS / "recovery.json").read_text())["rows"]
    group = [row for row in measured if row["generator"] == MODEL]
    (chosen,) = [row["recipe"] for row in group if row["chosen"]]
    assert f"{MODEL}; chosen: {chosen}" in (tmp_path / "c.svg").read_text(encoding="utf-8")
    assert len(rows) == len(group)
    for share in ("recovered", "tpr_at_1_fpr"):
        drawn = {row["recipe"] for row in rows if row[f"on_front_of_{share}"] == "True"}
        assert drawn == {*pareto_front(group, share)}


TINY = ("--generator=tiny", "--calibration=made/calibration.json", "--cache=cache")


@pytest.mark.outer
def test_pictures_and_curves_of_images(folder, calibrated):
    plot(folder, "pictures", "images", *TINY, "--out=pictures.png")
    bad, good = numbers(folder / "pictures.csv")
    assert "not an image" in bad["error"] and good["verdict"] == "belongs"
    assert size_of(folder / "pictures.png") == (832, 403)  # A row for each file.
    done = plot(folder, "curves", "images/good.png", "photos", *TINY, "--most=3", "--out=c.svg")
    assert "the first 3 of 21 images are drawn (--most)" in done.out
    text = (folder / "c.svg").read_text(encoding="utf-8")
    rows = numbers(folder / "c.csv")
    said = {Path(row["image"]).name: row["verdict"].replace("_", " ") for row in rows}
    assert [*said] == ["good.png", "00.png", "01.png"] and said["good.png"] == "belongs"
    assert all(f"{name}: {verdict}" in text for name, verdict in said.items())
    curve = [row for row in rows if row["image"] == "images/good.png"]
    distances = [float(row["distance"]) for row in curve]
    costs = [float(row["evaluations"]) for row in curve]
    assert distances == sorted(distances, reverse=True) and costs == sorted(set(costs))
    # Two restarts of ten steps of Adam until the first check, and no more than the image took.
    assert costs[0] == 20 and costs[-1] >= float(good["steps"]) > costs[-1] - 40
    assert distances[-1] < 1e-3


FAULTS = {
    (): "plot: name a figure, scores, roc, det, robustness, cost, curves, pictures: ",
    ("scatter", "a"): "plot: flag --figure=scatter: value should be one of <scores|roc|",
    ("scores",): "plot: scores: give a calibration file, a zoo generator's name or an audit's",
    ("scores", "nobody"): "plot: nobody: no such file or folder, nor a generator of the zoo (",
    ("scores", "text.json"): "plot: text.json: not ",
    ("scores", "empty.json"): "plot: empty.json: holds results, and no scores",
    ("scores", "empty"): "plot: empty/manifest.json: no audit can be opened here",
    ("scores", MODEL, "--condition=jpeg-1"): "plot: --condition=jpeg-1: there is none; choose",
    ("roc", MODEL, "--generator=other"): "plot: --generator=other: there is none; choose from dc",
    ("roc", MODEL, "--out=a.pdf"): "plot: --out=a.pdf: name a file that ends in .png or .svg",
    ("roc", "empty.json"): "plot: empty.json: holds no results of an evaluation",
    ("robustness", MODEL): f"plot: {MODEL}: give the results of an evaluation",
    ("cost", "empty.json"): "plot: empty.json: holds no results of the suite recovery",
    ("pictures", "none.png"): "plot: none.png: ",
    ("curves", "text.json", "--most=0"): "plot: --most=0: must be at least 1",
}


@pytest.mark.parametrize("arguments", FAULTS)
def test_a_wrong_input_is_one_line(tmp_path, arguments):
    (tmp_path / "text.json").write_text("Dear reader")
    (tmp_path / "empty.json").write_text('{"rows": []}')
    (tmp_path / "empty").mkdir()
    done = run(tmp_path, "plot", *arguments)
    assert (done.code, done.out) == (1, "")
    assert done.line.startswith(FAULTS[arguments])
    assert {path.name for path in tmp_path.iterdir()} == {"text.json", "empty.json", "empty"}


def test_without_matplotlib_it_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run(tmp_path, "plot", "scores", MODEL)
    assert done.line == (
        "plot: Matplotlib is not installed "
        "(pip install 'jax_origin[plots]', in a checkout pip install -e '.[plots]')"
    )
