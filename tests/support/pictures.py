"""Pictures that would not fit in memory."""

import struct
import zlib


def uniform_png(width: int, height: int, rows: int) -> bytes:
    """A white PNG of one bit a pixel, made without holding its pixels; only `rows` of its rows are there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row, packer = b"\0" + b"\xff" * ((width + 7) // 8), zlib.compressobj(1)
    body = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
