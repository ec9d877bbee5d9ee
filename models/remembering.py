# SPDX-License-Identifier: Apache-2.0
"""A transmitter that remembers features: a sweep sends the same image at many BERs, thresholds and seeds.

Shapes   B batch; f_BCHW [B, C, 4, 4].
Units    limit in bytes.
Math     none
Source   none
Differs  The feature is the largest part of an image's cost at the edge, and depends on the image alone.
"""

import threading
from collections import OrderedDict
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.inference import Inference
from models.parts import EdgeNetworks
from models.transmitter import Transmitter, TransmitterState


class RememberingTransmitter(Transmitter):
    """Keeps the features of the images that were seen last, as many as fit; several threads may use it.

    What it remembers is what it would compute: whole tiles keep a feature independent of what it is computed with.
    """

    def __init__(self, networks: EdgeNetworks, inference: Inference, limit_bytes: int) -> None:
        super().__init__(networks, inference)
        self._limit_bytes, self._size_bytes = limit_bytes, 0
        self._features: OrderedDict[bytes, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def begin(self, images_BCHW: NDArray[np.uint8]) -> TransmitterState:
        if self._limit_bytes == 0:
            return super().begin(images_BCHW)
        keys = [sha256(image_CHW.tobytes()).digest() for image_CHW in images_BCHW]
        found = self._known(keys)
        rows = {key: row for row, key in enumerate(keys) if key not in found}
        if rows:
            computed = super().begin(images_BCHW[list(rows.values())]).feature_BCHW
            # Copies: a view would keep the whole batch alive.
            found |= {key: feature.clone() for key, feature in zip(rows, computed, strict=True)}
            self._keep({key: found[key] for key in rows})
        return TransmitterState(torch.stack([found[key] for key in keys]), None, 0)

    def _known(self, keys: list[bytes]) -> dict[bytes, Tensor]:
        with self._lock:
            for key in keys:
                if key in self._features:
                    self._features.move_to_end(key)
            return {key: self._features[key] for key in keys if key in self._features}

    def _keep(self, features: dict[bytes, Tensor]) -> None:
        with self._lock:
            for key, feature in features.items():
                if key not in self._features:
                    self._features[key] = feature
                    self._size_bytes += feature.nbytes
            while self._size_bytes > self._limit_bytes:
                _, dropped = self._features.popitem(last=False)
                self._size_bytes -= dropped.nbytes
