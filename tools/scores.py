"""Score predicted captions again, without model, images or network.

Examples::

    python tools/scores.py work_dirs/blip_synth/predictions.json
    python tools/scores.py captions.json --references LevirCCcaptions.json --split test
    python tools/scores.py captions.txt --references LevirCCcaptions.json --per-sample table.csv
    python tools/scores.py sydney_cn_amht.json --references dataset_sydney_cn.json --language zh
    python tools/scores.py sydney_amht.json --references dataset.json --protocol clipcap_rsic
"""
from rscc.commands.scores import main

if __name__ == '__main__':
    main()
