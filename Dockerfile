# syntax=docker/dockerfile:1
# The same `cauce` binary as `make run`, with ONNX Runtime and the shipped bundles.
#
#   docker build -t cauce .
#   docker run --rm -p 8080:8080 -v cauce-data:/data --read-only --cap-drop ALL --security-opt no-new-privileges cauce
#
# With a Kafka beside it: `docker compose up --build`.
#
# Three kinds of layer, by how often they change: dependencies (built from the manifests alone, by cargo-chef), ONNX
# Runtime and the dashboard's charts (from their pins alone), and the code.

ARG RUST=1.95
ARG DEBIAN=bookworm

FROM rust:${RUST}-${DEBIAN} AS chef
RUN cargo install --locked --version 0.1.78 cargo-chef
WORKDIR /build
# What librdkafka is compiled with; most of it is in the image.
COPY scripts/packages scripts/
RUN scripts/packages

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

# The dashboard's charts; an image that is built without them shows tables.
FROM node:22-${DEBIAN}-slim AS charts
WORKDIR /build
COPY scripts/uplot scripts/
RUN scripts/uplot

FROM chef AS build
COPY --from=plan /build/recipe.json recipe.json
RUN cargo chef cook --release --locked --package cauce --recipe-path recipe.json
COPY . .
COPY --from=charts /build/.runtime/uplot .runtime/uplot
RUN cargo build --release --locked --package cauce

# The shared library and its notices, checked against the sha256 of its pin.
FROM python:3.13-slim-${DEBIAN} AS onnxruntime
WORKDIR /build
COPY scripts/onnxruntime scripts/onnxruntime.pin scripts/
RUN scripts/onnxruntime

FROM debian:${DEBIAN}-slim
# TLS to Kafka: OpenSSL, and whom it trusts.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 cauce && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cauce
COPY --from=onnxruntime /build/.runtime/onnxruntime /opt/onnxruntime
COPY LICENSE /usr/share/doc/cauce/LICENSE
COPY model/artifacts /usr/share/cauce/bundles
COPY --from=build /build/target/release/cauce /usr/local/bin/cauce

# Log and state: mount a volume here, or they go with the container.
RUN mkdir /data && chown 10001:10001 /data
VOLUME /data

# Numeric, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 10001:10001
WORKDIR /usr/share/cauce
ENV ORT_DYLIB_PATH=/opt/onnxruntime/lib/libonnxruntime.so \
    CAUCE__SERVER__LISTEN=0.0.0.0:8080 \
    CAUCE__MODEL__BUNDLE=/usr/share/cauce/bundles/ahorro-valle \
    CAUCE__LOG__DIRECTORY=/data/log \
    CAUCE__STORE__DIRECTORY=/data/state \
    CAUCE__KAFKA__OUTBOX=/data/outbox \
    CAUCE__LEDGER__DIRECTORY=/data/decisions \
    CAUCE__CACHE__DIRECTORY=/data/cache \
    CAUCE__ALERTS__FILE=/data/alerts.json
EXPOSE 8080
STOPSIGNAL SIGTERM
# `cauce` asks itself: the image needs no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["cauce", "health", "--url", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["cauce"]
CMD ["serve"]
