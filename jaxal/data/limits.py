"""Limits that an image must keep before its pixels are decoded, so that a small file cannot fill the memory or hang."""

MAX_PIXELS = 89_478_485  # Pillow's own line beyond which a picture is taken for a decompression bomb
TOO_LARGE = f"more than {MAX_PIXELS:,} pixels"
MAX_ASPECT = 50  # of the longer side to the shorter; `resize` makes a whole picture of the shorter side's scale
LARGE = 1 << 24  # pixels (4,096 x 4,096) up to which a picture may be as empty as it likes
DENSEST = 16  # pixels a byte in a larger one that is packed without loss; lossy formats make less of an empty picture
MOST_PASSES = 1 << 31  # pixels times scans of a JPEG, each of which is a pass over the whole picture


def check_size(width: int, height: int, stored: int | None = None) -> None:
    """Raise ValueError for a picture that is too large to be decoded, or too long to be resized.

    stored: bytes that the whole picture is packed into without loss.
    """
    if width * height > MAX_PIXELS:
        raise ValueError(TOO_LARGE)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"{width:,} x {height:,} pixels: no square to be seen in it")
    if stored is not None and width * height > max(LARGE, DENSEST * stored):
        raise ValueError(f"{width:,} x {height:,} pixels in {stored:,} bytes: empty, or made to fill the memory")


def check_scans(data: bytes, width: int, height: int) -> None:
    """Raise ValueError for a JPEG that takes minutes to decode. A marker's bytes stand nowhere else in its stream."""
    scans = data.count(b"\xff\xda")
    if scans * width * height > MOST_PASSES:
        raise ValueError(f"a JPEG of {scans:,} scans")
