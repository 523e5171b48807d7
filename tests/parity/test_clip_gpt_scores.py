"""The arithmetic of clipcap_rsic's scorer against recorded numbers and the specification's.

The recorded sentences come from the fixture folder, any number of them; the published figures of
people's own captions (first sentence against the other four) from the real annotations.
"""
import json
import shutil

import pytest
from recordings import recording

from rscc.evaluation.functional.clipcap_rsic import bleu_totals, character_cosine, corpus_bleu
from rscc.evaluation.java_tools import ptb_tokenize
from rscc.evaluation.protocols import CaptionOptions, CaptionRecord, score_captions
from rscc.utils import read_json

SPLITS = {'bleu_split': str.split, 'bleu_char': list}
# Python's float is rounded by 2**-53 of itself, and exp() and log() differ in the last place from
# one C library to the next. A score is exp(t) of four logarithms, |t| < 16, which makes 16 times as
# much of that: 64 in all.
EXACT = dict(rel=64 * 2.0**-53, abs=0)


@pytest.fixture(scope='module')
def recorded():
    file = recording('clip_gpt/metrics_compat.json')
    return json.loads(file.read_text(encoding='utf-8'))


def cut(sentence):
    return list(pytest.importorskip('jieba').cut(sentence))


@pytest.mark.parametrize('language', ['en', 'cn'])
def test_jieba_cuts_as_recorded(recorded, language):
    items = recorded[language]['items']
    assert [cut(item['hyp']) for item in items] == recorded[language]['tokens_jieba_hyp']


@pytest.mark.parametrize('language', ['en', 'cn'])
@pytest.mark.parametrize('kind', ['bleu_jieba', *SPLITS])
def test_bleu_is_nltks(recorded, language, kind):
    split, items = SPLITS.get(kind, cut), recorded[language]['items']
    totals = bleu_totals([split(item['hyp']) for item in items],
                         [[split(text) for text in item['refs']] for item in items])
    assert corpus_bleu(totals.sum(0)) == pytest.approx(recorded[language][kind], **EXACT)


@pytest.mark.parametrize('language', ['en', 'cn'])
def test_the_cosine_is_the_recorded_one(recorded, language):
    found = {item['id']: character_cosine(item['hyp'], item['refs'])
             for item in recorded[language]['items']}
    assert found == pytest.approx(recorded[language]['cider_cn_image'], **EXACT)
    assert sum(found.values()) / len(found) == pytest.approx(recorded[language]['cider_cn'],
                                                             **EXACT)


@pytest.mark.parametrize('language', ['en', 'cn'])
def test_the_protocol_as_a_whole_gives_the_recorded_bleu(recorded, language):
    records = [CaptionRecord(item['id'], item['hyp'], item['refs'])
               for item in recorded[language]['items']]
    options = CaptionOptions('clipcap_rsic', {'cn': 'zh'}.get(language, language), meteor=False,
                             baselines=False)
    pytest.importorskip('jieba')
    scores, _ = score_captions(records, options)
    assert [scores[f'clipcap_rsic/all/Bleu_{n}'] for n in (1, 2, 3, 4)] == pytest.approx(
        recorded[language]['bleu_jieba'], **EXACT)


# Section 7 of the specification: BLEU-1 to BLEU-4 of words between blanks; and BLEU-4 by jieba.
HUMAN = {'sydney_captions/dataset_sydney_cn.json.gz': ([.930, .879, .831, .777], .902),
         'ucm_captions/dataset_ucm_modified.json': ([.797, .741, .702, .657], .768)}


@pytest.mark.parametrize('path', HUMAN)
@pytest.mark.parametrize('kind', ['blanks', 'jieba'])
def test_people_score_as_the_specification_says(samples, path, kind):
    if not (samples / path).is_file():
        pytest.skip(f"no real annotations at '{samples / path}'")
    split = str.split if kind == 'blanks' else cut
    rows = [[split(sentence['raw']) for sentence in image['sentences']]
            for image in read_json(samples / path)['images'] if image['split'] == 'test']
    bleu = corpus_bleu(bleu_totals([row[0] for row in rows], [row[1:] for row in rows]).sum(0))
    words, by_jieba = HUMAN[path]
    assert (bleu if kind == 'blanks' else bleu[3:]) == pytest.approx(
        words if kind == 'blanks' else [by_jieba], abs=6e-4)


def test_english_cider_is_that_of_pycocoevalcap_after_its_own_tokenizer(recorded):
    cider = pytest.importorskip('pycocoevalcap.cider.cider')
    if shutil.which('java') is None:
        pytest.skip('the PTB tokenizer needs java')
    pytest.importorskip('jieba')
    items = recorded['en']['items']
    theirs, each = cider.Cider().compute_score(
        {item['id']: ptb_tokenize(item['refs']) for item in items},
        {item['id']: ptb_tokenize([item['hyp']]) for item in items})
    records = [CaptionRecord(item['id'], item['hyp'], item['refs']) for item in items]
    scores, rows = score_captions(records, CaptionOptions('clipcap_rsic', meteor=False))
    # Sums of some thousand numbers, in two orders: 1e-13 of rounding, and room for ten times that.
    assert scores['clipcap_rsic/all/CIDEr'] == pytest.approx(theirs, rel=1e-12)
    assert [row['CIDEr'] for row in rows] == pytest.approx(list(each), rel=1e-12)
