"""``rscc models``."""
import pytest

from rscc.commands.models import main


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
    main(['rscc-small'])
    assert 'SHA-256' in capsys.readouterr().out


def test_nothing_and_mistyped_names_are_said(capsys):
    main(['--weights', '--dataset', 'CDD'])
    assert capsys.readouterr().out == 'none\n'
    with pytest.raises(SystemExit, match="Did you mean 'btc_swin_t_levircd'"):
        main(['btc_swin_t_levirdc'])
