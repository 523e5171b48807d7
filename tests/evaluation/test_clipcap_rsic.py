"""Protocol clipcap_rsic as a whole: what is computed without Java, and what is told."""
import pytest

from rscc.evaluation import clipcap_rsic as module
from rscc.evaluation.captions import CaptionOptions, CaptionRecord, score_captions
from rscc.evaluation.clipcap_rsic import final_stop
from rscc.evaluation.java import JavaError

pytest.importorskip('jieba')
ROADS = [CaptionRecord('1', 'a road .', ['a road .', 'A long road .']),
         CaptionRecord('2', 'many boats .', ['boats in a harbor .', 'a road .'])]
OPTIONS = CaptionOptions('clipcap_rsic', meteor=False, frequent_caption='a road .')


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(module, 'warn', lines.append)
    return lines


@pytest.fixture
def tokenized(monkeypatch):
    monkeypatch.setattr(module, 'ptb_tokenize',
                        lambda texts: [text.lower().rstrip(' .') for text in texts])


@pytest.mark.parametrize(('language', 'name'), [('en', 'CIDEr'), ('zh', 'char_cosine')])
def test_model_and_most_frequent_caption_stand_under_keys_of_the_protocol(
        said, tokenized, language, name):
    options = CaptionOptions('clipcap_rsic', language, meteor=False, frequent_caption='a road .')
    scores, rows = score_captions(ROADS, options)
    four = [f'Bleu_{n}' for n in (1, 2, 3, 4)]
    assert list(scores) == [f'clipcap_rsic/{row}/{metric}' for row in ('all', 'frequent')
                            for metric in (*four, name)]
    assert [list(row) for row in rows] == [['Bleu_4', name]] * 2
    assert rows[0]['Bleu_4'] == 1 > rows[1]['Bleu_4'] and not said


def test_without_java_bleu_alone_is_there_and_one_line_says_so(said, monkeypatch):
    def fails(_texts):
        raise JavaError("'java' is not installed")

    monkeypatch.setattr(module, 'ptb_tokenize', fails)
    scores, rows = score_captions(ROADS, CaptionOptions('clipcap_rsic', frequent_caption='a'))
    assert len(scores) == 8 and list(rows[0]) == ['Bleu_4']
    assert said == ["Only BLEU of protocol 'clipcap_rsic' is computed: 'java' is not installed. "
                    'Its other scores need the PTB tokenizer, which is in Java.']


def test_meteor_is_on_the_published_scale_or_said_to_be_absent(said, tokenized, monkeypatch):
    options = CaptionOptions('clipcap_rsic', baselines=False)
    monkeypatch.setattr(module, 'meteor_scores', lambda tasks, forms: {
        name: dict.fromkeys(forms, 40.0) for name in tasks})
    assert score_captions(ROADS, options)[0]['clipcap_rsic/all/METEOR'] == 0.4

    def fails(_tasks, _forms):
        raise JavaError('its program failed')

    monkeypatch.setattr(module, 'meteor_scores', fails)
    assert 'clipcap_rsic/all/METEOR' not in score_captions(ROADS, options)[0]
    assert said == ['METEOR is absent: its program failed. All other scores are complete.']


def test_sentences_that_are_not_as_published_are_counted(said, tokenized):
    bare = [CaptionRecord(r.sample_id, r.prediction.rstrip(' .'), r.references) for r in ROADS]
    score_captions(bare, OPTIONS)
    assert '2 of 2 predictions have no final full stop and the references have' in said[0]
    bare = [CaptionRecord(r.sample_id, r.prediction, [text.rstrip(' .') for text in r.references])
            for r in bare]
    score_captions(bare, OPTIONS)
    assert '4 of 4 references have no final full stop, as after the normalisation' in said[1]


def test_the_final_stop_is_that_of_most_references():
    assert final_stop(['a road .', 'a sea .', 'a car.']) == ' .'
    assert final_stop(['绿树.', '海水。', '道路。 ']) == '。'
    assert final_stop(['a road']) == final_stop([]) == ''
