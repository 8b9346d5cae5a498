"""Valid and invalid images, each with the expected result.

`GOOD` gives the bytes of an image and the image that has to be classified; `BAD` the bytes of what
has to be refused and a part of the message.
"""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageOps

from hf_lesion.synthetic.lesions import draw_lesion

PLAIN = draw_lesion("mel", seed=3)[0]
NO_IMAGE = "isn't an image, or is damaged. Use JPEG or PNG."
DAMAGED = "can't be read as an image"
# By the tag's value: how the stored image is turned, and how it is turned back.
LAID = {
    3: (Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_180),
    6: (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270),
    8: (Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_90),
}


def save(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rotated(orientation):
    """Return a PNG with the tag that says how it has to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(PLAIN, "PNG", exif=exif)


def photo(orientation):
    """Return a JPEG that a camera held on its side writes, and the image as it was seen."""
    lay, lift = LAID[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = save(PLAIN.transpose(lay), "JPEG", quality=95, exif=exif)
    # Without what says how to turn it: it was turned.
    return content, Image.fromarray(np.asarray(reopened(content))).transpose(lift)


def upright(orientation):
    image = PLAIN.copy()
    image.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(image)


def grey():
    return PLAIN.convert("L")


def sixteen_bit(kind="PNG"):
    values = np.asarray(grey()).astype(np.uint16) * 257
    return save(Image.fromarray(values), kind)


def on_white(alpha):
    rgba = PLAIN.copy()
    rgba.putalpha(alpha)
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def with_alpha(alpha, kind="PNG", **options):
    rgba = PLAIN.copy()
    rgba.putalpha(alpha)
    return save(rgba, kind, **options)


def palette_with_alpha():
    palette = PLAIN.quantize(64)
    return save(palette, "PNG", transparency=0)


def reopened(content):
    return Image.open(io.BytesIO(content))


def animated(kind):
    frames = [PLAIN, Image.new("RGB", PLAIN.size, "red"), Image.new("RGB", PLAIN.size, "blue")]
    return save(frames[0], kind, save_all=True, append_images=frames[1:])


def png_of_size(width, height):
    """Return a PNG that says it is large and holds next to nothing."""

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def true_bomb(side):
    """Return a whole white PNG of side² pixels: small to send, large to unpack."""
    return save(Image.new("1", (side, side), 1), "PNG")


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.png", PNG)
    return stream.getvalue()


def text_bomb():
    """Return a PNG with a comment that unpacks to 100 MB."""
    comment = b"c\0\0" + zlib.compress(bytes(100 * 2**20))
    chunk = struct.pack(">I", len(comment)) + b"zTXt" + comment
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + comment))
    return PNG[:33] + chunk + PNG[33:]


PNG, JPEG = save(PLAIN, "PNG"), save(PLAIN, "JPEG", quality=95)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(100)
HALF_CLEAR = Image.linear_gradient("L").resize(PLAIN.size)

GOOD = {
    "plain.png": (PNG, PLAIN),
    "plain.jpg": (JPEG, reopened(JPEG)),
    "plain.webp": (save(PLAIN, "WEBP", lossless=True), PLAIN),
    "plain.bmp": (save(PLAIN, "BMP"), PLAIN),
    "plain.tif": (save(PLAIN, "TIFF"), PLAIN),
    "png renamed.jpg": (PNG, PLAIN),
    "no suffix": (PNG, PLAIN),
    "grey.png": (save(grey(), "PNG"), grey().convert("RGB")),
    "one bit.png": (save(PLAIN.convert("1"), "PNG"), PLAIN.convert("1").convert("RGB")),
    "sixteen bit.png": (sixteen_bit(), grey().convert("RGB")),
    "sixteen bit.tif": (sixteen_bit("TIFF"), grey().convert("RGB")),
    "cmyk.jpg": (save(PLAIN.convert("CMYK"), "JPEG", quality=95), None),
    "palette.png": (save(PLAIN.quantize(64), "PNG"), PLAIN.quantize(64).convert("RGB")),
    "palette with alpha.png": (palette_with_alpha(), None),
    "half clear.png": (with_alpha(HALF_CLEAR), on_white(HALF_CLEAR)),
    "all clear.png": (
        with_alpha(Image.new("L", PLAIN.size, 0)),
        Image.new("RGB", PLAIN.size, "white"),
    ),
    "grey and alpha.png": (save(PLAIN.convert("LA"), "PNG"), grey().convert("RGB")),
    "animated.gif": (animated("GIF"), None),
    "animated.webp": (animated("WEBP"), None),
    "animated.png": (animated("PNG"), PLAIN),
    "progressive.jpg": (save(PLAIN, "JPEG", progressive=True), None),
    "one pixel.png": (
        save(Image.new("RGB", (1, 1), "brown"), "PNG"),
        Image.new("RGB", (1, 1), "brown"),
    ),
    "thin.png": (
        save(Image.new("RGB", (1, 10_000), "brown"), "PNG"),
        Image.new("RGB", (1, 10_000), "brown"),
    ),
    "wide.png": (
        save(Image.new("RGB", (10_000, 1), "brown"), "PNG"),
        Image.new("RGB", (10_000, 1), "brown"),
    ),
    "with a profile.jpg": (save(PLAIN, "JPEG", quality=95, icc_profile=b"no profile"), None),
    "jpeg and more.jpg": (JPEG + zipped(), reopened(JPEG)),
    **{f"turned {o}.png": (rotated(o), upright(o)) for o in range(1, 9)},
    **{f"photo {o}.jpg": photo(o) for o in LAID},
}
BAD = {
    "empty.png": (b"", "empty.png is empty."),
    "words.jpg": (b"These are words, not pixels.", NO_IMAGE),
    "noise.png": (np.random.default_rng(0).bytes(5000), NO_IMAGE),
    "sign only.png": (PNG[:8], DAMAGED),
    "header only.png": (PNG[:33], DAMAGED),
    "truncated.png": (PNG[: len(PNG) // 2], DAMAGED),
    "truncated.jpg": (JPEG[: len(JPEG) // 2], DAMAGED),
    "truncated.webp": (save(PLAIN, "WEBP")[:500], DAMAGED),
    "truncated.gif": (animated("GIF")[:200], DAMAGED),
    "zeroed.png": (PNG[:60] + bytes(len(PNG) - 60), DAMAGED),
    "drawing.svg": (SVG, "an SVG drawing or a web page"),
    "drawing.png": (SVG, "an SVG drawing or a web page"),
    "page.jpg": (b"<!doctype html><html><body>hello</body></html>", "a web page"),
    "photo.heic": (HEIC, "is a HEIC photo or a video. Save it as JPEG or PNG."),
    "photo.jpg": (HEIC, "is a HEIC photo or a video. Save it as JPEG or PNG."),
    "scan.pdf": (b"%PDF-1.7\n" + bytes(100), "is a PDF. Use JPEG or PNG."),
    "program.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file"),
    "images.zip": (zipped(), "is a zip file. Use the Batch tab for zips."),
    "packed.gz": (b"\x1f\x8b" + bytes(50), "a compressed file"),
    "pickle.png": (b"\x80\x04\x95cos\nsystem\n", NO_IMAGE),
    "numbers.npy": (b"\x93NUMPY\x01\0" + bytes(80), NO_IMAGE),
    "floating.tif": (
        save(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"),
        "8 or 16 bits",
    ),
    "bomb 13,000.png": (true_bomb(13_000), "has 13000×13000 pixels; at most 40 million"),
    "bomb 30,000.png": (png_of_size(30_000, 30_000), "too many pixels"),
    "bomb 65,000.png": (png_of_size(65_000, 65_000), "too many pixels"),
    "no width.png": (png_of_size(0, 5), DAMAGED),
    "text bomb.png": (text_bomb(), DAMAGED),
    "<img src=x onerror=alert(1)>.png": (b"words", NO_IMAGE),
    "<script>alert(1)</script>.jpg": (b"words", NO_IMAGE),
    "..\\..\\windows.png": (b"words", NO_IMAGE),
    "../../etc/passwd": (b"words", NO_IMAGE),
    "x" * 200 + ".png": (b"words", NO_IMAGE),
    "Läsion № 1 💥.png": (b"words", NO_IMAGE),
}


def reference_of(name):
    """Return the image that has to be shown and classified, read without any code of ours."""
    content, image = GOOD[name]
    if image is not None:
        return image
    first = reopened(content)
    if "alpha" in name:
        rgba = first.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return first.convert("RGB")
