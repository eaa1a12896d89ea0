"""Makes the bundles that Cauce serves: data to events, `cauce backfill` to a table, LightGBM to ONNX, and all that is
known about it.

Nothing here computes a feature. Python turns a source into events and applications; the engine of the service turns
those into the training table, so the row a model learns from and the vector it is served are the same bits (F2). The
only matrices made in Python are the anchors: raw columns of the source, trained on the same folds to have something
to compare with, and never exported.
"""
