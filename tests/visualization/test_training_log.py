import json

from rscc.visualization.training_log import read_training_log, training_panels

WORDS = dict(loss='Loss', scores='Scores', fractions='Fractions', rate='Rate', iteration='step')


def write_run(folder, start, stop, loss=2.0):
    """Write the JSON lines of a training with a validation after every 40 iterations."""
    lines = []
    for step in range(start, stop + 1, 20):
        lines.append(dict(iter=step, epoch=1, step=step, loss=loss, lr=1e-3, time=0.5))
        if step % 40 == 0:
            lines.append({'caption/changed/CIDEr': float(step), 'time': 1.0, 'step': 1})
    path = folder / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n{"iter": 99, "lo')


def test_validations_follow_the_iterations_before_them(tmp_path):
    write_run(tmp_path / '20260101_000000', 20, 80)
    entries = read_training_log(tmp_path)
    assert [(entry.step, entry.stage) for entry in entries] == [
        (20, 'train'), (40, 'train'), (40, 'val'), (60, 'train'), (80, 'train'), (80, 'val')]
    assert entries[0].numbers == {'loss': 2.0, 'lr': 1e-3}
    assert entries[-1].numbers == {'caption/changed/CIDEr': 80.0}


def test_a_resumed_run_counts_from_where_it_begins(tmp_path):
    write_run(tmp_path / '20260101_000000', 20, 80)
    write_run(tmp_path / '20260102_000000', 60, 100, loss=1.0)
    (tmp_path / '20260103_000000/vis_data').mkdir(parents=True)
    (tmp_path / '20260103_000000/vis_data/scalars.json').write_text('{"change/mIoU": 1, "step": 0}')
    losses = [(entry.step, entry.numbers['loss']) for entry in read_training_log(tmp_path)
              if entry.stage == 'train']
    assert losses == [(20, 2.0), (40, 2.0), (60, 1.0), (80, 1.0), (100, 1.0)]


def test_a_log_for_people_is_read_where_there_are_no_json_lines(tmp_path):
    start = '2026/11/28 18:25:55 - mmengine - INFO - '
    (tmp_path / 'training.log').write_text(
        f'{start}Iter(train) [  20/4000]  lr: 3.98e-05  eta: 1:37:52  time: 1.4  loss: 3.8015\n'
        f'{start}something else: 5\n'
        f'{start}Iter(val) [13/13]    caption/all/CIDEr: 99.8699  change/mIoU: nan  time: 2.5\n'
        f'{start}Epoch(train) [2][ 20/250]  loss: 4.4\n')
    first, val, later = read_training_log(tmp_path)
    assert first == (20, 'train', {'lr': 3.98e-05, 'loss': 3.8015})
    assert (val.step, val.numbers['caption/all/CIDEr']) == (20, 99.8699)
    assert later.step == 270


def test_a_folder_without_a_log_has_no_entries(tmp_path):
    (tmp_path / 'other.log').write_text('nothing of interest\n')
    assert read_training_log(tmp_path) == [] == read_training_log(tmp_path / 'gone')


def test_panels_show_losses_scores_fractions_and_the_rate(tmp_path):
    write_run(tmp_path / 'a', 20, 80)
    panels = training_panels(read_training_log(tmp_path), WORDS)
    assert [panel.title for panel in panels] == ['Loss', 'Scores', 'Rate']
    curve, = panels[1].curves
    assert (curve.label, curve.x, curve.y) == ('caption/changed/CIDEr', [40, 80], [40, 80])
    named = training_panels(read_training_log(tmp_path), WORDS, str.upper)
    assert named[0].curves[0].label == 'LOSS'


def test_scores_of_ones_own_are_drawn_where_no_other_is_known(tmp_path):
    path = tmp_path / 'a/vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('{"iter": 1, "loss": 1}\n{"mine": 0.5, "step": 1}')
    assert [panel.title for panel in training_panels(read_training_log(tmp_path), WORDS)] == [
        'Loss', 'Fractions']


def test_long_curves_are_means_of_neighbours(tmp_path):
    path = tmp_path / 'a/vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(f'{{"iter": {step}, "loss": {step % 2}}}' for step in range(1, 1001)))
    curve, = training_panels(read_training_log(tmp_path), WORDS)[0].curves
    assert len(curve.x) == 200 and set(curve.y) == {0.4, 0.6} and curve.x[0] == 3
