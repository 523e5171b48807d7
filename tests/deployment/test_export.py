import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny
import torch

from rscc.deployment.export import ExportOptions, export_onnx
from rscc.deployment.metadata import Record
from rscc.deployment.onnx_predictor import OnnxPredictor, open_session

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
#: Of the training, smaller, no multiple of a stride, higher than wide.
SIZES = [(64, 64), (50, 64), (33, 47), (64, 40)]


def assert_answers_are_torchs(inferencer, predictor, windows):
    """Masks on 99.9 % of the pixels, sentences, scores and flags."""
    dates = predictor.facts.dates
    found = predictor.predict(windows, ['always'] * len(windows))
    greedy = dict(num_beams=1) if found[0].sentences else {}
    expected = inferencer([frames[0] for frames in windows],
                          [frames[1] for frames in windows] if dates == 2 else None,
                          batch_size=len(windows), **greedy)
    told = set()
    for own, true in zip(found, expected, strict=True):
        if true.mask is not None:
            values = own.probabilities
            mask = values.argmax(0) if values.ndim == 3 else values > predictor.facts.threshold
            assert mask.shape == true.mask.shape and (mask == true.mask).mean() >= 0.999
        if true.captions:
            assert [said.text for said in own.sentences] == [true.caption]
            assert own.sentences[0].score == pytest.approx(true.captions[0].score, abs=1e-4)
            told.add(true.caption)
        if true.change_probability is not None:
            assert own.change_probability == pytest.approx(true.change_probability, abs=1e-4)
    assert not greedy or any(told)
    return expected


@pytest.mark.parametrize('name', ['joint', 'detector', 'lstm',
                                  pytest.param('gpt', marks=pytest.mark.slow)])
def test_exported_models_answer_as_torch_does_at_every_size(exported, name):
    inferencer, done = exported(name)
    predictor = OnnxPredictor(done.files[0])
    sentences, classes = set(), set()
    for number, size in enumerate(SIZES):
        windows = tiny.windows(6, *size, dates=predictor.facts.dates, seed=number)
        for true in assert_answers_are_torchs(inferencer, predictor, windows):
            sentences |= {(said.text, round(said.score, 3)) for said in true.captions}
            classes |= set(np.unique(true.mask).tolist()) if true.mask is not None else {0, 1}
    # The images matter: answers differ from each other.
    assert len(classes) > 1
    assert len(sentences) > 1 or name == 'detector'


@pytest.mark.slow
def test_changeclip_answers_as_torch_does_at_every_size(exported):
    inferencer, done = exported('changeclip')
    assert done.axes['frames'] == ['batch', 2, 3, '32*height', '32*width']
    predictor = OnnxPredictor(done.files[0])
    for number, size in enumerate([*SIZES, (96, 64)]):
        found = assert_answers_are_torchs(inferencer, predictor,
                                          tiny.windows(6, *size, seed=number))
        assert any(0.01 < (true.mask != 0).mean() < 0.99 for true in found)


def test_axes_files_and_record_say_what_was_exported(exported):
    _, done = exported('joint')
    assert [path.name for path in done.files] == ['joint.onnx', 'joint.start.onnx',
                                                  'joint.step.onnx']
    assert sorted(done.files[0].parent.iterdir()) == sorted(done.files)
    assert done.axes['frames'] == ['batch', 2, 3, 'height', 'width']
    assert done.axes['change_logits'] == ['batch', 3, 'height', 'width']
    assert done.axes['flag_logits'] == ['batch'] and done.difference < 1e-3
    facts = done.record.facts
    assert facts.heads == ('change_head', 'caption_head', 'flag_head')
    assert (facts.window, facts.overlap, facts.language) == ((64, 64), (16, 16), 'en')
    assert facts.weights == 'joint.pth' and len(facts.weights_hash) == 64
    session = open_session(done.files[0])
    text = session.get_modelmeta().custom_metadata_map['rscc']
    assert Record.from_json(text, 'x').opset == 18 and facts.no_change_captions == ('no change', )


def test_images_of_one_size_make_a_graph_of_one_size(exported):
    _, done = exported('detector')
    assert done.axes['frames'] == ['batch', 2, 3, 32, 48]
    assert [path.name for path in done.files] == ['detector.onnx']
    assert done.record.caption is None and done.record.preparation.resize == (((32, 48), False), )


