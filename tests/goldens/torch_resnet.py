"""torchvision's ResNet in PyTorch, same tensor names and same arithmetic, for goldens and for timing.

Written from the published architecture because torchvision is not needed for anything else here.
"""

import torch
from torch import nn

DEPTHS = {18: ((2, 2, 2, 2), False), 50: ((3, 4, 6, 3), True)}


class Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        plan = [(3, width, stride), (3, width, 1)]
        if bottleneck:
            plan = [(1, width, 1), (3, width, stride), (1, outputs, 1)]
        self.count = len(plan)
        channels = inputs
        for i, (size, out, step) in enumerate(plan, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(channels, out, size, step, size // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(out))
            channels = out
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = torch.relu(y)
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, depth: int, width: int = 64, classes: int = 1000):
        super().__init__()
        stages, bottleneck = DEPTHS[depth]
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for i, count in enumerate(stages):
            blocks = []
            for b in range(count):
                blocks.append(Block(channels, width * 2**i, 2 if i and b == 0 else 1, bottleneck))
                channels = width * 2**i * (4 if bottleneck else 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def stages(self, x) -> dict[str, torch.Tensor]:
        """The output of the stem, of each stage, the latents and the logits."""
        out = {"stem": self.maxpool(torch.relu(self.bn1(self.conv1(x))))}
        x = out["stem"]
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = out[name] = getattr(self, name)(x)
        out["latents"] = x.mean((2, 3))
        out["logits"] = self.fc(out["latents"])
        return out

    def forward(self, x):
        return self.stages(x)["latents"]
