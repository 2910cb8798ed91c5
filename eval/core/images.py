"""Pictures of a row: kept encoded, opened by content when their batch is made."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST = 2 * 89_478_485  # pixels that are opened when nothing shrinks them: where PIL itself suspects a bomb
LARGEST_SHRUNK = 1_000_000_000  # pixels that are opened to be shrunk: one to four bytes of memory each
_pil_limit = Lock()


@dataclass(frozen=True, repr=False)
class Picture:
    """An encoded picture (bytes or a file) or a drawn one. Thousands of decoded pictures would not fit in memory."""

    source: bytes | Path | Image.Image

    def __repr__(self) -> str:
        """By content: lm-eval writes it into its samples, where all bytes would be too many and an address random."""
        return f"Picture({hashlib.sha256(self.content()).hexdigest()[:16]})"

    def open(self, max_pixels: int | None = None) -> Image.Image:
        """The first frame, upright, RGB on white, at most `max_pixels` large.

        Raises ValueError for more than LARGEST pixels without `max_pixels` (with it LARGEST_SHRUNK); on a corrupt
        picture whatever its decoder raises.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd pictures are read, or fail below
            image = self._decode(max_pixels)
            if image.mode in ("1", "L") and not image.has_transparency_data:
                # The same picture as below, but a huge scan is coloured when it is small.
                return flatten(_shrunk(image.convert("L"), max_pixels))
            return _shrunk(flatten(image), max_pixels)

    def fault(self, max_pixels: int | None = None) -> str | None:
        """Why `open` would fail, None where it does not: tried once, before a model loads."""
        try:
            self.open(max_pixels)
        except UnidentifiedImageError:  # its own message is the address of a buffer
            return "no picture in a known format" if self.content() else "empty"
        except Exception as error:  # decoders raise whatever they stumble over in a damaged file
            return " ".join(str(error).split())[:80] or type(error).__name__
        return None

    def header(self) -> tuple[str, int]:
        """PIL's mode and the number of pixels as stored, without decoding one."""
        if isinstance(self.source, Image.Image):
            return self.source.mode, self.source.width * self.source.height
        with warnings.catch_warnings(), _opened(self.source) as image:
            warnings.simplefilter("ignore")
            return image.mode, image.width * image.height

    def _decode(self, max_pixels: int | None) -> Image.Image:
        if isinstance(self.source, Image.Image):
            return self.source
        # The content decides, not the name: benches hold JPEG bytes in files called .png.
        with _opened(self.source) as image:
            pixels = image.width * image.height
            if pixels > LARGEST:
                if not max_pixels or pixels > LARGEST_SHRUNK:
                    raise ValueError(f"{pixels} pixels; with eval.max_pixels set up to {LARGEST_SHRUNK} are shrunk")
                image.draft(None, _size(image, max_pixels))  # a JPEG is decoded at a fraction: less memory
            ImageOps.exif_transpose(image, in_place=True)  # loads it, too
            return image

    def content(self) -> bytes:
        """What identifies the picture: its encoded bytes, or the pixels of a drawn one."""
        if isinstance(self.source, Image.Image):
            return self.source.tobytes()
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def _opened(source: bytes | Path) -> Image.Image:
    """`Image.open` reads the header only; without PIL's limit, which is the program's and not a picture's."""
    with _pil_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _size(image: Image.Image, max_pixels: int) -> tuple[int, int]:
    scale = (max_pixels / (image.width * image.height)) ** 0.5
    return max(1, int(image.width * scale)), max(1, int(image.height * scale))


def _shrunk(image: Image.Image, max_pixels: int | None) -> Image.Image:
    if not max_pixels or image.width * image.height <= max_pixels:
        return image
    return image.resize(_size(image, max_pixels))


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
