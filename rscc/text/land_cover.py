"""Chinese names of what land is covered by, of the datasets' classes."""

#: English name of a class -> Chinese; other names are shown as a dataset writes them.
CHINESE = {
    'none': '无标注',
    'unchanged': '未变化',
    'changed': '变化',
    'change': '变化',
    # Changes, and land cover, of the built-in dataset.
    'building': '建筑物',
    'road': '道路',
    'vegetation': '植被',
    'tree': '树木',
    'water': '水体',
    'parking lot': '停车场',
    'grassland': '草地',
    'bare land': '裸地',
    'desert': '沙漠',
    'farmland': '农田',
    'pavement': '硬化地面',
    # SECOND, Landsat-SCD.
    'ground': '地表',
    'low vegetation': '低矮植被',
    'sports field': '运动场',
    # HRSCD.
    'artificial': '人造地表',
    'agricultural': '农业用地',
    'forest': '林地',
    'wetland': '湿地',
}
