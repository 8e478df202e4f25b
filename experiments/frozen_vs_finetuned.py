"""How far learning curves on frozen latents and with the whole network in training differ, from the same initial sets.

Command:  python experiments/frozen_vs_finetuned.py FOLDER --out curves.json       (FOLDER: see `jaxal embed`)
Cost:     29 minutes on 2 busy CPU cores with the defaults (EfficientNet-Lite0 at 64 px, 5 splits of 2 starts).
Expected: see "The whole network in training" in BUILD_NOTES.md. A line for each strategy and classifier with the mean
          accuracy at each number of labels and the area under the curve (68% interval over splits and starts), and for
          the fine-tuned ones the difference of the areas to each frozen one's, with its 95% interval and p.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxal.config import (
    Config,
    EnvironmentConfig,
    EvaluationConfig,
    FinetuneConfig,
    InputsConfig,
    ProbeConfig,
    SplitConfig,
)
from jaxal.data.splits import split_all
from jaxal.encoders.latents import open_dataset, read
from jaxal.experiment import compare_strategies
from jaxal.report import statistics


def main() -> None:
    """Compare the classifiers strategy by strategy, print lines and write the curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--weights", default="")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--budget", type=int, default=26)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("frozen_vs_finetuned.json"))
    options = parser.parse_args()

    tuned = FinetuneConfig(epochs=options.epochs, learning_rate=options.rate, minibatch=8)
    base = Config(
        inputs=InputsConfig(encoder=options.encoder, weights=options.weights, image_size=options.size),
        split=SplitConfig(source_pool=60, pool=300, state=30, reward=20, validation=20, test=300),
        environment=EnvironmentConfig(budget=options.budget, batch=options.batch),
        evaluation=EvaluationConfig(
            seeds=options.seeds, starts=options.starts, strategies=("random", "margin", "typicality")
        ),
    )
    whole = replace(base, environment=replace(base.environment, classifier="finetune"))
    classifiers = {
        "frozen, logistic regression": base,
        "frozen, Adam 200 x 1e-4": replace(base, probe=ProbeConfig(solver="adam", latents="raw")),
        "finetuned, batch norm frozen": replace(whole, finetune=replace(tuned, batch_norm="frozen")),
        "finetuned, batch norm trained": replace(whole, finetune=tuned),
    }
    target = read(open_dataset(options.folder, base.inputs), base.inputs, keep_images=True).embedded
    splits = split_all(base, target.dataset)
    curves: dict[str, dict[str, np.ndarray]] = {}
    for name, config in classifiers.items():
        comparison = compare_strategies(config, target, splits, {})
        curves[name] = {strategy: c.metrics["accuracy"] for strategy, c in comparison.curves.items()}
        for strategy, accuracy in curves[name].items():
            areas = statistics.aulc(accuracy)
            low, high = statistics.interval(areas, 0.68)
            points = " ".join(f"{value:.3f}" for value in accuracy.mean((0, 1)))
            print(f"{strategy:10s} {name:30s} {points}  AULC {areas.mean():.4f} ({low:.4f} to {high:.4f})", flush=True)
            for other in (c for c in curves if c.startswith("frozen") and name.startswith("finetuned")):
                found = statistics.compare(areas, statistics.aulc(curves[other][strategy]))
                low, high = found.ci95
                print(f"  against {other}: {found.difference:+.4f} ({low:+.4f} to {high:+.4f}, p {found.p:.3f})")
    lists = {name: {strategy: a.tolist() for strategy, a in of.items()} for name, of in curves.items()}
    options.out.write_text(json.dumps({"arguments": {k: str(v) for k, v in vars(options).items()}, "accuracy": lists}))


if __name__ == "__main__":
    main()
