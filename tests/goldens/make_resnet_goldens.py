"""Writes the golden files of this folder. Needs PyTorch (2.13 wrote the present ones); the tests do not.

Command:  python tests/goldens/make_resnet_goldens.py
Cost:     a few seconds.
Expected: resnet18.npz and resnet50.npz (probes of PyTorch's activations and running statistics for seeded
          weights), small_resnet18.pth (a zip file, ResNet-18 of width 1 with a head of 5 classes), and the
          same odd tensors in both layouts, odd_zip.pth and odd_old.pth; 100 kB in all.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from seeded import probe, seeded_images, seeded_tensor
from torch_resnet import ResNet

FOLDER = Path(__file__).parent


def seeded_model(depth: int, **sizes: int) -> ResNet:
    """A ResNet whose floating-point state is `seeded_tensor` throughout."""
    model = ResNet(depth, **sizes)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(seeded_tensor(name, tuple(tensor.shape))))
    return model


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).detach().numpy()


def activations(depth: int) -> dict[str, np.ndarray]:
    """Probes in evaluation mode (2 images), in train mode (4), and 16 channels of moved statistics."""
    golden = {}
    for mode, count in (("eval", 2), ("train", 4)):
        model = seeded_model(depth).train(mode == "train")
        images = torch.from_numpy(seeded_images(count)).permute(0, 3, 1, 2)
        with torch.no_grad():
            stages = model.stages(images)
        for name, output in stages.items():
            array = channels_last(output)
            golden[f"{mode}/{name}"] = array if array.ndim == 2 else probe(name, array)
    for name, tensor in model.state_dict().items():
        if "running" in name:
            golden[f"moved/{name}"] = tensor.numpy()[:16]
    return golden


def odd_tensors() -> OrderedDict:
    """What state dicts hold: half types, views, shared storages, scalars, integers, empty tensors."""
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7
    return OrderedDict(
        plain=base,
        transposed=base.t(),
        row=base[1],
        half=base.half(),
        bfloat16=base.bfloat16(),
        double=base.double(),
        parameter=torch.nn.Parameter(base * 2),
        counter=torch.tensor(41),
        flags=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
    )


def main() -> None:
    for depth in (18, 50):
        np.savez_compressed(FOLDER / f"resnet{depth}.npz", **activations(depth))
    torch.save(seeded_model(18, width=1, classes=5).state_dict(), FOLDER / "small_resnet18.pth")
    torch.save(odd_tensors(), FOLDER / "odd_zip.pth")
    checkpoint = {"epoch": 3, "state_dict": odd_tensors(), "optimizer": {"momentum": torch.ones(2)}}
    torch.save(checkpoint, FOLDER / "odd_old.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
