"""What the benches' pictures are like: transparent, mislabelled, rotated, huge, damaged."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.core import images
from eval.core.images import Picture, Unusable, flatten
from tests.support.pictures import uniform_png

WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Picture(buffer.getvalue())


def pixels(image: Image.Image) -> list[Any]:
    assert image.mode == "RGB"
    return [image.getpixel((x, y)) for y in range(image.height) for x in range(image.width)]


def pair(left: Any, right: Any, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (2, 1), left)
    image.putpixel((1, 0), right)
    return image


def test_transparent_and_palette_pictures_lie_on_white() -> None:
    half = pair((255, 0, 0, 255), (0, 0, 0, 0), "RGBA")
    assert pixels(encoded(half).open()) == [RED, WHITE]
    palette = half.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    assert pixels(encoded(palette).open()) == [RED, BLACK]
    clear = palette.getpixel((1, 0))
    assert pixels(encoded(palette, transparency=clear).open()) == [RED, WHITE]
    assert pixels(encoded(pair(0, 255, "L"), transparency=0).open()) == [WHITE, WHITE]
    assert flatten(Image.new("LA", (1, 1), (7, 255))).getpixel((0, 0)) == (7, 7, 7)
    translucent = Image.new("RGBA", (1, 1), (0, 0, 0, 51))  # a fifth of black on white
    assert flatten(translucent).getpixel((0, 0)) == (204, 204, 204)


@pytest.mark.parametrize("max_pixels", [None, 100])
def test_every_other_kind_of_colour_becomes_rgb(max_pixels: int | None) -> None:
    deep = Image.new("I;16", (1, 1), 65535)
    assert pixels(encoded(deep).open(max_pixels)) == [WHITE]
    assert pixels(encoded(Image.new("I;16", (1, 1), 128 * 256)).open(max_pixels)) == [(128, 128, 128)]
    assert pixels(encoded(Image.new("1", (1, 1), 1)).open(max_pixels)) == [WHITE]
    assert pixels(encoded(Image.new("L", (1, 1), 7)).open(max_pixels)) == [(7, 7, 7)]
    paper = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG").open(max_pixels)
    assert paper.getpixel((4, 4)) == WHITE
    ink = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG").open(max_pixels)
    assert ink.getpixel((4, 4)) == BLACK


def test_a_picture_is_turned_upright_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is stored on the left belongs on top
    assert pixels(encoded(pair(RED, BLUE), exif=exif).open()) == [RED, BLUE]
    assert encoded(pair(RED, BLUE), exif=exif).open().size == (1, 2)
    exif[0x0112] = 3
    assert pixels(encoded(pair(RED, BLUE), exif=exif).open()) == [BLUE, RED]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_a_film_the_first_frame_is_shown(kind: str) -> None:
    first, second = Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)
    lossless = {"lossless": True} if kind == "WEBP" else {}
    film = encoded(first, kind, save_all=True, append_images=[second], **lossless)
    assert film.open().getpixel((1, 1)) == RED


def test_the_content_not_the_name_says_what_a_file_is(tmp_path: Path) -> None:
    Image.new("L", (8, 6), 7).save(tmp_path / "a.png", "JPEG")
    picture = Picture(tmp_path / "a.png")
    assert picture.open().getpixel((0, 0)) == (7, 7, 7)
    assert repr(picture) == repr(Picture((tmp_path / "a.png").read_bytes()))
    assert len(repr(picture)) < 40


def test_max_pixels_shrinks_and_keeps_the_shape() -> None:
    picture = encoded(Image.new("RGB", (8, 6), RED))
    assert picture.open(48).size == (8, 6)
    assert picture.open(12).size == (4, 3)
    grey = encoded(Image.effect_noise((40, 30), 60))
    assert pixels(grey.open(300)) == pixels(flatten(grey.open().resize((20, 15))))


def test_huge_pictures_are_shrunk_or_refused_in_one_line() -> None:
    longest = encoded(Image.new("L", (8526, 2522), 128), "JPEG")  # MATH-Vision's largest: 21.5 million pixels
    assert longest.open().size == (8526, 2522)
    assert longest.open(1_000_000).size == (1838, 543)
    large = Picture(uniform_png(12_000, 9_000, rows=9_000))
    small = large.open(10_000)
    assert small.size == (115, 86)
    assert small.getpixel((100, 60)) == WHITE
    assert large.open().size == (6688, 5016), "more than 2 ** 25 pixels are shown to no model"
    bomb = Picture(uniform_png(20_000, 9_001, rows=1))  # over twice PIL's limit, where PIL refuses
    for read in (bomb.open, lambda: bomb.open(10_000), bomb.header):
        with pytest.raises(Unusable, match=r"^over 178 million pixels; make it smaller$"):
            read()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
def test_a_huge_picture_is_turned_and_coloured_as_a_small_one(
    kind: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "JPEG" and mode in ("P", "1", "RGBA"):
        return
    left, right = Image.new("L", (200, 200), 255), Image.new("L", (200, 200), 0)
    picture = Image.new("L", (400, 200))
    picture.paste(left, (0, 0))
    picture.paste(right, (200, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # what is stored on the left belongs on top
    stored = encoded(picture.convert(mode), kind, exif=exif)
    expected = stored.open(5_000)
    monkeypatch.setattr(images, "SHOWN", 20_000)
    found = stored.open(5_000)
    assert found.size == expected.size == (50, 100)
    for y in (20, 80):
        assert found.getpixel((25, y)) == pytest.approx(expected.getpixel((25, y)), abs=3)
    assert stored.open().size == (100, 200)


def test_a_huge_jpeg_is_decoded_at_a_fraction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SHOWN", 100_000)
    decoded = []
    monkeypatch.setattr(images, "flatten", lambda image: decoded.append(image.size) or image)
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda i, *a, **k: decoded.append(i.size) or resize(i, *a, **k))
    encoded(Image.new("RGB", (800, 400), RED), "JPEG").open(3_000)
    assert decoded[0] == (100, 50)


@pytest.mark.parametrize(("size", "fine"), [((2, 400), True), ((2, 401), False), ((900, 2), False), ((1, 1), True)])
def test_a_picture_over_200_times_as_long_as_wide_is_none(size: tuple[int, int], fine: bool) -> None:
    fault = encoded(Image.new("RGB", size)).fault()
    assert fault == (None if fine else f"{size[0]} x {size[1]} pixels: over 200 times as long as wide")


def test_a_fault_is_said_before_anything_needs_the_picture(tmp_path: Path) -> None:
    sound = encoded(Image.new("RGBA", (8, 6), RED))
    assert (sound.fault(), sound.header()) == (None, ("RGBA", 48))
    assert isinstance(sound.source, bytes)
    assert Picture(sound.source[:-30]).fault() is not None
    assert Picture(b"no picture").fault() == "no picture in a known format"
    (tmp_path / "empty.png").touch()
    assert Picture(tmp_path / "empty.png").fault() == "empty"
