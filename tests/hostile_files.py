"""Files that a stranger might send: small on the disk, large or false inside."""
import struct
import zlib


def chunk(kind, data):
    body = kind + data
    return struct.pack('>I', len(data)) + body + struct.pack('>I', zlib.crc32(body))


def png(width, height, rows=None):
    """Return a PNG that promises a size; its pixels are those of ``rows`` black rows."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes((rows or 1) * (3 * min(width, 10_000) + 1)), 9)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixels) + chunk(
        b'IEND', b'')


def tiff(*images, bands=3, bits=8):
    """Return a TIFF without pixels of several images: (width, height) or with (tile side)."""
    start, places = 8, []
    for image in images:
        tags = _tags(image, bands, bits)
        places.append((start, tags))
        start += 2 + 12 * len(tags) + 4
    body = struct.pack('<2sHI', b'II', 42, 8)
    for number, (place, tags) in enumerate(places):
        following = places[number + 1][0] if number + 1 < len(places) else 0
        assert len(body) == place
        body += struct.pack('<H', len(tags)) + b''.join(
            struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
        body += struct.pack('<I', following)
    return body


def looping_tiff():
    """Return a TIFF whose second image says that the first one follows."""
    body = bytearray(tiff((8, 8), (8, 8)))
    body[-4:] = struct.pack('<I', 8)
    return bytes(body)


def _tags(image, bands, bits):
    width, height, *tile = image
    tags = [(256, width), (257, height), (258, bits), (262, 2), (277, bands)]
    return sorted([*tags, (322, tile[0]), (323, tile[0])] if tile else tags)


def webp(width, height):
    """Return the start of an extended WebP of a size."""
    body = b'VP8X' + struct.pack('<I', 10) + bytes(4) + (width - 1).to_bytes(3, 'little') + (
        height - 1).to_bytes(3, 'little')
    return b'RIFF' + struct.pack('<I', len(body) + 4) + b'WEBP' + body