@pytest.mark.slow
def test_decoding_options_and_subwords_are_honoured(tmp_path):
    pieces = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'road', '##s', 'house', 'of',
              "'", 's']
    (tmp_path / 'vocab.txt').write_text('\n'.join(pieces) + '\n')
    tokenizer = dict(type='WordPieceTokenizer', vocab_file=str(tmp_path / 'vocab.txt'),
                     prompt='a house of')
    head = dict(tiny.BLIP, tokenizer=tokenizer, decoding=dict(
        num_beams=3, min_tokens=3, repetition_penalty=1.3, no_repeat_ngram=2))
    steps = (dict(type='FramesResize', size=32), )
    checkpoint = tiny.save(tmp_path / 'a.pth', dict(tiny.JOINT, caption_head=head, flag_head=None,
                                                    change_head=None), steps=steps)
    done = export_onnx(None, checkpoint, tmp_path / 'a.onnx')
    rules = done.record.caption.rules
    assert (rules.min_tokens, rules.no_repeat_ngram, rules.max_tokens) == (3, 2, 8)
    assert len(rules.first_ids) == 4 == len(rules.given_ids)
    from rscc.apis import ChangeInferencer
    inferencer = ChangeInferencer(str(checkpoint), device='cpu')
    assert_answers_are_torchs(inferencer, OnnxPredictor(tmp_path / 'a.onnx'),
                              tiny.windows(8, 40, 40))


@pytest.mark.slow
def test_a_model_that_cannot_be_traced_at_any_size_takes_its_windows(tmp_path):
    head = dict(type='mmseg.PSPHead', in_channels=48, in_index=2, channels=4, pool_scales=(1, 2),
                num_classes=2, dropout_ratio=0.0, norm_cfg=dict(type='BN'), align_corners=False,
                loss_decode=tiny.LOSS)
    model = dict(tiny.JOINT, change_head=head, caption_head=None, flag_head=None)
    checkpoint = tiny.save(tmp_path / 'psp.pth', model, image_size=(64, 96))
    done = export_onnx(None, checkpoint, tmp_path / 'psp.onnx')
    assert done.axes['frames'] == ['batch', 2, 3, 64, 96]
    predictor = OnnxPredictor(tmp_path / 'psp.onnx')
    from rscc.apis import ChangeInferencer
    assert_answers_are_torchs(ChangeInferencer(str(checkpoint), device='cpu'), predictor,
                              tiny.windows(3, 64, 96))
    answer, = predictor.predict(tiny.windows(1, 40, 70), ['never'])
    assert answer.probabilities.shape == (40, 70)
    with pytest.raises(ValueError, match=r'takes windows of up to 64 x 96 pixels, found 65 x 96'):
        predictor.predict(tiny.windows(1, 65, 96), ['never'])


def test_six_bands_are_both_dates_and_probabilities_come_out(exported, tmp_path):
    inferencer, _ = exported('detector')
    out = tmp_path / 'six.onnx'
    with pytest.raises(ValueError, match=r'one square size, and this model reads 32 x 48'):
        export_onnx(None, inferencer.checkpoint, out, ExportOptions(six_band=True))
    model = dict(tiny.JOINT)
    checkpoint = tiny.save(tmp_path / 'j.pth', model, steps=(dict(type='FramesResize', size=32), ),
                           ground_resolution=0.5, classes=('unchanged', 'a', 'b'))
    done = export_onnx(None, checkpoint, out, ExportOptions(six_band=True))
    assert done.axes == {'bands': ['batch', 6, 32, 32], 'probabilities': ['batch', 3, 32, 32]}
    session = open_session(out)
    windows = tiny.windows(2, 32, 32)
    bands = np.stack([np.concatenate([frame.transpose(2, 0, 1) for frame in frames])
                      for frames in windows]).astype(np.float32) / 255
    found, = session.run(None, {'bands': bands})
    assert np.abs(found.sum(1) - 1).max() < 1e-5
    from rscc.apis import ChangeInferencer
    torchs = ChangeInferencer(str(checkpoint), device='cpu')
    for values, frames in zip(found, windows, strict=True):
        assert (values.argmax(0) == torchs(*frames, num_beams=1).mask).mean() >= 0.999
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata['class_names']) == {'0': 'unchanged', '1': 'a', '2': 'b'}
    # The graph sees 32 pixels where the image has 64 of half a metre.
    assert json.loads(metadata['resolution']) == 100.0 and metadata['tile_size'] == '32'


