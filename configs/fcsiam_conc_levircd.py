"""Siamese U-Net that joins both dates (FC-Siam-conc) on LEVIR-CD, in Open-CD's schedule."""
_base_ = './fcsiam_diff_levircd.py'
# Both dates of every stage; the map that the decoder starts from is the later date's.
model = dict(fusion=dict(kind='concat'))
