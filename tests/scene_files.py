"""Rasters for tests of scenes: textures moved by known parts of a pixel, GeoTIFFs made of them."""
import warnings

import numpy as np

#: Upper left corner of the scenes here, in metres of EPSG:32633.
LEFT, TOP = 500000.0, 4000000.0


def place(pixel=1.0, column=0.0, row=0.0):
    """Return the transform of a grid whose corner lies at a column and row of the scene."""
    from rasterio import Affine
    return Affine(pixel, 0, LEFT + column, 0, -pixel, TOP - row)


def write_raster(path, bands, transform=None, crs='EPSG:32633', colormap=None, **options):
    """Write bands (C, H, W) as a GeoTIFF and return its path."""
    import rasterio
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(
                path, 'w', driver=options.pop('driver', 'GTiff'), height=bands.shape[1],
                width=bands.shape[2], count=len(bands), dtype=bands.dtype, crs=crs,
                transform=place() if transform is None else transform, **options) as file:
            file.write(bands)
            if colormap:
                file.write_colormap(1, colormap)
    return path


def write_plain(path, bands, **options):
    """Write bands (C, H, W) as a TIFF without a place on the map and return its path."""
    from rasterio import Affine
    return write_raster(path, bands, Affine.identity(), None, **options)


def texture(height, width, seed=0, moved=(0.0, 0.0), fineness=0.12):
    """Return smooth noise, uint8 (3, H, W) of 30 to 225, moved right and down by (x, y) pixels.

    The move is exact: the noise is a sum of waves, of which each gets its phase.

    Args:
        height, width: In pixels.
        seed: Of the noise.
        moved: Columns and rows, whole or not.
        fineness: Highest frequency, in waves a pixel; below 0.25.
    """
    rng, margin = np.random.default_rng(seed), 32
    shape = (height + 2 * margin, width + 2 * margin)
    rows, columns = np.meshgrid(*map(np.fft.fftfreq, shape), indexing='ij')
    lowpass = np.exp(-(np.hypot(rows, columns) / fineness) ** 2 * 2)
    phase = np.exp(-2j * np.pi * (columns * moved[0] + rows * moved[1]))
    bands = []
    for _ in range(3):
        waves = np.fft.fft2(rng.normal(0, 1, shape)) * lowpass
        noise = np.fft.ifft2(waves * phase).real / np.sqrt((np.abs(np.fft.ifft2(waves))**2).mean())
        bands.append(noise[margin:-margin, margin:-margin])
    return np.clip(np.stack(bands) * 40 + 128, 30, 225).round().astype(np.uint8)


def rgb(bands):
    """Return bands (C, H, W) as an image (H, W, C)."""
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1))
