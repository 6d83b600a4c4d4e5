# The server alone: DATABASE_URL is required here, since no Postgres is in this image.
# Others than this machine may reach the port, so AUTH_BOOTSTRAP_KEY_FILE or AUTH is required too: see docs/access.md.
# `docker build .` builds it from these sources; --target release takes binaries that a release has built.

FROM golang:1.26-alpine AS build
WORKDIR /src
# Modules change less often than code, so they have a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Git's directory is not here, so `make docker-build` says what this is; else --version says that it does not know.
ARG VERSION REVISION
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$VERSION -X main.revision=$REVISION" -o /out/internaltransfers .

FROM alpine:3.23 AS base
# Numeric, so that an orchestrator can see that it is not root. The server writes no file.
USER 65532:65532
ENV LISTEN_ADDR=0.0.0.0:9091 \
    LOG_FORMAT=json
EXPOSE 9091
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9091/healthcheck"]
ENTRYPOINT ["/usr/local/bin/internaltransfers"]
CMD ["serve"]

# .goreleaser.yaml puts the binaries of each platform beside this file.
FROM base AS release
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/internaltransfers /usr/local/bin/internaltransfers

FROM base
COPY --from=build /out/internaltransfers /usr/local/bin/internaltransfers
