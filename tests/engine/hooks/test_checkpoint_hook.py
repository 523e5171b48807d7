from pathlib import Path

import pytest

from rscc.engine.hooks.checkpoint_hook import SafeCheckpointHook


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def test_outdated_files_go_only_after_the_new_one_is_there(build, tmp_path, monkeypatch):
    runner = build(train_cfg={'max_epochs': 3},
                   default_hooks={'checkpoint': {'max_keep_ckpts': 1}})
    seen, save = [], runner.save_checkpoint

    def spy(*args, **kwargs):
        save(*args, **kwargs)
        seen.append(names(tmp_path / 'run'))

    monkeypatch.setattr(runner, 'save_checkpoint', spy)
    runner.train()
    assert seen == [['epoch_1.pth'], ['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth', 'epoch_3.pth']]
    assert names(tmp_path / 'run') == ['epoch_3.pth']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('epoch_3.pth')


def test_best_checkpoint_needs_no_rule_for_our_scores(build, tmp_path):
    build(train_cfg={'max_epochs': 2},
          default_hooks={'checkpoint': {'save_best': 'change/OA'}}).train()
    assert len([n for n in names(tmp_path / 'run') if n.startswith('best_change_OA')]) == 1


def test_score_that_the_validation_does_not_give_is_a_warning(build, tmp_path, log_of):
    runner = build(default_hooks={'checkpoint': {'save_best': 'change/AO', 'rule': 'greater'}})
    runner.train()
    assert "save_best names 'change/AO', and the validation gave change/OA" in log_of(runner)
    assert "Did you mean 'change/OA'?" in log_of(runner)
    assert names(tmp_path / 'run') == ['epoch_1.pth']


def test_leftovers_of_a_killed_save_are_cleared(build, tmp_path):
    leftover = tmp_path / 'run' / '.epoch_1.pth.abc.tmp'
    leftover.parent.mkdir()
    leftover.write_bytes(b'half')
    build().train()
    assert not leftover.exists()


def test_mistyped_option_is_an_error():
    with pytest.raises(TypeError, match='intervals'):
        SafeCheckpointHook(intervals=2)