KARRAS = dict(type='KarrasCaptionHead', memory_channels=16, tokenizer=tiny.WORDS_ONLY,
              embed_channels=8, max_tokens=6, decoding=dict(steps=2),
              denoiser=dict(hidden_dims=8, num_layers=1, num_heads=2, feedforward_dims=8,
                            max_positions=16, alignment_heads=2, alignment_dims=8,
                            alignment_feedforward=8))


@pytest.mark.parametrize(('model', 'options', 'message'), [
    (dict(caption_head=KARRAS), {}, r'KarrasCaptionHead cannot be exported .*--no-captions'),
    (dict(caption_head=dict(tiny.BLIP, decoding=dict(sample=True))), {},
     r'sample=True cannot be exported.*decoding.sample=False'),
    (dict(test_cfg=dict(views=('none', 'hflip'))), {}, 'asks for several calls an image'),
    (dict(prompter=dict(type='CLIPPrompts')), {}, 'CLIPPrompts names the classes of every image'),
    (dict(change_head=None), dict(six_band=True), 'six bands are two dates for a change map'),
    (dict(change_head=None, flag_head=None), dict(captions=False), 'has nothing to say'),
    ({}, dict(opset=12), 'opset 12: expected 18 to 23'),
])
def test_what_cannot_be_exported_is_refused_before_anything_is_written(tmp_path, model, options,
                                                                       message):
    checkpoint = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT, **model))
    with pytest.raises(ValueError, match=message):
        export_onnx(None, checkpoint, tmp_path / 'out' / 'm.onnx', ExportOptions(**options))
    assert not (tmp_path / 'out').exists()


def test_another_preparation_or_name_is_refused(tmp_path):
    checkpoint = tiny.save(tmp_path / 'm.pth', tiny.JOINT,
                           steps=(dict(type='FramesRandomCrop', size=32), ))
    with pytest.raises(ValueError, match=r"prepares images by \['FramesRandomCrop'\]"):
        export_onnx(None, checkpoint, tmp_path / 'm.onnx')
    with pytest.raises(ValueError, match=r'must end in \.onnx'):
        export_onnx(None, checkpoint, tmp_path / 'm.pb')


def test_a_graph_unlike_torch_gets_no_name(tmp_path, monkeypatch):
    from rscc.deployment import export
    checkpoint = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT, caption_head=None),
                           steps=(dict(type='FramesResize', size=32), ))
    forward = export.EncoderGraph.forward

    def drifting(self, frames):
        first, *rest = forward(self, frames)
        return first + (0 if torch.compiler.is_compiling() else 1), *rest

    monkeypatch.setattr(export.EncoderGraph, 'forward', drifting)
    with pytest.raises(ValueError, match="does not answer as torch does: 'change_logits'"):
        export_onnx(None, checkpoint, tmp_path / 'out' / 'm.onnx')
    assert list(Path(tmp_path / 'out').iterdir()) == []


@pytest.mark.slow
def test_weights_beside_the_graph_move_with_it(tmp_path, monkeypatch):
    save = torch.onnx.ONNXProgram.save
    monkeypatch.setattr(torch.onnx.ONNXProgram, 'save',
                        lambda program, path: save(program, path, external_data=True))
    checkpoint = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT, caption_head=None),
                           steps=(dict(type='FramesResize', size=32), ))
    done = export_onnx(None, checkpoint, tmp_path / 'out' / 'm.onnx')
    assert [path.name for path in done.files] == ['m.onnx', 'm.onnx.data']
    answer, = OnnxPredictor(done.files[0]).predict(tiny.windows(1, 32, 32), ['never'])
    assert np.isfinite(answer.probabilities).all()
    done.files[1].unlink()
    with pytest.raises(ValueError, match=r'cannot read .*m\.onnx'):
        OnnxPredictor(done.files[0])
