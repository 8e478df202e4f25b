"""`.npz` files under other names, and that a small one cannot fill the memory."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from jaxal.data.dataset import DataError
from jaxal.data.load import load

N = 12
X = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
Y = np.arange(N) % 3
TILES = np.random.default_rng(1).integers(0, 256, (N, 8, 8), np.uint8)


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(str(path))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


@pytest.mark.parametrize(
    "inputs, labels", [("X_{}", "y_{}"), ("x_{}", "y_{}"), ("{}_data", "{}_labels"), ("images_{}", "labels_{}")]
)
def test_parts_of_a_split(tmp_path, inputs, labels):
    parts = {"train": slice(0, 6), "val": slice(6, 8), "test": slice(8, 12)}
    arrays = {inputs.format(name): X[rows] for name, rows in parts.items()}
    arrays |= {labels.format(name): Y[rows] for name, rows in parts.items()}
    np.savez(tmp_path / "a.npz", class_names=["a", "b", "c"], **arrays)
    dataset = load(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(dataset.inputs, X)
    np.testing.assert_array_equal(dataset.labels, Y)
    assert dataset.classes == ("a", "b", "c")
    assert dataset.official is not None
    assert dataset.official.tolist() == ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    assert dataset.notices[1].startswith("official split from ")


def test_medmnist(tmp_path):
    """The keys and shapes of its files: labels [n, 1] uint8, images grey or in colour."""
    rows = {"train": slice(0, 6), "val": slice(6, 9), "test": slice(9, 12)}
    arrays = {f"{name}_images": TILES[part] for name, part in rows.items()}
    arrays |= {f"{name}_labels": Y[part, None].astype(np.uint8) for name, part in rows.items()}
    np.savez_compressed(tmp_path / "pathmnist.npz", **arrays)
    dataset = load(str(tmp_path / "pathmnist.npz"))
    np.testing.assert_array_equal(dataset.inputs[..., 0], TILES)
    np.testing.assert_array_equal(dataset.labels, Y)
    assert dataset.notices[0] == "12 images, 3 classes: 0 4, 1 4, 2 4; official split: train 6, val 3, test 3"
    many = {
        name: np.eye(3)[Y[rows[name.split("_")[0]]]] if "labels" in name else array for name, array in arrays.items()
    }
    many["train_labels"][0] = [1, 1, 0]
    np.savez_compressed(tmp_path / "chestmnist.npz", **many)
    assert "y is one-hot, and 1 rows have no class or several" in error_of(tmp_path / "chestmnist.npz")


def test_parts_that_do_not_fit_together(tmp_path):
    np.savez(tmp_path / "a.npz", X_train=X, y_train=Y, X_test=X[:, :2], y_test=Y)
    assert "the parts of its split do not fit together ((12, 3) float32, (12, 2) float32)" in error_of(
        tmp_path / "a.npz"
    )
    np.savez(tmp_path / "b.npz", X_train=X, y_train=Y, X_test=X, y_test=Y.astype(str))
    assert "do not fit together" in error_of(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", X_train=X, y_test=Y)
    assert "no array X and no array y; it has X_train, y_test" in error_of(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", X_train=X, y_train=Y, X_test=X)
    assert load(str(tmp_path / "d.npz")).notices[2] == "not used in d.npz: X_test"


@pytest.mark.parametrize("case", ["Train", "TRAIN ", "train"])
def test_splits_in_any_case(tmp_path, case):
    np.savez(tmp_path / "a.npz", X=X, y=Y, split=np.array([case, "Testing"] * 6))
    dataset = load(str(tmp_path / "a.npz"))
    assert dataset.official is not None and dataset.official.tolist() == ["train", "test"] * 6


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_matrices(tmp_path, form):
    dense = np.where(np.random.default_rng(2).random((N, 5)) < 0.3, 1.5, 0)
    path = tmp_path / "sparse.npz"
    sparse.save_npz(path, sparse.csr_matrix(dense).asformat(form))
    message = error_of(path)
    assert (
        "a sparse matrix without labels; put y beside it: np.savez('with_labels.npz', y=y, **np.load('sparse.npz'))"
        in message
    )
    np.savez(tmp_path / "with_labels.npz", y=Y, **np.load(path))  # as it says
    dataset = load(str(tmp_path / "with_labels.npz"))
    np.testing.assert_array_equal(dataset.inputs, dense.astype(np.float32))
    assert "a sparse matrix, made dense" in dataset.notices


def test_sparse_matrices_that_lie(tmp_path):
    path = tmp_path / "a.npz"
    good = {
        "data": np.ones(2),
        "indices": np.array([0, 1]),
        "indptr": np.array([0, 1, 2]),
        "format": b"csr",
        "y": Y[:2],
    }
    for bad, wanted in (
        ({"shape": [2, 10**9]}, "a sparse matrix of shape (2, 1000000000); at most"),
        ({"shape": [2, 2], "format": b"dia"}, "a sparse matrix of format dia"),
        ({"shape": [2, 2], "indices": np.array([0, 7])}, "broken"),
        ({"shape": [2, 2], "indptr": np.array([0, 10**9, 2])}, "broken"),
        ({"shape": [[2]]}, "of shape (2,)"),
    ):
        np.savez(path, **{**good, **bad})
        assert wanted in error_of(path)


def test_a_small_file_cannot_fill_the_memory(tmp_path, monkeypatch):
    """Three megabytes that would be gigabytes are refused by the header: nothing is unpacked."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, X=np.zeros((300, 1_000_000), np.uint8), y=np.arange(300) % 2)
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(np.lib.format, "read_array", None)
    message = error_of(path)
    assert "X takes 1,200,000,000 bytes in memory from" in message
    assert "if it is meant, write it with np.savez, not compressed" in message


def test_data_that_packs_well_is_read(tmp_path):
    path = tmp_path / "ones.npz"
    many = np.zeros((2000, 5000), np.uint8)
    many[np.arange(2000), np.arange(2000) % 7] = 1
    np.savez_compressed(path, X=many, y=np.arange(2000) % 2)
    assert load(str(path)).inputs.shape == (2000, 5000)
