# Two stages: the first builds, the second is what runs.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# The dist profile: thin LTO, one unit. CI and newcomers build without it, which is quicker.
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist && \
    install -D -m 0755 target/dist/switchboard /out/switchboard

FROM debian:bookworm-slim
# Platforms are verified against the system's certificates.
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 10001 --home-dir /var/lib/switchboard --create-home switchboard && \
    install -d -o switchboard -g switchboard -m 0750 \
        /var/lib/switchboard/data /var/lib/switchboard/data/media /var/lib/switchboard/data/spool \
        /var/lib/switchboard/media
COPY --from=build /out/switchboard /usr/local/bin/switchboard
USER switchboard
WORKDIR /var/lib/switchboard
# Inside a container its own loopback address reaches nobody.
ENV SWITCHBOARD__SERVER__LISTEN=0.0.0.0:8080
EXPOSE 8080
# The database, attachments and the spool: a volume, or they go with the container.
VOLUME /var/lib/switchboard/data
# server.drain_seconds and a little is what `docker stop` must allow; compose says so.
STOPSIGNAL SIGTERM
# The process lives. Whether its store and queue answer is /readyz, for alerts: restarting a process
# because a database is away would only empty its hands.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["switchboard", "health"]
ENTRYPOINT ["switchboard"]
CMD ["serve"]
