"""A smaller copy of a folder of images: a seeded draw from every split, each class in proportion, same folders.

Command:  python experiments/subset.py FOLDER OUT --count 300     (FOLDER: one subfolder a class, perhaps in splits)
Cost:     a second.
Expected: for the chest X-rays of Kermany et al., 300 of train, all 16 of val and 300 of test, 616 files.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np


def main() -> None:
    """Draw, copy and count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--count", type=int, default=300, help="images of each split, or all where it has fewer")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists already; name a new folder")

    classes: dict[Path, list[Path]] = {}
    for file in sorted(options.folder.rglob("[!.]*.*")):
        classes.setdefault(file.parent.relative_to(options.folder), []).append(file)
    if Path() in classes or not classes:
        parser.error(f"{options.folder} is not a folder of class folders")
    rng = np.random.default_rng(options.seed)
    copied = 0
    for name, files in classes.items():
        total = sum(len(others) for other, others in classes.items() if other.parent == name.parent)
        share = round(len(files) * min(1, options.count / total))
        (options.out / name).mkdir(parents=True)
        for i in sorted(rng.choice(len(files), share, replace=False)):
            shutil.copy2(files[i], options.out / name)
        copied += share
    print(f"{options.out}: {copied} files")


if __name__ == "__main__":
    main()
