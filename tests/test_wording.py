"""What is said of data can be shown on any terminal, whatever a file is called."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxal.data.dataset import DataError, Dataset
from jaxal.data.wording import count, few, is_utf8, printable

HOSTILE = "a\x1b[2J\x07\nb\u202ec\udcff"  # clears the screen, rings, turns the text round, is not UTF-8
SHOWN = r"a\x1b[2J\x07\nb\u202ec\udcff"


@given(st.text())
def test_anything_becomes_printable_and_what_is_stays(text):
    shown = printable(text)
    assert shown.isprintable()
    assert is_utf8(shown)
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_nothing_that_a_terminal_obeys_leaves_a_data_set():
    assert printable(HOSTILE) == SHOWN
    assert not is_utf8(HOSTILE) and is_utf8("é ü 細胞")
    with pytest.raises(DataError) as caught:
        raise DataError(f"{HOSTILE}: no such file")
    assert str(caught.value) == f"{SHOWN}: no such file"
    dataset = Dataset(HOSTILE, np.zeros((2, 1), np.float32), np.arange(2), ("fine", HOSTILE)).noting(HOSTILE)
    assert (dataset.name, dataset.classes, dataset.notices) == (SHOWN, ("fine", SHOWN), (SHOWN,))


def test_lists_are_short():
    assert few(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert (count(["a"]), count("ab", "image")) == ("1 file", "2 images")
