"""ICC profiles made by hand, and images in the colours of one: no colour library of ours in it.

The numbers of the primaries are those of the profiles that cameras and phones embed: the columns of
the matrix from linear red, green and blue to CIE XYZ, adapted to D50.
"""

import struct

import numpy as np

SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
DISPLAY_P3 = (
    (0.515121, 0.241196, -0.001053),
    (0.291977, 0.692245, 0.041885),
    (0.157104, 0.066574, 0.784073),
)
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
D50 = (0.96420, 1.0, 0.82491)


def rgb_profile(primaries, gamma=None):
    """Return a profile of these primaries; without a gamma, of sRGB's curve in 1,024 steps."""
    curve = _curve(decode(np.linspace(0, 1, 1024)) if gamma is None else gamma)
    tags = {f"{name}XYZ": _xyz(column) for name, column in zip("rgb", primaries, strict=True)}
    return _profile("mntr", "RGB ", "XYZ ", tags | {f"{name}TRC": curve for name in "rgb"})


def grey_profile(gamma):
    return _profile("mntr", "GRAY", "XYZ ", {"kTRC": _curve(gamma)})


def cmyk_profile(lab):
    """Return a profile by which each of 16 corners of the ink cube looks as a table has it.

    Args:
        lab: (2, 2, 2, 2, 3) CIELAB by cyan, magenta, yellow and black.
    """
    scaled = np.asarray(lab) * (255 / 100, 1, 1) + (0, 128, 128)
    identity = bytes(range(256))
    table = struct.pack(">4s4xBBBx9i", b"mft1", 4, 3, 2, *(65536 * (i % 4 == 0) for i in range(9)))
    table += 4 * identity + scaled.round().astype(np.uint8).tobytes() + 3 * identity
    return _profile("prtr", "CMYK", "Lab ", {"A2B0": table})


def decode(values):
    """Return linear light for sRGB values in [0, 1] (IEC 61966-2-1)."""
    values = np.asarray(values, float)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode(light):
    """Return sRGB values in [0, 1] of linear light, which is clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def to_srgb(pixels, primaries, gamma=None):
    """Return what 8-bit colours of these primaries are in sRGB: (..., 3) uint8."""
    values = np.asarray(pixels) / 255
    light = decode(values) if gamma is None else values**gamma
    matrix = np.linalg.inv(np.transpose(SRGB)) @ np.transpose(primaries)
    return (encode(light @ matrix.T) * 255).round().astype(np.uint8)


def lab_to_srgb(lab):
    """Return the 8-bit sRGB of CIELAB values under D50 (CIE 15)."""
    lightness, a, b = np.moveaxis(np.asarray(lab, float), -1, 0)
    roots = np.stack([(lightness + 16) / 116 + part for part in (a / 500, 0 * a, -b / 200)], -1)
    edge = 6 / 29
    xyz = np.where(roots > edge, roots**3, 3 * edge**2 * (roots - 4 / 29)) * D50
    return (encode(xyz @ np.linalg.inv(SRGB)) * 255).round().astype(np.uint8)


def _xyz(values):
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in values))


def _curve(curve):
    if np.ndim(curve) == 0:
        return struct.pack(">4s4xIHxx", b"curv", 1, round(256 * curve))
    steps = (np.asarray(curve) * 65535).round().astype(">u2")
    return struct.pack(">4s4xI", b"curv", len(steps)) + steps.tobytes()


def _profile(kind, space, connection, tags):
    tags = {"wtpt": _xyz(D50)} | tags
    table, content = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4x I4s4s4s 12x4s", start + len(content), 0x02400000, kind.encode(), space.encode(),
        connection.encode(), b"acsp",
    )  # fmt: skip
    header = header.ljust(68, b"\0") + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + table + content
