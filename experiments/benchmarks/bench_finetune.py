"""Seconds of a training step inside a compiled loop: convolutions as they are, and as products of patches.

Command:  python experiments/benchmarks/bench_finetune.py
Cost:     about two minutes on 2 CPU cores, most of it compilation.
Expected: on a CPU, patches several times as fast inside the loop; outside of one the two are about equal.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxal.classifiers.finetune import Network, make_training
from jaxal.config import FinetuneConfig
from jaxal.data.dataset import Images
from jaxal.encoders import make_encoder

STEPS = 5  # in a loop
ROUNDS = 4


def main() -> None:
    """Time four programs in turn; the best round of each counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    pixels = jax.random.randint(jax.random.key(0), (options.batch, options.size, options.size, 3), 0, 255)
    labels, mask = jnp.arange(options.batch) % 2, jnp.ones(2, bool)

    def programs(in_loop: bool) -> tuple[Callable[[], Network], Callable[[], Network]]:
        encoder = make_encoder(options.encoder, width=options.width, in_loop=in_loop)
        training = make_training(FinetuneConfig(), encoder)
        images = Images(pixels.astype(jnp.uint8), encoder.init(jax.random.key(1)))
        network = training.start(images, 2)
        step = lambda images, network: training.step(images, network, jnp.asarray(images.pixels), labels, mask)[0]
        loop = lambda images, network: jax.lax.fori_loop(0, STEPS, lambda _, n: step(images, n), network)
        once, many = jax.jit(step), jax.jit(loop)
        return lambda: once(images, network), lambda: many(images, network)

    calls = {}
    for in_loop, name in ((False, "convolutions"), (True, "patches")):
        calls[name, "alone"], calls[name, "in a loop"] = programs(in_loop)
    seconds = {key: [] for key in calls}
    for call in calls.values():
        jax.block_until_ready(call())
    for _ in range(ROUNDS):
        for key, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[key].append((time.perf_counter() - start) / (STEPS if key[1] == "in a loop" else 1))
    for (name, where), times in seconds.items():
        print(f"{name:13s} {where:10s} {1000 * min(times):8.1f} ms a step")
    ratio = min(seconds["convolutions", "in a loop"]) / min(seconds["patches", "in a loop"])
    print(f"patches in a loop are {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
