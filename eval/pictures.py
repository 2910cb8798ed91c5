"""Pictures of a row: kept encoded, opened by content when their batch is made."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Picture:
    """An encoded picture (bytes or a file) or a drawn one. Thousands of decoded pictures would not fit in memory."""

    source: bytes | Path | Image.Image

    def open(self, max_pixels: int | None = None) -> Image.Image:
        """RGB on white, at most `max_pixels` large. Raises OSError or ValueError on a corrupt picture."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # huge and odd pictures are read, or fail below
            image = flatten(self._decode())
        if max_pixels and image.width * image.height > max_pixels:
            scale = (max_pixels / (image.width * image.height)) ** 0.5
            image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        return image

    def _decode(self) -> Image.Image:
        if isinstance(self.source, Image.Image):
            return self.source
        # The content decides, not the name: benches hold JPEG bytes in files called .png.
        with Image.open(io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source) as image:
            image.load()
            return image

    def content(self) -> bytes:
        """What identifies the picture: its encoded bytes, or the pixels of a drawn one."""
        if isinstance(self.source, Image.Image):
            return self.source.tobytes()
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


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
