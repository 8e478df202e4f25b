"""The command line as a user meets it: what a run leaves behind, how it is interrupted, and what a mistake costs."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxal.classifiers import CLASSIFIERS
from jaxal.cli import main, run_folders
from jaxal.config import Config
from jaxal.encoders import ENCODERS
from jaxal.policies import STRATEGIES
from jaxal.report.asked import Asked
from jaxal.report.results import load_results

JAXAL = Path(sys.executable).with_name("jaxal")
SMALL = shlex.split(
    "--strategies ddqn random margin --seeds 2 --starts 2 --budget 8 --agent.hidden 8 --agent.minibatch 8 "
    "--agent.replay-capacity 200 --train.iterations 3 --train.updates 2 --train.episodes 2 --train.candidates 8 "
    "--train.target-candidates 8 --train.warm-start-episodes 2 --train.validation-episodes 2 "
    "--train.validation-every 1 --train.tasks 1 --train.patience 0 "
    "--action-features score margin --agent.residual margin"
)
WRITTEN = {
    "config.json",
    "results.json",
    "curves.npz",
    "chosen.csv",
    "policy",
    "figure.png",
    "report.html",
    "report.md",
}
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc")
SAVE_OFTEN = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
from jaxal.cli import main, resumable
from jaxal.policies import checkpoint
from jaxal.report import results
slowly = lambda save: lambda *what, **more: (save(*what, **more), time.sleep(2))  # there is time to interrupt
checkpoint.save, results.write_curves = slowly(checkpoint.save), slowly(results.write_curves)
resumable.SAVE_EVERY = -1.0
main.main()
"""


@pytest.fixture(scope="session")
def environment():
    return {**os.environ, "COLUMNS": "80"}


@pytest.fixture(scope="session")
def jaxal(environment):
    def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([JAXAL, *arguments], cwd=folder, env=environment, capture_output=True, text=True)

    return call


@pytest.fixture
def here(monkeypatch, capfd):
    """The command line in this process, which is quicker to start."""

    def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["jaxal", *arguments])
        capfd.readouterr()
        status = 0
        try:
            with jax.debug_key_reuse(False):
                main.main(leave=sys.exit)
        except SystemExit as stop:
            status = stop.code
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory, jaxal):
    """A folder with the finished run runs/wine, and what it said."""
    folder = tmp_path_factory.mktemp("user")
    done = jaxal(folder, "run", "--dataset", "wine", *SMALL)
    assert done.returncode == 0, done.stderr
    return folder, done


def results_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def check_results(folder: Path, strategies: list[str], labels: list[int], episodes: int = 4) -> dict:
    """That a run's files are whole, and their numbers finite; returns results.json."""
    assert {path.name for path in folder.iterdir()} >= WRITTEN - {"policy"}
    found = results_of(folder)
    assert list(found["strategies"]) == strategies
    with np.load(folder / "curves.npz") as arrays:
        for name in strategies:
            entry = found["strategies"][name]
            assert entry["labels"] == labels
            for metric in METRICS:
                values = np.asarray(entry[metric], float)
                assert values.shape == (episodes, len(labels))
                assert np.all((values >= 0) & (values <= 1))
                np.testing.assert_allclose(arrays[f"{name}/{metric}"].reshape(values.shape), values, atol=1e-6)
            low, high = entry["aulc_ci68"]
            assert low <= entry["aulc_mean"] <= high
            assert np.isfinite(entry["seconds"])
    assert len(found["episodes"]["seed"]) == len(found["episodes"]["start"]) == episodes
    others = [name for name in strategies if name != "ddqn"]
    assert [(c["a"], c["b"]) for c in found["comparisons"]] == [("ddqn", name) for name in others]
    for c in found["comparisons"]:
        assert np.isfinite([c["aulc_difference"], *c["ci95"]]).all()
        if c["p"] is not None:  # null where two seeds differ by exactly the same
            assert 0 <= c["p"] <= c["p_holm"] <= 1
    for name in ("report.html", "report.md"):
        assert found["dataset"]["name"] in (folder / name).read_text()
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    return found


