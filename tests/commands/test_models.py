"""``rscc models``."""
import pytest

from rscc.commands.models import main
from rscc.config import metafiles


def test_models_of_a_task_and_dataset_are_listed(capsys):
    main(['--task', 'change detection', '--dataset', 'CDD'])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ['btc_swin_t_cdd', 'changeclip_rn50_cdd',
                                                   'changeclip_vit_cdd']
    assert lines[0].endswith('change detection; CDD; BTC, Swin-T')


def test_one_model_is_told_of(capsys):
    main(['btc_swin_t_levircd'])
    text = capsys.readouterr().out
    assert 'Be the Change You Want to See' in text
    assert 'published      F1 91.37 on LEVIR-CD (theirs: https://' in text
    main(['changeclip_rn50_cdd'])
    assert ' on CDD (quoted at: https://' in capsys.readouterr().out
    main(['rscc-small'])
    assert 'SHA-256' in capsys.readouterr().out


def test_nothing_and_mistyped_names_are_said(capsys):
    main(['--weights', '--dataset', 'CDD'])
    assert capsys.readouterr().out == 'none\n'
    with pytest.raises(SystemExit, match="Did you mean 'btc_swin_t_levircd'"):
        main(['btc_swin_t_levirdc'])


def test_one_wrong_metafile_hides_no_other_model(tmp_path, monkeypatch, capsys):
    said = []
    monkeypatch.setattr(metafiles, 'warn_once', said.append)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/own.py').write_text('')
    (tmp_path / 'configs/typo.yml').write_text('metafile: 1\nmethod: Typo\n')
    monkeypatch.chdir(tmp_path)
    main(['--dataset', 'CDD'])
    assert 'btc_swin_t_cdd' in capsys.readouterr().out
    assert 'typo.yml' in said[0] and "lacks 'tasks'" in said[0]
