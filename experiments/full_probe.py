"""What all labels together are worth: a linear probe on all training latents, on the official test split.

    jaxal embed --dataset FOLDER --encoder efficientnet-lite0 --out latents.npz
    python experiments/full_probe.py latents.npz

Seconds, once the latents are there. Expected for the chest X-rays of Kermany et al. with EfficientNet-Lite0: AUROC
0.96, against which the curves of active learning can be held.
"""

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxal.data import load


def main() -> None:
    """Fits and prints accuracy and AUROC."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", help="a .npz file that `jaxal embed` wrote, with an official test split")
    dataset = load.load(parser.parse_args().latents)
    if dataset.official is None:
        parser.error(f"{dataset.name} has no official test split")
    test = dataset.official == "test"
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    probe.fit(dataset.inputs[~test], dataset.labels[~test])
    probabilities = probe.predict_proba(dataset.inputs[test])
    accuracy = np.mean(np.argmax(probabilities, 1) == dataset.labels[test])
    scores = probabilities[:, 1] if len(dataset.classes) == 2 else probabilities
    auroc = roc_auc_score(dataset.labels[test], scores, multi_class="ovr")
    print(f"{(~test).sum()} training and {test.sum()} test rows: accuracy {accuracy:.3f}, AUROC {auroc:.3f}")


if __name__ == "__main__":
    main()
