# CPU:   docker build -t en2py .
# CUDA:  docker build -t en2py --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 .
# Other package index: --build-arg PIP_INDEX_URL=URL; CPU builds of torch: PIP_EXTRA_INDEX_URL=URL
# Run:   docker run --rm -v "$PWD/outputs:/en2py/outputs" en2py train.py sandbox.min_level=kernel
# Containers forbid namespaces, so the sandbox reaches level `kernel`: docs/sandbox.md
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG PIP_INDEX_URL=""
ARG PIP_EXTRA_INDEX_URL=""
ARG EXTRAS=""

RUN command -v python3 >/dev/null || ( \
        apt-get update && \
        apt-get install --yes --no-install-recommends python3 python3-venv && \
        rm -rf /var/lib/apt/lists/* )
RUN python3 -m venv /opt/venv
ENV PATH="/opt/venv/bin:$PATH"

WORKDIR /en2py
COPY . .
RUN pip install --no-cache-dir -c constraints.txt -e ".${EXTRAS:+[$EXTRAS]}"

ENTRYPOINT ["python"]
CMD ["train.py", "sandbox.min_level=kernel"]
