"""Exports in int8 beside float, with a narrow model and few rendered pairs."""
import pytest
import tiny_models as tiny

from tools.benchmark import int8
from tools.benchmark.int8 import benchmark_int8
from tools.benchmark.tables import ORDER

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
RESIZE = (dict(type='FramesResize', size=64), )


def test_every_part_has_its_size_times_and_quality(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, 'CALIBRATED', 4)
    # Scores of drawn weights are close to each other: what they lose is not the matter here.
    monkeypatch.setattr('rscc.deployment.int8.MOST_PIXELS', 1.0)
    monkeypatch.setattr('rscc.deployment.int8.LEAST_OVERLAP', 0.0)
    monkeypatch.setattr('rscc.deployment.int8.LEAST_LIKENESS', 0.0)
    checkpoint = tiny.save(tmp_path / 'small.pth', tiny.JOINT, steps=RESIZE)
    section = benchmark_int8([str(checkpoint)], pairs=4, rounds=2)
    assert section.name in ORDER
    assert cells(section, 'model') == ['small'] * 4
    assert cells(section, 'file') == ['float32', 'int8 images', 'int8 words', 'int8, both']
    for head in ('ratio, map', 'ratio, sentence'):
        first, *others = cells(section, head)
        assert first == '1.00 (1.00–1.00)' and all('–' in ratio for ratio in others)
    scores = list(map(float, cells(section, 'F1 of changed pixels')))
    assert scores[0] == scores[2] > 0  # words do not touch the map
    assert all(float(score) >= 0 for score in cells(section, 'CIDEr, changed pairs'))
    assert 'VNNI' in section.notes[-1][0]


def test_a_model_of_single_images_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(int8, 'CALIBRATED', 2)
    checkpoint = tiny.save(tmp_path / 'one.pth', dict(tiny.SINGLE, caption_head=tiny.LSTM),
                           steps=RESIZE, task='single')
    with pytest.raises(ValueError, match=r"'.*one.pth' reads single images"):
        benchmark_int8([str(checkpoint)], pairs=2, rounds=1)
