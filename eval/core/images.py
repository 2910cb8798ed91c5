"""Pictures of a row: kept encoded, opened by content when their batch is made."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST = 2 * 89_478_485  # pixels as stored: above it PIL itself suspects a bomb
SHOWN = 1 << 25  # pixels that a model is shown at most: above any processor's own limit and any picture of the benches
TOO_LARGE = f"over {LARGEST // 1_000_000} million pixels; make it smaller"
ASPECT = 200  # long side over short one, above which Qwen's processors refuse a picture
# Of others PIL would read some by starting a program (EPS), or without an end (MPEG).
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")


class Unusable(ValueError):
    """Why a picture cannot be shown to a model, in a few words."""


@dataclass(frozen=True, repr=False)
class Picture:
    """An encoded picture (bytes or a file) or a drawn one. Thousands of decoded pictures would not fit in memory."""

    source: bytes | Path | Image.Image

    def __repr__(self) -> str:
        """By content: lm-eval writes it into its samples, where all bytes would be too many and an address random."""
        return f"Picture({hashlib.sha256(self.content()).hexdigest()[:16]})"

    def open(self, max_pixels: int | None = None) -> Image.Image:
        """The first frame, upright, RGB on white, at most `max_pixels` large, and never more than SHOWN.

        Hence bounded time and memory, whatever the picture. Raises Unusable for more pixels than LARGEST, for a shape
        beyond ASPECT, another format than FORMATS, and whatever a decoder stumbles over.
        """
        with self._told():
            image = flatten(self._decode(max_pixels))
            if max_pixels and image.width * image.height > max_pixels:
                return image.resize(_size(image, max_pixels))
            return image

    def fault(self) -> str | None:
        """Why `open` would fail, None where it does not: tried once, before a model loads."""
        try:
            self.open()
        except Unusable as error:
            return str(error)
        return None

    def header(self) -> tuple[str, int]:
        """PIL's mode and the number of pixels as stored, without decoding one. Raises Unusable."""
        with self._told():
            image = self._stored()
            return image.mode, image.width * image.height

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What decoders raise as Unusable; odd pictures are read without a warning."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Unusable:
            raise
        except UnidentifiedImageError:  # its own message is the address of a buffer
            raise Unusable("no picture in a known format" if self.content() else "empty") from None
        except Image.DecompressionBombError:
            raise Unusable(TOO_LARGE) from None
        except Exception as error:  # decoders raise whatever they stumble over in a damaged file
            raise Unusable(" ".join(str(error).split())[:80] or type(error).__name__) from None

    def _stored(self) -> Image.Image:
        """Undecoded. The content decides what it is: benches hold JPEG bytes in files named .png."""
        if isinstance(self.source, Image.Image):
            return self.source
        source = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        return Image.open(source, formats=FORMATS)

    def _decode(self, max_pixels: int | None) -> Image.Image:
        image = self._stored()
        if image.width * image.height > LARGEST:
            raise Unusable(TOO_LARGE)
        long, short = max(image.size), min(image.size)
        if long > ASPECT * short:
            raise Unusable(f"{image.width} x {image.height} pixels: over {ASPECT} times as long as wide")
        if isinstance(self.source, Image.Image):
            return image
        with image:
            if image.width * image.height > SHOWN:
                return _reduced(image, min(max_pixels or SHOWN, SHOWN))
            ImageOps.exif_transpose(image, in_place=True)  # loads it, too
            return image

    def content(self) -> bytes:
        """What identifies the picture: its encoded bytes, or the pixels of a drawn one."""
        if isinstance(self.source, Image.Image):
            return self.source.tobytes()
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def _reduced(image: Image.Image, pixels: int) -> Image.Image:
    """A huge picture at most `pixels` large and upright: it is turned and coloured when it is small."""
    size = _size(image, pixels)
    image.draft(None, size)  # a JPEG is decoded at a fraction
    small = flatten(image) if image.mode in ("P", "PA") or image.mode.startswith("I") else image
    small = small.convert("L") if small.mode == "1" else small
    small = small.resize(size, reducing_gap=2.0)
    ImageOps.exif_transpose(small, in_place=True)
    return small


def _size(image: Image.Image, max_pixels: int) -> tuple[int, int]:
    scale = (max_pixels / (image.width * image.height)) ** 0.5
    return max(1, int(image.width * scale)), max(1, int(image.height * scale))


def flatten(image: Image.Image) -> Image.Image:
    """RGB, with whatever is transparent laid on white: a plain conversion would show it black."""
    if image.mode == "RGB":
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode == "I":  # 16-bit grey: a plain conversion clips to white
        return image.point(lambda v: v / 256).convert("L").convert("RGB")
    return image.convert("RGB")
