"""Valid and invalid images, each with the expected result.

`GOOD` gives the bytes of an image and the image that has to be classified; `BAD` the bytes of what
has to be refused and a part of the message. tests/io has all kinds of images that can be decoded.
"""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from hf_lesion.synthetic.lesions import draw_lesion

PLAIN = draw_lesion("mel", seed=3)[0]
NO_IMAGE = "isn't an image, or is damaged. Use JPEG or PNG."
DAMAGED = "can't be read as an image"


def save(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo():
    """Return a JPEG that a camera held on its side writes, and the image as it was seen."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = PLAIN.transpose(Image.Transpose.ROTATE_90)
    content = save(lying, "JPEG", quality=95, exif=exif)
    # Without what says how to turn it: it was turned.
    stored = Image.fromarray(np.asarray(Image.open(io.BytesIO(content))))
    return content, stored.transpose(Image.Transpose.ROTATE_270)


def half_clear():
    """Return a PNG that becomes clear downwards, and the image on white."""
    rgba, white = PLAIN.copy(), Image.new("RGBA", PLAIN.size, "white")
    rgba.putalpha(Image.linear_gradient("L").resize(PLAIN.size))
    return save(rgba, "PNG"), Image.alpha_composite(white, rgba).convert("RGB")


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
DOT = Image.new("RGB", (1, 1), "brown")

GOOD = {
    "plain.png": (PNG, PLAIN),
    "plain.jpg": (JPEG, Image.open(io.BytesIO(JPEG))),
    "plain.webp": (save(PLAIN, "WEBP", lossless=True), PLAIN),
    "plain.tif": (save(PLAIN, "TIFF"), PLAIN),
    "png renamed.jpg": (PNG, PLAIN),
    "half clear.png": half_clear(),
    "one pixel.png": (save(DOT, "PNG"), DOT),
    "jpeg and more.jpg": (JPEG + zipped(), Image.open(io.BytesIO(JPEG))),
    "photo.jpg": photo(),
}
BAD = {
    "empty.png": (b"", "empty.png is empty."),
    "words.jpg": (b"These are words, not pixels.", NO_IMAGE),
    "sign only.png": (PNG[:8], DAMAGED),
    "truncated.jpg": (JPEG[: len(JPEG) // 2], DAMAGED),
    "drawing.png": (SVG, "an SVG drawing or a web page"),
    "page.jpg": (b"<!doctype html><html><body>hello</body></html>", "a web page"),
    "photo.heic": (HEIC, "is a HEIC photo or a video. Save it as JPEG or PNG."),
    "scan.pdf": (b"%PDF-1.7\n" + bytes(100), "is a PDF. Use JPEG or PNG."),
    "program.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file"),
    "images.zip": (zipped(), "is a zip file. Use the Batch tab for zips."),
    "packed.gz": (b"\x1f\x8b" + bytes(50), "a compressed file"),
    "pickle.png": (b"\x80\x04\x95cos\nsystem\n", NO_IMAGE),
    "bomb 13,000.png": (true_bomb(13_000), "has 13000×13000 pixels; at most 40 million"),
    "bomb 65,000.png": (png_of_size(65_000, 65_000), "too many pixels"),
    "no width.png": (png_of_size(0, 5), DAMAGED),
    "text bomb.png": (text_bomb(), DAMAGED),
    "<img src=x onerror=alert(1)>.png": (b"words", NO_IMAGE),
    "../../etc/passwd": (b"words", NO_IMAGE),
    "Läsion № 1 💥.png": (b"words", NO_IMAGE),
}
