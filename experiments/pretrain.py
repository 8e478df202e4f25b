"""Trains the policy that comes with the package, or one that has not met some data sets.

    python experiments/pretrain.py --data ../shared/data
    python experiments/pretrain.py --data ../shared/data --leave-out texture80 splice vehicle --out left_out.npz

An interrupted command goes on when it is given again. The same command gives the same policy on the same machine. The
package's own has not met the bundled digits, breast-cancer and wine, nor MNIST, which is digits too.
"""

import argparse
import shutil
from pathlib import Path

from pretraining.tasks import SETS, without
from pretraining.training import train

from jaxal.config import CounterfactualConfig
from jaxal.policies import pretrained
from jaxal.policies.gain_training import NAMES
from jaxal.report import terminal
from jaxal.seals import fingerprint

ABOUT = {
    "what": "a linear function of how features and rules rank the candidates; its values are gains in no unit",
    "trained_by": "ridge regression of the exact gains of labels on fresh tasks: pools of 100 to 400 rows, 2 to 10 "
    "classes, real data often in another geometry; one label a step",
    "licences": "texture80, X-rays and UCI sets CC BY 4.0; brain MRI MIT; MNIST CC BY-SA 3.0; latents by "
    "EfficientNet-Lite0, Apache 2.0",
    "how_good": "ahead of margin and most rules on digits, behind the best: see BUILD_NOTES.md, the pretrained policy",
}
BUNDLED = ("digits", "breast-cancer", "wine")


def main() -> None:
    """Trains, and writes the policy file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real data")
    parser.add_argument(
        "--leave-out", nargs="*", default=BUNDLED, choices=[*SETS], help="data sets, whose siblings are too"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=pretrained.SHIPPED, help="policy file to write")
    given = parser.parse_args()
    names = without(*given.leave_out)
    config = CounterfactualConfig()
    kept = given.out.with_suffix(f".{fingerprint(repr((names, config, given.seed)))[:8]}")
    kept.mkdir(parents=True, exist_ok=True)
    with terminal.progress("pretraining") as progress:
        learned = train(names, config, given.seed, given.data, kept, progress)
    print(pretrained.save(given.out, learned.params, NAMES, config.hidden, ABOUT | learned.report))
    shutil.rmtree(kept)


if __name__ == "__main__":
    main()