def test_run_writes_what_the_design_promises(finished):
    folder, _ = finished
    run = folder / "runs" / "wine"
    assert {path.name for path in run.iterdir()} >= WRITTEN
    assert not (run / "checkpoint").exists()
    found = check_results(run, ["ddqn", "random", "margin"], list(range(3, 9)))
    assert found["command"] == " ".join(["jaxal run --dataset wine", *SMALL])
    assert {"jaxal", "jax", "device", "git"} <= found["environment"].keys()
    data = found["dataset"]
    assert data["name"] == "wine"
    assert len(data["classes"]) == 3
    assert sum(data[part] for part in ("source_pool", "pool", "state", "reward", "validation", "test")) <= 178
    assert found["comparison"]["compile_seconds"] > max(entry["seconds"] for entry in found["strategies"].values())
    training = found["training"]
    assert training["iterations"] == 3
    assert training["updates"] == 3 * 2
    assert training["env_steps"] == training["episodes"] * 5
    assert np.asarray(training["returns"], float).shape == (3, 2)
    config = json.loads((run / "config.json").read_text())
    assert config["config"] == found["config"]
    assert config["config"]["environment"]["budget"] == 8


def test_run_tells_which_rows_were_chosen(finished):
    run = finished[0] / "runs" / "wine"
    with (run / "chosen.csv").open(newline="") as file:
        lines = [tuple(line.values()) for line in csv.DictReader(file)]
    results = load_results(run)
    for name in results.strategies:
        for seed, starts in enumerate(results.chosen(name)):
            for start, rows in enumerate(starts):
                labelled = [line for line in lines if line[:2] == (str(seed), str(start)) and line[2] in ("all", name)]
                assert [line[3:] for line in labelled] == [(str(i), str(row)) for i, row in enumerate(rows, start=1)]
                assert [line[2] for line in labelled] == ["all"] * 3 + [name] * 5


def test_run_says_what_it_found_and_fits_a_terminal(finished):
    _, done = finished
    *table_and_verdict, path = done.stdout.splitlines()
    assert path == "runs/wine/report.html"
    assert max(map(len, table_and_verdict)) <= 80
    text = " ".join(table_and_verdict)
    assert re.search(r"random +0\.\d{4} +0\.\d{4} to 0\.\d{4} +0\.\d{3} .*\(\d+%\)", text)
    for words in ("AULC", "68% interval", "labels", "learned (DDQN)", "random", "margin", "mean AULC"):
        assert words in text
    holds, *told = done.stderr.splitlines()
    assert holds == "wine: 178 rows of 13 features, 3 classes: class_0 59, class_1 71, class_2 48"
    assert all(line.startswith(("training", "comparing")) for line in told), told
    assert [line.split(",")[0] for line in told if line.startswith("training ")][-1] == "training 3/3"


def test_evaluates_the_policy_on_other_data_and_reports(finished, here):
    folder, _ = finished
    done = here(folder, "evaluate", "--policy", "runs/wine", "--dataset", "breast-cancer", "--budget", "6")
    assert done.returncode == 0, done.stderr
    other = folder / "runs" / "wine-on-breast-cancer"
    found = check_results(other, ["ddqn", "random", "margin"], list(range(2, 7)))
    assert found["dataset"]["train_on"] == ["wine"]
    assert not (other / "policy").exists()

    (other / "report.html").unlink()
    done = here(folder, "report", str(other))
    assert done.returncode == 0, done.stderr
    assert (other / "report.html").is_file()
    done = here(folder, "report", "runs/wine", str(other), "--out", "page")
    assert done.returncode == 0, done.stderr
    page = (folder / "page" / "report.html").read_text()
    assert "wine-on-breast-cancer" in page


@pytest.mark.slow
def test_batches_and_several_sources(tmp_path, here):
    sources = ["--train-on", "wine", "breast-cancer"]
    done = here(tmp_path, "run", "--dataset", "wine", *SMALL, "--batch", "3", "--budget", "18", *sources)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "wine"
    found = check_results(run, ["ddqn", "random", "margin"], [3, 6, 9, 12, 15, 18])
    assert found["dataset"]["train_on"] == ["wine", "breast-cancer"]
    with np.load(run / "curves.npz") as arrays:
        assert arrays["ddqn/picks"].shape == (2, 2, 5, 3)


