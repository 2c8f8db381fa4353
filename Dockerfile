# docker build -t deepspec .
# docker run --rm -v "$PWD":/data deepspec map scan.h5
#
# With CUDA (and `docker run --gpus all`): docker build -t deepspec:cuda --build-arg TORCH_BUILD=cuda .
FROM python:3.12-slim
ARG TORCH=2.13.0
ARG TORCH_BUILD=cpu
ENV MPLBACKEND=Agg OMP_WAIT_POLICY=PASSIVE PYTHONUNBUFFERED=1
# torch comes first: the wheel on PyPI for Linux brings gigabytes of CUDA packages, which a CPU has no use for.
RUN case "$TORCH_BUILD" in \
        cpu) pip install --no-cache-dir "torch==$TORCH" --index-url https://download.pytorch.org/whl/cpu ;; \
        cuda) pip install --no-cache-dir "torch==$TORCH" ;; \
        *) echo "TORCH_BUILD: expected cpu or cuda, got $TORCH_BUILD" >&2; exit 2 ;; \
    esac
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY deepspec deepspec
COPY experiments experiments
COPY sweeps sweeps
RUN pip install --no-cache-dir . && deepspec --version && rm -rf /src
# Results belong to whoever runs the container: docker run --user "$(id -u):$(id -g)" writes files of that user.
ENV HOME=/tmp
WORKDIR /data
ENTRYPOINT ["deepspec"]
CMD ["--help"]
