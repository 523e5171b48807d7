"""Models outside of torch: export to ONNX, and answers from exported files.

``metadata``, ``greedy`` and ``onnx_predictor`` import neither torch nor MMEngine.
"""
