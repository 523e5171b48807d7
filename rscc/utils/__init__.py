"""Helpers that need no torch: names, paths, files, optional imports, deprecation."""
from rscc.utils.files import atomic_write, read_json, write_json
from rscc.utils.imports import require
from rscc.utils.logging import progress
from rscc.utils.names import Count, check_choice, counted, did_you_mean
from rscc.utils.paths import data_home, resolve_data_file, resolve_data_root

__all__ = [
    'Count', 'atomic_write', 'check_choice', 'counted', 'data_home', 'did_you_mean', 'progress',
    'read_json', 'require', 'resolve_data_file', 'resolve_data_root', 'write_json'
]
