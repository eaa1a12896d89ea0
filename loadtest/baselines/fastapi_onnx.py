"""What one would write in Python today: FastAPI, ONNX Runtime and no cache.

The model runs on the event loop: it takes microseconds, and a thread to hand it to would cost more. It is given all
features ready-made; Cauce makes them of a live history.

    MODEL=model.onnx uvicorn --loop uvloop --http httptools --no-access-log fastapi_onnx:app
"""

import json
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, create_model

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
features = json.loads(session.get_modelmeta().custom_metadata_map["cauce.features"])

Row = create_model("Row", __config__=ConfigDict(extra="forbid"), **{name: (float | None, ...) for name in features})


class Score(BaseModel):
    probability_of_default: float


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/score")
async def score(row: Row) -> Score:
    # Numpy takes None for NaN.
    vector = np.array([[getattr(row, name) for name in features]], dtype=np.float32)
    [probabilities] = session.run(["probabilities"], {"features": vector})
    return Score(probability_of_default=probabilities[0, 1])
