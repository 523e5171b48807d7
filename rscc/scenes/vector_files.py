"""Regions and footprints as GeoPackage, GeoJSON and GeoParquet, and QGIS styles for them.

QGIS takes the style of a layer from the table ``layer_styles`` of a GeoPackage, or from a ``.qml``
file of the same name beside another file.
"""
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from rscc.scenes.contracts import SceneFindings
from rscc.utils import require
from rscc.utils.files import atomic_folder, atomic_write

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

_DOUBT = ('doubt', 'risk', 'unsure', 'reasons')
CHANGES = ('class', 'area_m2', 'pixels', 'score', 'sentence', *_DOUBT)
SENTENCES = ('sentence', 'score', 'flag', 'probability', 'change_share', 'sampled', *_DOUBT)
_NOT_XML = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
_DATE = '2000-01-01T00:00:00Z'  # in every GeoPackage: equal findings are equal files
_QGIS = '3.28.0'  # the oldest version whose way of writing styles is used here


def write_geopackage(findings: SceneFindings, path: Path,
                     colours: Mapping[int, Sequence[int]]) -> Path:
    """Write the layers ``changes`` and ``sentences`` with their styles, atomically.

    Both are there even without a row. Without a place on the map, x = column and y = -row, which
    is where QGIS shows ``change.tif`` then.

    Args:
        findings: Of the scene.
        path: The file.
        colours: RGB by value of the map.
    """
    changes, sentences = _layers(findings)
    with atomic_folder(path) as temporary, _dated():
        for name, table in (('changes', changes), ('sentences', sentences)):
            _write(table, temporary, driver='GPKG', layer=name, geometry_type='Polygon')
        styles = {'changes': region_style(findings.classes, colours),
                  'sentences': sentence_style()}
        _write_layer_styles(temporary, {name: _text(style) for name, style in styles.items()})
    return path


