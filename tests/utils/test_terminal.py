"""Widths in the cells of a terminal."""
from rscc.utils.terminal import cells, in_columns, padded


def test_chinese_characters_and_marks_take_two_cells_and_accents_none():
    found = [cells(text) for text in ('', 'a b', '贪心', '（8）', 'e\u0301', 'é')]
    assert found == [0, 3, 4, 5, 1, 1]


def test_blanks_fill_up_to_a_width_on_either_side():
    assert padded('贪心', 6) == '贪心  ' and padded('贪心', 6, right=True) == '  贪心'
    assert padded('longer', 3) == 'longer'


def test_columns_are_as_wide_as_their_widest_cell():
    lines = in_columns([['', 'beam 3', '贪心搜索', ''], ['a long name', '1.5', '22.25', '*'],
                        ['b', '-', '3', '']], left=1)
    assert lines == ['             beam 3  贪心搜索', 'a long name     1.5     22.25  *',
                     'b                 -         3']
    assert len({cells(line) for line in (lines[0], lines[2])}) == 1
