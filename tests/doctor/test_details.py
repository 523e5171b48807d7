"""Details of findings in two languages."""
import re
import string

import pytest

from rscc.doctor.details import Detail, detail, joined, restored, stored
from rscc.doctor.kinds import read_template

FORMS = {name: form for name, form in read_template('details.json').items() if name != 'words'}


@pytest.mark.parametrize('name', FORMS)
def test_both_languages_tell_the_same_values(name):
    fields = [{field for _, field, _, _ in string.Formatter().parse(FORMS[name][language]) if field}
              for language in ('en', 'zh')]
    assert fields[0] == fields[1]
    assert name == 'plain' or FORMS[name]['en'] == FORMS[name]['zh'] or re.search(
        '[\u3000-\u9fff\uff00-\uffef]', FORMS[name]['zh'])


def test_a_detail_is_its_english_text_and_knows_the_chinese_one():
    found = joined([detail('who', who='both'), detail('mask', percent=12.5), 'as the reader says'])
    assert found == 'flag and captions; mask: 12.5 % changed; as the reader says'
    assert found.text('zh') == '依据：标志和描述；掩膜：12.5 % 有变化；as the reader says'


def test_numbers_count_their_noun_and_details_stand_inside_others():
    why = detail('after', count=1, why=detail('empty'))
    assert why == 'after 1 entry: it is empty (0 bytes)'
    assert detail('pixels', count=2000) == '2,000 pixels'
    assert detail('at', path='a{b}.json', why=why).text('zh') == (
        'a{b}.json：读取 1 个条目之后：文件为空（0 字节）')


@pytest.mark.parametrize('found', [
    '', 'plain words', detail('mask', percent=3.0), joined(['x', detail('pair', one='grey',
                                                                      other='RGB')]),
    detail('at', path='\udc80.png', why=detail('broken_link', target='nowhere'))])
def test_a_record_keeps_all_of_a_detail(found):
    kept = restored(stored(found))
    assert kept == found
    assert not isinstance(found, Detail) or kept.text('zh') == found.text('zh')
