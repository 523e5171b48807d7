"""Scenes of any size: two rasters in, a change map, polygons and sentences on their grid out.

Nothing here but ``torch_predictor`` imports torch: exported models answer scenes without it.
"""
