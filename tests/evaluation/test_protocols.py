import sys

import pytest

from rscc.evaluation import protocols
from rscc.evaluation import protocols as module
from rscc.evaluation.java_tools import JavaError, MeteorError
from rscc.evaluation.protocols import CaptionOptions, CaptionRecord, final_stop, score_captions
from rscc.evaluation.records import coco_words
from rscc.structures import SampledCaption, ScoredCaption

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


pytest.importorskip('pycocoevalcap')
SAME = ['there is no difference', 'the scene is the same as before']
BUILT = [' a house is built on the bareland .', 'some houses are built .']


def records(changed=2, unchanged=2):
    made = [CaptionRecord(f'c{i}', 'a house is built', BUILT, True) for i in range(changed)]
    return made + [CaptionRecord(f'u{i}', SAME[1], SAME, False) for i in range(unchanged)]


NO_METEOR = CaptionOptions(meteor=False, no_change_captions=SAME)


def test_all_parts_baselines_and_shares_are_there():
    scores, rows = score_captions(records(), NO_METEOR)
    groups = {key.rsplit('/', 1)[0] for key in scores}
    assert groups == {'caption/all', 'caption/changed', 'caption/unchanged', 'caption',
                      'baseline/all', 'baseline/changed', 'baseline/no_change'}
    assert scores['caption/unchanged/Bleu_1'] == pytest.approx(100, abs=1e-3)
    assert scores['caption/flag_accuracy'] == scores['caption/flag_F1'] == 1
    assert scores['caption/object_F1'] == 1
    assert not any('METEOR' in key or 'Sm' in key for key in scores)
    assert len(rows) == 4 and set(rows[0]) == {'Bleu_4', 'ROUGE_L', 'CIDEr'}


def test_agreement_and_abstentions_are_means_over_what_was_drawn():
    made = records()
    assert not any('agree' in key or 'abstain' in key for key in score_captions(made, NO_METEOR)[0])
    for record, agreement, drawn in zip(made, (0.2, 0.8, 0.5, 1.0), (8, 8, 8, 1), strict=True):
        record.sampled = SampledCaption.of(ScoredCaption(record.prediction, -1.0), agreement,
                                           agreement < 0.4, drawn=drawn)
    scores, _ = score_captions(made, NO_METEOR)
    assert scores['caption/agreement'] == pytest.approx(0.5)
    assert scores['caption/abstained'] == pytest.approx(1 / 3)


@pytest.mark.parametrize(('kinds', 'absent'), [
    (dict(changed=3, unchanged=0), 'unchanged'), (dict(changed=0, unchanged=3), 'changed')])
def test_a_subset_of_one_kind_only_works(kinds, absent):
    scores, _ = score_captions(records(**kinds), NO_METEOR)
    assert not any(f'/{absent}/' in key for key in scores)
    assert ('baseline/changed/Bleu_4' in scores) == (absent == 'unchanged')
    assert ('baseline/no_change/Bleu_4' in scores) == (absent == 'changed')
    assert scores['caption/flag_accuracy'] == 1


def test_single_images_have_no_flag_and_a_baseline_of_one_sentence():
    scores, _ = score_captions([CaptionRecord('1', 'a road', ['a road', 'a house'])], NO_METEOR)
    groups = {key.rsplit('/', 1)[0] for key in scores}
    assert groups == {'caption/all', 'baseline/all', 'baseline/frequent', 'caption'}
    assert 'caption/flag_accuracy' not in scores and 'caption/direction_accuracy' not in scores
    assert scores['caption/all/CIDEr'] == 0


def test_an_empty_caption_is_scored_and_counts_as_changed():
    made = records()
    made[2].prediction = ''
    scores, rows = score_captions(made, NO_METEOR)
    assert scores['caption/flag_accuracy'] == 0.75
    assert rows[2]['ROUGE_L'] == 0


def test_given_constant_sentences_are_used():
    options = CaptionOptions(meteor=False, constant_caption='A house is built .',
                             constant_no_change=SAME[1])
    scores, _ = score_captions(records(), options)
    assert scores['baseline/all/CIDEr'] == pytest.approx(scores['caption/all/CIDEr'])


def test_sm_is_the_mean_of_four(monkeypatch):
    monkeypatch.setattr(protocols, 'meteor_scores', lambda tasks, forms: {
        name: {'METEOR': 40.0, 'METEOR_id': 30.0} for name, pairs in tasks.items() if pairs})
    scores, _ = score_captions(records(), CaptionOptions())
    four = [scores[f'caption/all/{name}'] for name in ('Bleu_4', 'METEOR', 'ROUGE_L', 'CIDEr')]
    assert scores['caption/all/Sm'] == pytest.approx(sum(four) / 4)
    assert scores['baseline/no_change/METEOR_id'] == 30


def test_without_meteor_everything_else_is_there_and_one_line_says_so(monkeypatch):
    def broken(_tasks, _forms):
        raise MeteorError("'java' is not installed")

    said = []
    monkeypatch.setattr(protocols, 'meteor_scores', broken)
    monkeypatch.setattr(protocols, 'warn', said.append)
    scores, _ = score_captions(records(), CaptionOptions(no_change_captions=SAME))
    assert scores == score_captions(records(), NO_METEOR)[0]
    assert said == ["METEOR and Sm are absent: 'java' is not installed. All other scores are "
                    'complete.']


def test_chinese_is_scored_by_words():
    made = [CaptionRecord('1', '右上角建成了房屋', ['右上角建成了房屋。', '新建了房屋。'], True),
            CaptionRecord('2', '没有发生变化', ['没有发生变化。', '没有差异。'], False)]
    scores, _ = score_captions(made, CaptionOptions(meteor=False, language='zh'))
    assert scores['caption/all/Bleu_1'] == pytest.approx(100, abs=1e-3)
    assert scores['caption/flag_accuracy'] == scores['caption/direction_accuracy'] == 1


