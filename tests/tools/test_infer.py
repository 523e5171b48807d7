import importlib.util
import json
import re
import runpy
import sys
import tempfile

import numpy as np
import pytest
from PIL import Image


def module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def call(repo, tmp_path, monkeypatch, capsys):
    """Return a function that runs the tool in this process on a fake model and gives its output."""
    fake = module('fake_model', repo / 'tests/apis/fake_model.py')
    tool = module('infer_tool', repo / 'tools/infer.py')
    dark = np.full((32, 48, 3), 20, np.uint8)
    bright = dark.copy()
    bright[:16] = 200
    Image.fromarray(dark).save(tmp_path / 'before.png')
    Image.fromarray(bright).save(tmp_path / 'after.png')
    Image.fromarray(bright[:20]).save(tmp_path / 'small.png')
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model=None, meta=None):
        fake.save_checkpoint(tmp_path / 'fake.pth', fake.fake_config(**(model or {})),
                             **(meta or {}))
        monkeypatch.setattr(sys, 'argv', ['infer.py', 'fake.pth', '--device', 'cpu', *arguments])
        tool.main()
        return capsys.readouterr().out

    return run


PAIR = ('--img-from', 'before.png', '--img-to', 'after.png')


def test_pair_is_answered_on_the_terminal(call):
    out = call(*PAIR)
    assert 'changed 1 0  (score 0.000)' in out and 'probability 0.500' in out
    assert '50.0 % of the pixels changed: built 50.0 %' in out


def test_files_are_written_and_listed(call, tmp_path):
    out = call(*PAIR, '--out', 'out')
    names = ['before_after.json', 'before_after_mask.png', 'before_after_overlay.png',
             'before_after_panel.png']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == names
    assert all(name in out for name in names)
    stored = json.loads((tmp_path / 'out/before_after.json').read_text())
    assert stored['images'] == ['before.png', 'after.png'] and stored['change_share'] == 0.5
    assert Image.open(tmp_path / 'out/before_after_overlay.png').size == (48, 32)


def test_what_was_done_stands_in_one_line(call, tmp_path):
    out = call(*PAIR, '--out', 'out', '--window', '32', '--overlap', '8', '--nbest', '1')
    line = next(line for line in out.splitlines() if line.startswith('answered'))
    assert '48 x 32 pixels in 2 windows of 32 x 32 that overlap by 8; bands as in the file' in line
    stored = json.loads((tmp_path / 'out/before_after.json').read_text())
    assert stored['processing']['windows'] == len(stored['windows']) == 2
    assert 'x 0-' not in out and 'x 0-' in call(*PAIR, '--window', '32', '--per-window')


def test_a_picture_larger_than_a_window_becomes_a_scene(call, tmp_path):
    out = call(*PAIR, '--out', 'out', '--window', '32', '--overlap', '8')
    assert '2 windows in 1 block,' in out and 'report.html' in out
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert {'change.tif', 'changes.gpkg', 'mask.png', 'overlay.png', 'summary.json'} <= names


def test_folders_and_lists_are_answered_and_a_bad_file_ends_nothing(call, tmp_path):
    for folder, source in (('a', 'before.png'), ('b', 'after.png')):
        for name in ('1', 'sub/1', '2'):
            target = tmp_path / folder / f'{name}.png'
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((tmp_path / source).read_bytes())
    out = call('--img-from', 'a', '--img-to', 'b', '--out', 'out')
    assert out.count('changed 1 0') == 3 and len(list((tmp_path / 'out').glob('*.json'))) == 3
    (tmp_path / 'a/2.png').write_bytes(b'no image')
    (tmp_path / 'list.txt').write_text('a/1.png  b/1.png\na/2.png  b/2.png\n')
    with pytest.raises(SystemExit, match=r'1 of 2 samples cannot be read; first: .*2\.png'):
        call('--list', 'list.txt', '--out', 'listed')
    assert [path.name for path in (tmp_path / 'listed').glob('*.json')] == ['1.json']


def test_answers_about_the_same_earlier_image_have_files_of_their_own(call, tmp_path):
    (tmp_path / 'list.txt').write_text(
        f'before.png  after.png\nbefore.png  before.png\n{tmp_path}/after.png  gone.png\n')
    with pytest.raises(SystemExit, match=r'1 of 3 samples cannot be read; first: .*gone\.png'):
        call('--list', 'list.txt', '--out', 'out')
    stored = [json.loads(path.read_text()) for path in (tmp_path / 'out').glob('*.json')]
    assert sorted(one['images'][1] for one in stored) == ['after.png', 'before.png']
    names = sorted(path.stem for path in (tmp_path / 'out').glob('*.json'))
    assert [name.rsplit('-', 1)[0] for name in names] == ['before_after', 'before_before']


