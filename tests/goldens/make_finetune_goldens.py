"""Writes finetune.npz: twenty training steps of a small ResNet-18 in PyTorch. Needs PyTorch; the tests do not.

Command:  python tests/goldens/make_finetune_goldens.py
Cost:     a few seconds.
Expected: for Adam with weight decay in train mode, and for plain SGD with frozen batch normalisation: the loss, all
          running statistics and probes of all parameters after each step; 200 kB.
"""

from pathlib import Path

import numpy as np
import torch
from make_resnet_goldens import seeded_model
from seeded import CASES, probe, training_batches, training_images

FOLDER = Path(__file__).parent
torch.backends.mkldnn.enabled = False  # its backward pass hangs on some machines
MEAN, STD = (torch.tensor(x).reshape(1, 3, 1, 1) * 255 for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def trajectory(name: str) -> dict[str, np.ndarray]:
    """Loss [20], statistics [20, .] and parameter probes [20, .] of one case."""
    case = CASES[name]
    model = seeded_model(18, width=4, classes=3).train(case["batch_norm"] == "train")
    make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[case["optimiser"]]
    optimiser = make(model.parameters(), lr=case["learning_rate"], weight_decay=case["weight_decay"])
    pixels, labels = training_images()
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - MEAN) / STD
    losses, statistics, parameters = [], [], []
    for rows in training_batches():
        logits = model.stages(images[rows])["logits"]
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        state = {key: value.detach().numpy() for key, value in model.state_dict().items() if value.is_floating_point()}
        losses.append(loss.item())
        statistics.append(np.concatenate([state[key] for key in sorted(state) if "running" in key]))
        parameters.append(np.concatenate([probe(key, state[key])[:8] for key in sorted(state) if "running" not in key]))
    out = {"loss": losses, "statistics": statistics, "parameters": parameters}
    return {f"{name}/{key}": np.asarray(value, np.float32) for key, value in out.items()}


def main() -> None:
    np.savez_compressed(FOLDER / "finetune.npz", **{k: v for name in CASES for k, v in trajectory(name).items()})


if __name__ == "__main__":
    main()
