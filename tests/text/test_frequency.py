from rscc.text.frequency import frequent_caption


def test_spellings_of_one_sentence_count_together():
    captions = ['A road .', 'a road', ' a road . ', 'A road .', 'the sea .', 'the sea .',
                'the sea .']
    assert frequent_caption(captions) == 'A road .'
    assert frequent_caption(['一条路.###', '一条路。', '海', '海'], 'zh') == '一条路.###'


def test_among_equals_the_alphabet_decides():
    assert frequent_caption(['b', 'a', 'c', 'b', 'a']) == 'a'
    assert frequent_caption(iter(['a road', 'A road'])) == 'A road'


def test_no_words_are_no_caption():
    assert frequent_caption([]) is None
    assert frequent_caption(['', ' .']) is None
