"""Images per second of the ResNet-50 forward pass at 224 px, beside PyTorch's for the same network.

Command:  python experiments/benchmarks/bench_resnet.py            (PyTorch is optional: pip install torch)
Cost:     about 2 minutes on 2 CPU cores.
Expected: on a CPU about PyTorch's rate. Measured on 2 calm cores with PyTorch 2.13: 12.1 images/s against 11.3 in
          one run, 11.7 against 11.8 in another.

Both sides get the same float32 batch already in memory and return pooled latents. PyTorch runs in
`inference_mode` in its own layout (NCHW) and in channels-last, whichever is faster counts. The two take
turns, so that other load on the machine meets both; the best round of each is the rate, and the median tells
how calm the machine was.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.encoders import make_encoder

sys.path.append(str(Path(__file__).parents[2] / "tests" / "goldens"))


def jaxal_pass(images: np.ndarray, dtype: str) -> Callable[[], object]:
    """A call of our jitted forward pass on images [n, 224, 224, 3] float32, compiled already."""
    encoder = make_encoder("resnet50", dtype=dtype)
    variables = encoder.init(jax.random.key(0))
    forward = jax.jit(lambda variables, images: encoder.apply(variables, images).latents)
    batch = jax.device_put(images)
    call = lambda: jax.block_until_ready(forward(variables, batch))
    start = time.perf_counter()
    call()
    print(f"jaxal {dtype}: compiled in {time.perf_counter() - start:.1f} s on {jax.devices()[0].device_kind}")
    return call


def torch_passes(images: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same for PyTorch on the CPU, once per memory layout; empty without PyTorch."""
    try:
        import torch  # pyright: ignore[reportMissingImports] - optional
        from torch_resnet import ResNet  # pyright: ignore[reportMissingImports] - on the path set above
    except ImportError:
        print("PyTorch is not installed: only jaxal is timed")
        return {}
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")

    def call(layout: Any) -> Callable[[], object]:
        model = ResNet(50).eval().to(memory_format=layout)
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)

        def forward() -> object:
            with torch.inference_mode():
                return model(batch)

        forward()
        return forward

    return {
        "PyTorch NCHW": call(torch.contiguous_format),
        "PyTorch channels-last": call(torch.channels_last),
    }


def main() -> None:
    """Time every contender in turn and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    images = np.random.default_rng(0).standard_normal((options.batch, 224, 224, 3), np.float32)

    calls = {"jaxal": jaxal_pass(images, options.dtype), **torch_passes(images)}
    seconds = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        best, median = options.batch / min(times), options.batch / float(np.median(times))
        print(f"{name:22s} {best:7.1f} images/s best, {median:7.1f} median")
    if len(calls) > 1:
        fastest = np.min([times for name, times in seconds.items() if name != "jaxal"], 0)  # [rounds]
        best, median = fastest.min() / min(seconds["jaxal"]), np.median(fastest / seconds["jaxal"])
        print(f"jaxal / fastest PyTorch = {best:.2f} of the best rounds, {median:.2f} the median of the rounds")


if __name__ == "__main__":
    main()