def test_reading_and_settings_reach_the_model(call, tmp_path):
    deep = np.zeros((32, 48, 4), np.uint16)
    later = deep.copy()
    later[:16] = 1000
    for name, image in (('x', deep), ('y', later)):
        import rasterio
        with rasterio.open(tmp_path / f'{name}.tif', 'w', driver='GTiff', height=32, width=48,
                           count=4, dtype='uint16') as file:
            file.write(np.moveaxis(image, -1, 0))
    pair = ('--img-from', 'x.tif', '--img-to', 'y.tif', '--bands', '4', '3', '2')
    out = call(*pair, '--scale', '0', '2000', '--cfg-options', 'model.captions=False')
    assert 'bands 4, 3, 2, scale (0.0, 2000.0)' in out and '50.0 % of the pixels changed' in out
    assert 'no caption head' in out
    with pytest.raises(SystemExit, match=r'error: .*Say how to show it'):
        call(*pair)
    with pytest.raises(SystemExit, match=r'error: .*model\.capshuns'):
        call(*PAIR, '--cfg-options', 'model.capshuns=False')


def test_nbest_takes_as_many_beams(call):
    out = call(*PAIR, '--nbest', '3')
    assert [f'changed 3 {k}' in out for k in range(4)] == [True, True, True, False]
    assert 'changed 5 1' in call(*PAIR, '--nbest', '2', '--beams', '5')


def test_absent_heads_are_said(call, tmp_path):
    out = call(*PAIR, '--out', 'out', model={'mask': False, 'captions': False})
    assert 'this model has no mask head' in out and 'this model has no caption head' in out
    assert not (tmp_path / 'out/before_after_mask.png').exists()


def test_attention_is_drawn_beside_the_panel(call, tmp_path):
    out = call(*PAIR, '--attention', '--nbest', '2', '--out', 'out')
    assert 'before_after_attention.png' in out and 'changed 2 1' in out
    drawn = np.asarray(Image.open(tmp_path / 'out/before_after_attention.png')).astype(int)
    warm = (drawn[..., 0] - drawn[..., 2] > 90).any(0)
    assert warm.sum() >= 3 * 10, 'each word has a hot edge'
    call(*PAIR, '--out', 'plain')
    assert not (tmp_path / 'plain/before_after_attention.png').exists()


def test_what_only_single_windows_have_is_said_of_a_large_image(call):
    out = call(*PAIR, '--attention', '--nbest', '2', '--out', 'out', '--window', '32')
    assert 'note         --attention and --nbest: for single windows only' in out
    assert '--window 48 takes the image whole' in out and 'attention.png' not in out
    assert 'single windows' not in call(*PAIR, '--nbest', '2', '--window', '48')
    assert 'single windows' not in call(*PAIR, '--nbest', '1', '--window', '32')


def test_attention_needs_a_folder_to_draw_in(call, capsys):
    with pytest.raises(SystemExit, match='2'):
        call(*PAIR, '--attention')
    assert '--attention draws a picture below --out' in capsys.readouterr().err


def test_attention_of_a_head_that_has_none_is_one_line(call, monkeypatch, tmp_path):
    refuse = 'caption head has no attention maps to return'
    from rscc.inference.model_pass import ModelPass

    def answer(self, prepared, decoding, *_):
        from rscc.models.caption_heads.base import AutoregressiveHead
        from rscc.models.generation.options import Decoding
        head = AutoregressiveHead(dict(type='WordTokenizer', words=['a']))
        head.check_decoding(Decoding().updated(decoding))

    monkeypatch.setattr(ModelPass, '_run', answer)
    with pytest.raises(SystemExit, match=f'^error: --attention, and this {refuse}'):
        call(*PAIR, '--attention', '--out', 'out')
    assert not (tmp_path / 'out').exists()


DRAWS = {'draws': True}


def test_sentences_are_drawn_as_asked(call):
    out = call(*PAIR, '--samples', '3', '--steps', '7', '--guidance', '1.5', '--seed', '9',
               model=DRAWS)
    assert 'sentence     3 7 1.5 9 0  (score' in out and 'agreement    0.75 of 3 sentences' in out
    assert 'sigma' not in out


