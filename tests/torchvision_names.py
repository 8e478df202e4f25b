"""Our ResNets' variables under PyTorch's names and in its layout, for comparison with the goldens."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from goldens.seeded import seeded_tensor

from jaxal.encoders import make_encoder

AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # of our arrays, by their rank, in PyTorch's order


def torchvision_names(depth: int) -> dict[str, str]:
    """Variable path -> torchvision's name, from the architecture rather than from our renaming."""
    stages = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    modules = {"conv1": "conv1", "bn1": "bn1", "head": "fc"}
    for stage, blocks in enumerate(stages, start=1):
        for block in range(blocks):
            ours, theirs = f"layer{stage}/block{block}", f"layer{stage}.{block}"
            for i in range(1, 4 if depth == 50 else 3):
                modules |= {f"{ours}/{part}{i}": f"{theirs}.{part}{i}" for part in ("conv", "bn")}
            if block == 0 and (stage > 1 or depth == 50):
                modules[f"{ours}/downsample_conv"] = f"{theirs}.downsample.0"
                modules[f"{ours}/downsample_bn"] = f"{theirs}.downsample.1"
    names = {}
    for ours, theirs in modules.items():
        if ours == "head" or "conv" in ours:
            names[f"params/{ours}/kernel"] = f"{theirs}.weight"
        else:
            names[f"params/{ours}/scale"] = f"{theirs}.weight"
            names[f"batch_stats/{ours}/mean"] = f"{theirs}.running_mean"
            names[f"batch_stats/{ours}/var"] = f"{theirs}.running_var"
        if "conv" not in ours:
            names[f"params/{ours}/bias"] = f"{theirs}.bias"
    return names


def seeded_variables(depth: int, width: int = 64, classes: int = 1000):
    """The weights that the golden script gave to PyTorch, in our layout."""
    init = partial(make_encoder(f"resnet{depth}", width=width).init, classes=classes)
    template = flatten_dict(jax.eval_shape(init, jax.random.key(0)), sep="/")
    names = torchvision_names(depth)
    assert names.keys() == template.keys()
    leaves = {}
    for path, leaf in template.items():
        order = AXES[len(leaf.shape)]
        theirs = seeded_tensor(names[path], tuple(leaf.shape[i] for i in order))
        leaves[path] = jnp.asarray(theirs.transpose(np.argsort(order)))
    return unflatten_dict(leaves, sep="/")


def relative_error(ours, theirs) -> float:
    return float(np.linalg.norm(np.asarray(ours) - theirs) / np.linalg.norm(theirs))
