# SPDX-License-Identifier: Apache-2.0
# One machine of a Ray cluster: the model nodes' image and Ray. It starts nothing by itself (docs/sweeps.md).
# From the repository root, after spikelink-model-node:  docker build -f docker/ray-node.Dockerfile -t spikelink-ray-node .

FROM spikelink-model-node
USER root
WORKDIR /build
COPY pyproject.toml docker/requirements.py requirements/constraints.txt ./
RUN python requirements.py ray > ray.txt && pip install --no-cache-dir --constraint constraints.txt --requirement ray.txt

WORKDIR /
USER 10002:10001
ENTRYPOINT []
CMD ["sleep", "infinity"]
