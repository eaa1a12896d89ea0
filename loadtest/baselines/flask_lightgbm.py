"""The design that Cauce replaces: Flask, a pandas row, LightGBM, and a dictionary as a cache.

Written as such services are, and not to look slow: the model is loaded once and predicts on one thread, and a row
that was asked before costs no prediction. It is given all features ready-made; Cauce makes them of a live history.

    MODEL=model.txt gunicorn --worker-class gthread --threads 4 flask_lightgbm:app
"""

import os
import threading

import lightgbm
import pandas as pd
from flask import Flask, request

#: So many rows are kept, the newest ones.
CACHE_ENTRIES = 1_000

app = Flask(__name__)
booster = lightgbm.Booster(model_file=os.environ["MODEL"])
features = booster.feature_name()
cache = {}
#: Of `cache`: gunicorn's threads share it.
lock = threading.Lock()


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/score")
def score():
    row = request.get_json()
    if not isinstance(row, dict) or set(row) != set(features):
        return {"error": f"the row has to be an object of these features: {', '.join(features)}"}, 422
    key = tuple(row[name] for name in features)
    with lock:
        probability = cache.get(key)
    if probability is not None:
        return {"probability_of_default": probability, "cached": True}
    # As the model was trained: a double that is nearly the float32 may stand on the other side of a threshold.
    frame = pd.DataFrame([row], columns=features).astype("float32")
    probability = float(booster.predict(frame, num_threads=1)[0])
    with lock:
        if len(cache) >= CACHE_ENTRIES:
            del cache[next(iter(cache))]
        cache[key] = probability
    return {"probability_of_default": probability, "cached": False}
