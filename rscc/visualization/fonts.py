"""Fonts for pictures: DejaVu (shipped with matplotlib), and a Chinese one where there is one."""
import os
import re
from functools import cache
from pathlib import Path

from PIL import ImageFont

from rscc.utils.logging import warn_once

#: Parts of font file names that hold Chinese, best looking first.
_CJK_NAMES = ('notosanscjk', 'notosanssc', 'sourcehansans', 'pingfang', 'msyh', 'hiraginosansgb',
              'wqy-microhei', 'wqy-zenhei', 'notoserifcjk', 'notoserifsc', 'stheiti', 'simhei',
              'simsun', 'droidsansfallback', 'arialunicode', 'unifont')
_CJK_CLASS = '[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]'
_CJK = re.compile(_CJK_CLASS)


def has_cjk(text: str) -> bool:
    """Tell whether ``text`` holds Chinese characters or punctuation."""
    return _CJK.search(text) is not None


@cache
def find_cjk_font() -> Path | None:
    """Return a font file that draws Chinese, or None.

    ``RSCC_FONT`` names one; otherwise the system's fonts are searched.

    Raises:
        FileNotFoundError: If ``RSCC_FONT`` is set to something that is not a file.
    """
    named = os.environ.get('RSCC_FONT')
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"RSCC_FONT names '{named}', which is not a file; expected a "
                                    '.ttf, .otf or .ttc font that holds Chinese characters')
        return Path(named)
    for font in _ranked(_system_fonts()):
        if _draws_chinese(font):
            return font
    return None


def _system_fonts() -> list[Path]:
    from matplotlib import font_manager
    return sorted(Path(font) for font in font_manager.findSystemFonts())


def _ranked(fonts: list[Path]) -> list[Path]:
    """Keep fonts of known Chinese families, best first; regular weights before others."""
    found = []
    for font in fonts:
        name = font.name.lower().replace(' ', '')
        rank = next((i for i, part in enumerate(_CJK_NAMES) if part in name), None)
        if rank is not None:
            found.append((rank, 'regular' not in name, str(font), font))
    return [entry[-1] for entry in sorted(found)]


def _draws_chinese(path: Path) -> bool:
    """Check for real glyphs: characters a font lacks all come out as the same box."""
    try:
        face = ImageFont.truetype(str(path), 24)
        first, second = bytes(face.getmask('前')), bytes(face.getmask('楼'))
    except OSError:
        return False
    return first != second and any(first)


@cache
def warn_without_cjk() -> None:
    """Warn once that Chinese cannot be drawn, and say how to change that."""
    warn_once(
        'no font with Chinese characters was found: pictures keep English labels and show Chinese '
        'sentences as boxes. Install one (Debian: apt install fonts-noto-cjk) or set RSCC_FONT '
        'to a font file.')


@cache
def load_font(size: int, bold: bool = False, cjk: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font of ``size`` pixels; ``cjk`` asks for one that draws Chinese, if any does."""
    chinese = find_cjk_font() if cjk else None
    if chinese is not None:
        return ImageFont.truetype(str(chinese), size)
    import matplotlib
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    bundled = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name
    return (ImageFont.truetype(str(bundled), size)
            if bundled.is_file() else ImageFont.load_default(size))


def font_for(text: str, size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that draws ``text``; warns once where Chinese cannot be drawn."""
    cjk = has_cjk(text)
    if cjk and find_cjk_font() is None:
        warn_without_cjk()
    return load_font(size, bold, cjk)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` pixels.

    Latin words stay whole unless one alone is too long; Chinese breaks after any character.
    """
    lines, line = [], ''
    for piece in _pieces(' '.join(text.split()), font, width):
        if line and font.getlength((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ''
        line = (line + piece).lstrip()
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _pieces(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Split into words, blanks and single Chinese characters; cut what is wider than a line."""
    pieces = []
    for piece in re.findall(rf'{_CJK_CLASS}|\s+|(?:(?!{_CJK_CLASS})\S)+', text):
        pieces.extend([piece] if font.getlength(piece) <= width else piece)
    return pieces
