import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny

from rscc.deployment.onnx_predictor import OnnxPredictor, probabilities, session_options

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
# Raises on every import of a heavy package, then does what the arguments say.
WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'mmengine', 'mmseg', 'mmcv', 'transformers'):
            raise ImportError(f'{name} is imported')

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture
def joint(exported, tmp_path):
    """Copies of the files of the joint model."""
    _, done = exported('joint')
    for path in done.files:
        shutil.copy(path, tmp_path)
    return tmp_path / 'joint.onnx'


def test_a_process_that_cannot_import_torch_answers_windows(joint, repo, tmp_path):
    windows = np.stack([np.stack(frames) for frames in tiny.windows(3, 48, 64)])
    np.save(tmp_path / 'windows.npy', windows)
    code = WITHOUT_TORCH + f"""
import json
import numpy as np
from rscc.deployment.onnx_predictor import OnnxPredictor
predictor = OnnxPredictor({str(joint)!r})
windows = [list(frames) for frames in np.load({str(tmp_path / 'windows.npy')!r})]
answers = predictor.predict(windows, ['always'] * len(windows))
assert predictor.tells_of_change('a house is built')
print(json.dumps([[float(answer.probabilities.sum()), answer.change_probability,
                   answer.sentences[0].text] for answer in answers]))
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=repo, capture_output=True, text=True,
                          check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    here = OnnxPredictor(joint).predict([list(frames) for frames in windows], ['always'] * 3)
    for (total, flag, text), answer in zip(json.loads(done.stdout), here, strict=True):
        assert total == pytest.approx(float(answer.probabilities.sum()), rel=1e-5)
        assert flag == pytest.approx(answer.change_probability, abs=1e-5)
        assert text == answer.sentences[0].text


def test_sentences_are_written_for_the_chosen_windows_alone(joint, monkeypatch):
    predictor, windows = OnnxPredictor(joint), tiny.windows(4, 48, 64)
    asked = []
    write = predictor._decoder.write
    monkeypatch.setattr(predictor._decoder, 'write',
                        lambda memory: asked.append(len(memory)) or write(memory))
    plain = predictor.predict(windows, ['never'] * 4)
    assert not asked and not any(answer.sentences for answer in plain)
    answers = predictor.predict(windows, ['always', 'never', 'changed', 'changed'])
    flags = [answer.change_probability >= 0.5 for answer in plain]
    assert [bool(answer.sentences) for answer in answers] == [True, False, *flags[2:]]
    assert asked == [1 + sum(flags[2:])]


def test_what_changed_is_told_by_flag_else_map_else_always(joint):
    predictor = OnnxPredictor(joint)
    changed = np.zeros((3, 100, 100), np.float32)
    changed[0] = 1
    assert predictor._to_tell('changed', 0.5, None) and not predictor._to_tell('changed', 0.4, None)
    assert predictor._to_tell('changed', None, None)
    assert not predictor._to_tell('changed', None, changed)
    changed[:, 0, :10] = [[0], [1], [0]]
    assert predictor._to_tell('changed', None, changed)
    changed[:, 0, 0] = [1, 0, 0]
    assert not predictor._to_tell('changed', None, changed)


def test_single_images_are_always_told_of(exported):
    _, done = exported('lstm')
    predictor = OnnxPredictor(done.files[0])
    answer, = predictor.predict(tiny.windows(1, 40, 40, dates=1), ['changed'])
    assert answer.sentences and answer.probabilities is None
    with pytest.raises(ValueError, match=r'reads 1 date\(s\), and a window has 2'):
        predictor.predict(tiny.windows(1, 40, 40), ['never'])


def test_windows_of_other_sizes_in_a_batch_change_no_answer(joint):
    predictor = OnnxPredictor(joint)
    windows = [*tiny.windows(2, 48, 64), *tiny.windows(2, 40, 40), *tiny.windows(1, 48, 64)]
    together = predictor.predict(windows, ['always'] * 5)
    for frames, answer in zip(windows, together, strict=True):
        alone, = predictor.predict([frames], ['always'])
        assert np.abs(alone.probabilities - answer.probabilities).max() < 1e-5
        assert alone.sentences[0].text == answer.sentences[0].text
        assert answer.probabilities.shape[1:] == frames[0].shape[:2]
    assert predictor.predict([], []) == []


def test_window_overlap_and_decoding_may_be_given(joint):
    predictor = OnnxPredictor(joint, window=100, decoding=dict(max_tokens=1, num_beams=1))
    assert (predictor.facts.window, predictor.facts.overlap) == ((100, 100), (25, 25))
    assert predictor.decoding == dict(max_tokens=1, num_beams=1)
    answer, = predictor.predict(tiny.windows(1, 48, 64), ['always'])
    assert len(answer.sentences[0].text.split()) <= 1
    assert OnnxPredictor(joint, overlap=8).facts.overlap == (8, 8)
    with pytest.raises(ValueError, match='cannot overlap by 64: give an overlap from 0 to 63'):
        OnnxPredictor(joint, overlap=64)
    with pytest.raises(ValueError, match='window=0: expected at least 1 pixel'):
        OnnxPredictor(joint, window=0)
    with pytest.raises(ValueError, match="no decoding option 'num_beams'"):
        OnnxPredictor(joint, decoding=dict(num_beams=2))


def test_threads_are_those_of_the_environment(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    assert session_options().intra_op_num_threads == 3
    monkeypatch.setenv('OMP_NUM_THREADS', 'many')
    assert session_options().intra_op_num_threads == 0
    monkeypatch.delenv('OMP_NUM_THREADS')
    assert session_options().intra_op_num_threads == 0


def test_one_and_two_classes_have_one_probability():
    logits = np.array([[[-2.0, 0.0]], [[3.0, -1000.0]], [[0.0, 1000.0]]], np.float32)
    assert probabilities(logits[:1]) == pytest.approx(1 / (1 + np.exp([[2.0, 0.0]])))
    assert probabilities(logits[:2]) == pytest.approx(np.array([[1 / (1 + np.exp(-5)), 0.0]]))
    assert probabilities(logits).sum(0) == pytest.approx(1)


class TestWrongFiles:

    def test_no_file_and_no_onnx(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no exported model at '.*none.onnx'"):
            OnnxPredictor(tmp_path / 'none.onnx')
        (tmp_path / 'text.onnx').write_text('no graph')
        with pytest.raises(ValueError, match=r"cannot read '.*text.onnx': .*no ONNX file or damag"):
            OnnxPredictor(tmp_path / 'text.onnx')

    def test_a_decoder_is_missing_or_of_another_export(self, joint):
        step = joint.with_suffix('.step.onnx')
        saved = step.read_bytes()
        step.unlink()
        with pytest.raises(FileNotFoundError, match=r"there is no '.*joint.step.onnx': copy the f"):
            OnnxPredictor(joint)
        shutil.copy(joint.with_suffix('.start.onnx'), step)
        with pytest.raises(ValueError, match=r"joint.step.onnx' is not the decoder of '.*joint.on"):
            OnnxPredictor(joint)
        step.write_bytes(saved)
        OnnxPredictor(joint)

    def test_renamed_files_are_found_by_their_new_name(self, joint):
        for path in joint.parent.glob('joint.*'):
            path.rename(path.with_name(path.name.replace('joint', 'other')))
        assert OnnxPredictor(joint.with_name('other.onnx')).facts.language == 'en'

    def test_a_part_is_no_model(self, joint):
        with pytest.raises(ValueError, match=r"is no export of rscc: .*belongs to 'joint.onnx'"):
            OnnxPredictor(joint.with_suffix('.step.onnx'))

    @pytest.mark.parametrize(('change', 'message'), [
        (None, "is no export of rscc: it has no record 'rscc'"),
        (dict(format=9), 'in format 9 and this rscc .* update rscc'),
        (dict(kind='six-band'), 'export the model without --six-band'),
        (dict(facts={}), "lacks 'task'")])
    def test_another_record_is_refused(self, joint, change, message):
        import onnx
        model = onnx.load(joint)
        text = next(entry.value for entry in model.metadata_props if entry.key == 'rscc')
        kept = [] if change is None else [('rscc', json.dumps(json.loads(text) | change))]
        del model.metadata_props[:]
        for key, value in kept:
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, joint)
        with pytest.raises(ValueError, match=message):
            OnnxPredictor(joint)

    def test_an_opset_of_the_future_says_so(self, joint):
        import onnx
        model = onnx.load(joint)
        model.opset_import[0].version = 99
        Path(joint).write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match='its opset is later than this onnxruntime knows'):
            OnnxPredictor(joint)


class TestLanguages:

    def test_either_language_is_written_as_torch_writes_it(self, exported):
        inferencer, done = exported('bilingual')
        windows, said = tiny.windows(6, 48, 64), {}
        for language in ('en', 'zh'):
            predictor = OnnxPredictor(done.files[0], decoding=dict(language=language, min_tokens=2))
            assert predictor.facts.language == language
            found = predictor.predict(windows, ['always'] * 6)
            expected = inferencer(*zip(*windows, strict=True), language=language, min_tokens=2)
            assert [own.sentences[0].text for own in found] == [one.caption for one in expected]
            said[language] = {own.sentences[0].text for own in found}
        assert said['en'].isdisjoint(said['zh'])
        assert all('\u4e00' <= text[0] <= '\u9fff' for text in said['zh'])
        plain = OnnxPredictor(done.files[0], decoding=dict(min_tokens=2))
        assert plain.facts.language == 'en'
        assert {own.sentences[0].text for own in plain.predict(windows, ['always'] * 6)
                } == said['en']

    def test_what_counts_as_no_change_follows_the_language(self, exported):
        _, done = exported('bilingual')
        assert OnnxPredictor(done.files[0]).facts.no_change_captions == ('no change', )
        chinese = OnnxPredictor(done.files[0], decoding=dict(language='zh'))
        assert '没有发生变化' in chinese.facts.no_change_captions
        assert not chinese.tells_of_change('没有发生变化')
        assert chinese.tells_of_change('新建了一栋房屋')

    def test_a_language_that_was_not_exported_is_refused(self, exported, joint):
        _, done = exported('bilingual')
        with pytest.raises(ValueError, match=r"language='both': .* writes 'en' and 'zh' only"):
            OnnxPredictor(done.files[0], decoding=dict(language='both'))
        with pytest.raises(ValueError, match=r"language='zh': .* writes 'en' only"):
            OnnxPredictor(joint, decoding=dict(language='zh'))
        assert OnnxPredictor(joint, decoding=dict(language='en')).facts.language == 'en'