def test_nbest_draws_as_many_and_never_fewer_than_the_config_says(call):
    assert '3 4 1.0 0 2  (score' in call(*PAIR, '--nbest', '3', model=DRAWS)
    assert 'sentence     2 4 1.0 0 0' in call(*PAIR, '--nbest', '1', model=DRAWS)


def test_a_trajectory_is_printed_and_drawn_beside_the_panel(call, tmp_path):
    out = call(*PAIR, '--trajectory', model=DRAWS)
    assert [line.split() for line in out.splitlines() if line.startswith('  noise')] == [
        ['noise', sigma, 'word', str(k)] for k, sigma in enumerate(['1', '0.5', '0.25', '0.125'])]
    assert 'before_after_denoising.png' in call(*PAIR, '--strip', '--out', 'out', model=DRAWS)
    stored = json.loads((tmp_path / 'out/before_after.json').read_text())
    assert stored['agreement'] == 0.5 and stored['trajectory'][0] == [1.0, 'word 0']
    assert np.asarray(Image.open(tmp_path / 'out/before_after_denoising.png')).shape[2] == 3


@pytest.mark.parametrize(('flags', 'message'), [
    (('--samples', '8'), "--samples sets the decoding option 'num_samples', which this model's "
                         'caption head does not have. It has: num_beams, num_captions'),
    (('--steps', '8'), "--steps sets the decoding option 'steps'"),
    (('--guidance', '2'), "--guidance sets the decoding option 'guidance'"),
    (('--strip',), "--trajectory sets the decoding option 'return_trajectory'"),
    (('--seed', '0'), "--seed has no effect: this model's caption head searches and draws")])
def test_heads_that_search_refuse_to_diffuse(call, flags, message, tmp_path):
    with pytest.raises(SystemExit, match='^error: ' + re.escape(message)):
        call(*PAIR, *flags, '--out', 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('flags', 'option'), [(('--beams', '2'), 'num_beams'),
                                               (('--attention',), 'return_attention')])
def test_heads_that_diffuse_refuse_to_search(call, flags, option):
    with pytest.raises(SystemExit, match=f"option '{option}', which this model's caption head "
                                         'does not have. It has: num_samples'):
        call(*PAIR, *flags, '--out', 'out', model=DRAWS)


def test_decoding_without_a_caption_head_is_refused(call):
    with pytest.raises(SystemExit, match='^error: this model has no caption_head: the decoding '
                                         r"options \['num_samples'\]"):
        call(*PAIR, '--samples', '2', model={'captions': False})


def test_single_image(call, tmp_path):
    meta = {'dataset_meta': {'task': 'single', 'language': 'en'}}
    assert 'same 1 0' in call('--img', 'before.png', '--out', 'out', meta=meta)
    assert (tmp_path / 'out/before_panel.png').exists()


def test_missing_image_is_an_error_before_the_model_is_built(call):
    with pytest.raises(SystemExit, match=r"error: no image at 'gone\.png'"):
        call('--img-from', 'before.png', '--img-to', 'gone.png')


def test_different_sizes_write_nothing(call, tmp_path):
    with pytest.raises(SystemExit, match='error: pair sizes differ'):
        call('--img-from', 'before.png', '--img-to', 'small.png', '--out', 'out')
    assert not (tmp_path / 'out').exists()


def test_the_model_that_answers_is_named_first(call):
    assert call(*PAIR).splitlines()[0] == 'model        fake.pth (0.0 M parameters)'


def test_an_absent_model_says_how_to_get_one(call):
    from rscc.commands.infer import main
    with pytest.raises(SystemExit, match=r"^error: 'blip_synth' has no checkpoint in 'work_dirs/bli"
                                         r"p_synth'; give its file\. 'rscc-small' names the model"):
        main(['blip_synth', *PAIR])
    with pytest.raises(SystemExit, match=r"^error: 'blip_sinth' is no checkpoint, work folder or "
                                         r"config\. Did you mean 'blip_synth'"):
        main(['blip_sinth', *PAIR])


@pytest.mark.parametrize('arguments', [(), ('--img-from', 'before.png'),
                                       (*PAIR, '--img', 'after.png')])
def test_images_must_be_a_pair_or_one(call, arguments, capsys):
    with pytest.raises(SystemExit, match='2'):
        call(*arguments)
    assert 'give either --img-from and --img-to, or --img' in capsys.readouterr().err


