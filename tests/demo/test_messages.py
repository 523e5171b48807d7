import json

import pytest
from page_messages import CANCEL, FILE, GOOD, INPUTS, JOIN, RESET

from rscc.demo.messages import LARGEST, checked
from rscc.demo.words import Problem


def sent(message, path=JOIN):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return checked(path, body, INPUTS)


def refused(message, path=JOIN):
    with pytest.raises(Problem) as found:
        sent(message, path)
    assert found.value.name == 'bad_message'
    assert found.value.values == {}


def test_what_the_page_sends_passes():
    assert sent(GOOD) == GOOD
    assert sent({**GOOD, 'data': [None] * 5})['data'] == [None] * 5
    given = dict(session_hash='a', fn_index=1, data=['en'],
                 event_data=dict(date='from', token='x' * 32))
    assert sent(given) == given
    assert sent(dict(session_hash='a', fn_index=2, data=[]))['data'] == []
    assert sent(dict(session_hash='a', fn_index=0, event_id='b'), CANCEL)['event_id'] == 'b'
    assert sent(dict(event_id='b'), RESET) == dict(event_id='b')


@pytest.mark.parametrize('place', range(5))
@pytest.mark.parametrize('wrap', [
    lambda file: file, lambda file: [file], lambda file: [[[file]]], lambda file: dict(a=file),
    lambda file: json.dumps(file) * 20])
def test_no_value_of_a_message_is_a_file(place, wrap):
    for file in (FILE, {**FILE, 'path': 'x', 'url': 'http://localhost/x'},
                 {**FILE, 'orig_name': '../x'}, dict(FILE, path='/dev/zero'), {'PATH': '/x'}, {}):
        data = list(GOOD['data'])
        data[place] = wrap(file)
        if data[place] != '{}' * 20 or place != 3:
            refused({**GOOD, 'data': data})


@pytest.mark.parametrize('event', [FILE, [FILE], dict(token=FILE), dict(token=[1]), 'x', 1,
                                   dict(path='/x'), dict(url='http://x'), dict(token=1),
                                   dict.fromkeys('abcde', 'x'), dict(a='x' * 500)])
def test_no_event_brings_a_file(event):
    refused(dict(session_hash='a', fn_index=1, data=['en'], event_data=event))


@pytest.mark.parametrize('change', [
    dict(fn_index=9), dict(fn_index='0'), dict(fn_index=True), dict(fn_index=None),
    dict(fn_index=[0]), dict(fn_index=0.0), dict(data=None), dict(data={}), dict(data='x'),
    dict(data=[]), dict(data=GOOD['data'] + [1]), dict(session_hash='../x'), dict(session_hash=''),
    dict(session_hash=None), dict(session_hash='x' * 65), dict(session_hash=['a']),
    dict(trigger_id='x'), dict(trigger_id=[FILE]), dict(batched=[FILE]), dict(request=FILE),
    dict(data=['fr', 'rscc-small', 3, '', True]), dict(data=['en', '../x', 3, '', True]),
    dict(data=['en', 'rscc-small', 1e9, '', True]), dict(data=['en', 'rscc-small', True, '', True]),
    dict(data=['en', 'rscc-small', 3, 'x' * 201, True]),
    dict(data=['en', 'rscc-small', 3, '\0', True]), dict(data=['en', 'rscc-small', 3, '', 'yes']),
    dict(data=['en', 'rscc-small', 3, '\ud800', True])])
def test_other_values_are_refused(change):
    refused({**GOOD, **change})


def test_a_component_that_sends_nothing_takes_nothing():
    refused(dict(session_hash='a', fn_index=3, data=['<b>']))
    assert sent(dict(session_hash='a', fn_index=3, data=[None]))['data'] == [None]


@pytest.mark.parametrize('body', [
    b'', b'null', b'[]', b'"x"', b'{', b'{"data":' + b'[' * 7000 + b']' * 7000 + b'}',
    b'{"a":' * 3000, b'\xff\xfe{}', '{}'.encode('utf-16'), b'\xef\xbb\xbf{}', b'data=1',
    b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n1\r\n--x--'])
def test_what_is_no_plain_object_is_refused(body):
    assert len(body) <= LARGEST
    refused(body)


@pytest.mark.parametrize('text', ['NaN', 'Infinity', '-Infinity', '1e999', '9' * 5000])
def test_numbers_are_finite(text):
    refused(json.dumps(GOOD).replace(' 3,', f' {text},').encode())


def test_a_key_stands_once():
    body = json.dumps(dict(session_hash='a', fn_index=1, data=['en']))
    sent(body.encode())
    refused(body.replace('"data"', '"data": [{"path": "/etc/passwd"}], "data"').encode())


def test_other_keys_do_not_reach_the_framework():
    assert sent({**GOOD, 'simple_format': True, 'oauth_token': 'x'}) == GOOD
