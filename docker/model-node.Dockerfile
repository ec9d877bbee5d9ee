# SPDX-License-Identifier: Apache-2.0
# Edge, cloud and dashboard: PyTorch, the networks and their weights; the command says which of them.
# From the repository root:  docker build -f docker/model-node.Dockerfile -t spikelink-model-node .
# TORCH_INDEX_URL is the package index that PyTorch alone comes from; empty means pip's own, whose Linux build is CUDA's.

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py node edge cloud models > node.txt
COPY README.md LICENSE ./
COPY channel channel
COPY cli cli
COPY client client
COPY experiments experiments
COPY models models
COPY service service
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .
# Whatever the checkout's modes: the dashboard reads them as a member of the group.
COPY weights weights
RUN chmod -R g+rX weights

FROM python:3.11-slim-bookworm
# Group 10001 may read the token; the admin token is for user 10001 alone, as which channel and dashboard run. A cloud
# without Redis keeps its sessions in /var/lib/spikelink, where a volume is mounted.
RUN groupadd --gid 10001 spikelink \
    && useradd --uid 10002 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin spikelink \
    && install -d -m 0700 -o 10002 -g 10001 /var/lib/spikelink \
    && python -m venv /opt/spikelink
ENV PATH=/opt/spikelink/bin:$PATH PYTHONUNBUFFERED=1

ARG TORCH_VERSION=2.13.0
ARG TORCH_INDEX_URL=
RUN pip install --no-cache-dir --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "torch==$TORCH_VERSION"

WORKDIR /build
COPY requirements/constraints.txt ./
COPY --from=wheel /src/node.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement node.txt \
    && pip install --no-cache-dir --no-deps --constraint constraints.txt spikingjelly

COPY --from=wheel --chown=10002:10001 /src/weights /opt/spikelink/weights
COPY --from=wheel /wheel /build/wheel
RUN pip install --no-cache-dir --no-deps wheel/*.whl

WORKDIR /
USER 10002:10001
ENV SPIKELINK_WEIGHTS=/opt/spikelink/weights
ENTRYPOINT ["spikelink"]
