import pytest

from rscc.visualization import fonts


@pytest.fixture(autouse=True)
def fresh_search():
    fonts.find_cjk_font.cache_clear()
    yield
    fonts.find_cjk_font.cache_clear()


def test_named_font_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv('RSCC_FONT', '/nowhere/font.ttf')
    with pytest.raises(FileNotFoundError, match=r"RSCC_FONT names '/nowhere/font\.ttf'"):
        fonts.find_cjk_font()


def test_named_font_wins(monkeypatch, tmp_path):
    font = tmp_path / 'mine.ttf'
    font.touch()
    monkeypatch.setenv('RSCC_FONT', str(font))
    assert fonts.find_cjk_font() == font


def test_font_without_chinese_glyphs_is_not_taken(monkeypatch, tmp_path):
    import shutil

    import matplotlib
    latin = tmp_path / 'NotoSansCJK-Regular.ttf'
    shutil.copy(f'{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf', latin)
    monkeypatch.delenv('RSCC_FONT', raising=False)
    monkeypatch.setattr(fonts, '_system_fonts', lambda: [latin])
    assert fonts.find_cjk_font() is None


def test_lines_fit_the_width_and_keep_every_word():
    font = fonts.load_font(14)
    text = 'many trees are removed and several houses are built along the road'
    lines = fonts.wrap(text, font, 120)
    assert ' '.join(lines) == text and len(lines) > 2
    assert all(font.getlength(line) <= 120 for line in lines)


def test_chinese_and_endless_words_break_anywhere():
    font = fonts.load_font(14)
    for text in ('在道路两旁新建了许多房屋' * 4, 'x' * 200):
        lines = fonts.wrap(text, font, 120)
        assert ''.join(lines) == text
        assert all(font.getlength(line) <= 120 for line in lines)


def test_empty_text_is_one_empty_line():
    assert fonts.wrap('  ', fonts.load_font(14), 100) == ['']


@pytest.mark.parametrize(('text', 'expected'), [('two houses', False), ('没有变化', True),
                                                ('', False), ('café', False)])
def test_chinese_is_recognised(text, expected):
    assert fonts.has_cjk(text) is expected


def test_only_chinese_text_asks_for_a_chinese_font_and_warns_once(monkeypatch):
    searched, said = [], []
    monkeypatch.delenv('RSCC_FONT', raising=False)
    monkeypatch.setattr(fonts, '_system_fonts', lambda: searched.append(1) or [])
    monkeypatch.setattr(fonts, 'warn_once', said.append)
    fonts.warn_without_cjk.cache_clear()
    fonts.font_for('two houses – café', 14, bold=True)
    assert not searched and not said
    fonts.font_for('两栋房屋', 14)
    fonts.font_for('一条路', 14)
    assert len(said) == 1 and 'RSCC_FONT' in said[0]
    fonts.warn_without_cjk.cache_clear()
