"""Names of licences and of data sets, as SPDX and the Hugging Face hub write them."""
import re

from rscc.utils.names import did_you_mean

_OF_SPDX = """
0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 Artistic-2.0 BSD-2-Clause
BSD-3-Clause BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 BlueOak-1.0.0 C-UDA-1.0 CC-BY-1.0 CC-BY-2.0
CC-BY-2.5 CC-BY-3.0 CC-BY-3.0-IGO CC-BY-4.0 CC-BY-NC-2.0 CC-BY-NC-2.5 CC-BY-NC-3.0 CC-BY-NC-4.0
CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-2.5 CC-BY-NC-SA-3.0
CC-BY-NC-SA-3.0-IGO CC-BY-NC-SA-4.0 CC-BY-ND-3.0 CC-BY-ND-4.0 CC-BY-SA-2.0 CC-BY-SA-2.5
CC-BY-SA-3.0 CC-BY-SA-3.0-IGO CC-BY-SA-4.0 CC-PDDC CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0
CDLA-Sharing-1.0 CECILL-2.1 CECILL-B CECILL-C DL-DE-BY-2.0 DL-DE-ZERO-2.0 ECL-2.0 EPL-1.0 EPL-2.0
EUPL-1.1 EUPL-1.2 etalab-2.0 FSFAP GFDL-1.3-only GFDL-1.3-or-later GPL-2.0-only GPL-2.0-or-later
GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later
LPPL-1.3c MIT MIT-0 MPL-2.0 MS-PL MulanPSL-2.0 NCSA NLOD-2.0 ODC-By-1.0 ODbL-1.0 OFL-1.1
OGL-Canada-2.0 OGL-UK-2.0 OGL-UK-3.0 OSL-3.0 PDDL-1.0 PostgreSQL Python-2.0 Unlicense WTFPL X11 Zlib
ZPL-2.1
"""
_OF_HUB = """
bigscience-bloom-rail-1.0 bigscience-openrail-m bigcode-openrail-m creativeml-openrail-m
deepfloyd-if-license gemma gfdl gpl-2.0 gpl-3.0 agpl-3.0 lgpl-2.1 lgpl-3.0 intel-research llama2
llama3 llama3.1 llama3.2 llama3.3 openrail openrail++ apple-amlr apple-ascl odbl
"""
#: SPDX names (https://spdx.org/licenses) that weights, data and code are commonly given under.
SPDX = tuple(_OF_SPDX.split())
#: Names that the hub has and SPDX has not (https://huggingface.co/docs/hub/repositories-licenses).
HUB = tuple(_OF_HUB.split())
#: SPDX's own form for a licence that it does not list.
_CUSTOM = re.compile(r'LicenseRef-[A-Za-z0-9.-]+')
_PART = r'[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?'
_DATASET = re.compile(rf'(?:{_PART}/)?{_PART}')


def licence_name(told: str, where: str = 'licence') -> str:
    """Return the name of a licence in the letters of its list.

    Args:
        told: An SPDX or hub name, in any case, or ``LicenseRef-NAME``.
        where: What it belongs to, the subject of messages.

    Raises:
        ValueError: If there is no such licence; the message names the nearest.
    """
    known = {name.lower(): name for name in (*HUB, *SPDX)}
    if told.lower() in known:
        return known[told.lower()]
    if _CUSTOM.fullmatch(told):
        return told
    raise ValueError(f"{where}: '{told}' is no licence that SPDX or the hub knows."
                     f'{did_you_mean(told, known.values())} Expected a name such as MIT, '
                     'Apache-2.0 or CC-BY-SA-4.0 (https://spdx.org/licenses), or LicenseRef-NAME '
                     'for a licence of your own')


def check_dataset_name(told: str, where: str = 'dataset') -> None:
    """Refuse a name that no data set of the hub can have.

    Args:
        told: ``OWNER/NAME``, or ``NAME`` alone.
        where: What it belongs to, the subject of messages.

    Raises:
        ValueError: If it has other characters than the hub allows.
    """
    if not _DATASET.fullmatch(told) or '--' in told or '..' in told:
        raise ValueError(f"{where}: '{told}' is no name of a data set on the hub: expected "
                         "OWNER/NAME of letters, digits, '-', '_' and '.', 'lcybuaa/LEVIR-CC' for "
                         'instance')