@pytest.mark.slow
def test_a_seed_means_one_thing(finished, tmp_path, environment):
    """Seed 1 alone, counted from 1, beside other strategies and on a machine with more devices."""
    devices = {"XLA_FLAGS": f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count=3"}
    alone = ["--first-seed", "1", "--seeds", "1", "--strategies", "margin", "ddqn"]
    command = [JAXAL, "run", "--dataset", "wine", *SMALL, *alone]
    done = subprocess.run(command, cwd=tmp_path, env=environment | devices, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folders = finished[0] / "runs" / "wine", tmp_path / "runs" / "wine"
    among, own = (load_results(folder) for folder in folders)
    assert "3 x cpu" in own.summary["environment"]["device"] and own.summary["episodes"]["seed"] == [1, 1]
    for name in own.strategies:
        np.testing.assert_array_equal(own.chosen(name)[0], among.chosen(name)[1], err_msg=name)
        for metric in METRICS:
            np.testing.assert_array_equal(own.curves(name, metric)[0], among.curves(name, metric)[1])
    returns = [[row[-1] for row in found.summary["training"]["returns"]] for found in (among, own)]
    assert returns[0] == returns[1]


FINETUNE = shlex.split(
    "--dataset digits --classifier finetune --encoder resnet18 --weights random --width 2 --image-size 16 --noise 0.5 "
    "--cache-dir cache --finetune.epochs 1 --split.pool 40 --split.source-pool 40 --split.reward 20 "
    "--split.validation 20 --split.test 20"
)


@pytest.mark.slow
def test_the_whole_network_in_training(tmp_path, jaxal):
    small = [*SMALL, "--budget", "14", "--batch", "2", "--seeds", "2", "--starts", "1"]
    done = jaxal(tmp_path, "run", *FINETUNE, *small, "--out", "tuned")
    assert done.returncode == 0, done.stderr
    assert "50% of the pool images carry noise" in done.stderr
    found = check_results(tmp_path / "tuned", ["ddqn", "random", "margin"], [10, 12, 14], episodes=2)
    assert found["training"]["env_steps"] == 8 * 2
    # the encoder of the saved run, with another classifier
    again = ["evaluate", "--policy", "tuned", "--out", "again", "--classifier", "linear_probe", "--cache-dir", "cache"]
    other = jaxal(tmp_path, *again)
    assert other.returncode == 0, other.stderr
    settings = results_of(tmp_path / "again")["config"]
    assert settings["environment"]["classifier"] == "linear_probe"
    assert settings["inputs"] == {**results_of(tmp_path / "tuned")["config"]["inputs"], "noise": 0.0}


def test_a_plan_runs_nothing(tmp_path, here):
    done = here(tmp_path, "run", *FINETUNE, "--plan", "--finetune.epochs", "200", "--budget", "40")
    assert done.returncode == 0, done.stderr
    # 31 fits of 10..40 labels, 200 epochs, minibatches of 16
    steps = 200 * sum(-(-labels // 16) for labels in range(10, 41))
    assert f"an episode: {steps:,} training steps of 16 images" in done.stdout
    assert "GB an episode" in done.stdout and "one after another" in done.stdout
    assert "on a GPU of 80 GB" in done.stdout
    small = here(tmp_path, "run", *FINETUNE, "--split.pool", "60", "--plan", "--gpu-memory", "0.001")
    assert "on a GPU of 0.001 GB not even one episode fits" in small.stdout, small.stderr
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="session")
def interrupted(environment):
    def call(folder: Path, when: str, *arguments: str) -> None:
        """The command, stopped by Ctrl-C when it has said a line that begins with `when`."""
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_OFTEN, *arguments],
            cwd=folder,
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(when):
                process.send_signal(signal.SIGINT)
                break
        rest = [line for line in process.stderr.read().splitlines() if not line.startswith(when.split()[0])]
        assert process.wait() == 130, (when, rest)
        assert rest == ["jaxal: interrupted; the same command with --resume goes on from the last checkpoint"]

    return call


@pytest.mark.slow
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(finished, tmp_path, interrupted, jaxal):
    command = ["run", "--dataset", "wine", *SMALL]
    interrupted(tmp_path, "training 1/3", *command)
    run = tmp_path / "runs" / "wine"
    assert any(place.name.isdigit() for place in (run / "checkpoint").iterdir())
    assert not (run / "policy").exists()

    refused = jaxal(tmp_path, *command, "--train.updates", "3", "--resume")
    assert refused.returncode == 2
    assert one_line(refused.stderr).startswith("runs/wine was begun with train.updates = 2, not 3")

    interrupted(tmp_path, "comparing 1/3", *command, "--resume")
    assert "margin.npz" not in [place.name for place in (run / "comparison").iterdir()]
    resumed = jaxal(tmp_path, *command, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "training 1/3" not in resumed.stderr
    assert "comparing 1/3" not in resumed.stderr
    assert not (run / "checkpoint").exists() and not (run / "comparison").exists()
    whole, pieced = finished[0] / "runs" / "wine", run
    with np.load(whole / "curves.npz") as a, np.load(pieced / "curves.npz") as b:
        assert set(a) == set(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    a, b = results_of(whole), results_of(pieced)
    for part in ("returns", "validation_accuracy", "iterations", "episodes", "updates"):
        assert a["training"][part] == b["training"][part]
    assert a["command"] == b["command"]

    again = jaxal(tmp_path, *command, "--resume")
    assert again.returncode == 2
    assert one_line(again.stderr).startswith("nothing to resume: runs/wine is finished")


@pytest.mark.parametrize(
    "arguments", ["--help", "run --help", "evaluate --help", "report --help", "list --help", "--version"]
)
def test_help_imports_no_jax(arguments):
    code = (
        "import sys; from jaxal.cli import main\n"
        "try: main.main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "slow = {'jax', 'flax', 'orbax', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("usage: jaxal", "jaxal 0."))


def test_no_arguments_print_the_overview():
    done = subprocess.run([JAXAL], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == ""
    assert all(f"\n  {command}" in done.stdout for command in ("run", "evaluate", "embed", "report", "list"))


def test_latents_keep_the_names_of_their_files(tmp_path, here):
    rng = np.random.default_rng(0)
    for c in "ab":
        (tmp_path / "scans" / c).mkdir(parents=True)
        for k in range(4):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(tmp_path / "scans" / c / f"{k}.png")
    done = here(tmp_path, "embed", "--dataset", "scans", "--encoder", "pixels", "--image-size", "4", "--out", "a.npz")
    assert done.returncode == 0, done.stderr
    assert "scans: 8 images, 2 classes: a 4, b 4" in done.stderr.splitlines()
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays["names"]) == [f"{c}/{k}.png" for c in "ab" for k in range(4)]


def one_line(told: str) -> str:
    """The one line that a mistake costs, without what it begins with; notices of the data may stand before it."""
    *notices, line = told.splitlines()
    assert all(notice.split(": ")[0] in ("digits", "rare", "nan", "wine", "few", "tiny") for notice in notices), told
    assert line.startswith("jaxal: error: ")
    return line.removeprefix("jaxal: error: ")


FEATURES = np.random.default_rng(0).normal(size=(80, 3))
TWO = np.arange(80) % 2


def with_cell(value: float) -> np.ndarray:
    changed = FEATURES.copy()
    changed[5, 1] = value
    return changed


def write_inputs(folder: Path) -> None:
    """The files that the matrix names."""
    arrays = {
        "good": {"X": FEATURES, "y": TWO},
        "few": {"X": FEATURES[:20], "y": TWO[:20]},
        "tiny": {"X": FEATURES[:6], "y": TWO[:6]},
        "rare": {"X": FEATURES, "y": np.r_[np.zeros(78), 1, 1]},
        "no_X": {"y": TWO},
        "no_y": {"X": FEATURES},
        "short_y": {"X": FEATURES, "y": TWO[:-1]},
        "fractional": {"X": FEATURES, "y": TWO + 0.5},
        "no_labels": {"X": FEATURES, "y": np.full(80, np.nan)},
        "one_class": {"X": FEATURES, "y": np.zeros(80, int)},
        "infinite": {"X": with_cell(np.inf), "y": TWO},
        "all_nan": {"X": np.full((80, 3), np.nan), "y": TWO},
        "text": {"X": np.full((80, 3), "a"), "y": TWO},
        "nan": {"X": with_cell(np.nan), "y": TWO},
    }
    for name, content in arrays.items():
        np.savez(folder / f"{name}.npz", **content)
    whole = (folder / "good.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (folder / "words.npz").write_text("X, y\n1, 2\n")
    (folder / "table.csv").write_text("X, y\n1, 2\n")
    (folder / "empty").mkdir()
    (folder / "a_file").write_text("mine")
    (folder / "taken").mkdir()
    (folder / "taken" / "notes.txt").write_text("mine")
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text('{"config": ')
    (folder / "broken" / "results.json").write_text('{"config": ')
    (folder / "other").mkdir()
    (folder / "other" / "config.json").write_text('{"command": "x", "dataset": "wine", "train_on": [], "config": 3}')


BAD = [
    # the command and its flags
    ("frobnicate", "unknown command 'frobnicate'; there are run, evaluate, embed, report, list"),
    ("run --reward money", "--reward is 'money'; it must be among accuracy, balanced_accuracy, macro_f1, auroc, prob"),
    ("run --distance manhatten", "--distance is 'manhatten'; it must be among euclidean, squared_euclidean, cosine"),
    ("run --classifier forest", "--classifier is 'forest'; it must be among linear_probe, finetune"),
    ("run --encoder vgg", "--encoder is 'vgg'; it must be among pixels, resnet18"),
    ("run --strategies margin luck", f"--strategies is 'luck'; it must be among {', '.join(STRATEGIES)}, or all"),
    ("run --strategies", "--strategies is ()"),
    (
        "run --strategies margin greedy_oracle --probe.solver gd",
        "--strategies holds greedy_oracle, which can only be had with --classifier linear_probe and --probe.solver",
    ),
    ("run --plugins none.py", "none.py: no such file; --plugins takes Python files"),
    ("list cheeses", "unknown kind 'cheeses'; there are datasets, encoders, strategies"),
    # values
    ("run --budget -1", "--budget is -1; it must be 0 (automatic), or more than initial (0)"),
    ("run --batch -1", "--batch is -1; it must be greater than 0"),
    ("run --seeds 0", "--seeds is 0;"),
    ("run --starts 0", "--starts is 0;"),
    ("run --first-seed -1", "--first-seed is -1;"),
    ("run --first-seed 9999999999", "--first-seed is 9999999999;"),
    ("run --target-accuracy 2", "--target-accuracy is 2.0; it must be between 0 and 1"),
    ("run --initial 9 --budget 9", "--budget is 9; it must be 0 (automatic), or more than initial (9)"),
    ("run --split.state -1", "--split.state is -1; it must be 0 (automatic) or more"),
    ("run --seeds 1000000000", "--seeds is 1000000000; it must be at most 10,000"),
    ("run --agent.hidden 9999999", "--agent.hidden is (9999999,); it must be at most 32 widths"),
    ("run --split.pool -5", "--split.pool is -5;"),
    ("run --probe.l2 0", "--probe.l2 is 0.0;"),
    ("run --probe.l2 inf", "--probe.l2 is inf; it must be a finite number"),
    ("run --agent.residual-weight nan", "--agent.residual-weight is nan; it must be a finite number"),
    ("run --probe.learning-rate 0", "--probe.learning-rate is 0.0;"),
    ("run --agent.gamma 1.5", "--agent.gamma is 1.5;"),
    ("run --agent.hidden 0", "--agent.hidden is (0,);"),
    ("run --agent.learning-rate -1", "--agent.learning-rate is -1.0;"),
    ("run --agent.replay-capacity 8", "--agent.replay-capacity is 8;"),
    ("run --train.iterations 0", "--train.iterations is 0;"),
    ("run --train.epsilon-end -0.1", "--train.epsilon-end is -0.1;"),
    ("run --train.candidates 8 --train.target-candidates 9", "--train.target-candidates is 9; it must be at most"),
    ("run --batch 5 --train.target-candidates 4", "--train.target-candidates is 4; it must be at least batch (5)"),
    ("run --agent.residual luck", "--agent.residual is 'luck';"),
    ("run --action-features luck --agent.residual=", "--action-features is 'luck'; it must be among score"),
    ("run --finetune.learning-rate inf", "--finetune.learning-rate is inf; it must be a finite number"),
    ("run --finetune.epochs 3000000000", "--finetune.epochs is 3000000000; it must be at most 100,000"),
    ("run --image-size 30000", "--image-size is 30000; it must be 0 (the encoder's own) or more, and at most 4096"),
    ("run --noise inf", "--noise is inf; it must be a finite number"),
    ("run --state-features luck", "--state-features is 'luck'; it must be among top_probability"),
    # data
    ("run --dataset digitz", "digitz: no such data set, file or folder. Did you mean digits?"),
    ("run --train-on digitz", "digitz: no such data set"),
    ("run --dataset none.npz", "none.npz: no such file or folder"),
    ("run --dataset cut.npz", "cut.npz: cut short"),
    ("run --dataset words.npz", "words.npz: no .npz file"),
    ("run --dataset table.csv", "table.csv: no column of X varies"),
    ("run --dataset empty", "empty: "),
    ("run --dataset no_X.npz", "no_X.npz: no array X"),
    ("run --dataset no_y.npz", "no_y.npz: no array y"),
    ("run --dataset short_y.npz", "short_y.npz: y has shape (79,)"),
    ("run --dataset fractional.npz", "fractional.npz: y holds 0.5"),
    ("run --dataset no_labels.npz", "no_labels.npz: no row has a label (y is NaN)"),
    ("run --dataset one_class.npz", "one_class.npz: one class only (0)"),
    ("run --dataset infinite.npz", "infinite.npz: column 1 of X has 1 infinite"),
    ("run --dataset all_nan.npz", "all_nan.npz: no column of X varies"),
    ("run --dataset text.npz", "text.npz: X has type <U1"),
    ("run --dataset few.npz --split.state 30", "few: 30 rows asked for state, but only"),
    ("run --dataset tiny.npz --split.state 1", "tiny: 6 rows leave none for reward"),
    ("run --dataset rare.npz", "rare: the "),
    ("run --dataset wine --split.test 170", "wine: 26 rows asked for reward, but only 8"),
    # what does not fit together
    ("run --classifier finetune", "--classifier is 'finetune', which trains an encoder of images; name an encoder"),
    ("run --classifier finetune --encoder pixels", "encoder pixels has nothing to train"),
    ("run --classifier finetune --encoder resnet18 --weights random --dataset wine", "wine: --classifier finetune is"),
    (
        "run --classifier finetune --encoder efficientnet-lite0 --finetune.trained layer4",
        "--finetune.trained is 'layer4'; encoder efficientnet-lite0 has no such part, so take all or head",
    ),
    ("run --finetune.minibatch 1", "--finetune.minibatch is 1; it must be at least 2"),
    ("run --encoder pixels --width 3", "encoder pixels has no width; leave it out"),
    ("run --plan --classifier finetune --encoder resnet18 --dataset wine", "wine: --classifier finetune is for images"),
    ("run --plan --classifier finetune --encoder resnet18 --budget 5", "--budget is 5; with 10 initial labels"),
    ("run --plan --classifier finetune --encoder resnet18 --gpu-memory 0", "--gpu-memory is 0.0;"),
    ("run --plan", "--plan is for --classifier finetune"),
    ("run --dataset wine --budget 3", "--budget is 3; with 3 initial labels"),
    ("run --dataset wine --budget 8 --batch 6", "--budget is 8; with 3 initial labels"),
    ("run --dataset wine --budget 100", "--budget is 100; it must be at most 30, the pool rows of wine"),
    ("run --dataset nan.npz --budget 70", "--budget is 70; it must be at most"),
    ("run --preset paper --train.episodes 300", "--train.episodes makes 300 episodes at once; it must be at most 200:"),
    (
        "run --strategies ddqn --train.warm-start-episodes 1001",
        "--train.warm-start-episodes makes 1001 episodes at once; it must be at",
    ),
    ("run --dataset wine --budget 8 --train.tasks 2 --train.task-pool 5", "--budget is 8; it must be at most 5"),
    # folders
    ("run --dataset wine --budget 8 --out a_file", "a_file is not a folder"),
    ("run --dataset wine --budget 8 --out a_file/run", "a_file/run: a_file is not a folder"),
    ("run --dataset wine --budget 8 --out taken", "taken holds something else"),
    ("run --dataset wine --budget 8 --out finished", "finished holds a run already"),
    ("run --dataset wine --budget 8 --resume", "nothing to resume: runs/wine is not there"),
    ("run --dataset wine --budget 8 --resume --out empty", "empty: nothing to resume"),
    ("run --dataset wine --budget 8 --resume --out finished", "finished: nothing to resume: the run is finished"),
    ("run --dataset wine --budget 8 --resume --out broken", "broken/config.json: not what `jaxal run` writes"),
    # evaluate
    ("evaluate --policy none", "none/config.json: no such file"),
    ("evaluate --policy a_file", "a_file/config.json: no such file"),
    ("evaluate --policy broken", "broken/config.json: not what `jaxal run` writes"),
    ("evaluate --policy other", "other/config.json: not what `jaxal run` writes"),
    ("evaluate --policy parts", "parts/config.json: environment.distance is 'mine'; it must be among euclidean"),
    ("evaluate --policy finished --dataset wine --seeds 3", "--seeds is 3; it must be at most 2"),
    ("evaluate --policy finished --dataset wine --seeds 0", "--seeds is 0;"),
    ("evaluate --policy finished --dataset wine --strategies margin", "--strategies must hold ddqn"),
    ("evaluate --policy finished --dataset wine --strategies ddqn linear_cem", "--strategies holds linear_cem"),
    ("evaluate --policy finished --dataset digits", "--budget is 8; with 10 initial labels"),
    ("evaluate --policy finished --dataset none.npz", "none.npz: no such file"),
    ("evaluate --policy finished --dataset wine --out taken", "taken holds something else"),
    ("evaluate --policy finished --dataset wine --classifier finetune", "--classifier is 'finetune', which trains"),
    ("evaluate --policy finished --dataset wine --resume", "nothing to resume: runs/finished-on-wine is not there"),
    ("evaluate --policy no_policy --dataset wine", "no_policy holds no policy"),
    # report
    ("report", "no run folder is given"),
    ("report empty", "empty/results.json: no such file"),
    ("report a_file", "a_file/results.json: "),
    ("report broken", "broken/results.json: not what `jaxal run` writes (not a whole JSON file"),
    ("report finished broken --out page", "broken/results.json: not what `jaxal run` writes (not a whole JSON file"),
    ("report finished finished", "--out is missing"),
    ("report finished finished --out finished", "--out is finished, which holds a run"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, finished):
    """A folder of wrong inputs, and runs that something was done to."""
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    for name in ("finished", "no_policy", "damaged", "rewritten", "parts"):
        shutil.copytree(finished[0] / "runs" / "wine", folder / name)
    shutil.rmtree(folder / "no_policy" / "policy")
    for path in (folder / "damaged" / "policy").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-40])
    for name, part, setting, value in (
        ("rewritten", "agent", "hidden", [9]),
        ("parts", "environment", "distance", "mine"),
    ):
        config = folder / name / "config.json"
        asked = json.loads(config.read_text())
        asked["config"][part][setting] = value
        config.write_text(json.dumps(asked))
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[arguments for arguments, _ in BAD])
def test_a_mistake_costs_one_line_and_nothing_else(arguments, message, inputs, here):
    before = contents(inputs)
    done = here(inputs, *arguments.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert one_line(done.stderr).startswith(message)
    assert contents(inputs) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run --bugdet 3", ("--bugdet", "--budget")),
        ("run digits", ("digits",)),
        ("run --budget many", ("--budget", "many")),
        ("run --probe.l2 strong", ("--probe.l2", "strong")),
        ("run --dataset", ("--dataset",)),
        ("run --preset nature", ("--preset", "nature", "paper")),
        ("evaluate", ("--policy",)),
    ],
)
def test_what_the_parser_finds_wrong_is_told_by_the_parser(arguments, words, tmp_path, here):
    done = here(tmp_path, *arguments.split())
    assert done.returncode == 2
    assert done.stdout == "" and all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_lists_what_there_is(tmp_path, here):
    told = here(tmp_path, "list").stdout
    for name in (*STRATEGIES, *ENCODERS, *CLASSIFIERS, "digits", "cosine", "log_loss", "progress", "paper"):
        assert re.search(rf"^ +{re.escape(name)} +\w", told, re.M), name


def test_mistakes_through_the_entry_point(inputs, jaxal):
    before = contents(inputs)
    for arguments, message in (
        ("evaluate --policy damaged --dataset wine", "damaged/policy: "),
        ("evaluate --policy rewritten --dataset wine", "rewritten/policy: "),
    ):
        done = jaxal(inputs, *arguments.split())
        assert done.returncode == 2
        assert done.stdout == ""
        assert one_line(done.stderr).startswith(message)
    assert contents(inputs) == before


def test_a_new_run_never_takes_the_folder_of_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = Asked("jaxal run", "a b", Config())

    def new(name: str = "a b") -> Path:
        with run_folders.new(None, name, asked) as folder:
            return folder

    assert new() == Path("runs/a-b")
    assert new() == Path("runs/a-b-2")
    assert new("../..") == Path("runs/run")
    Path("runs/a-b-3").mkdir()
    assert new() == Path("runs/a-b-3")
    with run_folders.new(None, "a b", asked) as first, run_folders.new(None, "a b", asked) as second:
        assert (first, second) == (Path("runs/a-b-4"), Path("runs/a-b-5"))