def test_missing_checkpoint_is_one_line_without_a_traceback(python, tmp_path):
    image = tmp_path / 'a.png'
    Image.new('RGB', (8, 8)).save(image)
    done = python('tools/infer.py', 'gone.pth', '--img-from', image, '--img-to', image)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: no checkpoint at 'gone.pth'")
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(('flags', 'message'), [
    (('--nbest', '0'), "argument --nbest: found '0', expected a whole number, 1 or more"),
    (('--beams', '-1'), "argument --beams: found '-1', expected a whole number, 1 or more"),
    (('--max-tokens', '0'), "argument --max-tokens: found '0'"),
    (('--samples', '0'), "argument --samples: found '0'"),
    (('--steps', '1.5'), "argument --steps: found '1.5'"),
    (('--guidance', 'nan'), "argument --guidance: found 'nan', expected a number, 0 or more"),
    (('--guidance', '-2'), "argument --guidance: found '-2'"),
    (('--seed', str(2**64)), 'expected a whole number, 0 to '),
    (('--window', '0'), "argument --window: '0' is no side of a window"),
    (('--overlap', '-1'), "argument --overlap: found '-1', expected a whole number, 0 or more"),
    (('--batch-size', '0'), "argument --batch-size: found '0'"),
    (('--nbest', '3', '--beams', '2'), '--nbest 3 --beams 2: a search ends with 2 of them')])
def test_impossible_numbers_are_refused_by_their_flag_before_a_model_is_loaded(flags, message,
                                                                               capsys):
    from rscc.commands.infer import main
    with pytest.raises(SystemExit, match='2'):
        main(['no_such_model.pth', *PAIR, *flags])
    assert message in capsys.readouterr().err


def test_numbers_that_only_the_model_can_refuse_are_named_by_their_flag(call, monkeypatch):
    def refuse(*_args, **_options):
        raise ValueError('decoding max_tokens=99 is too long: the decoder has positions for 20')

    monkeypatch.setattr('rscc.apis.ChangeInferencer.answers', refuse)
    with pytest.raises(SystemExit, match=r'^error: --max-tokens 99 is too long: the decoder'):
        call(*PAIR, '--max-tokens', '99')
    with pytest.raises(SystemExit, match=r'^error: decoding max_tokens=99 is too long'):
        call(*PAIR)
    with pytest.raises(SystemExit, match=r'^error: --nbest 2 --beams 1: a search ends with 1 of'):
        call(*PAIR, '--nbest', '2', '--beams', '1')


@pytest.mark.parametrize('out', ['out', 'out/deeper'])
def test_a_file_in_place_of_the_folder_is_refused_before_the_model_is_loaded(call, tmp_path, out,
                                                                             capsys):
    (tmp_path / 'out').write_text('a file')
    with pytest.raises(SystemExit, match='2'):
        call(*PAIR, '--out', out, '--device', 'there is no such device')
    assert 'is a file; a folder was expected' in capsys.readouterr().err


def test_a_folder_without_permission_is_refused_at_once(call, monkeypatch, capsys):
    def refuse(**_):
        raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    with pytest.raises(SystemExit, match='2'):
        call(*PAIR, '--out', 'out/deeper')
    assert "--out: 'out/deeper': no permission to write in " in capsys.readouterr().err


def test_a_failure_to_write_is_one_line(call, monkeypatch):
    def full(*_args, **_facts):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('rscc.inference.result.InferenceResult.save', full)
    with pytest.raises(SystemExit, match=r"^error: the pictures cannot be written to 'out': .*No "):
        call(*PAIR, '--out', 'out')


@pytest.mark.parametrize('scale', [('0', 'inf'), ('nan', '1')])
def test_a_scale_without_end_is_refused(call, capsys, scale):
    with pytest.raises(SystemExit, match='2'):
        call(*PAIR, '--scale', *scale)
    assert 'expected finite numbers' in capsys.readouterr().err


def test_an_interruption_is_one_line_and_status_130(repo, call, monkeypatch, capsys):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr('rscc.apis.ChangeInferencer', interrupted)
    monkeypatch.setattr(sys, 'argv', ['infer.py', 'fake.pth', *PAIR])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(repo / 'tools/infer.py'), run_name='__main__')
    assert ended.value.code == 130 and 'interrupted: the files' in capsys.readouterr().err
