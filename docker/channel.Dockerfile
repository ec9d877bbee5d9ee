# SPDX-License-Identifier: Apache-2.0
# The channel node, and `spikelink tokens`: numpy and HTTP; no PyTorch, no networks, no weights.
# From the repository root:  docker build -f docker/channel.Dockerfile -t spikelink-channel .

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py node > node.txt
COPY README.md LICENSE ./
COPY channel channel
COPY cli cli
COPY client client
COPY service service
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.11-slim-bookworm
# Who may read what: group 10001 the token, user 10001 alone the admin token (cli/tokens.py). An empty named volume takes
# its owner from the folder it is first mounted on: /run/spikelink for the tokens, /var/lib/redis for Redis as 10003.
RUN groupadd --gid 10001 spikelink \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin spikelink \
    && install -d -m 0750 -o 10001 -g 10001 /run/spikelink \
    && install -d -m 0700 -o 10003 -g 10003 /var/lib/redis \
    && python -m venv /opt/spikelink
ENV PATH=/opt/spikelink/bin:$PATH PYTHONUNBUFFERED=1

WORKDIR /build
COPY requirements/constraints.txt ./
COPY --from=wheel /src/node.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement node.txt

COPY --from=wheel /wheel /build/wheel
RUN pip install --no-cache-dir --no-deps wheel/*.whl

WORKDIR /
USER 10001:10001
EXPOSE 8002
ENTRYPOINT ["spikelink"]
CMD ["node", "channel"]
