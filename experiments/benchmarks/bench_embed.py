"""Images per second from files to latents, beside the bare forward pass on the same batches in memory.

Command:  python experiments/benchmarks/bench_embed.py FOLDER      (FOLDER: one subfolder a class, see `jaxal embed`)
          python experiments/benchmarks/bench_embed.py FOLDER --encoder resnet50 --count 256 --random
Cost:     about 1 minute for 512 images with EfficientNet-Lite0 on 2 CPU cores.
Expected: at least 85%. Measured on 2 calm cores with chest X-rays of 224 px: 94 to 103% for EfficientNet-Lite0 (70 of
          70 images/s), 100% for ResNet-50 (11.8 of 11.9), 82% for EfficientNet-Lite0 at 112 px.

End to end means: read, decode, resize, compute, write the cache. The two take turns, so that other load on the
machine meets both; the best round of each is its rate.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from jaxal.data.decode import resize
from jaxal.data.folder import load_folder
from jaxal.encoders import ENCODERS, make_encoder
from jaxal.encoders.embed import embed, latents_of
from jaxal.encoders.weights import load_weights


def main() -> None:
    """Time both ways in turn and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", choices=sorted(ENCODERS.keys() - {"pixels"}), default="efficientnet-lite0")
    parser.add_argument("--random", action="store_true", help="random weights instead of published ones")
    parser.add_argument("--image-size", type=int, default=0, help="side in pixels; 0: the encoder's own")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()

    dataset = load_folder(options.folder)
    rows = np.random.default_rng(0).permutation(len(dataset))[: options.count // options.batch * options.batch]
    encoder = make_encoder(options.encoder)
    variables = encoder.init(jax.random.key(0)) if options.random else load_weights(encoder).variables
    body = {**variables, "params": {k: v for k, v in variables["params"].items() if k != "head"}}
    side = options.image_size or encoder.image_size or 224
    images = np.stack([resize(dataset.inputs[int(row)], side) for row in rows])
    batches = images.reshape(-1, options.batch, *images.shape[1:])
    places = np.zeros(options.batch, np.int32)

    def bare() -> list[np.ndarray]:
        return [np.asarray(latents_of(encoder, None, body, None, batch, places)) for batch in batches]

    def whole() -> np.ndarray:
        with tempfile.TemporaryDirectory() as cache:
            latents = embed(
                dataset, encoder, variables, cache_dir=cache, rows=rows, batch_size=options.batch, image_size=side
            )
            return np.array(latents)

    np.testing.assert_allclose(np.concatenate(bare()), whole(), rtol=1e-3, atol=1e-4)  # compiles, too
    seconds = {bare: [], whole: []}
    for _ in range(options.rounds):
        for call, times in seconds.items():
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    for call, name in ((bare, "forward pass alone"), (whole, "files to latents")):
        best, median = len(rows) / min(seconds[call]), len(rows) / float(np.median(seconds[call]))
        print(f"{name:20s} {best:7.1f} images/s best, {median:7.1f} median")
    share = np.divide(seconds[bare], seconds[whole])
    rounds = ", ".join(f"{value:.0%}" for value in share)
    best = min(seconds[bare]) / min(seconds[whole])
    print(f"share of the forward pass's rate: {np.median(share):.0%}, the median of {rounds}; of the best {best:.0%}")


if __name__ == "__main__":
    main()
