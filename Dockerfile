# platform-gate's container image for those who have Docker: hack/image, which makes the same without it, in a stage.
# For several platforms: docker buildx build --platform linux/amd64,linux/arm64 .
# The program is cross-compiled, not emulated.
FROM --platform=$BUILDPLATFORM rust:1-bookworm AS build
ARG BUILDARCH TARGETARCH
RUN if [ "$TARGETARCH" = "$BUILDARCH" ]; then exit; fi; \
    case "$TARGETARCH" in amd64) cpu=x86-64 target=x86_64 ;; arm64) cpu=aarch64 target=aarch64 ;; esac \
 && apt-get update && apt-get install -y --no-install-recommends "gcc-$cpu-linux-gnu" "libc6-dev-$TARGETARCH-cross" \
 && rustup target add "$target-unknown-linux-gnu"
RUN cargo install --locked cargo-auditable@0.7.7
WORKDIR /src
COPY . .
RUN hack/image --arch "$TARGETARCH" --root /image

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/platform-gate"]
