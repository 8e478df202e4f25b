"""The acquisition noise in a picture: originals above, several noisy versions of each below.

Command:  python experiments/figure_noise.py FOLDER [--out noise.png]     (FOLDER: one subfolder a class)
          The README's, of tiles of Kather et al. (CC BY 4.0) whose names end in _label_0 to _label_7:
          python experiments/figure_noise.py tiles100 --label-regex 'label_(.)' --seed 2 --class-names tumour stroma
          complex lympho debris mucosa adipose empty --out experiments/figures/noise.png
Cost:     a few seconds.
Expected: every noisy version is a slightly turned (within 15 degrees), larger or smaller (within 10%), grainier
          copy of the original above it; each differs from the next.
"""

import argparse
import io
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from jaxal.data.decode import resize
from jaxal.data.folder import load_folder
from jaxal.data.noise import add_noise


def main() -> None:
    """Draw a grid: a column for each image, the original on top."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("noise.png"))
    parser.add_argument("--label-regex", help="what in a file's name is its class, where there are no class folders")
    parser.add_argument("--class-names", nargs="+", help="in the place of those of the folder, in its order")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--versions", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    dataset = load_folder(options.folder, label_regex=options.label_regex)
    names = options.class_names or dataset.classes
    draw, distort = jax.random.split(jax.random.key(options.seed))
    rows = np.asarray(jax.random.choice(draw, len(dataset), (options.images,), replace=False))
    originals = np.stack([resize(dataset.inputs[int(row)], 224) for row in rows])
    noisy = [add_noise(key, originals, rows) for key in jax.random.split(distort, options.versions)]

    lines = [("original", originals), *((f"noisy {k + 1}", images) for k, images in enumerate(noisy))]
    shape = (len(lines), options.images)
    figure, grid = plt.subplots(*shape, figsize=(1.6 * shape[1], 1.6 * shape[0]), squeeze=False, layout="constrained")
    for (name, images), axes in zip(lines, grid, strict=True):
        axes[0].set_ylabel(name)
        for axis, image in zip(axes, np.asarray(images), strict=True):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
    for axis, row in zip(grid[0], rows, strict=True):
        axis.set_title(names[dataset.labels[row]], fontsize=9)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(256).save(options.out, optimize=True)  # a fourth of the bytes
    print(options.out)


if __name__ == "__main__":
    main()
