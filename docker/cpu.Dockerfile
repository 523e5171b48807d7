# rscc without a GPU. Untried: nobody has built this image yet; please report what fails.
#
#   docker build -f docker/cpu.Dockerfile -t rscc:cpu .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" rscc:cpu \
#       rscc infer --img-from before.png --img-to after.png --out answer
FROM python:3.12-slim

# Libraries that OpenCV opens; git for the commit in reports; Java for METEOR.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 git default-jre-headless \
    && rm -rf /var/lib/apt/lists/*

# Whoever runs it, caches need a folder that this user may write.
ENV HOME=/tmp MPLCONFIGDIR=/tmp PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

# The same versions as tools/setup_env.sh, before the sources: a change of these keeps the layers.
RUN pip install torch==2.13.0 torchvision==0.28.0 --index-url https://download.pytorch.org/whl/cpu
COPY requirements /opt/rscc/requirements
RUN pip install -r /opt/rscc/requirements/mminstall.txt -r /opt/rscc/requirements/runtime.txt \
    -r /opt/rscc/requirements/optional.txt

COPY setup.py pyproject.toml README.md LICENSE /opt/rscc/
COPY rscc /opt/rscc/rscc
COPY configs /opt/rscc/configs
RUN pip install --no-deps /opt/rscc

WORKDIR /data
CMD ["rscc", "--help"]