HARBOUR = [CaptionRecord('1', '港口里停着许多船。',
                         ['港口里，停着许多船。###', '许多船停在港口。']),
           CaptionRecord('2', '绿色的树林', ['绿色的树林。', '一片绿色的树林.'])]


def test_chinese_has_a_second_report_by_characters_and_no_marks():
    scores, rows = score_captions(HARBOUR, CaptionOptions(meteor=False, language='zh'))
    groups = {key.rsplit('/', 1)[0] for key in scores}
    assert groups == {'caption/all', 'baseline/all', 'baseline/frequent', 'caption',
                      'caption_characters/all', 'baseline_characters/all',
                      'baseline_characters/frequent'}
    # The comma and "###" of the reference are no characters: the two sentences are equal.
    assert scores['caption_characters/all/Bleu_1'] == pytest.approx(100, abs=1e-3)
    assert len(rows) == 2
    words = coco_words('zh')
    assert words('树林，很多.###') == words('树林，很多') and '，' not in words('树林，很多')


def test_chinese_meteor_matches_equal_words_alone(monkeypatch):
    asked = []

    def fake(tasks, forms):
        asked.append((sorted(tasks), list(forms)))
        return {name: {'METEOR_id': 40.0} for name in tasks}

    monkeypatch.setattr(protocols, 'meteor_scores', fake)
    scores, _ = score_captions(HARBOUR, CaptionOptions(language='zh', baselines=False))
    assert len(asked) == 1 and asked[0][1] == ['METEOR_id']
    assert scores['caption/all/METEOR'] == scores['caption_characters/all/METEOR'] == 40
    assert not any('METEOR_id' in key for key in scores)


def test_the_most_frequent_caption_is_that_of_train_where_it_is_known():
    made = [CaptionRecord('1', 'a road', ['a house', 'a house', 'a road']),
            CaptionRecord('2', 'a road', ['a road by the sea', 'a house near the road'])]
    here, _ = score_captions(made, NO_METEOR)
    given, _ = score_captions(made, CaptionOptions(meteor=False, frequent_caption='A house .'))
    train, _ = score_captions(made, CaptionOptions(meteor=False, frequent_caption='many boats'))
    assert here['baseline/frequent/Bleu_1'] == given['baseline/frequent/Bleu_1'] > 40
    assert train['baseline/frequent/Bleu_1'] < 1
    assert 'baseline/frequent/Bleu_1' not in score_captions(records(), NO_METEOR)[0]


def test_intervals_lie_around_every_score_and_their_draws_repeat():
    options = CaptionOptions(meteor=False, baselines=False, bootstrap=200, seed=3)
    made = [CaptionRecord(str(i), f'a house by {i % 3} roads',
                          [f'a house by {i % 4} roads', 'a car']) for i in range(24)]
    scores, _ = score_captions(made, options)
    for name in ('Bleu_1', 'Bleu_4', 'ROUGE_L', 'CIDEr'):
        low, high = (scores[f'caption/all/{name}_{end}'] for end in ('low', 'high'))
        assert low < scores[f'caption/all/{name}'] < high, name
    assert score_captions(made, options)[0] == scores
    assert not any(key.endswith('_low') for key in score_captions(made, NO_METEOR)[0])


def test_coco_caption_main_module_is_never_imported():
    score_captions(records(), NO_METEOR)
    assert 'pycocoevalcap.eval' not in sys.modules
    assert 'pycocoevalcap.spice.spice' not in sys.modules


def test_bad_settings_and_records_are_named():
    with pytest.raises(ValueError, match=r"protocol='coc' is unknown: use one of .*'coco'"):
        CaptionOptions(protocol='coc')
    with pytest.raises(ValueError, match="unknown language 'english'"):
        CaptionOptions(language='english')
    with pytest.raises(ValueError, match=r'bootstrap=10 gives no 95 % interval: use at least 100'):
        CaptionOptions(bootstrap=10)
    with pytest.raises(ValueError, match='no captions to score'):
        score_captions([])
    with pytest.raises(ValueError, match=r"sample 'x' has no reference caption \(1 such"):
        score_captions([CaptionRecord('x', 'a', [])])


def test_predictions_that_cannot_score_are_told_of(monkeypatch):
    said = []
    monkeypatch.setattr(protocols, 'warn_once', said.append)
    made = records()
    score_captions(made, NO_METEOR)
    assert not said
    made[1].prediction = ' .'
    score_captions(made, NO_METEOR)
    assert said == ["1 of 4 predictions hold no word and score 0; the first: ' .' for 'c1'"]
    score_captions(records(), CaptionOptions(language='zh', meteor=False))
    assert said[1].startswith("language 'zh', but none of the 4 predictions are written in Chinese")
    chinese = [CaptionRecord('a', '一条路', ['一条路'])]
    score_captions(chinese, CaptionOptions(meteor=False))
    assert said[2] == ("language 'en', but all of the 1 predictions are written in Chinese, "
                       "'一条路' the first: is the language 'zh' (--language zh) meant?")


@pytest.mark.parametrize('token', ['<start>', '<pad>', '<unk>', '[SEP]', '<|endoftext|>', '</s>'])
def test_special_tokens_of_a_tokenizer_are_told(monkeypatch, token):
    said = []
    monkeypatch.setattr(protocols, 'warn_once', said.append)
    made = records()
    made[1].prediction += token
    made[2].references = [f'a road {token}', 'a road']
    score_captions(made, NO_METEOR)
    assert said[0].startswith(f"1 of 4 predictions hold special tokens of a tokenizer, '{token}' ")
    assert 'references hold special tokens' in said[1] and len(said) == 2