@contextmanager
def _dated() -> Iterator[None]:
    """Let GDAL write a fixed date for that of the last change."""
    pyogrio = require('pyogrio', 'writing GeoPackages')
    pyogrio.set_gdal_config_options({'OGR_CURRENT_DATE': _DATE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({'OGR_CURRENT_DATE': None})


def write_geojson(findings: SceneFindings, path: Path) -> Path:
    """Write the layer ``changes`` as RFC 7946 asks for, atomically.

    Longitudes and latitudes of WGS 84 with 7 decimals (about a centimetre), shells anticlockwise;
    polygons across the 180th meridian are cut there.

    Args:
        findings: Of a scene with a place on the map.
        path: The file.
    """
    with atomic_folder(path) as temporary:
        _write(_layers(findings)[0], temporary, driver='GeoJSON', layer='changes', RFC7946='YES')
    return path


def write_geoparquet(findings: SceneFindings, folder: Path) -> list[Path]:
    """Write ``changes.parquet`` and ``sentences.parquet``, each atomically."""
    require('pyarrow', 'writing GeoParquet')
    paths = [folder / 'changes.parquet', folder / 'sentences.parquet']
    for path, table in zip(paths, _layers(findings), strict=True):
        texts = {name: 'str' for name in ('class', 'sentence', 'risk', 'reasons')
                 if name in table}
        with atomic_folder(path) as temporary:
            table.astype(texts).to_parquet(temporary)
    return paths


def _layers(findings: SceneFindings) -> tuple['GeoDataFrame', 'GeoDataFrame']:
    """Return the tables with the columns that are written."""
    return (findings.regions[[*CHANGES, 'geometry']],
            findings.sentences[[*SENTENCES, 'geometry']])


def _write(table: 'GeoDataFrame', path: Path, **options) -> None:
    pyogrio = require('pyogrio', f"writing '{path.name}'")
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', "'crs' was not provided")  # scenes without a place
        pyogrio.write_dataframe(table, path, **options)


def _write_layer_styles(path: Path, styles: Mapping[str, str]) -> None:
    """Add the table in which QGIS looks for the styles of a GeoPackage's layers."""
    pandas = require('pandas', 'writing styles')
    rows = pandas.DataFrame([
        {'f_table_catalog': '', 'f_table_schema': '', 'f_table_name': name,
         'f_geometry_column': 'geom', 'styleName': name, 'styleQML': style, 'styleSLD': '',
         'useAsDefault': True, 'description': f'Style of {name}', 'owner': '', 'ui': '',
         'update_time': pandas.Timestamp(_DATE)} for name, style in styles.items()])
    require('pyogrio', 'writing styles').write_dataframe(rows, path, driver='GPKG',
                                                         layer='layer_styles', FID='id')


def write_style(path: Path, style: ElementTree.Element) -> Path:
    """Write a style as ``.qml``, atomically."""
    with atomic_write(path) as file:
        file.write(_text(style) + '\n')
    return path


def _text(style: ElementTree.Element) -> str:
    ElementTree.indent(style, ' ')
    return ElementTree.tostring(style, encoding='unicode')


def map_style(classes: Mapping[int, str], colours: Mapping[int, Sequence[int]]
              ) -> ElementTree.Element:
    """Return the style of ``change.tif``: classes in their colours, unchanged pixels clear.

    Args:
        classes: Name by value.
        colours: RGB by value.
    """
    root = ElementTree.Element('qgis', version=_QGIS, styleCategories='AllStyleCategories')
    renderer = _add(_add(root, 'pipe'), 'rasterrenderer', type='paletted', band='1', opacity='1',
                    alphaBand='-1', nodataColor='')
    _add(renderer, 'rasterTransparency')
    palette = _add(renderer, 'colorPalette')
    for value, name in classes.items():
        _add(palette, 'paletteEntry', value=str(value), label=name, alpha='0' if value == 0 else
             '255', color='#' + bytes(colours[value]).hex())
    return root


def region_style(classes: Mapping[int, str], colours: Mapping[int, Sequence[int]]
                 ) -> ElementTree.Element:
    """Return the style of the layer ``changes``: filled by class, labelled with the sentence.

    Args:
        classes: Name by value.
        colours: RGB by value.
    """
    root = _vector_style('<b>[% "class" %]</b><br>[% coalesce("sentence", \'\') %]', '"class"')
    renderer = _add(root, 'renderer-v2', type='categorizedSymbol', attr='class', symbollevels='0',
                    enableorderby='0', forceraster='0')
    categories, symbols = _add(renderer, 'categories'), _add(renderer, 'symbols')
    changed = {value: name for value, name in classes.items() if value}
    for number, (value, name) in enumerate(changed.items()):
        _add(categories, 'category', symbol=str(number), value=name, label=name, type='string',
             render='true')
        colour = ','.join(map(str, colours[value]))
        _fill(symbols, str(number), color=f'{colour},90', outline_color=f'{colour},255')
    root.set('labelsEnabled', '1')
    _add_labels(root, 'sentence')
    return root


def sentence_style() -> ElementTree.Element:
    """Return the style of the layer ``sentences``: outlines, thicker where something changed."""
    root = _vector_style('[% "sentence" %]', '"sentence"')
    renderer = _add(root, 'renderer-v2', type='categorizedSymbol', attr='flag', symbollevels='0',
                    enableorderby='0', forceraster='0')
    categories, symbols = _add(renderer, 'categories'), _add(renderer, 'symbols')
    for number, (value, label, width) in enumerate((('true', 'changed', '0.4'),
                                                    ('false', 'unchanged', '0.1'))):
        _add(categories, 'category', symbol=str(number), value=value, label=label, type='bool',
             render='true')
        _fill(symbols, str(number), style='no', outline_color='90,90,90,255', outline_width=width,
              outline_style='dash')
    return root


def _vector_style(tip: str, name: str) -> ElementTree.Element:
    """Return the root of a layer's style with what stands beside the mouse and in lists."""
    root = ElementTree.Element('qgis', version=_QGIS, styleCategories='AllStyleCategories')
    _add(root, 'mapTip', enabled='1').text = tip
    _add(root, 'previewExpression').text = name
    return root


def _fill(symbols: ElementTree.Element, name: str, **options: str) -> None:
    """Add a symbol of polygons."""
    symbol = _add(symbols, 'symbol', type='fill', name=name, alpha='1', clip_to_extent='1',
                  force_rhr='0')
    layer = _add(symbol, 'layer', {'class': 'SimpleFill', 'pass': '0'}, enabled='1', locked='0')
    values = _add(layer, 'Option', type='Map')
    for key, value in {'style': 'solid', 'outline_style': 'solid', 'outline_width': '0.3',
                       'outline_width_unit': 'MM', **options}.items():
        _add(values, 'Option', name=key, type='QString', value=value)


def _add_labels(root: ElementTree.Element, column: str) -> None:
    """Label a layer with the text of a column, on a white rim."""
    settings = _add(_add(root, 'labeling', type='simple'), 'settings', calloutType='simple')
    text = _add(settings, 'text-style', fieldName=column, isExpression='0', fontSize='8',
                fontSizeUnit='Point', fontWeight='50', textColor='20,20,20,255', textOpacity='1')
    _add(text, 'text-buffer', bufferDraw='1', bufferSize='0.8', bufferSizeUnits='MM',
         bufferColor='255,255,255,255', bufferOpacity='1')
    _add(settings, 'text-format', autoWrapLength='30', useMaxLineLengthForAutoWrap='1')
    _add(settings, 'placement', placement='1', priority='5')
    _add(settings, 'rendering', drawLabels='1', obstacle='0')


def _add(parent: ElementTree.Element, tag: str, attributes: Mapping[str, str] | None = None,
         **more: str) -> ElementTree.Element:
    """Add an element; characters that XML cannot hold become blanks."""
    values = {name: _NOT_XML.sub(' ', value) for name, value in {**(attributes or {}),
                                                                 **more}.items()}
    return ElementTree.SubElement(parent, tag, values)
