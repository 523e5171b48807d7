"""Answering real pairs: languages, classes, files that cannot be read, time."""
from types import SimpleNamespace

import cv2
import numpy as np
from real_pairs import CLASSES, result

from rscc.models.caption_heads.base import CaptionHead
from tools.benchmark.real_answers import answer_pairs, known_classes, languages_of, time_pair
from tools.benchmark.real_sets import SETS, UNCHANGED_SETS, pairs_of


class Model:
    """Stands in for an inferencer: the brighter date is where buildings are, in two languages."""
    meta, device = {}, 'cpu'

    def __init__(self, *languages):
        self.calls = []
        self.speaks(*languages)

    def speaks(self, *languages):
        known = type('Head', (CaptionHead, ), dict(languages=languages, write=None, loss=None))
        head = known.__new__(known) if languages else None
        self.model_pass = SimpleNamespace(loaded=SimpleNamespace(caption_head=head))

    def __call__(self, earlier, later, sentences=True, probabilities=False, language='en'):
        self.calls.append((sentences, language))
        frame = cv2.imread(later) if isinstance(later, str) else later
        if frame is None:
            raise ValueError(f"'{later}' cannot be read")
        mask = np.zeros(frame.shape[:2], np.uint8)
        return result(mask, {'en': 'no change', 'zh': '没有变化'}[language], 0.2)


def test_classes_are_known_by_their_names():
    assert known_classes(CLASSES, ['road', 'building']) == [1, 2]
    assert known_classes(('unchanged', 'Buildings', 'nature'), ['building']) == [1]
    assert known_classes(('unchanged', 'nature', 'other'), ['building']) == []
    assert known_classes(('unchanged', 'building'), ['building']) == []


def test_broken_images_and_labels_are_told_and_the_others_answered(real_roots):
    root, _ = real_roots
    (root / 'dsifn_samples/B/0_2.png').write_bytes(b'no picture')
    (root / 'egy_bcd_samples/test/label/test_1.png').write_bytes(b'no picture')
    cv2.imwrite(str(root / 'levir_cd_samples/label/test_2.png'), np.zeros((8, 9), np.uint8))
    pairs = [(one, each) for one in SETS if (root / one.folder).is_dir()
             for each in pairs_of(root, one)]
    shown = []
    judged, problems = answer_pairs(Model('en'), str(root), pairs, lambda *both: shown.append(both))
    assert len(judged) == len(shown) == len(pairs) - 3
    assert [problem.split(':')[0] for problem in problems] == [
        'levir_cd_samples/test_2', 'egy_bcd_samples/test/test_1', 'dsifn_samples/0_2']
    assert 'is (8, 9), its images are (64, 64) (height, width)' in problems[0]
    assert not any(str(root) in problem for problem in problems)


def test_a_model_of_two_languages_is_asked_in_both(real_roots):
    root, _ = real_roots
    captioned = next(one for one in SETS if one.title == 'LEVIR-CC')
    model = Model('zh', 'en')
    judged, _ = answer_pairs(model, str(root), [(captioned, one)
                                                for one in pairs_of(root, captioned)])
    assert judged[0].sentences == {'en': 'no change', 'zh': '没有变化'}
    assert judged[1].hits['zh']['no_change'] and not judged[0].hits['en']['change']
    pair = pairs_of(root, captioned)[0]
    judged, _ = answer_pairs(model, str(root), [(UNCHANGED_SETS[0], pair)])
    assert list(judged[0].sentences) == ['en']  # enough where nothing changed
    model.speaks('zh')
    model.meta = dict(language='zh')
    assert languages_of(model) == {'zh': {}}
    model.speaks()
    assert languages_of(model) == {}


def test_the_mask_is_timed_alone_and_with_each_language(monkeypatch):
    model = Model('en', 'zh')
    times = time_pair(model, [np.zeros((64, 80, 3), np.uint8)] * 2, rounds=2)
    assert list(times) == ['mask', 'with sentence (en)', 'with sentence (zh)']
    assert all(ms > 0 for ms in times.values())
    assert model.calls.count((False, 'en')) == model.calls.count((True, 'zh')) == 5
